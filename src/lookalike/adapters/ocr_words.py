"""What every reader of text does with the words it got: clean, clip and bound them."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.images import MOST_WORDS, OcrWord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lookalike.domain.arrays import Pixels

LONGEST_WORD: Final = 200
"""Characters kept of one word."""

THINNEST: Final = 6
"""The shorter side in pixels below which a picture is taken to hold no text."""

_DROPPED: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))


def checked_picture(picture: Pixels) -> Pixels:
    """Return `picture`, an `(height, width, 3)` uint8 array with at least one pixel.

    Raises:
        ValueError: it has another shape or type.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(
            f"a picture must be (height, width, 3) uint8, not {picture.shape} {picture.dtype}"
        )
    if not picture.size:
        raise ValueError(f"a picture must have pixels, not the shape {picture.shape}")
    return picture


def fitted(picture: Pixels, *, least: int, most: int) -> Pixels:
    """Return the picture scaled so that its longer side is from `least` to `most` pixels.

    The shorter side is at least one pixel. A picture that fits already is returned as it is.
    """
    height, width = picture.shape[:2]
    longer = max(height, width)
    wanted = min(max(longer, least), most)
    if wanted == longer:
        return picture
    size = (max(width * wanted // longer, 1), max(height * wanted // longer, 1))
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture))
    way = Image.Resampling.BICUBIC if wanted > longer else Image.Resampling.BOX
    return np.asarray(image.resize(size, way))


def clean_text(text: str) -> str:
    """Return `text` in Unicode's composed form, without what cannot be seen, and bounded.

    Control and format characters, lone surrogates and unassigned code points are dropped;
    white space becomes single spaces.
    """
    seen = "".join(
        " " if char.isspace() else char
        for char in text
        if char.isspace() or unicodedata.category(char) not in _DROPPED
    )
    return unicodedata.normalize("NFC", " ".join(seen.split()))[:LONGEST_WORD].rstrip()


def bounded(words: Iterable[OcrWord]) -> tuple[OcrWord, ...]:
    """Return at most `MOST_WORDS` words that have text, clean, with boxes inside the picture.

    Lines are numbered anew from 0, without gaps.
    """
    kept: list[OcrWord] = []
    lines: dict[int, int] = {}
    for word in words:
        text = clean_text(word.text)
        left, top, width, height = word.box
        x, y = min(max(left, 0.0), 1.0), min(max(top, 0.0), 1.0)
        right, bottom = min(max(left + width, 0.0), 1.0), min(max(top + height, 0.0), 1.0)
        if not text or right <= x or bottom <= y:
            continue
        line = lines.setdefault(word.line, len(lines))
        score = round(min(max(word.score, 0.0), 1.0), 4)
        kept.append(OcrWord(text, score, (x, y, right - x, bottom - y), line))
        if len(kept) == MOST_WORDS:
            break
    return tuple(kept)
