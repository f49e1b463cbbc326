"""What each step of a search, an added vector and a training cost, fitted, and the fit checked.

A search costs: its call; ranking cells (each cell where all are looked at, each that a graph
keeps in view otherwise); scanning (each probed cell, each code in it, each candidate kept);
re-ranking (each row read from the page cache). The check predicts a size that was not fitted.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import material
import numpy as np
from ann_data import Data, K
from ann_engines import build_ours

from lookalike.adapters.vectors_cells import train_cells
from lookalike.adapters.vectors_cells_checkpoint import Checkpoint
from lookalike.adapters.vectors_codes_index import CodeIndex
from lookalike.adapters.vectors_exact import ExactScanner
from lookalike.adapters.vectors_matrix import MatrixWriter
from lookalike.adapters.vectors_probing import Probing
from lookalike.adapters.vectors_search import Snapshot, SnapshotSearch, VectorRequest
from lookalike.adapters.vectors_segments import Manifest, Segment, SegmentFolder
from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.adapters.vectors_tuning import Tuning
from lookalike.evaluation.reports import Table

QUERIES = 100
ROUNDS = 9
WARM = 5
PROBES = (8, 16, 32, 64, 128, 256)
EFFORTS = (1, 2, 4)
COUNTS = (50, 200, 800)
WHOLE_PROBES, WHOLE_RERANKS = (8, 32, 128), (50, 200, 800)
CHECKS = ((12, 100), (24, 300), (48, 100), (96, 400), (192, 200))
"""Probes and re-ranked rows, none of them fitted."""
TRAININGS = ((20_000, 500), (40_000, 1_000), (40_000, 2_000), (80_000, 4_000))
SPREAD = 0.3

Terms = dict[str, float]


@dataclass(frozen=True)
class Step:
    """Something to time: `run` does it for a query's number, `terms` say what it takes."""

    terms: Mapping[str, float]
    run: Callable[[int], object]


@dataclass(frozen=True)
class Seen:
    """The microseconds of a step, and how often each term of its cost arose."""

    terms: Mapping[str, float]
    us: float


def solve(seen: Sequence[Seen]) -> Terms:
    """Return the cost of each term, none below 0, with the least squares of relative errors."""
    names = sorted({name for one in seen for name in one.terms})
    weights = np.asarray([1 / one.us for one in seen])
    matrix = np.asarray([[one.terms.get(name, 0.0) for name in names] for one in seen])
    matrix = matrix * weights[:, None]
    used = list(range(len(names)))
    while used:
        found = np.linalg.lstsq(matrix[:, used], np.ones(len(seen)), rcond=None)[0]
        if (found >= 0).all():
            return {names[u]: float(f) for u, f in zip(used, found, strict=True)}
        del used[int(np.argmin(found * np.linalg.norm(matrix[:, used], axis=0)))]
    return {}


def predict(costs: Mapping[str, float], terms: Mapping[str, float]) -> float:
    """Return microseconds."""
    return sum(costs.get(name, 0.0) * times for name, times in terms.items())


def timed(steps: Sequence[Step]) -> list[Seen]:
    """Return each step's microseconds of this thread's CPU, the least of rounds over all of them.

    What else the machine does, and how fast it runs then, changes within minutes: in rounds each
    step meets its quiet moments.
    """
    least = np.full(len(steps), np.inf)
    for _ in range(ROUNDS):
        for place, step in enumerate(steps):
            for number in range(WARM):
                step.run(number)
            began = time.thread_time()
            for number in range(QUERIES):
                step.run(number)
            least[place] = min(least[place], 1e6 * (time.thread_time() - began) / QUERIES)
    return [Seen(step.terms, float(us)) for step, us in zip(steps, least, strict=True)]


def rank_terms(codes: CodeIndex, probing: Probing) -> Terms:
    """Return what ranking cells takes: a graph is left aside where the share asked is large."""
    from lookalike.adapters.vectors_native import GRAPH_CELLS

    is_flat = codes.cells < GRAPH_CELLS or not probing.effort or probing.probes * 16 > codes.cells
    if is_flat:
        return {"rank.call": 1, "rank.cell": codes.cells}
    return {"rank.graph_call": 1, "rank.graph_cell": max(probing.effort, probing.probes)}


def scan_terms(probes: int, codes: float, count: int) -> Terms:
    """Return what scanning takes."""
    return {"scan.call": 1, "scan.cell": probes, "scan.code": codes, "scan.candidate": count}


