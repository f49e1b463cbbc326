"""The perceptual hash, against the package that defines it."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from lookalike.imaging.phash import hamming, phash
from tests.unit.imaging.pictures import scene


def noise(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    return small.resize((200, 150), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_imagehashs_hash(seed: int) -> None:
    bits, quality = phash(noise(seed))
    assert bits == int(str(imagehash.phash(noise(seed))), 16)
    assert 0.7 < quality <= 1


def test_a_reduced_picture_hashes_nearly_alike() -> None:
    far = [
        int(hamming([phash(noise(s).reduce((3, 2)))[0]], phash(noise(s))[0])[0]) for s in range(20)
    ]
    assert max(far) <= 4


def test_a_flat_picture_has_no_quality() -> None:
    assert phash(Image.new("RGB", (80, 60), (200, 10, 10)))[1] == 0
    assert phash(Image.linear_gradient("L").resize((80, 60)))[1] < 0.3


def test_light_changes_stay_near_and_others_far() -> None:
    bits, _ = phash(scene())
    assert hamming([phash(scene().filter(ImageFilter.GaussianBlur(1)))[0]], bits)[0] <= 6
    assert hamming([phash(noise(3))[0]], bits)[0] > 16


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.integers(0, 2**64 - 1))
def test_distance_counts_differing_bits(hashes: list[int], query: int) -> None:
    assert hamming(hashes, query).tolist() == [(h ^ query).bit_count() for h in hashes]
