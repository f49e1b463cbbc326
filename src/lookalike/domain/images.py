"""What Lookalike knows of an image: its identity, its record and where it was seen."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Final, NewType

from lookalike.domain.licences import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ImageId = NewType("ImageId", str)
"""First 16 bytes of the SHA-256 of an image's bytes, as 32 hex digits."""

Row = NewType("Row", int)
"""Number of an image inside one index, dense or hashed (58 bits); never leaves it."""

KINDS: Final = ("photo", "clipart", "lineart")
"""What a picture is; `animated` and `transparent` are flags beside it."""

COLOR_NAMES: Final = (
    "black",
    "white",
    "grey",
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
)
"""The eleven basic colour terms (Berlin and Kay 1969)."""

_ID_PATTERN: Final = re.compile(r"[0-9a-f]{32}")


def image_id(data: bytes) -> ImageId:
    """Return the identity of an image file's bytes."""
    return ImageId(hashlib.sha256(data).hexdigest()[:32])


def hashed_row(image: ImageId) -> Row:
    """Return the row of an image in a cluster: the first 58 bits of its id.

    No writer has to ask another for a number. Among n images about n² / 2^59 pairs share a row
    (some 170 among ten billion); the second of such a pair is refused. The 5 bits that are left
    number the regions of an image (`domain.regions`).
    """
    return Row(int(image[:16], 16) >> 6)


def is_image_id(text: str) -> bool:
    """Tell whether `text` has the form of an `ImageId`."""
    return _ID_PATTERN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class PaletteColour:
    """One colour of a palette in CIELAB (D65) and its share of the picture in [0, 1]."""

    lab: tuple[float, float, float]
    weight: float


@dataclass(frozen=True, slots=True)
class DetectedObject:
    """One detected object; `box` is x, y, width, height as fractions of the upright picture."""

    label: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class OcrWord:
    """One word read off a picture; `box` is x, y, width, height as fractions of the upright one.

    Words stand in reading order; those of one line bear the same `line`.
    """

    text: str
    score: float
    box: tuple[float, float, float, float]
    line: int = 0


MOST_WORDS: Final = 2000
"""Words kept of one picture."""


def text_of_words(words: Sequence[OcrWord]) -> str:
    """Return what was read, a line of text for each line of the picture."""
    lines = groupby(words, key=lambda word: word.line)
    return "\n".join(" ".join(word.text for word in line) for _, line in lines)


@dataclass(frozen=True, slots=True)
class Source:
    """One place where an image was seen, with what was said of it there.

    `uri` is an absolute path, a URL, or `archive.tar#member`; it is unique in an index.
    `fingerprint` tells an unchanged source without reading it (size and mtime, an ETag).
    Times are seconds since the epoch.
    """

    uri: str
    fingerprint: str = ""
    page_url: str = ""
    site: str = ""
    title: str = ""
    alt_text: str = ""
    caption: str = ""
    page_text: str = ""
    licence: str = "unknown"
    taken: float | None = None
    seen: float = 0.0
    is_vanished: bool = False


UNFINISHED: Final = "?"
"""Begins the fingerprint of a source whose image may not be whole yet (`engine.cluster_writer`)."""


def merged_source(old: Source, new: Source) -> Source:
    """Return what two sightings of one uri say: the newer one, where it says anything.

    A fingerprint that marks an unfinished write gives way to whatever comes.
    """
    is_unfinished = old.fingerprint.startswith(UNFINISHED)
    return replace(
        new,
        fingerprint=new.fingerprint or ("" if is_unfinished else old.fingerprint),
        page_url=new.page_url or old.page_url,
        site=new.site or old.site,
        title=new.title or old.title,
        alt_text=new.alt_text or old.alt_text,
        caption=new.caption or old.caption,
        page_text=new.page_text or old.page_text,
        licence=old.licence if new.licence == UNKNOWN else new.licence,
        taken=old.taken if new.taken is None else new.taken,
    )


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is read from the pixels and the file alone, before any source is known.

    `embedded_text` is the caption that the file carries; `place` is latitude and longitude in
    degrees (WGS 84).
    """

    id: ImageId
    width: int
    height: int
    bytes: int
    format: str
    frames: int = 1
    kind: str = "photo"
    is_animated: bool = False
    is_transparent: bool = False
    taken: float | None = None
    palette: tuple[PaletteColour, ...] = ()
    color_tags: tuple[str, ...] = ()
    phash: int = 0
    phash_quality: float = 0.0
    licence: str = "unknown"
    embedded_text: str = ""
    embedded_title: str = ""
    keywords: tuple[str, ...] = ()
    creator: str = ""
    rights: str = ""
    place: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One distinct file content and all that is known of it."""

    row: Row
    facts: ImageFacts
    sources: tuple[Source, ...] = ()
    objects: tuple[DetectedObject, ...] = ()
    words: tuple[OcrWord, ...] = ()
    copy_group: int | None = None
    first_seen: float = 0.0
    last_seen: float = 0.0
    models: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def id(self) -> ImageId:
        """The image's identity."""
        return self.facts.id

    @property
    def ocr_text(self) -> str:
        """What was read off the picture."""
        return text_of_words(self.words)

    @property
    def licences(self) -> frozenset[str]:
        """Every licence stated by a source or by the file itself; `unknown` when none is."""
        stated = {source.licence for source in self.sources} | {self.facts.licence}
        return frozenset(stated - {"unknown"}) or frozenset({"unknown"})

    @property
    def sites(self) -> frozenset[str]:
        """Every site (registered host name, lower case) it was seen on."""
        return frozenset(source.site for source in self.sources if source.site)

    @property
    def taken(self) -> float | None:
        """When the picture was taken, from the file or else from a source."""
        if self.facts.taken is not None:
            return self.facts.taken
        return next((s.taken for s in self.sources if s.taken is not None), None)

    @property
    def location(self) -> str:
        """The first source that has not vanished, or the first one, or an empty string."""
        alive = (source.uri for source in self.sources if not source.is_vanished)
        return next(alive, self.sources[0].uri if self.sources else "")
