"""The one call that workers make: from a file's bytes to all that is read off its pixels.

One decode; every further thing is made from the smallest version that is enough for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from lookalike.domain.images import ImageFacts, image_id
from lookalike.imaging.colour import Colours, read_colours
from lookalike.imaging.decode import DecodeLimits, Picture, decode
from lookalike.imaging.kind import classify
from lookalike.imaging.phash import phash
from lookalike.imaging.preprocess import crop_region, to_model_pixels
from lookalike.imaging.thumbnails import THUMBNAIL_SIDE, fit, shrink, thumbnail

if TYPE_CHECKING:
    from lookalike.domain.arrays import Pixels
    from lookalike.domain.bundle import Preprocess
    from lookalike.domain.queries import Region
    from lookalike.imaging.metadata import Metadata

DECODE_SIDE: Final = 480
"""The shorter side that every decode keeps, of pictures to index and to search with alike.

It shows small objects well enough; and one side for all makes one file's vectors the same,
whichever models look at it.
"""

_DEFAULT_SHRINK: Final = 256
_HASH_SIDE: Final = 64
_GATE_SIDE: Final = 640
_COLOUR_GRID: Final = (48, 48)


@dataclass(frozen=True, slots=True)
class ExaminePlan:
    """What to make of every picture; without `preprocess` no model pixels are made.

    `shrink_to` is the least shorter side that decoding may shrink to; the default is what
    the model and the thumbnail need. Where a picture was taken (the position and the names of
    places that the file holds) is dropped unless `is_keeping_place`: it may be somebody's home.
    With `canvas_side` a version with that longer side is made for finding objects; with
    `page_side` one for reading, where the gate sees text.
    """

    preprocess: Preprocess | None = None
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    thumbnail_side: int = THUMBNAIL_SIDE
    shrink_to: int | None = None
    is_keeping_place: bool = False
    canvas_side: int | None = None
    page_side: int | None = None

    @property
    def decode_side(self) -> int:
        """The shorter side that decoding must keep."""
        if self.shrink_to is not None:
            return self.shrink_to
        if self.preprocess is not None:
            return max(self.preprocess.size, DECODE_SIDE)
        return DECODE_SIDE if self.canvas_side or self.page_side else _DEFAULT_SHRINK


@dataclass(frozen=True, slots=True)
class Examined:
    """What is known of a picture from its bytes.

    `pixels` is `(size, size, 3)` uint8 for the encoder; `thumbnail` is a JPEG; `canvas` and `page`
    are `(height, width, 3)` versions for finding objects and for reading. `page` is None where
    none was asked for, and where the gate saw no text.
    """

    facts: ImageFacts
    pixels: Pixels | None
    thumbnail: bytes
    canvas: Pixels | None = None
    page: Pixels | None = None


def examine(data: bytes, *, plan: ExaminePlan) -> Examined:
    """Decode a picture once and read everything off it.

    Raises:
        ImageError: with a reason of `domain.reasons`; nothing else escapes.
    """
    picture = decode(data, limits=plan.limits, shrink_to=plan.decode_side)
    pixels = to_model_pixels(picture, plan.preprocess) if plan.preprocess else None
    shrunk = shrink(picture.pixels, plan.thumbnail_side)
    canvas = fit(picture.pixels, plan.canvas_side) if plan.canvas_side else None
    return Examined(
        facts=_with_words(_facts(data, picture, shrunk), picture.metadata, plan),
        pixels=pixels,
        thumbnail=thumbnail(picture, side=plan.thumbnail_side, shrunk=shrunk),
        canvas=None if canvas is None else np.asarray(canvas),
        page=_page(data, picture, plan) if plan.page_side else None,
    )


def load_query_pixels(
    data: bytes,
    *,
    preprocess: Preprocess,
    limits: DecodeLimits | None = None,
    region: Region | None = None,
) -> Pixels:
    """Return the model's pixels of a picture to search with, or of a region of it.

    Raises:
        ImageError: the picture is refused.
        UsageError: the region does not lie inside the picture.
    """
    if region is None:
        side = max(preprocess.size, DECODE_SIDE)
        picture = decode(data, limits=limits, shrink_to=side)
        return to_model_pixels(picture, preprocess)
    smallest = min(max(region[2], 0.05), max(region[3], 0.05), 1.0)
    picture = decode(data, limits=limits, shrink_to=int(preprocess.size / smallest))
    return to_model_pixels(crop_region(picture, region), preprocess)


def _page(data: bytes, picture: Picture, plan: ExaminePlan) -> Pixels | None:
    """Return what is read, decoded anew where more pixels are there; None without text."""
    from lookalike.imaging.text_gate import THRESHOLD, may_hold_text

    side = plan.page_side or 0
    if may_hold_text(np.asarray(fit(picture.pixels, _GATE_SIDE))) < THRESHOLD:
        return None
    whole = max(picture.width, picture.height)
    if max(picture.pixels.size) < min(side, whole):
        shorter = min(side, whole) * min(picture.width, picture.height) // whole
        picture = decode(data, limits=plan.limits, shrink_to=max(shorter, 1))
    return np.asarray(fit(picture.pixels, side))


def _facts(data: bytes, picture: Picture, shrunk: Image.Image) -> ImageFacts:
    """Read kind off the decoded picture, colours and hash off the shrunk one."""
    small = _reduce_to(shrunk, _HASH_SIDE)
    colours = _colours(small, picture.alpha)
    bits, quality = phash(small)
    return ImageFacts(
        id=image_id(data),
        width=picture.width,
        height=picture.height,
        bytes=len(data),
        format=picture.format,
        frames=picture.frames,
        kind=classify(picture.pixels).name,
        is_animated=picture.is_animated,
        is_transparent=picture.is_transparent,
        palette=colours.palette,
        color_tags=colours.tags,
        phash=bits,
        phash_quality=quality,
    )


def _with_words(facts: ImageFacts, metadata: Metadata, plan: ExaminePlan) -> ImageFacts:
    """Add what the file says of itself, without where it was taken unless that is wanted."""
    names = metadata.place_names if plan.is_keeping_place else ()
    return replace(
        facts,
        taken=metadata.taken,
        licence=metadata.licence,
        embedded_title=metadata.title,
        embedded_text=metadata.text,
        keywords=tuple(dict.fromkeys((*metadata.keywords, *names))),
        creator=metadata.creator,
        rights=metadata.rights,
        place=metadata.place if plan.is_keeping_place else None,
    )


def _reduce_to(image: Image.Image, side: int) -> Image.Image:
    """Shrink each side by its own whole factor, to no less than `side`."""
    factors = (max(image.width // side, 1), max(image.height // side, 1))
    return image if factors == (1, 1) else image.reduce(factors)


def colour_sample(shrunk: Image.Image) -> Pixels:
    """Return the pixels that colours are read off, `(48, 48, 3)`, from a thumbnail's picture.

    A version that is averaged already is sampled at points; a fixed size keeps the cost fixed.
    """
    return _sample(_reduce_to(shrunk, _HASH_SIDE))


def _sample(small: Image.Image) -> Pixels:
    return np.asarray(small.resize(_COLOUR_GRID, Image.Resampling.NEAREST))


def _colours(small: Image.Image, alpha: Image.Image | None) -> Colours:
    if alpha is None:
        return read_colours(_sample(small))
    return read_colours(_sample(small), _sample(_reduce_to(alpha, _HASH_SIDE)))
