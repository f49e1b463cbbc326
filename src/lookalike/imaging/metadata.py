"""What a picture file says of itself: title, caption, keywords, creator, rights, date, place.

EXIF, XMP and IPTC are read by small bounded readers (`metadata_exif`, `metadata_xmp`,
`metadata_iptc`); here what they say is merged and cleaned. Nothing here raises on damage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from lookalike.domain.licences import RESERVED, UNKNOWN, find_licence
from lookalike.imaging.metadata_exif import read_exif
from lookalike.imaging.metadata_iptc import read_iptc, split_photoshop
from lookalike.imaging.metadata_statements import (
    MAX_KEYWORD_CHARS,
    MAX_KEYWORDS,
    MAX_TEXT_CHARS,
    Moment,
    Place,
    Statements,
)
from lookalike.imaging.metadata_xmp import read_xmp

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_NAME_CHARS: Final = 300
_MAX_EXAMINED_CHARS: Final = 8000

_DATE: Final = re.compile(
    r"(\d{4})[:\-/.](\d{2})[:\-/.](\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2}))?)?"
    r"(?:\.\d+)?\s*(Z|[+-]\d{2}:?\d{2})?"
)
_FIRST_YEAR: Final = 1826
"""The oldest surviving photograph; cameras with a dead clock write year 0."""

_JUNK_TEXT: Final = re.compile(
    r"^(?:sony dsc|olympus digital camera|samsung|dcim|dsc_?\d*|img_?\d*|untitled|image"
    r"|kodak .{0,30}|konica minolta .{0,30}|minolta digital camera|my beautiful picture"
    r"|oi\d+|default|binary comment|ascii|charset=.{0,20}|screenshot|user comments?"
    r"|(?:created|made|edited|generated|optimi[sz]ed|compressed|resized|processed|encoded|written"
    r"|file written|file source|software|creator|lavc|lead technologies|intel\(r\)|appl?emark"
    r"|handmade software|acd systems|xv |jpegli?|cs=|quality ?=|gd-jpeg|\*|maker ?note|hdr)\b.*)$",
    re.IGNORECASE | re.DOTALL,
)
"""What cameras and programs write into comments and descriptions by themselves."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the file says of itself; `taken` is in seconds since the epoch.

    `orientation` is EXIF's 1 to 8. A date without an offset is read as UTC. `text` is the
    caption, `place` latitude and longitude in degrees (WGS 84); `place_names` are the cities and
    countries that the file names beside its keywords.
    """

    orientation: int = 1
    taken: float | None = None
    licence: str = UNKNOWN
    title: str = ""
    text: str = ""
    keywords: tuple[str, ...] = ()
    creator: str = ""
    rights: str = ""
    place: Place | None = None
    place_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Blocks:
    """The metadata blocks of a file as its container holds them; each may be empty or damaged.

    `xmp` is the main packet and what extends it; `photoshop` image resources; `iptc` a bare IIM
    block; `plain` what text fields of the container say.
    """

    exif: bytes = b""
    xmp: tuple[bytes, ...] = ()
    photoshop: bytes = b""
    iptc: bytes = b""
    plain: Statements | None = None


def read_metadata(blocks: Blocks) -> Metadata:
    """Read and merge what a file's blocks say; XMP is believed first, then IPTC, then EXIF."""
    exif = read_exif(blocks.exif) if blocks.exif else None
    photoshop = blocks.photoshop or (exif.photoshop if exif else b"")
    resources = split_photoshop(photoshop) if photoshop else None
    xmp = blocks.xmp or (exif.xmp if exif else b"",)
    if resources and not any(xmp):
        xmp = (resources.xmp,)
    iptc = (resources.iptc if resources else b"") or blocks.iptc or (exif.iptc if exif else b"")
    said = read_xmp(*xmp) if any(xmp) else Statements()
    if iptc:
        said.add(read_iptc(iptc))
    if resources and resources.address:
        said.licences.append(resources.address)
    if exif:
        said.add(exif.said)
    if blocks.plain:
        said.add(blocks.plain)
    return _merge(said, exif.orientation if exif else 1)


def _merge(said: Statements, orientation: int) -> Metadata:
    titles = _distinct(said.titles)
    title = next(iter(titles), "")
    captions = [text for text in _distinct([*said.captions, *titles[1:]]) if text != title]
    rights = _distinct(said.rights)
    return Metadata(
        orientation=orientation,
        taken=_taken(said.moments),
        licence=_first_licence([*said.licences, *said.rights]),
        title=title[:MAX_TEXT_CHARS],
        text="\n".join(captions)[:MAX_TEXT_CHARS],
        keywords=_keywords(said.keywords),
        creator=", ".join(_distinct(said.creators))[:_MAX_NAME_CHARS],
        rights="\n".join(rights)[:MAX_TEXT_CHARS],
        place=next(iter(said.places), None),
        place_names=_keywords(said.place_names),
    )


def parse_date(text: str, offset: str = "") -> float | None:
    """Return the seconds since the epoch of an EXIF or ISO date, None if it is no date.

    >>> parse_date("2012:06:30 12:00:00", "+02:00")
    1341050400.0
    """
    match = _DATE.search(text[:100])
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


def _taken(moments: Iterable[Moment]) -> float | None:
    for moment in sorted(moments, key=lambda moment: moment.rank):
        if (taken := parse_date(moment.text, moment.offset)) is not None:
            return taken
    return None


def _first_licence(statements: Iterable[str]) -> str:
    """Return the first licence named; "all rights reserved" only where no other is."""
    found = [find_licence(statement[:_MAX_EXAMINED_CHARS]) for statement in statements]
    named = [licence for licence in found if licence != UNKNOWN]
    return next((licence for licence in named if licence != RESERVED), next(iter(named), UNKNOWN))


def _clean(text: str) -> str:
    """Return a line without control characters; empty when a camera wrote it by itself."""
    line = re.sub(r"[\x00-\x1f\x7f\ufffd\s]+", " ", text[:_MAX_EXAMINED_CHARS]).strip()
    return "" if _JUNK_TEXT.match(line) else line


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(line for text in texts if (line := _clean(text))))


def _keywords(texts: Iterable[str]) -> tuple[str, ...]:
    """Split at commas and semicolons, and keep the first of those that differ in case alone."""
    kept: dict[str, str] = {}
    for text in texts:
        for part in re.split(r"[,;]", text):
            word = _clean(part)[:MAX_KEYWORD_CHARS].strip()
            if word and len(kept) < MAX_KEYWORDS:
                kept.setdefault(word.casefold(), word)
    return tuple(kept.values())
