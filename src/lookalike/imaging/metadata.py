"""What a picture file says of itself: orientation, date, licence and title.

EXIF and XMP are read by small bounded readers of our own: Pillow's EXIF reader warns and
fails on the broken blocks that real files hold, and an XML parser would be a way in.
"""

from __future__ import annotations

import html
import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

from lookalike.domain.licences import UNKNOWN, normalise_licence

MAX_TEXT_CHARS: Final = 2000
_MAX_IFD_ENTRIES: Final = 512
_MAX_XMP_BYTES: Final = 256 * 1024
_MAX_VALUE_BYTES: Final = 16 * 1024

_TAG_DESCRIPTION: Final = 0x010E
_TAG_ORIENTATION: Final = 0x0112
_TAG_CHANGED: Final = 0x0132
_TAG_XMP: Final = 0x02BC
_TAG_COPYRIGHT: Final = 0x8298
_TAG_EXIF_IFD: Final = 0x8769
_TAG_TAKEN: Final = 0x9003
_TAG_DIGITISED: Final = 0x9004
_TAG_OFFSETS: Final = {_TAG_CHANGED: 0x9010, _TAG_TAKEN: 0x9011, _TAG_DIGITISED: 0x9012}
_TAG_XP_TITLE: Final = 0x9C9B
_WANTED: Final = frozenset((
    _TAG_DESCRIPTION, _TAG_ORIENTATION, _TAG_CHANGED, _TAG_XMP, _TAG_COPYRIGHT, _TAG_EXIF_IFD,
    _TAG_TAKEN, _TAG_DIGITISED, _TAG_XP_TITLE, *_TAG_OFFSETS.values(),
))  # fmt: skip
_TYPE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4}
_SHORT: Final = 3
_LONGS: Final = (4, 13)

_DATE: Final = re.compile(
    r"(\d{4})[:\-/.](\d{2})[:\-/.](\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2}))?)?"
    r"(?:\.\d+)?\s*(Z|[+-]\d{2}:?\d{2})?"
)
_FIRST_YEAR: Final = 1826
"""The oldest surviving photograph; cameras with a dead clock write year 0."""

_XMP_LICENCE: Final = (
    re.compile(rb"<?cc:license\b[^>]*?rdf:resource\s*=\s*[\"']([^\"']{1,400})", re.IGNORECASE),
    re.compile(rb"xmpRights:WebStatement\s*(?:=\s*[\"']|>\s*)([^\"'<]{1,400})"),
    re.compile(rb"xmpRights:UsageTerms>.{0,200}?<rdf:li[^>]*>([^<]{1,400})", re.DOTALL),
    re.compile(rb"dc:rights>.{0,200}?<rdf:li[^>]*>([^<]{1,400})", re.DOTALL),
)
_XMP_TEXT: Final = (
    re.compile(rb"dc:title>.{0,200}?<rdf:li[^>]*>([^<]{1,2000})", re.DOTALL),
    re.compile(rb"dc:description>.{0,200}?<rdf:li[^>]*>([^<]{1,2000})", re.DOTALL),
)
_XMP_DATE: Final = re.compile(
    rb"(?:exif:DateTimeOriginal|photoshop:DateCreated|xmp:CreateDate)"
    rb"\s*(?:=\s*[\"']|>\s*)([0-9T:+\-Z. ]{10,40})"
)
_CC_NAME: Final = re.compile(
    r"creativecommons\.org/(?:licenses|publicdomain)/\S+"
    r"|\bcc0\b(?:[- ]?1\.0)?"
    r"|\bcc[- ]by(?:[- ](?:nc|nd|sa))*(?:[- ]v?\d\.\d)?",
    re.IGNORECASE,
)
_JUNK_TEXT: Final = re.compile(
    r"^(?:sony dsc|olympus digital camera|samsung|dcim|dsc_?\d*|img_?\d*|untitled|image"
    r"|kodak .{0,30}|konica minolta .{0,30}|minolta digital camera|my beautiful picture"
    r"|oi\d+)$",
    re.IGNORECASE,
)
"""What cameras write into the description by themselves."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the file says of itself; `taken` is in seconds since the epoch.

    `orientation` is EXIF's 1 to 8. A date without an offset is read as UTC.
    """

    orientation: int = 1
    taken: float | None = None
    licence: str = UNKNOWN
    text: str = ""


class _Ifd(NamedTuple):
    """A TIFF directory's bytes, the byte order, and where it begins."""

    data: bytes
    order: str
    offset: int


def read_metadata(
    exif: bytes, xmp: bytes = b"", *, texts: tuple[str, ...] = (), rights: tuple[str, ...] = ()
) -> Metadata:
    """Read what an EXIF block, an XMP packet and plain text fields say.

    Args:
        exif: a TIFF structure, with or without its leading `Exif` mark; may be damaged.
        xmp: an XMP packet; may be damaged.
        texts: titles and descriptions from elsewhere in the file.
        rights: copyright statements from elsewhere in the file.
    """
    tags = _read_exif(exif) if exif else {}
    xmp = xmp or _bytes(tags, _TAG_XMP)
    xmp = xmp[:_MAX_XMP_BYTES]
    stated = (*rights, _text(tags, _TAG_COPYRIGHT))
    found = [_text(tags, _TAG_DESCRIPTION), _utf16(tags), *texts]
    taken = _taken(tags)
    licence = _first_licence(stated)
    if xmp:
        found += [_xmp_text(match[1]) for p in _XMP_TEXT if (match := p.search(xmp))]
        marks = tuple(_xmp_text(match[1]) for p in _XMP_LICENCE if (match := p.search(xmp)))
        licence = _first_licence(marks) if licence == UNKNOWN else licence
        if taken is None and (match := _XMP_DATE.search(xmp)):
            taken = parse_date(match[1].decode("ascii"))
    orientation = tags.get(_TAG_ORIENTATION, 1)
    is_valid = isinstance(orientation, int) and 1 <= orientation <= 8
    return Metadata(
        orientation=orientation if is_valid and isinstance(orientation, int) else 1,
        taken=taken,
        licence=licence,
        text=_join_texts(found),
    )


