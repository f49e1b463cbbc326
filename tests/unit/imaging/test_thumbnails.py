"""Thumbnails: bounded, cheap, without metadata."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from lookalike.imaging.decode import decode
from lookalike.imaging.thumbnails import THUMBNAIL_SIDE, shrink, thumbnail
from tests.unit.imaging.pictures import encode, exif_block, scene


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("size", [(500, 375), (321, 200), (2000, 30), (30, 2000), (1000, 1000)])
def test_the_longest_side_is_bounded(size: tuple[int, int]) -> None:
    small = shrink(scene().resize(size), THUMBNAIL_SIDE)
    assert 0.6 * THUMBNAIL_SIDE - 1 <= max(small.size) <= THUMBNAIL_SIDE
    assert min(small.size) >= 1


def test_a_small_jpeg_is_passed_on_without_its_metadata() -> None:
    exif = exif_block(t010E="SECRET PLACE")
    data = encode(scene(), "JPEG", quality=70, exif=exif, comment=b"SECRET NOTE")
    small = thumbnail(decode(data))
    assert b"SECRET" in data
    assert b"SECRET" not in small
    assert len(small) < len(data)
    assert opened(small).tobytes() == opened(data).tobytes()


@pytest.mark.parametrize("tail", [b"hidden behind", b"\xff\xd8 a second one \xff\xd9"])
def test_what_follows_the_picture_is_not_passed_on(tail: bytes) -> None:
    assert tail not in thumbnail(decode(encode(scene(), "JPEG") + tail))


def test_a_turned_jpeg_is_encoded_upright() -> None:
    data = encode(scene(), "JPEG", exif=exif_block(t0112=6))
    assert opened(thumbnail(decode(data))).size == (64, 96)


def test_transparent_parts_are_white() -> None:
    image = Image.new("RGBA", (600, 600), (0, 0, 0, 0))
    small = opened(thumbnail(decode(encode(image, "PNG"))))
    assert small.format == "JPEG"
    assert min(small.convert("RGB").getpixel((5, 5))) > 250
