"""What a measurement gives, and another configuration put beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import UsageError
from lookalike.evaluation.metrics import score_queries
from lookalike.evaluation.per_query import SUFFIXES, read_scores
from lookalike.evaluation.scoring import (
    DEFAULT_CUTS,
    MOST_CHANGED,
    changed_table,
    compare,
    comparison_table,
    cut_run,
    evaluate,
    metric_names,
)
from lookalike.evaluation.trec import read_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lookalike.evaluation.metrics import Run
    from lookalike.evaluation.reports import Report
    from lookalike.evaluation.scoring import Evaluation, Scores

DEFAULT_DEPTH: Final = 100


@dataclass(frozen=True, slots=True)
class Measuring:
    """How answers are measured.

    `cuts` are the k of recall@k and precision@k. `depth` bounds the answers that are asked of an
    index and scored; None asks for 100 and scores a run whole. `name` is what the configuration
    is called. `is_collapsed` asks for one of each group of copies.
    """

    cuts: Sequence[int] = DEFAULT_CUTS
    depth: int | None = None
    name: str | None = None
    is_collapsed: bool = True
    seed: int = 0

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of what is measured."""
        return metric_names(self.cuts)

    @property
    def asked_depth(self) -> int:
        """How many answers an index is asked for.

        Raises:
            UsageError: a cut lies beyond them.
        """
        depth = self.depth or DEFAULT_DEPTH
        if max(self.cuts) > depth:
            fault = f"recall@{max(self.cuts)} of {depth} answers cannot be told"
            raise UsageError(fault, hint=f"add --depth {max(self.cuts)}")
        return depth


@dataclass(frozen=True, slots=True)
class Measured:
    """A report with the scores and answers behind it.

    `run` names documents as the judgements do; `aliases` lead there from other names of theirs.
    `notes` say what was left out or counts as not found. `depth` is how deep answers went, where
    that was bounded.
    """

    report: Report
    evaluations: tuple[Evaluation, ...]
    run: Run
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: tuple[str, ...] = ()
    depth: int | None = None
    others: tuple[Scores, ...] = ()

    @property
    def configuration(self) -> str:
        """What was measured is called so."""
        return self.evaluations[0].scores.configuration if self.evaluations else self.report.name

    @property
    def texts(self) -> dict[str, str]:
        """The texts of the queries of every task."""
        return {query: text for one in self.evaluations for query, text in one.task.texts.items()}

    def panels(self) -> dict[str, list[Scores]]:
        """Return the scores of each task, this configuration's first, for a plot."""
        return {
            one.task.name: [
                one.scores, *(other for other in self.others if other.task == one.task.name)
            ]
            for one in self.evaluations
        }  # fmt: skip


def require_tasks(measured: Measured) -> None:
    """Refuse to go on where there was nothing to score.

    Raises:
        UsageError: no task has a query.
    """
    if not measured.evaluations:
        hint = "give its images captions or labels, and an encoder that knows words"
        raise UsageError(f"{measured.report.name} asks no queries", hint=hint)


def with_comparison(measured: Measured, against: Path, *, changed: int = MOST_CHANGED) -> Measured:
    """Compare with a run, a table by query or a report, and add the tables to the report.

    A run is scored on the same judgements, as deep as the other side's answers went.

    Raises:
        UsageError: the file cannot be used, or has no query or metric in common.
    """
    require_tasks(measured)
    is_scored = against.suffix.lower() in SUFFIXES
    others = read_scores(against) if is_scored else _run_scores(measured, against)
    others = [_renamed(one, measured.configuration, against) for one in others]
    by_task = {one.task: one for one in others}
    tables = dict(measured.report.tables)
    notes = list(measured.notes)
    pairs = [
        (one.scores, by_task[one.task.name])
        for one in measured.evaluations
        if one.task.name in by_task
    ]
    if not pairs:
        hint = "it has " + ", ".join(by_task)
        raise UsageError(f"{against} was measured on something else", hint=hint)
    for ours, theirs in pairs:
        comparison = compare(ours, theirs, seed=measured.report.seed)
        left = len(set(ours.queries) ^ set(theirs.queries))
        if left:
            notes.append(f"{left} queries stand on one side only, and are left out of differences")
        title = f"{ours.task} against {theirs.configuration}"
        tables[title] = comparison_table(comparison)
        tables[f"{title}: changed most"] = changed_table(comparison, measured.texts, count=changed)
    settings = {**measured.report.settings, "against": against.name, "notes": notes}
    report = replace(measured.report, tables=tables, settings=settings)
    return replace(
        measured, report=report, notes=tuple(notes), others=tuple(one for _, one in pairs)
    )


def named_as_judged(run: Run, aliases: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return a run under the names that judgements use; the best of one document's scores stays."""
    answers: dict[str, dict[str, float]] = {}
    for query, found in run.items():
        named = answers.setdefault(query, {})
        for document, score in found.items():
            named.setdefault(aliases.get(document, document), score)
    return answers


def _run_scores(measured: Measured, against: Path) -> list[Scores]:
    file = read_run(against)
    run = cut_run(named_as_judged(file.answers, measured.aliases), measured.depth)
    scored: list[Scores] = []
    for one in measured.evaluations:
        if any(run.get(query) for query in score_queries(one.task.qrels, run, ["map"])):
            metrics = one.scores.metrics
            scored.append(evaluate(one.task, run, metrics, configuration=file.tag).scores)
    if not scored:
        raise UsageError(f"{against} answers no query that has judgements", hint="name its qrels")
    return scored


def _renamed(scores: Scores, taken: str, file: Path) -> Scores:
    if scores.configuration != taken:
        return scores
    return replace(scores, configuration=f"{scores.configuration} ({file.name})")
