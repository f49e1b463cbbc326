"""What the readers of EXIF, XMP, IPTC and plain fields hand over, before one merges it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

Place: TypeAlias = tuple[float, float]
"""Latitude and longitude in degrees (WGS 84)."""

MAX_TEXT_CHARS: Final = 2000
MAX_KEYWORDS: Final = 100
MAX_KEYWORD_CHARS: Final = 100
MAX_PACKET_BYTES: Final = 512 * 1024
"""Of an XMP packet or an IPTC block no more than this is looked at."""


class Moment(NamedTuple):
    """A date as the file writes it; of several the one of the least `rank` is believed."""

    rank: int
    text: str
    offset: str = ""


EXIF_TAKEN, XMP_TAKEN, XMP_CREATED, IPTC_CREATED = 0, 1, 2, 3
EXIF_DIGITISED, XMP_DIGITISED, GPS_STAMP, PLAIN_DATE, EXIF_CHANGED = 4, 5, 6, 7, 8


@dataclass(slots=True)
class Statements:
    """What one block of a file says, in the order of belief; nothing is cleaned yet.

    `licences` are addresses and names of licences; `place_names` are cities and countries,
    which tell as much of where somebody was as a position does.
    """

    titles: list[str] = field(default_factory=list[str])
    captions: list[str] = field(default_factory=list[str])
    keywords: list[str] = field(default_factory=list[str])
    creators: list[str] = field(default_factory=list[str])
    rights: list[str] = field(default_factory=list[str])
    licences: list[str] = field(default_factory=list[str])
    place_names: list[str] = field(default_factory=list[str])
    moments: list[Moment] = field(default_factory=list[Moment])
    places: list[Place] = field(default_factory=list[Place])

    def add(self, other: Statements) -> None:
        """Append what another block says, as less to be believed."""
        self.titles += other.titles
        self.captions += other.captions
        self.keywords += other.keywords
        self.creators += other.creators
        self.rights += other.rights
        self.licences += other.licences
        self.place_names += other.place_names
        self.moments += other.moments
        self.places += other.places


def decode_text(raw: bytes) -> str:
    """Decode bytes of an unstated character set: UTF-8, or else Western European."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def valid_place(latitude: float, longitude: float) -> Place | None:
    """Return a position on the Earth; 0°, 0° is what a receiver without a fix writes."""
    is_on_earth = -90 <= latitude <= 90 and -180 <= longitude <= 180
    if not is_on_earth or (latitude == 0 and longitude == 0):
        return None
    return round(latitude, 6), round(longitude, 6)
