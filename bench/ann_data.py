"""What `ann.py` asks: an index folder of one size, its queries, and their exact neighbours."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ann_growth
import numpy as np

from lookalike.adapters.vectors_faiss import FaissVectorIndex
from lookalike.adapters.vectors_matrix import map_matrix
from lookalike.adapters.vectors_settings import VectorSettings

K = 10
REPEATS = 3
TIE = 1e-5
KINDS: dict[str, Literal["image", "text"]] = {"image": "image", "text": "text", "drawn": "image"}
"""Queries, and what an index is told they are: held-out photographs, captions, and pictures
drawn as the rows are, which have neighbours as near as these have."""
DRAWN_SEED = 77

Search = Callable[[np.ndarray], np.ndarray]
"""From one `(1, dim)` query to the rows found."""


@dataclass(frozen=True)
class Data:
    """One size: `(rows, dim)` fp16 vectors in the index folder, `(m, dim)` queries by kind."""

    folder: Path
    vectors: np.ndarray
    queries: dict[str, np.ndarray]
    tune: np.ndarray

    @classmethod
    def open(cls, folder: Path, rows: int, *, dim: int, most: int) -> Data:
        """Open a size that `ann_material.py grow` made; `most` queries of each kind."""
        place = ann_growth.matrix_folder(folder, rows, dim)
        if not (place / "done").exists():
            raise SystemExit(f"make it first: ann_material.py grow {rows} --dim {dim}")
        kept = place / "queries.npz"
        if not kept.exists():
            space = ann_growth.Space.open(folder, dim)
            drawn = space.draw(len(space.queries["image"]), np.random.default_rng(DRAWN_SEED))
            np.savez(kept, tune=space.tune, drawn=drawn, **space.queries)
        with np.load(kept) as arrays:
            queries = {kind: arrays[kind][:most] for kind in KINDS}
            return cls(
                place,
                map_matrix(place / "matrix.f16", dim=dim, rows=rows),
                queries,
                arrays["tune"],
            )

    @property
    def rows(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        return self.vectors.shape[1]

    def blocks(self, size: int = ann_growth.BLOCK) -> Iterator[np.ndarray]:
        """Yield float32 blocks."""
        for begin in range(0, self.rows, size):
            yield np.asarray(self.vectors[begin : begin + size]).astype(np.float32)

    def truth(self, kind: str, mask: np.ndarray | None = None) -> np.ndarray:
        """Return the `(m, K)` best cosines; kept in the folder."""
        queries = self.queries[kind]
        sign = hashlib.sha256(
            queries.tobytes() + (b"" if mask is None else np.packbits(mask).tobytes())
        )
        kept = self.folder / f"truth-{kind}-{sign.hexdigest()[:12]}.npy"
        if kept.exists():
            return np.load(kept)
        if mask is None:
            best = ann_growth.best_scores(queries, self.vectors, K)
        else:
            rows = np.flatnonzero(mask)
            best = np.full((len(queries), K), -np.inf, np.float32)
            for begin in range(0, len(rows), ann_growth.BLOCK):
                some = rows[begin : begin + ann_growth.BLOCK]
                found = ann_growth.best_scores(queries, self.vectors[some], K)
                best = -np.sort(-np.hstack((best, found)), axis=1)[:, :K]
        np.save(kept, best)
        return best

    def recall(self, kind: str, truth: np.ndarray, found: list[np.ndarray]) -> float:
        """Return `ann_recall@10`: a hit counts when it is as near as the tenth neighbour."""
        shares = []
        for query, best, hits in zip(self.queries[kind], truth, found, strict=False):
            rows = np.unique(hits[hits >= 0].astype(np.int64))
            scores = self.vectors[rows].astype(np.float32) @ query
            wanted = int(np.isfinite(best).sum())
            shares.append(min((scores >= best[wanted - 1] - TIE).sum(), wanted) / max(wanted, 1))
        return float(np.mean(shares))


def open_index(data: Data, *, is_writer: bool = False, rows: int | None = None) -> FaissVectorIndex:
    """Open Lookalike's index of a size at its defaults."""
    return FaissVectorIndex.open(
        data.folder,
        dim=data.dim,
        rows=data.rows if rows is None else rows,
        removed=np.zeros(0, np.int64),
        is_writer=is_writer,
        settings=VectorSettings(import_rows=0),
    )


@dataclass(frozen=True)
class Timed:
    """Milliseconds a query: CPU (the median of repeats' means), and of all single calls."""

    cpu_ms: float
    p50_ms: float
    p99_ms: float


def timed(search: Search, queries: np.ndarray, repeats: int = REPEATS) -> tuple[list, Timed]:
    """Return the rows found for each query, asked one at a time, and what it took.

    CPU time is that of this thread and its helpers: what to compare on a machine that is shared.
    """
    for query in queries[:10]:
        search(query[None])
    means, times, found = [], [], []
    for _ in range(repeats):
        found, begin = [], time.process_time()
        for query in queries:
            at = time.perf_counter()
            found.append(np.asarray(search(query[None])).ravel())
            times.append(1e3 * (time.perf_counter() - at))
        means.append(1e3 * (time.process_time() - begin) / len(queries))
    p50, p99 = np.percentile(times, (50, 99))
    return found, Timed(float(np.median(means)), float(p50), float(p99))


def memory_of(pid: int | str = "self") -> dict[str, int]:
    """Return resident bytes: of its own (`anon`), and pages of files, which may be let go."""
    fields = dict.fromkeys(("RssAnon", "RssFile"), 0)
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in fields:
            fields[name] = 1024 * int(value.split()[0])
    return {"anon": fields["RssAnon"], "file": fields["RssFile"]}


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Fill in CPU and wall seconds and the most memory of the process while it runs."""
    facts: dict[str, float] = {"peak_anon_bytes": memory_of()["anon"]}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            facts["peak_anon_bytes"] = max(facts["peak_anon_bytes"], memory_of()["anon"])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    began, cpu = time.perf_counter(), time.process_time()
    yield facts
    facts["wall_s"] = time.perf_counter() - began
    facts["cpu_s"] = time.process_time() - cpu
    stop.set()
    watcher.join()
    facts["peak_resident_bytes"] = 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_child(task: str, **arguments: Any) -> dict[str, Any]:
    """Run `ann.py --child TASK` in a process of its own and return the JSON that it prints."""
    program = str(Path(__file__).with_name("ann.py"))
    words = [sys.executable, program, "--child", task, json.dumps(arguments, default=str)]
    run = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, env=os.environ)
    if run.returncode:
        raise SystemExit(f"the child {task} ended with {run.returncode}")
    return json.loads(run.stdout.splitlines()[-1])
