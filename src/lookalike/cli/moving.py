"""`export` and `import`: moving an index between folders and clusters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli import options as opt
from lookalike.cli.opening import config_file, index_folder, open_engine
from lookalike.cli.output import is_terminal, print_json, shown, size_text
from lookalike.cli.progress import progress_bar
from lookalike.cli.stopping import stopping

if TYPE_CHECKING:
    from lookalike.engine.exporting import ExportReport
    from lookalike.engine.import_checks import Verification
    from lookalike.engine.importing import ImportReport


def export(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A new folder, or that of an unfinished export.", show_default=False
        ),
    ],
    index: opt.IndexDir = None,
    config: opt.Config = None,
    no_thumbnails: Annotated[
        bool, typer.Option("--no-thumbnails", help="Leave the thumbnails out.")
    ] = False,
    no_originals: Annotated[
        bool, typer.Option("--no-originals", help="Leave out pictures that only the index holds.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    is_json: opt.Json = False,
) -> None:
    """Write everything an index holds into a folder: Parquet, fp16 vectors and picture files.

    The format is documented and stable: docs/export-format.md.
    """
    from lookalike.engine.exporting import ExportOptions
    from lookalike.wiring.moving import export_index

    with open_engine(index, config) as engine, stopping() as stop:
        options = ExportOptions(
            has_thumbnails=not no_thumbnails, has_originals=not no_originals, stop=stop
        )
        with progress_bar("exporting", is_shown=not quiet and is_terminal()) as on_progress:
            report = export_index(engine, folder, options, on_progress)
    if is_json:
        print_json(report.to_json())
    else:
        _print_export(report, folder)
    if report.manifest is None:
        raise typer.Exit(1)


def import_(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of an export.", show_default=False)
    ],
    index: opt.IndexDir = None,
    config: opt.Config = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="The folder of the export's encoder, where it is not packaged.", show_default=False
        ),
    ] = None,
    no_verify: Annotated[
        bool,
        typer.Option("--no-verify", help="Do not compare counts, records, vectors and answers."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    is_json: opt.Json = False,
) -> None:
    """Bring an export into an index, which is made when there is none; a stopped run goes on.

    What the index holds already stays; of a place that both know, the later sighting is right.
    """
    from lookalike.engine.importing import ImportOptions
    from lookalike.wiring.moving import import_index, open_export, target_options

    is_cluster = config_file(index, config) is not None
    place = None if is_cluster else index_folder(index)
    options, settings = target_options(place, open_export(folder).manifest, encoder)
    with open_engine(index, config, options, settings) as engine, stopping() as stop:
        run = ImportOptions(is_verifying=not no_verify, stop=stop)
        with progress_bar("importing", is_shown=not quiet and is_terminal()) as on_progress:
            report = import_index(engine, folder, run, on_progress)
    if is_json:
        print_json(report.to_json())
    else:
        _print_import(report)
    if report.is_interrupted:
        raise typer.Exit(1)


def _print_export(report: ExportReport, folder: Path) -> None:
    if report.manifest is None:
        typer.echo("stopped; what was written is no export: run it again to start anew")
        return
    counts = report.manifest.counts
    typer.echo(
        f"exported {counts.images} images from {counts.sources} sources, {counts.failures} "
        f"refusals and {counts.blocked} blocked ids to {shown(str(folder))}"
    )
    rate = report.images / report.seconds if report.seconds else 0.0
    typer.echo(
        f"{len(report.manifest.files)} files of {size_text(report.manifest.bytes)}, "
        f"{counts.thumbnails} thumbnails, {counts.originals} originals; "
        f"{rate:.1f} images/s, {report.seconds:.1f} s"
    )
    if not report.manifest.facts.is_quiet:
        typer.echo("the index changed meanwhile: what came late may be missing")
    if report.manifest.facts.left_out:
        typer.echo(f"{report.manifest.facts.left_out} images without a source were left out")


def _print_import(report: ImportReport) -> None:
    counts = report.counts
    state = "stopped; run it again to go on" if report.is_interrupted else "done"
    done = counts["added"] + counts["known"]
    rate = done / report.seconds if report.seconds else 0.0
    typer.echo(
        f"{state}: {counts['added']} added, {counts['known']} known, "
        f"{counts['blocked']} blocked here, {counts['removed']} removed as blocked there, "
        f"{counts['superseded']} sources seen later here; {rate:.1f} images/s, "
        f"{report.seconds:.1f} s"
    )
    if report.verification is not None:
        _print_verification(report.verification)


def _print_verification(found: Verification) -> None:
    missing = found.images_missing + found.sources_missing + found.failures_missing
    typer.echo(
        f"compared: {missing} missing; {found.records_compared - found.records_differing} of "
        f"{found.records_compared} records equal, {found.vectors_equal} vectors bit for bit; "
        f"{found.overlap_at_10:.3f} of the nearest ten found by {found.queries} searches"
    )
