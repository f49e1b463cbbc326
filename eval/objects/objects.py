"""Measure the packaged detector on annotated photographs.

    python eval/objects/objects.py --data DATA [--detector yolox-nano]
    python eval/objects/objects.py --plot

DATA holds `coco/` (docs/evaluation.md). Whatever was chosen was chosen on the photographs of even
number. YOLOX was trained on COCO's train2017, so the figures that count are those of val2017;
`quality` repeats them for the bundle.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
from photographs import (
    Found,
    Photograph,
    Tally,
    ask,
    ask_all,
    halves,
    mean_precision,
    photographs,
)
from PIL import Image

from lookalike.adapters.bundle_files import load_bundle
from lookalike.adapters.detector_onnx import OnnxDetector
from lookalike.evaluation.reports import Table, describe_machine, render_text
from lookalike.wiring.evaluation import commit_of

HERE = Path(__file__).parent
FLOOR = 0.01
"""The lowest score for mAP, which wants doubtful guesses too."""

SWEEP = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)
MOST_TELLING = 5
"""Photographs that a label or a pair must be on to be listed by itself."""


def of_labels(photos, found: Found, chosen: Sequence[int], labels: Sequence[str], least: int):
    """Precision and recall of `has:LABEL>=least`, over all labels and label by label."""
    tallies = {label: ask(photos, found, chosen, label, least=least) for label in labels}
    listed = {
        label: one.rates()
        for label, one in sorted(tallies.items())
        if one.right + one.missed >= MOST_TELLING
    }
    return {
        "all_labels": sum(tallies.values(), Tally()).rates(),
        "labels_that_occur": sum(one.right + one.missed > 0 for one in tallies.values()),
        "macro": macro(tallies),
        "by_label": listed,
    }


def macro(tallies: dict[str, Tally]) -> dict[str, float]:
    """Means over the labels that occur; a label that was never said has a precision of 0."""
    rates = [one.rates() for one in tallies.values() if one.right + one.missed]
    return {
        name: round(float(np.mean([one[name] or 0.0 for one in rates])), 4)
        for name in ("precision", "recall")
    }


def of_pairs(photos: Sequence[Photograph], found: Found, chosen: Sequence[int]) -> dict:
    """Precision and recall of "LABEL and LABEL", for pairs that stand on five photographs."""
    together = Counter(pair for n in chosen for pair in combinations(sorted(photos[n].counts), 2))
    total = Tally()
    pairs = [pair for pair, count in together.items() if count >= MOST_TELLING]
    for pair in pairs:
        for n in chosen:
            is_there = set(pair) <= set(photos[n].counts)
            is_said = set(pair) <= {one.label for one in found[n]}
            total += Tally(is_there and is_said, is_said and not is_there, is_there and not is_said)
    return {"pairs": len(pairs), **total.rates()}


def sweep(photos, found: Found, chosen: Sequence[int], labels: Sequence[str]) -> Table:
    """What other lowest scores would give, over all labels."""
    rows = []
    for score in SWEEP:
        one = ask_all(photos, found, chosen, labels, min_score=score).rates()
        two = ask_all(photos, found, chosen, labels, min_score=score, least=2).rates()
        rows.append(
            (score, *(one[key] for key in ("precision", "recall", "f1")),
             *(two[key] for key in ("precision", "recall", "f1")))
        )  # fmt: skip
    columns = ("lowest score", "precision", "recall", "F1", "two: precision", "two: recall")
    return Table((*columns, "two: F1"), rows)


def label_scores(photos, found: Found, labels: Sequence[str], groups) -> dict:
    """Try a lowest score for each label, drawn towards the common one, chosen on the even half.

    A label's F1 is taken over its own answers and a share of everybody's, as if it had been seen
    on twenty photographs more.
    """
    chosen, common = {}, {}
    for score in SWEEP:
        total = ask_all(photos, found, groups["even"], labels, min_score=score)
        common[score] = Tally(
            *(20 * n / (total.right + total.missed) for n in asdict(total).values())
        )
    for label in labels:

        def drawn(score: float, label: str = label) -> float:
            own = ask(photos, found, groups["even"], label, min_score=score) + common[score]
            return 2 * own.right / (2 * own.right + own.wrong + own.missed)

        chosen[label] = max(SWEEP, key=drawn)
    best = max(SWEEP, key=lambda score: _f1(common[score]))
    told = {}
    for name in ("even", "odd"):
        one_for_all = ask_all(photos, found, groups[name], labels, min_score=best)
        each = sum(
            (ask(photos, found, groups[name], label, min_score=chosen[label]) for label in labels),
            Tally(),
        )
        told[name] = {"one for all": one_for_all.rates(), "one for each": each.rates()}
    return {"best_for_all_on_even": best, **told}


def _f1(one: Tally) -> float:
    return 2 * one.right / (2 * one.right + one.wrong + one.missed)


def speed(photos: Sequence[Photograph], bundle) -> dict[str, float]:
    """Milliseconds a picture of the whole detector, on pictures decoded to their longer side."""
    side = bundle.detector.size
    told: dict[str, float] = {}
    for name, long_side in (("as_given", None), ("of_640", 640)):
        pictures = [photo.pixels for photo in photos[:64]]
        if long_side:
            pictures = [_enlarged(one, long_side) for one in pictures]
        for threads in (1, 2):
            detector = OnnxDetector(bundle, threads=threads)
            detector.detect(pictures[:8])
            wall, cpu = time.perf_counter(), time.process_time()
            detector.detect(pictures)
            told[f"wall_ms_{name}_{threads}_threads"] = _ms(time.perf_counter() - wall, pictures)
            told[f"cpu_ms_{name}_{threads}_threads"] = _ms(time.process_time() - cpu, pictures)
    started = time.perf_counter()
    OnnxDetector(bundle, threads=1).detect([np.zeros((side, side, 3), np.uint8)])
    told["load_and_first_ms"] = round(1000 * (time.perf_counter() - started), 1)
    return told


def _ms(seconds: float, pictures: Sequence[np.ndarray]) -> float:
    return round(1000 * seconds / len(pictures), 2)


def _enlarged(pixels: np.ndarray, side: int) -> np.ndarray:
    image = Image.fromarray(pixels)
    scale = side / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def stored(found: Found, min_score: float) -> list[tuple]:
    return [tuple(one for one in objects if one.score >= min_score) for objects in found]


def measure(photos: list[Photograph], name: str) -> dict:
    """Everything but the machine."""
    bundle = load_bundle(name)
    assert bundle.detector is not None
    doubtful = OnnxDetector(bundle, threads=1, min_score=FLOOR)
    labels = doubtful.labels
    found = doubtful.detect([photo.pixels for photo in photos])
    sure = stored(found, bundle.detector.min_score)
    groups = halves(photos)
    told = {}
    for group, chosen in groups.items():
        told[group] = {
            "photographs": len(chosen),
            "objects": sum(len(photos[n].objects) for n in chosen),
            **mean_precision(photos, found, labels, chosen),
            "map_50_of_what_is_stored": mean_precision(photos, sure, labels, chosen)["map_50"],
            "has_one": of_labels(photos, sure, chosen, labels, 1),
            "has_two": of_labels(photos, sure, chosen, labels, 2),
            "has_pair": of_pairs(photos, sure, chosen),
            "objects_a_photograph": round(float(np.mean([len(sure[n]) for n in chosen])), 2),
        }
    return {
        "detector": name,
        "fingerprint": bundle.fingerprint,
        "stored_from": bundle.detector.min_score,
        "groups": told,
        "sweep_even": asdict(sweep(photos, found, groups["even"], labels)),
        "sweep_odd": asdict(sweep(photos, found, groups["odd"], labels)),
        "lowest_score_by_label": label_scores(photos, found, labels, groups),
        "speed": {"load_average": round(os.getloadavg()[0], 1), **speed(photos, bundle)},
        "quality": quality(told["odd val2017"]),
    }


def quality(held: dict) -> dict[str, float]:
    """Figures for the bundle: photographs nothing was chosen on and YOLOX was not trained on."""
    return {
        "coco.map@0.5": held["map_50"],
        "coco.has_one.precision": held["has_one"]["all_labels"]["precision"],
        "coco.has_one.recall": held["has_one"]["all_labels"]["recall"],
        "coco.has_two.precision": held["has_two"]["all_labels"]["precision"],
        "coco.has_two.recall": held["has_two"]["all_labels"]["recall"],
    }


def summary(told: dict) -> Table:
    columns = ("photographs", "n", "mAP@0.5", "mAP", "one: P", "one: R", "two: P", "two: R")
    rows = []
    for name, group in told["groups"].items():
        one, two = group["has_one"]["all_labels"], group["has_two"]["all_labels"]
        rows.append(
            (name, group["photographs"], group["map_50"], group["map_50_95"], one["precision"],
             one["recall"], two["precision"], two["recall"])
        )  # fmt: skip
    return Table(columns, rows)


def plot(told: dict, path: Path) -> None:
    """Draw precision over recall of one and of two, on the half that nothing was chosen on."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
    rows = np.array(told["sweep_odd"]["rows"])
    for name, recall, precision in (("has:LABEL", 2, 1), ("has:LABEL>=2", 5, 4)):
        (line,) = axes.plot(rows[:, recall], rows[:, precision], marker=".", label=name)
        is_stored = rows[:, 0] == told["stored_from"]
        axes.plot(*rows[is_stored][:, [recall, precision]].T, "o", color=line.get_color())
    axes.set_title(f"{told['detector']}, lowest score {SWEEP[0]} to {SWEEP[-1]}; dots: what ships")
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--detector", default="yolox-nano")
    parser.add_argument("--out", type=Path, default=HERE / "objects.json")
    parser.add_argument("--plot", action="store_true", help="draw again what --out holds")
    options = parser.parse_args()
    if options.plot:
        plot(json.loads(options.out.read_text()), options.out.with_suffix(".svg"))
        return
    if options.data is None:
        parser.error("--data is needed to measure")
    measured = measure(photographs(options.data / "coco"), options.detector)
    result = {
        "what": "objects on COCO photographs of 320 pixels that are annotated whole",
        "note": "choices were made on the even photographs; train2017 trained the detector",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit_of(),
        "seed": 0,
        "machine": asdict(describe_machine()),
        **measured,
    }
    result["summary"] = asdict(summary(result))
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(render_text(summary(result)))
    print(render_text(Table(**result["sweep_odd"])))
    print(json.dumps({key: result[key] for key in ("lowest_score_by_label", "speed", "quality")}))


if __name__ == "__main__":
    main()
