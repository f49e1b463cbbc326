"""How the parts of a query should become one order: measured on pairs of things.

    python eval/composition/composition.py --cache CACHE.npz

CACHE comes from material.py. Each task asks with two parts about two things A and B, and what
counts is whether the first ten photographs show what is asked:

- `image + words`: a photograph of A without B, and the word B: photographs of both;
- `words + words`: the words A and B: both;
- `image + image`: a photograph of A and one of B: both;
- `region + words`: the region of a thing A in a photograph without B, and the word B: both;
- `words - words`: the word A, the word B pushed away: A without B;
- `image - words`: a photograph of both, the word B pushed away: A without B.

Ways and their constants are chosen on the pairs of one half, and reported on the other's. With
`--constants FILE` they are those that another run chose, for another encoder: constants that only
fit one encoder show there.
Photographs of which one of the things is unknown, and the one asked with, count neither way.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from material import Photographs, load

from lookalike.evaluation.reports import Table, describe_machine, render_markdown
from lookalike.evaluation.statistics import bootstrap_intervals, paired_differences
from lookalike.wiring.evaluation import commit_of

HERE = Path(__file__).parent
SEED = 0
CUT = 10
LEAST = 3
MOST_PAIRS = 150
ASKED_OF_A_PAIR = 3
BACKGROUND = 512
LEAST_SPREAD = 0.02
TASKS = (
    "image + words", "words + words", "image + image", "region + words", "words - words",
    "image - words",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A unit vector, whether it attracts, and whether words made it."""

    vector: np.ndarray
    is_wanted: bool
    is_text: bool
    known: dict = field(default_factory=dict, compare=False)

    def on(self, corpus) -> tuple[np.ndarray, np.ndarray]:
        """Return the cosines with a corpus and with its background."""
        if not self.known:
            self.known["both"] = corpus.vectors @ self.vector, corpus.background @ self.vector
        return self.known["both"]


@dataclass(frozen=True)
class Asked:
    """One query over photographs: its parts, the right answers, and those that count."""

    task: str
    pair: str
    parts: tuple[Part, ...]
    photographs: Photographs
    is_right: np.ndarray
    counts: np.ndarray

    @property
    def is_held_out(self) -> bool:
        return zlib.crc32(f"{self.photographs.name} {self.pair}".encode()) % 2 == 1


@dataclass(frozen=True)
class Corpus:
    """Vectors, a background sample of them, and the mean of each modality."""

    vectors: np.ndarray
    background: np.ndarray
    mean_image: np.ndarray
    mean_text: np.ndarray


def questions(photos: Photographs, texts, rng) -> list[Asked]:
    """Return the queries of every task over one dataset."""
    asked = []
    things = sorted(photos.things)
    pairs = [(a, b) for a in things for b in things if a != b]
    rng.shuffle(pairs)
    for task in TASKS:
        found = 0
        for a, b in pairs:
            of_pair = _of_pair(task, a, b, photos, texts, rng)
            asked += of_pair
            found += bool(of_pair)
            if found == MOST_PAIRS:
                break
    return asked


def _of_pair(task, a, b, photos, texts, rng) -> list[Asked]:
    has_a, has_b = photos.things[a], photos.things[b]
    known = (has_a >= 0) & (has_b >= 0)
    both, a_alone = (has_a == 1) & (has_b == 1), (has_a == 1) & (has_b == 0)
    b_alone = (has_b == 1) & (has_a == 0)
    is_right = a_alone if "-" in task else both
    if min(both.sum(), a_alone.sum(), b_alone.sum()) < LEAST:
        return []
    word_a, word_b = (Part(texts[one], True, True) for one in (a, b))
    not_b = Part(texts[b], False, True)

    def one(parts, *asked_with) -> Asked:
        counts = known.copy()
        counts[list(asked_with)] = False
        return Asked(task, f"{a} {b}", parts, photos, is_right & counts, counts)

    def picture(number) -> Part:
        return Part(photos.vectors[number], True, False)

    def some(mask) -> Sequence[int]:
        numbers = np.flatnonzero(mask)
        return rng.permutation(numbers)[:ASKED_OF_A_PAIR].tolist()

    if task == "words + words":
        return [one((word_a, word_b))] if a < b else []
    if task == "words - words":
        return [one((word_a, not_b))]
    if task == "image + words":
        return [one((picture(n), word_b), n) for n in some(a_alone)]
    if task == "image - words":
        return [one((picture(n), not_b), n) for n in some(both)]
    if task == "image + image":
        if a > b:
            return []
        return [
            one((picture(n), picture(m)), n, m)
            for n, m in zip(some(a_alone), some(b_alone), strict=False)
        ]
    crops = [at for at, (n, label) in enumerate(photos.boxes) if label == a and a_alone[n]]
    chosen = rng.permutation(crops)[:ASKED_OF_A_PAIR].astype(int).tolist() if crops else []
    return [
        one((Part(photos.crops[at], True, False), word_b), photos.boxes[at][0]) for at in chosen
    ]


