"""Tuning a segment: the cheapest way to search it that reaches a target recall, as measured."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from lookalike.adapters.vectors_exact import ExactScanner, empty_hits, merge_hits
from lookalike.adapters.vectors_native import GRAPH_CELLS, best_products
from lookalike.adapters.vectors_probing import Probing
from lookalike.adapters.vectors_tuning import Costs, Tuning
from lookalike.domain.hits import NO_ROW, RowHits

if TYPE_CHECKING:
    from lookalike.adapters.vectors_codes_index import CodeIndex
    from lookalike.adapters.vectors_matrix import SegmentRows
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray

NEIGHBOURS: Final = 10
"""Tuning counts how many of so many true neighbours are found."""
_RERANKS: Final = (50, 100, 200, 400, 800, 1_600)
_SPREADS: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)
_EVERY_CELL_SPREAD: Final = 0.5
_STEP: Final = 2**0.25
_MOST_STEPS: Final = 10
_EFFORTS: Final = (1.0, 1.5, 2.0, 3.0, 5.0)
_LEAST_EFFORT: Final = 32
_SAME_CELLS: Final = 0.98
"""A graph shall find so much of what a look at every cell would."""
_FEW: Final = 50
_NO_CELL: Final = -1
_BLOCK: Final = 16_384
_MANY: Final = 300_000
"""Among so many rows the truth is what a very wide search finds."""
_WIDE_SHARE: Final = 16
_WIDE_SPREAD: Final = 0.25
_WIDE_RERANK: Final = 3_200
_COST_QUERIES: Final = 30
_COST_REPEATS: Final = 3
_SCANNED_ROWS: Final = 4_000
_SCANS: Final = 8
_MEASURED_ROWS: Final = 200


class Searchable(Protocol):
    """What can be asked for candidates."""

    def search(self, queries: FloatMatrix, probing: Probing, *, count: int) -> RowArray:
        """Return `(n, count)` candidate rows of `(n, dim)` queries, padded with -1."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What tuning asks: `(n, dim)` queries, each as if its home were empty.

    `homes` are `(n,)` cells, -1 for a query that is asked of all that is there.
    """

    queries: FloatMatrix
    homes: RowArray

    @classmethod
    def of_all(cls, queries: FloatMatrix) -> Asked:
        """Ask for what lies anywhere."""
        return cls(queries, np.full(len(queries), _NO_CELL, np.int64))


@dataclass(frozen=True, slots=True)
class Tuner:
    """Tunes the codes of some rows; `threads` for what is not timed."""

    codes: CodeIndex
    part: SegmentRows
    costs: Costs
    threads: int = 1

    def tune(self, asked: Asked, target: float) -> Tuning:
        """Return the cheapest tuning for what is asked that reaches `target`, or the best.

        A target of 1 is not left to a sample: every cell is probed.
        """
        queries, truth = asked.queries, self._truth(asked)
        every = self.codes.cells
        if target >= 1:
            probing = Probing(every, _EVERY_CELL_SPREAD)
            recall = np.mean(self._ranks(asked, truth, probing) < _RERANKS[-1])
            return _tuning(probing, _RERANKS[-1], float(recall))
        spread, needed = self._spread(asked, truth, target)
        steps = _steps(needed, every)
        slope = self._slope(queries, spread, steps)
        best: tuple[float, Tuning] | None = None
        fallback = _tuning(Probing(every, spread), _RERANKS[-1], 0.0)
        for probes in steps:
            if best is not None and slope * (probes - steps[0]) > best[0]:
                break
            probing = self._with_effort(queries, Probing(probes, spread))
            ranks = self._ranks(asked, truth, probing)
            for rerank in _RERANKS:
                recalls = np.mean(ranks < rerank, axis=1)
                tuning = _tuning(probing, rerank, float(np.mean(recalls)))
                cost = slope * (probes - steps[0]) + rerank * self.costs.rerank_us
                if surely(recalls) >= target and (best is None or cost < best[0]):
                    best = (cost, tuning)
                if (tuning.recall or 0.0) > (fallback.recall or 0.0):
                    fallback = tuning
        return fallback if best is None else best[1]

    def _slope(self, queries: FloatMatrix, spread: float, steps: list[int]) -> float:
        """Return the microseconds that a probed cell more takes, between the ends of the steps.

        Measured at each step, what else the machine does would decide which one is cheapest.
        """
        few, many = (
            min(
                search_us(self.codes, queries[:_COST_QUERIES], Probing(probes, spread, probes))
                for _ in range(_COST_REPEATS)
            )
            for probes in (steps[0], steps[-1])
        )
        return max(many - few, 0.0) / max(steps[-1] - steps[0], 1)

    def _spread(self, asked: Asked, truth: RowArray, target: float) -> tuple[float, RowArray]:
        """Return the spread with which the fewest codes hold `target` of the true neighbours.

        And for each of them how many cells stand before its own.
        """
        owners = self.codes.owners(truth.ravel()).reshape(truth.shape)
        sizes, norms = self.codes.sizes, self.codes.norms
        centroids = self.codes.centroids()
        codes = np.zeros((len(_SPREADS), truth.size), np.int64)
        cells = np.zeros_like(codes)
        for query, line in enumerate(owners):
            products = centroids @ asked.queries[query]
            home = asked.homes[query]
            for place, spread in enumerate(_SPREADS):
                likely = products - np.float32(spread) * norms
                if home != _NO_CELL:
                    likely[home] = -np.inf
                order = np.argsort(-likely)
                ranks = np.empty(len(order), np.int64)
                ranks[order] = np.arange(1, len(order) + 1)
                span = slice(query * len(line), (query + 1) * len(line))
                cells[place, span] = ranks[line]
                codes[place, span] = np.cumsum(sizes[order])[ranks[line] - 1]
        chosen = int(np.argmin(np.quantile(codes, target, axis=1)))
        return _SPREADS[chosen], np.quantile(cells[chosen], target).astype(np.int64)

    def _with_effort(self, queries: FloatMatrix, probing: Probing) -> Probing:
        """Return the probing with the least effort at which the graph finds the same cells."""
        if self.codes.cells < GRAPH_CELLS:
            return probing
        some = queries[:_FEW]
        wanted, _ = self.codes.rank(some, probing, threads=self.threads)
        for times in _EFFORTS:
            tried = replace(probing, effort=max(_LEAST_EFFORT, round(times * probing.probes)))
            found, _ = self.codes.rank(some, tried, threads=self.threads)
            same = [len(np.intersect1d(a, b)) for a, b in zip(found, wanted, strict=True)]
            if np.mean(same) >= _SAME_CELLS * probing.probes:
                return tried
        return probing

    def _truth(self, asked: Asked) -> RowArray:
        """Return the `(n, 10)` rows truly nearest outside the homes.

        Among many rows, as a search so wide finds them that it misses next to none: looking at
        every row would take longer than finding the cells.
        """
        if len(self.codes) > _MANY:
            return self._nearest_widely(asked)
        homely = self.codes.rows_in(np.unique(asked.homes[asked.homes != _NO_CELL]))
        live = self.part.live.copy()
        live[homely - self.part.begin] = False
        k = min(NEIGHBOURS, int(np.count_nonzero(self.part.live)))
        best = nearest_rows(self.part, live, asked.queries, k, threads=self.threads)
        if len(homely):
            scores = asked.queries @ self.part.wide(homely - self.part.begin).T
            owners = self.codes.owners(homely)
            scores[owners == asked.homes[:, None]] = -np.inf
            width = min(k, len(homely))
            places = np.argpartition(-scores, width - 1, axis=1)[:, :width]
            found = RowHits(rows=homely[places], scores=np.take_along_axis(scores, places, 1))
            best = merge_hits([best, found], k, queries=len(asked.queries))
        return best.rows

    def _nearest_widely(self, asked: Asked) -> RowArray:
        probing = Probing(max(1, self.codes.cells // _WIDE_SHARE), _WIDE_SPREAD)
        candidates = self._candidates(asked, probing, _WIDE_RERANK)
        found = np.empty((len(asked.queries), NEIGHBOURS), np.int64)
        for query, line in enumerate(candidates):
            rows = line[line != NO_ROW]
            scores = self.part.wide(rows - self.part.begin) @ asked.queries[query]
            found[query] = rows[np.argsort(-scores)[:NEIGHBOURS]]
        return found

    def _candidates(self, asked: Asked, probing: Probing, count: int) -> RowArray:
        """Return `(n, count)` candidates outside the homes, padded with -1."""
        cells, products = self.codes.rank(asked.queries, probing, threads=self.threads)
        cells = np.where(cells == asked.homes[:, None], _NO_CELL, cells)
        count = min(count, len(self.codes))
        return self.codes.scan(asked.queries, cells, products, count=count, threads=self.threads)

    def _ranks(self, asked: Asked, truth: RowArray, probing: Probing) -> RowArray:
        """Return the `(n, 10)` places of the true neighbours among the candidates."""
        found = self._candidates(asked, probing, _RERANKS[-1])
        ranks = np.full(truth.shape, np.iinfo(np.int64).max, np.int64)
        for query, candidates in enumerate(found):
            order = np.argsort(candidates, kind="stable")
            places = np.searchsorted(candidates, truth[query], sorter=order)
            places = order[np.minimum(places, len(order) - 1)]
            is_found = candidates[places] == truth[query]
            ranks[query, is_found] = places[is_found]
        return ranks


def nearest_rows(
    part: SegmentRows, live: BoolMask, queries: FloatMatrix, k: int, *, threads: int
) -> RowHits:
    """Return the best k for each of `(n, dim)` queries of those rows that are `(rows,)` live."""
    rows, best = np.flatnonzero(live), empty_hits(len(queries), k)
    for begin in range(0, len(rows), _BLOCK):
        some = rows[begin : begin + _BLOCK]
        width = min(k, len(some))
        scores, places = best_products(queries, part.wide(some), width, threads=threads)
        found = RowHits(rows=some[places] + part.begin, scores=scores)
        best = merge_hits([best, found], k, queries=len(queries))
    return best


def measure_costs(codes: CodeIndex, part: SegmentRows, queries: FloatMatrix) -> Costs:
    """Return what a probed cell, found and scanned, and a row take here, of one thread's time.

    `queries` are `(n, dim)`, asked one at a time as a search does.
    """
    some = queries[:_COST_QUERIES]
    many = min(max(2, codes.cells // 8), 300)
    few = max(1, many // 8)
    narrow, wide = (
        search_us(codes, some, Probing(probes, _EVERY_CELL_SPREAD, probes))
        for probes in (few, max(many, few + 1))
    )
    rerank, row = measure_row_costs(part, some)
    return Costs(max(round((wide - narrow) / max(many - few, 1), 3), 0.01), rerank, row)


def measure_row_costs(part: SegmentRows, queries: FloatMatrix) -> tuple[float, float]:
    """Return the microseconds that a row re-ranked takes, and one let through and scanned.

    Each of the `(n, dim)` queries is asked once.
    """
    scanner, generator = ExactScanner(numpy_rows=0), np.random.default_rng(0)
    count = min(_MEASURED_ROWS, len(part.halves))
    chosen = [generator.choice(len(part.halves), count, replace=False) for _ in queries]
    for rows in chosen:  # what is measured is memory, not the disk
        part.halves[rows].any()
    begin = time.thread_time()
    for query, rows in zip(queries, chosen, strict=True):
        scanner.rescore(part.halves, query[None], rows, k=NEIGHBOURS)
    rerank = 1e6 * (time.thread_time() - begin) / len(queries) / count
    mask = np.zeros(len(part.halves), np.bool_)
    mask[generator.choice(len(mask), min(_SCANNED_ROWS, len(mask)), replace=False)] = True
    scanner.best(part.halves, queries[:1], k=NEIGHBOURS, mask=mask)
    begin = time.thread_time()
    for query in queries[:_SCANS]:
        scanner.best(part.halves, query[None], k=NEIGHBOURS, mask=mask)
    row = 1e6 * (time.thread_time() - begin) / len(queries[:_SCANS]) / np.count_nonzero(mask)
    return max(round(rerank, 3), 0.001), max(round(float(row), 3), 0.001)


def search_us(
    codes: Searchable, queries: FloatMatrix, probing: Probing, *, count: int = _MEASURED_ROWS
) -> float:
    """Return the microseconds of one thread that probing takes for one of `(n, dim)` queries."""
    begin = time.thread_time()
    for query in queries:
        codes.search(query[None], probing, count=count)
    return 1e6 * (time.thread_time() - begin) / len(queries)


def surely(recalls: FloatMatrix) -> float:
    """Return the mean of `(n,)` recalls less its standard error: other queries are asked later."""
    return float(np.mean(recalls) - np.std(recalls) / np.sqrt(len(recalls)))


def _tuning(probing: Probing, rerank: int, recall: float) -> Tuning:
    return Tuning(
        probing.probes, rerank, round(recall, 4), spread=probing.spread, effort=probing.effort
    )


def _steps(needed: RowArray, cells: int) -> list[int]:
    """Return numbers of probes to try, from a little below what the target needs."""
    first = max(2.0, float(needed) / _STEP)
    steps = {min(cells, round(first * _STEP**step)) for step in range(_MOST_STEPS)}
    return sorted(steps)