def single_steps(data: Data, codes: CodeIndex) -> list[Step]:
    """Return ranking, scanning and re-ranking at one size, each by itself."""
    queries = data.queries["image"][:QUERIES]
    sizes, steps = codes.sizes, []
    for probes in (p for p in PROBES if p <= codes.cells // 2):
        for times in EFFORTS:
            probing = Probing(probes, SPREAD, times * probes)
            steps.append(
                Step(
                    rank_terms(codes, probing),
                    lambda i, p=probing: codes.rank(queries[i : i + 1], p),
                )
            )
        ranked = [codes.rank(q[None], Probing(probes, SPREAD)) for q in queries]
        scanned = float(np.mean([sizes[cells].sum() for cells, _ in ranked]))
        steps += [
            Step(
                scan_terms(probes, scanned, count),
                lambda i, c=count, r=ranked: codes.scan(queries[i : i + 1], *r[i], count=c),
            )
            for count in COUNTS
        ]
    scanner, generator = ExactScanner(0), np.random.default_rng(2)
    for count in (*COUNTS, 1_600):
        rows = [generator.choice(data.rows, count, replace=False) for _ in queries]
        steps.append(
            Step(
                {"rerank.call": 1, "rerank.row": count},
                lambda i, r=rows: scanner.rescore(data.vectors, queries[i : i + 1], r[i], k=K),
            )
        )
    return steps


def opened(data: Data) -> tuple[Segment, CodeIndex]:
    """Return the one segment of a built size."""
    build_ours(data)
    folder = SegmentFolder(data.folder / "segments", data.dim)
    segments = folder.read().segments
    codes = folder.codes(segments[0]) if segments else None
    if codes is None or len(segments) != 1:
        raise SystemExit(f"{data.rows:,} rows are not sealed in one segment")
    return segments[0], codes


def whole_search(data: Data, segment: Segment, codes: CodeIndex, tuning: Tuning) -> Callable:
    """Return a search with a tuning, all of it but the checks of arguments."""
    tuned = dataclasses.replace(segment, tunings={"image": tuning, "text": tuning})
    snapshot = Snapshot(data.vectors, Manifest(1, (tuned,)), None)
    searcher = SnapshotSearch(
        snapshot, {segment.file: codes}, ExactScanner(0), VectorSettings(exact_rows=1)
    )
    return lambda query: searcher.search(VectorRequest(query, K))


def whole_terms(codes: CodeIndex, tuning: Tuning, scanned: float) -> Terms:
    """Return what a whole search takes: its steps, and what they cost more in a row.

    Measured alone, a step finds its codes and rows in the processor's caches.
    """
    probing = Probing(tuning.probes, tuning.spread, tuning.effort)
    return {
        **rank_terms(codes, probing),
        **scan_terms(tuning.probes, scanned, tuning.rerank),
        "rerank.call": 1,
        "rerank.row": tuning.rerank,
        "search.call": 1,
        "search.cell": tuning.probes,
        "search.row": tuning.rerank,
    }


def whole_steps(data: Data, ways: Sequence[tuple[int, int]]) -> tuple[list[Step], list[float]]:
    """Return whole searches; also how much larger probed cells are than the mean."""
    segment, codes = opened(data)
    queries, sizes = data.queries["image"][:QUERIES], codes.sizes
    steps, ratios = [], []
    for probes, rerank in ways:
        tuning = Tuning(probes, rerank, None, spread=SPREAD, effort=2 * probes)
        search = whole_search(data, segment, codes, tuning)
        cells = codes.rank(queries, Probing(probes, SPREAD, 2 * probes))[0]
        scanned = float(np.mean(sizes[cells].sum(axis=1)))
        ratios.append(scanned / probes / float(np.mean(sizes)))
        steps.append(
            Step(whole_terms(codes, tuning, scanned), lambda i, s=search: s(queries[i : i + 1]))
        )
    return steps, ratios


def checked(
    data: Data, seen: Sequence[Seen], costs: Mapping[str, float], ratio: float
) -> list[tuple]:
    """Return rows of predicted against measured microseconds of whole searches.

    How many codes stand in the probed cells is predicted too, from those of the fitted sizes.
    """
    _, codes = opened(data)
    mean = float(np.mean(codes.sizes))
    rows = []
    for (probes, rerank), one in zip(CHECKS, seen, strict=True):
        tuning = Tuning(probes, rerank, None, spread=SPREAD, effort=2 * probes)
        told = predict(costs, whole_terms(codes, tuning, probes * mean * ratio))
        rows.append((data.rows, codes.cells, probes, rerank, told, one.us, told / one.us - 1))
        print(*rows[-1], sep="  ", flush=True)
    return rows


def observe_training(data: Data) -> list[tuple[int, int, float]]:
    """Return the CPU seconds that finding cells took, by rows sampled and cells."""
    rows = []
    for count, cells in TRAININGS:
        if count > data.rows:
            continue
        sample = np.linspace(0, data.rows - 1, count).astype(np.int64)
        path = data.folder / "training.checkpoint"
        key = {"dim": data.dim, "rows": count, "cells": cells}
        checkpoint = Checkpoint(path, key)
        began = time.process_time()
        train_cells(
            sample, lambda chosen: data.vectors[chosen].astype(np.float32), cells,
            seed=1, threads=1, checkpoint=checkpoint,
        )  # fmt: skip
        rows.append((count, cells, time.process_time() - began))
        Path(path).unlink(missing_ok=True)
        print(*rows[-1], sep="  ", flush=True)
    return rows


def append_us(data: Data) -> float:
    """Return the microseconds of CPU that a row takes to be appended, synced each thousand."""
    with tempfile.TemporaryDirectory(dir=data.folder.parent) as folder:
        writer = MatrixWriter(Path(folder) / "matrix.f16", dim=data.dim, rows=0)
        count, cpu = min(data.rows, 20_000), 0.0
        for begin in range(0, count, 1_000):
            vectors = data.vectors[begin : begin + 1_000].astype(np.float32)
            began = time.process_time()
            writer.write(np.arange(begin, begin + len(vectors)), vectors)
            writer.sync()
            cpu += time.process_time() - began
        writer.close()
    return 1e6 * cpu / count


def fit(options: argparse.Namespace) -> None:
    """Measure the sizes, fit, predict the size to check, and write all of it."""
    steps: list[Step] = []
    sealing, every, ratios = [], [], []
    ways = [(probes, rerank) for probes in WHOLE_PROBES for rerank in WHOLE_RERANKS]
    for size in options.sizes:
        data = Data.open(options.vectors, size, dim=options.dim, most=options.queries)
        segment, codes = opened(data)
        whole, larger = whole_steps(data, ways)
        steps += single_steps(data, codes) + whole
        ratios += larger
        built = build_ours(data)
        sealing.append((size, codes.cells, built["cpu_s"], 1e6 * built["cpu_s"] / size,
                        segment.bytes / size, built["peak_anon_bytes"]))  # fmt: skip
        every.append(data)
    fitted, unseen = len(steps), None
    if options.check:
        unseen = Data.open(options.vectors, options.check, dim=options.dim, most=options.queries)
        steps += whole_steps(unseen, CHECKS)[0]  # timed in the same rounds, never fitted
    seen = timed(steps)
    costs, ratio = solve(seen[:fitted]), float(np.median(ratios))
    errors = [predict(costs, one.terms) / one.us - 1 for one in seen[:fitted]]
    checks = [] if unseen is None else checked(unseen, seen[fitted:], costs, ratio)
    training = observe_training(every[-1])
    metrics = {f"us.{name}": value for name, value in costs.items()}
    metrics |= {
        "scanned_over_mean": ratio,
        "us.appended_row": append_us(every[-1]),
        "us.sealed_row": sealing[-1][3],
        "bytes.sealed_row": sealing[-1][4],
        "bytes.matrix_row": 2.0 * options.dim,
        "fit.median_error": float(np.median(np.abs(errors))),
        "fit.p90_error": float(np.quantile(np.abs(errors), 0.9)),
    }
    if checks:
        metrics["check.median_error"] = float(np.median([abs(row[-1]) for row in checks]))
        metrics["check.worst_error"] = max(abs(row[-1]) for row in checks)
    material.finish(
        "ann_costs", options.out / "ann_costs.json", metrics=metrics,
        tables={
            "costs": Table(("step", "µs"), [(n.removeprefix("us."), v) for n, v in metrics.items()
                                            if n.startswith("us.")]),
            "check": Table(("rows", "cells", "probes", "re-ranked", "predicted µs", "measured µs",
                            "error"), checks),
            "training": Table(("sampled rows", "cells", "CPU s"), training),
            "sealing": Table(("rows", "cells", "CPU s", "CPU µs a row", "bytes a row",
                              "peak bytes"), sealing),
        },
        settings={"fitted": options.sizes, "dim": options.dim, "threads": 1},
    )  # fmt: skip
