"""Measure the index of perceptual hashes beside NumPy and Faiss, in one run.

    python bench/hashes.py --photos FOLDER... --sizes 100000 1000000 10000000
    python bench/hashes.py --photos FOLDER... --sizes 100000000 --kinds photographs --extend
    python bench/hashes.py --plot-only

Hashes like those of photographs: the DCTs of three of the given photographs are turned, weighed
and added; the sum is split at its median, as a picture's is; where more are wanted than are
made so, pairs of a one and a zero change places, which keeps 32 ones. One in a hundred is
replaced by one of a few hashes, as flat pictures share them. Uniform hashes are random bits.

Half of the queries differ by up to 12 bits from a hash of the index, half are strangers. Times
of single queries are medians on the wall clock, with the processor's time beside them, which a
shared machine disturbs less. `recall` is the share of the exact answer that was found.
"""

import argparse
import contextlib
import gc
import io
import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import faiss  # noqa: E402 - the number of threads is read when it loads
import material  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from lookalike.adapters.hashes_balls import thresholds  # noqa: E402
from lookalike.adapters.hashes_memory import MemoryHashIndex  # noqa: E402
from lookalike.domain.copies import hash_turns  # noqa: E402
from lookalike.evaluation.reports import Table  # noqa: E402
from lookalike.imaging import phash as hashing  # noqa: E402

RADII = (0, 4, 8, 10, 12)
BATCH = 64
BLENDS = 400_000
SWAPS = 16
SHARED_HASHES = 100
CHUNK = 100_000
COLUMNS = (
    "data", "hashes", "engine", "radius", "p50_us", "p95_us", "cpu_us", "batch_us", "recall",
    "answers",
)  # fmt: skip
WRITES = (
    "data", "hashes", "engine", "build_s", "bytes_per_hash", "adds_per_s", "removes_per_s",
    "save_s", "open_s",
)  # fmt: skip
FLOODS = ("data", "hashes", "rows_of_the_hash", "all_us", "nearest_100_us")
BY_EXIF = [0, 4, 2, 6, 5, 3, 7, 1]
"""Where `hash_turns` has each of EXIF's eight orientations."""

TURNS = ("picture", "from the DCT: mean bits off", "from the hash: mean", "p95", "most")
PLOTTED = {
    "lookalike": "Lookalike",
    "faiss flat": "Faiss IndexBinaryFlat",
    "faiss multi-hash": "Faiss IndexBinaryMultiHash",
    "faiss hash": "Faiss IndexBinaryHash (misses some)",
    "numpy": "NumPy, every hash",
}


@dataclass
class Engine:
    """How to ask an engine: `(n,)` hashes and a radius to the `(n,)` sorted arrays of rows."""

    name: str
    search: object
    radii: tuple = RADII
    has_batches: bool = True


def read_coefficients(folders, limit):
    """Return the `(n, 64)` low frequencies of photographs, and the turned hashes' errors."""
    found, wrong = [], []
    ways = [None, *(Image.Transpose(at) for at in (0, 3, 1, 5, 4, 6, 2))]
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*.jp*g"))]
    for at, path in enumerate(files[:limit]):
        with Image.open(path) as file:
            grey = file.convert("L")
            grey.thumbnail((512, 512))
        found.append(hashing._low_frequencies(grey).ravel())
        if at % 10 == 0:
            turns = hashing.phash_turns(grey)
            guessed = np.asarray(hash_turns(int(turns[0])), np.uint64)[BY_EXIF]
            real = [hashing.phash(grey if w is None else grey.transpose(w))[0] for w in ways]
            real = np.asarray(real, np.uint64)
            wrong.append([np.bitwise_count(turns ^ real), np.bitwise_count(guessed ^ real)])
    return np.asarray(found, np.float32), np.asarray(wrong)


def turns_table(wrong):
    rows = []
    for at, name in enumerate(hashing.TURNS):
        exact, guessed = wrong[:, 0, at], wrong[:, 1, at]
        rows.append(
            (name, exact.mean(), guessed.mean(), np.percentile(guessed, 95), int(guessed.max()))
        )
    return Table(TURNS, [tuple(map(plain, row)) for row in rows])


def plain(value):
    return value.item() if isinstance(value, np.generic) else value


