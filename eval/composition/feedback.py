"""What "more like these, less like those" should do: rounds of feedback on label relevance.

    python eval/composition/feedback.py --cache CACHE.npz

A user asks for a thing by its word and sees ten photographs; marks up to three that show it and up
to three that do not; and sees the next ten. What was shown does not count again (the residual
collection, Chang, Cirillo and Razon 1971), and each way is compared with going on without
feedback. Constants are chosen on the things of one half, and reported on the other's.
"""

from __future__ import annotations

import argparse
import json
import zlib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from composition import BACKGROUND, CUT, SEED, spread_of
from material import load

from lookalike.evaluation.reports import Table, describe_machine, render_markdown
from lookalike.evaluation.statistics import bootstrap_intervals, paired_differences
from lookalike.wiring.evaluation import commit_of

HERE = Path(__file__).parent
ROUNDS = 3
MARKED = 3
LEAST = 15
NOTHING = "no feedback"


def rocchio(beta: float, gamma: float, *, is_spread: bool):
    """Rocchio (1971): q + beta * the mean of more - gamma * the mean of less."""

    def vector(query, more, less, sample):
        total = query / (_spread(query, sample) if is_spread else 1.0)
        for marked, weight in ((more, beta), (less, -gamma)):
            if len(marked):
                mean = marked.mean(axis=0)
                mean = mean / np.linalg.norm(mean)
                total = total + weight * mean / (_spread(mean, sample) if is_spread else 1.0)
        return total

    return lambda query, more, less, sample, vectors: vectors @ vector(query, more, less, sample)


def nearest(beta: float, gamma: float):
    """The query's standard score, the nearest of more and the nearest of less."""

    def score(query, more, less, sample, vectors):
        total = vectors @ query / _spread(query, sample)
        for marked, weight in ((more, beta), (less, -gamma)):
            if len(marked):
                spread = np.mean([_spread(one, sample) for one in marked])
                total = total + weight * (vectors @ marked.T).max(axis=1) / spread
        return total

    return score


def _spread(vector, sample) -> float:
    return spread_of(sample @ vector)[1]


def families() -> dict[str, dict]:
    betas, gammas = (0.25, 0.5, 1.0, 2.0, 4.0), (0.0, 0.25, 0.5, 1.0)
    grid = [(beta, gamma) for beta in betas for gamma in gammas if gamma <= beta]
    return {
        NOTHING: {"": rocchio(0.0, 0.0, is_spread=False)},
        "Rocchio": {f"beta {b:g}, gamma {g:g}": rocchio(b, g, is_spread=False) for b, g in grid},
        "Rocchio of spreads": {
            f"beta {b:g}, gamma {g:g}": rocchio(b, g, is_spread=True) for b, g in grid
        },
        "nearest of the marked": {f"beta {b:g}, gamma {g:g}": nearest(b, g) for b, g in grid},
    }


def play(score, query, known, vectors, sample) -> list[float]:
    """Return the ndcg@10 of each round after the first over what was not shown before."""
    shown = np.zeros(len(vectors), dtype=bool)
    counts = known >= 0
    more: list[int] = []
    less: list[int] = []
    values = vectors @ query
    found = []
    for number in range(ROUNDS + 1):
        left = np.flatnonzero(counts & ~shown)
        order = left[np.argsort(-values[left], kind="stable")]
        if number:
            found.append(_ndcg(known[order] == 1))
        page = order[:CUT]
        shown[page] = True
        more += page[known[page] == 1][:MARKED].tolist()
        less += page[known[page] == 0][:MARKED].tolist()
        values = score(query, vectors[more], vectors[less], sample, vectors)
    return found


def _ndcg(is_right: np.ndarray) -> float:
    gains = 1.0 / np.log2(np.arange(2, CUT + 2))
    ideal = gains[: min(CUT, int(is_right.sum()))].sum()
    return float((is_right[:CUT] * gains[: len(is_right[:CUT])]).sum() / ideal) if ideal else 0.0


def measure(found, texts) -> dict[str, object]:
    asked = [
        (photos, thing, known)
        for photos in (found["flickr8k"], found["coco"])
        for thing, known in sorted(photos.things.items())
        if (known == 1).sum() >= LEAST
    ]
    is_test = np.array([zlib.crc32(thing.encode()) % 2 == 1 for _, thing, _ in asked])
    samples = {
        name: np.random.default_rng(SEED).permutation(one.vectors)[:BACKGROUND]
        for name, one in found.items()
    }
    values, rows = {}, []
    for family, ways in families().items():
        table = {
            way: np.array([
                play(f, texts[thing], known, photos.vectors, samples[photos.name])
                for photos, thing, known in asked
            ]) for way, f in ways.items()
        }  # fmt: skip
        best = max(table, key=lambda way: table[way][~is_test].mean())
        values[family] = table[best]
        rows.append((family, best, *table[best][is_test].mean(axis=0).tolist()))
    base = values[NOTHING][is_test]
    return {
        "what": "ndcg@10 over what was not shown before, after each round of feedback",
        "things": {"chosen on": int((~is_test).sum()), "held out": int(is_test.sum())},
        "results": asdict(
            Table(("way", "constants", *(f"round {n + 1}" for n in range(ROUNDS))), rows)
        ),
        "by_way": {row[0]: dict(zip(("1", "2", "3"), row[2:], strict=True)) for row in rows},
        "intervals": {
            family: bootstrap_intervals(scores[is_test], seed=SEED).round(4).tolist()
            for family, scores in values.items()
        },
        "against_nothing": {
            family: [asdict(one) for one in paired_differences(scores[is_test], base, seed=SEED)]
            for family, scores in values.items() if family != NOTHING
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "feedback.json")
    options = parser.parse_args()
    result = {
        "date": datetime.now(UTC).date().isoformat(), "commit": commit_of(), "seed": SEED,
        "machine": asdict(describe_machine()), "encoder": "lite", **measure(*load(options.cache)),
    }  # fmt: skip
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table = result["results"]
    text = render_markdown(Table(table["columns"], table["rows"]))
    options.out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    print(text, result["things"])


if __name__ == "__main__":
    main()
