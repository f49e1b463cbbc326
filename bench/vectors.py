"""Measure the embedded vector index beside exact NumPy, hnswlib and usearch, in one run.

    python bench/vectors.py --sizes 10000 100000 --out bench/results/vectors.json
    python bench/vectors.py --matrix vectors.npy --images queries.npy --texts captions.npy

Without `--matrix` the vectors are synthetic: a power-law spectrum, long-tailed clusters,
unit norm; image-like queries from the same distribution, text-like queries behind a gap
as between the texts and the pictures of one encoder. One thread, queries one at a time.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402 - the number of threads is read when NumPy loads

from lookalike.adapters.vectors_faiss import FaissVectorIndex  # noqa: E402
from lookalike.adapters.vectors_settings import VectorSettings  # noqa: E402
from lookalike.domain.filters import Filter  # noqa: E402
from lookalike.domain.hits import Selection  # noqa: E402

K = 10
SHARES = (0.5, 0.1, 0.01, 0.001)
COLD = """
import sys, time
begin = time.perf_counter()
from pathlib import Path
import numpy as np
numpy_s = time.perf_counter() - begin
from lookalike.adapters.vectors_faiss import FaissVectorIndex
from lookalike.adapters.vectors_settings import VectorSettings
index = FaissVectorIndex.open(Path(sys.argv[1]), dim=int(sys.argv[2]), rows=int(sys.argv[3]),
    removed=np.zeros(0, np.int64), is_writer=False, settings=VectorSettings())
