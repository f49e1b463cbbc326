"""Logistic regressions for the stages of the copy judge, and thresholds for each strictness."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lookalike.domain.copies import (
    PairEvidence,
    hash_features,
    overlap_features,
    whole_features,
)

WEIGHTS_FILE = Path(__file__).parents[2] / "src/lookalike/domain/copy_weights.py"
FEATURES = {"hash": hash_features, "whole": whole_features, "overlap": overlap_features}
POSITIVE = {
    "agreeing", "agreeing2", "middle", "middle4", "low", "high", "cosine", "cosine4", "inliers",
    "inlier_share", "correlation",
}  # fmt: skip
NEGATIVE = {"bits", "squeeze"}
"""What may only speak for a copy, and what only against one."""

WRONG_SHARE = {"strict": 0.0005, "balanced": 0.002, "lenient": 0.01}
"""The share of wrong ones among the pairs that a stage calls copies."""

UNTOUCHED = "untouched"
"""Pairs of photographs as they are; those that overlap are shots of one scene."""

BURSTS_WEIGH = 4.0

LEAST = {"strict": 0.95, "balanced": 0.8, "lenient": 0.5}
RIDGE = 2e-4
Example = tuple[PairEvidence, bool, str]


def fit(examples: Sequence[Example]) -> dict:
    models, thresholds = {}, {name: {"bytes": 1.0} for name in WRONG_SHARE}
    report = {}
    for stage, features_of in FEATURES.items():
        rows = [(features_of(e), y, t) for e, y, t in examples if not e.is_same_bytes]
        rows = [row for row in rows if row[0]]
        names = list(rows[0][0])
        x = np.array([[row[0][name] for name in names] for row in rows])
        y = np.array([row[1] for row in rows])
        weights = sample_weights(y, [row[2] for row in rows], x, names, stage)
        w = regress(x, y, weights, names)
        scores = 1 / (1 + np.exp(-np.clip(x @ w[:-1] + w[-1], -40, 40)))
        models[stage] = dict(zip([*names, "bias"], w.round(4).tolist(), strict=True))
        chosen = {
            name: threshold(scores, y, share, LEAST[name]) for name, share in WRONG_SHARE.items()
        }
        for name, value in chosen.items():
            thresholds[name][stage] = value
        report[stage] = {
            "pairs": len(y),
            "copies": int(y.sum()),
            "weights": models[stage],
            "at": {
                name: {
                    "threshold": value,
                    "recall": round(float((scores[y] >= value).mean()), 4),
                    "wrong": int((scores[~y] >= value).sum()),
                }
                for name, value in chosen.items()
            },
        }
    write(models, thresholds)
    return report


def sample_weights(y, transforms, x, names, stage) -> np.ndarray:
    """Let copies weigh as much as others, and each transform as much as another.

    Shots of one scene weigh more than the other pairs that happen to overlap.

    The whole of a picture says nothing about crops, which are left to the overlap: copies whose
    whole does not fit at all do not count there.
    """
    counts = Counter(t for t, is_copy in zip(transforms, y, strict=True) if is_copy)
    weights = np.array([1 / counts[t] if c else 1.0 for t, c in zip(transforms, y, strict=True)])
    if stage == "overlap":
        alike = [t == UNTOUCHED and not c for t, c in zip(transforms, y, strict=True)]
        weights[alike] = BURSTS_WEIGH
    if stage == "whole":
        weights[y & (x[:, names.index("agreeing")] < 0.3)] = 0
    weights[y] /= weights[y].sum()
    weights[~y] /= weights[~y].sum()
    return weights


def regress(x, y, weights, names) -> np.ndarray:
    """Minimise the weighed logistic loss; signs stay as the features mean."""
    from scipy.optimize import minimize

    sign = np.where(y, 1.0, -1.0)
    with_one = np.hstack((x, np.ones((len(x), 1))))

    def loss(w):
        margin = sign * (with_one @ w)
        value = (weights * np.logaddexp(0, -margin)).sum() + RIDGE * (w[:-1] ** 2).sum()
        pull = -weights * sign / (1 + np.exp(np.clip(margin, -40, 40)))
        slope = with_one.T @ pull
        slope[:-1] += 2 * RIDGE * w[:-1]
        return value, slope

    bounds = [
        (0, None) if name in POSITIVE else (None, 0) if name in NEGATIVE else (None, None)
        for name in names
    ]
    start = np.zeros(with_one.shape[1])
    return minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[*bounds, (None, None)]).x


def threshold(scores, y, wrong_share: float, least: float) -> float:
    """Return the lowest score from which on few enough are wrong, with some room to spare."""
    order = np.argsort(-scores, kind="stable")
    wrong = np.cumsum(~y[order]) / np.arange(1, len(y) + 1)
    fine = np.flatnonzero(wrong <= wrong_share)
    last = int(fine[-1]) if len(fine) else 0
    edge = float(scores[order[last]])
    after = order[last + 1 :]
    beyond = float(scores[after][~y[after]].max()) if (~y[after]).any() else 0.0
    return round(max(least, (edge + min(beyond, edge)) / 2), 4)


def write(models: dict, thresholds: dict) -> None:
    lines = [
        '"""The models and thresholds of the copy judge, written by eval/copies; do not edit."""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Final",
        "",
    ]
    for title, tables in (("MODELS", models), ("THRESHOLDS", thresholds)):
        lines.append(f"{title}: Final[dict[str, dict[str, float]]] = {{")
        for name, values in tables.items():
            lines.append(f'    "{name}": {{')
            lines += [f'        "{key}": {value},' for key, value in values.items()]
            lines.append("    },")
        lines += ["}", ""]
    WEIGHTS_FILE.write_text("\n".join(lines).rstrip() + "\n")
    print("wrote", WEIGHTS_FILE, file=sys.stderr)
