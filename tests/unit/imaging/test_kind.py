"""The classifier of kinds, on plain cases; eval/kind/ measures it on real ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from lookalike.domain.images import KINDS
from lookalike.imaging.kind import FEATURES, classify, measure


def photograph() -> Image.Image:
    """Return noise on soft slopes of many scales, as a camera gives."""
    rng = np.random.default_rng(5)
    total = np.zeros((240, 320, 3))
    for scale in (4, 8, 16, 32, 64):
        coarse = rng.normal(0, 1, (240 // scale + 1, 320 // scale + 1, 3))
        rough = Image.fromarray(np.uint8(np.clip(coarse * 40 + 128, 0, 255)))
        total += np.asarray(rough.resize((320, 240), Image.Resampling.BICUBIC), dtype=float) / 5
    noisy = total * [1.0, 0.9, 0.75] + rng.normal(0, 4, total.shape)
    return Image.fromarray(np.uint8(np.clip(noisy, 0, 255)))


def clipart() -> Image.Image:
    image = Image.new("RGB", (640, 480), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.ellipse((80, 60, 480, 420), fill=(250, 200, 40), outline=(20, 20, 20), width=10)
    draw.rectangle((300, 200, 560, 460), fill=(40, 120, 220))
    draw.polygon(((20, 460), (160, 220), (300, 460)), fill=(60, 180, 80))
    return image.resize((320, 240), Image.Resampling.LANCZOS)


def text() -> Image.Image:
    image = Image.new("RGB", (320, 240), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for y in range(10, 230, 16):
        line = "the quick brown fox jumps over it all"
        draw.text((10, y), line, fill=(0, 0, 0), font=ImageFont.load_default(12))
    return image


def test_plain_cases() -> None:
    assert classify(photograph()).name == "photo"
    assert classify(photograph().convert("L").convert("RGB")).name == "photo"
    assert classify(clipart()).name == "clipart"
    assert classify(text()).name == "lineart"
    assert classify(text().filter(ImageFilter.GaussianBlur(0.6))).name == "lineart"


def test_outlines_with_a_little_colour_are_clipart_and_without_it_line_art() -> None:
    icon = Image.new("RGB", (256, 256), (255, 255, 255))
    draw = ImageDraw.Draw(icon)
    draw.ellipse((50, 50, 206, 206), outline=(0, 0, 0), width=6)
    draw.line((128, 60, 128, 196), fill=(0, 0, 0), width=6)
    assert classify(icon).name == "lineart"
    draw.ellipse((90, 90, 166, 166), fill=(240, 60, 40), outline=(0, 0, 0), width=6)
    assert classify(icon).name == "clipart"


@pytest.mark.parametrize("contrast", [1.0, 0.6, 0.4])
def test_a_photograph_in_fog_stays_one(contrast: float) -> None:
    grey = ImageEnhance.Contrast(photograph().convert("L")).enhance(contrast)
    assert classify(grey.convert("RGB")).name == "photo"


def test_a_decision_explains_itself() -> None:
    kind = classify(clipart())
    assert kind.confidence > 0.5
    assert set(kind.explain()) == set(FEATURES)
    assert any(value > 0 for value in kind.explain().values())


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 255))
def test_any_size_is_measured(width: int, height: int, level: int) -> None:
    image = Image.new("RGB", (width, height), (level, level // 2, 255 - level))
    features = measure(image)
    assert features.shape == (len(FEATURES),)
    assert np.isfinite(features).all()
    assert classify(image).name in KINDS


@pytest.mark.parametrize("size", [(5000, 9), (9, 5000)])
def test_long_and_thin_pictures(size: tuple[int, int]) -> None:
    assert classify(Image.new("RGB", size)).name in KINDS
