"""The gate before reading text: what opens it, what does not, and what it does in trouble."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw, ImageFont

from lookalike.imaging import text_gate
from lookalike.imaging.text_gate import (
    BLOCK,
    CELL,
    FEATURES,
    LEVELS,
    THRESHOLD,
    convolve,
    features_of,
    levels_of,
    may_hold_text,
)


def page(text, height, *, size=(640, 480), ink="black", paper="white"):
    image = Image.new("RGB", size, paper)
    ImageDraw.Draw(image).text(
        (size[0] // 16, size[1] // 6), text, font=ImageFont.load_default(height), fill=ink
    )
    return np.asarray(image)


@pytest.mark.parametrize("height", [14, 20, 32, 60, 90])
@pytest.mark.parametrize("colours", [("black", "white"), ("white", (20, 40, 90))])
def test_drawn_words_open_it(height, colours):
    ink, paper = colours
    assert may_hold_text(page("NO PARKING", height, ink=ink, paper=paper)) >= THRESHOLD
    assert may_hold_text(page("Any time of day", height, ink=ink, paper=paper)) >= THRESHOLD


@pytest.mark.parametrize("size", [(120, 40), (2400, 1800)])
def test_small_and_large_pictures_are_looked_at_alike(size):
    picture = page("NO PARKING", size[0] // 10, size=size)
    assert may_hold_text(np.ascontiguousarray(picture)) >= THRESHOLD


def test_plain_pictures_leave_it_shut():
    slope = np.broadcast_to(np.linspace(0, 255, 640)[None, :, None], (480, 640, 3))
    y, x = np.mgrid[:480, :640]
    board = np.repeat((((y // 16 + x // 16) % 2) * 255)[:, :, None], 3, axis=2)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3))
    for picture in (slope, board, noise, np.zeros((480, 640, 3)), np.full((480, 640, 3), 255)):
        assert may_hold_text(picture.astype(np.uint8)) < THRESHOLD


@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70), st.just(3)), elements=st.just(9)
    )
)
@settings(max_examples=30, deadline=None)
def test_pictures_of_any_size_have_a_score(picture):
    assert 0 <= may_hold_text(picture) <= 1


def test_the_picture_may_lie_in_memory_in_any_way_and_stays_as_it_is():
    picture = page("NO PARKING", 30)
    expected = may_hold_text(picture)
    for same in (np.asfortranarray(picture), picture[::-1][::-1]):
        before = same.copy()
        same.flags.writeable = False
        assert may_hold_text(same) == expected
        np.testing.assert_array_equal(same, before)


@pytest.mark.parametrize(
    "bad", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3))]
)
def test_other_shapes_and_types_are_refused(bad):
    with pytest.raises(ValueError, match="picture must be"):
        may_hold_text(bad)


@pytest.mark.parametrize("size", [(1, 1), (31, 500), (500, 31), (640, 480), (5000, 20)])
def test_levels_are_whole_cells_each_half_the_one_before(size):
    levels = levels_of(np.zeros((size[1], size[0], 3), np.uint8))
    assert len(levels) == LEVELS
    for level, grey in enumerate(levels):
        assert grey.shape == tuple(side >> level for side in levels[0].shape)
        assert all(side % (CELL >> level) == 0 for side in grey.shape)
    assert max(levels[0].shape) <= 640 + CELL


def test_measurements_are_what_they_say():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (32, 32), dtype=np.uint8)
    got = features_of(grey)
    assert got.shape == (4, 4, FEATURES)
    block = grey[8:16:2, 8:16].astype(int)
    right, below = grey[8:16:2, 9:17].astype(int), grey[9:17:2, 8:16].astype(int)
    mean = block.sum() // 32
    wanted = {
        0: np.abs(block - right).mean() / 255,
        1: np.abs(block - below).mean() / 255,
        6: (np.abs(block - right) > 40).mean(),
        8: np.abs(block - mean).mean() / 255,
        9: (mean - block > 16).mean(),
        10: (block - mean > 16).mean(),
    }
    for feature, share in wanted.items():
        assert got[1, 1, feature] == pytest.approx(np.sqrt(share), abs=1e-5)
    assert (features_of(np.full((4 * BLOCK, 4 * BLOCK), 77, np.uint8)) == 0).all()


def test_a_convolution_is_the_sum_over_neighbours():
    rng = np.random.default_rng(0)
    plane = rng.standard_normal((5, 7, 3)).astype(np.float32)
    weight = rng.standard_normal((27, 4)).astype(np.float32)
    bias = rng.standard_normal(4).astype(np.float32)
    got = convolve(plane, weight, bias)
    assert got.shape == (3, 5, 4)
    for y in range(3):
        for x in range(5):
            wanted = plane[y : y + 3, x : x + 3].reshape(27) @ weight + bias
            np.testing.assert_allclose(got[y, x], np.maximum(wanted, 0), atol=1e-4)


def test_the_weights_come_with_the_package_and_are_small():
    weights = text_gate.packaged_weights()
    assert weights.first.shape[0] == 9 * FEATURES
    assert weights.second.shape[0] == 9 * weights.first.shape[1]
    assert sum(getattr(weights, name).size for name in weights.__slots__) < 20_000
    assert all(np.isfinite(getattr(weights, name)).all() for name in weights.__slots__)
