"""Decoding: every format, mode and orientation; every refusal by its name."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from lookalike.domain import reasons
from lookalike.domain.errors import ImageError
from lookalike.imaging.decode import DecodeLimits, Picture, decode
from tests.unit.imaging import pictures
from tests.unit.imaging.pictures import HEIGHT, WIDTH, encode, scene

SVG = (
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
)


def refusal(data: bytes, **limits: int) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, limits=DecodeLimits(**limits))
    assert caught.value.reason in reasons.MEANING
    return caught.value.reason


def difference(picture: Picture, wanted: Image.Image) -> float:
    got = np.asarray(picture.pixels, dtype=np.float64)
    return float(np.abs(got - np.asarray(wanted, dtype=np.float64)).mean())


@pytest.mark.parametrize("format", sorted(pictures.files()))
def test_every_format_decodes_to_the_same_picture(format: str) -> None:
    picture = decode(pictures.files()[format])
    assert (picture.format, picture.width, picture.height) == (format, WIDTH, HEIGHT)
    assert picture.pixels.mode == "RGB"
    assert picture.frames == 1
    assert not picture.is_animated
    assert not picture.is_transparent
    assert difference(picture, scene()) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_all_orientations_are_set_upright(format: str, orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = scene().transpose(undo[orientation]) if orientation > 1 else scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(encode(stored, format, exif=exif))
    assert (picture.width, picture.height) == (WIDTH, HEIGHT)
    assert picture.pixels.size == (WIDTH, HEIGHT)
    assert difference(picture, scene()) < 9


def test_a_mislabelled_file_is_decoded_by_its_content() -> None:
    assert decode(pictures.files()["png"]).format == "png"


def test_a_profile_is_converted_to_srgb() -> None:
    linear = swapped_profile()
    plain = decode(encode(scene(), "PNG"))
    converted = decode(encode(scene(), "PNG", icc_profile=linear))
    assert difference(converted, plain.pixels) > 2
    named = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert difference(decode(encode(scene(), "JPEG", icc_profile=named, quality=95)), scene()) < 4


def swapped_profile() -> bytes:
    """Return an RGB profile that is not sRGB: its red and blue primaries change places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {}
    for i in range(int.from_bytes(profile[128:132], "big")):
        at = 132 + 12 * i
        tags[bytes(profile[at : at + 4])] = at
    for name in (b"rXYZ", b"bXYZ"):
        assert name in tags
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    profile[red + 4 : red + 12], profile[blue + 4 : blue + 12] = (
        profile[blue + 4 : blue + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile).replace(b"s\0R\0G\0B", b"x\0X\0X\0X").replace(b"sRGB", b"xXXX")


@pytest.mark.parametrize("profile", [b"junk", b"\0" * 200, swapped_profile()[:300]])
def test_a_broken_profile_is_ignored(profile: bytes) -> None:
    assert difference(decode(encode(scene(), "PNG", icc_profile=profile)), scene()) < 1


def test_cmyk_comes_out_in_its_true_colours() -> None:
    picture = decode(encode(scene().convert("CMYK"), "JPEG", quality=95))
    assert difference(picture, scene()) < 6
    assert difference(decode(encode(scene().convert("CMYK"), "TIFF")), scene()) < 6


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint16)
    for format in ("PNG", "TIFF"):
        got = np.asarray(decode(encode(Image.fromarray(ramp), format)).pixels)[..., 0]
        assert np.abs(got.astype(int) - (ramp >> 8)).max() <= 1


@pytest.mark.parametrize("high", [1.0, 1000.0])
def test_float_tiffs_are_stretched_over_their_range(high: float) -> None:
    ramp = np.linspace(0, high, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    ramp[0, 0] = np.nan
    got = np.asarray(decode(encode(Image.fromarray(ramp), "TIFF")).pixels)
    assert got.min() == 0
    assert got.max() == 255


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "I", "YCbCr", "LAB"])
def test_every_mode_comes_out_as_rgb(mode: str) -> None:
    image = scene().convert("L").convert(mode) if mode in {"I;16", "I"} else None
    if mode == "LAB":
        image = Image.new("LAB", (WIDTH, HEIGHT), (128, 128, 128))
    image = image or scene().convert(mode)
    format = "TIFF" if mode in {"YCbCr", "LAB", "I"} else "PNG"
    picture = decode(encode(image, format))
    assert picture.pixels.mode == "RGB"
    assert not picture.is_transparent


