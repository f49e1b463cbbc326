"""`index`: bringing pictures in, with progress, and going on where a run stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli import options as opt
from lookalike.cli.opening import index_folder, open_engine
from lookalike.cli.output import is_terminal, pairs, print_json, shown
from lookalike.cli.progress import progress_bar
from lookalike.cli.stopping import stopping

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.engine.engine import Engine
    from lookalike.engine.ingest import IngestOptions
    from lookalike.engine.reports import IngestReport


def index(
    source: opt.Sources,
    index: opt.IndexDir = None,
    config: opt.Config = None,
    encoder: opt.NewEncoder = None,
    licence: Annotated[
        str, typer.Option(help="Licence to assume where a source states none.")
    ] = "unknown",
    no_objects: opt.NoObjects = False,
    no_ocr: opt.NoOcr = False,
    ocr: opt.OcrEngine = None,
    language: opt.Languages = None,
    copies: opt.NewStrictness = None,
    keep_place: opt.KeepPlace = False,
    force: Annotated[bool, typer.Option("--force", help="Look at known pictures again.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Forget sources that have vanished.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and take over what changes in the folders.")
    ] = False,
    enqueue: Annotated[
        bool,
        typer.Option("--enqueue", help="With a cluster: leave the work to its workers."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    is_json: opt.Json = False,
) -> None:
    """Index pictures: only what is new or changed is worked on, and a stopped run goes on."""
    from lookalike.domain.licences import normalise_licence
    from lookalike.engine.ingest import IngestOptions
    from lookalike.settings.features import asked_features
    from lookalike.wiring.embedded import OpenOptions
    from lookalike.wiring.sources import open_sources, ready_dim, require_folders

    if watch:
        require_folders(source)
    sources = open_sources(source, index_folder(index))
    features = asked_features(
        has_objects=not no_objects, ocr="off" if no_ocr else ocr, languages=language,
        has_place=keep_place, copies=copies,
    )  # fmt: skip
    options = OpenOptions(encoder, ready_dim(sources), is_creating=True, features=features)
    with open_engine(index, config, options) as engine, stopping() as stop:
        run = IngestOptions(
            is_forced=force,
            is_pruning=prune,
            is_without_objects=no_objects,
            is_without_words=no_ocr,
            licence=normalise_licence(licence),
            stop=stop,
        )
        with progress_bar("indexing", is_shown=not quiet and is_terminal()) as on_progress:
            bring_in = engine.enqueue if enqueue else engine.index
            report = bring_in(sources, run, on_progress)
        _print_report(report, is_json=is_json, what="handed to the log" if enqueue else "added")
        if watch and not stop.is_set():
            _watch(engine, source, index_folder(index), run, is_json=is_json)
    if report.failed or report.is_interrupted:
        raise typer.Exit(1)


def _print_report(report: IngestReport, *, is_json: bool, what: str = "added") -> None:
    if is_json:
        print_json(report.to_json())
        return
    state = "stopped; run it again to go on" if report.is_interrupted else "done"
    typer.echo(
        f"{state}: {report.added} {what}, {report.known} known, "
        f"{report.merged} seen elsewhere too, {report.vanished} vanished, "
        f"{sum(report.failed.values())} refused; "
        f"{report.images_per_s:.1f} images/s, {report.seconds:.1f} s"
    )
    if report.failed:
        typer.echo(f"refused: {pairs(dict(report.failed))}")
    if report.refusals is not None:
        typer.echo(f"each of them is listed in {report.refusals}")
    for why, count in report.unread.items():
        typer.echo(f"text was not read off {count} pictures: {shown(why)}")
    if not report.stage_seconds:
        return
    stages = {name: f"{seconds:.1f} s" for name, seconds in report.stage_seconds.items()}
    typer.echo(f"stages: {pairs(stages)}")


def _watch(
    engine: Engine, sources: list[str], own: Path, run: IngestOptions, *, is_json: bool
) -> None:
    from lookalike.wiring.sources import watch_sources

    if not is_json:
        typer.echo("watching; press Ctrl-C to end", err=True)
    for changed in watch_sources(sources, own, run.stop):
        report = engine.index(changed, run)
        if report.added or report.merged or report.vanished or report.failed:
            _print_report(report, is_json=is_json)
