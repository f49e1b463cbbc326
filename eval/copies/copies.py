"""Fit the copy judge on copies of train photographs, and measure it on copies of dev's.

    python eval/copies/copies.py --data ../shared/data/flickr8k --cache DIR [--fit] [--originals N]

`--fit` writes src/lookalike/domain/copy_weights.py from the train split and ends; the next run
measures with those weights. Vectors are kept in DIR between runs. Peers: eval/copies/peers.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import chart
import fitting
import numpy as np
import peers
import transforms
from material import (
    Material,
    Picture,
    Reader,
    build,
    circumstances,
    known_copies,
    look_alikes,
)

from lookalike.domain.copies import STRICTNESSES, PairEvidence, hash_turns, judge
from lookalike.engine.copy_judge import CandidatePair, CopyJudge
from lookalike.imaging.geometry import align, match_whole
from lookalike.imaging.geometry_views import KeypointFinder, read_view

HERE = Path(__file__).parent
NOTE = (
    "weights and thresholds were fitted on train alone; but the weight of bursts and the least "
    "thresholds were raised after a first fit had called some look-alikes copies, of which three "
    "had one side in dev, so the look-alikes are no held-out figure; radii of peers were chosen "
    "on train, so that their precision here may fall short of 0.99"
)
K = 10
RADIUS = 10
NEAR = 0.8
"""Photographs at least this near count as look-alikes."""

PRECISION = 0.99
FITTED = 40
"""Originals that the judge was fitted on; the radii of the peers are chosen on the same."""

KS = (1, 5, 10, 12, 20, 50)
HARD = (
    "crop 10 %", "crop 20 %", "crop 30 %", "crop 40 %", "crop 40 % of each side", "border",
    "text overlay", "mirror", "turn 90°", "turn 180°", "turn 3°", "turn 5°, black corners",
    "turn 10°", "mirrored and cropped 20 %", "screenshot of a page", *transforms.COLLAGES,
)  # fmt: skip
Pair = tuple[int, int]


def candidates(material: Material) -> list[Pair]:
    """Return copy and index numbers: neighbours by embedding, and hashes near in any turn."""
    cosines = material.copy_vectors @ material.vectors.T
    hashes = np.array([picture.facts.phash for picture in material.index], dtype=np.uint64)
    pairs: list[Pair] = []
    for number, copy in enumerate(material.copies):
        near = set(np.argsort(-cosines[number], kind="stable")[:K].tolist())
        for turned in hash_turns(copy.facts.phash):
            bits = np.bitwise_count(hashes ^ np.uint64(turned))
            near |= set(np.flatnonzero(bits <= RADIUS).tolist())
        pairs += [(number, other) for other in sorted(near)]
    return pairs


def is_true(one: str, other: str, same: set[frozenset[str]]) -> bool:
    return one == other or frozenset((one, other)) in same


def gather(material: Material, pairs: Sequence[Pair], *, is_whole: bool = False):
    """Measure candidate pairs by the judge itself; everything about them when `is_whole`."""
    bytes_of = {p.facts.id: p.thumbnail for p in (*material.index, *material.copies)}
    judge_of = CopyJudge(bytes_of.get, "strict", threads=2, kept=4000)
    cosines = [float(material.copy_vectors[a] @ material.vectors[b]) for a, b in pairs]
    asked = [
        CandidatePair(material.copies[a].facts, material.index[b].facts, cosine)
        for (a, b), cosine in zip(pairs, cosines, strict=True)
    ]
    start, cpu = time.perf_counter(), time.process_time()
    evidence = judge_of.measure_all(asked) if is_whole else judge_of.evidence(asked)
    spent = time.perf_counter() - start, time.process_time() - cpu
    return evidence, spent


def gather_look_alikes(
    pairs: Sequence[tuple[Picture, Picture, float]],
) -> list[tuple[Picture, Picture, PairEvidence]]:
    thumbnails = {p.facts.id: p.thumbnail for one, other, _ in pairs for p in (one, other)}
    judge_of = CopyJudge(thumbnails.get, "strict", threads=2, kept=4000)
    asked = [CandidatePair(one.facts, other.facts, cosine) for one, other, cosine in pairs]
    found = judge_of.measure_all(asked)
    return [(one, other, evidence) for (one, other, _), evidence in zip(pairs, found, strict=True)]


def fit(reader: Reader, originals: int, indexed: int) -> None:
    material = build(reader, "train", originals, indexed)
    same = known_copies()
    pairs = candidates(material)
    number_of = {picture.name: i for i, picture in enumerate(material.index)}
    pairs = sorted(set(pairs) | {(i, number_of[c.original]) for i, c in enumerate(material.copies)})
    evidence, _ = gather(material, pairs, is_whole=True)
    examples = [
        (
            found,
            is_true(material.copies[a].original, material.index[b].name, same),
            material.copies[a].transform,
        )
        for (a, b), found in zip(pairs, evidence, strict=True)
    ]
    examples += [
        (found, is_true(one.name, other.name, same), fitting.UNTOUCHED)
        for one, other, found in gather_look_alikes(look_alikes(reader, ("train",), NEAR))
    ]
    report = {**circumstances(), **fitting.fit(examples)}
    print(json.dumps(report, indent=1))
    (HERE / "fit.json").write_text(json.dumps(report, indent=1) + "\n")


def measure_judge(reader: Reader, material: Material, same: set[frozenset[str]]) -> dict:
    """Measure candidates and judge together, every strictness on the same evidence."""
    pairs = candidates(material)
    evidence, (wall, cpu) = gather(material, pairs)
    truth = [is_true(material.copies[a].original, material.index[b].name, same) for a, b in pairs]
    number_of = {picture.name: i for i, picture in enumerate(material.index)}
    reached = {a for (a, b) in pairs if b == number_of[material.copies[a].original]}
    bursts = gather_look_alikes(look_alikes(reader, ("dev", "train"), NEAR))
    out: dict = {
        "pairs": len(pairs),
        "wall_ms_a_pair": wall * 1000 / len(pairs),
        "cpu_ms_a_pair": cpu * 1000 / len(pairs),
        "pairs_by_last_stage": stages(evidence),
        "look_alikes_with_one_of_dev": len(bursts),
        "candidates": by_transform(material, lambda i: i in reached),
        "strictness": {},
    }
    for strictness in STRICTNESSES:
        verdicts = [judge(found, strictness) for found in evidence]
        said = {(a, b): verdict.is_copy for (a, b), verdict in zip(pairs, verdicts, strict=True)}
        right = sum(v.is_copy and t for v, t in zip(verdicts, truth, strict=True))
        wrong = sum(v.is_copy and not t for v, t in zip(verdicts, truth, strict=True))
        untouched = [
            is_true(one.name, other.name, same)
            for one, other, found in bursts
            if judge(found, strictness).is_copy
        ]
        found = by_transform(
            material,
            lambda i, said=said: said.get((i, number_of[material.copies[i].original]), False),
        )
        out["strictness"][strictness] = {
            "precision": round(right / max(right + wrong, 1), 4),
            "wrong": wrong,
            "right": right,
            "look_alikes_called_copies": {"right": sum(untouched), "wrong": untouched.count(False)},
            **found,
            "judge_alone": round(found["average"] / out["candidates"]["average"], 4),
        }
        out["wrong_pairs" if strictness == "balanced" else f"wrong_{strictness}"] = [
            [material.copies[a].name, material.index[b].name, round(v.score, 3), v.stage]
            for (a, b), v, t in zip(pairs, verdicts, truth, strict=True)
            if v.is_copy and not t
        ][:20]
    return out


def stages(evidence: Sequence[PairEvidence]) -> dict[str, int]:
    """Count how far each pair went down the cascade."""
    counts: dict[str, int] = defaultdict(int)
    for found in evidence:
        last = "hash" if found.whole is None else "whole"
        counts["overlap" if found.overlap else last] += 1
    return dict(counts)


def by_transform(material: Material, is_found) -> dict:
    hits: dict[str, list[bool]] = defaultdict(list)
    for i, copy in enumerate(material.copies):
        hits[copy.transform].append(bool(is_found(i)))
    recall = {name: round(float(np.mean(found)), 4) for name, found in hits.items()}
    return {
        "average": round(float(np.mean(list(recall.values()))), 4),
        "average_of_hard": round(float(np.mean([recall[name] for name in HARD])), 4),
        "recall": recall,
    }


def measure_peers(
    tuning: Material, reported: Material, same: set[frozenset[str]]
) -> dict[str, dict]:
    """Measure each method at its own radius and at one chosen on train for the precision."""
    results = {}
    for name, (method, own) in peers.methods().items():
        truths, apart, spent = [], [], 0.0
        for material in (tuning, reported):
            copies = [picture.data for picture in material.copies]
            index = [picture.data for picture in material.index]
            bits, spent = peers.distances(method, copies, index)
            apart.append(bits)
            truths.append(
                np.array(
                    [
                        [is_true(c.original, p.name, same) for p in material.index]
                        for c in material.copies
                    ]
                )
            )
        chosen = radius_for(apart[0], truths[0])
        results[name] = {"ms_a_hash": round(spent, 3)}
        for label, radius in (("at_precision", chosen), ("as_recommended", own)):
            said = apart[1] <= radius
            right, wrong = int((said & truths[1]).sum()), int((said & ~truths[1]).sum())
            number_of = {p.name: i for i, p in enumerate(reported.index)}
            found = by_transform(
                reported,
                lambda i, said=said, of=number_of: said[i, of[reported.copies[i].original]],
            )
            precision = round(right / max(right + wrong, 1), 4)
            results[name][label] = {"radius": radius, "precision": precision, **found}
    return results


def radius_for(apart: np.ndarray, truth: np.ndarray) -> int:
    """Return the widest radius that keeps the precision on the tuning half."""
    best = 0
    for radius in range(int(apart.max())):
        said = apart <= radius
        if said.any() and (said & truth).sum() / said.sum() >= PRECISION:
            best = radius
    return best


def neighbours_needed(material: Material, distractors: np.ndarray) -> dict:
    """Tell how often the original is among the k nearest by embedding, among more pictures."""
    number_of = {picture.name: i for i, picture in enumerate(material.index)}
    everything = np.concatenate((material.vectors, distractors))
    cosines = material.copy_vectors @ everything.T
    own = np.array([number_of[copy.original] for copy in material.copies])
    ranks = (cosines > cosines[np.arange(len(own)), own][:, None]).sum(axis=1)
    return {
        "pictures": len(everything),
        **{f"k={k}": by_transform(material, lambda i, k=k: ranks[i] < k) for k in KS},
    }


def time_stages(material: Material) -> dict[str, float]:
    """Return CPU milliseconds of each step, one thread."""
    finder = KeypointFinder()
    thumbnails = [picture.thumbnail for picture in material.index[:40]]
    spent = {}

    def timed(name: str, run):
        start = time.process_time()
        result = run()
        spent[name] = round((time.process_time() - start) * 1000 / len(thumbnails), 2)
        return result

    views = [view for view in timed("view", lambda: list(map(read_view, thumbnails))) if view]
    points = timed("keypoints", lambda: [finder.find(view) for view in views])
    both = list(zip(views, points, strict=True))
    timed("whole", lambda: [match_whole(a, b) for a, b in pairwise(views)])
    timed("align, different", lambda: [align(a, b) for a, b in pairwise(both)])
    timed("align, same", lambda: [align(a, a) for a in both])
    return spent


def table(report: dict) -> str:
    """Lay the recalls out in Markdown."""
    columns = {name: report["judge"]["strictness"][name] for name in STRICTNESSES}
    columns |= {name: found["at_precision"] for name, found in report["peers"].items()}
    columns = {"candidates": report["judge"]["candidates"], **columns}
    head = "| transform | " + " | ".join(columns) + " |"
    rule = "|---|" + "---:|" * len(columns)
    rows = [
        f"| {name} | " + " | ".join(f"{c['recall'][name]:.2f}" for c in columns.values()) + " |"
        for name in transforms.NAMES
    ]
    for label, key in (("average", "average"), ("average of the hard", "average_of_hard")):
        cells = " | ".join(f"{c[key]:.3f}" for c in columns.values())
        rows.append(f"| **{label}** | {cells} |")
    cells = " | ".join(
        f"{c['precision']:.4f}" if "precision" in c else "" for c in columns.values()
    )
    return "\n".join([head, rule, *rows, f"| precision | {cells} |"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--originals", type=int, default=60)
    parser.add_argument("--indexed", type=int, default=1000)
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    reader = Reader(options.data, options.cache)
    if options.fit:
        fit(reader, min(options.originals, FITTED), options.indexed)
        return
    same = known_copies()
    reported = build(reader, "dev", options.originals, options.indexed)
    tuning = build(reader, "train", min(options.originals, FITTED), options.indexed)
    report = {
        **circumstances(),
        "note": NOTE,
        "originals": options.originals,
        "originals_with_a_look_alike": len(reported.hard),
        "index": len(reported.index),
        "copies": len(reported.copies),
        "neighbours": K,
        "hash_radius": RADIUS,
        "judge": measure_judge(reader, reported, same),
        "peers": measure_peers(tuning, reported, same),
        "neighbours_needed": neighbours_needed(reported, tuning.vectors),
        "cpu_ms": time_stages(reported),
    }
    (HERE / "copies.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    (HERE / "copies.md").write_text(table(report))
    (HERE / "copies.svg").write_text(chart.bars(report))
    print(table(report))


if __name__ == "__main__":
    main()
