"""`eval`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from typer.models import OptionInfo

from lookalike.cli import options as opt
from lookalike.cli.opening import open_engine
from lookalike.cli.output import print_json, shown
from lookalike.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lookalike.evaluation.outcomes import Measured, Measuring
    from lookalike.evaluation.reports import Cell, Table
    from lookalike.evaluation.scoring import Evaluation

JUDGED = "Judgements in TREC form"
SHOWN_TEXT = 48


def _file(help_text: str, panel: str) -> OptionInfo:
    return typer.Option(metavar="FILE", help=help_text, show_default=False, rich_help_panel=panel)


@dataclass(frozen=True, slots=True)
class Judged:
    """Where judgements, queries and answers come from."""

    qrels: Path | None
    queries: Path | None
    run: Path | None
    index: Path | None
    config: Path | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be made of a measurement."""

    against: Path | None
    worst: int | None
    per_query: Path | None
    save_run: Path | None
    plot: Path | None
    out: Path | None
    is_json: bool


Dataset: TypeAlias = Annotated[
    Path | None, typer.Argument(help="A folder with images/ and labels.jsonl.", show_default=False)
]
Split: TypeAlias = Annotated[
    str | None, typer.Option(help="Only the images of this split.", show_default=False)
]
Limit: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="At most so many images.", show_default=False)
]
Encoder: TypeAlias = Annotated[
    str | None, typer.Option(help="Bundle to measure: a name or a folder.", show_default=False)
]
Qrels: TypeAlias = Annotated[Path | None, _file("Judgements: qid 0 docid grade.", JUDGED)]
Queries: TypeAlias = Annotated[
    Path | None, _file("Queries to ask an index: qid, a tab, the query; or JSONL.", JUDGED)
]
Answers: TypeAlias = Annotated[
    Path | None, _file("Answers in place of an index: qid Q0 docid rank score tag.", JUDGED)
]
Cuts: TypeAlias = Annotated[
    list[int] | None,
    typer.Option(
        "--at", "-k", min=1, show_default=False,
        help="A k of recall@k; again for more (default 1, 5 and 10).",
    ),
]  # fmt: skip
Depth: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1, max=1000, show_default=False,
        help="Ask for so many answers (default 100), and score no more.",
    ),
]  # fmt: skip
Name: TypeAlias = Annotated[
    str | None, typer.Option(help="What to call this configuration.", show_default=False)
]
Against: TypeAlias = Annotated[
    Path | None, _file("Compare with a run, a report or a table by query.", opt.OUTPUT)
]
Worst: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Show the N queries answered worst.", show_default=False,
        rich_help_panel=opt.OUTPUT,
    ),
]  # fmt: skip
PerQuery: TypeAlias = Annotated[
    Path | None, _file("Write scores by query, as .csv or .jsonl.", opt.OUTPUT)
]
SaveRun: TypeAlias = Annotated[Path | None, _file("Write the answers as a run.", opt.OUTPUT)]
Plot: TypeAlias = Annotated[
    Path | None, _file("Draw means and intervals, as .png or .svg.", opt.OUTPUT)
]
Out: TypeAlias = Annotated[Path | None, _file("Write the report here.", opt.OUTPUT)]


def evaluate(
    dataset: Dataset = None,
    split: Split = None,
    limit: Limit = None,
    encoder: Encoder = None,
    qrels: Qrels = None,
    queries: Queries = None,
    run: Answers = None,
    index: opt.IndexDir = None,
    config: opt.Config = None,
    at: Cuts = None,
    depth: Depth = None,
    all_copies: opt.AllCopies = False,
    name: Name = None,
    against: Against = None,
    worst: Worst = None,
    per_query: PerQuery = None,
    save_run: SaveRun = None,
    plot: Plot = None,
    out: Out = None,
    is_json: opt.Json = False,
) -> None:
    """Measure retrieval: of a labelled dataset, of an index by judgements, or of a run.

    For instance: lookalike eval --qrels photos.qrels --queries photos.tsv --worst 5
    """
    from lookalike.evaluation.outcomes import Measuring
    from lookalike.evaluation.scoring import DEFAULT_CUTS

    measuring = Measuring(
        cuts=tuple(at) if at else DEFAULT_CUTS, depth=depth, name=name, is_collapsed=not all_copies
    )
    wanted = Wanted(against, worst, per_query, save_run, plot, out, is_json)
    of_dataset = {"--split": split, "--limit": limit, "--encoder": encoder}
    judged = Judged(qrels, queries, run, index, config)
    _check_sources(dataset, of_dataset, judged)
    _check_files(wanted)
    if dataset is not None:
        from lookalike.wiring.evaluation import measure

        measured = measure(dataset, split=split, limit=limit, encoder=encoder, measuring=measuring)
    else:
        measured = _measure_judged(judged, measuring)
    _finish(measured, wanted)


