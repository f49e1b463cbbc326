"""Cutting detected objects out of pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.bundle import Preprocess
from lookalike.imaging.crops import crop_boxes

SQUASH = Preprocess(size=8)
CENTRE = Preprocess(size=8, resize="shortest_edge_center_crop")
sides = st.integers(1, 90)
parts = st.floats(0, 1)


def test_a_crop_is_what_the_box_holds():
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[10:20, 20:60] = (200, 100, 50)
    crop = crop_boxes(picture, [(0.25, 0.25, 0.5, 0.25)], SQUASH, margin=0, is_squared=False)
    assert crop.shape == (1, 8, 8, 3)
    assert (crop == (200, 100, 50)).all()


def test_a_margin_shows_what_is_around():
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[10:30, 10:30] = 255
    crop = crop_boxes(picture, [(0.25, 0.25, 0.5, 0.5)], Preprocess(size=24), margin=0.1)[0]
    assert (crop[3:-3, 3:-3] == 255).all()
    assert not crop[0].any()
    assert not crop[:, -1].any()


def test_crops_come_in_the_order_given():
    picture = np.zeros((10, 30, 3), np.uint8)
    picture[:, :10], picture[:, 10:20], picture[:, 20:] = 10, 20, 30
    boxes = [(2 / 3, 0, 1 / 3, 1), (0, 0, 1 / 3, 1), (1 / 3, 0, 1 / 3, 1)]
    crops = crop_boxes(picture, boxes, SQUASH, margin=0, is_squared=False)
    assert [int(crop.mean()) for crop in crops] == [30, 10, 20]


def test_the_shorter_side_is_widened_about_its_middle():
    picture = np.zeros((80, 80, 3), np.uint8)
    picture[20:60, 20:60] = 255
    tall = crop_boxes(picture, [(0.4, 0.25, 0.2, 0.5)], SQUASH, margin=0)[0]
    assert (tall == 255).all()
    wide = crop_boxes(picture, [(0.0, 0.4, 1.0, 0.2)], SQUASH, margin=0)[0]
    np.testing.assert_array_equal(wide, crop_boxes(picture, [(0, 0, 1, 1)], SQUASH)[0])


def test_a_centre_crop_keeps_the_ends_of_a_long_object():
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[28:32, :5] = picture[28:32, 55:] = 255
    long_box = (0.0, 28 / 60, 1.0, 4 / 60)
    crop = crop_boxes(picture, [long_box], Preprocess(60, CENTRE.resize), margin=0)[0]
    assert crop[:, :4].any()
    assert crop[:, -4:].any()


@given(sides, sides, parts, parts, parts, parts, st.sampled_from([SQUASH, CENTRE]))
def test_any_box_inside_gives_a_crop(height, width, x, y, w, h, preprocess):
    x, y = min(x, 0.999), min(y, 0.999)
    box = (x, y, max(w * (1 - x), 1e-4), max(h * (1 - y), 1e-4))
    crop = crop_boxes(np.full((height, width, 3), 77, np.uint8), [box], preprocess)
    assert crop.shape == (1, 8, 8, 3)
    assert (crop == 77).all()


@pytest.mark.parametrize("box", [(0, 0, 0, 1), (0, 0, 1, -1), (1.2, 0, 0.1, 1), (-1, 0, 0.5, 1)])
def test_a_box_outside_is_refused(box):
    with pytest.raises(ValueError, match="not inside"):
        crop_boxes(np.zeros((10, 10, 3), np.uint8), [box], SQUASH)


def test_nothing_gives_nothing_and_the_picture_is_not_changed():
    picture = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    before = picture.copy()
    picture.flags.writeable = False
    assert crop_boxes(picture, [], SQUASH).shape == (0, 8, 8, 3)
    crop_boxes(picture[:, ::-1], [(0, 0, 1, 1)], SQUASH)
    np.testing.assert_array_equal(picture, before)
