"""Laying one picture over another: what was done to it is read off, whatever it was."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.domain.copies import hash_turns
from lookalike.imaging.geometry import align, match_whole, turned
from lookalike.imaging.geometry_views import (
    LONGEST,
    MOST_KEYPOINTS,
    KeypointFinder,
    Keypoints,
    read_view,
    view_of,
    view_of_pixels,
)
from lookalike.imaging.phash import phash

SAMPLES = Path(__file__).parents[3] / "samples/images"
FINDER = KeypointFinder()


def load(name, side=320):
    image = Image.open(SAMPLES / name).convert("RGB")
    image.thumbnail((side, side))
    return image


@pytest.fixture(scope="module")
def big_ben():
    return load("big-ben.jpg")


@pytest.fixture(scope="module")
def stranger():
    return load("book-beside-flowers.jpg")


def looked(image):
    view = view_of(image)
    assert view is not None
    return view, FINDER.find(view)


def overlap_of(first, second):
    return align(looked(first), looked(second))


def test_a_crop_says_how_much_of_the_picture_it_shows(big_ben):
    width, height = big_ben.size
    crop = big_ben.crop((width // 10, height // 10, width * 8 // 10, height * 9 // 10))
    found = overlap_of(crop, big_ben)
    assert found is not None
    assert found.of_first > 0.98
    assert found.of_second == pytest.approx(0.7 * 0.8, abs=0.03)
    assert found.likeness.agreeing > 0.95
    assert not found.is_mirrored
    back = overlap_of(big_ben, crop)
    assert back is not None
    assert back.of_first == pytest.approx(found.of_second, abs=0.02)
    assert back.scale == pytest.approx(1 / found.scale, rel=0.03)


@pytest.mark.parametrize("degrees", [4, -9, 30, 90])
def test_a_turn_is_measured_against_the_clock(big_ben, degrees):
    found = overlap_of(big_ben, big_ben.rotate(degrees, Image.Resampling.BICUBIC, expand=True))
    assert found is not None
    assert found.angle == pytest.approx(degrees, abs=1)
    assert found.likeness.agreeing > 0.95


def test_a_mirrored_crop_is_seen_to_be_mirrored(big_ben):
    width, height = big_ben.size
    crop = big_ben.crop((0, 0, width * 9 // 10, height * 9 // 10))
    found = overlap_of(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT), big_ben)
    assert found is not None
    assert found.is_mirrored
    assert abs(found.angle) < 1
    assert found.likeness.agreeing > 0.95
    assert (
        align(
            looked(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)), looked(big_ben), mirror=False
        )
        is None
    )


def test_both_pictures_of_a_collage_are_found_in_it(big_ben, stranger):
    other = stranger.resize(big_ben.size)
    both = Image.new("RGB", (2 * big_ben.width, big_ben.height))
    both.paste(big_ben, (0, 0))
    both.paste(other, (big_ben.width, 0))
    for part in (big_ben, other):
        found = overlap_of(part, both)
        assert found is not None
        assert found.of_first > 0.97
        assert found.of_second == pytest.approx(0.5, abs=0.03)
        assert found.rest > 20


def test_the_rest_of_a_bordered_picture_is_flat(big_ben):
    framed = Image.new("RGB", (big_ben.width + 60, big_ben.height + 60), (250, 250, 250))
    framed.paste(big_ben, (30, 30))
    found = overlap_of(big_ben, framed)
    assert found is not None
    assert found.rest < 10


def test_different_pictures_do_not_agree(big_ben, stranger):
    found = overlap_of(big_ben, stranger)
    assert found is None or found.likeness.agreeing < 0.3
    views = view_of(big_ben), view_of(stranger)
    assert match_whole(*views).likeness.agreeing < 0.3


def test_what_moved_in_the_scene_disagrees(big_ben, stranger):
    moved = big_ben.copy()
    size = big_ben.width // 2, big_ben.height // 2
    moved.paste(stranger.resize(size), (big_ben.width // 4, big_ben.height // 4))
    found = match_whole(view_of(big_ben), view_of(moved))
    assert 0.2 < found.likeness.agreeing < 0.9
    assert found.likeness.low < 0.5


@pytest.mark.parametrize("turn", range(8))
def test_the_whole_is_laid_in_its_best_turn(big_ben, turn):
    changed = Image.fromarray(np.ascontiguousarray(turned(np.asarray(big_ben), turn)))
    found = match_whole(view_of(big_ben), view_of(changed.resize((200, 150))))
    assert found.turn == turn
    assert found.likeness.agreeing > 0.95


def test_recolouring_and_lightening_are_told(big_ben):
    view = view_of(big_ben)
    plain = match_whole(view, view).likeness
    assert plain.recolouring < 1
    assert abs(plain.lightening) < 1
    grey = view_of(big_ben.convert("L").convert("RGB"))
    assert match_whole(view, grey).likeness.recolouring > 5
    dark = view_of(big_ben.point(lambda value: value // 2))
    assert match_whole(view, dark).likeness.lightening < -20
    assert match_whole(view, dark).likeness.agreeing > 0.95


def test_keypoints_are_bounded_spread_and_the_same_every_time(big_ben):
    view = view_of(big_ben)
    first, again = FINDER.find(view), KeypointFinder().find(view)
    assert len(first) == MOST_KEYPOINTS
    assert np.array_equal(first.places, again.places)
    assert np.array_equal(first.descriptors, again.descriptors)
    assert np.allclose(np.linalg.norm(first.descriptors, axis=1), 1, atol=1e-3)
    cells = {tuple(cell) for cell in (first.places // 64).astype(int).tolist()}
    assert len(cells) > 8


def test_a_view_is_bounded_whatever_the_picture(big_ben):
    small = view_of(big_ben.resize((40, 30)))
    assert max(small.grey.shape) == 224
    large = view_of(big_ben.resize((2000, 1500)))
    assert max(large.grey.shape) == LONGEST


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8\xff", b"no picture at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 40],
    ids=["empty", "cut", "text", "png"],
)
def test_bytes_that_are_no_picture_have_no_view(data):
    assert read_view(data) is None


def test_a_strip_and_a_bomb_have_no_view():
    assert view_of(Image.new("RGB", (2000, 20))) is None
    assert view_of_pixels(np.zeros((1, 1, 3), np.uint8)) is None
    buffer = io.BytesIO()
    Image.new("L", (6000, 6000)).save(buffer, "PNG")
    assert read_view(buffer.getvalue()) is None


def test_flat_pictures_have_nothing_to_compare(big_ben):
    flat = looked(Image.new("RGB", (300, 200), (90, 90, 90)))
    assert flat[0].is_flat
    assert len(flat[1]) == 0
    assert match_whole(flat[0], flat[0]).likeness.agreeing == 0
    assert align(flat, flat) is None
    assert align(flat, looked(big_ben)) is None


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 60))
def test_noise_is_no_copy_and_no_crash(seed, count):
    rng = np.random.default_rng(seed)
    view = view_of_pixels(rng.integers(0, 256, (64, 80, 3), dtype=np.uint8))

    def points():
        described = rng.random((count, 128), dtype=np.float32)
        described /= np.linalg.norm(described, axis=1, keepdims=True)
        return Keypoints((rng.random((count, 2)) * 200).astype(np.float32), described)

    found = align((view, points()), (view, points()))
    assert found is None or found.inliers <= found.matches <= count


def test_the_hash_of_a_turned_picture_is_nearly_known_from_its_hash(big_ben):
    bits, _ = phash(big_ben)
    for turn, expected in enumerate(hash_turns(bits)):
        changed = np.ascontiguousarray(turned(np.asarray(big_ben), turn))
        assert (phash(Image.fromarray(changed))[0] ^ expected).bit_count() <= 4
