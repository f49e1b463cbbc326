"""Searching a Milvus collection so that the port's promises hold."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.adapters.vectors_milvus_filter import expression_of
from lookalike.adapters.vectors_milvus_options import MOST_HITS
from lookalike.adapters.vectors_milvus_schema import METRIC, ROW, VECTOR
from lookalike.adapters.vectors_ranking import (
    best_of,
    exact_scores,
    is_cut_in_tie,
    stacked,
)

if TYPE_CHECKING:
    from lookalike.adapters.vectors_milvus_client import MilvusLink
    from lookalike.adapters.vectors_milvus_schema import MilvusIndex
    from lookalike.domain.arrays import FloatMatrix, RowArray
    from lookalike.domain.filter_terms import Clause
    from lookalike.domain.hits import RowHits

_ANSWER_BYTES: Final = 32 << 20
"""Larger answers are asked for in parts; a server refuses above 100 MB."""

_MOST_QUERIES: Final = 1024
"""More are asked in parts: a server takes 16,384."""

_TIMED_QUERIES: Final = 64
"""A call may take the usual seconds once for so many of its queries."""

_TOTAL_S: Final = 10.0
"""How long the size of the collection is remembered for the choice of probes."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """One way to search: what is let through, how many candidates, how many cells."""

    expression: str
    limit: int
    nprobe: int

    @property
    def is_widest(self) -> bool:
        return self.limit == MOST_HITS and self.nprobe == MOST_HITS


class MilvusSearch:
    """Asks for candidates, scores them exactly, and asks for more where that cannot do.

    A search that comes back short of what the filter lets through probes every cell; one whose
    candidates end within a group of equal scores takes more of them.
    """

    def __init__(self, link: MilvusLink, index: MilvusIndex, *, dim: int) -> None:
        """Search the link's collection, which is indexed as `index` says."""
        self._link = link
        self._index = index
        self._dim = dim
        self._lock = threading.Lock()
        self._total = (0, -_TOTAL_S)
        self.widened = 0

    def search(
        self, queries: FloatMatrix, *, k: int, clauses: tuple[Clause, ...] | None, nprobe: int
    ) -> RowHits:
        """Return the best k rows of each `(n, dim)` query among those that meet the clauses.

        None is no filter; no clauses are one that every row with terms passes.
        """
        options = self._link.options
        expression = "" if clauses is None else expression_of(clauses)
        wanted = k
        limit = self._index.candidates(k, options)
        if expression:
            passing = self.count(expression)
            if not passing:
                return stacked([(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(queries), k)
            wanted = min(k, passing)
            if passing <= options.exact_rows:
                limit, nprobe = max(limit, passing), MOST_HITS
            nprobe = int(np.ceil(nprobe * max(1.0, self._size() / passing)))
        plan = _Plan(expression, min(limit, MOST_HITS), min(nprobe, MOST_HITS))
        found = self._candidates(queries, plan)
        shortest = min(len(rows) for rows, _ in found)
        if not expression and shortest < min(wanted, plan.limit):
            wanted = min(wanted, self.count(""))
        hits = [
            self._settled(queries[at], plan, found[at], (k, wanted)) for at in range(len(found))
        ]
        return stacked(hits, k)

    def count(self, expression: str, *, level: str = "") -> int:
        """Return how many rows an expression lets through, or how many there are for none."""
        answer = self._link.read(
            "query", filter=expression, output_fields=["count(*)"], level=level
        )
        return int(answer[0]["count(*)"])

    def _size(self) -> int:
        """Return about how many rows there are."""
        with self._lock:
            total, counted = self._total
        if time.monotonic() - counted >= _TOTAL_S:
            total = self.count("")
            with self._lock:
                self._total = (total, time.monotonic())
        return total

    def _settled(
        self,
        query: FloatMatrix,
        plan: _Plan,
        found: tuple[RowArray, FloatMatrix],
        counts: tuple[int, int],
    ) -> tuple[RowArray, FloatMatrix]:
        """Return the best k of one query's candidates, asking again while they cannot be all."""
        k, wanted = counts
        while True:
            rows, scores = found
            is_short = len(rows) < min(wanted, plan.limit)
            is_cut = len(rows) >= plan.limit and is_cut_in_tie(scores, k)
            if plan.is_widest or not (is_short or is_cut):
                break
            limit = min(MOST_HITS, plan.limit * 4)
            plan = _Plan(plan.expression, limit, MOST_HITS)
            self.widened += 1
            found = self._candidates(query[None], plan)[0]
        return best_of(*found, k)

    def _candidates(self, queries: FloatMatrix, plan: _Plan) -> list[tuple[RowArray, FloatMatrix]]:
        """Return rows and exact scores of each query, in the server's order."""
        row_bytes = 12 if self._index.is_exact else 12 + 4 * self._dim
        step = max(1, min(_MOST_QUERIES, _ANSWER_BYTES // (row_bytes * plan.limit)))
        found: list[tuple[RowArray, FloatMatrix]] = []
        for begin in range(0, len(queries), step):
            part = queries[begin : begin + step]
            for query, hits in zip(part, self._ask(part, plan), strict=True):
                found.append((np.asarray(hits.ids, np.int64), self._scores(query, hits)))
        return found

    def _ask(self, queries: FloatMatrix, plan: _Plan) -> Any:
        options = self._link.options
        params = self._index.search_params(options, nprobe=plan.nprobe, limit=plan.limit)
        return self._link.read(
            "search",
            data=list(queries),
            filter=plan.expression,
            limit=plan.limit,
            anns_field=VECTOR,
            search_params={"metric_type": METRIC, "params": params},
            output_fields=[] if self._index.is_exact else [VECTOR],
            timeout_s=options.timeout_s * -(-len(queries) // _TIMED_QUERIES),
        )

    def _scores(self, query: FloatMatrix, hits: Any) -> FloatMatrix:
        if self._index.is_exact or not hits.ids:
            return np.asarray(hits.distances, np.float32)
        return exact_scores(_vectors_of(hits, self._dim), query)


def _vectors_of(hits: Any, dim: int) -> FloatMatrix:
    """Return the `(n, dim)` vectors of one query's hits.

    Reading them hit by hit through the client takes 40 ms for 240 vectors of 896 numbers. In the
    message they stand one after the other as packed floats, behind a tag and a length.
    """
    field = next(one for one in hits.lazy_field_data if one.field_name == VECTOR)
    floats = field.vectors.float_vector
    data = np.frombuffer(floats.SerializeToString()[-4 * len(floats.data) :], "<f4")
    begin = hits.start * dim
    return data[begin : begin + len(hits.ids) * dim].reshape(-1, dim)


def read_entities(
    link: MilvusLink, rows: RowArray, *, fields: list[str], level: str = "", step: int = 1000
) -> dict[int, dict[str, Any]]:
    """Return the named fields of the rows that are there, by row."""
    found: dict[int, dict[str, Any]] = {}
    for begin in range(0, len(rows), step):
        wanted = ", ".join(map(str, rows[begin : begin + step].tolist()))
        for entity in link.read(
            "query",
            filter=f"{ROW} in [{wanted}]",
            output_fields=[ROW, *fields],
            level=level,
        ):
            found[int(entity[ROW])] = entity
    return found
