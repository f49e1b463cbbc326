"""Queries a second of threads that share an index: Faiss lets go of the interpreter's lock."""

from __future__ import annotations

import argparse
import threading
import time

import material
import numpy as np
from ann_data import Data, open_index
from ann_engines import build_ours

from lookalike.evaluation.reports import Table

THREADS = (1, 2, 4)
SECONDS = 3.0
ROUNDS = 3


def threads(data: Data, options: argparse.Namespace) -> None:
    """Ask for some seconds with each number of threads, one query at a time; the best of rounds."""
    build_ours(data)
    index = open_index(data)
    rows = []
    for kind, queries in data.queries.items():

        def ask(count: int, kind=kind, queries=queries) -> float:
            done = np.zeros(count, np.int64)
            end = time.perf_counter() + SECONDS

            def work(number: int) -> None:
                at = number
                while time.perf_counter() < end:
                    query = queries[at % len(queries)][None]
                    index.search(query, k=10, query_kind=kind)
                    done[number] += 1
                    at += count

            workers = [threading.Thread(target=work, args=(number,)) for number in range(count)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            return float(done.sum()) / SECONDS

        ask(1)
        best = {count: max(ask(count) for _ in range(ROUNDS)) for count in THREADS}
        rows += [(kind, count, rate, rate / best[1]) for count, rate in best.items()]
        print(*rows[-len(THREADS) :], sep="\n", flush=True)
    index.close()
    material.finish(
        f"ann_threads_{data.rows}", options.out / f"ann_threads_{data.rows}.json",
        metrics={f"{kind}.{count}": rate for kind, count, rate, _ in rows},
        tables={"threads": Table(("queries", "threads", "queries a second", "times one"), rows)},
        settings={"rows": data.rows, "dim": data.dim},
    )  # fmt: skip
