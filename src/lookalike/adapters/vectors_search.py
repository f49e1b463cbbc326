"""Searching one snapshot of a vector index: which rows are scanned exactly, which by codes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.vectors_allowed import AllowedCache
from lookalike.adapters.vectors_codes_index import CodeIndex
from lookalike.adapters.vectors_exact import empty_hits, merge_hits
from lookalike.adapters.vectors_matrix import SegmentRows
from lookalike.adapters.vectors_probing import Probing, Sieve
from lookalike.domain.errors import StoreError
from lookalike.domain.hits import NO_ROW, RowHits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.adapters.vectors_allowed import AllowedRows
    from lookalike.adapters.vectors_exact import ExactScanner
    from lookalike.adapters.vectors_matrix import HalfMatrix
    from lookalike.adapters.vectors_segments import Manifest, Segment, SegmentIndex
    from lookalike.adapters.vectors_settings import QueryKind, VectorSettings
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
    from lookalike.domain.hits import Selection

_WORN_SHARE: Final = 0.2
_TUNED_K: Final = 10
_MOST_OF: Final = 10
"""When a query wants more than a tenth of the rows, all of them are scanned."""
_FILTERED_RERANK: Final = 200
"""Codes tell rows apart the less, the further these lie from the query."""
_RANKED: Final = 1.25
"""So many times as many cells are ranked as a filter is likely to need."""
_FEW: Final = 2_000
_EXACT_WORTH: Final = 1.5
"""An exact scan may cost so many times what codes are reckoned to."""
_BROAD_SHARE: Final = 0.999
"""A filter that lets more through than this is searched as if there were none."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one search sees: `(rows, dim)` fp16 vectors, segments and the `(rows,)` hidden rows.

    `hidden` is None when no row is removed and no hole is known. `scattered` is another map of
    the matrix, to read single rows from, which reads nothing ahead.
    """

    matrix: HalfMatrix
    manifest: Manifest
    hidden: BoolMask | None
    scattered: HalfMatrix | None = None

    @property
    def rows(self) -> int:
        """How many rows are committed, found or not."""
        return len(self.matrix)

    def part(self, begin: int, end: int) -> SegmentRows:
        """Return the rows `[begin, end)` for a segment to be built over."""
        hidden = np.zeros(self.rows, np.bool_) if self.hidden is None else self.hidden
        return SegmentRows(self.matrix[begin:end], begin, ~hidden[begin:end])

    def has_hole(self, hits: RowHits) -> bool:
        """Tell whether a hit is a hole: only a zero vector, or one at a right angle, scores 0."""
        is_zero = hits.scores == 0
        if not is_zero.any():
            return False
        rows = np.unique(hits.rows[is_zero & (hits.rows != NO_ROW)])
        return len(rows) > 0 and not self.matrix[rows].any(axis=1).all()

    def worn(self) -> tuple[int, int] | None:
        """Return the range of a segment of which much was removed since it was sealed."""
        if self.hidden is None:
            return None
        for segment in self.manifest.segments:
            hidden = int(np.count_nonzero(self.hidden[segment.begin : segment.end]))
            if hidden < segment.rows and hidden - segment.hidden > _WORN_SHARE * segment.rows:
                return segment.begin, segment.end
        return None


@dataclass(frozen=True, slots=True)
class VectorRequest:
    """One batch of `(n, dim)` queries; `mask` is a selection's, None without one."""

    queries: FloatMatrix
    k: int
    mask: BoolMask | None = None
    kind: QueryKind = "image"


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one segment is searched: which cells, what may come back, and how many candidates.

    `cells` is how many are likely to be scanned.
    """

    probing: Probing
    sieve: Sieve | None
    count: int
    cells: float


@dataclass(frozen=True, slots=True)
class SnapshotSearch:
    """Searches a snapshot whose segments' codes are open."""

    snapshot: Snapshot
    codes: dict[str, SegmentIndex]
    scanner: ExactScanner
    settings: VectorSettings
    cache: AllowedCache = field(default_factory=AllowedCache)

    def search(self, request: VectorRequest) -> RowHits:
        """Return the best k; always k of them where k rows are allowed."""
        allowed = self._allowed(request.mask)
        count = self.snapshot.rows if allowed is None else allowed.count
        k = min(request.k, count)
        if self._is_exact(request, allowed, count):
            return self._exact(request, allowed)
        hits = self._approximate(request, allowed, k)
        short = np.flatnonzero(hits.rows[:, k - 1] == NO_ROW)
        if len(short):
            again = VectorRequest(request.queries[short], request.k, request.mask, request.kind)
            exact = self._exact(again, allowed)
            hits.rows[short], hits.scores[short] = exact.rows, exact.scores
        return hits

    def _allowed(self, mask: BoolMask | None) -> AllowedRows | None:
        return self.cache.allowed(mask, self.snapshot.hidden, self.snapshot.rows)

    def _is_exact(self, request: VectorRequest, allowed: AllowedRows | None, count: int) -> bool:
        """Tell whether to scan all allowed rows: where that costs about as little as codes do.

        It finds everything, which codes under a filter may not.
        """
        segments = self.snapshot.manifest.segments
        if self.settings.engine == "exact" or not segments:
            return True
        if min(request.k, count) * _MOST_OF > count:
            return True
        if request.mask is None or count <= _FEW:
            return count <= self.settings.exact_rows
        coded_us = 0.0
        for segment in segments:
            plan = self._plan(request, allowed, segment)
            if plan is not None:
                costs = segment.costs
                coded_us += plan.cells * costs.probe_us + plan.count * costs.rerank_us
        row_us = max(segment.costs.row_us for segment in segments)
        return count * row_us <= _EXACT_WORTH * coded_us

    def _exact(self, request: VectorRequest, allowed: AllowedRows | None) -> RowHits:
        mask = None if allowed is None else allowed.mask
        found = self.scanner.best(self.snapshot.matrix, request.queries, k=request.k, mask=mask)
        return merge_hits([found], request.k, queries=len(request.queries))

    def _approximate(self, request: VectorRequest, allowed: AllowedRows | None, k: int) -> RowHits:
        """Merge exact scans of rows in no segment with re-ranked candidates of each segment."""
        parts = [
            self._scan_gap(request, allowed, begin, end)
            for begin, end in self.snapshot.manifest.gaps(self.snapshot.rows)
        ]
        candidates = [
            self._candidates(request, allowed, segment)
            for segment in self.snapshot.manifest.segments
        ]
        together = candidates[0] if len(candidates) == 1 else np.hstack(candidates)
        parts.append(self._rerank(request.queries, together, k))
        return merge_hits(parts, request.k, queries=len(request.queries))

    def _scan_gap(
        self, request: VectorRequest, allowed: AllowedRows | None, begin: int, end: int
    ) -> RowHits:
        mask = None if allowed is None else allowed.mask[begin:end]
        found = self.scanner.best(
            self.snapshot.matrix[begin:end], request.queries, k=request.k, mask=mask
        )
        return RowHits(rows=found.rows + begin, scores=found.scores)

    def _candidates(
        self, request: VectorRequest, allowed: AllowedRows | None, segment: Segment
    ) -> RowArray:
        plan = self._plan(request, allowed, segment)
        if plan is None:
            return np.zeros((len(request.queries), 0), np.int64)
        codes, sieve = self.codes[segment.file], plan.sieve
        is_counted = isinstance(codes, CodeIndex)  # a graph counts as it goes
        if is_counted and allowed is not None and sieve is not None and sieve.wanted:
            sieve = replace(sieve, in_cells=partial(allowed.in_cells, codes))
        return codes.search(
            request.queries,
            plan.probing,
            count=plan.count,
            sieve=sieve,
            threads=self.settings.threads,
        )

    def _plan(
        self, request: VectorRequest, allowed: AllowedRows | None, segment: Segment
    ) -> _Plan | None:
        """Return how to search a segment; None when a filter lets none of its rows through.

        Under a filter cells are scanned until as many rows let through stand in them as a query
        without one scans: near the query that takes few cells, far from it as many as need be.
        """
        tuning = segment.tuning(request.kind)
        probes = tuning.probes * max(1.0, request.k / _TUNED_K) ** 0.5
        rerank = tuning.rerank
        share = 1.0 if request.mask is None else self._share(allowed, segment)
        if share == 0:
            return None
        bits = None if allowed is None else _bits_for(allowed, segment)
        sieve = None if bits is None else Sieve(bits)
        cells, effort = probes, tuning.effort * probes / tuning.probes
        if bits is not None and share < _BROAD_SHARE:
            if segment.kind == "cells":
                rerank = max(2 * rerank, _FILTERED_RERANK)
            sieve = Sieve(bits, wanted=round(probes * segment.rows / segment.cells))
            cells = min(probes / share, segment.cells)
            probes = _RANKED * cells
            effort = max(effort, probes) if effort else 0
        probing = Probing(max(1, min(round(probes), segment.cells)), tuning.spread, round(effort))
        count = min(rerank + 4 * (request.k - min(request.k, _TUNED_K)), segment.rows)
        return _Plan(probing, sieve, count, cells)

    def _share(self, allowed: AllowedRows | None, segment: Segment) -> float:
        """Return which share of the rows that can be found in a segment a filter lets through."""
        if allowed is None:
            return 1.0
        live = self._allowed(None)
        there = segment.rows if live is None else live.between(segment.begin, segment.end)
        return allowed.between(segment.begin, segment.end) / max(there, 1)

    def _rerank(self, queries: FloatMatrix, candidates: RowArray, k: int) -> RowHits:
        hits = empty_hits(len(queries), k)
        snapshot = self.snapshot
        matrix = snapshot.matrix if snapshot.scattered is None else snapshot.scattered
        for query, line in enumerate(candidates):
            rows = line[(line >= 0) & (line < self.snapshot.rows)]
            found = self.scanner.rescore(matrix, queries[query : query + 1], rows, k=k)
            width = found.rows.shape[1]
            hits.rows[query, :width] = found.rows[0]
            hits.scores[query, :width] = found.scores[0]
        return hits


def _bits_for(allowed: AllowedRows, segment: Segment) -> NDArray[np.uint8]:
    """Return the bitmap that a segment wants: codes know their rows, a graph counts its own."""
    if segment.kind == "graph":
        return allowed.part(segment.begin, segment.end)
    return allowed.bits


def selected_mask(selection: Selection | None) -> BoolMask | None:
    """Return a selection's rows; raises `StoreError` for a filter that was not turned into rows."""
    if selection is None:
        return None
    if selection.mask is None and selection.filter:
        raise StoreError("a filter reached the vector index without its rows", hint="report a bug")
    return selection.mask