def blends(coefficients, count, rng):
    """Return hashes of sums of three photographs' frequencies, mirrored at random."""
    rows, columns = np.divmod(np.arange(64), 8)
    hashes = np.empty(count, np.uint64)
    for begin in range(0, count, CHUNK):
        size = min(CHUNK, count - begin)
        total = np.zeros((size, 64), np.float32)
        for _ in range(3):
            part = coefficients[rng.integers(0, len(coefficients), size)]
            part = part * rng.uniform(0.5, 1, (size, 1)).astype(np.float32)
            for odd in (rows % 2 == 1, columns % 2 == 1):
                part[:, odd] *= rng.choice(np.float32([-1, 1]), (size, 1))
            total += part
        total -= np.median(total, axis=1, keepdims=True)
        packed = np.packbits(total > 0, axis=1).view(">u8").ravel()
        hashes[begin : begin + size] = packed
    return hashes


def swapped(hashes, rounds, rng):
    """Swap bits of two random places so often, in place; half the pairs differ."""
    one = np.uint64(1)
    for begin in range(0, len(hashes), 1 << 20):
        part = hashes[begin : begin + (1 << 20)]
        for _ in range(rounds):
            first, second = rng.integers(0, 63, (2, len(part)), dtype=np.uint8)
            first, second = first.astype(np.uint64), second.astype(np.uint64)
            differs = ((part >> first) ^ (part >> second)) & one
            part ^= (differs << first) | (differs << second)


def flipped(hashes, bits, rng):
    """Return hashes with up to so many bits flipped, each its own number."""
    noisy = hashes.copy()
    counts = rng.integers(0, bits + 1, len(hashes))
    for at, count in enumerate(counts):
        for bit in rng.choice(64, count, replace=False):
            noisy[at] ^= np.uint64(1) << np.uint64(bit)
    return noisy


