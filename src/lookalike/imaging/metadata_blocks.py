"""Find the metadata blocks of a file of each format, for `metadata.read_metadata`."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Final

from lookalike.imaging.metadata import Blocks
from lookalike.imaging.metadata_statements import (
    MAX_PACKET_BYTES,
    PLAIN_DATE,
    Moment,
    Statements,
    decode_text,
)

if TYPE_CHECKING:
    from PIL import Image

    from lookalike.imaging.containers import JpegParts
    from lookalike.imaging.formats import Format

_GIF_XMP: Final = b"\x21\xff\x0bXMP DataXMP"
_GIF_XMP_TAIL: Final = 258
"""A GIF reader that knows no XMP skips it by this ramp of bytes, which ends the packet."""

_PNG_RAW: Final = re.compile(r"\s*\w+\s+(\d{1,9})\s")
_IPTC_PREFIX: Final = b"Photoshop 3.0\0"
_MAX_COMMENT_BYTES: Final = 8000


def jpeg_blocks(parts: JpegParts) -> Blocks:
    """Return the blocks of a JPEG that was taken apart."""
    comment = _comment(parts.comment)
    return Blocks(
        exif=parts.exif,
        xmp=(parts.xmp, parts.xmp_more) if parts.xmp or parts.xmp_more else (),
        photoshop=parts.photoshop,
        plain=Statements(captions=[comment]) if comment else None,
    )


def blocks_of(image: Image.Image, data: bytes, format: Format) -> Blocks:
    """Return the blocks of a loaded picture of any other format; `data` is the whole file."""
    info = image.info
    if format == "tiff":
        return Blocks(exif=data)
    if format == "gif":
        comment = _comment(info.get("comment"))
        return Blocks(
            xmp=(_gif_xmp(data),),
            plain=Statements(captions=[comment]) if comment else None,
        )
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or _png_raw(info, "xmp")
    exif = info.get("exif") or _png_raw(info, "exif") or _png_raw(info, "APP1")
    photoshop = _png_raw(info, "8bim")
    iptc = _png_raw(info, "iptc")
    if iptc[:4] == b"8BIM" or iptc.startswith(_IPTC_PREFIX):
        photoshop, iptc = photoshop or iptc.removeprefix(_IPTC_PREFIX), b""
    return Blocks(
        exif=exif if isinstance(exif, bytes) else b"",
        xmp=(xmp.encode() if isinstance(xmp, str) else xmp,)
        if isinstance(xmp, (str, bytes))
        else (),
        photoshop=photoshop,
        iptc=iptc,
        plain=_png_words(info) if format == "png" else None,
    )


def _comment(value: object) -> str:
    """Decode a comment; what no person writes (one word, a number) is dropped."""
    if not isinstance(value, bytes):
        return ""
    text = decode_text(value[:_MAX_COMMENT_BYTES]).strip("\0 \r\n")
    return text if " " in text and any(letter.isalpha() for letter in text) else ""


def _png_words(info: dict[str | tuple[int, int], object]) -> Statements:
    """Read the text chunks whose names PNG's specification registers."""

    def words(*names: str) -> list[str]:
        return [str(value) for name in names if isinstance(value := info.get(name), str) and value]

    return Statements(
        titles=words("Title"),
        captions=words("Description", "Comment"),
        keywords=words("Keywords"),
        creators=words("Author", "Artist"),
        rights=words("Copyright", "License", "Disclaimer"),
        moments=[Moment(PLAIN_DATE, text) for text in words("Creation Time")],
    )


def _png_raw(info: dict[str | tuple[int, int], object], kind: str) -> bytes:
    """Decode ImageMagick's way of putting a block into a text chunk: a length, then hex."""
    text = info.get(f"Raw profile type {kind}", "")
    if not isinstance(text, str) or not (head := _PNG_RAW.match(text)):
        return b""
    digits = re.sub(r"\s+", "", text[head.end() : head.end() + 3 * MAX_PACKET_BYTES])
    try:
        return binascii.unhexlify(digits[: len(digits) & ~1])
    except (binascii.Error, ValueError):
        return b""


def _gif_xmp(data: bytes) -> bytes:
    """Return a GIF's packet, which stands bare in an application block before its ramp."""
    at = data.find(_GIF_XMP)
    if at < 0:
        return b""
    start = at + len(_GIF_XMP)
    packet = data[start : start + MAX_PACKET_BYTES + _GIF_XMP_TAIL]
    end = packet.find(b"\x01\xff\xfe\xfd")
    return packet[: end if end >= 0 else len(packet)]