def weighted(factor: float, away: float, *, is_spread: bool = False, is_centred: bool = False):
    """A weighted sum of vectors; `factor` is on words, `away` on what is pushed away.

    `is_spread` divides each part by the spread of its cosines with the background, so that parts
    weigh alike; `is_centred` takes the mean of its modality from each part.
    """

    def score(parts, corpus):
        total = np.zeros(len(corpus.vectors))
        for part in parts:
            cosines, background = part.on(corpus)
            if is_centred:
                mean = corpus.mean_text if part.is_text else corpus.mean_image
                length = float(np.linalg.norm(part.vector - mean))
                cosines = (cosines - corpus.vectors @ mean) / length
                background = (background - corpus.background @ mean) / length
            weight = (factor if part.is_text else 1.0) * (1.0 if part.is_wanted else -away)
            total += weight * cosines / (spread_of(background)[1] if is_spread else 1.0)
        return total

    return score


def standardised(combine: Callable[[np.ndarray, np.ndarray], np.ndarray]):
    """Combine `(p, n)` cosines of parts, in their spreads above the background's middle."""

    def score(parts, corpus):
        rows = []
        for part in parts:
            cosines, background = part.on(corpus)
            centre, spread = spread_of(background)
            rows.append((cosines - centre) / spread)
        return combine(np.array(rows), np.array([part.is_wanted for part in parts]))

    return score


def least(away: float):
    def combine(z, wanted):
        best = z[wanted].min(axis=0)
        return best - away * np.maximum(z[~wanted], 0.0).sum(axis=0)

    return combine


def soft(away: float):
    """Sum of log chances that a part is met: one that is not met costs more than others gain."""

    def combine(z, wanted):
        met = -np.log1p(np.exp(-(z[wanted] - 2.0))).sum(axis=0)
        return met - away * np.log1p(np.exp(z[~wanted] - 2.0)).sum(axis=0)

    return combine


def best_of(away: float):
    def combine(z, wanted):
        return z[wanted].max(axis=0) - away * np.maximum(z[~wanted], 0.0).sum(axis=0)

    return combine


def ranked(rrf_k: float, away: float):
    """Reciprocal rank fusion of the parts' own orders."""

    def combine(z, wanted):
        ranks = np.argsort(np.argsort(-z, axis=1), axis=1) + 1
        share = 1.0 / (rrf_k + ranks)
        return share[wanted].sum(axis=0) - away * share[~wanted].sum(axis=0)

    return combine


def spread_of(cosines: np.ndarray) -> tuple[float, float]:
    """Return the median and 1.4826 times the median absolute deviation."""
    centre = float(np.median(cosines))
    return centre, max(1.4826 * float(np.median(np.abs(cosines - centre))), LEAST_SPREAD)


def families() -> dict[str, dict[str, Callable]]:
    """Return ways by family; a family's constants are chosen on one half."""
    aways = (0.1, 0.25, 0.5, 1.0)
    factors = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0)
    sums = {
        "sum of vectors": {},
        "centred sum": {"is_centred": True},
        "sum of spreads": {"is_spread": True},
        "centred sum of spreads": {"is_centred": True, "is_spread": True},
    }
    found = {
        name: {
            f"words {factor:g}, away {away:g}": weighted(factor, away, **how)
            for factor in factors for away in aways
        }
        for name, how in sums.items()
    }  # fmt: skip
    found["as before (words 1, away 0.5)"] = {"fixed": weighted(1.0, 0.5)}
    found["least of the parts"] = {f"away {a:g}": standardised(least(a)) for a in aways}
    found["best of the parts"] = {f"away {a:g}": standardised(best_of(a)) for a in aways}
    found["chance that all are met"] = {f"away {a:g}": standardised(soft(a)) for a in aways}
    found["RRF of the parts"] = {
        f"rrf_k {k}, away {a:g}": standardised(ranked(k, a)) for k in (2, 10, 60) for a in aways
    }
    return found