@pytest.mark.parametrize(("format", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("WEBP", "RGBA")])
def test_transparency_lies_on_white(format: str, mode: str) -> None:
    image = scene().convert(mode)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 40, 30))
    image.putalpha(alpha)
    picture = decode(encode(image, format))
    assert picture.is_transparent
    assert picture.alpha is not None
    assert picture.alpha.size == picture.pixels.size
    assert min(picture.pixels.getpixel((3, 3))) >= 250


def test_a_palette_with_transparency() -> None:
    image = scene().quantize(16)
    data = encode(image, "PNG", transparency=image.getpixel((2, 2)))
    picture = decode(data)
    assert picture.is_transparent
    assert min(picture.pixels.getpixel((2, 2))) >= 250


def test_an_opaque_alpha_channel_is_not_transparency() -> None:
    assert not decode(encode(scene().convert("RGBA"), "PNG")).is_transparent


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_an_animation_shows_its_first_telling_frame(format: str) -> None:
    picture = decode(pictures.frames(format))
    assert picture.is_animated
    assert picture.frames == 3
    assert np.asarray(picture.pixels).std() > 5


def test_pages_are_not_an_animation() -> None:
    pages = encode(scene(), "TIFF", save_all=True, append_images=[scene(), scene()])
    picture = decode(pages)
    assert picture.frames == 3
    assert not picture.is_animated


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("format", sorted(pictures.files()))
def test_a_truncated_file_is_named_so(format: str, share: float) -> None:
    data = pictures.files()[format]
    end = min(max(int(len(data) * share), 5), len(data) - 24)  # a PNG's last 16 bytes hold no pixel
    assert refusal(data[:end]) == reasons.TRUNCATED


