"""Walk the containers of picture files: where a picture ends, how many frames, what is beside it.

Nothing here decodes pixels. Every walk is bounded by the bytes at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lookalike.imaging.formats import Format

_EXIF_MARK: Final = b"Exif\0\0"
_XMP_MARK: Final = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_MORE_MARK: Final = b"http://ns.adobe.com/xmp/extension/\0"
_XMP_MORE_HEAD: Final = 40
"""A digest of 32 hex digits, the whole length and this part's offset."""

_PHOTOSHOP_MARK: Final = b"Photoshop 3.0\0"
_ICC_MARK: Final = b"ICC_PROFILE\0"
_EOI: Final = b"\xff\xd9"
_STANDALONE: Final = frozenset((0x01, *range(0xD0, 0xD9)))
_FRAME_STARTS: Final = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB))
_PROGRESSIVE: Final = frozenset((0xC2, 0xC6, 0xCA))
_SOS: Final = 0xDA
_APP0: Final = 0xE0
_APP1: Final = 0xE1
_APP2: Final = 0xE2
_APP13: Final = 0xED
_APP14: Final = 0xEE
_COMMENT: Final = 0xFE
_DEFLATE_MAX_RATIO: Final = 1032
"""A deflate stream cannot expand further (zlib's technical details)."""


@dataclass(frozen=True, slots=True)
class JpegParts:
    """A JPEG taken apart: `clean` is the same picture without metadata segments.

    `xmp_more` is the part of XMP that did not fit its segment, `photoshop` image resources.
    `is_whole_alone` tells that the clean bytes end with this picture's end marker, nothing after.
    """

    clean: bytes
    exif: bytes = b""
    xmp: bytes = b""
    xmp_more: bytes = b""
    photoshop: bytes = b""
    comment: bytes = b""
    icc: bytes = b""
    width: int = 0
    height: int = 0
    components: int = 0
    scan_start: int = 0
    is_progressive: bool = False
    is_whole_alone: bool = False


def split_jpeg(data: bytes) -> JpegParts | None:
    """Split a JPEG into picture and metadata; None when its segments make no sense."""
    kept = [data[:2]]
    found = _Segments()
    frame = (0, 0, 0, False)
    at, end = 2, len(data)
    while at + 4 <= end:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _SOS:
            break
        stop = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if stop > end or stop < at + 4:
            return None
        if marker in _FRAME_STARTS:
            frame = _read_frame(data, at, is_progressive=marker in _PROGRESSIVE)
        if marker in {_APP0, _APP14} or marker < _APP0:
            kept.append(data[at:stop])
        else:
            found.note(data[at + 4 : stop], marker)
        at = stop
    else:
        return None
    kept.append(data[at:])
    width, height, components, is_progressive = frame
    return JpegParts(
        clean=b"".join(kept),
        exif=found.first.get(_EXIF_MARK, b""),
        xmp=found.first.get(_XMP_MARK, b""),
        xmp_more=found.xmp_more(),
        photoshop=b"".join(found.photoshop),
        comment=found.comment,
        icc=b"".join(part[2:] for part in sorted(found.icc)),
        width=width,
        height=height,
        components=components,
        scan_start=at,
        is_progressive=is_progressive,
        is_whole_alone=not is_progressive and data.find(_EOI, at) == end - 2,
    )


def _read_frame(data: bytes, at: int, *, is_progressive: bool) -> tuple[int, int, int, bool]:
    """Return width, height, components of a start-of-frame segment."""
    if at + 10 > len(data):
        return (0, 0, 0, is_progressive)
    height = int.from_bytes(data[at + 5 : at + 7], "big")
    width = int.from_bytes(data[at + 7 : at + 9], "big")
    return (width, height, data[at + 9], is_progressive)


class _Segments:
    """The metadata segments of one JPEG."""

    def __init__(self) -> None:
        self.first: dict[bytes, bytes] = {}
        self.icc: list[bytes] = []
        self.photoshop: list[bytes] = []
        self.comment = b""
        self._more: dict[bytes, list[tuple[int, bytes]]] = {}

    def note(self, payload: bytes, marker: int) -> None:
        if marker == _APP1:
            for mark in (_EXIF_MARK, _XMP_MARK):
                if payload.startswith(mark):
                    self.first.setdefault(mark, payload[len(mark) :])
            if payload.startswith(_XMP_MORE_MARK):
                part = payload[len(_XMP_MORE_MARK) :]
                place = int.from_bytes(part[36:_XMP_MORE_HEAD], "big")
                self._more.setdefault(part[:32], []).append((place, part[_XMP_MORE_HEAD:]))
        elif marker == _APP2 and payload.startswith(_ICC_MARK):
            self.icc.append(payload[len(_ICC_MARK) :])
        elif marker == _APP13 and payload.startswith(_PHOTOSHOP_MARK):
            self.photoshop.append(payload[len(_PHOTOSHOP_MARK) :])
        elif marker == _COMMENT:
            self.comment = self.comment or payload

    def xmp_more(self) -> bytes:
        """Return the parts of the extension that the main packet names, in their order."""
        for digest, parts in self._more.items():
            if digest in self.first.get(_XMP_MARK, b""):
                return b"".join(body for _, body in sorted(parts))
        return b""


