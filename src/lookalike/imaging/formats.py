"""Tell a picture's format from its first bytes; names and extensions are never trusted."""

from __future__ import annotations

import zlib
from typing import Final, Literal, TypeAlias

from lookalike.domain import reasons
from lookalike.domain.errors import ImageError

Format: TypeAlias = Literal["jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "heic"]

FORMATS: Final[tuple[Format, ...]] = (
    "jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "heic",
)  # fmt: skip

MIME_TYPES: Final[dict[Format, str]] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "heic": "image/heic",
}

_HEAD_BYTES: Final = 4096
_HINT: Final = "decoded formats: " + ", ".join(FORMATS)

_MAGIC: Final[tuple[tuple[bytes, Format], ...]] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
)

_UNSUPPORTED_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"8BPS", "Photoshop"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%PDF-", "PDF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\2\0", "CUR"),
    (b"icns", "ICNS"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"gimp xcf", "XCF"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"IIRO", "camera raw"),
    (b"IIRS", "camera raw"),
    (b"MMOR", "camera raw"),
    (b"IIU\0", "camera raw"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"/* XPM */", "XPM"),
)

_HEIC_BRANDS: Final = frozenset(
    (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
)
_AVIF_BRANDS: Final = frozenset((b"avif", b"avis"))
_PNM_KINDS: Final = b"1234567fF"


def sniff(data: bytes) -> Format:
    """Return the format of the bytes.

    Raises:
        ImageError: `empty-file`, `truncated` (a known format's first bytes, cut),
            `unsupported-format` or `not-an-image`.
    """
    if not data:
        raise ImageError(reasons.EMPTY, "the file is empty")
    for magic, name in _MAGIC:
        if data.startswith(magic):
            if data[8:10] == b"CR" and name == "tiff":
                raise _unsupported("camera raw")
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        return _sniff_ftyp(data)
    if _is_bmp(data):
        return "bmp"
    _refuse_known(data[:_HEAD_BYTES])
    if _is_cut_magic(data):
        raise ImageError(reasons.TRUNCATED, f"only {len(data)} bytes of a picture's header")
    raise ImageError(
        reasons.NOT_AN_IMAGE, "the bytes are not a picture of any known format", hint=_HINT
    )


def _unsupported(name: str) -> ImageError:
    return ImageError(reasons.UNSUPPORTED, f"{name} is not decoded", hint=_HINT)


def _sniff_ftyp(data: bytes) -> Format:
    """Read the brands of an ISO base media file (HEIF, AVIF, videos)."""
    end = min(max(int.from_bytes(data[:4], "big"), 16), 256)
    major = data[8:12]
    brands = {major} | {data[at : at + 4] for at in range(16, end, 4)}
    if major in _AVIF_BRANDS or (major in {b"mif1", b"msf1"} and brands & _AVIF_BRANDS):
        return "avif"
    if major in _HEIC_BRANDS:
        return "heic"
    if major == b"crx ":
        raise _unsupported("camera raw")
    raise ImageError(reasons.NOT_AN_IMAGE, "an ISO media file that holds no still picture")


def _is_bmp(data: bytes) -> bool:
    """Ask for a plausible header too, since two letters alone begin many texts."""
    known_header_sizes = (12, 16, 40, 52, 56, 64, 108, 124)
    return data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in known_header_sizes


def _refuse_known(head: bytes) -> None:
    """Raise `unsupported-format` when the bytes begin a known format that is not decoded."""
    for magic, name in _UNSUPPORTED_MAGIC:
        if head.startswith(magic):
            raise _unsupported(name)
    if head[:1] == b"P" and head[1:2] in _PNM_KINDS and head[2:3].isspace():
        raise _unsupported("Netpbm")
    if _is_svg(head):
        raise _unsupported("SVG")


def _is_svg(head: bytes) -> bool:
    """Look for an SVG root in the head, plain, UTF-16 or gzipped; nothing is parsed."""
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(31).decompress(head, _HEAD_BYTES)
        except zlib.error:
            return False
    text = head.replace(b"\0", b"").lower()
    root = text.find(b"<svg")
    if root < 0:
        return False
    before = text[:root].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return before[:1] in {b"", b"<"} and b"<html" not in before


def _is_cut_magic(data: bytes) -> bool:
    """Tell whether the whole of `data` is the beginning of a known format's first bytes."""
    if len(data) >= 18:
        return False
    if data[:2] == b"BM" or data[:4] == b"RIFF":
        return True
    return len(data) >= 2 and any(magic.startswith(data) for magic, _ in _MAGIC)
