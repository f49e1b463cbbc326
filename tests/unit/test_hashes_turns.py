"""Hashes of turned and mirrored pictures, beside those of pictures that are really turned."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.domain.copies import hash_turns
from lookalike.imaging.phash import TURNS, hamming, phash, phash_turns

SAMPLES = sorted((Path(__file__).parents[2] / "samples" / "images").glob("*.jpg"))[:12]
WAYS = {
    "upright": None,
    "mirrored": Image.Transpose.FLIP_LEFT_RIGHT,
    "upside down": Image.Transpose.ROTATE_180,
    "flipped": Image.Transpose.FLIP_TOP_BOTTOM,
    "transposed": Image.Transpose.TRANSPOSE,
    "turned right": Image.Transpose.ROTATE_270,
    "transversed": Image.Transpose.TRANSVERSE,
    "turned left": Image.Transpose.ROTATE_90,
}


QUARTERS = ("upright", "turned left", "upside down", "turned right")
MIRRORED = ("mirrored", "transposed", "flipped", "transversed")


def turned_hashes(bits):
    """Return what `hash_turns` makes of a hash, in the order of `TURNS`."""
    by_name = dict(zip((*QUARTERS, *MIRRORED), hash_turns(bits), strict=True))
    return np.asarray([by_name[name] for name in TURNS], np.uint64)


def turned(picture, name):
    return picture if WAYS[name] is None else picture.transpose(WAYS[name])


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((2, 5, 9, 32)))
def test_they_are_the_hashes_of_the_turned_grey_picture(seed, detail):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (detail, detail), dtype=np.uint8))
    noisy = np.asarray(coarse.resize((32, 32), Image.Resampling.BICUBIC), np.int16)
    noisy = np.clip(noisy + rng.integers(-9, 10, (32, 32)), 0, 255).astype(np.uint8)
    picture = Image.fromarray(noisy)
    for name, found in zip(TURNS, phash_turns(picture), strict=True):
        assert int(found) == phash(turned(picture, name))[0], name


def test_the_order_is_that_of_exif_orientations():
    assert list(TURNS) == list(WAYS)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_photographs_turn_nearly_alike(path):
    with Image.open(path) as file:
        picture = file.convert("RGB")
    exact = phash_turns(picture)
    guessed = turned_hashes(int(exact[0]))
    assert exact.dtype == guessed.dtype == np.uint64
    assert int(exact[0]) == int(guessed[0]) == phash(picture)[0]
    for at, name in enumerate(TURNS):
        real = phash(turned(picture, name))[0]
        assert hamming(exact[at : at + 1], real)[0] <= 4, name
        assert hamming(guessed[at : at + 1], real)[0] <= 18, name


@given(st.integers(0, 2**64 - 1))
def test_turning_back_gives_the_hash_back(bits):
    guessed = turned_hashes(bits)
    assert guessed[0] == bits
    for name in ("mirrored", "upside down", "flipped", "transposed", "transversed"):
        at = list(TURNS).index(name)
        assert turned_hashes(int(guessed[at]))[at] == bits
    right, left = (list(TURNS).index(f"turned {way}") for way in ("right", "left"))
    assert turned_hashes(int(guessed[right]))[left] == bits
