"""Learned fusion against its parts, RRF and hand-tuned weights, where half the pictures have words.

    python eval/fusion/offline.py --cache CACHE.npz --out eval/fusion/offline.json

CACHE comes from retrieval.py. The model is learned as `lookalike learn` learns it, from simulated
clicks on the other queries (five folds, parted by picture), in rounds: users see RRF first, then
whatever the round before promoted. Weights by hand are tuned on the true answers of the same
other queries, which no click log tells. Clicks are simulated: nobody has used this.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from clicking import NAMES, USERS, prepare, simulate
from retrieval import KINDS, load

from lookalike.domain.fusion_learning import LearningOptions, learn
from lookalike.evaluation.reports import Table, describe_machine, render_markdown
from lookalike.wiring.evaluation import commit_of

SEED = 11
FOLDS = 5
ROUNDS = 3
CLICKS = 5000
SWAP_SHARE = 0.05
MIXED_SHARE = 0.1
CUT = 10
RESAMPLES = 2000
COLUMN = {name: at for at, name in enumerate(NAMES)}
METRICS = ("ndcg@10", "recall@10")


def main() -> None:
    """Measure, and write the JSON with its Markdown beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("eval/fusion/offline.json"))
    parser.add_argument("--about", default="1,000 photographs of Flickr8k")
    options = parser.parse_args()
    report = {"about": options.about, **measure(load(options.cache))}
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    options.out.with_suffix(".md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report))


def measure(found) -> dict[str, object]:
    """Score every order on every fold."""
    asked = prepare(found)
    pictures = np.array([one.picture for one in found])
    fold_of = np.random.default_rng(SEED).permutation(pictures.max() + 1) % FOLDS
    scores: dict[str, np.ndarray] = {}
    learned = []
    for fold in range(FOLDS):
        train = [one for one in asked if fold_of[pictures[one.number]] != fold]
        test = [one for one in asked if fold_of[pictures[one.number]] == fold]
        orders = {
            "BM25 alone": lambda one: one.values[:, COLUMN["bm25_log"]],
            "vectors alone": lambda one: one.values[:, COLUMN["cosine"]],
            "RRF": lambda one: -np.arange(len(one.is_right)),
            "weights by hand": tuned(train),
        }
        for number, model in enumerate(rounds(train, fold, learned), 1):
            order = (lambda one: -np.arange(len(one.is_right))) if model is None else (
                lambda one, model=model: model.score(one.values)
            )  # fmt: skip
            orders[f"learned, round {number}"] = order
        for name, order in orders.items():
            table = scores.setdefault(name, np.zeros((len(asked), len(METRICS))))
            for one in test:
                table[one.number] = graded(order(one), one)
    kinds = np.array([one.kind for one in found])
    return {
        "seed": SEED,
        "commit": commit_of(),
        "machine": asdict(describe_machine()),
        "clicks": "simulated, position-based, bias 1",
        "clicks_per_round": CLICKS,
        "swap_share": SWAP_SHARE,
        "mixed_share": MIXED_SHARE,
        "folds": FOLDS,
        "queries": {kind: int((kinds == kind).sum()) for kind in KINDS},
        "learned": learned,
        "results": summed(scores, kinds, pictures),
    }


def rounds(train, fold, notes):
    """Yield the order in use after each round of clicks: a model, or None for RRF."""
    current, log = None, []
    for number in range(1, ROUNDS + 1):
        seed = SEED + 1000 * fold + number
        log += simulate(
            train, USERS["position-based"], wanted=CLICKS, swap_share=SWAP_SHARE, seed=seed,
            model=current, mixed_share=MIXED_SHARE,
        )  # fmt: skip
        found = learn(log, LearningOptions(NAMES, seed=seed), current=current)
        notes.append(
            {
                "fold": fold, "round": number, "promoted": found.is_better,
                "objective": found.model.objective, "l2": found.model.l2,
                "answers": len(log), "power": round(found.propensities.power, 3),
                "weights": dict(zip(NAMES, np.round(found.model.weights, 3).tolist(), strict=True)),
                "differences": {name: asdict(one) for name, one in found.differences.items()},
            }
        )  # fmt: skip
        if found.is_better:
            version = number
            current = _named(found.model, version)
        yield current


def _named(model, version):
    from dataclasses import replace

    return replace(model, version=version)


def tuned(train):
    """Return the best weighting on the true answers of `train`: of normalised scores, or in RRF."""
    choices = [_sum_of(share) for share in np.linspace(0, 1, 41)]
    choices += [_ranks_of(share, k) for share in np.linspace(0, 1, 21) for k in (1, 10, 60)]
    values = [np.mean([graded(order(one), one)[0] for one in train]) for order in choices]
    return choices[int(np.argmax(values))]


def _sum_of(share):
    def order(one):
        cosine = one.values[:, COLUMN["cosine"]]
        spread = max(cosine.max() - cosine.min(), 1e-6)
        own = (cosine - cosine.min()) / spread
        return share * one.values[:, COLUMN["bm25_share"]] + (1 - share) * own

    return order


def _ranks_of(share, k):
    def order(one):
        by_words = _rank(one.values[:, COLUMN["bm25_log"]])
        by_look = _rank(one.values[:, COLUMN["cosine"]])
        matched = one.values[:, COLUMN["matched"]]
        return share * matched / (k + by_words) + (1 - share) / (k + by_look)

    return order


def _rank(values):
    return np.searchsorted(np.sort(-values), -values) + 1


def graded(scores, one):
    """Return ndcg@10 and recall@10 of a query ordered by `(n,)` scores."""
    first = one.is_right[np.argsort(-scores, kind="stable")[:CUT]]
    discounts = 1 / np.log2(2 + np.arange(CUT))
    ideal = discounts[: min(CUT, one.right)].sum()
    return float(first @ discounts[: len(first)] / ideal), float(first.sum() / one.right)


def summed(scores, kinds, pictures):
    """Return means with intervals, and the last round's lead over every other order."""
    last = f"learned, round {ROUNDS}"
    results = {}
    for kind in ("all", *KINDS):
        chosen = np.ones(len(kinds), bool) if kind == "all" else kinds == kind
        times = _resampled(pictures[chosen])
        rows = results[kind] = {}
        for name, table in scores.items():
            row = rows[name] = {}
            for at, metric in enumerate(METRICS):
                row[metric] = _interval(table[chosen, at], times)
                lead = scores[last][chosen, at] - table[chosen, at]
                row[f"{metric} behind"] = _interval(lead, times)
    return results


def _resampled(pictures):
    """Return how often each query is drawn: pictures are drawn, with all their queries."""
    draw = np.random.default_rng(SEED)
    names, place = np.unique(pictures, return_inverse=True)
    chances = np.full(len(names), 1 / len(names))
    return draw.multinomial(len(names), chances, size=RESAMPLES)[:, place]


def _interval(values, times):
    means = (times @ values) / times.sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"value": round(float(values.mean()), 4), "low": round(float(low), 4),
            "high": round(float(high), 4)}  # fmt: skip


def markdown(report) -> str:
    """Return the report for people."""
    counts = ", ".join(f"{count} {kind}" for kind, count in report["queries"].items())
    lines = [
        "# Learned fusion against its parts", "",
        f"Commit {report['commit']}, seed {report['seed']}. {sum(report['queries'].values())} "
        f"queries ({counts}) over {report['about']}, half of them with words. **Clicks "
        f"are simulated** ({report['clicks']}; {report['clicks_per_round']} a round) on other "
        "queries than those scored. Brackets hold 95 % intervals over pictures drawn anew; "
        "*lead* is that of the last learned round.",
    ]  # fmt: skip
    for kind, rows in report["results"].items():
        columns = ["order"]
        for metric in METRICS:
            columns += [metric, f"lead in {metric}"]
        table = [
            (name, *(_shown(row[cell]) for m in METRICS for cell in (m, f"{m} behind")))
            for name, row in rows.items()
        ]
        lines += ["", f"## Queries: {kind}", "", render_markdown(Table(columns, table))]
    return "\n".join(lines) + "\n"


def _shown(cell):
    return f"{cell['value']:.3f} [{cell['low']:.3f}, {cell['high']:.3f}]"


if __name__ == "__main__":
    main()
