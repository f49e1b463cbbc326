"""Words that were read as conditions: images that meet them first, the others behind.

A detector overlooks things, so that conditions alone find about half of what is there. Images
that meet them come first, in their own order, and where they end, those that the words alone
find (eval/objects/queries.json compares the ways).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lookalike.domain.errors import CursorError
from lookalike.domain.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.domain.hits import SearchResult
    from lookalike.domain.queries import Query


def search_read(query: Query, search: Callable[[Query], SearchResult]) -> SearchResult:
    """Answer a query, whose first conditions may have been read out of its words."""
    if not query.reading:
        return search(query)
    others = _others(query)
    try:
        met = search(query)
    except CursorError:  # the page before ended among the others
        answer = search(others)
        return replace(answer, reading=query.reading, reading_met=0)
    if len(met.hits) >= query.k or query.cursor is not None:
        return replace(met, reading_met=len(met.hits))
    room = query.k - len(met.hits)
    is_apart = len(query.reading) == 1  # else the others hold what was met too
    rest = search(replace(others, k=room) if is_apart else others)
    seen = {hit.record.id for hit in met.hits}
    least = met.hits[-1].score if met.hits else 1.0
    behind = [
        replace(hit, score=hit.score * least) for hit in rest.hits if hit.record.id not in seen
    ]
    return replace(
        met,
        hits=[*met.hits, *behind[:room]],
        total=met.total + rest.total,
        degraded=tuple(dict.fromkeys((*met.degraded, *rest.degraded))),
        timings_ms={**met.timings_ms, "others": rest.timings_ms.get("total", 0.0)},
        next=rest.next if is_apart else None,
        reading_met=len(met.hits),
        no_good_match=rest.no_good_match and not met.hits,
    )


def _others(query: Query) -> Query:
    """Return the query for images that do not meet what was read, as far as one filter can say."""
    count = len(query.reading)
    read, rest = query.filter.conditions[:count], query.filter.conditions[count:]
    if count == 1:
        rest = (replace(read[0], is_negated=not read[0].is_negated), *rest)
    return replace(query, filter=Filter(rest), reading=())
