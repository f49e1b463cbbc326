"""How well a region of a picture finds the same kind of object inside other pictures.

    python eval/objects/regions.py --data DATA --out eval/objects/regions.json

Queries are annotated objects of DATA/coco, each cut out of its picture as a user would mark it;
right answers are the other pictures with an object of that label. Ranked by the vectors of whole
pictures, by those of detected regions, and by both fused. Words are asked too: the 80 labels, and
the captions, with the regions' weight in the fusion varied.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from lookalike.domain.queries import ImagePart, Query, TextPart
from lookalike.evaluation.datasets import load_dataset
from lookalike.evaluation.metrics import evaluate_run
from lookalike.evaluation.reports import describe_machine
from lookalike.ranking.rrf import ReciprocalRankFusion
from lookalike.settings.features import Features
from lookalike.wiring.embedded import OpenOptions, open_index
from lookalike.wiring.evaluation import UnnamedPictures, commit_of, ids_by_file

SEED = 5
LEAST, MOST = 0.02, 0.6
"""Objects that cover less or more of their picture are no regions that people would mark."""

MOST_PER_LABEL = 6
MOST_CAPTIONS = 400
LIFTED = {"lifted 1": {"cosine": 1.0, "region": 1.0}, "lifted 1.5": {"cosine": 1.0, "region": 1.5}}
"""Of the two shares the larger counts alone."""

WEIGHTS = {
    "whole pictures": {"cosine": 1.0},
    "regions": {"region": 1.0},
    "both, regions 0.25": {"cosine": 1.0, "region": 0.25},
    "both, regions 0.5": {"cosine": 1.0, "region": 0.5},
    "both, regions 1": {"cosine": 1.0, "region": 1.0},
    "both, regions 2": {"cosine": 1.0, "region": 2.0},
    **LIFTED,
}
METRICS = ("recall@10", "precision@10", "ap")
K = 300


def main() -> None:
    """Measure, print a table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("eval/objects/regions.json"))
    options = parser.parse_args()
    report = measure(options.data / "coco")
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for kind, rows in report["results"].items():
        print(f"{kind} ({report['queries'][kind]} queries)")
        for name, values in rows.items():
            shown = "  ".join(f"{metric} {value:.3f}" for metric, value in values.items())
            print(f"  {name:22} {shown}")


def measure(folder: Path) -> dict[str, object]:
    """Index the pictures without words and ask every query under each weighting."""
    dataset = load_dataset(folder)
    lines = (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    marked = {one["file"]: one["boxes"] for one in map(json.loads, lines) if one.get("boxes_from")}
    with tempfile.TemporaryDirectory(prefix="lookalike-eval-") as scratch:
        asked = OpenOptions(is_creating=True, features=Features(ocr="off"))
        with open_index(Path(scratch) / "index", asked) as engine:
            engine.index([UnnamedPictures(dataset)])
            ids = ids_by_file(engine, dataset)
            sets = {
                "marked objects": _objects(folder, marked, ids),
                "label words": _labels(marked, ids),
                "captions": _captions(dataset, ids),
            }
            results = {}
            for kind, (queries, relevant) in sets.items():
                candidates = _candidates(engine, queries)
                results[kind] = {
                    name: _scored(
                        weights,
                        {"region": "cosine"} if name in LIFTED else {},
                        candidates,
                        relevant,
                    )
                    for name, weights in WEIGHTS.items()
                }
            regions = len(engine.stores.regions)
    return {
        "seed": SEED,
        "commit": commit_of(),
        "machine": asdict(describe_machine()),
        "images": len(ids),
        "regions": regions,
        "queries": {kind: len(found[0]) for kind, found in sets.items()},
        "results": results,
    }


def _objects(folder, marked, ids):
    """Return a query for each of some marked objects, and the pictures with its label."""
    holders = defaultdict(set)
    choices = defaultdict(list)
    for file, boxes in marked.items():
        for box in boxes:
            holders[box["label"]].add(ids[file])
            if LEAST <= box["box"][2] * box["box"][3] <= MOST:
                choices[box["label"]].append((file, tuple(box["box"])))
    chosen = random.Random(SEED)
    queries, relevant = {}, {}
    for label, found in sorted(choices.items()):
        chosen.shuffle(found)
        for file, box in found[:MOST_PER_LABEL]:
            others = holders[label] - {ids[file]}
            if others:
                name = f"{label} {file} {box}"
                region = _inside(box)
                part = ImagePart("path", str(folder / file), region=region)
                queries[name] = Query(images=(part,), k=K), ids[file]
                relevant[name] = dict.fromkeys(others, 1)
    return queries, relevant


def _inside(box):
    x, y, width, height = box
    return (x, y, min(width, 1 - x), min(height, 1 - y))


def _labels(marked, ids):
    holders = defaultdict(dict)
    for file, boxes in marked.items():
        for box in boxes:
            holders[box["label"]][ids[file]] = 1
    queries = {label: (Query(texts=(TextPart(label),), k=K), None) for label in holders}
    return queries, dict(holders)


def _captions(dataset, ids):
    relevant = {
        name: {ids[file]: 1 for file in files} for name, files in dataset.caption_qrels().items()
    }
    chosen = random.Random(SEED).sample(sorted(relevant), min(MOST_CAPTIONS, len(relevant)))
    queries = {
        name: (Query(texts=(TextPart(dataset.captions[name]),), k=K), None) for name in chosen
    }
    return queries, {name: relevant[name] for name in chosen}


def _candidates(engine, queries):
    """Return the ids and features of every candidate of each query, but for its own picture."""
    found = {}
    for name, (query, own) in queries.items():
        hits = engine.search(replace(query, deadline_ms=60_000, is_collapsed=False)).hits
        hits = [hit for hit in hits if hit.record.id != own]
        features = {
            part: np.asarray([hit.parts.get(part, np.nan) for hit in hits], np.float32)
            for part in ("cosine", "region")
        }
        found[name] = [hit.record.id for hit in hits], features
    return found


def _scored(weights, lifts, candidates, relevant):
    """Return the mean of each metric under a weighting."""
    ranker = ReciprocalRankFusion(weights=weights, lifts=lifts)
    run = {
        name: dict(zip(ids, ranker.score(features).tolist(), strict=True))
        for name, (ids, features) in candidates.items()
    }
    scores = evaluate_run(relevant, run, METRICS)
    return {metric: round(value, 4) for metric, value in scores.items()}


if __name__ == "__main__":
    main()