index.search(np.eye(1, int(sys.argv[2]), dtype=np.float32), k=10, query_kind="text")
print(time.perf_counter() - begin - numpy_s)
"""


@dataclass(frozen=True)
class Data:
    """`(n, dim)` fp16 vectors, `(m, dim)` fp32 queries by kind, and their exact neighbours."""

    name: str
    vectors: np.ndarray
    queries: dict
    calibration: np.ndarray


@dataclass(frozen=True)
class Line:
    """One measured line; `bytes` is a vector's share of what must be in memory."""

    data: str
    rows: int
    engine: str
    queries: str
    selection: str
    recall: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float | None = None
    bytes: float | None = None
    build_s: float | None = None
    extra: dict = field(default_factory=dict)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def synthetic(rows, dim, queries, seed):
    """Return data with image neighbours at about 0.5 and text neighbours at about 1.2."""
    generator = np.random.default_rng(seed)
    spectrum = (np.arange(1, dim + 1) ** -0.4).astype(np.float32)
    centres = generator.standard_normal((max(rows // 40, 50), dim), dtype=np.float32) * spectrum
    weights = np.arange(1, len(centres) + 1) ** -0.7
    weights /= weights.sum()

    def images(count):
        chosen = generator.choice(len(centres), count, p=weights)
        noise = generator.standard_normal((count, dim), dtype=np.float32) * spectrum
        return unit(centres[chosen] + generator.uniform(0.25, 0.7, (count, 1)) * noise)

    gap = unit(generator.standard_normal((1, dim)))

    def texts(count):
        noise = unit(generator.standard_normal((count, dim)) * spectrum)
        return unit(0.36 * images(count) + 0.65 * gap + 0.67 * noise).astype(np.float32)

    vectors = np.empty((rows, dim), np.float16)
    for begin in range(0, rows, 10_000):
        vectors[begin : begin + 10_000] = images(min(10_000, rows - begin))
    asked = {"image": images(queries).astype(np.float32), "text": texts(queries)}
    return Data("synthetic", vectors, asked, texts(queries))


def given(arguments, rows):
    """Return the vectors of `--matrix`; the first half of the texts only calibrates."""
    vectors = np.load(arguments.matrix, mmap_mode="r")[:rows]
    queries = {}
    texts = np.zeros((0, vectors.shape[1]), np.float32)
    if arguments.images:
        queries["image"] = np.load(arguments.images)[: arguments.queries].astype(np.float32)
    if arguments.texts:
        texts = np.load(arguments.texts).astype(np.float32)
        queries["text"] = texts[len(texts) // 2 :][: arguments.queries]
    return Data(Path(arguments.matrix).stem, vectors, queries, texts[: len(texts) // 2])


def exact(data, kind, mask=None):
    """Return the `(m, K)` smallest scores that count as found: the tenth best cosine."""
    queries = data.queries[kind]
    best = np.full((len(queries), K), -np.inf, np.float32)
    for begin in range(0, len(data.vectors), 20_000):
        block = np.asarray(data.vectors[begin : begin + 20_000]).astype(np.float32)
        scores = queries @ block.T
        if mask is not None:
            scores[:, ~mask[begin : begin + 20_000]] = -np.inf
        best = -np.sort(-np.hstack((best, scores)), axis=1)[:, :K]
    return best


def recall(data, kind, truth, found):
    """Return `ann_recall@10`: a hit counts when it is as near as the tenth true neighbour."""
    shares = []
    for query, line, hits in zip(data.queries[kind], truth, found, strict=True):
        rows = np.asarray(hits)[np.asarray(hits) >= 0].astype(np.int64)
        scores = np.asarray(data.vectors[np.sort(rows)]).astype(np.float32) @ query
        wanted = int(np.isfinite(line).sum())
        shares.append(min((scores >= line[wanted - 1] - 1e-5).sum(), wanted) / max(wanted, 1))
    return float(np.mean(shares))


def timed(search, queries):
    """Return what each query found, its milliseconds and the mean of this process's CPU.

    The CPU time is what to compare where the machine is shared.
    """
    for query in queries[:5]:
        search(query[None])
    found, times, cpu = [], [], time.process_time()
    for query in queries:
        begin = time.perf_counter()
        rows = search(query[None])
        times.append(1e3 * (time.perf_counter() - begin))
        found.append(np.asarray(rows).ravel())
    return found, times, 1e3 * (time.process_time() - cpu) / len(queries)


class Bench:
    """Collects lines and prints them as they come."""

    def __init__(self):
        self.lines = []

    def measure(self, data, engine, searches, *, mask=None, selection="all", **facts):
        for kind, queries in data.queries.items():
            truth = exact(data, kind, mask)
            found, times, cpu_ms = timed(searches[kind], queries)
            line = Line(
                data=data.name,
                rows=len(data.vectors),
                engine=engine,
                queries=kind,
                selection=selection,
                recall=round(recall(data, kind, truth, found), 4),
                p50_ms=round(float(np.median(times)), 3),
                p99_ms=round(float(np.percentile(times, 99)), 3),
                cpu_ms=round(cpu_ms, 3),
                **facts,
            )
            self.lines.append(line)
            print(
                f"{line.data:10} {line.rows:8} {engine:22} {kind:5} {selection:16} "
                f"recall {line.recall:.4f}  p50 {line.p50_ms:8.2f}  p99 {line.p99_ms:8.2f}  "
                f"cpu {line.cpu_ms:7.2f} ms  "
                f"{line.bytes or 0:7.0f} B  build {line.build_s or 0:6.1f} s  {line.extra or ''}",
                flush=True,
            )


def bench_ours(bench, data, folder, shares):
    rows, dim = data.vectors.shape
    index = FaissVectorIndex.open(
        folder,
        dim=dim,
        rows=0,
        removed=np.zeros(0, np.int64),
        is_writer=True,
        settings=VectorSettings(import_rows=0),
    )
    begin = time.perf_counter()
    for first in range(0, rows, 1_000):
        block = np.asarray(data.vectors[first : first + 1_000]).astype(np.float32)
        index.add(np.arange(first, first + len(block)), block)
    index.flush()
    index.refresh(rows)
    added = time.perf_counter() - begin

    def searches(selection=None):
        return {
            kind: lambda query, kind=kind: (
                index.search(query, k=K, selection=selection, query_kind=kind).rows
            )
            for kind in data.queries
        }

    extra = {"added_a_second": round(rows / added)}
    bench.measure(
        data, "lookalike exact", searches(), bytes=2.0 * dim, build_s=round(added, 2), extra=extra
    )
    begin = time.perf_counter()
    index.optimize()
    built = time.perf_counter() - begin
    if len(data.calibration):
        index.calibrate(data.calibration)
    stats = index.stats()
    if stats.sealed_rows:
        code_bytes = (stats.bytes - 2 * dim * rows) / rows
        segment = index._view.manifest.segments[0]
        tunings = {
            kind: {"probes": t.probes, "of": segment.cells, "rerank": t.rerank}
            for kind, t in segment.tunings.items()
        }
        extra = {"self_measured": dict(stats.ann_recall_at_10), "tuning": tunings}
        facts = {"bytes": round(code_bytes, 1), "build_s": round(built, 1), "extra": extra}
        bench.measure(data, "lookalike sealed", searches(), **facts)
    bench_filters(bench, data, searches, shares)
    index.close()
    bench.lines.append(cold_start(data, folder))


def bench_filters(bench, data, searches, shares):
    rows = len(data.vectors)
    generator = np.random.default_rng(7)
    direction = data.queries["image"].mean(axis=0) if "image" in data.queries else None
    for share in shares:
        mask = generator.random(rows) < share
        selection = Selection(Filter(), mask)
        bench.measure(data, "lookalike", searches(selection), mask=mask, selection=f"{share:.1%}")
    if direction is None:
        return
    along = np.concatenate(
        [
            np.asarray(data.vectors[b : b + 20_000]).astype(np.float32) @ direction
            for b in range(0, rows, 20_000)
        ]
    )
    for share in shares:
        mask = along <= np.quantile(along, share)
        selection = Selection(Filter(), mask)
        name = f"{share:.1%} correlated"
        bench.measure(data, "lookalike", searches(selection), mask=mask, selection=name)


def cold_start(data, folder):
    rows, dim = data.vectors.shape
    command = [sys.executable, "-c", COLD, str(folder), str(dim), str(rows)]
    with tempfile.TemporaryDirectory() as compiled:  # as installed: modules compiled once
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = compiled
        times = [1e3 * float(subprocess.check_output(command, env=environment)) for _ in range(6)]
    times = times[1:]
    print(f"cold open and first search at {rows}: {np.median(times):.0f} ms (files in page cache)")
    return Line(
        data.name, rows, "lookalike cold start", "text", "all", float("nan"),
        round(float(np.median(times)), 1), round(max(times), 1),
    )  # fmt: skip


def bench_numpy(bench, data):
    vectors = np.asarray(data.vectors).astype(np.float32)

    def search(query):
        scores = vectors @ query[0]
        best = np.argpartition(-scores, K)[:K]
        return best[np.argsort(-scores[best])]

    bench.measure(
        data, "numpy fp32 exact", dict.fromkeys(data.queries, search), bytes=4.0 * vectors.shape[1]
    )


def bench_hnswlib(bench, data):
    import hnswlib

    rows, dim = data.vectors.shape
    index = hnswlib.Index(space="ip", dim=dim)
    begin = time.perf_counter()
    index.init_index(max_elements=rows, ef_construction=100, M=16, random_seed=1)
    index.set_num_threads(1)
    for first in range(0, rows, 10_000):
        index.add_items(np.asarray(data.vectors[first : first + 10_000]).astype(np.float32))
    built = round(time.perf_counter() - begin, 1)
    for ef in (60, 200):
        index.set_ef(ef)
        searches = dict.fromkeys(data.queries, lambda query: index.knn_query(query, k=K)[0])
        size = index.index_file_size() / rows
        bench.measure(data, f"hnswlib M16 ef {ef}", searches, bytes=round(size, 1), build_s=built)


def bench_usearch(bench, data):
    from usearch.index import Index

    rows, dim = data.vectors.shape
    index = Index(ndim=dim, metric="ip", dtype="f16", connectivity=16, expansion_add=100)
    begin = time.perf_counter()
    for first in range(0, rows, 10_000):
        block = np.asarray(data.vectors[first : first + 10_000])
        index.add(np.arange(first, first + len(block)), block, threads=1)
    built = round(time.perf_counter() - begin, 1)
    for ef in (64, 200):
        index.expansion_search = ef
        searches = dict.fromkeys(data.queries, lambda query: index.search(query[0], K).keys)
        size = index.serialized_length / rows
        bench.measure(data, f"usearch f16 ef {ef}", searches, bytes=round(size, 1), build_s=built)


def machine():
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":")[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    git = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "threads": 1,
        "python": platform.python_version(),
        "commit": git.stdout.strip() or None,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--million", action="store_true", help="also a million vectors, ours only")
    parser.add_argument("--dim", type=int, default=896)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--matrix", help="real vectors: a .npy of (n, dim)")
    parser.add_argument("--images", help="image queries for --matrix: a .npy of (m, dim)")
    parser.add_argument("--texts", help="text queries for --matrix: a .npy of (m, dim)")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    arguments = parser.parse_args()
    about, bench = machine(), Bench()
    sizes = arguments.sizes + ([1_000_000] if arguments.million else [])
    for rows in sizes:
        if arguments.matrix:
            data = given(arguments, rows)
        else:
            data = synthetic(rows, arguments.dim, arguments.queries, arguments.seed)
        gaps = {
            kind: round(float(np.sqrt(np.maximum(2 - 2 * exact(data, kind)[:, 0], 0)).mean()), 2)
            for kind in data.queries
        }
        print(f"{data.name}: {data.vectors.shape}, nearest neighbours at {gaps}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            bench_ours(bench, data, Path(folder), SHARES)
        if not arguments.no_peers and rows <= 100_000:
            bench_numpy(bench, data)
            bench_hnswlib(bench, data)
            bench_usearch(bench, data)
    if arguments.out:
        lines = [
            {
                name: value
                for name, value in asdict(line).items()
                if value not in (None, {}) and not (isinstance(value, float) and np.isnan(value))
            }
            for line in bench.lines
        ]
        known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"runs": []}
        run = {"machine": about, "seed": arguments.seed, "sizes": sizes, "k": K, "lines": lines}
        name = "synthetic" if not arguments.matrix else Path(arguments.matrix).stem
        known["runs"] = [old for old in known["runs"] if old.get("data") != name] + [
            {"data": name, **run}
        ]
        arguments.out.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