@dataclass(frozen=True, slots=True)
class GifFrames:
    """Frames of a GIF, counted no further than asked, and whether the last one is cut."""

    count: int
    is_cut: bool


def count_gif_frames(data: bytes, *, at_most: int) -> GifFrames:
    """Count the image blocks of a GIF without decoding them."""
    end = len(data)
    if end < 13:
        return GifFrames(0, is_cut=True)
    at = 13 + _colour_table_bytes(data[10])
    count = 0
    while at < end and count <= at_most:
        introducer = data[at]
        if introducer == 0x3B:
            return GifFrames(count, is_cut=False)
        if introducer == 0x2C:
            if at + 10 > end:
                return GifFrames(count, is_cut=True)
            start = at + 11 + _colour_table_bytes(data[at + 9])
            count += 1
        elif introducer == 0x21:
            start = at + 2
        else:
            at += 1
            continue
        at = _skip_sub_blocks(data, start)
        if at < 0:
            return GifFrames(count, is_cut=True)
    return GifFrames(count, is_cut=count == 0)


def _colour_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_sub_blocks(data: bytes, at: int) -> int:
    """Return the position after a chain of sub-blocks, -1 when the data ends inside it."""
    end = len(data)
    while at < end:
        length = data[at]
        at += 1 + length
        if length == 0:
            return at
    return -1


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Read a WebP's width and height from its first chunk, None when that is damaged."""
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        width = 1 + int.from_bytes(body[4:7], "little")
        return width, 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width = int.from_bytes(body[6:8], "little") & 0x3FFF
        return width, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None


def is_truncated(data: bytes, format: Format) -> bool:
    """Tell whether the file ends before its container says that it does."""
    if format == "jpeg":
        return _jpeg_is_cut(data)
    if format == "png":
        return _png_is_cut(data)
    if format == "gif":
        return count_gif_frames(data, at_most=100_000).is_cut
    if format == "webp":
        declared = int.from_bytes(data[4:8], "little") + 8
        return len(data) < declared - 1
    if format in {"avif", "heic"}:
        return _boxes_are_cut(data)
    if format == "bmp":
        declared = int.from_bytes(data[2:6], "little")
        return len(data) < max(declared, 54)
    return len(data) < 64 or _tiff_is_cut(data)


def _jpeg_is_cut(data: bytes) -> bool:
    """Tell whether the end marker is missing after the scan's start (a thumbnail has its own)."""
    parts = split_jpeg(data)
    return data.find(_EOI, parts.scan_start if parts else 2) < 0


def _png_is_cut(data: bytes) -> bool:
    at, end = 8, len(data)
    while at + 12 <= end:
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IEND":
            return False
        at += 12 + length
    return True


def _boxes_are_cut(data: bytes) -> bool:
    at, end = 0, len(data)
    while at + 8 <= end:
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1 and at + 16 <= end:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:
            return False
        if size < 8:
            return False
        at += size
    return at > end or at == 0


def _tiff_is_cut(data: bytes) -> bool:
    """Tell whether the first directory lies outside the file or its strips run past the end."""
    order = "little" if data[:2] == b"II" else "big"
    if data[2:4] in {b"+\0", b"\0+"}:
        return False
    start = int.from_bytes(data[4:8], order)
    if start + 2 > len(data):
        return True
    count = int.from_bytes(data[start : start + 2], order)
    if start + 2 + 12 * count > len(data):
        return True
    spans = {273: 0, 279: 0, 324: 0, 325: 0}
    for at in range(start + 2, start + 2 + 12 * min(count, 512), 12):
        tag = int.from_bytes(data[at : at + 2], order)
        if tag in spans:
            spans[tag] = _last_number(data, at, order)
            if spans[tag] < 0:
                return True
    return max(spans[273] + spans[279], spans[324] + spans[325]) > len(data)


def _last_number(data: bytes, at: int, order: str) -> int:
    """Return the last number of a TIFF entry, -1 when it lies outside the data."""
    is_big = "little" if order == "little" else "big"
    kind = int.from_bytes(data[at + 2 : at + 4], is_big)
    count = int.from_bytes(data[at + 4 : at + 8], is_big)
    width = 2 if kind == 3 else 4
    if count * width <= 4:
        place = at + 8 + width * max(count - 1, 0)
    else:
        place = int.from_bytes(data[at + 8 : at + 12], is_big) + width * (count - 1)
    if place + width > len(data):
        return -1
    return int.from_bytes(data[place : place + width], is_big)


def cannot_hold(data: bytes, format: Format, pixels: int) -> bool:
    """Tell whether the file is too short for that many pixels, whatever they are.

    Keeps a header of a few bytes from reserving gigabytes.
    """
    if format == "png":
        bits = data[24] if len(data) > 24 else 8
        return pixels * min(bits, 8) // 8 > (len(data) + 1) * _DEFLATE_MAX_RATIO
    if format == "bmp":
        compression = int.from_bytes(data[30:34], "little") if data[14] >= 40 else 0
        bits = int.from_bytes(data[28:30], "little") if data[14] >= 40 else 1
        return compression in {0, 3} and pixels * bits // 8 > len(data)
    return False
