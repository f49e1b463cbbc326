"""Time the rankers over the candidates of one query.

    python bench/ranker.py --out bench/results/ranker.json

Each figure is the median and the 99th percentile, in milliseconds, of ordering n candidates on one
thread: features, scores and sorting, as a search does it. `explained` adds the shares of a page,
`recorded` the features and places that the click log keeps of it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lookalike.domain.fusion import FEATURES, FusionModel
from lookalike.domain.queries import Query
from lookalike.engine.learning_trace import tell
from lookalike.evaluation.reports import describe_machine
from lookalike.ranking.fusion_features import IF_WANTED
from lookalike.ranking.learned import LinearRanker
from lookalike.ranking.rrf import ReciprocalRankFusion
from lookalike.wiring.evaluation import commit_of

SEED = 3
SIZES = (200, 1000)
ROUNDS = 500
PAGE = 40


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("bench/results/ranker.json"))
    options = parser.parse_args()
    count = len(FEATURES)
    weights = tuple(np.linspace(-1, 1, count))
    learned = LinearRanker(
        FusionModel(tuple(FEATURES), (0.1,) * count, (1.0,) * count, weights, version=1)
    )
    results = {}
    for size in SIZES:
        features = made(size)
        results[str(size)] = {
            "rrf": timed(lambda f=features: ordered(ReciprocalRankFusion(), f)),
            "learned": timed(lambda f=features: ordered(learned, f)),
            "explained": timed(lambda f=features: told(learned, f, is_explained=True)),
            "recorded": timed(lambda f=features: told(learned, f, is_traced=True)),
        }
    report = {
        "seed": SEED, "commit": commit_of(), "machine": asdict(describe_machine()), "threads": 1,
        "features": count, "rounds": ROUNDS, "page": PAGE, "candidates": results,
    }  # fmt: skip
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for size, rows in results.items():
        for name, row in rows.items():
            print(f"{size:>5} {name:10} p50 {row['p50_ms']:.3f} ms  p99 {row['p99_ms']:.3f} ms")


def made(size):
    """Return features as both paths, the regions and the fields of the text give them."""
    draw = np.random.default_rng(SEED)
    bm25 = np.where(draw.random(size) < 0.5, draw.gamma(2, 3, size), 0)
    region = np.where(draw.random(size) < 0.3, draw.random(size), np.nan)
    cosine = draw.normal(0.2, 0.05, size)
    columns = {"bm25": bm25, "cosine": cosine, "region": region}
    columns |= {name: draw.random(size) for name in sorted(IF_WANTED)}
    return {name: values.astype(np.float32) for name, values in columns.items()}


def ordered(ranker, features):
    """Return the order of the candidates."""
    scores = ranker.score(features)
    return np.lexsort((np.arange(len(scores)), -scores))


def told(ranker, features, **asked):
    """Order, and tell what is asked of the first page."""
    order = ordered(ranker, features)
    return tell(Query(k=PAGE, **asked), ranker, features, order, order)


def timed(call):
    """Return the median and the 99th percentile of a call."""
    for _ in range(20):
        call()
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1000)
    p50, p99 = np.percentile(times, [50, 99])
    return {"p50_ms": round(float(p50), 4), "p99_ms": round(float(p99), 4)}


if __name__ == "__main__":
    main()
