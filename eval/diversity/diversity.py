"""What diversity costs and gives: ndcg@10 against how alike the first ten are.

    python eval/diversity/diversity.py --cache CACHE.npz

CACHE comes from eval/composition/material.py. Queries are the things of Flickr8k's and COCO's
photographs and captions of the latter; candidates are the 200 nearest, put in the order of maximal
marginal relevance by the product's own function. Likeness within a list is the mean cosine of its
pairs; `things` counts the annotated things that the first ten show between them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "composition"))
from material import load

from lookalike.evaluation.reports import Table, describe_machine, render_markdown
from lookalike.evaluation.statistics import bootstrap_intervals, paired_differences
from lookalike.ranking.diversity import mmr_order
from lookalike.wiring.evaluation import commit_of

HERE = Path(__file__).parent
SEED = 0
CUT = 10
DEPTH = 200
LEAST = 3
DIVERSITIES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SHOWN = 0.3


def measure(found, texts) -> dict[str, object]:
    table = {diversity: [] for diversity in DIVERSITIES}
    times = []
    for photos in (found["flickr8k"], found["coco"]):
        things = np.array([known == 1 for known in photos.things.values()])
        for thing, known in sorted(photos.things.items()):
            is_right = known == 1
            if is_right.sum() < LEAST:
                continue
            rows = np.flatnonzero(known >= 0)
            cosines = photos.vectors[rows] @ texts[thing]
            best = np.argsort(-cosines, kind="stable")[:DEPTH]
            rows, cosines = rows[best], cosines[best]
            for diversity in DIVERSITIES:
                began = time.perf_counter()
                order = rows[mmr_order(cosines, photos.vectors[rows], diversity)][:CUT]
                times.append((time.perf_counter() - began) * 1000.0)
                table[diversity].append((
                    _ndcg(is_right[order], int(is_right.sum())),
                    _likeness(photos.vectors[order]),
                    float(things[:, order].any(axis=1).sum()),
                ))  # fmt: skip
    scores = {diversity: np.array(rows) for diversity, rows in table.items()}
    rows = [(diversity, *scores[diversity].mean(axis=0).tolist()) for diversity in DIVERSITIES]
    plain = scores[0.0]
    names = ("ndcg@10", "likeness", "things")
    return {
        "what": "queries for things, first ten of 200 candidates by maximal marginal relevance",
        "queries": len(plain),
        "results": asdict(Table(("diversity", *names), rows)),
        "by_diversity": {
            f"{row[0]:g}": dict(zip(names, row[1:], strict=True)) for row in rows
        },
        "intervals": {
            f"{diversity:g}": bootstrap_intervals(values, seed=SEED).round(4).tolist()
            for diversity, values in scores.items()
        },
        "against_none": {
            f"{diversity:g}": [
                asdict(one) for one in paired_differences(values, plain.copy(), seed=SEED)
            ] for diversity, values in scores.items() if diversity
        },
        "median_ms": round(float(np.median(times)), 3),
    }  # fmt: skip


def _ndcg(is_right: np.ndarray, right: int) -> float:
    gains = 1.0 / np.log2(np.arange(2, CUT + 2))
    return float((is_right * gains[: len(is_right)]).sum() / gains[: min(CUT, right)].sum())


def _likeness(vectors: np.ndarray) -> float:
    both = vectors @ vectors.T
    return float(both[np.triu_indices(len(both), 1)].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "diversity.json")
    options = parser.parse_args()
    result = {
        "date": datetime.now(UTC).date().isoformat(), "commit": commit_of(), "seed": SEED,
        "machine": asdict(describe_machine()), "encoder": "lite", **measure(*load(options.cache)),
    }  # fmt: skip
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table = result["results"]
    print(render_markdown(Table(table["columns"], table["rows"])), result["median_ms"])


if __name__ == "__main__":
    main()
