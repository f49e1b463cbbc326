"""Building a segment from the matrix in bounded memory, and tuning how it is searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.vectors_cells import train_cells
from lookalike.adapters.vectors_cells_checkpoint import Checkpoint
from lookalike.adapters.vectors_codes import ResidualCoder
from lookalike.adapters.vectors_codes_file import CodedRows, write_codes_file
from lookalike.adapters.vectors_codes_index import CodeIndex
from lookalike.adapters.vectors_cost import NEIGHBOURS, Asked, Tuner, measure_costs
from lookalike.adapters.vectors_drift import Drift, measure_drift, unevenness
from lookalike.adapters.vectors_native import CellGraph
from lookalike.adapters.vectors_tuning import Tuning, no_narrower

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lookalike.adapters.vectors_cells import Cells
    from lookalike.adapters.vectors_matrix import SegmentRows
    from lookalike.adapters.vectors_settings import VectorSettings
    from lookalike.adapters.vectors_tuning import Costs
    from lookalike.domain.arrays import FloatMatrix, RowArray

_BLOCK: Final = 16_384
_CHECKPOINT: Final = "cells.checkpoint"
_CODER_ROWS: Final = 40_000
_DRIFT_ROWS: Final = 4_000
"""So many rows, a tenth at most, are held out of the training to compare later ones with."""
_MOST_GROWTH: Final = 2
"""Cells taken over may become so many times as full as they were meant to be."""
_FEWEST_HOMES: Final = 8
"""Among fewer cells none is taken for empty."""
_UNMEASURED_SPREAD: Final = 0.15
"""For texts, when there are none to measure with."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What new codes are made with; `known` are codes taken over.

    `figures` are the training's: its `error` is the mean squared distance to the centroids of
    rows held out, since those trained on lie nearer.
    """

    graph: CellGraph
    cells: Cells
    coder: ResidualCoder
    figures: Mapping[str, float]
    known: CodedRows | None = None


def build_codes(
    part: SegmentRows, settings: VectorSettings, path: Path, parents: Sequence[CodeIndex] = ()
) -> CodeIndex:
    """Write a segment's file over the live rows and open it.

    Cells and codes of the largest of `parents`, segments that this one replaces, are taken
    over while the other rows fit them; otherwise cells are trained on a sample, which a build
    that was killed before goes on with. Raises `DiskFullError` when there is no room.
    """
    live = np.flatnonzero(part.live)
    checkpoint = Checkpoint(path.with_name(_CHECKPOINT), _key(part, live, settings))
    plan = _inherited(part, live, settings, parents) or _trained(part, live, settings, checkpoint)
    coded = _coded(part, live, plan, settings)
    sizes = np.bincount(coded.owners, minlength=len(plan.cells))
    centroids = plan.cells.centroids
    write_codes_file(
        path,
        graph=plan.graph.to_bytes(),
        coded=coded,
        arrays={
            "norms": np.vecdot(centroids, centroids).astype(np.float32),
            "projection": plan.coder.projection,
            "codebook": plan.coder.codebook,
            "uppers": plan.cells.uppers,
            "starts": plan.cells.starts.astype(np.int64),
        },
        figures={**plan.figures, "unevenness": round(unevenness(sizes), 3)},
    )
    checkpoint.clear()
    return CodeIndex.open(str(path))


def tune(
    codes: CodeIndex, part: SegmentRows, text_queries: FloatMatrix, settings: VectorSettings
) -> tuple[Mapping[str, Tuning], Costs]:
    """Find the cheapest way to search the codes that reaches the target recalls.

    Image queries are sampled rows of the segment, each as if its own cell were empty: a picture
    that comes from elsewhere has none of its like stored, and rows as they are would be found
    with too few probes. Without text queries to measure with, text probes four times as many
    cells and re-ranks twice as many rows.
    """
    live = np.flatnonzero(part.live)
    generator = np.random.default_rng(settings.seed + 1)
    count = min(len(live), settings.tuning_queries)
    sample = np.sort(generator.choice(live, count, replace=False))
    pictures = Asked.of_all(part.wide(sample))
    if codes.cells >= _FEWEST_HOMES and len(live) - int(codes.sizes.max()) >= NEIGHBOURS:
        pictures = Asked(pictures.queries, codes.owners(sample + part.begin))
    costs = measure_costs(codes, part, pictures.queries)
    tuner = Tuner(codes, part, costs, settings.threads)
    image = tuner.tune(pictures, settings.target_recall("image", len(live)))
    texts = text_queries[: settings.tuning_queries]
    if len(texts):
        text = tuner.tune(Asked.of_all(texts), settings.target_recall("text", len(live)))
    else:
        probes = min(4 * image.probes, codes.cells)
        rerank = max(2 * image.rerank, 400)
        text = Tuning(probes, rerank, None, spread=_UNMEASURED_SPREAD, effort=2 * probes)
    return {"image": no_narrower(image, text), "text": text}, costs


def _trained(
    part: SegmentRows, live: RowArray, settings: VectorSettings, checkpoint: Checkpoint
) -> _Plan:
    wanted = _cells_for(len(live), settings)
    order = np.random.default_rng(settings.seed).permutation(live)
    held, rest = order[: min(_DRIFT_ROWS, len(live) // 10)], order[len(live) // 10 :]
    sample = np.sort(rest[: max(settings.points_per_cell * wanted, settings.training_rows)])
    cells = train_cells(
        sample,
        part.wide,
        wanted,
        seed=settings.seed,
        threads=settings.threads,
        checkpoint=checkpoint,
    )
    graph = CellGraph.build(cells.centroids, threads=settings.threads)
    cells = type(cells)(graph.centroids(), cells.uppers, cells.starts)
    residuals = _residuals(part.wide(np.sort(order[:_CODER_ROWS])), cells, settings)
    coder = ResidualCoder.train(residuals, seed=settings.seed, threads=settings.threads)
    if len(held):
        residuals = _residuals(part.wide(held), cells, settings)
    error = float(np.mean(np.vecdot(residuals, residuals)))
    return _Plan(graph, cells, coder, {"error": round(error, 5)})


def _residuals(vectors: FloatMatrix, cells: Cells, settings: VectorSettings) -> FloatMatrix:
    return vectors - cells.centroids[cells.nearest(vectors, threads=settings.threads)]


def _inherited(
    part: SegmentRows, live: RowArray, settings: VectorSettings, parents: Sequence[CodeIndex]
) -> _Plan | None:
    """Return the largest parent's cells and codes, when most rows are its and the rest fit."""
    parent = max(parents, key=len, default=None)
    if parent is None or 2 * len(parent) < len(live):
        return None
    if parent.cells * _MOST_GROWTH < _cells_for(len(live), settings):
        return None
    known = parent.coded()
    inside = known.rows - part.begin
    is_kept = (inside >= 0) & (inside < len(part.live))
    is_kept[is_kept] = part.live[inside[is_kept]]
    known = CodedRows(known.codes[is_kept], known.rows[is_kept], known.owners[is_kept])
    cells = parent.to_cells()
    others = np.setdiff1d(live, known.rows - part.begin, assume_unique=True)
    if drift_of(parent, cells, part.wide(_some(others, settings)), settings).is_past_bounds:
        return None
    figures = {"error": parent.figure("error"), "inherited": float(len(known.rows))}
    return _Plan(parent.to_graph(), cells, parent.coder, figures, known)


