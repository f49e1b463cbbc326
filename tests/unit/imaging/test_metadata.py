"""Metadata: dates, orientation, licences and titles, from whole and from broken blocks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.imaging.decode import decode
from lookalike.imaging.metadata import Blocks, Metadata, parse_date, read_metadata
from tests.unit.imaging.pictures import encode, exif_block, scene

XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description
 xmpRights:WebStatement="https://creativecommons.org/licenses/by-sa/4.0/"
 exif:DateTimeOriginal="2015-07-01T10:00:00+02:00">
 <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Bridge &amp; river</rdf:li></rdf:Alt></dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def at(*moment: int) -> float:
    return datetime(*moment, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "offset", "wanted"),
    [
        ("2012:06:30 16:15:15", "", at(2012, 6, 30, 16, 15, 15)),
        ("2012:06:30 16:15:15", "+02:00", at(2012, 6, 30, 14, 15, 15)),
        ("2012-06-30T16:15:15.25-0530", "", at(2012, 6, 30, 21, 45, 15)),
        ("2012-06-30T16:15:15Z", "", at(2012, 6, 30, 16, 15, 15)),
        ("2012:06:30", "", at(2012, 6, 30)),
        ("0000:00:00 00:00:00", "", None),
        ("2012:13:45 99:99:99", "", None),
        ("    :  :     :  :  ", "", None),
        ("yesterday", "", None),
    ],
)
def test_dates(text: str, offset: str, wanted: float | None) -> None:
    assert parse_date(text, offset) == wanted


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exif_is_read_in_every_format(format: str) -> None:
    block = exif_block(
        t9003="2011:05:06 07:08:09",
        t9011="+01:00",
        t010E="A heron in the reeds",
        t8298="CC BY-NC 2.0",
    )
    metadata = decode(encode(scene(), format, exif=block)).metadata
    assert metadata.taken == at(2011, 5, 6, 6, 8, 9)
    assert metadata.text == "A heron in the reeds"
    assert metadata.licence == "cc-by-nc-2.0"


def test_a_tiff_tells_of_itself() -> None:
    data = encode(scene(), "TIFF", tiffinfo={270: "A heron", 306: "2011:05:06 07:08:09"})
    metadata = decode(data).metadata
    assert metadata.text == "A heron"
    assert metadata.taken == at(2011, 5, 6, 7, 8, 9)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_xmp_is_read(format: str) -> None:
    if format == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        data = encode(scene(), format, pnginfo=info)
    else:
        data = encode(scene(), format, xmp=XMP)
    metadata = decode(data).metadata
    assert metadata.licence == "cc-by-sa-4.0"
    assert metadata.taken == at(2015, 7, 1, 8)
    assert metadata.title == "Bridge & river"


def test_a_bare_copyright_line_states_no_licence() -> None:
    assert read_metadata(Blocks(exif_block(t8298="(c) 2010 Someone"))).licence == "unknown"


def test_what_cameras_write_is_no_title() -> None:
    assert read_metadata(Blocks(exif_block(t010E="OLYMPUS DIGITAL CAMERA"))).text == ""


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_a_senseless_orientation_is_upright(orientation: int) -> None:
    assert read_metadata(Blocks(exif_block(t0112=orientation))).orientation == 1


def test_a_date_from_a_broken_block_is_none() -> None:
    block = exif_block(t9003="2011:05:06 07:08:09", t0112=6)
    assert read_metadata(Blocks(block[:60])).taken is None


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_any_bytes_give_metadata(exif: bytes, xmp: bytes) -> None:
    assert isinstance(read_metadata(Blocks(exif, (xmp,))), Metadata)


@given(st.integers(0, 300), st.binary(min_size=1, max_size=8))
def test_damaged_blocks_give_metadata(place: int, patch: bytes) -> None:
    block = bytearray(exif_block(t9003="2011:05:06 07:08:09", t010E="words " * 9, t0112=6))
    block[place : place + len(patch)] = patch
    assert 1 <= read_metadata(Blocks(bytes(block))).orientation <= 8
