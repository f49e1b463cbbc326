"""Searching one snapshot of a vector index: which rows are scanned exactly, which by codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.vectors_codes_index import Probing
from lookalike.adapters.vectors_exact import empty_hits, merge_hits
from lookalike.adapters.vectors_matrix import SegmentRows
from lookalike.domain.errors import StoreError
from lookalike.domain.hits import NO_ROW, RowHits

if TYPE_CHECKING:
    from lookalike.adapters.vectors_codes_index import CodeIndex
    from lookalike.adapters.vectors_exact import ExactScanner
    from lookalike.adapters.vectors_matrix import HalfMatrix
    from lookalike.adapters.vectors_segments import Manifest, Segment
    from lookalike.adapters.vectors_settings import QueryKind, VectorSettings
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
    from lookalike.domain.hits import Selection

_WORN_SHARE: Final = 0.2
_TUNED_K: Final = 10
_MOST_OF: Final = 10
"""When a query wants more than a tenth of the rows, all of them are scanned."""
_FILTERED_RERANK: Final = 800
"""Codes tell rows apart the less, the further these lie from the query."""
_FILTERED_PROBES: Final = 2
"""Rows let through may stand farther from the query than others do."""
_FEW: Final = 2_000
_EXACT_WORTH: Final = 1.5
"""An exact scan may cost so many times what codes are reckoned to."""
_BROAD_SHARE: Final = 0.9
"""A filter that lets more through than this is searched as if there were none."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one search sees: `(rows, dim)` fp16 vectors, segments and the `(rows,)` hidden rows.

    `hidden` is None when no row is removed and no hole is known.
    """

    matrix: HalfMatrix
    manifest: Manifest
    hidden: BoolMask | None

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
        rows = np.unique(hits.rows[(hits.scores == 0) & (hits.rows != NO_ROW)])
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

    def allowed(self, mask: BoolMask | None) -> BoolMask | None:
        """Return the `(rows,)` rows that a selection lets through, or None for all."""
        if mask is None:
            return None if self.hidden is None else ~self.hidden
        fitted = np.zeros(self.rows, np.bool_)
        length = min(self.rows, len(mask))
        fitted[:length] = mask[:length]
        if self.hidden is not None:
            fitted &= ~self.hidden
        return fitted


@dataclass(frozen=True, slots=True)
class VectorRequest:
    """One batch of `(n, dim)` queries; `mask` is a selection's, None without one."""

    queries: FloatMatrix
    k: int
    mask: BoolMask | None = None
    kind: QueryKind = "image"


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one segment is searched: which cells, and how many candidates."""

    probing: Probing
    count: int


@dataclass(frozen=True, slots=True)
class SnapshotSearch:
    """Searches a snapshot whose segments' codes are open."""

    snapshot: Snapshot
    codes: dict[str, CodeIndex]
    scanner: ExactScanner
    settings: VectorSettings

    def search(self, request: VectorRequest) -> RowHits:
        """Return the best k; always k of them where k rows are allowed."""
        allowed = self.snapshot.allowed(request.mask)
        count = self.snapshot.rows if allowed is None else int(np.count_nonzero(allowed))
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

    def _is_exact(self, request: VectorRequest, allowed: BoolMask | None, count: int) -> bool:
        """Tell whether to scan all allowed rows: where that costs about as little as codes do.

        It finds everything, which codes under a filter may not.
        """
        segments = self.snapshot.manifest.segments
        if not segments or min(request.k, count) * _MOST_OF > count:
            return True
        if request.mask is None or count <= _FEW:
            return count <= self.settings.exact_rows
        plans = [self._plan(request, allowed, segment) for segment in segments]
        coded_us = sum(
            plan.probing.probes * s.costs.probe_us + plan.count * s.costs.rerank_us
            for plan, s in zip(plans, segments, strict=True)
            if plan is not None
        )
        row_us = max(segment.costs.row_us for segment in segments)
        return count * row_us <= _EXACT_WORTH * coded_us

    def _exact(self, request: VectorRequest, allowed: BoolMask | None) -> RowHits:
        found = self.scanner.best(self.snapshot.matrix, request.queries, k=request.k, mask=allowed)
        return merge_hits([found], request.k, queries=len(request.queries))

    def _approximate(self, request: VectorRequest, allowed: BoolMask | None, k: int) -> RowHits:
        """Merge exact scans of rows in no segment with re-ranked candidates of each segment."""
        parts = [
            self._scan_gap(request, allowed, begin, end)
            for begin, end in self.snapshot.manifest.gaps(self.snapshot.rows)
        ]
        candidates = [
            self._candidates(request, allowed, segment)
            for segment in self.snapshot.manifest.segments
        ]
        parts.append(self._rerank(request.queries, np.hstack(candidates), k))
        return merge_hits(parts, request.k, queries=len(request.queries))

    def _scan_gap(
        self, request: VectorRequest, allowed: BoolMask | None, begin: int, end: int
    ) -> RowHits:
        mask = None if allowed is None else allowed[begin:end]
        found = self.scanner.best(
            self.snapshot.matrix[begin:end], request.queries, k=request.k, mask=mask
        )
        return RowHits(rows=found.rows + begin, scores=found.scores)

    def _candidates(
        self, request: VectorRequest, allowed: BoolMask | None, segment: Segment
    ) -> RowArray:
        plan = self._plan(request, allowed, segment)
        if plan is None:
            return np.zeros((len(request.queries), 0), np.int64)
        return self.codes[segment.file].search(
            request.queries,
            plan.probing,
            count=plan.count,
            mask=allowed,
            threads=self.settings.threads,
        )

    def _plan(
        self, request: VectorRequest, allowed: BoolMask | None, segment: Segment
    ) -> _Plan | None:
        """Return how to search a segment; None when a filter lets none of its rows through.

        The fewer rows a filter lets through, the more cells hold as many of them.
        """
        tuning = segment.tuning(request.kind)
        probes, rerank = tuning.probes * max(1.0, request.k / _TUNED_K) ** 0.5, tuning.rerank
        if request.mask is not None:
            share = _share(allowed, segment)
            if share == 0:
                return None
            if share < _BROAD_SHARE:
                least = self.settings.filter_codes * segment.cells / segment.rows
                probes = max(_FILTERED_PROBES * probes / share, least)
                rerank = max(2 * rerank, _FILTERED_RERANK)
        probes = max(1, min(round(probes), segment.cells))
        effort = round(tuning.effort * probes / tuning.probes)
        count = min(rerank + 4 * (request.k - min(request.k, _TUNED_K)), segment.rows)
        return _Plan(Probing(probes, tuning.spread, effort), count)

    def _rerank(self, queries: FloatMatrix, candidates: RowArray, k: int) -> RowHits:
        hits = empty_hits(len(queries), k)
        for query, line in enumerate(candidates):
            rows = line[(line >= 0) & (line < self.snapshot.rows)]
            found = self.scanner.rescore(
                self.snapshot.matrix, queries[query : query + 1], rows, k=k
            )
            width = found.rows.shape[1]
            hits.rows[query, :width] = found.rows[0]
            hits.scores[query, :width] = found.scores[0]
        return hits


def selected_mask(selection: Selection | None) -> BoolMask | None:
    """Return a selection's rows; raises `StoreError` for a filter that was not turned into rows."""
    if selection is None:
        return None
    if selection.mask is None and selection.filter:
        raise StoreError("a filter reached the vector index without its rows", hint="report a bug")
    return selection.mask


def _share(allowed: BoolMask | None, segment: Segment) -> float:
    if allowed is None:
        return 1.0
    return float(np.count_nonzero(allowed[segment.begin : segment.end])) / segment.rows
