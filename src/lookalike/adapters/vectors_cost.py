"""Tuning a segment: the cheapest way to search it that reaches a target recall, as measured."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.vectors_codes_index import Probing
from lookalike.adapters.vectors_exact import ExactScanner
from lookalike.adapters.vectors_native import GRAPH_CELLS
from lookalike.adapters.vectors_segments import Costs, Tuning

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
_COST_QUERIES: Final = 30
_SCANNED_ROWS: Final = 20_000


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
            if best is not None and self.cost(probes, _RERANKS[0]) > best[0]:
                break
            probing = self._with_effort(queries, Probing(probes, spread))
            ranks = self._ranks(queries, truth, probing)
            for rerank in _RERANKS:
                tuning = _tuning(probing, rerank, float(np.mean(ranks < rerank)))
                cost = self.cost(probes, rerank)
                if (tuning.recall or 0.0) >= target and (best is None or cost < best[0]):
                    best = (cost, tuning)
                if (tuning.recall or 0.0) > (fallback.recall or 0.0):
                    fallback = tuning
        return fallback if best is None else best[1]

    def cost(self, probes: int, rerank: int) -> float:
        """Return about how many microseconds a query takes."""
        return probes * self.costs.probe_us + rerank * self.costs.rerank_us

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
        """Return the `(n, 10)` rows truly nearest."""
        scanner = ExactScanner(numpy_rows=0, threads=self.threads)
        found = scanner.best(self.part.halves, queries, k=_NEIGHBOURS, mask=self.part.live).rows
        return found + self.part.begin

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
    """Return what a probed cell and a re-ranked row take here, of one thread's time.

    `queries` are `(n, dim)`, asked one at a time as a search does.
    """
    few, many = max(1, codes.cells // 64), max(2, codes.cells // 8)
    many = min(many, few + 256)
    some = [query[None] for query in queries[:_COST_QUERIES]]
    narrow, wide = (_search_us(codes, some, probes) for probes in (few, many))
    scanner = ExactScanner(numpy_rows=0)
    count = min(_RERANKS[-1], len(part.halves))
    rows = np.random.default_rng(0).choice(len(part.halves), count, replace=False)
    begin = time.thread_time()
    for query in some:
        scanner.rescore(part.halves, query, rows, k=_NEIGHBOURS)
    rerank = 1e6 * (time.thread_time() - begin) / len(some) / count
    halves = part.halves[:_SCANNED_ROWS]
    mask = np.arange(len(halves)) % 4 == 0
    begin = time.thread_time()
    for query in some:
        scanner.best(halves, query, k=_NEIGHBOURS, mask=mask)
    row = 1e6 * (time.thread_time() - begin) / len(some) / np.count_nonzero(mask)
    return Costs(
        max(round((wide - narrow) / (many - few), 3), 0.01),
        max(round(rerank, 3), 0.001),
        max(round(float(row), 3), 0.001),
    )


def _search_us(codes: CodeIndex, queries: list[FloatMatrix], probes: int) -> float:
    probing = Probing(probes, _EVERY_CELL_SPREAD)
    ranked = [codes.rank(query, probing) for query in queries]
    begin = time.thread_time()
    for query, (cells, products) in zip(queries, ranked, strict=True):
        codes.scan(query, cells, products, count=_RERANKS[1])
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
