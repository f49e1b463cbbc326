"""Read EXIF (a TIFF structure) by a small bounded reader; damaged entries are left out.

Only the first directory and the EXIF and GPS directories that it names are read, each once,
so that directories that name one another are no loop.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from lookalike.imaging.metadata_statements import (
    EXIF_CHANGED,
    EXIF_DIGITISED,
    EXIF_TAKEN,
    GPS_STAMP,
    MAX_PACKET_BYTES,
    Moment,
    Place,
    Statements,
    decode_text,
    valid_place,
)

_MAX_IFD_ENTRIES: Final = 512
_MAX_VALUE_BYTES: Final = 16 * 1024

_TAG_DESCRIPTION: Final = 0x010E
_TAG_ORIENTATION: Final = 0x0112
_TAG_CHANGED: Final = 0x0132
_TAG_ARTIST: Final = 0x013B
_TAG_XMP: Final = 0x02BC
_TAG_COPYRIGHT: Final = 0x8298
_TAG_IPTC: Final = 0x83BB
_TAG_PHOTOSHOP: Final = 0x8649
_TAG_EXIF_IFD: Final = 0x8769
_TAG_GPS_IFD: Final = 0x8825
_TAG_TAKEN: Final = 0x9003
_TAG_DIGITISED: Final = 0x9004
_TAG_COMMENT: Final = 0x9286
_TAG_XP_TITLE, _TAG_XP_COMMENT, _TAG_XP_AUTHOR = 0x9C9B, 0x9C9C, 0x9C9D
_TAG_XP_KEYWORDS, _TAG_XP_SUBJECT = 0x9C9E, 0x9C9F
_DATES: Final = (
    (_TAG_TAKEN, 0x9011, EXIF_TAKEN),
    (_TAG_DIGITISED, 0x9012, EXIF_DIGITISED),
    (_TAG_CHANGED, 0x9010, EXIF_CHANGED),
)
_WANTED: Final = frozenset((
    _TAG_DESCRIPTION, _TAG_ORIENTATION, _TAG_CHANGED, _TAG_ARTIST, _TAG_XMP, _TAG_COPYRIGHT,
    _TAG_IPTC, _TAG_PHOTOSHOP, _TAG_EXIF_IFD, _TAG_GPS_IFD, _TAG_TAKEN, _TAG_DIGITISED,
    _TAG_COMMENT, *range(_TAG_XP_TITLE, _TAG_XP_SUBJECT + 1), *range(0x9010, 0x9013),
))  # fmt: skip
_BLOCKS: Final = frozenset((_TAG_XMP, _TAG_IPTC, _TAG_PHOTOSHOP))
_GPS_LATITUDE, _GPS_LONGITUDE, _GPS_TIME, _GPS_DATE = 2, 4, 7, 29
_GPS_WANTED: Final = frozenset((1, _GPS_LATITUDE, 3, _GPS_LONGITUDE, _GPS_TIME, _GPS_DATE))
_TYPE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 13: 4}
_SHORT: Final = 3
_LONGS: Final = (4, 13)

_Tags: TypeAlias = dict[int, bytes | int]


@dataclass(slots=True)
class Exif:
    """What an EXIF block says, and the other blocks that lie in it; orientation is 1 to 8."""

    orientation: int = 1
    said: Statements = field(default_factory=Statements)
    xmp: bytes = b""
    iptc: bytes = b""
    photoshop: bytes = b""


class _Ifd(NamedTuple):
    """A TIFF directory's bytes, the byte order, where it begins, and the tags wanted of it."""

    data: bytes
    order: str
    offset: int
    wanted: frozenset[int] = _WANTED


def read_exif(block: bytes) -> Exif:
    """Read a TIFF structure, with or without its leading `Exif` mark; it may be damaged."""
    data = block[6:] if block.startswith(b"Exif\0\0") else block
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    is_big = data[2:4] in {b"+\0", b"\0+"}
    if order is None or is_big or len(data) < 8:
        return Exif()
    (first,) = struct.unpack_from(order + "I", data, 4)
    tags = _read_ifd(_Ifd(data, order, first))
    inner, gps = tags.get(_TAG_EXIF_IFD), tags.get(_TAG_GPS_IFD)
    if isinstance(inner, int):
        tags = _read_ifd(_Ifd(data, order, inner)) | tags
    said = _statements(tags, order)
    if isinstance(gps, int):
        _add_gps(said, _read_ifd(_Ifd(data, order, gps, _GPS_WANTED)), order)
    orientation = tags.get(_TAG_ORIENTATION, 1)
    is_valid = isinstance(orientation, int) and 1 <= orientation <= 8
    return Exif(
        orientation if is_valid and isinstance(orientation, int) else 1,
        said,
        _bytes(tags, _TAG_XMP),
        _bytes(tags, _TAG_IPTC),
        _bytes(tags, _TAG_PHOTOSHOP),
    )


