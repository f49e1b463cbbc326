"""Which features order the candidates of a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.domain.queries import Query

MOST_NAMING_WORDS: Final = 2
"""So few words name a thing; more tell of a scene."""


def telling_features(
    query: Query, features: Mapping[str, NDArray[np.float32]]
) -> Mapping[str, NDArray[np.float32]]:
    """Return the features that order this query's candidates.

    The nearest region tells more than the whole picture of what a part of a picture shows, and
    something of what a word or two name; it misleads where a sentence tells of a whole scene
    (eval/objects/regions.json).
    """
    is_of_part = any(part.region is not None and part.weight > 0 for part in query.images)
    words = " ".join(part.text for part in query.texts if part.weight > 0).split()
    is_of_thing = not query.images and 0 < len(words) <= MOST_NAMING_WORDS
    if is_of_part or is_of_thing:
        return features
    return {name: values for name, values in features.items() if name != "region"}
