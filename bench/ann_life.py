"""What happens to an index while it lives: building, opening, adding, deleting, sealing."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import material
import numpy as np
from ann_data import Data, in_child, memory_of, watched
from ann_engines import build_ours

from lookalike.adapters.vectors_faiss import FaissVectorIndex
from lookalike.adapters.vectors_matrix import map_matrix
from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.evaluation.reports import Table

BATCH = 1000
MOST_ADDED = 50_000
SAMPLE = 300


def child_build(folder: str, rows: int, dim: int, threads: int) -> dict[str, Any]:
    """Seal all rows and tune with texts, in this process."""
    index = _opened(folder, rows, dim, is_writer=True, threads=threads)
    with watched() as facts:
        index.calibrate(np.load(Path(folder) / "tune.npy"))
        index.optimize()
    stats = index.stats()
    index.close()
    return {**facts, **{f"own_recall.{k}": v for k, v in stats.ann_recall_at_10.items()}}


def child_open(folder: str, rows: int, dim: int) -> dict[str, Any]:
    """Open a reader and ask; return seconds and bytes, Faiss imported before."""
    import faiss

    del faiss
    with np.load(Path(folder) / "queries.npz") as arrays:
        queries = arrays["image"][:SAMPLE]
    before = memory_of()
    began = time.perf_counter()
    index = _opened(folder, rows, dim, is_writer=False)
    opened = time.perf_counter()
    index.search(queries[:1], k=10)
    first = time.perf_counter()
    after = memory_of()
    for query in queries:
        index.search(query[None], k=10)
    warm = memory_of()
    return {
        "open_ms": 1e3 * (opened - began),
        "first_search_ms": 1e3 * (first - opened),
        "opened_anon_bytes": after["anon"] - before["anon"],
        "asked_anon_bytes": warm["anon"] - before["anon"],
        "asked_file_bytes": warm["file"] - before["file"],
    }


CHILDREN: dict[str, Callable[..., dict[str, Any]]] = {"build": child_build, "open": child_open}


def _opened(
    folder: str | Path, rows: int, dim: int, *, is_writer: bool, threads: int = 1
) -> FaissVectorIndex:
    return FaissVectorIndex.open(
        Path(folder),
        dim=dim,
        rows=rows,
        removed=np.zeros(0, np.int64),
        is_writer=is_writer,
        settings=VectorSettings(import_rows=0, threads=threads),
    )


def ingest(data: Data, options: argparse.Namespace) -> None:
    """Measure building, opening, adding, deleting, and searching while a seal runs."""
    built = build_ours(data)
    metrics = {f"build.{name}": float(value) for name, value in built.items()}
    opened = [in_child("open", folder=data.folder, rows=data.rows, dim=data.dim) for _ in range(3)]
    for name in opened[0]:
        metrics[f"open.{name}"] = float(np.median([facts[name] for facts in opened]))
    metrics["build.cpu_us_a_row"] = 1e6 * built["cpu_s"] / data.rows
    with tempfile.TemporaryDirectory(dir=data.folder.parent) as folder:
        metrics |= _added(data, Path(folder))
    with tempfile.TemporaryDirectory(dir=data.folder.parent) as folder:
        more, table = _sealing(data, Path(folder) / "copy")
    metrics |= more
    material.finish(
        f"ann_ingest_{data.rows}", options.out / f"ann_ingest_{data.rows}.json",
        metrics=metrics,
        tables={"while_sealing": table, "life": Table(("measure", "value"), readable(metrics))},
        settings={"rows": data.rows, "dim": data.dim, "batch": BATCH, "threads": 1},
    )  # fmt: skip


def readable(metrics: dict[str, float]) -> list[tuple[str, float]]:
    """Return the metrics in words, bytes as megabytes."""
    return [
        (name.replace("_bytes", "_mb").replace("_", " ").replace(".", ": ", 1),
         value / 1e6 if name.endswith("_bytes") else value)
        for name, value in metrics.items()
    ]  # fmt: skip


def _added(data: Data, folder: Path) -> dict[str, float]:
    """Add to an empty index and delete again, a batch at a time, durable and shown each time."""
    index = _opened(folder, 0, data.dim, is_writer=True)
    count = min(data.rows, MOST_ADDED) // BATCH * BATCH
    seen, spent, cpu = [], 0.0, time.process_time()
    for begin in range(0, count, BATCH):
        vectors = data.vectors[begin : begin + BATCH].astype(np.float32)
        began = time.perf_counter()
        index.add(np.arange(begin, begin + BATCH), vectors)
        index.flush()
        index.refresh(begin + BATCH)
        spent += time.perf_counter() - began
        hits = index.search(vectors[-1:], k=1).rows
        seen.append(1e3 * (time.perf_counter() - began))
        if data.vectors[int(hits[0, 0])].astype(np.float32) @ vectors[-1] < 0.999:
            raise SystemExit("a row that was just added was not found")
    cpu = time.process_time() - cpu
    gone = np.random.default_rng(3).choice(count, count // 10, replace=False)
    began = time.perf_counter()
    for begin in range(0, len(gone), BATCH):
        index.remove(gone[begin : begin + BATCH])
    deleted = time.perf_counter() - began
    found = index.search(data.queries["image"], k=10).rows
    if np.isin(found, gone).any():
        raise SystemExit("a row that was removed was found")
    index.close()
    return {
        "add.rows_a_second": count / spent,
        "add.cpu_us_a_row_with_a_search": 1e6 * cpu / count,
        "add.shown_after_ms": float(np.median(seen)),
        "delete.rows_a_second": len(gone) / deleted,
    }


def _sealing(data: Data, folder: Path) -> tuple[dict[str, float], Table]:
    """Add a tail that is worth sealing, and ask before, while and after it is sealed."""
    shutil.copytree(data.folder, folder, ignore=shutil.ignore_patterns("*.npy", "IVF*", "*.npz"))
    index = _opened(folder, data.rows, data.dim, is_writer=True)
    settings = VectorSettings()
    tail = int(max(settings.seal_rows, settings.seal_share * data.rows, settings.exact_rows)) + 1
    generator, row = np.random.default_rng(5), data.rows
    while row < data.rows + tail:
        count = min(10_000, data.rows + tail - row)
        chosen = np.sort(generator.choice(data.rows, count, replace=count > data.rows))
        vectors = data.vectors[chosen].astype(np.float32)
        vectors += 0.01 * generator.standard_normal(vectors.shape, dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        index.add(np.arange(row, row + count), vectors)
        row += count
    index.flush()
    index.refresh(row)
    lines = [("before", *_asked(index, data, lambda: False))]
    worker = threading.Thread(target=index.maybe_seal)
    began = time.perf_counter()
    worker.start()
    lines.append(("while sealing", *_asked(index, data, worker.is_alive)))
    worker.join()
    took = time.perf_counter() - began
    lines.append(("after", *_asked(index, data, lambda: False)))
    whole = dataclasses.replace(data, vectors=map_matrix(folder / "matrix.f16", dim=data.dim,
                                rows=row), folder=folder)  # fmt: skip
    recalls = {}
    for kind, queries in data.queries.items():
        found = list(index.search(queries, k=10, query_kind=kind).rows)
        recalls[f"seal.recall_after.{kind}"] = whole.recall(kind, whole.truth(kind), found)
    sealed = float(index.stats().sealed_rows)
    index.close()
    columns = ("when", "queries asked", "p50 ms", "p99 ms", "worst ms")
    facts = {"seal.tail_rows": float(tail), "seal.wall_s": took, "seal.sealed_rows": sealed}
    return facts | recalls, Table(columns, lines)


def _asked(
    index: FaissVectorIndex, data: Data, is_going: Callable[[], bool]
) -> tuple[int, float, float, float]:
    """Ask all image queries, and go on while `is_going`."""
    times: list[float] = []
    while not times or is_going():
        for query in data.queries["image"]:
            began = time.perf_counter()
            index.search(query[None], k=10)
            times.append(1e3 * (time.perf_counter() - began))
            if len(times) > len(data.queries["image"]) and not is_going():
                break
    p50, p99 = np.percentile(times, (50, 99))
    return len(times), float(p50), float(p99), float(max(times))
