"""Copies as the web makes them: each transform turns an RGB picture into a file's bytes.

Fonts, places and strengths are drawn from a seeded `random.Random`, so that a copy depends only
on its picture's name and its transform.
"""

from __future__ import annotations

import colorsys
import io
import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

Transform = Callable[[Image.Image, random.Random], Image.Image]
WORDS = (
    "BREAKING",
    "NEWS",
    "happy birthday",
    "to you",
    "SALE",
    "50%",
    "when you see it",
    "best day",
)


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def resized(image: Image.Image, width: float, height: float) -> Image.Image:
    size = (max(8, round(width)), max(8, round(height)))
    return image.resize(size, Image.Resampling.LANCZOS)


def cropped(share: float) -> Transform:
    """Take `share` of the area away, from any sides."""

    def apply(image: Image.Image, rng: random.Random) -> Image.Image:
        side = math.sqrt(1 - share)
        width, height = round(image.width * side), round(image.height * side)
        x, y = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
        return image.crop((x, y, x + width, y + height))

    return apply


def cropped_sides(share: float) -> Transform:
    """Take `share` of the width and of the height away."""
    return cropped(1 - (1 - share) ** 2)


def border(image: Image.Image, rng: random.Random) -> Image.Image:
    wide = round(max(image.size) * rng.uniform(0.06, 0.14))
    colour = rng.choice(((0, 0, 0), (255, 255, 255), (200, 30, 40)))
    framed = Image.new("RGB", (image.width + 2 * wide, image.height + 2 * wide), colour)
    framed.paste(image, (wide, wide))
    return framed


def text_overlay(image: Image.Image, rng: random.Random) -> Image.Image:
    out = image.copy()
    draw = ImageDraw.Draw(out)
    font = ImageFont.load_default(size=max(10, round(image.height * rng.uniform(0.09, 0.14))))
    for y in (rng.uniform(0.02, 0.1), rng.uniform(0.75, 0.85)):
        text = " ".join(rng.sample(WORDS, 3))
        draw.text(
            (image.width * 0.03, image.height * y),
            text,
            fill=(255, 255, 255),
            font=font,
            stroke_width=2,
            stroke_fill=(0, 0, 0),
        )
    return out


def watermark(image: Image.Image, rng: random.Random) -> Image.Image:
    layer = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(layer)
    font = ImageFont.load_default(size=max(9, round(image.height * 0.1)))
    for row in range(3):
        for column in range(2):
            at = (
                image.width * (column * 0.5 + 0.1 * rng.random()),
                image.height * (row / 3 + 0.1),
            )
            draw.text(at, "© stock", fill=130, font=font)
    layer = layer.rotate(20)
    return Image.composite(Image.new("RGB", image.size, (255, 255, 255)), image, layer)


def hue(image: Image.Image, rng: random.Random) -> Image.Image:
    hsv = np.array(image.convert("HSV"))
    hsv[..., 0] += np.uint8(rng.choice((40, 85, 128, 170, 215)))
    return _from_hsv(hsv)


def _from_hsv(hsv: np.ndarray) -> Image.Image:
    image = Image.frombytes("HSV", (hsv.shape[1], hsv.shape[0]), hsv.tobytes())
    return image.convert("RGB")


def tinted(image: Image.Image, rng: random.Random) -> Image.Image:
    tone = np.array(colorsys.hsv_to_rgb(rng.random(), 0.4, 1.0))
    grey = np.asarray(image.convert("L"), dtype=float)[..., None]
    return Image.fromarray((grey * tone).astype(np.uint8))


def grey(image: Image.Image, _: random.Random) -> Image.Image:
    return image.convert("L").convert("RGB")


