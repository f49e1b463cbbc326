"""The engines that `ann.py` compares, each swept over what a user would turn."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import ann_peers
import numpy as np
from ann_data import KINDS, Data, K, Search, in_child, open_index
from ann_points import Engine, Point

from lookalike.adapters.vectors_cells import train_cells
from lookalike.adapters.vectors_cells_checkpoint import Checkpoint
from lookalike.adapters.vectors_exact import ExactScanner
from lookalike.adapters.vectors_faiss import FaissVectorIndex
from lookalike.adapters.vectors_native import load_faiss
from lookalike.adapters.vectors_probing import Probing
from lookalike.adapters.vectors_search import Snapshot, SnapshotSearch, VectorRequest
from lookalike.adapters.vectors_segments import Manifest, SegmentFolder
from lookalike.adapters.vectors_settings import VectorSettings

BUILD_THREADS = 2
"""For stock Faiss, and Lookalike from `MANY` rows on; CPU seconds are counted, not the wall's."""
MANY = 5_000_000
RERANKS = (50, 100, 200, 300, 400, 800)
PROBES = (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
EFFORT, LEAST_EFFORT = 1.5, 32
"""How many cells the graph keeps in view for each that is probed, as tuning mostly finds."""
MANY_PROBES = (16, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256)
STOCK_SAMPLE = 40
"""Vectors a cell that stock Faiss is trained on: 39 is the least that it takes in silence."""
PQ_SAMPLE = 65_536


def build_ours(data: Data) -> dict:
    """Seal and tune the index in a child, once; return what that took."""
    kept = data.folder / "built.npy"
    if kept.exists() and (data.folder / "segments" / "manifest.json").exists():
        return np.load(kept, allow_pickle=True).item()
    shutil.rmtree(data.folder / "segments", ignore_errors=True)
    np.save(data.folder / "tune.npy", data.tune)
    threads = BUILD_THREADS if data.rows >= MANY else 1
    facts = in_child("build", folder=data.folder, rows=data.rows, dim=data.dim, threads=threads)
    np.save(kept, np.asarray(facts, object))
    return facts


def ours(data: Data) -> Iterator[Engine]:
    """Lookalike at its defaults, and its own exact scan where that is the default."""
    facts = build_ours(data)
    index = open_index(data)
    stats = index.stats()
    code_bytes = (stats.bytes - 2 * data.dim * data.rows) / data.rows
    name = "lookalike" if stats.sealed_rows else "lookalike exact"
    points = [
        Point(_tuning_label(data, KINDS[kind]), _our_search(index.search, KINDS[kind]), kind)
        for kind in data.queries
    ]
    own = code_bytes if stats.sealed_rows else 2.0 * data.dim
    yield Engine(name, own, facts["cpu_s"], tuple(points))


def ours_graph(data: Data) -> Iterator[Engine]:
    """Lookalike's other engine, a graph over the rows; the vectors stay in the matrix."""
    folder = data.folder / "graph"
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.link(data.folder / "matrix.f16", folder / "matrix.f16")
    shutil.rmtree(folder / "segments", ignore_errors=True)
    index = FaissVectorIndex.open(
        folder, dim=data.dim, rows=data.rows, removed=np.zeros(0, np.int64), is_writer=True,
        settings=dataclasses.replace(VectorSettings.of_engine("graph"), import_rows=0),
    )  # fmt: skip
    index.calibrate(data.tune)
    began = time.process_time()
    index.optimize()
    built = time.process_time() - began
    tunings = SegmentFolder(folder / "segments", data.dim).read().segments[0].tunings
    points = [
        Point(
            f"{tunings[KINDS[kind]].probes} in view",
            _our_search(index.search, KINDS[kind]),
            kind,
        )
        for kind in data.queries
    ]
    yield Engine("lookalike graph", index.stats().bytes / data.rows, built, tuple(points))


def scanned_share(data: Data, kind: str) -> float:
    """Return which share of all rows a query of a kind looks at by their codes, or at all."""
    folder = SegmentFolder(data.folder / "segments", data.dim)
    segments = folder.read().segments
    rows = data.rows - sum(segment.rows for segment in segments)
    for segment in segments:
        tuning, codes = segment.tunings[KINDS[kind]], folder.codes(segment)
        probing = Probing(tuning.probes, tuning.spread, tuning.effort)
        cells, _ = codes.rank(data.queries[kind], probing)
        rows += float(np.mean(codes.sizes[cells].sum(axis=1)))
    return rows / data.rows


def ours_swept(data: Data) -> Iterator[Engine]:
    """Lookalike with other probes and re-ranked rows than it chose, for the curve."""
    build_ours(data)
    folder = SegmentFolder(data.folder / "segments", data.dim)
    manifest = folder.read()
    if not manifest.segments:
        return
    codes = {s.file: folder.codes(s) for s in manifest.segments}
    settings = VectorSettings(import_rows=0)
    points = []
    for kind in data.queries:
        chosen = manifest.segments[0].tunings[KINDS[kind]]
        for probes in (p for p in probes_for(data) if p <= manifest.segments[0].cells // 2):
            for rerank in RERANKS:
                effort = max(LEAST_EFFORT, round(EFFORT * probes))
                tuning = dataclasses.replace(chosen, probes=probes, rerank=rerank, effort=effort)
                segments = tuple(
                    dataclasses.replace(s, tunings={**s.tunings, KINDS[kind]: tuning})
                    for s in manifest.segments
                )
                snapshot = Snapshot(data.vectors, Manifest(1, segments), None)
                searcher = SnapshotSearch(snapshot, codes, ExactScanner(0), settings)

                def search(query: np.ndarray, searcher=searcher, kind=KINDS[kind]) -> np.ndarray:
                    return searcher.search(VectorRequest(query, K, None, kind)).rows

                label = f"{probes} probes, {rerank} re-ranked"
                points.append(Point(label, search, kind, (probes, rerank)))
    yield Engine("lookalike swept", _code_bytes(data, manifest), 0.0, tuple(points))


def _code_bytes(data: Data, manifest: Manifest) -> float:
    return sum(segment.bytes for segment in manifest.segments) / data.rows


def _our_search(search: Callable, kind: str) -> Search:
    return lambda query: search(query, k=K, query_kind=kind).rows


def _tuning_label(data: Data, kind: str) -> str:
    segments = SegmentFolder(data.folder / "segments", data.dim).read().segments
    told = [
        f"{s.tunings[kind].probes} of {s.cells} cells, {s.tunings[kind].rerank} re-ranked"
        for s in segments
    ]
    return "; ".join(told) or "every row"


def stock_cells(rows: int) -> int:
    """Return how many cells a user of Faiss takes: four times the root, a power of two."""
    return max(64, 2 ** round(math.log2(4 * math.sqrt(rows))))


def stock(data: Data) -> Iterator[Engine]:
    """`IVFn,PQ64np` of Faiss by inner product, as it is, and with the same exact re-ranking."""
    return _stock(data, load_faiss().METRIC_INNER_PRODUCT, "")


def stock_by_distance(data: Data) -> Iterator[Engine]:
    """The same by Euclidean distance, as a user of unit vectors may also write it."""
    return _stock(data, load_faiss().METRIC_L2, " by distance")


def _stock(data: Data, metric: int, suffix: str) -> Iterator[Engine]:
    cells = stock_cells(data.rows)
    index, built = _stock_index(data, metric, cells)
    each = 64 + 8 + cells * data.dim * 4 / data.rows
    name = f"IVF{cells}{'_HNSW32' if data.rows >= MANY else ''},PQ64np{suffix}"
    probes = [p for p in probes_for(data) if p <= cells // 2]
    plain = tuple(
        Point(f"{p} probes", _stock_search(index, p), sizes=(p,)) for p in probes if p in (8, 32)
    )
    yield Engine(name, each, built, plain)
    exact = ExactScanner(0)
    better = tuple(
        Point(
            f"{p} probes, {r} re-ranked",
            _stock_search(index, p, r, data.vectors, exact),
            sizes=(p, r),
        )
        for p in probes
        for r in RERANKS
    )
    yield Engine(f"{name} + re-ranking", each, built, better)


def probes_for(data: Data) -> tuple[int, ...]:
    """Return the numbers of probes to sweep: fewer of them where each takes long."""
    return MANY_PROBES if data.rows >= MANY else PROBES


def _stock_index(data: Data, metric: int, cells: int) -> tuple[Any, float]:
    """Return the built index and the CPU seconds that took, kept in the folder."""
    faiss = load_faiss()
    kept = data.folder / f"IVF{cells}-{metric}.faiss"
    if kept.exists():
        faiss.omp_set_num_threads(1)
        return faiss.read_index(str(kept)), float(kept.with_suffix(".seconds").read_text())
    faiss.omp_set_num_threads(BUILD_THREADS)
    began = time.process_time()
    count = min(data.rows, STOCK_SAMPLE * cells)
    chosen = np.sort(np.random.default_rng(1).choice(data.rows, count, replace=False))
    if data.rows >= MANY:
        index = _large_stock(data, metric, cells, chosen)
    else:
        index = faiss.index_factory(data.dim, f"IVF{cells},PQ64np", metric)
        index.train(data.vectors[chosen].astype(np.float32))
        for block in data.blocks():
            index.add(block)
    built = time.process_time() - began
    faiss.write_index(index, str(kept))
    kept.with_suffix(".seconds").write_text(str(built))
    faiss.omp_set_num_threads(1)
    return index, built


def _large_stock(data: Data, metric: int, cells: int, chosen: np.ndarray) -> Any:
    """Return a filled `IVFn_HNSW32,PQ64np` whose cells Lookalike's two-level k-means found.

    Stock k-means of so many cells, and looking for each row's among all, would take hours here.
    """
    faiss = load_faiss()
    key = {"dim": data.dim, "cells": cells, "rows": data.rows}
    found = train_cells(
        chosen,
        lambda rows: data.vectors[rows].astype(np.float32),
        cells,
        seed=1,
        threads=BUILD_THREADS,
        checkpoint=Checkpoint(data.folder / "stock.checkpoint", key),
    )
    quantizer = faiss.IndexHNSWFlat(data.dim, 32, metric)
    quantizer.hnsw.efSearch = 64
    quantizer.add(found.centroids)
    index = faiss.IndexIVFPQ(quantizer, data.dim, len(found), 64, 8, metric)
    quantizer.this.disown()
    index.own_fields = True
    index.do_polysemous_training = False
    few = np.random.default_rng(2).choice(chosen, min(len(chosen), PQ_SAMPLE), replace=False)
    index.train(data.vectors[np.sort(few)].astype(np.float32))
    for block in data.blocks():
        owners = found.nearest(block, threads=BUILD_THREADS)
        index.add_core(len(block), faiss.swig_ptr(block), None, faiss.swig_ptr(owners))
    return index


def _stock_search(index, probes: int, rerank: int = 0, vectors=None, exact=None) -> Search:
    faiss = load_faiss()
    params = faiss.SearchParametersIVF(nprobe=probes)
    if isinstance(faiss.downcast_index(index.quantizer), faiss.IndexHNSW):
        params.quantizer_params = faiss.SearchParametersHNSW(efSearch=max(64, 2 * probes))

    def plain(query: np.ndarray) -> np.ndarray:
        return index.search(query, K, params=params)[1]

    def better(query: np.ndarray) -> np.ndarray:
        rows = index.search(query, rerank, params=params)[1][0]
        rows = rows[rows >= 0]
        return exact.rescore(vectors, query, rows, k=K).rows if len(rows) else rows

    return better if rerank else plain


ENGINES: dict[str, Callable[[Data], Iterator[Engine]]] = {
    "lookalike": ours,
    "swept": ours_swept,
    "graph": ours_graph,
    "stock": stock,
    "stock-distance": stock_by_distance,
    "autofaiss": ann_peers.autofaiss,
    "hnswlib": ann_peers.hnswlib,
    "usearch": ann_peers.usearch,
    "scann": ann_peers.scann,
}
