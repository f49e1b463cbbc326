"""One threshold for all queries: true answers kept, and queries without an answer caught.

    python eval/calibration/calibration.py --cache CACHE.npz

CACHE comes from eval/composition/material.py; the queries are those of questions.py, of which half
have no answer. Every signal's threshold is the one that keeps 90 % of the answered queries of one
half; what it keeps and catches is told on the other half. `relevance` is the product's own: the
chance that a query whose best photograph stands out so far has an answer, by that photograph's
standard score above what chance gives in a corpus of that size, and the words beside it. It is
fitted to the queries of the first half, by kind: words, pictures, and both.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from questions import KINDS, SEED, ask_all

from material import load  # isort: skip - questions.py says where it is
from signals import signals_of

from lookalike.adapters.bundle_files import load_bundle
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.engine.calibrating import common_texts
from lookalike.evaluation.reports import Table, describe_machine, render_markdown
from lookalike.wiring.evaluation import commit_of

HERE = Path(__file__).parent
KEPT = 0.9
KEEPS = (0.95, 0.9, 0.8, 0.7)
BINS = 10
RESAMPLES = 1000
L2 = 1e-2
ROUNDS = 4
STEPS = 30
RELEVANCE = "relevance"
MODELS = {"text": ("word", "caption"), "image": ("picture",), "mixed": ("mixed",)}


def measure(cache: Path) -> dict[str, object]:
    found, texts = load(cache)
    asked = ask_all(found, texts)
    cohort = OnnxEncoder(load_bundle("lite"), threads=1).encode_texts(common_texts())
    signals = [signals_of(one, cohort if is_text(one) else one.sample) for one in asked]
    held_out = np.array([one.is_held_out for one in asked])
    for columns, name in ((2, "relevance without words"), (3, RELEVANCE)):
        models = {}
        for model, of_kinds in MODELS.items():
            numbers = [at for at in np.flatnonzero(~held_out) if asked[at].kind in of_kinds]
            models[model] = fit(
                [inputs(asked[at], signals[at])[:, :columns] for at in numbers],
                np.array([asked[at].has_answer for at in numbers], dtype=float),
            )
            for one, of in zip(asked, signals, strict=True):
                if one.kind in of_kinds:
                    of[name] = chance(models[model], inputs(one, of)[:, :columns])
    names = list(signals[0])
    has = np.array([one.has_answer for one in asked])
    kinds = np.array([one.kind for one in asked])
    best = {name: np.array([of[name].max() for of in signals]) for name in names}
    rows, curves = [], {}
    for name in names:
        limit = float(np.quantile(best[name][has & ~held_out], 1 - KEPT))
        over = best[name] >= limit
        caught = [rate(~over, ~has & held_out & (kinds == kind)) for kind in KINDS]
        rows.append(
            (name, auc(best[name], has, held_out), rate(over, has & held_out),
             rate(~over, ~has & held_out), *caught)
        )  # fmt: skip
        curves[name] = curve(best[name], has, held_out)
    rows.sort(key=lambda row: -row[1])
    return {
        "what": "queries with and without an answer told apart by their best photograph",
        "queries": {
            kind: {"chosen on": int((~held_out & (kinds == kind)).sum()),
                   "held out": int((held_out & (kinds == kind)).sum())} for kind in KINDS
        },
        "signals": asdict(Table(("signal", "AUC", "kept", "caught", *KINDS), rows)),
        "by_signal": {row[0]: {"auc": row[1], "kept": row[2], "caught": row[3]} for row in rows},
        "models": {name: [round(float(v), 4) for v in model] for name, model in models.items()},
        "thresholds": thresholds(best[RELEVANCE], has, held_out, kinds, asked, signals),
        "reliability": reliability(best[RELEVANCE], has, held_out),
        "curves": curves,
        "auc_by_kind": {
            name: {kind: auc(best[name], has, held_out & (kinds == kind)) for kind in KINDS}
            for name in names
        },
    }  # fmt: skip


def is_text(one) -> bool:
    return one.kind in {"word", "caption"}


def inputs(one, of) -> np.ndarray:
    by_chance = np.sqrt(2 * np.log(one.size))
    return np.column_stack([np.ones(len(one.cosines)), of["plain z"] - by_chance, one.coverage])


def fit(tables, has_answer) -> np.ndarray:
    """Fit the chance of an answer to each query's surest photograph, by Newton's method."""
    weights = np.array([0.0, 1.0, 1.0])[: tables[0].shape[1]]
    for _ in range(ROUNDS):
        x = np.array([table[np.argmax(table @ weights)] for table in tables])
        weights = np.zeros(x.shape[1])
        for _ in range(STEPS):
            p = chance(weights, x)
            slope = x.T @ (p - has_answer) + L2 * weights
            bend = x.T @ (x * (p * (1 - p))[:, None]) + L2 * np.eye(len(weights))
            weights = weights - np.linalg.solve(bend, slope)
    return weights


def chance(weights, x) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x @ weights))


def thresholds(best, has, held_out, kinds, asked, signals) -> list[dict[str, object]]:
    """Return what thresholds chosen on one half keep and catch on the other."""
    found = []
    for share in KEEPS:
        limit = float(np.quantile(best[has & ~held_out], 1 - share))
        over = best >= limit
        right = [
            signals[at][RELEVANCE][asked[at].is_right] >= limit
            for at in np.flatnonzero(has & held_out)
        ]
        found.append({
            "kept_on_first_half": share, "threshold": round(limit, 4),
            "kept": rate(over, has & held_out), "caught": rate(~over, ~has & held_out),
            "right_answers_above": round(float(np.concatenate(right).mean()), 4),
            "kept_interval": interval(over[has & held_out]),
            "caught_interval": interval(~over[~has & held_out]),
            "by_kind": {
                kind: {"kept": rate(over, has & held_out & (kinds == kind)),
                       "caught": rate(~over, ~has & held_out & (kinds == kind))} for kind in KINDS
            },
        })  # fmt: skip
    return found


def reliability(best, has, held_out) -> list[dict[str, float]]:
    """Return, by tenths of the stated chance, how many held-out queries had an answer."""
    stated, right = best[held_out], has[held_out]
    bins = np.minimum((stated * BINS).astype(int), BINS - 1)
    return [
        {"stated": round(float(stated[bins == n].mean()), 4),
         "right": round(float(right[bins == n].mean()), 4), "count": int((bins == n).sum())}
        for n in range(BINS) if (bins == n).any()
    ]  # fmt: skip


def curve(best, has, held_out) -> list[tuple[float, float]]:
    limits = np.quantile(best[held_out], np.linspace(0, 1, 41))
    return [(rate(best >= at, has & held_out), rate(best < at, ~has & held_out)) for at in limits]


def auc(best, has, chosen) -> float:
    yes, no = best[has & chosen], best[~has & chosen]
    above = (yes[:, None] > no[None, :]).mean() + 0.5 * (yes[:, None] == no[None, :]).mean()
    return round(float(above), 4)


def rate(flags, chosen) -> float:
    return round(float(flags[chosen].mean()), 4)


def interval(flags) -> list[float]:
    rng = np.random.default_rng(SEED)
    means = rng.choice(flags.astype(float), (RESAMPLES, len(flags))).mean(axis=1)
    return np.quantile(means, [0.025, 0.975]).round(4).tolist()


def plot(result, path: Path) -> None:
    """Draw what signals keep and catch, and how often what is stated is right."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "lookalike"}):
        figure = Figure(figsize=(9.6, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        for name in (RELEVANCE, "plain z", "z", "cosine", "extreme", "cohort"):
            kept, caught = np.array(result["curves"][name]).T
            left.plot(kept, caught, label=name, linewidth=2.5 if name == RELEVANCE else 1)
        left.set(xlabel="answered queries kept", ylabel="queries without an answer caught")
        left.set(xlim=(0, 1), ylim=(0, 1), title="held-out queries, one threshold for all")
        left.legend(fontsize=8)
        stated, found = ([one[key] for one in result["reliability"]] for key in ("stated", "right"))
        right.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        right.plot(stated, found, "o-")
        right.set(
            xlabel="relevance of the best", ylabel="share with an answer", xlim=(0, 1), ylim=(0, 1)
        )
        right.set_title("held-out queries")
        figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "calibration.json")
    options = parser.parse_args()
    result = {
        "date": datetime.now(UTC).date().isoformat(), "commit": commit_of(), "seed": SEED,
        "machine": asdict(describe_machine()), "encoder": "lite", **measure(options.cache),
    }  # fmt: skip
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    plot(result, options.out.with_suffix(".svg"))
    table = result["signals"]
    print(render_markdown(Table(table["columns"], table["rows"])))
    print(
        json.dumps({key: result[key] for key in ("models", "thresholds", "reliability", "queries")})
    )


if __name__ == "__main__":
    main()
