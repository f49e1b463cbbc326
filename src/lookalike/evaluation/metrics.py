"""Measures of a ranking against judgements, named by the field's grammar: `ndcg@10`, `map`.

Sources: Manning, Raghavan and Schütze, "Introduction to Information Retrieval" (2008), chapter 8;
Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (TOIS 2002), for nDCG,
and Burges et al., "Learning to rank using gradient descent" (ICML 2005), for its exponential gains;
Aumüller, Bernhardsson and Faithfull, "ANN-Benchmarks" (2020), for recall that honours ties.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from lookalike.domain.errors import UnknownNameError, UsageError, suggest_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""Grades by query and document; a grade above 0 is relevant, an absent one is 0."""

Run: TypeAlias = Mapping[str, Mapping[str, float]]
"""Scores by query and document, higher is better; ties keep the order they are listed in."""

Grades: TypeAlias = Sequence[int]
"""Grades of a ranking, best rank first."""

_GRAMMAR: Final = re.compile(r"(?P<name>[a-z_]+)(?:@(?P<k>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Metric:
    """A measure and its cut; `k` is None for the whole ranking."""

    name: str
    k: int | None = None

    def __str__(self) -> str:
        """Return the name as the grammar writes it."""
        return self.name if self.k is None else f"{self.name}@{self.k}"


def recall(grades: Grades, judged: Grades, k: int | None) -> float:
    """Return the share of the relevant documents found: |relevant ∩ top k| / |relevant|."""
    relevant = _relevant(judged)
    return _relevant(grades[:k]) / relevant if relevant else 0.0


def precision(grades: Grades, judged: Grades, k: int | None) -> float:
    """Return the share of the top k that is relevant; a ranking shorter than k counts as k."""
    del judged
    cut = k if k is not None else len(grades)
    return _relevant(grades[:k]) / cut if cut else 0.0


def success(grades: Grades, judged: Grades, k: int | None) -> float:
    """Return 1 if any of the top k is relevant (what image-text papers call R@k)."""
    del judged
    return float(_relevant(grades[:k]) > 0)


def reciprocal_rank(grades: Grades, judged: Grades, k: int | None) -> float:
    """Return 1 / rank of the first relevant document, 0 if none is found."""
    del judged
    return next((1.0 / i for i, grade in enumerate(grades[:k], 1) if grade > 0), 0.0)


def average_precision(grades: Grades, judged: Grades, k: int | None) -> float:
    """Return the mean over all relevant documents of the precision at their rank.

    AP = Σᵢ relᵢ · P@i / |relevant|; a relevant document not found adds 0.
    """
    relevant = _relevant(judged)
    found, total = 0, 0.0
    for i, grade in enumerate(grades[:k], 1):
        if grade > 0:
            found += 1
            total += found / i
    return total / relevant if relevant else 0.0


def ndcg(grades: Grades, judged: Grades, k: int | None) -> float:
    """Return DCG / ideal DCG, where DCG = Σᵢ (2^gradeᵢ − 1) / log₂(i + 1) (Burges et al. 2005)."""
    return ndcg_linear(_gains(grades), _gains(judged), k)


def ndcg_linear(grades: Grades, judged: Grades, k: int | None) -> float:
    """Return DCG / ideal DCG, where DCG = Σᵢ gradeᵢ / log₂(i + 1), as trec_eval has it."""
    ideal = _dcg(sorted(judged, reverse=True)[:k])
    # A sum in another order may end a last digit above the ideal.
    return min(_dcg(grades[:k]) / ideal, 1.0) if ideal else 0.0


_MEASURES: Final[Mapping[str, Callable[[Grades, Grades, int | None], float]]] = {
    "recall": recall,
    "precision": precision,
    "success": success,
    "mrr": reciprocal_rank,
    "rr": reciprocal_rank,
    "map": average_precision,
    "ap": average_precision,
    "ndcg": ndcg,
    "ndcg_linear": ndcg_linear,
}


def parse_metric(text: str) -> Metric:
    """Return the metric that `ndcg@10`, `recall@1`, `map` or the like names.

    Raises:
        UnknownNameError: there is no such measure.
        UsageError: the text does not follow the grammar, or k is 0.
    """
    match = _GRAMMAR.fullmatch(text.strip().lower())
    if match is None or (match["k"] is not None and int(match["k"]) == 0):
        raise UsageError(f"{text!r} is not a metric", hint="write a name and a cut: ndcg@10, map")
    if match["name"] not in _MEASURES:
        hint = suggest_names(match["name"], _MEASURES)
        raise UnknownNameError(f"there is no metric {match['name']}", hint=hint)
    return Metric(match["name"], int(match["k"]) if match["k"] else None)


def score_queries(
    qrels: Qrels, run: Run, metrics: Sequence[Metric | str]
) -> dict[str, dict[str, float]]:
    """Return every metric of every query that has a relevant document.

    A query that the run does not answer scores 0.
    """
    wanted = [parse_metric(m) if isinstance(m, str) else m for m in metrics]
    scores: dict[str, dict[str, float]] = {}
    for query, judgements in qrels.items():
        judged = [max(grade, 0) for grade in judgements.values()]
        if not any(judged):
            continue
        ranking = _rank(run.get(query, {}))
        grades = [max(judgements.get(document, 0), 0) for document in ranking]
        scores[query] = {str(m): _MEASURES[m.name](grades, judged, m.k) for m in wanted}
    return scores


def evaluate_run(qrels: Qrels, run: Run, metrics: Sequence[Metric | str]) -> dict[str, float]:
    """Return the mean of every metric over the queries that have a relevant document.

    Raises:
        UsageError: no query has a relevant document, so that there is nothing to measure.
    """
    scores = score_queries(qrels, run, metrics)
    if not scores:
        raise UsageError("no query has a relevant image", hint="check the labels of the dataset")
    names = next(iter(scores.values()))
    return {name: math.fsum(s[name] for s in scores.values()) / len(scores) for name in names}


def ann_recall(
    found: NDArray[np.floating],
    exact: NDArray[np.floating],
    *,
    k: int,
    tolerance: float = 1e-6,
) -> float:
    """Return ann_recall@k: the mean overlap with the exact neighbours, honouring ties.

    A hit counts when its exact score reaches the k-th best exact score (less `tolerance`), so
    that either of two equal neighbours is right.

    Args:
        found: `(n, m)` exact scores of the rows an index gave, -inf where it gave none.
        exact: `(n, K)` scores of the exact neighbours, falling, K at least k; -inf pads.
        k: how many neighbours are asked for.
        tolerance: how far scores of equal rows may lie apart by rounding.
    """
    if k < 1 or exact.ndim != 2 or exact.shape[1] < k or found.shape[0] != exact.shape[0]:
        raise ValueError(f"ann_recall@{k} of {found.shape} against {exact.shape} cannot be told")
    if exact.shape[0] == 0:
        raise ValueError("ann_recall needs at least one query")
    asked = np.isfinite(exact[:, :k]).sum(axis=1)
    threshold = np.where(np.isfinite(exact[:, :k]), exact[:, :k], np.inf).min(axis=1)
    right = (np.isfinite(found) & (found >= threshold[:, None] - tolerance)).sum(axis=1)
    shares = np.minimum(right, asked) / np.maximum(asked, 1)
    return float(np.where(asked > 0, shares, 1.0).mean())


def _rank(scores: Mapping[str, float]) -> list[str]:
    return sorted(scores, key=lambda document: -scores[document])


def _relevant(grades: Grades) -> int:
    return sum(grade > 0 for grade in grades)


def _gains(grades: Grades) -> Grades:
    return [2**grade - 1 for grade in grades]


def _dcg(grades: Grades) -> float:
    return math.fsum(grade / math.log2(i + 1) for i, grade in enumerate(grades, 1))
