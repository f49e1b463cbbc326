"""The one call of the workers, and the pixels of a query."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.domain.bundle import Preprocess
from lookalike.domain.errors import ImageError, UsageError
from lookalike.domain.images import image_id
from lookalike.imaging.decode import DecodeLimits
from lookalike.imaging.examine import ExaminePlan, examine, load_query_pixels
from tests.unit.imaging import pictures
from tests.unit.imaging.pictures import encode, scene

SHARED = Path(__file__).parents[4] / "shared/data/exif-and-formats"


@pytest.mark.parametrize("format", sorted(pictures.files()))
def test_everything_is_read_in_one_call(format: str) -> None:
    data = pictures.files()[format]
    plan = ExaminePlan(Preprocess(48))
    examined = examine(data, plan=pickle.loads(pickle.dumps(plan)))
    facts = examined.facts
    assert facts.id == image_id(data)
    assert (facts.width, facts.height, facts.bytes) == (96, 64, len(data))
    assert facts.format == format
    assert examined.pixels is not None
    assert examined.pixels.shape == (48, 48, 3)
    assert Image.open(io.BytesIO(examined.thumbnail)).size == (96, 64)
    assert {"red", "green", "blue"} <= set(facts.color_tags)
    assert facts.phash > 0
    assert facts.phash_quality > 0.5
    again = pickle.loads(pickle.dumps(examined))
    assert again.facts == facts
    assert np.array_equal(again.pixels, examined.pixels)


def test_formats_agree_on_what_is_seen() -> None:
    plan = ExaminePlan()
    hashes = [examine(data, plan=plan).facts.phash for data in pictures.files().values()]
    assert max((h ^ hashes[0]).bit_count() for h in hashes) <= 8
    assert examine(pictures.files()["png"], plan=plan).pixels is None


def test_transparency_and_frames_are_flags() -> None:
    image = scene().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    assert examine(encode(image, "PNG"), plan=ExaminePlan()).facts.is_transparent
    facts = examine(pictures.frames("GIF"), plan=ExaminePlan()).facts
    assert facts.is_animated
    assert facts.frames == 3


def test_a_refusal_passes_through() -> None:
    with pytest.raises(ImageError):
        examine(b"no picture", plan=ExaminePlan())
    with pytest.raises(ImageError):
        examine(pictures.files()["png"], plan=ExaminePlan(limits=DecodeLimits(max_bytes=9)))


def test_query_pixels_of_a_region() -> None:
    data = encode(scene().resize((960, 640)), "JPEG", quality=95)
    preprocess = Preprocess(32)
    whole = load_query_pixels(data, preprocess=preprocess)
    red = load_query_pixels(data, preprocess=preprocess, region=(0, 0, 0.3, 0.3))
    assert whole.shape == red.shape == (32, 32, 3)
    assert red[..., 0].mean() > 200
    assert red[..., 1].mean() < 40
    with pytest.raises(UsageError):
        load_query_pixels(data, preprocess=preprocess, region=(0.5, 0.5, 0.6, 0.6))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared photographs are not beside this clone")
def test_files_of_real_cameras() -> None:
    for line in (SHARED / "labels.jsonl").read_text().splitlines():
        label = json.loads(line)
        facts = examine((SHARED / label["file"]).read_bytes(), plan=ExaminePlan()).facts
        assert facts.format == label["format"].lower()
        size = [facts.width, facts.height]
        wanted = label["orig_size"]
        assert size == wanted or size == wanted[::-1]
        if label.get("datetime_original"):
            assert facts.taken is not None