def _check_sources(dataset: Path | None, of_dataset: Mapping[str, object], judged: Judged) -> None:
    """Refuse options that do not go together."""
    of_qrels = {
        "--qrels": judged.qrels, "--queries": judged.queries, "--run": judged.run,
        "--index": judged.index, "--config": judged.config,
    }  # fmt: skip
    if dataset is None and judged.qrels is None:
        hint = "name a folder with labels.jsonl, or --qrels with --queries or --run"
        raise UsageError("there is nothing to measure by", hint=hint)
    others, side = (of_qrels, "a dataset") if dataset is not None else (of_dataset, "--qrels")
    if wrong := [name for name, value in others.items() if value is not None]:
        hint = "measure a folder by its labels, or an index or a run by --qrels"
        raise UsageError(f"{wrong[0]} does not go with {side}", hint=hint)
    if dataset is not None:
        return
    if (judged.queries is None) == (judged.run is None):
        hint = "--queries FILE asks an index, --run FILE holds answers"
        raise UsageError("--qrels needs either --queries or --run", hint=hint)
    if judged.run is not None and (judged.index or judged.config):
        raise UsageError("--run needs no index", hint="leave out --index and --config")


def _check_files(wanted: Wanted) -> None:
    """Refuse names of files, and make their folders, before anything is measured."""
    if wanted.per_query is not None:
        from lookalike.evaluation.per_query import check_ending

        check_ending(wanted.per_query)
    if wanted.plot is not None:
        from lookalike.evaluation.plots import check_plot

        check_plot(wanted.plot)
    if wanted.against is not None and not wanted.against.is_file():
        hint = "name a run (--save-run), or what --per-query or --out wrote"
        raise UsageError(f"there is no file {wanted.against}", hint=hint)
    for path in (wanted.per_query, wanted.save_run, wanted.plot, wanted.out):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)


def _measure_judged(judged: Judged, measuring: Measuring) -> Measured:
    from lookalike.wiring.judging import measure_index, measure_run

    assert judged.qrels is not None
    if judged.run is not None:
        return measure_run(judged.qrels, judged.run, measuring)
    assert judged.queries is not None
    with open_engine(judged.index, judged.config) as engine:
        return measure_index(engine, judged.qrels, judged.queries, measuring)


def _finish(measured: Measured, wanted: Wanted) -> None:
    """Compare, write and print what was asked for."""
    from lookalike.evaluation.outcomes import require_tasks, with_comparison
    from lookalike.evaluation.per_query import write_per_query
    from lookalike.evaluation.reports import write_report
    from lookalike.evaluation.scoring import MOST_CHANGED, query_table
    from lookalike.evaluation.trec import write_run

    if wanted.against is not None:
        changed = wanted.worst or MOST_CHANGED
        measured = with_comparison(measured, wanted.against, changed=changed)
    if wanted.per_query or wanted.save_run or wanted.plot or wanted.worst:
        require_tasks(measured)
    if wanted.per_query is not None:
        write_per_query(query_table(measured.evaluations), wanted.per_query)
    if wanted.save_run is not None:
        write_run(wanted.save_run, measured.run, measured.configuration)
    if wanted.plot is not None:
        from lookalike.evaluation.plots import write_plot

        write_plot(measured.panels(), wanted.plot, seed=measured.report.seed)
    if wanted.out is not None:
        write_report(measured.report, wanted.out)
    worst = query_table(measured.evaluations, worst=wanted.worst) if wanted.worst else None
    if wanted.is_json:
        report = measured.report.to_json()
        print_json(report | ({"worst": asdict(worst)} if worst is not None else {}))
        return
    _print(measured, worst)


def _print(measured: Measured, worst: Table | None) -> None:
    from lookalike.evaluation.per_query import TABLE

    for note in measured.notes:
        typer.secho(f"note: {shown(note)}", fg="yellow", err=True)
    scored = {one.task.name: one for one in measured.evaluations}
    for name, table in measured.report.tables.items():
        if name == TABLE:
            continue
        _print_table(name, table)
        if name in scored:
            typer.echo(_counted(scored[name]))
    if worst is not None:
        _print_table("answered worst", _narrow(worst))


def _counted(evaluation: Evaluation) -> str:
    """Return how many queries the means are over, and how much of their answers is unknown."""
    text = f"{len(evaluation.scores.queries):,} queries, intervals of 95 %"
    if (share := evaluation.unjudged_share) is None:
        return text
    from lookalike.evaluation.scoring import JUDGED_DEPTH

    return f"{text}; {share:.1%} of the first {JUDGED_DEPTH} answers have no judgement"


def _print_table(name: str, table: Table) -> None:
    from lookalike.evaluation.reports import Table, render_text

    rows = [[_cell(cell) for cell in row] for row in table.rows]
    typer.echo(f"\n{shown(name)}")
    typer.echo(render_text(Table([shown(column) for column in table.columns], rows)))


def _cell(cell: Cell) -> Cell:
    """Return a cell that fits into a line and says nothing to the terminal."""
    if not isinstance(cell, str):
        return cell
    return shown(cell if len(cell) <= SHOWN_TEXT else cell[: SHOWN_TEXT - 1] + "…")


def _narrow(table: Table) -> Table:
    """Return the columns of a table by query that fit beside each other."""
    from lookalike.evaluation.reports import Table

    left_out = {at for at, name in enumerate(table.columns) if name.startswith("precision@")}
    if len({row[0] for row in table.rows}) == 1:
        left_out.add(0)
    return Table(
        [name for at, name in enumerate(table.columns) if at not in left_out],
        [[cell for at, cell in enumerate(row) if at not in left_out] for row in table.rows],
    )
