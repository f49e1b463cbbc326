"""Tuning a segment: the cheapest way to search it that reaches a target recall, as measured."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.vectors_codes_index import Probing
from lookalike.adapters.vectors_exact import ExactScanner, empty_hits, merge_hits
from lookalike.adapters.vectors_native import GRAPH_CELLS, best_products
from lookalike.adapters.vectors_segments import Costs, Tuning
from lookalike.domain.hits import RowHits

if TYPE_CHECKING:
    from lookalike.adapters.vectors_codes_index import CodeIndex
    from lookalike.adapters.vectors_matrix import SegmentRows
    from lookalike.domain.arrays import FloatMatrix, RowArray

_NEIGHBOURS: Final = 10
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
_BLOCK: Final = 16_384
_COST_QUERIES: Final = 30
_SCANNED_ROWS: Final = 20_000
_MEASURED_ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class Tuner:
    """Tunes the codes of some rows; `threads` for what is not timed."""

    codes: CodeIndex
    part: SegmentRows
    costs: Costs
    threads: int = 1

    def tune(self, queries: FloatMatrix, target: float) -> Tuning:
        """Return the cheapest tuning for `(n, dim)` queries that reaches `target`, or the best.

        A target of 1 is not left to a sample: every cell is probed.
        """
        truth = self._truth(queries)
        every = self.codes.cells
        if target >= 1:
            probing = Probing(every, _EVERY_CELL_SPREAD)
            recall = np.mean(self._ranks(queries, truth, probing) < _RERANKS[-1])
            return _tuning(probing, _RERANKS[-1], float(recall))
        spread, needed = self._spread(queries, truth, target)
        best: tuple[float, Tuning] | None = None
        fallback = _tuning(Probing(every, spread), _RERANKS[-1], 0.0)
        for probes in _steps(needed, every):
            probing = self._with_effort(queries, Probing(probes, spread))
            probing_us = search_us(self.codes, queries[:_COST_QUERIES], probing)
            if best is not None and probing_us > best[0]:
                break
            ranks = self._ranks(queries, truth, probing)
            for rerank in _RERANKS:
                tuning = _tuning(probing, rerank, float(np.mean(ranks < rerank)))
                cost = probing_us + rerank * self.costs.rerank_us
                if (tuning.recall or 0.0) >= target and (best is None or cost < best[0]):
                    best = (cost, tuning)
                if (tuning.recall or 0.0) > (fallback.recall or 0.0):
                    fallback = tuning
        return fallback if best is None else best[1]

    def _spread(
        self, queries: FloatMatrix, truth: RowArray, target: float
    ) -> tuple[float, RowArray]:
        """Return the spread with which the fewest codes hold `target` of the true neighbours.

        And for each of them how many cells stand before its own.
        """
        owners = self.codes.owners(truth.ravel()).reshape(truth.shape)
        sizes, norms = self.codes.sizes, self.codes.norms
        centroids = self.codes.centroids()
        codes = np.zeros((len(_SPREADS), truth.size), np.int64)
        cells = np.zeros_like(codes)
        for query, line in enumerate(owners):
            products = centroids @ queries[query]
            for place, spread in enumerate(_SPREADS):
                likely = products - np.float32(spread) * norms
                for nth, owner in enumerate(line.tolist(), start=query * truth.shape[1]):
                    before = likely >= likely[owner]
                    cells[place, nth] = np.count_nonzero(before)
                    codes[place, nth] = sizes[before].sum()
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

    def _truth(self, queries: FloatMatrix) -> RowArray:
        """Return the `(n, 10)` rows truly nearest: products of matrices, for many queries."""
        live = np.flatnonzero(self.part.live)
        k = min(_NEIGHBOURS, len(live))
        best = empty_hits(len(queries), k)
        for begin in range(0, len(live), _BLOCK):
            rows = live[begin : begin + _BLOCK]
            vectors = self.part.wide(rows)
            scores, places = best_products(
                queries, vectors, min(k, len(rows)), threads=self.threads
            )
            found = RowHits(rows=rows[places], scores=scores)
            best = merge_hits([best, found], k, queries=len(queries))
        return best.rows + self.part.begin

    def _ranks(self, queries: FloatMatrix, truth: RowArray, probing: Probing) -> RowArray:
        """Return the `(n, 10)` places of the true neighbours among the candidates."""
        count = min(_RERANKS[-1], len(self.codes))
        found = self.codes.search(queries, probing, count=count, threads=self.threads)
        ranks = np.full(truth.shape, np.iinfo(np.int64).max, np.int64)
        for query, candidates in enumerate(found):
            order = np.argsort(candidates, kind="stable")
            places = np.searchsorted(candidates, truth[query], sorter=order)
            places = order[np.minimum(places, len(order) - 1)]
            is_found = candidates[places] == truth[query]
            ranks[query, is_found] = places[is_found]
        return ranks


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
    scanner, generator = ExactScanner(numpy_rows=0), np.random.default_rng(0)
    count = min(_MEASURED_ROWS, len(part.halves))
    chosen = [generator.choice(len(part.halves), count, replace=False) for _ in some]
    for rows in chosen:  # what is measured is memory, not the disk
        part.halves[rows].any()
    begin = time.thread_time()
    for query, rows in zip(some, chosen, strict=True):
        scanner.rescore(part.halves, query[None], rows, k=_NEIGHBOURS)
    rerank = 1e6 * (time.thread_time() - begin) / len(some) / count
    halves = part.halves[:_SCANNED_ROWS]
    mask = np.arange(len(halves)) % 4 == 0
    begin = time.thread_time()
    for query in some:
        scanner.best(halves, query[None], k=_NEIGHBOURS, mask=mask)
    row = 1e6 * (time.thread_time() - begin) / len(some) / np.count_nonzero(mask)
    return Costs(
        max(round((wide - narrow) / max(many - few, 1), 3), 0.01),
        max(round(rerank, 3), 0.001),
        max(round(float(row), 3), 0.001),
    )


def search_us(codes: CodeIndex, queries: FloatMatrix, probing: Probing) -> float:
    """Return the microseconds of one thread that probing takes for one of `(n, dim)` queries."""
    begin = time.thread_time()
    for query in queries:
        codes.search(query[None], probing, count=_MEASURED_ROWS)
    return 1e6 * (time.thread_time() - begin) / len(queries)


def _tuning(probing: Probing, rerank: int, recall: float) -> Tuning:
    return Tuning(
        probing.probes, rerank, round(recall, 4), spread=probing.spread, effort=probing.effort
    )


def _steps(needed: RowArray, cells: int) -> list[int]:
    """Return numbers of probes to try, from a little below what the target needs."""
    first = max(2.0, float(needed) / _STEP)
    steps = {min(cells, round(first * _STEP**step)) for step in range(_MOST_STEPS)}
    return sorted(steps)
