"""Pages behind the candidates that were ranked, to 10,000 results deep.

A ranking is fused from the best of each path, a few hundred to a few thousand candidates. Behind
them every other image comes in the order of its cosine with the query, which no later write
changes: a page begins below the cosine where the page before ended. So nothing comes twice and
nothing is left out, whatever is added and removed meanwhile, and a cursor stays small.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.hits import NO_ROW
from lookalike.engine.cursor import DeepCursor, RankedCursor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.domain.arrays import RowArray
    from lookalike.domain.hits import Selection
    from lookalike.domain.queries import Query
    from lookalike.engine.candidates import Gatherer
    from lookalike.engine.query_vectors import QueryVector
    from lookalike.engine.stores import Stores

MOST_RESULTS: Final = 10_000
"""So many results a query has at most, over all its pages."""

MOST_DEPTH: Final = 16_384
"""So deep the vectors are searched: past the results by what was added or removed meanwhile."""

MOST_WORDS: Final = 10_000
"""So many images are asked of the words where these must occur."""

SLACK: Final = 64
NEAR: Final = 1e-5
"""Two searches may give the cosine of one row so far apart."""


@dataclass(frozen=True, slots=True)
class DeepPage:
    """`(n,)` rows behind a ranking with their scores, and where the next page begins."""

    rows: RowArray
    scores: NDArray[np.float32]
    next: DeepCursor | None


def behind(ranked: RankedCursor) -> DeepCursor | None:
    """Return the place behind a ranking that has been given whole, if anything is there."""
    if ranked.horizon is None or ranked.total >= MOST_RESULTS:
        return None
    seen = np.union1d(ranked.seen, ranked.rows)
    floor = float(ranked.scores[-1]) if len(ranked.scores) else 1.0
    none = np.empty(0, dtype=np.int64)
    return DeepCursor(np.inf, floor, seen, none, ranked.total, ranked.total, ranked.horizon)


def deep_page(
    query: Query,
    vector: QueryVector | None,
    selection: Selection | None,
    cursor: DeepCursor,
    *,
    stores: Stores,
    gatherer: Gatherer,
) -> DeepPage:
    """Return the page at a place; words that must occur are asked for, else vectors alone."""
    wanted = min(query.k, MOST_RESULTS - cursor.given)
    if vector is None or query.match.phrases or query.match.ocr_phrases:
        rows, cosines = _by_words(query, vector, selection, cursor, stores, gatherer)
    else:
        rows, cosines = _by_vector(vector, selection, cursor, stores, wanted)
    given = cursor.given + min(wanted, len(rows))
    has_more = len(rows) > wanted and given < MOST_RESULTS
    rows, cosines = rows[:wanted], cosines[:wanted]
    scores = cursor.floor * (1.0 + np.clip(cosines, -1.0, 1.0)) / 2.0
    following = None
    if has_more and len(rows):
        following = _after(cursor, rows, cosines, given)
        if vector is None:  # the next page goes on behind the last row
            following = replace(following, edge=rows[-1:])
    return DeepPage(rows, scores.astype(np.float32), following)


def _after(
    cursor: DeepCursor, rows: RowArray, cosines: NDArray[np.float32], given: int
) -> DeepCursor:
    last = float(cosines[-1])
    edge = rows[cosines <= last + 2 * NEAR]
    if cursor.last <= last + 2 * NEAR:
        edge = np.union1d(edge, cursor.edge)
    return replace(cursor, last=last, edge=edge, given=given)


def _by_vector(
    vector: QueryVector,
    selection: Selection | None,
    cursor: DeepCursor,
    stores: Stores,
    wanted: int,
) -> tuple[RowArray, NDArray[np.float32]]:
    """Return the rows that come next and their cosines, one more than wanted where there is."""
    before = len(cursor.seen) + max(0, cursor.given - cursor.total)
    depth = min(MOST_DEPTH, before + wanted + SLACK)
    while True:
        hits = stores.vectors.search(
            vector.vector[None, :], k=depth, selection=selection, query_kind=vector.kind
        )
        is_hit = hits.rows[0] != NO_ROW
        rows, cosines = hits.rows[0][is_hit], hits.scores[0][is_hit]
        is_next = _is_next(rows, cosines, cursor, stores)
        if is_next.sum() > wanted or len(rows) < depth or depth == MOST_DEPTH:
            return rows[is_next], cosines[is_next]
        depth = min(MOST_DEPTH, 2 * depth)


def _by_words(
    query: Query,
    vector: QueryVector | None,
    selection: Selection | None,
    cursor: DeepCursor,
    stores: Stores,
    gatherer: Gatherer,
) -> tuple[RowArray, NDArray[np.float32]]:
    """Return matched rows that come next: by cosine, or without vectors by row."""
    hits = stores.texts.search(query.match, k=MOST_WORDS, selection=selection)
    rows = np.sort(hits.rows[0][hits.rows[0] != NO_ROW])
    if vector is None:
        cosines = np.zeros(len(rows), dtype=np.float32)
        rest = _is_next(rows, cosines, replace(cursor, last=np.inf), stores)
        rest &= rows > (cursor.edge[-1] if len(cursor.edge) else -1)
        return rows[rest], cosines[rest]
    cosines = gatherer.cosines(vector, rows)
    is_next = _is_next(rows, cosines, cursor, stores)
    rows, cosines = rows[is_next], cosines[is_next]
    order = np.lexsort((rows, -cosines))
    return rows[order], cosines[order]


def _is_next(
    rows: RowArray, cosines: NDArray[np.float32], cursor: DeepCursor, stores: Stores
) -> NDArray[np.bool_]:
    """Tell which rows come behind a place; none that was added since where rows count up."""
    is_next = (cosines <= cursor.last + NEAR) & ~np.isin(rows, cursor.seen)
    is_next &= ~np.isin(rows, cursor.edge) & (rows < stores.visible_rows)
    return is_next & (rows < cursor.horizon) if stores.is_dense else is_next
