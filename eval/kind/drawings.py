"""Clipart and line art made by code, many ways, for choosing and measuring the classifier."""

from __future__ import annotations

import io
import math
import random
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable

SCALE = 3
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dogs",
    "while",
    "seven",
    "wizards",
    "box",
    "with",
    "quartz",
    "report",
    "total",
    "revenue",
    "index",
    "figure",
    "table",
    "system",
    "input",
    "output",
    "server",
    "cloud",
    "user",
    "data",
]


def _canvas(
    rng: random.Random, ground: tuple[int, int, int]
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    size = (rng.choice((96, 160, 224, 320, 480)), rng.choice((96, 160, 224, 320, 480)))
    image = Image.new("RGB", (size[0] * SCALE, size[1] * SCALE), ground)
    return image, ImageDraw.Draw(image)


def _finish(image: Image.Image, rng: random.Random) -> Image.Image:
    small = image.resize((image.width // SCALE, image.height // SCALE), Image.Resampling.LANCZOS)
    return small if rng.random() < 0.7 else small.filter(ImageFilter.GaussianBlur(rng.random()))


def _colour(rng: random.Random) -> tuple[int, int, int]:
    return (rng.randrange(256), rng.randrange(256), rng.randrange(256))


def _point(rng: random.Random, image: Image.Image) -> tuple[int, int]:
    return rng.randrange(image.width), rng.randrange(image.height)


def flat_shapes(rng: random.Random) -> Image.Image:
    """Draw overlapping filled shapes, some outlined."""
    image, draw = _canvas(rng, _colour(rng) if rng.random() < 0.5 else (255, 255, 255))
    for _ in range(rng.randrange(3, 25)):
        (x, y), r = _point(rng, image), rng.randrange(20, image.width // 2)
        box = (x - r, y - r * rng.random(), x + r, y + r)
        pen = (0, 0, 0) if rng.random() < 0.4 else None
        kind = rng.randrange(4)
        if kind == 0:
            draw.ellipse(box, fill=_colour(rng), outline=pen, width=6)
        elif kind == 1:
            draw.rounded_rectangle(box, radius=20, fill=_colour(rng), outline=pen, width=6)
        elif kind == 2:
            draw.polygon(
                [_point(rng, image) for _ in range(rng.randrange(3, 8))], fill=_colour(rng)
            )
        else:
            draw.pieslice(box, rng.randrange(360), rng.randrange(360), fill=_colour(rng))
    return _finish(image, rng)


def chart(rng: random.Random) -> Image.Image:
    """Draw a bar chart with coloured bars, axes and labels."""
    image, draw = _canvas(rng, (255, 255, 255))
    width, height = image.size
    bars, colours = rng.randrange(4, 14), [_colour(rng) for _ in range(3)]
    font = ImageFont.load_default(12 * SCALE)
    for i in range(bars):
        x, top = width * (i + 1) // (bars + 2), rng.randrange(height // 8, height * 3 // 4)
        draw.rectangle((x, top, x + width // (bars + 4), height * 7 // 8), fill=colours[i % 3])
        draw.text((x, height * 7 // 8 + 6), str(rng.randrange(99)), fill=(40, 40, 40), font=font)
    draw.line((width // 14, height // 12, width // 14, height * 7 // 8), fill=(0, 0, 0), width=4)
    draw.text((width // 4, 10), " ".join(rng.sample(WORDS, 2)), fill=(0, 0, 0), font=font)
    return _finish(image, rng)


def gradient_icon(rng: random.Random) -> Image.Image:
    """Draw a button: a gradient under a symbol, rounded, with a shadow."""
    image, _ = _canvas(rng, (255, 255, 255))
    top, bottom = np.array(_colour(rng)), np.array(_colour(rng))
    t = np.linspace(0, 1, image.height)[:, None, None]
    ramp = Image.fromarray(
        np.broadcast_to(top * (1 - t) + bottom * t, (image.height, image.width, 3)).astype(np.uint8)
    )
    mask = Image.new("L", image.size, 0)
    inset = image.width // 10
    box = (inset, inset, image.width - inset, max(image.height - inset, inset + 1))
    ImageDraw.Draw(mask).rounded_rectangle(box, radius=image.width // 8, fill=255)
    image.paste((200, 200, 200), (SCALE * 3, SCALE * 3), mask.filter(ImageFilter.GaussianBlur(9)))
    image.paste(ramp, mask=mask)
    draw = ImageDraw.Draw(image)
    centre, r = (image.width // 2, image.height // 2), min(image.size) // 4
    points = [
        (
            centre[0] + r * (1 if i % 2 else 0.45) * math.cos(i * math.pi / 5),
            centre[1] + r * (1 if i % 2 else 0.45) * math.sin(i * math.pi / 5),
        )
        for i in range(10)
    ]
    draw.polygon(points, fill=_colour(rng))
    return _finish(image, rng)


def screen(rng: random.Random) -> Image.Image:
    """Draw something like a program's window: panels, buttons, coloured text."""
    image, draw = _canvas(rng, rng.choice(((245, 245, 247), (30, 32, 40), (255, 255, 255))))
    font = ImageFont.load_default(11 * SCALE)
    accent = _colour(rng)
    draw.rectangle((0, 0, image.width, 26 * SCALE), fill=accent)
    for y in range(34 * SCALE, image.height, 18 * SCALE):
        text = " ".join(rng.choices(WORDS, k=rng.randrange(2, 8)))
        ink = _colour(rng) if rng.random() < 0.4 else (120, 120, 120)
        draw.text((12 * SCALE, y), text, fill=ink, font=font)
        if rng.random() < 0.25:
            draw.rectangle((image.width // 2, y, image.width - 20, y + 40), fill=_colour(rng))
    return _finish(image, rng)


def _ink(rng: random.Random) -> tuple[int, int, int]:
    level = rng.choice((0, 0, 0, 30, 60, 90))
    return (level, level, level + (20 if rng.random() < 0.1 else 0))


def _paper(rng: random.Random) -> tuple[int, int, int]:
    return rng.choice(((255, 255, 255),) * 4 + ((250, 248, 240), (240, 240, 240)))


def text_page(rng: random.Random) -> Image.Image:
    """Draw lines of text."""
    image, draw = _canvas(rng, _paper(rng))
    size = rng.choice((8, 11, 14, 22)) * SCALE
    font, ink = ImageFont.load_default(size), _ink(rng)
    for y in range(size, image.height - size, size * 3 // 2):
        draw.text((size, y), " ".join(rng.choices(WORDS, k=20)), fill=ink, font=font)
    return _finish(image, rng)


def sketch(rng: random.Random) -> Image.Image:
    """Draw wandering curves of a pen."""
    image, draw = _canvas(rng, _paper(rng))
    ink = _ink(rng)
    for _ in range(rng.randrange(3, 40)):
        x, y = _point(rng, image)
        angle, points = rng.random() * 7, [(float(x), float(y))]
        for _ in range(rng.randrange(10, 80)):
            angle += rng.gauss(0, 0.3)
            last = points[-1]
            points.append((last[0] + 12 * math.cos(angle), last[1] + 12 * math.sin(angle)))
        draw.line(points, fill=ink, width=rng.randrange(2, 8), joint="curve")
    return _finish(image, rng)


def diagram(rng: random.Random) -> Image.Image:
    """Draw boxes with words, joined by lines."""
    image, draw = _canvas(rng, _paper(rng))
    font, ink, last = ImageFont.load_default(12 * SCALE), _ink(rng), None
    for _ in range(rng.randrange(3, 12)):
        x, y = _point(rng, image)
        if last:
            draw.line((*last, x, y), fill=ink, width=4)
        last = (x, y)
        box = (x - 40 * SCALE, y - 14 * SCALE, x + 40 * SCALE, y + 14 * SCALE)
        shape = draw.ellipse if rng.random() < 0.4 else draw.rectangle
        shape(box, fill=_paper(rng), outline=ink, width=rng.choice((2, 4, 6)))
        draw.text((x - 30 * SCALE, y - 8 * SCALE), rng.choice(WORDS), fill=ink, font=font)
    return _finish(image, rng)


def outlines(rng: random.Random) -> Image.Image:
    """Draw shapes as in a colouring book, some hatched."""
    image, draw = _canvas(rng, _paper(rng))
    ink, pen = _ink(rng), rng.choice((3, 6, 9))
    for _ in range(rng.randrange(2, 16)):
        (x, y), r = _point(rng, image), rng.randrange(30, max(image.width // 3, 31))
        draw.ellipse((x - r, y - r * 0.8, x + r, y + r), outline=ink, width=pen)
        if rng.random() < 0.3:
            for step in range(-r, r, 24):
                draw.line((x + step, y - r // 2, x + step + r // 2, y + r // 2), fill=ink, width=2)
    return _finish(image, rng)


def scan(rng: random.Random) -> Image.Image:
    """Draw a page as a scanner sees it: uneven, noisy, a little turned."""
    page = rng.choice((text_page, sketch, diagram, outlines))(rng)
    page = page.rotate(rng.gauss(0, 1.5), Image.Resampling.BICUBIC, fillcolor=(252, 252, 252))
    values = np.asarray(page, dtype=np.float32)
    light = np.linspace(1, 1 - 0.12 * rng.random(), values.shape[1])[None, :, None]
    noise = np.random.default_rng(rng.randrange(1 << 30)).normal(0, 3 * rng.random(), values.shape)
    return Image.fromarray(np.clip(values * light + noise, 0, 255).astype(np.uint8))


CLIPART: tuple[Callable[[random.Random], Image.Image], ...] = (
    flat_shapes, chart, gradient_icon, screen,
)  # fmt: skip
LINEART: tuple[Callable[[random.Random], Image.Image], ...] = (
    text_page, sketch, diagram, outlines, scan,
)  # fmt: skip


def pencil(photograph: Image.Image) -> Image.Image:
    """Redraw a photograph with a pencil: its grey divided by its blurred grey."""
    grey = photograph.convert("L")
    soft = np.asarray(grey.filter(ImageFilter.GaussianBlur(6)), dtype=np.float32)
    ratio = np.asarray(grey, dtype=np.float32) / np.maximum(soft, 8)
    return Image.fromarray(np.clip(ratio * 245, 0, 255).astype(np.uint8)).convert("RGB")


def engraving(photograph: Image.Image) -> Image.Image:
    """Redraw a photograph as an engraver does: waving lines, the wider the darker."""
    grey = np.asarray(photograph.convert("L").resize((480, 480)), dtype=np.float32) / 255
    y, x = np.mgrid[0:480, 0:480]
    wave = (np.sin((y + 4 * np.sin(x / 23)) * 2 * math.pi / 7) + 1) / 2
    ink = np.where(wave > grey * 1.15, 30.0, 248.0)
    page = Image.fromarray(ink.astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.7))
    return page.convert("RGB")


def edges(photograph: Image.Image) -> Image.Image:
    """Redraw a photograph by its outlines: a thresholded difference of two blurs."""
    grey = photograph.convert("L").resize((320, 320), Image.Resampling.BICUBIC)
    near = np.asarray(grey.filter(ImageFilter.GaussianBlur(1.0)), dtype=np.float32)
    far = np.asarray(grey.filter(ImageFilter.GaussianBlur(1.8)), dtype=np.float32)
    tone = 255 * (1 + np.tanh(np.minimum(near - 0.98 * far - 4, 0) / 3))
    return Image.fromarray(np.clip(tone, 0, 255).astype(np.uint8)).convert("RGB")


REDRAWN: dict[str, Callable[[Image.Image], Image.Image]] = {
    "pencil": pencil, "engraving": engraving, "edges": edges,
}  # fmt: skip


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Return the picture as JPEG gives it back."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
