"""Colours: CIELAB, palettes, terms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.domain.images import COLOR_NAMES
from lookalike.imaging.colour import (
    PALETTE_SIZE,
    read_colours,
    srgb_to_lab,
    term_inputs,
    term_shares,
)


def patch(*colours: tuple[int, int, int]) -> np.ndarray:
    """Return vertical stripes of equal width."""
    stripes = [np.full((48, 48 // len(colours), 3), c, dtype=np.uint8) for c in colours]
    return np.concatenate(stripes, axis=1)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_lab_of_known_colours(rgb: tuple[int, ...], lab: tuple[float, ...]) -> None:
    assert np.allclose(srgb_to_lab(np.array(rgb)), lab, atol=0.05)


@pytest.mark.parametrize(
    ("rgb", "term"),
    [
        ((0, 0, 0), "black"),
        ((30, 30, 32), "black"),
        ((255, 255, 255), "white"),
        ((128, 128, 128), "grey"),
        ((255, 0, 0), "red"),
        ((139, 0, 0), "red"),
        ((220, 20, 60), "red"),
        ((255, 165, 0), "orange"),
        ((255, 120, 20), "orange"),
        ((255, 255, 0), "yellow"),
        ((255, 215, 0), "yellow"),
        ((0, 128, 0), "green"),
        ((0, 255, 0), "green"),
        ((85, 107, 47), "green"),
        ((152, 251, 152), "green"),
        ((0, 0, 255), "blue"),
        ((0, 0, 128), "blue"),
        ((135, 206, 235), "blue"),
        ((0, 255, 255), "blue"),
        ((70, 130, 180), "blue"),
        ((128, 0, 128), "purple"),
        ((148, 0, 211), "purple"),
        ((255, 192, 203), "pink"),
        ((255, 105, 180), "pink"),
        ((255, 0, 255), "pink"),
        ((139, 69, 19), "brown"),
        ((101, 67, 33), "brown"),
        ((210, 180, 140), "brown"),
    ],
)
def test_a_patch_bears_its_term(rgb: tuple[int, int, int], term: str) -> None:
    assert read_colours(patch(rgb)).tags == (term,)


def test_stripes_bear_all_their_terms_and_a_palette() -> None:
    colours = read_colours(patch((250, 20, 20), (20, 60, 230), (255, 255, 255)))
    assert set(colours.tags) == {"red", "blue", "white"}
    assert len(colours.palette) == 3
    assert sum(entry.weight for entry in colours.palette) == pytest.approx(1, abs=0.01)
    wanted = srgb_to_lab(np.array(((250, 20, 20), (20, 60, 230), (255, 255, 255))))
    for lab in wanted:
        gaps = [np.linalg.norm(lab - np.array(entry.lab)) for entry in colours.palette]
        assert min(gaps) < 1


def test_a_grey_photograph_bears_neutral_terms_only() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 48).astype(np.uint8)[None, :, None], (48, 48, 3))
    assert set(read_colours(ramp).tags) <= {"black", "white", "grey"}


def test_transparent_pixels_are_not_counted() -> None:
    pixels = patch((255, 255, 255), (0, 0, 255))
    alpha = np.where(np.arange(48) < 24, 0, 255).astype(np.uint8)
    colours = read_colours(pixels, np.broadcast_to(alpha, (48, 48)))
    assert colours.tags == ("blue",)
    assert len(colours.palette) == 1
    empty = read_colours(pixels, np.zeros((48, 48), dtype=np.uint8))
    assert (empty.tags, empty.palette) == ((), ())


@settings(max_examples=60)
@given(
    st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=8), st.integers(0, 1000)
)
def test_palettes_are_bounded_and_deterministic(
    colours: list[tuple[int, int, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    noisy = np.clip(patch(*colours).astype(int) + rng.integers(-6, 7, (48, 1, 1)), 0, 255)
    image = noisy.astype(np.uint8)
    first = read_colours(image)
    assert first == read_colours(image.copy())
    assert 1 <= len(first.palette) <= PALETTE_SIZE
    assert 0 < sum(entry.weight for entry in first.palette) <= 1.001
    weights = [entry.weight for entry in first.palette]
    assert weights == sorted(weights, reverse=True)
    assert first.tags
    assert set(first.tags) <= set(COLOR_NAMES)
    assert sum(first.shares) == pytest.approx(1, abs=0.01)


def test_one_pixel_has_a_colour() -> None:
    assert read_colours(np.asarray(Image.new("RGB", (1, 1), (0, 128, 0)))).tags == ("green",)


def thing_on(ground: np.ndarray, rgb: tuple[int, int, int], side: int) -> np.ndarray:
    """Lay a square of a colour on a ground of 48 pixels a side, off the middle."""
    image = ground.copy()
    image[8 : 8 + side, 27 : 27 + side] = rgb
    return image


@pytest.mark.parametrize(
    ("rgb", "term"),
    [
        ((200, 20, 30), "red"),
        ((250, 130, 20), "orange"),
        ((250, 220, 30), "yellow"),
        ((30, 140, 50), "green"),
        ((30, 60, 200), "blue"),
        ((120, 40, 160), "purple"),
        ((240, 90, 160), "pink"),
    ],
)
def test_a_small_thing_of_strong_colour_is_seen(rgb: tuple[int, int, int], term: str) -> None:
    ramp = np.linspace(70, 190, 48).astype(np.uint8)
    ground = np.broadcast_to(ramp[:, None, None], (48, 48, 3))
    assert term not in read_colours(ground).tags
    assert term in read_colours(thing_on(ground, rgb, 9)).tags  # 3.5 % of the picture
    assert term not in read_colours(thing_on(ground, rgb, 2)).tags  # 0.2 %
    speckled = ground.copy()
    speckled[::7, ::7] = rgb  # as much of it, nowhere together
    assert term not in read_colours(speckled).tags


def test_a_hint_of_colour_over_everything_is_not_said() -> None:
    assert read_colours(patch((250, 246, 232))).tags == ("white",)
    pale = set(read_colours(patch((200, 205, 212), (240, 240, 240))).tags)
    assert "blue" not in pale


def test_inputs_and_shares_agree_with_what_is_read() -> None:
    image = patch((250, 20, 20), (255, 255, 255))
    shares = dict(zip(COLOR_NAMES, term_shares(image), strict=True))
    assert (shares["red"], shares["white"]) == (0.5, 0.5)
    inputs = term_inputs(image)
    assert inputs.shape == (len(COLOR_NAMES), 2)
    red, green = COLOR_NAMES.index("red"), COLOR_NAMES.index("green")
    assert (inputs[red] > inputs[green]).all()
