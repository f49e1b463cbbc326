"""What happens to an index while it lives: building, opening, adding, deleting, sealing."""

from __future__ import annotations

import argparse
import dataclasses
import os
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

from lookalike.adapters.vectors_exact import ExactScanner
from lookalike.adapters.vectors_faiss import FaissVectorIndex
from lookalike.adapters.vectors_matrix import RowReader, map_matrix
from lookalike.adapters.vectors_search import Snapshot, SnapshotSearch, VectorRequest
from lookalike.adapters.vectors_segments import SegmentFolder
from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.evaluation.reports import Table

BATCH = 1000
MOST_ADDED = 50_000
SAMPLE = 300
COLD_QUERIES = 50
SEALS = 6


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


class PlainReader(RowReader):
    """Reads rows as NumPy does, and asks for none before."""

    def read(self, matrix: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.asarray(matrix)[rows]


def child_cold(folder: str, rows: int, dim: int) -> dict[str, Any]:
    """Ask when the matrix is not in the page cache, read in three ways; return milliseconds."""
    place = Path(folder)
    with np.load(place / "queries.npz") as arrays:
        queries = arrays["image"]
    segments = SegmentFolder(place / "segments", dim)
    manifest = segments.read()
    codes = {s.file: segments.codes(s) for s in manifest.segments}
    ways = {"plain": (False, PlainReader()), "nothing_ahead": (True, PlainReader()),
            "asked_together": (True, RowReader())}  # fmt: skip
    facts: dict[str, Any] = {}
    for name, (is_scattered, reader) in ways.items():
        with (place / "matrix.f16").open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        matrix = map_matrix(place / "matrix.f16", dim=dim, rows=rows, is_scattered=is_scattered)
        search = SnapshotSearch(
            Snapshot(matrix, manifest, None), codes, ExactScanner(0, reader=reader),
            VectorSettings(import_rows=0),
        )  # fmt: skip
        times = []
        for query in queries[: COLD_QUERIES if is_scattered else COLD_QUERIES // 5]:
            began = time.perf_counter()
            search.search(VectorRequest(query[None], 10))
            times.append(1e3 * (time.perf_counter() - began))
        facts[f"{name}_ms"] = float(np.median(times))
        del matrix, search
    return facts


CHILDREN: dict[str, Callable[..., dict[str, Any]]] = {
    "build": child_build,
    "open": child_open,
    "cold": child_cold,
}


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


def built(data: Data, options: argparse.Namespace) -> None:
    """Say what building took, and measure opening: what can be afforded at any size."""
    metrics = _built_and_opened(data)
    material.finish(
        f"ann_built_{data.rows}", options.out / f"ann_built_{data.rows}.json", metrics=metrics,
        tables={"life": Table(("measure", "value"), readable(metrics))},
        settings={"rows": data.rows, "dim": data.dim},
    )  # fmt: skip


def _built_and_opened(data: Data) -> dict[str, float]:
    facts = build_ours(data)
    metrics = {f"build.{name}": float(value) for name, value in facts.items()}
    metrics["build.cpu_us_a_row"] = 1e6 * facts["cpu_s"] / data.rows
    opened = [in_child("open", folder=data.folder, rows=data.rows, dim=data.dim) for _ in range(3)]
    for name in opened[0]:
        metrics[f"open.{name}"] = float(np.median([one[name] for one in opened]))
    return metrics


def ingest(data: Data, options: argparse.Namespace) -> None:
    """Measure building, opening, adding, deleting, and searching while a seal runs."""
    metrics = _built_and_opened(data)
    with tempfile.TemporaryDirectory(dir=data.folder.parent) as folder:
        metrics |= _added(data, Path(folder))
    with tempfile.TemporaryDirectory(dir=data.folder.parent) as folder:
        more, table, growth = _sealing(data, Path(folder) / "copy")
    metrics |= more
    material.finish(
        f"ann_ingest_{data.rows}", options.out / f"ann_ingest_{data.rows}.json",
        metrics=metrics,
        tables={"while_sealing": table, "growing": growth,
                "life": Table(("measure", "value"), readable(metrics))},
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


def _sealing(data: Data, folder: Path) -> tuple[dict[str, float], Table, Table]:
    """Add tails that are worth sealing, and ask before, while and after they are sealed."""
    shutil.copytree(data.folder, folder, ignore=shutil.ignore_patterns("*.npy", "IVF*"))
    facts = {
        f"cold.{name}": value
        for name, value in in_child("cold", folder=folder, rows=data.rows, dim=data.dim).items()
    }
    index = _opened(folder, data.rows, data.dim, is_writer=True)
    generator, row, grown = np.random.default_rng(5), data.rows, []
    lines: list[tuple] = []
    for turn in range(SEALS):
        row = _with_tail(index, data, row, generator)
        before = _asked(index, data, lambda: False)
        worker = threading.Thread(target=index.maybe_seal)
        began, cpu = time.perf_counter(), time.process_time()
        worker.start()
        during = _asked(index, data, worker.is_alive) if turn == 0 else None
        worker.join()
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        after = _asked(index, data, lambda: False)
        if during is not None:
            lines += [("before", *before), ("while sealing", *during), ("after", *after)]
            facts |= {"seal.tail_rows": float(row - data.rows), "seal.wall_s": took}
        sizes = [s.rows for s in SegmentFolder(folder / "segments", data.dim).read().segments]
        told = " + ".join(f"{size:,}" for size in sizes)
        grown.append((row, told, before[1], after[1], after[2], took))
        print(*grown[-1], sep="  ", flush=True)
    whole = dataclasses.replace(data, vectors=map_matrix(folder / "matrix.f16", dim=data.dim,
                                rows=row), folder=folder)  # fmt: skip
    for kind, queries in data.queries.items():
        found = list(index.search(queries, k=10, query_kind=kind).rows)
        facts[f"seal.recall_after.{kind}"] = whole.recall(kind, whole.truth(kind), found)
    index.close()
    columns = ("when", "queries asked", "p50 ms", "p99 ms", "worst ms")
    growth = ("rows", "segments", "p50 ms before", "p50 ms after", "p99 ms after", "sealing s")
    return facts, Table(columns, lines), Table(growth, grown)


def _with_tail(
    index: FaissVectorIndex, data: Data, row: int, generator: np.random.Generator
) -> int:
    """Add as many rows, near to some that are there, as are worth sealing; return all rows."""
    count = VectorSettings().seal_rows + 1
    chosen = np.sort(generator.choice(data.rows, count, replace=count > data.rows))
    vectors = data.vectors[chosen].astype(np.float32)
    vectors += 0.01 * generator.standard_normal(vectors.shape, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index.add(np.arange(row, row + count), vectors)
    index.flush()
    index.refresh(row + count)
    return row + count


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