def drift_of(
    codes: CodeIndex, cells: Cells, vectors: FloatMatrix, settings: VectorSettings
) -> Drift:
    """Compare `(n, dim)` new vectors with what a segment's cells were trained for."""
    owners = cells.nearest(vectors, threads=settings.threads)
    residuals = vectors - cells.centroids[owners]
    return measure_drift(
        np.vecdot(residuals, residuals),
        owners,
        trained_error=codes.figure("error"),
        sizes=codes.sizes,
    )


def _coded(part: SegmentRows, live: RowArray, plan: _Plan, settings: VectorSettings) -> CodedRows:
    """Return codes of all live rows: those taken over, and the others a block at a time."""
    known = plan.known
    others, first = live, 0
    if known is not None:
        others = np.setdiff1d(live, known.rows - part.begin, assume_unique=True)
        first = len(known.rows)
    codes = np.empty((len(live), plan.coder.code_bytes), np.uint8)
    owners = np.empty(len(live), np.int32)
    rows = np.empty(len(live), np.int64)
    if known is not None:
        codes[:first], owners[:first], rows[:first] = known.codes, known.owners, known.rows
    for some in _blocks(others):
        vectors = part.wide(some)
        mine = plan.cells.nearest(vectors, threads=settings.threads)
        span = slice(first, first + len(some))
        codes[span] = plan.coder.encode(
            vectors - plan.cells.centroids[mine], threads=settings.threads
        )
        owners[span], rows[span] = mine, some + part.begin
        first += len(some)
    return CodedRows(codes, rows, owners)


def _blocks(rows: RowArray) -> Iterator[RowArray]:
    for begin in range(0, len(rows), _BLOCK):
        yield rows[begin : begin + _BLOCK]


def _some(rows: RowArray, settings: VectorSettings) -> RowArray:
    count = min(len(rows), _DRIFT_ROWS)
    return np.sort(np.random.default_rng(settings.seed).choice(rows, count, replace=False))


def _cells_for(rows: int, settings: VectorSettings) -> int:
    most = min(settings.max_cells, round(settings.cells_per_root * rows**0.5))
    return max(1, min(rows // settings.rows_per_cell, most))


def _key(part: SegmentRows, live: RowArray, settings: VectorSettings) -> dict[str, int]:
    return {
        "dim": part.halves.shape[1],
        "begin": part.begin,
        "rows": len(part.live),
        "live": len(live),
        "cells": _cells_for(len(live), settings),
        "seed": settings.seed,
    }
