"""Pictures made by code, in every format, for the tests of imaging."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache

import numpy as np
import pillow_heif
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 96, 64


@cache
def scene() -> Image.Image:
    """Return an RGB picture whose corners differ: red, green, blue, white, on a soft ground."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    ground = np.stack((60 + x, 90 + y, 120 + (x + y) // 2), axis=-1).astype(np.uint8)
    image = Image.fromarray(ground)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 31, 23), fill=(220, 20, 20))
    draw.rectangle((64, 0, 95, 23), fill=(20, 160, 40))
    draw.rectangle((0, 40, 31, 63), fill=(20, 40, 220))
    draw.rectangle((64, 40, 95, 63), fill=(250, 250, 250))
    return image


def encode(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    if format == "HEIF":
        pillow_heif.from_pillow(image).save(buffer, quality=90)
    else:
        image.save(buffer, format, **options)
    return buffer.getvalue()


@cache
def files() -> dict[str, bytes]:
    """Return one valid file a format."""
    image = scene()
    return {
        "jpeg": encode(image, "JPEG", quality=92, subsampling=0),
        "png": encode(image, "PNG"),
        "webp": encode(image, "WEBP", quality=95),
        "gif": encode(image, "GIF"),
        "bmp": encode(image, "BMP"),
        "tiff": encode(image, "TIFF", compression="tiff_lzw"),
        "avif": encode(image, "AVIF", quality=90, speed=9),
        "heic": encode(image, "HEIF"),
    }


def frames(format: str, count: int = 3) -> bytes:
    """Return an animation whose first frame is blank."""
    rest = [Image.new("RGB", (40, 30), (10 * i, 200 - 30 * i, 90)) for i in range(1, count)]
    for i, frame in enumerate(rest):
        ImageDraw.Draw(frame).rectangle((i, 4, i + 12, 20), fill=(250, 240, 30))
    first = Image.new("RGB", (40, 30), (255, 255, 255))
    return encode(first, format, save_all=True, append_images=rest, duration=50, loop=0)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def png_of(width: int, height: int, *, extra: bytes = b"", is_filled: bool = True) -> bytes:
    """Return a grey PNG of that size, black all over, its rows compressed piece by piece."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = b"\0" * (width + 1)
    body = b"".join(packer.compress(row) for _ in range(height)) if is_filled else b""
    body += packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + extra
        + png_chunk(b"IDAT", body)
        + png_chunk(b"IEND", b"")
    )


def exif_block(**tags: object) -> bytes:
    """Return an EXIF block with the given tags (by number in hexadecimal, `t0112=6`)."""
    exif = Image.Exif()
    inner = exif.get_ifd(0x8769)
    for name, value in tags.items():
        number = int(name[1:], 16)
        (inner if number >= 0x9000 and number < 0x9C00 else exif)[number] = value
    return exif.tobytes()