def _statements(tags: _Tags, order: str) -> Statements:
    moments = [
        Moment(rank, text, _text(tags, offset))
        for tag, offset, rank in _DATES
        if (text := _text(tags, tag))
    ]
    return Statements(
        titles=_kept(_wide(tags, _TAG_XP_TITLE)),
        captions=_kept(
            _text(tags, _TAG_DESCRIPTION),
            _wide(tags, _TAG_XP_SUBJECT),
            _wide(tags, _TAG_XP_COMMENT),
            _comment(_bytes(tags, _TAG_COMMENT), order),
        ),
        keywords=_kept(*_wide(tags, _TAG_XP_KEYWORDS).split(";")),
        creators=_kept(*(_text(tags, _TAG_ARTIST) or _wide(tags, _TAG_XP_AUTHOR)).split(";")),
        rights=_kept(_text(tags, _TAG_COPYRIGHT)),
        moments=moments,
    )


def _kept(*texts: str) -> list[str]:
    return [text for text in texts if text]


def _read_ifd(ifd: _Ifd) -> _Tags:
    """Return tag to first number or to bytes, for the wanted tags that lie within the data."""
    data, order, offset, wanted = ifd
    if not 0 < offset <= len(data) - 2:
        return {}
    (count,) = struct.unpack_from(order + "H", data, offset)
    count = min(count, _MAX_IFD_ENTRIES, (len(data) - offset - 2) // 12)
    entry = struct.Struct(order + "HHI4s")
    tags: _Tags = {}
    for at in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, length, inline = entry.unpack_from(data, at)
        if tag in wanted and tag not in tags:
            limit = MAX_PACKET_BYTES if tag in _BLOCKS else _MAX_VALUE_BYTES
            value = _read_value(ifd, (kind, length, inline), limit)
            if value is not None:
                tags[tag] = value
    return tags


def _read_value(ifd: _Ifd, entry: tuple[int, int, bytes], limit: int) -> bytes | int | None:
    """Return one entry's value, None when its type is unknown or it lies outside the data."""
    kind, length, inline = entry
    if kind == _SHORT and length >= 1:
        return int(struct.unpack(ifd.order + "H", inline[:2])[0]) if length <= 2 else None
    if kind in _LONGS and length == 1:
        return int(struct.unpack(ifd.order + "I", inline)[0])
    size = _TYPE_BYTES.get(kind, 0) * length
    if size == 0:
        return None
    if size <= 4:
        return inline[:size]
    (start,) = struct.unpack(ifd.order + "I", inline)
    if start + size > len(ifd.data):
        return None
    return bytes(ifd.data[start : start + min(size, limit)])


def _bytes(tags: _Tags, tag: int) -> bytes:
    value = tags.get(tag, b"")
    return value if isinstance(value, bytes) else b""


def _text(tags: _Tags, tag: int) -> str:
    """Decode a text tag: ASCII by the book, UTF-8 or Western European in the wild."""
    return decode_text(_bytes(tags, tag).split(b"\0", 1)[0]).strip()


def _wide(tags: _Tags, tag: int) -> str:
    """Decode one of Windows' tags."""
    return _bytes(tags, tag).decode("utf-16-le", "replace").split("\0", 1)[0].strip()


def _comment(raw: bytes, order: str) -> str:
    """Decode the user's comment, whose first eight bytes name its character set."""
    mark, body = raw[:8], raw[8:]
    if mark == b"UNICODE\0":
        text = body.decode("utf-16-le" if order == "<" else "utf-16-be", "replace")
    elif mark in {b"ASCII\0\0\0", bytes(8)}:
        text = decode_text(body)
    else:
        return ""
    return re.sub(r"\0.*", "", text, flags=re.DOTALL).strip()


def _add_gps(said: Statements, tags: _Tags, order: str) -> None:
    latitude = _degrees(tags, _GPS_LATITUDE, order)
    longitude = _degrees(tags, _GPS_LONGITUDE, order)
    if latitude is not None and longitude is not None:
        place: Place | None = valid_place(latitude, longitude)
        said.places += [place] if place else []
    day, time = _text(tags, _GPS_DATE), _rationals(_bytes(tags, _GPS_TIME), order)
    if day:
        clock = ":".join(f"{int(part):02d}" for part in time)
        said.moments.append(Moment(GPS_STAMP, f"{day} {clock}Z" if len(time) == 3 else day))


def _degrees(tags: _Tags, tag: int, order: str) -> float | None:
    """Return signed degrees from degrees, minutes and seconds and the letter before them."""
    parts = _rationals(_bytes(tags, tag), order)
    if not parts:
        return None
    total = sum(part / 60**i for i, part in enumerate(parts))
    return -total if _text(tags, tag - 1)[:1].upper() in {"S", "W"} else total


def _rationals(raw: bytes, order: str) -> list[float]:
    """Return up to three fractions; none when one of them divides by nought."""
    count = min(len(raw) // 8, 3)
    numbers = struct.unpack(f"{order}{2 * count}I", raw[: 8 * count])
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    if any(below == 0 for _, below in pairs):
        return []
    return [above / below for above, below in pairs]
