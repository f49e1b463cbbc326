"""Recall while new vectors come from elsewhere: ten generations, with and without new cells."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import material
import numpy as np
from ann_data import Data, timed
from ann_engines import STOCK_SAMPLE, stock_cells
from ann_growth import best_scores

from lookalike.adapters.vectors_faiss import FaissVectorIndex
from lookalike.adapters.vectors_native import load_faiss
from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.evaluation.reports import Table

GENERATIONS = 10
QUERIES = 200
PROBED = 32
AGAIN = 200
K = 10


def drift(data: Data, options: argparse.Namespace) -> None:
    """Begin with half of the rows, add the others in ten parts, each farther away than the last.

    Rows are ordered along the first principal axis of their differences from the mean. Beside
    Lookalike, which seals, merges and trains anew as it sees fit, stands an IVF-PQ64 that was
    trained on the first half and only added to, re-ranked alike. Queries are those nearest to
    what is new in each generation, and all.
    """
    order = _ordered(data)
    with tempfile.TemporaryDirectory(dir=data.folder.parent) as folder:
        index = FaissVectorIndex.open(
            Path(folder), dim=data.dim, rows=0, removed=np.zeros(0, np.int64), is_writer=True,
            settings=VectorSettings(import_rows=0, exact_rows=data.rows // 10,
                                    seal_rows=data.rows // 25),
        )  # fmt: skip
        index.calibrate(data.tune)
        half = data.rows // 2
        ends = [half + round(half * part / GENERATIONS) for part in range(GENERATIONS + 1)]
        rows, at = [], 0
        stale = None
        for generation, end in enumerate(ends):
            vectors = data.vectors[np.sort(order[at:end])].astype(np.float32)
            index.add(np.arange(at, end), vectors)
            index.flush()
            index.refresh(end)
            began = time.process_time()
            index.maybe_seal()
            sealed = time.process_time() - began
            if stale is None:
                stale = _stale(vectors)
            else:
                stale.add(vectors)
            rows += _measured(index, stale, data, Path(folder), end, (generation, sealed))
            at = end
        began = time.process_time()
        index.optimize()
        rebuilt = time.process_time() - began
        fresh = _stale(index.fetch(np.arange(at)))
        rows += _measured(index, fresh, data, Path(folder), at, ("rebuilt", rebuilt))
        index.close()
    columns = ("generation", "rows", "queries", "recall@10", "CPU ms", "sealing CPU s",
               "cells never trained anew: recall@10", "its CPU ms")  # fmt: skip
    last = {f"recall.{row[2]}": row[3] for row in rows[:-2]}
    never = {f"stale.recall.{row[2]}": row[6] for row in rows[:-2]}
    material.finish(
        f"ann_drift_{data.rows}", options.out / f"ann_drift_{data.rows}.json",
        metrics=last | never, tables={"generations": Table(columns, rows)},
        settings={"rows": data.rows, "dim": data.dim, "probed": PROBED, "re_ranked": AGAIN},
    )  # fmt: skip


def _ordered(data: Data) -> np.ndarray:
    sample = data.vectors[np.linspace(0, data.rows - 1, 20_000).astype(int)].astype(np.float32)
    centred = sample - sample.mean(axis=0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    return np.argsort(np.concatenate([block @ axis for block in data.blocks()]))


def _stale(vectors: np.ndarray):
    faiss = load_faiss()
    cells = stock_cells(len(vectors))
    index = faiss.index_factory(vectors.shape[1], f"IVF{cells},PQ64np", faiss.METRIC_INNER_PRODUCT)
    count = min(len(vectors), STOCK_SAMPLE * cells)
    index.train(vectors[np.random.default_rng(1).choice(len(vectors), count, replace=False)])
    index.add(vectors)
    return index


def _measured(index, stale, data: Data, folder: Path, end: int, about: tuple) -> list[tuple]:
    faiss = load_faiss()
    matrix = np.memmap(folder / "matrix.f16", "<f2", "r", 64, (end, data.dim))
    params = faiss.SearchParametersIVF(nprobe=PROBED)
    rows = []
    for kind, queries in data.queries.items():
        some = queries[:QUERIES]
        now = dataclasses.replace(data, vectors=matrix, queries={kind: some})
        truth = best_scores(some, matrix, K)

        def ours(query: np.ndarray, kind=kind) -> np.ndarray:
            return index.search(query, k=K, query_kind=kind).rows

        def theirs(query: np.ndarray) -> np.ndarray:
            found = stale.search(query, AGAIN, params=params)[1][0]
            found = found[found >= 0]
            return found[np.argsort(-(matrix[found].astype(np.float32) @ query[0]))[:K]]

        found, taken = timed(ours, some, 1)
        recall = now.recall(kind, truth, found)
        found, other = timed(theirs, some, 1)
        never = now.recall(kind, truth, found)
        rows.append((str(about[0]), end, kind, round(recall, 4), taken.cpu_ms, about[1],
                     round(never, 4), other.cpu_ms))  # fmt: skip
        print(*rows[-1], sep="  ", flush=True)
    return rows
