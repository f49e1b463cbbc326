"""Choose the weights of the colour terms on the first half of each set of `sets.py`.

    python eval/colour/fit.py --data ../shared/data

Each term has a logistic model of two inputs (`colour.term_inputs`) with weights that are not
negative. Its border is then set where a sum is greatest: F1 on photographs looked at (an arguable
colour counts as half a mistake), F1 on composed pictures, and recall on captions less the share
of all photographs that bear the tag, so that saying a term of everything gains nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import sets

from lookalike.domain.images import COLOR_NAMES
from lookalike.imaging.colour import term_inputs

HERE = Path(__file__).parent
WEIGHTS_FILE = HERE.parents[1] / "src/lookalike/imaging/colour_weights.py"
ARGUABLE_TARGET = 0.35
ARGUABLE_COST = 0.5
COMPOSED_WEIGHT = 0.4
CAPTION_WEIGHT = 0.6
NEUTRAL_COUNT = 3
COMPOSED_TOTAL, CAPTION_TOTAL = 60.0, 30.0


def inputs_of(labelled: sets.Labelled) -> np.ndarray:
    return np.array([term_inputs(sample) for sample in labelled.samples])


def examples(
    term: int, looked: sets.Labelled, made: sets.Labelled, said: sets.Labelled
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs, targets and weights of one term's examples."""
    x, y, w = [], [], []

    def take(rows: np.ndarray, target: float, weight: float) -> None:
        x.append(rows)
        y.append(np.full(len(rows), target))
        w.append(np.full(len(rows), weight))

    seen, truth = inputs_of(looked)[:, term], looked.truth[:, term]
    take(seen[truth == 1], 1.0, 2.0)
    take(seen[truth == 0], 0.0, 2.0)
    take(seen[truth == -1], ARGUABLE_TARGET, 1.0)
    seen, truth = inputs_of(made)[:, term], made.truth[:, term]
    for value in (0, 1):
        take(seen[truth == value], value, COMPOSED_TOTAL / max((truth == value).sum(), 1))
    named = inputs_of(said)[:, term][said.truth[:, term] >= 2]
    take(named, 1.0, CAPTION_TOTAL / max(len(named), 1))
    return np.concatenate(x), np.concatenate(y), np.concatenate(w)


def logistic(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Fit weights, not negative, and a bias by projected gradient descent."""
    means, scales = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = np.hstack(((x - means) / scales, np.ones((len(x), 1))))
    w = w / w.sum()
    p, moment = np.array([0.3, 0.3, 0.0]), np.zeros(3)
    for _ in range(4000):
        odds = 1 / (1 + np.exp(-(z @ p)))
        gradient = z.T @ (w * (odds - y)) + 2e-3 * p * (1, 1, 0)
        moment = 0.9 * moment - 0.3 * gradient
        p = p + moment
        p[:2] = np.maximum(p[:2], 0)
    weights = p[:2] / scales
    return np.append(weights, p[2] - (weights * means).sum())


def f1(hits: float, wrong: float, missed: float) -> float:
    return 2 * hits / max(2 * hits + wrong + missed, 1e-9)


def border(
    term: int, model: np.ndarray, looked: sets.Labelled, made: sets.Labelled, said: sets.Labelled
) -> float:
    def scores(labelled: sets.Labelled) -> np.ndarray:
        return inputs_of(labelled)[:, term] @ model[:2] + model[2]

    a, b, c = scores(looked), scores(made), scores(said)
    ta, tb, named = looked.truth[:, term], made.truth[:, term], said.truth[:, term] >= 2
    best = (-1.0, 0.0)
    for at in np.arange(-1.5, 4, 0.1):
        wrong = (a[ta == 0] > at).sum() + ARGUABLE_COST * (a[ta == -1] > at).sum()
        total = f1((a[ta == 1] > at).sum() + 1, wrong, (a[ta == 1] <= at).sum() + 1)
        if term >= NEUTRAL_COUNT:
            hits = (b[tb == 1] > at).sum()
            total += COMPOSED_WEIGHT * f1(hits, (b[tb == 0] > at).sum(), (b[tb == 1] <= at).sum())
        total += CAPTION_WEIGHT * ((c[named] > at).mean() - (c > at).mean())
        best = max(best, (float(total), float(at)))
    return best[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--composed", type=int, default=1200)
    options = parser.parse_args()
    looked = sets.looked_at(HERE, options.data, "chosen")
    made = sets.composed(HERE, options.data, "chosen", options.composed)
    said = sets.captioned(options.data, "chosen")
    lines = []
    for term, name in enumerate(COLOR_NAMES):
        model = logistic(*examples(term, looked, made, said))
        model[2] -= border(term, model, looked, made, said)
        lines.append("    (" + ", ".join(f"{value:.3f}" for value in model) + f"),  # {name}\n")
    WEIGHTS_FILE.write_text(
        '"""The weights of the colour terms, written by eval/colour/fit.py; do not edit."""\n\n'
        "from __future__ import annotations\n\nfrom typing import Final\n\n"
        f"WEIGHTS: Final = (\n{''.join(lines)})\n"
        '"""For each of `COLOR_NAMES`: the weights of `colour.term_inputs`, and the bias."""\n'
    )


if __name__ == "__main__":
    main()
