"""Searching where the matrix does not fit in memory, and whether a copy in fewer bytes would help.

The copy holds a byte a number: candidates are thinned with it to three times as many rows as are
wanted, and only these are read of the matrix. Lookalike has no such copy: this is what it would do.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import material
import numpy as np
from ann_data import KINDS, Data, in_child

from lookalike.adapters.vectors_exact import ExactScanner
from lookalike.adapters.vectors_matrix import map_matrix
from lookalike.adapters.vectors_native import load_faiss
from lookalike.adapters.vectors_probing import Probing, Sieve
from lookalike.adapters.vectors_search import Snapshot, SnapshotSearch, VectorRequest
from lookalike.adapters.vectors_segments import SegmentFolder, SegmentIndex
from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.evaluation.reports import Table

SHARES = (2.0, 0.9, 0.7, 0.55, 0.4)
"""How much memory there is besides the process and its codes, in sizes of the matrix."""
PROCESS = 300 << 20
ASKED = ("drawn", "text")
KEPT = 30
SAMPLE = 20_000
COLUMNS = ("memory, in matrices", "int8 copy", "queries", "recall@10", "p50 ms", "p99 ms", "CPU ms",
           "KB read a query")  # fmt: skip
GROUPS = Path("/sys/fs/cgroup/memory")
COPY = "rows.int8"
BLOCK = 1 << 24
ROWS = 1 << 14


def memory(data: Data, options: argparse.Namespace) -> None:
    """Ask with less and less memory; where it cannot be limited, only with all of it."""
    manifest = SegmentFolder(data.folder / "segments", data.dim).read()
    if len(manifest.segments) != 1:
        raise SystemExit("an index of one segment is wanted: run another part first")
    place = {"folder": data.folder, "rows": data.rows, "dim": data.dim}
    if not (data.folder / COPY).exists():
        in_child("copy", **place)
    matrix = (data.folder / "matrix.f16").stat().st_size
    can_limit = os.access(GROUPS / "cgroup.procs", os.W_OK)
    asked: list[tuple[float, bool, dict[str, Any]]] = []
    for share in SHARES if can_limit else SHARES[:1]:
        limit = PROCESS + manifest.segments[0].bytes + round(share * matrix)
        for copied in (False, True):
            limits = {"limit": limit if can_limit else 0}
            asked.append((share, copied, in_child("memory", **place, copied=copied, **limits)))
    rows, metrics = [], {}
    for share, copied, facts in asked:  # only now: what is mapped here, the system keeps
        for kind, found in facts.items():
            hits = [np.asarray(one) for one in found.pop("rows")]
            found["recall"] = data.recall(kind, data.truth(kind), hits)
            named = ("recall", "p50_ms", "p99_ms", "cpu_ms", "read_kb")
            rows.append((share, "yes" if copied else "no", kind, *(found[n] for n in named)))
            way = "int8" if copied else "fp16"
            metrics |= {f"{name}.{kind}.{way}.{share}": found[name] for name in named}
    material.finish(
        f"ann_memory_{data.rows}", options.out / f"ann_memory_{data.rows}.json", metrics=metrics,
        tables={"memory": Table(COLUMNS, rows)},
        settings={"rows": data.rows, "dim": data.dim, "threads": 1, "is_limited": can_limit,
                  "copy_bytes": (data.folder / COPY).stat().st_size, "matrix_bytes": matrix,
                  "reranked": {kind: manifest.segments[0].tuning(KINDS[kind]).rerank
                               for kind in ASKED}},
    )  # fmt: skip


def child_copy(folder: str, rows: int, dim: int) -> dict[str, Any]:
    """Write the copy: the ranges of the dimensions, then row after row."""
    matrix = map_matrix(Path(folder) / "matrix.f16", dim=dim, rows=rows)
    chosen = np.sort(np.random.default_rng(1).choice(rows, min(rows, SAMPLE), replace=False))
    index = _coder(dim)
    index.train(matrix[chosen].astype(np.float32))
    with (Path(folder) / COPY).open("wb") as file:
        file.write(load_faiss().vector_to_array(index.sq.trained).astype("<f4").data)
        for begin in range(0, rows, ROWS):
            block = np.asarray(matrix[begin : begin + ROWS]).astype(np.float32)
            file.write(index.sq.compute_codes(block).data)
    return {}


def child_memory(folder: str, rows: int, dim: int, copied: bool, limit: int) -> dict[str, Any]:
    """Ask every query once within a limit of memory, after as much is cached as will go in."""
    place = Path(folder)
    with np.load(place / "queries.npz") as arrays:
        queries = {kind: arrays[kind] for kind in ASKED}
    segments = SegmentFolder(place / "segments", dim)
    manifest = segments.read()
    segment = manifest.segments[0]
    files = [place / "matrix.f16", place / "segments" / segment.file]
    for path in (*files, place / COPY):
        _forget(path)
    with _limited(limit):
        codes: SegmentIndex | Thinned | None = segments.codes(segment)
        if copied:
            codes = Thinned(codes, place / COPY, rows, dim)
            files.append(place / COPY)
        before = _bytes_read()
        for path in files:  # what is used most comes last
            _read(path)
        if _bytes_read() - before < 0.9 * files[0].stat().st_size:
            raise SystemExit("another process has the matrix in memory: measure this part alone")
        matrix = map_matrix(files[0], dim=dim, rows=rows, is_scattered=True)
        search = SnapshotSearch(
            Snapshot(matrix, manifest, None), {segment.file: codes}, ExactScanner(0),
            VectorSettings(import_rows=0),
        )  # fmt: skip
        return {kind: _asked(search, kind, some) for kind, some in queries.items()}


class Thinned:
    """The codes of a segment, whose candidates are thinned with an int8 copy of its rows."""

    def __init__(self, codes: Any, path: Path, rows: int, dim: int) -> None:
        self._codes = codes
        self._copy = np.memmap(path, np.uint8, "r", 8 * dim, (rows, dim))
        self._coder = _coder(dim)
        load_faiss().copy_array_to_vector(np.fromfile(path, "<f4", 2 * dim), self._coder.sq.trained)
        self._coder.is_trained = True

    def search(
        self, queries: np.ndarray, probing: Probing, *, count: int, sieve: Sieve | None,
        threads: int,
    ) -> np.ndarray:  # fmt: skip
        """Return the likeliest `(1, KEPT)` candidates of a query."""
        faiss = load_faiss()
        found = self._codes.search(queries, probing, count=count, sieve=sieve, threads=threads)[0]
        rows = np.sort(found[found >= 0])
        near = np.asarray(self._copy).take(rows, axis=0).reshape(-1)
        self._coder.codes = faiss.MaybeOwnedVectorUInt8.create_view(
            faiss.swig_ptr(near), near.nbytes, self._coder.codes.owner
        )
        self._coder.ntotal = len(rows)
        return rows[self._coder.search(queries, min(KEPT, len(rows)))[1]]


def _coder(dim: int) -> Any:
    faiss = load_faiss()
    return faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )


def _asked(search: SnapshotSearch, kind: str, queries: np.ndarray) -> dict[str, Any]:
    half = len(queries) // 2
    for query in queries[half:]:
        search.search(VectorRequest(query[None], 10, None, KINDS[kind]))
    found, times, read, cpu = [], [], _bytes_read(), time.process_time()
    for query in queries[:half]:
        began = time.perf_counter()
        hits = search.search(VectorRequest(query[None], 10, None, KINDS[kind]))
        times.append(1e3 * (time.perf_counter() - began))
        found.append(hits.rows[0].tolist())
    p50, p99 = np.percentile(times, (50, 99))
    return {
        "rows": found, "p50_ms": float(p50), "p99_ms": float(p99),
        "cpu_ms": 1e3 * (time.process_time() - cpu) / half,
        "read_kb": (_bytes_read() - read) / 1024 / half,
    }  # fmt: skip


@contextmanager
def _limited(limit: int) -> Iterator[None]:
    """Hold this process and the pages that it reads within so many bytes; 0 is no limit."""
    if not limit:
        yield
        return
    group = GROUPS / f"lookalike-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit))
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
    finally:
        (GROUPS / "cgroup.procs").write_text(str(os.getpid()))
        (group / "memory.force_empty").write_text("0")
        group.rmdir()


def _forget(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(BLOCK):
            pass


def _bytes_read() -> int:
    for line in Path("/proc/self/io").read_text().splitlines():
        name, _, value = line.partition(": ")
        if name == "read_bytes":
            return int(value)
    raise SystemExit("this system does not say what a process read")


CHILDREN = {"memory": child_memory, "copy": child_copy}