def parse_date(text: str, offset: str = "") -> float | None:
    """Return the seconds since the epoch of an EXIF or ISO date, None if it is no date.

    >>> parse_date("2012:06:30 12:00:00", "+02:00")
    1341050400.0
    """
    match = _DATE.search(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    zone = match[7] or offset.strip()
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=_zone(zone))
    except ValueError:
        return None
    return moment.timestamp() if year >= _FIRST_YEAR else None


def _zone(text: str) -> timezone:
    match = re.fullmatch(r"([+-])(\d{2}):?(\d{2})", text)
    if match is None:
        return UTC
    minutes = int(match[2]) * 60 + int(match[3])
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))


def _read_exif(block: bytes) -> dict[int, bytes | int]:
    """Return the wanted tags of IFD0 and of the EXIF directory; damaged ones are left out."""
    data = block[6:] if block.startswith(b"Exif\0\0") else block
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return {}
    is_big = data[2:4] in {b"+\0", b"\0+"}
    if is_big:
        return {}
    (first,) = struct.unpack_from(order + "I", data, 4)
    tags = _read_ifd(_Ifd(data, order, first))
    inner = tags.get(_TAG_EXIF_IFD)
    if isinstance(inner, int):
        tags = _read_ifd(_Ifd(data, order, inner)) | tags
    return tags


def _read_ifd(ifd: _Ifd) -> dict[int, bytes | int]:
    """Return tag to first number or to bytes, for the wanted tags that lie within the data."""
    data, order, offset = ifd
    if not 0 < offset <= len(data) - 2:
        return {}
    (count,) = struct.unpack_from(order + "H", data, offset)
    count = min(count, _MAX_IFD_ENTRIES, (len(data) - offset - 2) // 12)
    entry = struct.Struct(order + "HHI4s")
    tags: dict[int, bytes | int] = {}
    for at in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, length, inline = entry.unpack_from(data, at)
        if tag in _WANTED and tag not in tags:
            value = _read_value(ifd, kind, length, inline)
            if value is not None:
                tags[tag] = value
    return tags


def _read_value(ifd: _Ifd, kind: int, length: int, inline: bytes) -> bytes | int | None:
    """Return one entry's value, None when its type is unknown or it lies outside the data."""
    data, order, _ = ifd
    if kind == _SHORT and length >= 1:
        return int(struct.unpack(order + "H", inline[:2])[0]) if length <= 2 else None
    if kind in _LONGS and length == 1:
        return int(struct.unpack(order + "I", inline)[0])
    size = _TYPE_BYTES.get(kind, 0) * length
    if size == 0:
        return None
    if size <= 4:
        return inline[:size]
    (start,) = struct.unpack(order + "I", inline)
    if start + size > len(data):
        return None
    limit = _MAX_XMP_BYTES if kind in {1, 7} else _MAX_VALUE_BYTES
    return bytes(data[start : start + min(size, limit)])


def _bytes(tags: dict[int, bytes | int], tag: int) -> bytes:
    value = tags.get(tag, b"")
    return value if isinstance(value, bytes) else b""


def _text(tags: dict[int, bytes | int], tag: int) -> str:
    """Decode a text tag: ASCII by the book, UTF-8 or Latin-1 in the wild."""
    raw = _bytes(tags, tag).split(b"\0", 1)[0]
    try:
        return raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        return raw.decode("latin-1").strip()


def _utf16(tags: dict[int, bytes | int]) -> str:
    raw = _bytes(tags, _TAG_XP_TITLE)
    return raw.decode("utf-16-le", "replace").split("\0", 1)[0].strip()


def _taken(tags: dict[int, bytes | int]) -> float | None:
    for tag in (_TAG_TAKEN, _TAG_DIGITISED, _TAG_CHANGED):
        value = _text(tags, tag)
        if value and (taken := parse_date(value, _text(tags, _TAG_OFFSETS[tag]))) is not None:
            return taken
    return None


def _xmp_text(raw: bytes) -> str:
    return html.unescape(raw.decode("utf-8", "replace")).strip()


def _first_licence(statements: tuple[str, ...]) -> str:
    """Return the first Creative Commons licence named; a bare copyright line states none."""
    for statement in statements:
        if match := _CC_NAME.search(statement):
            return normalise_licence(match[0])
    return UNKNOWN


def _join_texts(texts: list[str]) -> str:
    """Join the different texts, without control characters and what cameras write."""
    kept: dict[str, None] = {}
    for text in texts:
        clean = re.sub(r"[\x00-\x1f\x7f\ufffd\s]+", " ", text).strip()
        if clean and not _JUNK_TEXT.match(clean):
            kept[clean] = None
    return "\n".join(kept)[:MAX_TEXT_CHARS]