def ndcg(scores: np.ndarray, asked: Asked) -> float:
    """Binary ndcg@10 over the photographs that count."""
    order = np.argsort(-scores[asked.counts], kind="stable")[:CUT]
    gains = asked.is_right[asked.counts][order] / np.log2(np.arange(2, len(order) + 2))
    ideal = 1.0 / np.log2(np.arange(2, min(CUT, int(asked.is_right.sum())) + 2))
    return float(gains.sum() / ideal.sum()) if len(ideal) else 0.0


def corpora(found: dict[str, Photographs], texts) -> dict[str, Corpus]:
    """Return each dataset as a corpus; texts' mean is of captions, which are no queries here."""
    rng = np.random.default_rng(SEED)
    mean_text = np.mean([vector for text, vector in texts.items() if " " in text], axis=0)
    return {
        name: Corpus(
            one.vectors, rng.permutation(one.vectors)[:BACKGROUND], one.vectors.mean(axis=0),
            mean_text,
        )
        for name, one in found.items()
    }  # fmt: skip


def measure(found, texts, constants=None) -> dict[str, object]:
    """Score every way on every query, choose on one half unless told, and report the other."""
    rng = np.random.default_rng(SEED)
    corpus_of = corpora(found, texts)
    asked = [one for name in ("flickr8k", "coco") for one in questions(found[name], texts, rng)]
    asked = [one for one in asked if one.is_right.sum() >= LEAST]
    tasks = np.array([one.task for one in asked])
    is_test = np.array([one.is_held_out for one in asked])
    chosen, values = {}, {}
    for family, ways in families().items():
        table = {
            way: np.array(
                [ndcg(f(one.parts, corpus_of[one.photographs.name]), one) for one in asked]
            )
            for way, f in ways.items()
        }
        best = (constants or {}).get(family) or max(
            table, key=lambda way: _macro(table[way][~is_test], tasks[~is_test])
        )
        chosen[family], values[family] = best, table[best]
    rows, differences = [], {}
    before = values["as before (words 1, away 0.5)"]
    for family, scores in values.items():
        macro = _macro(scores[is_test], tasks[is_test])
        by_task = [float(scores[is_test & (tasks == task)].mean()) for task in TASKS]
        rows.append((family, chosen[family], macro, *by_task))
        differences[family] = {
            task: asdict(_difference(scores, before, is_test & (tasks == task))) for task in TASKS
        }
    rows.sort(key=lambda row: -row[2])
    return {
        "what": "ndcg@10 of composed queries on held-out pairs of things, by way of composing",
        "queries": {
            task: {"chosen on": int((~is_test & (tasks == task)).sum()),
                   "held out": int((is_test & (tasks == task)).sum())} for task in TASKS
        },
        "results": asdict(Table(("way", "constants", "mean of tasks", *TASKS), rows)),
        "mean": {row[0]: row[2] for row in rows},
        "by_task": {row[0]: dict(zip(TASKS, row[3:], strict=True)) for row in rows},
        "intervals": {
            family: {
                task: bootstrap_intervals(scores[is_test & (tasks == task)][:, None], seed=SEED)[0]
                .round(4).tolist() for task in TASKS
            }
            for family, scores in values.items()
        },
        "against_before": differences,
    }  # fmt: skip


def _macro(scores, tasks) -> float:
    return float(np.mean([scores[tasks == task].mean() for task in TASKS]))


def _difference(scores, before, mask):
    return paired_differences(scores[mask][:, None], before[mask][:, None].copy(), seed=SEED)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "composition.json")
    parser.add_argument("--constants", type=Path, help="a result whose constants are taken")
    parser.add_argument("--encoder", default="lite", help="what made CACHE")
    options = parser.parse_args()
    constants = None
    if options.constants:
        rows = json.loads(options.constants.read_text())["results"]["rows"]
        constants = {row[0]: row[1] for row in rows}
    result = {
        "date": datetime.now(UTC).date().isoformat(), "commit": commit_of(), "seed": SEED,
        "machine": asdict(describe_machine()), "encoder": options.encoder,
        **measure(*load(options.cache), constants),
    }  # fmt: skip
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    table = result["results"]
    text = render_markdown(Table(table["columns"], table["rows"]))
    options.out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    print(text, json.dumps(result["queries"]))


if __name__ == "__main__":
    main()
