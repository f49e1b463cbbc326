"""Building a segment from the matrix in bounded memory, and tuning how it is searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.vectors_exact import ExactScanner
from lookalike.adapters.vectors_native import CodeIndex
from lookalike.adapters.vectors_segments import Tuning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lookalike.adapters.vectors_matrix import HalfMatrix
    from lookalike.adapters.vectors_settings import QueryKind, VectorSettings
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray

_BLOCK: Final = 8_192
_NEIGHBOURS: Final = 10
_RERANKS: Final = (50, 100, 200, 400, 800)
QUERY_SHIFT: Final = 0.5
"""How far, in lengths of the other vector, tuning moves a stored vector to make a query."""

_CODE_US: Final = 0.03
_RERANK_US: Final = 0.3
_CELL_US: Final = 0.1
"""Costs measured at 896 dimensions on one thread; only their ratios matter."""


@dataclass(frozen=True, slots=True)
class SegmentRows:
    """The part of the matrix that a segment covers.

    `halves` is `(rows, dim)` and starts at row `begin`; `live` is `(rows,)`, False where a
    row is removed or a hole.
    """

    halves: HalfMatrix
    begin: int
    live: BoolMask


def build_codes(part: SegmentRows, settings: VectorSettings) -> CodeIndex:
    """Train cells on a sample and code every live row, a block at a time."""
    live = np.flatnonzero(part.live)
    cells = max(1, min(len(live) // settings.rows_per_cell, settings.max_cells))
    generator = np.random.default_rng(settings.seed)
    count = min(len(live), settings.training_rows, max(64 * cells, 4_096))
    sample = np.sort(generator.choice(live, count, replace=False))
    codes = CodeIndex.train(
        _wide(part.halves, sample), cells=cells, seed=settings.seed, threads=settings.threads
    )
    for begin in range(0, len(live), _BLOCK):
        rows = live[begin : begin + _BLOCK]
        codes.add(_wide(part.halves, rows), rows + part.begin)
    return codes


def tune(
    codes: CodeIndex, part: SegmentRows, text_queries: FloatMatrix, settings: VectorSettings
) -> Mapping[str, Tuning]:
    """Find the cheapest way to search the codes that reaches the target recalls.

    Image queries are sampled rows of the segment, each moved half way to another one: a picture
    that is asked about is seldom stored itself, and rows as they are would be found with too few
    probes. They probe no less than texts do, whose neighbours lie as far. Without text queries to
    measure with, text probes four times as many cells and re-ranks twice as many rows.
    """
    live = np.flatnonzero(part.live)
    generator = np.random.default_rng(settings.seed + 1)
    count = min(len(live), settings.tuning_queries)
    sample = np.sort(generator.choice(live, count, replace=False))
    tuner = _Tuner(codes, part, settings)
    others = _wide(part.halves, sample)[generator.permutation(count)]
    shifted = _wide(part.halves, sample) + QUERY_SHIFT * others
    image = tuner.tune(_unit(shifted.astype(np.float32)), "image")
    texts = text_queries[: settings.tuning_queries]
    if len(texts):
        text = tuner.tune(texts, "text")
        image = Tuning(max(image.probes, text.probes), max(image.rerank, text.rerank), image.recall)
    else:
        text = Tuning(min(4 * image.probes, codes.cells), max(2 * image.rerank, 400))
    return {"image": image, "text": text}


@dataclass(frozen=True, slots=True)
class _Tuner:
    codes: CodeIndex
    part: SegmentRows
    settings: VectorSettings

    def tune(self, queries: FloatMatrix, kind: QueryKind) -> Tuning:
        """Return the cheapest tuning that reaches the target, or else the best one.

        A target of 1 is not left to a sample: every cell is probed.
        """
        truth = self._truth(queries)
        target = self.settings.target_recall(kind)
        best: tuple[float, Tuning] | None = None
        fallback = Tuning(self.codes.cells, _RERANKS[-1], 0.0)
        every = self.codes.cells
        for probes in [every] if target >= 1 else _probe_steps(every):
            ranks = self._ranks(queries, truth, probes)
            for rerank in _RERANKS[-1:] if target >= 1 else _RERANKS:
                recall = float(np.mean(ranks < rerank))
                cost = self._cost(probes, rerank)
                tuning = Tuning(probes, rerank, round(recall, 4))
                if recall >= target and (best is None or cost < best[0]):
                    best = (cost, tuning)
                if recall > (fallback.recall or 0.0):
                    fallback = tuning
            if best is not None and self._cost(probes, _RERANKS[0]) > best[0]:
                break
        return fallback if best is None else best[1]

    def _cost(self, probes: int, rerank: int) -> float:
        scanned = probes * len(self.codes) / self.codes.cells
        return probes * _CELL_US + scanned * _CODE_US + rerank * _RERANK_US

    def _truth(self, queries: FloatMatrix) -> RowArray:
        """Return the `(n, 10)` rows truly nearest."""
        scanner = ExactScanner(numpy_rows=0, threads=self.settings.threads)
        found = scanner.best(self.part.halves, queries, k=_NEIGHBOURS, mask=self.part.live).rows
        return found + self.part.begin

    def _ranks(self, queries: FloatMatrix, truth: RowArray, probes: int) -> RowArray:
        """Return the `(n, 10)` places of the true neighbours among the candidates."""
        count = min(_RERANKS[-1], len(self.codes))
        found = self.codes.search(
            queries, count=count, probes=probes, threads=self.settings.threads
        )
        ranks = np.full(truth.shape, np.iinfo(np.int64).max, np.int64)
        for query, candidates in enumerate(found):
            order = np.argsort(candidates, kind="stable")
            places = np.searchsorted(candidates, truth[query], sorter=order)
            places = order[np.minimum(places, len(order) - 1)]
            is_found = candidates[places] == truth[query]
            ranks[query, is_found] = places[is_found]
        return ranks


def _probe_steps(cells: int) -> list[int]:
    steps = sorted({round(2 ** (half / 2)) for half in range(2, 64) if 2 ** (half / 2) < cells})
    return [*steps, cells]


def _unit(vectors: FloatMatrix) -> FloatMatrix:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)


def _wide(halves: HalfMatrix, rows: RowArray) -> FloatMatrix:
    return np.asarray(halves)[rows].astype(np.float32)