def make_data(kind, count, coefficients, queries, rng):
    """Return `(count,)` hashes, `(queries,)` queries, and a hash that many rows share."""
    half = queries // 2
    if kind == "uniform":
        hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
        strangers = rng.integers(0, 2**64, queries - half, dtype=np.uint64)
    else:
        base = blends(coefficients, min(count, BLENDS), rng)
        hashes = np.resize(base, count)
        swapped(hashes[len(base) :], SWAPS, rng)
        strangers = blends(coefficients, queries - half, rng)
    near = flipped(hashes[rng.integers(0, count, half)], 12, rng)
    shared = rng.choice(hashes, SHARED_HASHES)
    if kind != "uniform":
        weights = 1 / np.arange(1, SHARED_HASHES + 1)
        chosen = rng.choice(SHARED_HASHES, count // 100, p=weights / weights.sum())
        hashes[rng.choice(count, count // 100)] = shared[chosen]
    wanted = np.concatenate((near, strangers))
    return hashes, wanted[rng.permutation(queries)], shared[0]


def codes(hashes):
    return np.ascontiguousarray(hashes).view(np.uint8).reshape(-1, 8)


def ask_faiss(index, threads):
    def search(hashes, radius):
        faiss.omp_set_num_threads(threads)
        ends, _, rows = index.range_search(codes(hashes), radius + 1)  # it leaves out the bound
        return [np.sort(rows[a:b]) for a, b in pairwise(ends)]

    return search


def ask_numpy(hashes):
    def search(queries, radius):
        return [np.flatnonzero(np.bitwise_count(hashes ^ q) <= radius) for q in queries]

    return search


def ask_ours(index):
    def search(hashes, radius):
        return [hits.rows for hits in index.within(hashes, radius=radius)]

    return search


def measure(engine, data, count, queries, truth, budget_s):
    """Return a row of `COLUMNS` for each radius."""
    rows = []
    for radius in engine.radii:
        engine.search(queries[:1], radius)
        walls, cpus, answers = [], [], []
        began = time.monotonic()
        for at in range(len(queries)):
            wall, cpu = time.perf_counter(), time.process_time()
            answers.append(engine.search(queries[at : at + 1], radius)[0])
            cpus.append(time.process_time() - cpu)
            walls.append(time.perf_counter() - wall)
            if time.monotonic() - began > budget_s and at >= 4:
                break
        exact = truth[radius][: len(answers)]
        known = [np.intersect1d(a, b).size for a, b in zip(answers, exact, strict=True)]
        wanted = sum(map(len, exact))
        batch = None
        if engine.has_batches and np.median(walls) * BATCH < 4 * budget_s:
            repeats = []
            while len(repeats) < 5 and sum(repeats) < budget_s:
                begin = time.perf_counter()
                engine.search(queries[:BATCH], radius)
                repeats.append(time.perf_counter() - begin)
            batch = np.median(repeats) / min(BATCH, len(queries)) * 1e6
        row = (
            data, count, engine.name, radius, np.median(walls) * 1e6,
            np.percentile(walls, 95) * 1e6, np.median(cpus) * 1e6, batch,
            sum(known) / wanted if wanted else None, wanted / len(exact),
        )  # fmt: skip
        rows.append(tuple(map(plain, row)))
        print(*rows[-1], flush=True)
    return rows


def build_ours(hashes):
    index = MemoryHashIndex(threads=1)
    begin = time.perf_counter()
    index.add(np.arange(len(hashes)), hashes)
    return index, time.perf_counter() - begin


def measure_writes(index, hashes, count, rng):
    """Return rows a second: added in batches of 256, and removed so."""
    added = 1 << 16
    fresh = rng.permutation(hashes)[:added] if len(hashes) <= 10**7 else hashes[:added]
    fresh = np.resize(fresh, added)
    begin = time.perf_counter()
    for at in range(0, added, 256):
        index.add(np.arange(count + at, count + at + 256), fresh[at : at + 256])
    adds = added / (time.perf_counter() - begin)
    gone = rng.integers(0, count + added, min(count // 10, 20_000))
    begin = time.perf_counter()
    for at in range(0, len(gone), 256):
        index.remove(gone[at : at + 256])
    return adds, len(gone) / (time.perf_counter() - begin)


def measure_files(index):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hashes.bin"
        begin = time.perf_counter()
        index.save(path)
        saved = time.perf_counter()
        MemoryHashIndex.open(path)
        return saved - begin, time.perf_counter() - saved


def measure_flood(index, data, count, shared):
    def timed(**most):
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            hits = index.within(np.asarray([shared]), radius=10, **most)
            times.append(time.perf_counter() - begin)
        return np.median(times) * 1e6, len(hits[0].rows)

    whole, rows = timed()
    return (data, count, rows, plain(whole), plain(timed(most=100)[0]))


def build_flat(count):
    index = faiss.IndexBinaryFlat(64)
    radii = RADII if count <= 10**6 else (10,)  # it looks at every hash, whatever the radius
    return index, [
        Engine("faiss flat", ask_faiss(index, 1), radii),
        Engine("faiss flat, 2 threads", ask_faiss(index, 2), radii),
    ]


def build_multi(count):
    """As many substrings as Lookalike takes, looked around so far that nothing is missed."""
    substrings, width = (3, 21) if count >= 10**7 else (4, 16)
    index = faiss.IndexBinaryMultiHash(64, substrings, width)
    ask = ask_faiss(index, 1)

    def search(queries, radius):
        index.nflip = max(0, *thresholds(substrings, radius))
        return ask(queries, radius)

    return index, [Engine("faiss multi-hash", search)]


def build_single(count):
    """One substring, and up to 4 bits of it that differ: near hashes may differ in more."""
    index = faiss.IndexBinaryHash(64, min(20, max(14, count.bit_length() - 3)))
    index.nflip = 4
    return index, [Engine("faiss hash", ask_faiss(index, 1))]


def measure_size(kind, count, coefficients, chosen):
    """Yield new rows of the three tables for one number of hashes, engine after engine."""
    rng = np.random.default_rng(material.SEED)
    begin = time.perf_counter()
    hashes, queries, shared = make_data(kind, count, coefficients, chosen.queries, rng)
    print(f"{kind}: {count} hashes made in {time.perf_counter() - begin:.0f} s", flush=True)
    index, built = build_ours(hashes)
    per_hash = index.nbytes / count
    search = ask_ours(index)
    truth = {radius: search(queries, radius) for radius in RADII}
    budget = chosen.seconds
    lines = measure(Engine("lookalike", search), kind, count, queries, truth, budget)
    index._threads = 2
    two = Engine("lookalike, 2 threads", search)
    lines += measure(two, kind, count, queries, truth, budget)
    index._threads = 1
    floods = [measure_flood(index, kind, count, shared)] if kind != "uniform" else []
    files = measure_files(index) if count <= chosen.most_saved else (None, None)
    adds, removes = measure_writes(index, hashes, count, rng)
    yield lines, [(kind, count, "lookalike", built, per_hash, adds, removes, *files)], floods
    del index, search, two
    gc.collect()
    radii = RADII if count <= 10**6 else (10,)
    numpy = Engine("numpy", ask_numpy(hashes), radii)
    lines = measure(numpy, kind, count, queries, truth, budget)
    assert all(line[8] in {None, 1} for line in lines), "exact answers differ"
    yield lines, [], []
    for build in (build_flat, build_single, build_multi):
        index, engines = build(count)
        begin = time.perf_counter()
        index.add(codes(hashes))
        built = time.perf_counter() - begin
        lines = []
        for engine in engines:
            lines += measure(engine, kind, count, queries, truth, budget)
        assert build is not build_flat or all(line[8] in {None, 1} for line in lines)
        yield lines, [(kind, count, engines[0].name, built, *[None] * 5)], []
        del index, engine, engines
        gc.collect()


def plot(report, path):
    """Draw the time of a single query against the number of hashes."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "hashes"
    from matplotlib import pyplot as plt

    table = report["tables"]["queries"]
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for engine, label in PLOTTED.items():
        points = sorted(
            (row[1], row[4]) for row in table["rows"]
            if row[0] == "photographs" and row[2] == engine and row[3] == 10
        )  # fmt: skip
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", label=label)
    axes.set(
        xscale="log", yscale="log", xlabel="hashes", ylabel="µs a query (median)",
        title="All hashes within 10 bits, one query at a time, one thread",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def merged(old, new, columns):
    """Return earlier rows of other data and sizes, and the new ones."""
    measured = {tuple(row[:2]) for row in new}
    kept = [tuple(row) for row in old if tuple(row[:2]) not in measured]
    return Table(columns, sorted(kept + new, key=lambda row: (row[0], row[1])))


def write(chosen, old, new, turns, photographs):
    """Write what was measured, beside earlier runs of other data and sizes."""
    tables = {name: table["rows"] for name, table in old.get("tables", {}).items()}
    columns = {"queries": COLUMNS, "writes": WRITES, "shared hash": FLOODS}
    run = {
        "sizes": chosen.sizes, "kinds": chosen.kinds, "queries": chosen.queries,
        "photographs": photographs, "commit": material.commit(),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2, 2),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }  # fmt: skip
    joined = {
        name: merged(tables.get(name, []), rows, columns[name])
        for name, rows in zip(columns, new, strict=True)
    }
    material.finish(
        "hashes", chosen.out, metrics={}, tables={**joined, "turned hashes": turns},
        settings={
            "machine": "shared with other programs while measured: medians, and cpu_us",
            "threads": 1, "batch": BATCH, "faiss": faiss.__version__, "numpy": np.__version__,
            "runs": [*old.get("settings", {}).get("runs", []), run],
        },
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, nargs="+", default=[material.SAMPLES])
    parser.add_argument("--most-photos", type=int, default=8000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**5, 10**6])
    parser.add_argument("--kinds", nargs="+", default=["photographs", "uniform"])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each engine and radius")
    parser.add_argument("--most-saved", type=int, default=10**7)
    parser.add_argument("--extend", action="store_true", help="keep other sizes of the file")
    parser.add_argument("--plot", type=Path, default=None)
    parser.add_argument("--plot-only", action="store_true")
    parser.add_argument("--out", type=Path, default=material.RESULTS / "hashes.json")
    chosen = parser.parse_args()
    if chosen.plot_only:
        plot(json.loads(chosen.out.read_text(encoding="utf-8")), chosen.plot)
        return
    coefficients, wrong = read_coefficients(chosen.photos, chosen.most_photos)
    is_extended = chosen.extend and chosen.out.exists()
    old = json.loads(chosen.out.read_text(encoding="utf-8")) if is_extended else {}
    new = ([], [], [])
    for count in chosen.sizes:
        for kind in chosen.kinds:
            for parts in measure_size(kind, count, coefficients, chosen):
                for rows, part in zip(new, parts, strict=True):
                    rows.extend(tuple(map(plain, row)) for row in part)
                with contextlib.redirect_stdout(io.StringIO()):
                    write(chosen, old, new, turns_table(wrong), len(coefficients))
    if chosen.plot:
        plot(json.loads(chosen.out.read_text(encoding="utf-8")), chosen.plot)


if __name__ == "__main__":
    sys.exit(main())