def brightness(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(rng.choice((0.5, 0.6, 1.4, 1.6)))


def contrast(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(rng.choice((0.5, 1.6)))


def blur(image: Image.Image, _: random.Random) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(max(image.size) / 110))


def mirror(image: Image.Image, _: random.Random) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def turned(move: Image.Transpose) -> Transform:
    return lambda image, _: image.transpose(move)


def tilted(degrees: float, *, is_cropped: bool) -> Transform:
    """Turn by a small angle, with black corners or cropped to what is whole."""

    def apply(image: Image.Image, rng: random.Random) -> Image.Image:
        angle = degrees * rng.choice((-1, 1))
        out = image.rotate(angle, Image.Resampling.BICUBIC)
        if not is_cropped:
            return out
        radians = math.radians(degrees)
        keep = 1 / (math.cos(radians) + math.sin(radians) * max(image.size) / min(image.size))
        x, y = image.width * (1 - keep) / 2, image.height * (1 - keep) / 2
        return out.crop((round(x), round(y), round(image.width - x), round(image.height - y)))

    return apply


def quarter(image: Image.Image, _: random.Random) -> Image.Image:
    return resized(image, image.width / 4, image.height / 4)


def squeezed(image: Image.Image, _: random.Random) -> Image.Image:
    return resized(image, image.width * 1.1, image.height * 0.8)


def mirrored_crop(image: Image.Image, rng: random.Random) -> Image.Image:
    return mirror(cropped(0.2)(image, rng), rng)


def screenshot(image: Image.Image, rng: random.Random) -> Image.Image:
    """Lie in a page of bars and text, at two thirds of its size."""
    page = Image.new("RGB", (round(image.width * 1.3), round(image.height * 1.8)), (246, 246, 248))
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, page.width, page.height * 0.1), fill=(40, 60, 120))
    font = ImageFont.load_default(size=max(9, round(page.height * 0.03)))
    for line in range(4):
        y = page.height * (0.75 + 0.05 * line)
        draw.text((12, y), " ".join(rng.sample(WORDS, 5)), fill=(30, 30, 30), font=font)
    page.paste(image, (round(page.width * 0.1), round(page.height * 0.14)))
    return page


TRANSFORMS: dict[str, tuple[Transform, int]] = {
    "jpeg 30": (lambda image, _: image, 30),
    "resize to a quarter": (quarter, 85),
    "crop 5 %": (cropped(0.05), 85),
    "crop 10 %": (cropped(0.10), 85),
    "crop 20 %": (cropped(0.20), 85),
    "crop 30 %": (cropped(0.30), 85),
    "crop 40 %": (cropped(0.40), 85),
    "crop 40 % of each side": (cropped_sides(0.40), 85),
    "border": (border, 85),
    "text overlay": (text_overlay, 85),
    "watermark": (watermark, 85),
    "hue": (hue, 85),
    "grey": (grey, 85),
    "tinted": (tinted, 85),
    "brightness": (brightness, 85),
    "contrast": (contrast, 85),
    "blur": (blur, 85),
    "mirror": (mirror, 85),
    "turn 90°": (turned(Image.Transpose.ROTATE_90), 85),
    "turn 180°": (turned(Image.Transpose.ROTATE_180), 85),
    "turn 3°": (tilted(3, is_cropped=True), 85),
    "turn 5°, black corners": (tilted(5, is_cropped=False), 85),
    "turn 10°": (tilted(10, is_cropped=True), 85),
    "squeezed": (squeezed, 85),
    "mirrored and cropped 20 %": (mirrored_crop, 85),
    "screenshot of a page": (screenshot, 85),
}
COLLAGES = ("collage of two", "collage of two, squashed")
NAMES = (*TRANSFORMS, *COLLAGES)


def copy_of(name: str, image: Image.Image, key: str, other: Image.Image) -> bytes:
    """Return the bytes of one copy; `other` stands beside it in a collage."""
    rng = random.Random(f"{key}:{name}")
    if name in COLLAGES:
        return jpeg(_collage(image, other, rng, is_squashed=name == COLLAGES[1]))
    transform, quality = TRANSFORMS[name]
    return jpeg(transform(image, rng), quality)


def _collage(
    image: Image.Image, other: Image.Image, rng: random.Random, *, is_squashed: bool
) -> Image.Image:
    pair = [image, other.resize(image.size, Image.Resampling.LANCZOS)]
    rng.shuffle(pair)
    width, height = image.size
    is_beside = rng.random() < 0.5
    size = (2 * width, height) if is_beside else (width, 2 * height)
    both = Image.new("RGB", size)
    both.paste(pair[0], (0, 0))
    both.paste(pair[1], (width, 0) if is_beside else (0, height))
    return both.resize((width, height), Image.Resampling.LANCZOS) if is_squashed else both
