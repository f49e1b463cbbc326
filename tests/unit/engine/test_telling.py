"""When regions may order the candidates of a query."""

import numpy as np
import pytest

from lookalike.domain.queries import ImagePart, Query, TextPart
from lookalike.engine.telling import telling_features

FEATURES = {"cosine": np.zeros(2, np.float32), "region": np.zeros(2, np.float32)}
PICTURE = ImagePart("id", "0" * 32)
PART = ImagePart("id", "0" * 32, region=(0.1, 0.1, 0.5, 0.5))


@pytest.mark.parametrize(
    ("query", "is_told"),
    [
        (Query(texts=(TextPart("penguin"),)), True),
        (Query(texts=(TextPart("traffic light"),)), True),
        (Query(texts=(TextPart("a dog runs on a beach"),)), False),
        (Query(texts=(TextPart("dog"), TextPart("beach party people", -0.5))), True),
        (Query(images=(PICTURE,)), False),
        (Query(images=(PART,)), True),
        (Query(images=(PART,), texts=(TextPart("at night with many people"),)), True),
        (Query(images=(PICTURE,), texts=(TextPart("night"),)), False),
    ],
)
def test_regions_order_parts_of_pictures_and_things_that_are_named(query, is_told):
    assert ("region" in telling_features(query, FEATURES)) == is_told
    assert "cosine" in telling_features(query, FEATURES)
