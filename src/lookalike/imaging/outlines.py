"""Drawing what was found in a picture onto it: boxes with their labels."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from PIL import Image, ImageDraw, ImageFont

from lookalike.imaging.decode import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

Colour: TypeAlias = tuple[int, int, int]

_COLOURS: Final[tuple[Colour, ...]] = (
    (214, 39, 40), (31, 119, 180), (44, 160, 44), (148, 103, 189), (230, 125, 20),
    (23, 150, 170), (227, 90, 170), (120, 80, 60),
)  # fmt: skip
_PAPER: Final[Colour] = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Outline:
    """One box to draw, in fractions of the upright picture; boxes of one label look alike."""

    box: tuple[float, float, float, float]
    label: str = ""
    is_faint: bool = False


def outlined(picture: bytes, outlines: Sequence[Outline], *, side: int = 1600) -> Image.Image:
    """Return a picture file, at most `side` pixels long, with boxes drawn on it.

    Raises:
        ImageError: the picture cannot be read.
    """
    image = decode(picture, shrink_to=side).pixels.convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    draw_outlines(image, outlines)
    return image


def draw_outlines(image: Image.Image, outlines: Sequence[Outline]) -> None:
    """Draw boxes on an RGB picture, the largest first so that no smaller one is hidden."""
    draw = ImageDraw.Draw(image)
    thick = max(1, round(max(image.size) / 320))
    font = ImageFont.load_default(size=max(10, round(max(image.size) / 45)))
    for outline in sorted(outlines, key=lambda one: -one.box[2] * one.box[3]):
        left, top = outline.box[0] * image.width, outline.box[1] * image.height
        right, bottom = (
            left + outline.box[2] * image.width,
            top + outline.box[3] * image.height,
        )
        colour = _COLOURS[zlib.crc32(outline.label.encode()) % len(_COLOURS)]
        corners = (left, top, max(right, left + 1), max(bottom, top + 1))
        draw.rectangle(corners, outline=colour, width=1 if outline.is_faint else thick)
        if outline.label and not outline.is_faint:
            _write(draw, (left, top), outline.label, font, colour)


def _write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    colour: Colour,
) -> None:
    """Write on a ground of the box's colour, above the box where there is room."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    height = bottom - top + 4
    y = at[1] - height if at[1] >= height else at[1]
    draw.rectangle((at[0], y, at[0] + right - left + 6, y + height), fill=colour)
    draw.text((at[0] + 3 - left, y + 2 - top), text, fill=_PAPER, font=font)
