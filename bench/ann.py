"""Measure vector indexes of 10⁴ to 10⁷ rows: recall, CPU, memory, filters, adding, drift, costs.

    python bench/ann_material.py encode PHOTOGRAPHS --captions FILE... --out FOLDER
    python bench/ann_material.py grow 10000 100000 --out FOLDER
    python bench/ann.py --vectors FOLDER --sizes 10000 100000 [--only search filters]
    python bench/ann.py --vectors FOLDER --fit --sizes 100000 1000000 --check 300000

Every size and part writes `bench/results/ann_PART_SIZE.json`; `--fit` writes `ann_costs.json`;
`--plot` draws the curves of all sizes that were searched. One thread, queries one at a time,
image queries and text queries apart. Engines that are not installed are said to be missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import ann_cells  # noqa: E402 - the number of threads is read when NumPy loads
import ann_drift  # noqa: E402
import ann_early  # noqa: E402
import ann_engines  # noqa: E402
import ann_fit  # noqa: E402
import ann_life  # noqa: E402
import ann_memory  # noqa: E402
import ann_plots  # noqa: E402
import ann_threads  # noqa: E402
import material  # noqa: E402
import numpy as np  # noqa: E402
from ann_data import Data, Timed, open_index, timed  # noqa: E402

from lookalike.domain.filters import Filter  # noqa: E402
from lookalike.domain.hits import Selection  # noqa: E402
from lookalike.evaluation.reports import Table  # noqa: E402

SWEPT_QUERIES = 300
FILTER_QUERIES = 200
ROUNDS = 7
ENOUGH = 0.999
SAME = 0.0005
SHARES = (0.5, 0.1, 0.01, 0.001)
COLUMNS = ("engine", "how", "queries", "recall@10", "CPU ms", "p50 ms", "p99 ms", "bytes a vector",
           "build CPU s")  # fmt: skip
AIM = {"image": 0.97, "text": 0.95, "drawn": 0.97}
"""The recall at which engines are compared, whatever they are tuned to."""
DEFAULTS = ("lookalike", "lookalike exact")


@dataclasses.dataclass(frozen=True)
class Line:
    """One measured way to search."""

    engine: ann_engines.Engine
    point: ann_engines.Point
    kind: str
    recall: float
    timed: Timed

    def cells(self) -> tuple:
        return (
            self.engine.name, self.point.label, self.kind, round(self.recall, 4),
            self.timed.cpu_ms, self.timed.p50_ms, self.timed.p99_ms, self.engine.bytes,
            self.engine.build_cpu_s,
        )  # fmt: skip


def measure(data: Data, engine: ann_engines.Engine) -> list[Line]:
    """Measure every point of an engine, but none that only makes what is enough dearer."""
    lines, enough = [], set()
    is_swept = len(engine.points) > len(data.queries)
    for point in engine.points:
        for kind in data.queries:
            if point.kind not in (None, kind) or any(
                kind == other and all(a <= b for a, b in zip(sizes, point.sizes, strict=True))
                for other, sizes in enough
            ):
                continue
            queries = data.queries[kind][: SWEPT_QUERIES if is_swept else None]
            found, taken = timed(point.search, queries, 1)
            recall = data.recall(kind, data.truth(kind), found)
            lines.append(Line(engine, point, kind, recall, taken))
            print(*(_short(cell) for cell in lines[-1].cells()), sep="  ", flush=True)
            if recall >= ENOUGH and point.sizes:
                enough.add((kind, point.sizes))
    return lines


def _short(cell: object) -> str:
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def search(data: Data, options: argparse.Namespace) -> None:
    """Sweep the engines; then measure anew, well, what reaches the recall of the defaults."""
    lines: list[Line] = []
    summary: list[Line] = []
    aimed: list[Line] = []
    missing: dict[str, str] = {}
    for name in options.engines:
        try:
            for engine in ann_engines.ENGINES[name](data):
                measured = measure(data, engine)
                lines += measured
                if engine.name in DEFAULTS:
                    summary += measured
                    continue
                reached = {
                    line.kind: line.recall for line in summary if line.engine.name in DEFAULTS
                }
                aimed += chosen(data, engine, measured, AIM)
                if not engine.name.endswith("swept"):
                    summary += chosen(data, engine, measured, AIM | reached)
        except ImportError as error:
            missing[name] = str(error)
            print(f"{name} is missing: {error}")
    summary, aimed = in_turns(data, summary), in_turns(data, aimed)
    metrics = headline(summary) | at_aim(aimed)
    material.finish(
        f"ann_search_{data.rows}", options.out / f"ann_search_{data.rows}.json", metrics=metrics,
        tables={
            "summary": Table(COLUMNS, [line.cells() for line in summary]),
            "aimed": Table(COLUMNS[:-2], [line.cells()[:-2] for line in aimed]),
            "points": Table(COLUMNS[:-2], [line.cells()[:-2] for line in lines]),
        },
        settings={"rows": data.rows, "dim": data.dim, "missing": missing, "threads": 1},
    )  # fmt: skip


def defaults(data: Data, options: argparse.Namespace) -> None:
    """Measure what a user gets: recall with all queries, CPU, and the share of codes scanned."""
    (engine,) = ann_engines.ours(data)
    metrics, rows = {"bytes_a_vector": engine.bytes}, []
    for point in engine.points:
        kind = str(point.kind)
        found, taken = timed(point.search, data.queries[kind])
        facts = {
            "recall": data.recall(kind, data.truth(kind), found),
            "scanned": ann_engines.scanned_share(data, kind),
            "cpu_ms": taken.cpu_ms,
            "p50_ms": taken.p50_ms,
        }
        metrics |= {f"{name}.{kind}": value for name, value in facts.items()}
        rows.append((kind, point.label, *facts.values()))
        print(*(_short(cell) for cell in rows[-1]), sep="  ", flush=True)
    columns = ("queries", "how", "recall@10", "share of codes scanned", "CPU ms", "p50 ms")
    material.finish(
        f"ann_defaults_{data.rows}", options.out / f"ann_defaults_{data.rows}.json",
        metrics=metrics, tables={"defaults": Table(columns, rows)},
        settings={"rows": data.rows, "dim": data.dim, "queries": len(data.queries["image"]),
                  "threads": 1},
    )  # fmt: skip


def chosen(
    data: Data, engine: ann_engines.Engine, measured: Sequence[Line], wanted: Mapping[str, float]
) -> list[Line]:
    """Return, by kind, the cheapest point with the recall wanted, or the best one.

    A point is chosen by what the sweep's queries say and measured with all of them; when it
    falls short there, the next dearer one is.
    """
    kept = []
    for kind in data.queries:
        mine = [line for line in measured if line.kind == kind]
        good = [line for line in mine if line.recall >= wanted[kind] - 0.01]
        good.sort(key=lambda line: at_most(line, mine))
        again = None
        for line in good or sorted(mine, key=lambda line: -line.recall)[:1]:
            found, taken = timed(line.point.search, data.queries[kind], 1)
            recall = data.recall(kind, data.truth(kind), found)
            if again is None or recall > again.recall:
                again = Line(engine, line.point, kind, recall, taken)
            if recall >= wanted[kind] - SAME:
                break
        if again is not None:
            kept.append(again)
    return kept


def at_most(line: Line, lines: Sequence[Line]) -> tuple[float, tuple[int, ...]]:
    """Return what a line costs at most: no more than any that probes and re-ranks more took."""
    sizes = line.point.sizes
    wider = [
        other.timed.cpu_ms
        for other in lines
        if len(other.point.sizes) == len(sizes)
        and all(a >= b for a, b in zip(other.point.sizes, sizes, strict=True))
    ]
    return min([line.timed.cpu_ms, *wider]), sizes


def in_turns(data: Data, summary: Sequence[Line]) -> list[Line]:
    """Return the lines with their times measured anew, an engine after the other, in rounds.

    What else the machine does then weighs on all of them alike.
    """
    rounds: list[list[Timed]] = [[] for _ in summary]
    for _ in range(ROUNDS):
        for line, taken in zip(summary, rounds, strict=True):
            queries = data.queries[line.kind][:SWEPT_QUERIES]
            taken.append(timed(line.point.search, queries, 1)[1])
    return [
        dataclasses.replace(line, timed=Timed(*np.median([dataclasses.astuple(t) for t in taken],
                                                         axis=0).tolist()))
        for line, taken in zip(summary, rounds, strict=True)
    ]  # fmt: skip


def headline(summary: Sequence[Line]) -> dict[str, float]:
    """Return the recall and CPU of the defaults, and their CPU over that of stock Faiss.

    Of the ways to write the latter, the cheapest that is as good.
    """
    metrics: dict[str, float] = {}
    for line in summary:
        if line.engine.name in DEFAULTS:
            metrics[f"recall.{line.kind}"] = line.recall
            metrics[f"cpu_ms.{line.kind}"] = line.timed.cpu_ms
            metrics["bytes_a_vector"] = line.engine.bytes
        if not line.engine.name.endswith("+ re-ranking") or f"recall.{line.kind}" not in metrics:
            continue
        is_as_good = line.recall >= metrics[f"recall.{line.kind}"] - SAME
        cost = metrics.get(f"stock.cpu_ms.{line.kind}", np.inf)
        if is_as_good and line.timed.cpu_ms < cost:
            metrics[f"stock.recall.{line.kind}"] = line.recall
            metrics[f"stock.cpu_ms.{line.kind}"] = line.timed.cpu_ms
            metrics[f"cpu_over_stock.{line.kind}"] = (
                metrics[f"cpu_ms.{line.kind}"] / line.timed.cpu_ms
            )
    return metrics


def at_aim(aimed: Sequence[Line]) -> dict[str, float]:
    """Return the CPU at the recall aimed at, and that over stock Faiss's, the cheapest's."""
    metrics: dict[str, float] = {}
    for line in aimed:
        name = "lookalike" if line.engine.name.endswith("swept") else "stock"
        is_compared = line.engine.name.endswith(("swept", "+ re-ranking"))
        key = f"aim.{name}.cpu_ms.{line.kind}"
        if is_compared and line.recall >= AIM[line.kind] - SAME:
            metrics[key] = min(line.timed.cpu_ms, metrics.get(key, np.inf))
    for kind in AIM:
        ours, theirs = (metrics.get(f"aim.{x}.cpu_ms.{kind}") for x in ("lookalike", "stock"))
        if ours and theirs:
            metrics[f"aim.cpu_over_stock.{kind}"] = ours / theirs
    return metrics


def filters(data: Data, options: argparse.Namespace) -> None:
    """Measure the defaults with rows let through at random, and those farthest from the queries."""
    ann_engines.build_ours(data)
    index = open_index(data)
    asked = {kind: queries[:FILTER_QUERIES] for kind, queries in data.queries.items()}
    data = dataclasses.replace(data, queries=asked)
    generator = np.random.default_rng(7)
    along = {kind: _along(data, queries.mean(axis=0)) for kind, queries in asked.items()}
    rows = []
    for name in ("random", "correlated"):
        for share in SHARES:
            drawn = generator.random(data.rows) < share
            for kind, queries in asked.items():
                mask = drawn
                if name == "correlated":
                    mask = along[kind] <= np.quantile(along[kind], share)
                mask.flags.writeable = False  # as the store of filters hands them out
                selection = Selection(Filter(), mask)
                began = time.perf_counter()
                index.search(queries[:1], k=10, query_kind=kind, selection=selection)
                first = 1e3 * (time.perf_counter() - began)

                def find(query: np.ndarray, kind=kind, selection=selection) -> np.ndarray:
                    return index.search(query, k=10, query_kind=kind, selection=selection).rows

                found, taken = timed(find, queries)
                recall = data.recall(kind, data.truth(kind, mask), found)
                short = sum(int((hits < 0).any()) for hits in found)
                rows.append((name, f"{share:.1%}", kind, round(recall, 4), taken.cpu_ms,
                             taken.p50_ms, taken.p99_ms, first, short))  # fmt: skip
                print(*(_short(cell) for cell in rows[-1]), sep="  ", flush=True)
    index.close()
    columns = ("rows let through", "share", "queries", "recall@10", "CPU ms", "p50 ms", "p99 ms",
               "first query ms", "with fewer than 10")  # fmt: skip
    material.finish(
        f"ann_filters_{data.rows}", options.out / f"ann_filters_{data.rows}.json",
        metrics={"least_recall": min(row[3] for row in rows)},
        tables={"filters": Table(columns, rows)},
        settings={"rows": data.rows, "dim": data.dim, "threads": 1},
    )  # fmt: skip


def _along(data: Data, direction: np.ndarray) -> np.ndarray:
    return np.concatenate([block @ direction for block in data.blocks()])


PARTS = {
    "defaults": defaults,
    "search": search,
    "filters": filters,
    "built": ann_life.built,
    "ingest": ann_life.ingest,
    "drift": ann_drift.drift,
    "threads": ann_threads.threads,
    "cells": ann_cells.cells,
    "memory": ann_memory.memory,
    "early": ann_early.early,
}
CHILDREN = ann_life.CHILDREN | ann_memory.CHILDREN
USUAL_PARTS = ["defaults", "search", "filters", "ingest", "drift", "threads"]


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(CHILDREN[sys.argv[2]](**json.loads(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=Path, required=True, help="what ann_material.py wrote")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dim", type=int, default=896)
    parser.add_argument("--queries", type=int, default=1000, help="of each kind")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=USUAL_PARTS)
    parser.add_argument(
        "--engines", nargs="+", choices=ann_engines.ENGINES, default=list(ann_engines.ENGINES)
    )
    parser.add_argument("--fit", action="store_true", help="measure costs on the sizes")
    parser.add_argument("--check", type=int, help="predict this size with what was fitted")
    parser.add_argument("--plot", action="store_true", help="draw what was searched before")
    parser.add_argument("--out", type=Path, default=material.RESULTS)
    options = parser.parse_args()
    if options.plot:
        ann_plots.draw(options.out, material.ROOT / "docs" / "images")
        return
    if options.fit:
        ann_fit.fit(options)
        return
    for size in options.sizes:
        data = Data.open(options.vectors, size, dim=options.dim, most=options.queries)
        asked = {kind: data.queries[kind] for kind in ("image", "text")}
        fewer = dataclasses.replace(data, queries=asked)
        for part in options.only:
            PARTS[part](data if part in ("defaults", "search", "memory") else fewer, options)


if __name__ == "__main__":
    main()
