"""Whether queries should stop at cells of their own number: how much recall that would gain.

Each query's ten true neighbours lie in cells that are ranked for it. With as many cells for every
query, and with as many on average but for each as its own likelihoods say, the neighbours in the
cells probed are counted: an upper bound of recall, for codes lose some.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import material
import numpy as np
from ann_data import KINDS, Data
from ann_engines import build_ours

from lookalike.adapters.vectors_cost import nearest_rows
from lookalike.adapters.vectors_matrix import SegmentRows
from lookalike.adapters.vectors_probing import Probing
from lookalike.adapters.vectors_segments import SegmentFolder
from lookalike.evaluation.reports import Table

COUNTS = (16, 24, 32, 48, 64, 96, 128)
RANKED = 512
LEAST = 4
HALVINGS = 40
RULES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "near the best cell": lambda likely, _: likely - likely[:, :1],
    "near the first ten cells": lambda likely, _: likely - likely[:, :10].mean(1, keepdims=True),
    "near the tenth neighbour": lambda likely, tenth: likely - tenth[:, None],
}
"""How likely a cell is, beside what. The last one knows the answer: nothing could do better."""


def early(data: Data, options: argparse.Namespace) -> None:
    """Compare as many cells for all queries with as many on average."""
    build_ours(data)
    folder = SegmentFolder(data.folder / "segments", data.dim)
    segment = folder.read().segments[0]
    codes = folder.codes(segment)
    part = SegmentRows(data.vectors[: segment.end], 0, np.ones(segment.end, np.bool_))
    rows = []
    for kind, queries in data.queries.items():
        tuning = segment.tuning(KINDS[kind])
        found = nearest_rows(part, part.live, queries, 10, threads=1)
        homes = codes.owners(found.rows.ravel()).reshape(found.rows.shape)
        cells, products = codes.rank(queries, Probing(RANKED, tuning.spread, 0))
        likely = products + np.float32(tuning.spread) * (1 - codes.norms[cells])
        places = _places(cells, homes)
        for count in COUNTS:
            kept = [
                _kept(places, rule(likely, found.scores[:, -1]), count) for rule in RULES.values()
            ]
            rows.append((kind, count, float(np.mean(places < count)), *kept))
            print(*rows[-1], sep="  ", flush=True)
    columns = ("queries", "cells, on average", "as many for all", *RULES)
    material.finish(
        f"ann_early_{data.rows}", options.out / f"ann_early_{data.rows}.json",
        metrics={f"{name}.{row[0]}.{row[1]}": value for row in rows
                 for name, value in zip(columns[2:], row[2:], strict=True)},
        tables={"early": Table(columns, rows)},
        settings={"rows": data.rows, "dim": data.dim, "ranked": RANKED},
    )  # fmt: skip


def _places(cells: np.ndarray, homes: np.ndarray) -> np.ndarray:
    """Return the place of each of `(n, 10)` neighbours' cells among the `(n, ranked)` cells."""
    is_there = cells[:, None, :] == homes[:, :, None]
    return np.where(is_there.any(axis=2), is_there.argmax(axis=2), RANKED)


def _kept(places: np.ndarray, likely: np.ndarray, count: int) -> float:
    """Return the share of neighbours in cells above a bound, `count` of them on average."""
    low, high = float(likely.min()), float(likely.max())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if np.mean((likely >= middle).sum(axis=1)) > count:
            low = middle
        else:
            high = middle
    counts = np.clip((likely >= high).sum(axis=1), LEAST, RANKED)
    return float(np.mean(places < counts[:, None]))
