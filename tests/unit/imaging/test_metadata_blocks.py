"""XMP, IPTC and EXIF as files hold them: whole, in odd clothes, broken and hostile."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lookalike.domain.licences import find_licence
from lookalike.imaging.decode import decode
from lookalike.imaging.examine import ExaminePlan, examine
from lookalike.imaging.metadata import Blocks, Metadata, read_metadata
from lookalike.imaging.metadata_iptc import read_iptc, split_photoshop
from lookalike.imaging.metadata_statements import MAX_KEYWORDS
from lookalike.imaging.metadata_xmp import read_xmp
from tests.unit.imaging.pictures import encode, exif_block, scene

if TYPE_CHECKING:
    from collections.abc import Callable

SPACES = """xmlns:x="adobe:ns:meta/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:cc="http://creativecommons.org/ns#"
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"
 xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
"""


def packet(body: str, attributes: str = "") -> str:
    return (
        "<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>"
        f"<x:xmpmeta {SPACES}><rdf:RDF><rdf:Description rdf:about='' {attributes}>{body}"
        "</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
    )


FULL = packet(
    """<dc:title><rdf:Alt><rdf:li xml:lang="de">Graureiher</rdf:li>
    <rdf:li xml:lang="x-default">A heron</rdf:li></rdf:Alt></dc:title>
    <dc:description><rdf:Alt><rdf:li xml:lang="x-default">In the reeds &amp; at dawn</rdf:li>
    </rdf:Alt></dc:description>
    <dc:subject><rdf:Bag><rdf:li>heron</rdf:li><rdf:li>Reeds</rdf:li><rdf:li>Heron</rdf:li>
    </rdf:Bag></dc:subject>
    <lr:hierarchicalSubject><rdf:Bag><rdf:li>Birds|Water birds</rdf:li></rdf:Bag>
    </lr:hierarchicalSubject>
    <dc:creator><rdf:Seq><rdf:li>Ann Sample</rdf:li><rdf:li>Ben Sample</rdf:li></rdf:Seq>
    </dc:creator>
    <dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Ann Sample</rdf:li></rdf:Alt></dc:rights>
    <cc:license rdf:resource="http://creativecommons.org/licenses/by-nc/3.0/"/>""",
    "exif:DateTimeOriginal='2015-07-01T10:00:00+02:00' exif:GPSLatitude='48,51.5N'"
    " exif:GPSLongitude='2,17,40W' photoshop:City='Paris'",
)


def xmp(text: str | bytes) -> Metadata:
    return read_metadata(Blocks(xmp=(text.encode() if isinstance(text, str) else text,)))


def dataset(number: int, value: bytes, record: int = 2) -> bytes:
    return struct.pack(">BBBH", 0x1C, record, number, len(value)) + value


def resource(number: int, body: bytes, name: bytes = b"") -> bytes:
    label = bytes([len(name)]) + name + b"\0" * ((len(name) + 1) % 2)
    return (
        b"8BIM" + struct.pack(">H", number) + label + struct.pack(">I", len(body))
        + body + b"\0" * (len(body) % 2)
    )  # fmt: skip


IPTC = b"".join((
    dataset(90, b"\x1b%G", record=1),
    dataset(5, "Mühle".encode()), dataset(120, b"A mill by the river"),
    dataset(25, b"mill"), dataset(25, b"river"),
    dataset(55, b"20240131"), dataset(60, b"235959+0100"),
    dataset(80, b"Cara Sample"), dataset(116, b"CC BY-SA 4.0 Cara Sample"), dataset(90, b"Ulm"),
))  # fmt: skip


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg_with(*segments: bytes) -> bytes:
    data = encode(scene(), "JPEG")
    return data[:2] + b"".join(segments) + data[2:]


def check_heron(metadata: Metadata) -> None:
    assert metadata.title == "A heron"
    assert metadata.text == "In the reeds & at dawn\nGraureiher"
    assert metadata.keywords == ("heron", "Reeds", "Birds", "Water birds")
    assert metadata.creator == "Ann Sample, Ben Sample"
    assert metadata.rights == "© Ann Sample"
    assert metadata.licence == "cc-by-nc-3.0"
    assert metadata.taken == datetime(2015, 7, 1, 8, tzinfo=UTC).timestamp()
    assert metadata.place == pytest.approx((48.858333, -2.294444), abs=1e-6)
    assert metadata.place_names == ("Paris",)


def gif_with(text: str) -> bytes:
    data = encode(scene(), "GIF")
    table = 13 + (3 << ((data[10] & 7) + 1))
    ramp = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    block = b"\x21\xff\x0bXMP DataXMP" + text.encode() + ramp
    return data[:table] + block + data[table:]


def png_with(text: str) -> bytes:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", text, zip=True)
    return encode(scene(), "PNG", pnginfo=info)


def extended_jpeg(text: str) -> bytes:
    digest, body = b"A" * 32, text.encode()
    main = packet("", "xmpNote:HasExtendedXMP='" + "A" * 32 + "'").encode()
    parts = [
        b"http://ns.adobe.com/xmp/extension/\0" + digest + struct.pack(">II", len(body), at)
        + body[at : at + 700]
        for at in range(0, len(body), 700)
    ]  # fmt: skip
    head = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + main)
    return jpeg_with(head, *(segment(0xE1, part) for part in reversed(parts)))


@pytest.mark.parametrize(
    "build",
    [
        lambda text: encode(scene(), "JPEG", xmp=text.encode()),
        extended_jpeg,
        lambda text: jpeg_with(segment(0xED, b"Photoshop 3.0\0" + resource(0x0424, text.encode()))),
        png_with,
        lambda text: encode(scene(), "WEBP", xmp=text.encode()),
        lambda text: encode(scene(), "AVIF", xmp=text.encode()),
        lambda text: encode(scene(), "TIFF", tiffinfo={700: text.encode()}),
        gif_with,
    ],
    ids=["jpeg", "extended", "photoshop", "png", "webp", "avif", "tiff", "gif"],
)
def test_every_container_gives_its_packet(build: Callable[[str], bytes]) -> None:
    check_heron(decode(build(FULL)).metadata)


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-16"])
def test_every_character_set_of_xmp(charset: str) -> None:
    check_heron(xmp(FULL.encode(charset)))
    declared = "<?xml version='1.0' encoding='utf-16'?>" + FULL
    check_heron(xmp(declared.encode(charset)))


def test_prefixes_are_whatever_the_packet_declares() -> None:
    odd = FULL
    for usual in ("dc", "rdf", "cc", "exif"):
        odd = odd.replace(f"{usual}:", f"q{usual}:").replace(f"xmlns:{usual}=", f"xmlns:q{usual}=")
    check_heron(xmp(odd))
    foreign = FULL.replace("http://purl.org/dc/elements/1.1/", "urn:something-else")
    assert xmp(foreign).title == ""


def test_attributes_and_structures_state_properties() -> None:
    text = packet(
        """<plus:Licensor><rdf:Seq><rdf:li rdf:parseType="Resource">
        <plus:LicensorURL>https://creativecommons.org/licenses/by-sa/2.0/de/</plus:LicensorURL>
        </rdf:li></rdf:Seq></plus:Licensor>""",
        "dc:title='Short form' photoshop:Headline='News' xmpRights:Marked='True'",
    )
    metadata = xmp(text)
    assert (metadata.title, metadata.text, metadata.licence) == (
        "Short form", "News", "cc-by-sa-2.0",
    )  # fmt: skip


def test_the_parts_of_a_montage_speak_for_themselves_only() -> None:
    text = packet(
        """<xmpMM:Pantry><rdf:Bag><rdf:li><rdf:Description dc:title="Part">
        <dc:creator><rdf:Seq><rdf:li>Else</rdf:li></rdf:Seq></dc:creator></rdf:Description>
        </rdf:li></rdf:Bag></xmpMM:Pantry><dc:title>Whole</dc:title>"""
    )
    metadata = xmp(text)
    assert (metadata.title, metadata.creator) == ("Whole", "")


def test_broken_packets_give_what_stood_before_the_damage() -> None:
    cut = FULL[: FULL.index("<dc:creator>") + 30]
    assert xmp(cut).title == "A heron"
    assert xmp(cut).keywords == ("heron", "Reeds", "Birds", "Water birds")
    bare = FULL.replace("&amp;", "& &nbsp;&copy; &nosuch; &#0; &#xFFFE;")
    assert xmp(bare).text.startswith("In the reeds & © &nosuch; at dawn")
    check_heron(xmp("junk before " + FULL + "\0\0 junk after"))
    assert xmp(FULL.replace("A heron", "A \x01 heron\x0b")).title == "A heron"


def test_hostile_packets_are_bounded() -> None:
    laughs = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(12))
    bomb = f'<!DOCTYPE r [<!ENTITY a0 "ha">{laughs}]>' + FULL.replace("A heron", "&a12;")
    assert xmp(bomb) == Metadata()
    outside = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    assert xmp(outside + FULL.replace("A heron", "&x;")) == Metadata()
    deep = packet("<dc:title>Before</dc:title>" + "<rdf:Bag>" * 100_000)
    assert xmp(deep).title == "Before"
    assert xmp(packet("<dc:title>Before</dc:title>" + "<rdf:li/>" * 50_000)).title == "Before"
    many = packet("<dc:subject><rdf:Bag>" + "".join(
        f"<rdf:li>word{i}</rdf:li>" for i in range(5000)
    ) + "</rdf:Bag></dc:subject>")  # fmt: skip
    assert len(xmp(many).keywords) == MAX_KEYWORDS
    huge = packet(f"<dc:title>Before</dc:title><dc:description>{'x' * 20_000_000}</dc:description>")
    metadata = xmp(huge)
    assert metadata.title == "Before"
    assert len(metadata.text) <= 2000


def test_iptc_in_a_jpeg() -> None:
    body = resource(0x03ED, b"\0" * 16, b"a name") + resource(0x0404, IPTC)
    split = body[:40], body[40:]
    data = jpeg_with(*(segment(0xED, b"Photoshop 3.0\0" + part) for part in split))
    metadata = decode(data).metadata
    assert metadata == Metadata(
        taken=datetime(2024, 1, 31, 22, 59, 59, tzinfo=UTC).timestamp(),
        licence="cc-by-sa-4.0",
        title="Mühle",
        text="A mill by the river",
        keywords=("mill", "river"),
        creator="Cara Sample",
        rights="CC BY-SA 4.0 Cara Sample",
        place_names=("Ulm",),
    )
    assert decode(encode(scene(), "TIFF", tiffinfo={33723: IPTC})).metadata.title == "Mühle"


def test_iptc_character_sets_and_damage() -> None:
    assert read_iptc(dataset(5, "Mühle".encode("latin-1"))).titles == ["Mühle"]
    assert read_iptc(dataset(5, "Mühle".encode())).titles == ["Mühle"]
    for end in range(len(IPTC)):
        read_iptc(IPTC[:end])
    assert read_iptc(IPTC[:30]).titles == ["Mühle"]
    extended = b"\x1c\x02\x78\x80\x04" + struct.pack(">I", 5) + b"wordsREST"
    assert read_iptc(extended).captions == ["words"]
    assert read_iptc(b"\x1c\x02\x78\x80\x04\xff\xff\xff\xffwords").captions == ["words"]
    no_day = read_iptc(dataset(55, b"00000000") + dataset(60, b"lunchtime"))
    assert read_metadata(Blocks(iptc=dataset(55, b"20240000"))).taken is None
    assert len(no_day.moments) == 1
    assert split_photoshop(b"8BIM\x04\x04\x00\x00\xff\xff\xff\xffabc").iptc == b"abc"


def test_exif_says_who_what_and_where() -> None:
    exif = Image.Exif()
    exif.update({0x010E: "A heron", 0x013B: "Ann; Ben", 0x8298: "Public domain"})
    exif[0x9C9E] = "birds;dawn\0".encode("utf-16-le")
    exif[0x9C9B] = "Wide title\0".encode("utf-16-le")
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0seen at dawn"
    exif.get_ifd(0x8825).update({
        1: "S", 2: (33.0, 51.0, 31.2), 3: "E", 4: (151.0, 12.0, 51.0),
        7: (6.0, 5.0, 4.0), 29: "2020:02:03",
    })  # fmt: skip
    metadata = read_metadata(Blocks(exif=exif.tobytes()))
    assert metadata.title == "Wide title"
    assert metadata.text == "A heron\nseen at dawn"
    assert metadata.keywords == ("birds", "dawn")
    assert metadata.creator == "Ann, Ben"
    assert metadata.licence == "public-domain"
    assert metadata.place == pytest.approx((-33.858667, 151.214167), abs=1e-6)
    assert metadata.taken == datetime(2020, 2, 3, 6, 5, 4, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("north", "east"), [((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)), ((95.0, 0.0, 0.0), (10.0, 0.0, 0.0))]
)
def test_a_place_that_is_none(north: tuple[float, ...], east: tuple[float, ...]) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: north, 3: "E", 4: east})
    assert read_metadata(Blocks(exif=exif.tobytes())).place is None


def test_directories_that_name_themselves_end() -> None:
    loop = b"II*\0" + struct.pack("<IH", 8, 3)
    for tag in (0x8769, 0x8825, 0x014A):
        loop += struct.pack("<HHII", tag, 4, 1, 8)
    loop += struct.pack("<I", 8)
    assert read_metadata(Blocks(exif=loop)) == Metadata()


def test_text_fields_of_png_and_gif() -> None:
    info = PngInfo()
    for name, text in (
        ("Title", "A tower"), ("Author", "Dan Sample"), ("Comment", "Created with GIMP"),
        ("Copyright", "Creative Commons Attribution 4.0"), ("Creation Time", "2021-02-03"),
    ):  # fmt: skip
        info.add_text(name, text)
    hexes = resource(0x0404, IPTC).hex()
    info.add_text("Raw profile type iptc", f"\niptc\n{len(hexes) // 2:8d}\n{hexes}\n", zip=True)
    metadata = decode(encode(scene(), "PNG", pnginfo=info)).metadata
    assert metadata.title == "Mühle"
    assert metadata.text == "A mill by the river\nA tower"
    assert metadata.creator == "Cara Sample, Dan Sample"
    assert metadata.licence == "cc-by-sa-4.0"
    broken = PngInfo()
    broken.add_text("Raw profile type iptc", "\niptc\n 99999\nzz not hex")
    assert decode(encode(scene(), "PNG", pnginfo=broken)).metadata == Metadata()
    spoken = decode(encode(scene(), "GIF", comment=b"Two herons at dawn")).metadata
    assert spoken.text == "Two herons at dawn"
    assert decode(encode(scene(), "JPEG", comment=b"CREATOR: gd-jpeg v1.0")).metadata.text == ""


@pytest.mark.parametrize(
    ("statement", "licence"),
    [
        ("Creative Commons Attribution-ShareAlike 4.0 International", "cc-by-sa-4.0"),
        ("Creative Commons Attribution-NonCommercial-NoDerivs 2.0", "cc-by-nc-nd-2.0"),
        ("see https://creativecommons.org/publicdomain/zero/1.0/deed.en.", "cc0"),
        ("http://creativecommons.org/licenses/by/2.5/", "cc-by-2.5"),
        ("https://creativecommons.org/licenses/by-nc", "cc-by-nc"),
        ("http://creativecommons.org/licenses/publicdomain/", "public-domain"),
        ("© A. All Rights Reserved.", "all-rights-reserved"),
        ("This work is in the public domain", "public-domain"),
        ("This is not in the public domain", "unknown"),
        ("http://ns.useplus.org/ldf/vocab/CS-PUB", "public-domain"),
        ("© 2010 Someone", "unknown"),
        ("https://example.org/licence", "unknown"),
        ("", "unknown"),
    ],
)
def test_licences_named_in_sentences(statement: str, licence: str) -> None:
    assert find_licence(statement) == licence


def test_where_a_picture_was_taken_is_dropped_unless_asked_for() -> None:
    data = encode(scene(), "JPEG", xmp=FULL.encode())
    facts = examine(data, plan=ExaminePlan()).facts
    assert facts.place is None
    assert "Paris" not in facts.keywords
    assert facts.embedded_title == "A heron"
    assert facts.creator == "Ann Sample, Ben Sample"
    assert facts.licence == "cc-by-nc-3.0"
    kept = examine(data, plan=ExaminePlan(is_keeping_place=True)).facts
    assert kept.place == pytest.approx((48.858333, -2.294444), abs=1e-6)
    assert kept.keywords[-1] == "Paris"


@settings(max_examples=150)
@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=300))
def test_any_blocks_give_metadata(exif: bytes, packets: bytes, resources: bytes) -> None:
    read_metadata(Blocks(exif=b"II*\0" + exif, xmp=(packets,), iptc=b"\x1c\x02" + resources))
    read_metadata(Blocks(photoshop=b"8BIM\x04\x04" + resources, xmp=(b"<a>" + packets,)))


@settings(max_examples=150)
@given(st.integers(0, len(FULL) - 1), st.text(max_size=6), st.integers(0, 40))
def test_damaged_packets_give_metadata(place: int, patch: str, cut: int) -> None:
    said = read_xmp((FULL[:place] + patch + FULL[place + cut :]).encode("utf-8", "replace"))
    assert all(len(text) <= 8000 for text in said.captions)


@settings(max_examples=100)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=6))
def test_damaged_positions_give_metadata(place: int, patch: bytes) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (4.0, 5.0, 6.0)})
    block = bytearray(exif.tobytes() + exif_block(t010E="words"))
    block[place : place + len(patch)] = patch
    found = read_metadata(Blocks(exif=bytes(block))).place
    assert found is None or (-90 <= found[0] <= 90 and -180 <= found[1] <= 180)
