"""Model pixels and regions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lookalike.domain.bundle import Preprocess
from lookalike.domain.errors import UsageError
from lookalike.imaging.preprocess import crop_region, to_model_pixels
from tests.unit.imaging.pictures import scene


def test_squash_is_pillows_own_resize() -> None:
    pixels = to_model_pixels(scene(), Preprocess(50))
    wanted = np.asarray(scene().resize((50, 50), Image.Resampling.BILINEAR))
    assert pixels.shape == (50, 50, 3)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, wanted)


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (97, 61), (300, 40)])
def test_center_crop_is_resize_then_crop(size: tuple[int, int]) -> None:
    image = scene().resize(size)
    plan = Preprocess(32, "shortest_edge_center_crop", "bicubic")
    short = min(size)
    resized = image.resize((32 * size[0] // short, 32 * size[1] // short), Image.Resampling.BICUBIC)
    left, top = round((resized.width - 32) / 2), round((resized.height - 32) / 2)
    wanted = np.asarray(resized.crop((left, top, left + 32, top + 32)), dtype=int)
    assert np.abs(to_model_pixels(image, plan).astype(int) - wanted).max() <= 3


def test_a_picture_of_the_right_size_is_passed_on() -> None:
    image = scene().resize((40, 40))
    assert np.array_equal(to_model_pixels(image, Preprocess(40)), np.asarray(image))


def test_a_region_is_cut() -> None:
    assert crop_region(scene(), (0.5, 0.25, 0.25, 0.5)).size == (24, 32)
    assert crop_region(scene(), (0, 0, 1, 1)).size == scene().size
    assert crop_region(scene(), (0.999, 0.999, 0.001, 0.001)).size == (1, 1)


@pytest.mark.parametrize(
    "region", [(-0.1, 0, 1, 1), (0.5, 0, 0.6, 1), (0, 0, 0, 1), (0, 0, 1, -1), (2, 0, 1, 1)]
)
def test_a_region_outside_is_refused(region: tuple[float, float, float, float]) -> None:
    with pytest.raises(UsageError) as caught:
        crop_region(scene(), region)
    assert "fractions" in caught.value.hint


@given(st.floats(0, 0.99), st.floats(0, 0.99), st.floats(0.001, 1), st.floats(0.001, 1))
def test_any_region_inside_holds_pixels(x: float, y: float, width: float, height: float) -> None:
    cut = crop_region(scene(), (x, y, min(width, 1 - x), min(height, 1 - y)))
    assert min(cut.size) >= 1


@pytest.mark.parametrize("region", [(float("nan"), 0, 0.5, 0.5), (0, 0, float("inf"), 1)])
def test_a_region_of_no_numbers_is_refused(region: tuple[float, float, float, float]) -> None:
    with pytest.raises(UsageError):
        crop_region(scene(), region)
