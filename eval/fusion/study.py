"""What correcting for position is worth: simulated users, biases and numbers of clicks.

    python eval/fusion/study.py --cache CACHE.npz --out eval/fusion/study.json

Models are learned from clicks on RRF's answers to four fifths of the queries, with and without
correction, and scored by ndcg@10 on the true answers of the rest; so are RRF itself, and a model
learned from true answers to what was shown in place of clicks, which is as good as clicks could
make it. Every click is simulated (clicking.py).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from clicking import NAMES, SHOWN, USERS, Users, prepare, simulate
from offline import graded
from retrieval import load

from lookalike.domain.errors import TooFewClicksError
from lookalike.domain.fusion_learning import LearningOptions, learn
from lookalike.evaluation.reports import Table, describe_machine, render_markdown
from lookalike.wiring.evaluation import commit_of

SEED = 23
REPEATS = 3
CLICKS = (300, 1000, 3000, 10_000)
BIASES = (0.0, 0.5, 1.0, 1.5)
SWAP_SHARE = 0.05
MIXED_SHARE = 0.1
TEST_SHARE = 5


def main() -> None:
    """Measure, and write the JSON with its Markdown beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("eval/fusion/study.json"))
    options = parser.parse_args()
    report = measure(load(options.cache))
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    options.out.with_suffix(".md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report))


def measure(found) -> dict[str, object]:
    """Learn under every user, bias and number of clicks."""
    asked = prepare(found)
    fold_of = np.random.default_rng(SEED).permutation(max(one.picture for one in found) + 1)
    folds = [fold_of[found[one.number].picture] % TEST_SHARE for one in asked]
    cells = []
    for repeat in range(REPEATS):
        train = [one for one, fold in zip(asked, folds, strict=True) if fold != repeat]
        test = [one for one, fold in zip(asked, folds, strict=True) if fold == repeat]
        base = {"repeat": repeat, "rrf": _mean(None, test), "true answers": _taught(train, test)}
        for name, users in USERS.items():
            for bias in BIASES:
                cells += _cells(base, name, replace(users, bias=bias), train, test)
    return {
        "seed": SEED,
        "commit": commit_of(),
        "machine": asdict(describe_machine()),
        "clicks": "simulated",
        "users": {name: asdict(users) for name, users in USERS.items()},
        "swap_share": SWAP_SHARE,
        "mixed_share": MIXED_SHARE,
        "shown": SHOWN,
        "repeats": REPEATS,
        "cells": cells,
    }


def _cells(base, name, users: Users, train, test):
    log = simulate(
        train,
        users,
        wanted=max(CLICKS),
        swap_share=SWAP_SHARE,
        seed=SEED + base["repeat"],
        mixed_share=MIXED_SHARE,
    )
    ends = np.cumsum([len(one.clicks) for one in log])
    for wanted in CLICKS:
        part = log[: int(np.searchsorted(ends, wanted)) + 1]
        cell = {**base, "users": name, "bias": users.bias, "clicks": wanted, "answers": len(part)}
        for way in (True, False):
            label = "corrected" if way else "uncorrected"
            try:
                found = learn(part, LearningOptions(NAMES, seed=SEED, is_corrected=way))
            except TooFewClicksError:
                continue
            cell[label] = _mean(found.model, test)
            cell[f"{label} promoted"] = found.is_better
            cell["power"] = round(found.propensities.power, 3)
        yield cell


def _taught(train, test):
    """Learn from a click on every right answer that is shown, and on nothing else."""
    everyone = Users(bias=0.0, right=1.0, wrong=0.0)
    log = simulate(train, everyone, wanted=3 * len(train), swap_share=0.0, seed=SEED)
    return _mean(learn(log, LearningOptions(NAMES, seed=SEED, is_corrected=False)).model, test)


def _mean(model, test):
    return round(
        float(
            np.mean(
                [
                    graded(
                        -np.arange(len(one.is_right)) if model is None else model.score(one.values),
                        one,
                    )[0]
                    for one in test
                ]
            )
        ),
        4,
    )


def markdown(report) -> str:
    """Return the report for people."""
    cells = report["cells"]
    rrf = np.mean([cell["rrf"] for cell in cells])
    taught = np.mean([cell["true answers"] for cell in cells])
    lines = [
        "# Learning from biased clicks", "",
        f"Commit {report['commit']}, seed {report['seed']}, {report['repeats']} repeats on other "
        f"held-out queries each. **Every click is simulated.** ndcg@10 there: RRF {rrf:.3f}; "
        f"learned from the true answers among those shown {taught:.3f}. Each cell: corrected / "
        "uncorrected, and in brackets how many of the repeats each was promoted in.",
    ]  # fmt: skip
    for name in report["users"]:
        columns = ["bias", *(f"{clicks:,} clicks" for clicks in CLICKS)]
        table = []
        for bias in BIASES:
            row = [f"{bias:g}"]
            for clicks in CLICKS:
                these = [
                    cell for cell in cells
                    if (cell["users"], cell["bias"], cell["clicks"]) == (name, bias, clicks)
                ]  # fmt: skip
                row.append(_cell(these))
            table.append(row)
        lines += ["", f"## {name}", "", render_markdown(Table(columns, table))]
    return "\n".join(lines) + "\n"


def _cell(cells):
    shown, promoted = [], []
    for way in ("corrected", "uncorrected"):
        values = [cell[way] for cell in cells if way in cell]
        shown.append(f"{np.mean(values):.3f}" if values else "too few")
        promoted.append(str(sum(cell.get(f"{way} promoted", False) for cell in cells)))
    return f"{' / '.join(shown)} ({'/'.join(promoted)})"


if __name__ == "__main__":
    main()