def test_a_truncated_progressive_jpeg() -> None:
    big = scene().resize((400, 300))
    data = encode(big, "JPEG", progressive=True)
    assert refusal(data[: len(data) // 2]) == reasons.TRUNCATED
    assert decode(data).width == 400


def test_a_damaged_file_is_corrupt_not_truncated() -> None:
    data = bytearray(pictures.files()["png"])
    at = data.index(b"IDAT") + 12
    data[at : at + 20] = b"\xff" * 20
    assert refusal(bytes(data)) == reasons.CORRUPT


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", reasons.EMPTY),
        (b"hello, this is a text file\n" * 20, reasons.NOT_AN_IMAGE),
        (b"<!doctype html><html><body><svg></svg></body></html>", reasons.NOT_AN_IMAGE),
        (b"BMW is a make of cars, and this no bitmap at all, though it begins so", "not-an-image"),
        (SVG, reasons.UNSUPPORTED),
        (b"\xef\xbb\xbf <!-- note --> " + SVG[21:], reasons.UNSUPPORTED),
        (SVG.decode().encode("utf-16"), reasons.UNSUPPORTED),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", reasons.UNSUPPORTED),
        (b"8BPS\0\1" + bytes(40), reasons.UNSUPPORTED),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), reasons.UNSUPPORTED),
        (b"\xff\x0a" + bytes(40), reasons.UNSUPPORTED),
        (b"P6\n2 2\n255\n" + bytes(12), reasons.UNSUPPORTED),
        (b"\0\0\0\x18ftypmp42" + bytes(40), reasons.NOT_AN_IMAGE),
        (b"\0\0\0\x18ftypcrx " + bytes(40), reasons.UNSUPPORTED),
        (bytes(1000), reasons.NOT_AN_IMAGE),
    ],
)
def test_what_is_no_picture_is_refused_by_name(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


def test_a_camera_raw_in_tiff_clothes_is_unsupported() -> None:
    data = encode(scene(), "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    assert refusal(data) == reasons.UNSUPPORTED


def test_bounds_on_bytes_sides_and_pixels() -> None:
    data = pictures.files()["jpeg"]
    assert refusal(data, max_bytes=100) == reasons.TOO_MANY_BYTES
    assert refusal(data, min_side=65) == reasons.TOO_SMALL
    assert refusal(data, max_pixels=WIDTH * HEIGHT - 1) == reasons.TOO_MANY_PIXELS
    assert refusal(data, max_memory_bytes=WIDTH * HEIGHT) == reasons.TOO_MANY_PIXELS


def test_a_header_that_claims_too_much_is_refused_before_decoding() -> None:
    started = time.process_time()
    assert refusal(pictures.png_of(60_000, 60_000, is_filled=False)) == reasons.TOO_MANY_PIXELS
    assert refusal(pictures.png_of(15_000, 15_000, is_filled=False)) == reasons.CORRUPT
    bmp = bytearray(pictures.files()["bmp"])
    bmp[18:26] = (15_000).to_bytes(4, "little") * 2
    assert refusal(bytes(bmp)) in {reasons.CORRUPT, reasons.TRUNCATED}
    webp = bytearray(encode(scene().convert("RGBA"), "WEBP", exif=b"x" * 8))
    assert webp[12:16] == b"VP8X"
    webp[24:30] = b"\xfe\x3f\0" * 2
    assert refusal(bytes(webp), max_pixels=10**8) == reasons.TOO_MANY_PIXELS
    assert time.process_time() - started < 2


def test_a_text_chunk_that_inflates_without_end_is_refused() -> None:
    body = b"Title\0\0" + zlib.compress(b"a" * 80_000_000, 9)
    bomb = pictures.png_of(64, 64, extra=pictures.png_chunk(b"zTXt", body))
    started = time.process_time()
    assert refusal(bomb) == reasons.CORRUPT
    assert time.process_time() - started < 2


def test_a_frame_bomb_is_refused() -> None:
    data = encode(Image.new("P", (16, 16)), "GIF")
    frame = b"\x2c" + bytes(4) + b"\x10\0\x10\0\0" + b"\x08\x01\x00\x00"
    bomb = data[:-1] + frame * 6000 + b";"
    assert refusal(bomb) == reasons.TOO_MANY_PIXELS


def peak_mib(file: Path) -> int:
    """Decode in a process of its own and return by how much its peak memory rose."""
    code = (
        "import sys, resource\n"
        "from lookalike.imaging.decode import decode\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "picture = decode(data, shrink_to=260)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert (picture.width, picture.height) == (12000, 9000)\n"
        "assert 260 <= min(picture.pixels.size) < 1200, picture.pixels.size\n"
        "sys.stdout.write(str((after - before) // 1024))\n"
    )
    path = os.pathsep.join(filter(None, ["src", os.environ.get("PYTHONPATH", "")]))
    run = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    return int(run.stdout)


def test_a_hundred_megapixel_jpeg_shrinks_on_load(tmp_path: Path) -> None:
    file = tmp_path / "big.jpg"
    Image.new("L", (12_000, 9_000), 90).save(file)
    assert peak_mib(file) < 100


def test_a_hundred_megapixel_png_stays_inside_the_bound_on_memory(tmp_path: Path) -> None:
    data = pictures.png_of(12_000, 9_000)
    assert len(data) < 300_000
    assert refusal(data, max_memory_bytes=100_000_000) == reasons.TOO_MANY_PIXELS
    file = tmp_path / "big.png"
    file.write_bytes(data)
    assert peak_mib(file) < 400


@pytest.fixture(autouse=True)
def _no_leaking_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_shrinking_keeps_both_sides() -> None:
    data = encode(scene().resize((1000, 700)), "JPEG")
    for target in (100, 260, 349, 350, 699):
        picture = decode(data, shrink_to=target)
        assert min(picture.pixels.size) >= target
        assert (picture.width, picture.height) == (1000, 700)
        assert min(picture.pixels.size) < 2 * target or target > 350


@pytest.mark.parametrize("mode", ["1", "P", "L", "RGBA", "I;16"])
def test_every_mode_shrinks_after_decoding(mode: str) -> None:
    image = scene().resize((600, 400))
    image = Image.new("I;16", image.size, 30_000) if mode == "I;16" else image.convert(mode)
    picture = decode(encode(image, "PNG"), shrink_to=100)
    assert (picture.width, picture.height) == (600, 400)
    assert picture.pixels.size == ((600, 400) if mode == "I;16" else (150, 100))


@settings(max_examples=150, deadline=10_000)
@given(data=st.binary(max_size=300))
def test_any_bytes_decode_or_raise_our_error(data: bytes) -> None:
    _decode_or_refuse(data)


@settings(max_examples=400, deadline=10_000)
@given(
    format=st.sampled_from(sorted(pictures.files())),
    edits=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=6)),
        min_size=1,
        max_size=6,
    ),
    head=st.booleans(),
    cut=st.floats(0.02, 1),
)
def test_damaged_files_decode_or_raise_our_error(
    format: str, edits: list[tuple[float, bytes]], head: bool, cut: float
) -> None:
    data = bytearray(pictures.files()[format])
    span = min(len(data), 256) if head else len(data)
    for place, patch in edits:
        at = int(place * span)
        data[at : at + len(patch)] = patch
    _decode_or_refuse(bytes(data[: max(1, int(len(data) * cut))]))


def _decode_or_refuse(data: bytes) -> None:
    picture = None
    with contextlib.suppress(ImageError):
        picture = decode(data, limits=DecodeLimits(max_pixels=20_000_000), shrink_to=64)
    if picture is not None:
        assert picture.pixels.mode == "RGB"
        assert picture.alpha is None or picture.alpha.size == picture.pixels.size
