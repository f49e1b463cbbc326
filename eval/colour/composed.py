"""Things of known colour laid over photographs, plain grounds and pages, for measuring tags.

A thing is a blob, a rounded box, a ring or words, shaded from light to dark with a little
noise, and covers a known share of the picture. Grounds are photographs in grey, photographs in
their own colours, and plain grounds; half stand in warm or cold light. What the ground
itself may show is counted neither way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from lookalike.domain.images import COLOR_NAMES
from lookalike.imaging.colour import term_shares

if TYPE_CHECKING:
    from collections.abc import Sequence

SIDE = 256
NEUTRAL = ("black", "white", "grey")
LEAST_SHARE = 0.02
_SILENT_SHARE = 0.002
"""A photograph with less of a term than this is held not to show it."""

_LIGHTS = {
    "neutral": (1.0, 1.0, 1.0),
    "warm": (1.06, 1.0, 0.86),
    "cold": (0.9, 1.0, 1.08),
}
_WORDS = ["SALE", "EXIT", "OPEN", "TAXI", "CAFE", "STOP", "HOTEL", "BOOKS", "MUSIC", "PIZZA"]


@dataclass(frozen=True)
class Composed:
    """A picture, the truth of each term (1 shown, 0 absent, -1 unknown), the share shown."""

    image: Image.Image
    truth: tuple[int, ...]
    share: float
    ground: str
    thing: str
    light: str


def _mask(rng: np.random.Generator, share: float) -> tuple[Image.Image, str]:
    """Draw a thing that covers about `share` of the square."""
    mask = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(mask)
    radius = SIDE * math.sqrt(share / math.pi)
    margin = min(radius * 1.2, SIDE / 2 - 1)
    x, y = rng.uniform(margin, SIDE - margin, 2)
    thing = str(rng.choice(("blob", "box", "ring", "words")))
    if thing == "blob":
        turns = np.linspace(0, 2 * math.pi, 24, endpoint=False)
        reach = radius * (1 + 0.25 * np.sin(turns * rng.integers(2, 5) + rng.uniform(0, 6)))
        points = np.stack((x + reach * np.cos(turns), y + reach * np.sin(turns)), axis=1)
        draw.polygon([tuple(point) for point in points.tolist()], fill=255)
    elif thing == "box":
        wide = radius * rng.uniform(1.1, 2.2)
        tall = math.pi * radius**2 / (4 * wide)
        draw.rounded_rectangle((x - wide, y - tall, x + wide, y + tall), radius / 6, fill=255)
    elif thing == "ring":
        outer = min(radius * 1.35, SIDE / 2 - 1)
        width = max(int(outer * 0.5), 3)
        box = (x - outer, y - outer, x + outer, y + outer)
        draw.ellipse(box, outline=255, width=width)
    else:
        size = int(radius * 1.5)
        font = ImageFont.load_default(size)
        text = str(rng.choice(_WORDS))
        draw.text((x, y), text, fill=255, font=font, anchor="mm", stroke_width=size // 12)
    return mask, thing


def _ground(
    rng: np.random.Generator, photograph: Image.Image
) -> tuple[Image.Image, str, list[int]]:
    """Return the ground, its kind and what is known of each term on it."""
    kind = str(rng.choice(("grey photograph", "photograph", "plain", "page")))
    truth = [0] * len(COLOR_NAMES)
    if kind == "photograph":
        shares = term_shares(np.asarray(photograph.resize((64, 64), Image.Resampling.BOX)))
        truth = [0 if share < _SILENT_SHARE else -1 for share in shares]
        return photograph, kind, truth
    for i, name in enumerate(COLOR_NAMES):
        truth[i] = -1 if name in NEUTRAL else 0
    if kind == "grey photograph":
        return photograph.convert("L").convert("RGB"), kind, truth
    level = int(rng.choice((255, 250, 235, 128, 40, 0)))
    ground = Image.new("RGB", (SIDE, SIDE), (level,) * 3)
    if kind == "page":
        draw = ImageDraw.Draw(ground)
        ink = (20, 20, 20) if level > 100 else (230, 230, 230)
        font = ImageFont.load_default(11)
        for y in range(6, SIDE - 10, 15):
            draw.text((8, y), "words that stand on a page and say nothing", fill=ink, font=font)
    return ground, kind, truth


def compose(
    rng: np.random.Generator, photograph: Image.Image, colours: Sequence[tuple[str, str]]
) -> Composed:
    """Lay one thing, in one of `colours` (code and term), over a ground made of a photograph."""
    terms = sorted({term for _, term in colours})
    term = str(rng.choice(terms))
    codes = [code for code, name in colours if name == term]
    code = str(rng.choice(codes))
    share = float(np.exp(rng.uniform(math.log(LEAST_SHARE), math.log(0.35))))
    image, kind, truth = _ground(rng, photograph)
    mask, thing = _mask(rng, share)
    covered = np.asarray(mask, dtype=np.float64).mean() / 255
    ramp = np.linspace(rng.uniform(0.78, 0.95), 1.0, SIDE)[:, None, None]
    rgb = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)])
    paint = rgb * (ramp if rng.random() < 0.5 else ramp.transpose(1, 0, 2))
    paint = np.broadcast_to(paint, (SIDE, SIDE, 3)) + rng.normal(0, 4, (SIDE, SIDE, 1))
    paint = Image.fromarray(np.clip(paint, 0, 255).astype(np.uint8))
    image = image.copy()
    image.paste(paint, mask=mask.filter(ImageFilter.GaussianBlur(0.8)))
    light = str(rng.choice(("neutral", "neutral", "warm", "cold")))
    lit = np.clip(np.asarray(image) * np.array(_LIGHTS[light]), 0, 255).astype(np.uint8)
    index = COLOR_NAMES.index(term)
    truth[index] = 1 if covered >= LEAST_SHARE * 0.75 else -1
    return Composed(Image.fromarray(lit), tuple(truth), covered, kind, thing, light)
