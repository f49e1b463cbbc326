"""Which queries the regions of pictures tell something of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lookalike.domain.queries import Query

MOST_NAMING_WORDS: Final = 2
"""So few words name a thing; more tell of a scene."""


def asks_regions(query: Query) -> bool:
    """Tell whether the objects inside pictures are searched, and order what is found.

    The nearest region tells more than the whole picture of what a part of a picture shows, and
    something of what a word or two name; it misleads where a sentence tells of a whole scene
    (eval/objects/regions.json).
    """
    if query.is_of_objects:
        return True
    if query.images:
        return any(part.region is not None and part.weight > 0 for part in query.images)
    words = " ".join(part.text for part in query.texts if part.weight > 0).split()
    return 0 < len(words) <= MOST_NAMING_WORDS
