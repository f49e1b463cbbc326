"""Scoring the answers of one configuration, query by query, and against another's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.errors import UsageError
from lookalike.evaluation.metrics import score_queries
from lookalike.evaluation.reports import Table
from lookalike.evaluation.statistics import TIE, bootstrap_intervals, paired_differences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.evaluation.metrics import Qrels, Run
    from lookalike.evaluation.reports import Cell
    from lookalike.evaluation.statistics import Difference

MAIN_METRIC: Final = "ndcg@10"
"""Ranks queries from the worst, and by how much they changed."""

JUDGED_DEPTH: Final = 10
"""Among so many first answers those without a judgement are counted."""

DEFAULT_CUTS: Final = (1, 5, 10)
MOST_CHANGED: Final = 10


@dataclass(frozen=True, slots=True)
class Task:
    """Queries with their judgements, scored together.

    `texts` are the queries as people read them, where they are known. Where `is_complete`, what
    has no judgement is known to be wrong.
    """

    name: str
    qrels: Qrels
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class Scores:
    """What a configuration scores in a task; `values` is `(queries, metrics)` float64 in [0, 1]."""

    configuration: str
    task: str
    queries: tuple[str, ...]
    metrics: tuple[str, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The scores of a task with what explains them.

    `intervals` is `(metrics, 2)` float64, 95 % of the mean over queries. For each query stand how
    many relevant documents and how many answers there are, and how many of its first answers
    have no judgement (None where judgements are complete); `looked_at` counts those answers.
    """

    task: Task
    scores: Scores
    intervals: NDArray[np.float64]
    relevant: tuple[int, ...]
    answered: tuple[int, ...]
    unjudged: tuple[int | None, ...]
    looked_at: int

    @property
    def means(self) -> dict[str, float]:
        """The mean of every metric over the queries."""
        means = self.scores.values.mean(axis=0)
        return dict(zip(self.scores.metrics, means.tolist(), strict=True))

    @property
    def unjudged_share(self) -> float | None:
        """Which share of the first answers has no judgement, where that can be asked."""
        if self.task.is_complete or not self.looked_at:
            return None
        return sum(one or 0 for one in self.unjudged) / self.looked_at


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two configurations on the queries that both were scored on.

    `rows` are the positions of those queries in `ours`, and of their scores in `theirs`;
    `metrics` are the positions of what both have.
    """

    ours: Scores
    theirs: Scores
    rows: tuple[NDArray[np.int64], NDArray[np.int64]]
    metrics: tuple[tuple[int, ...], tuple[int, ...]]
    differences: tuple[Difference, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that are compared."""
        return tuple(self.ours.metrics[at] for at in self.metrics[0])

    @property
    def values(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both sides' scores, `(queries, metrics)` each, in the same order."""
        return _shared(self.ours, self.theirs, self.rows, self.metrics)


def metric_names(cuts: Sequence[int] = DEFAULT_CUTS) -> tuple[str, ...]:
    """Return what is measured: recall and precision at every cut, and the whole ranking."""
    rising = sorted(set(cuts))
    return (
        *(f"recall@{k}" for k in rising), *(f"precision@{k}" for k in rising),
        MAIN_METRIC, "mrr", "map",
    )  # fmt: skip


def evaluate(
    task: Task, run: Run, metrics: Sequence[str], *, configuration: str, seed: int = 0
) -> Evaluation:
    """Score a run on every query of a task that has a relevant document; unanswered ones score 0.

    Raises:
        UsageError: no query has a relevant document, or the run answers none of them.
    """
    scored = score_queries(task.qrels, run, metrics)
    if not scored:
        raise UsageError("no query has a relevant image", hint="check the judgements")
    if not any(run.get(query) for query in scored):
        hint = f"judged are {_some(scored)}; the run has {_some(run)}"
        raise UsageError("the run answers no query that has judgements", hint=hint)
    values = np.array([[row[name] for name in metrics] for row in scored.values()])
    first = {query: _first_of(run.get(query, {})) for query in scored}
    unjudged = [
        None if task.is_complete else sum(one not in task.qrels[query] for one in answers)
        for query, answers in first.items()
    ]
    return Evaluation(
        task=task,
        scores=Scores(configuration, task.name, tuple(scored), tuple(metrics), values),
        intervals=bootstrap_intervals(values, seed=seed),
        relevant=tuple(sum(g > 0 for g in task.qrels[query].values()) for query in scored),
        answered=tuple(len(run.get(query, {})) for query in scored),
        unjudged=tuple(unjudged),
        looked_at=sum(map(len, first.values())),
    )


def cut_run(run: Run, depth: int | None) -> Run:
    """Return the first answers of each query."""
    if depth is None:
        return run
    return {
        query: {one: found[one] for one in _ranking(found)[:depth]} for query, found in run.items()
    }


def compare(ours: Scores, theirs: Scores, *, seed: int = 0) -> Comparison:
    """Compare two configurations on the queries and metrics that they share.

    Raises:
        UsageError: they share none.
    """
    there = {query: at for at, query in enumerate(theirs.queries)}
    both = [(at, there[query]) for at, query in enumerate(ours.queries) if query in there]
    names = [name for name in ours.metrics if name in theirs.metrics]
    if not both or not names:
        missing = "metric" if both else "query"
        hint = "compare what was measured on the same judgements with the same cuts (--at)"
        raise UsageError(f"{theirs.configuration} shares no {missing} with this", hint=hint)
    pairs = np.array(both, dtype=np.int64)
    rows = (pairs[:, 0], pairs[:, 1])
    metrics = (tuple(map(ours.metrics.index, names)), tuple(map(theirs.metrics.index, names)))
    differences = paired_differences(*_shared(ours, theirs, rows, metrics), seed=seed)
    return Comparison(ours, theirs, rows, metrics, tuple(differences))


def summary_table(evaluation: Evaluation) -> Table:
    """Return the means of a task with their intervals."""
    rows = [
        (name, mean, float(low), float(high))
        for (name, mean), (low, high) in zip(
            evaluation.means.items(), evaluation.intervals, strict=True
        )
    ]
    return Table(("metric", "mean", "low", "high"), rows)


def query_table(evaluations: Sequence[Evaluation], *, worst: int | None = None) -> Table:
    """Return a row for each query of every task, or for the worst of each, the worst first."""
    metrics = evaluations[0].scores.metrics
    columns = ("task", "query", "text", "relevant", "answered", "unjudged", *metrics)
    rows: list[tuple[Cell, ...]] = []
    for one in evaluations:
        scores = one.scores
        order = np.arange(len(scores.queries))
        if worst is not None:
            keys = [scores.values[:, scores.metrics.index(name)] for name in ("map", MAIN_METRIC)]
            order = np.lexsort(keys)[:worst]
        for at in order.tolist():
            query = scores.queries[at]
            about = (query, one.task.texts.get(query, ""), one.relevant[at], one.answered[at])
            rows.append((scores.task, *about, one.unjudged[at], *scores.values[at].tolist()))
    return Table(columns, rows)


def comparison_table(comparison: Comparison) -> Table:
    """Return both means of each metric, and how they differ."""
    ours, theirs = (side.mean(axis=0).tolist() for side in comparison.values)
    columns = (
        "metric", comparison.ours.configuration, comparison.theirs.configuration,
        "difference", "low", "high", "p", "wins", "ties", "losses",
    )  # fmt: skip
    rows = [
        (name, a, b, one.mean, one.low, one.high, one.p, one.wins, one.ties, one.losses)
        for name, a, b, one in zip(
            comparison.names, ours, theirs, comparison.differences, strict=True
        )
    ]
    return Table(columns, rows)


def changed_table(
    comparison: Comparison, texts: Mapping[str, str], *, count: int = MOST_CHANGED
) -> Table:
    """Return the queries whose main metric changed most, the most first; equal ones left out."""
    name = MAIN_METRIC if MAIN_METRIC in comparison.names else comparison.names[0]
    at = comparison.names.index(name)
    ours, theirs = (side[:, at] for side in comparison.values)
    changes = ours - theirs
    order = np.argsort(-np.abs(changes), kind="stable")[:count]
    names = [comparison.ours.queries[int(row)] for row in comparison.rows[0]]
    rows = [
        (names[i], texts.get(names[i], ""), float(ours[i]), float(theirs[i]), float(changes[i]))
        for i in map(int, order)
        if abs(changes[i]) > TIE
    ]
    labels = (comparison.ours.configuration, comparison.theirs.configuration)
    return Table(("query", "text", *(f"{name} {label}" for label in labels), "difference"), rows)


def _shared(
    ours: Scores,
    theirs: Scores,
    rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    metrics: tuple[tuple[int, ...], tuple[int, ...]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both sides' scores of what they share, `(queries, metrics)` float64 each."""
    return (
        ours.values[np.ix_(rows[0], np.array(metrics[0]))],
        theirs.values[np.ix_(rows[1], np.array(metrics[1]))],
    )


def _ranking(answers: Mapping[str, float]) -> list[str]:
    return sorted(answers, key=lambda one: -answers[one])


def _first_of(answers: Mapping[str, float]) -> list[str]:
    return _ranking(answers)[:JUDGED_DEPTH]


def _some(names: Mapping[str, object]) -> str:
    shown = ", ".join(list(names)[:3])
    return shown + (", …" if len(names) > 3 else "") if names else "none"
