"""When the objects inside pictures are searched, and order what is found."""

from dataclasses import replace

import pytest

from lookalike.domain.queries import ImagePart, Query, TextPart
from lookalike.engine.telling import asks_regions

PICTURE = ImagePart("id", "0" * 32)
PART = ImagePart("id", "0" * 32, region=(0.1, 0.1, 0.5, 0.5))
SCENE = Query(texts=(TextPart("a dog runs on a beach"),))


@pytest.mark.parametrize(
    ("query", "is_asked"),
    [
        (Query(texts=(TextPart("penguin"),)), True),
        (Query(texts=(TextPart("traffic light"),)), True),
        (SCENE, False),
        (replace(SCENE, is_of_objects=True), True),
        (Query(texts=(TextPart("dog"), TextPart("beach party people", -0.5))), True),
        (Query(images=(PICTURE,)), False),
        (Query(images=(PART,)), True),
        (Query(images=(replace(PART, weight=-0.5),)), False),
        (Query(images=(PART,), texts=(TextPart("at night with many people"),)), True),
        (Query(images=(PICTURE,), texts=(TextPart("night"),)), False),
        (Query(), False),
    ],
)
def test_regions_tell_of_parts_of_pictures_and_of_things_that_are_named(query, is_asked):
    assert asks_regions(query) == is_asked
