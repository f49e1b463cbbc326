"""`worker`: takes pictures from the ingest log of a cluster and indexes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli import options as opt
from lookalike.cli.opening import config_file
from lookalike.cli.output import is_terminal, pairs, print_json
from lookalike.cli.stopping import stopping
from lookalike.domain.errors import UsageError

if TYPE_CHECKING:
    from lookalike.engine.working import WorkReport


def worker(
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The lookalike.toml (env LOOKALIKE_CONFIG).", show_default=False
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(min=1, help="End after so many messages.", show_default=False),
    ] = None,
    drain: Annotated[
        bool, typer.Option("--drain", help="End when nothing waits any more.")
    ] = False,
    is_json: opt.Json = False,
) -> None:
    """Index what is put into the cluster's log, until it is stopped.

    Any number may run. The first SIGTERM or Ctrl-C finishes the batch at hand and ends.
    """
    cluster = config_file(None, config)
    if cluster is None:
        raise UsageError("which cluster?", hint="name its lookalike.toml with --config")
    from lookalike.telemetry.logs import configure_logs
    from lookalike.wiring.cluster import open_worker

    configure_logs()
    with open_worker(cluster, most=most, is_draining=drain) as work, stopping() as stop:
        typer.echo(f"working on {work.location}", err=True)
        report = work.run(stop, _show if is_terminal() and not is_json else None)
    if is_json:
        print_json(report.to_json())
    else:
        typer.echo(_line(report))
    if report.rejected:
        raise typer.Exit(1)


def _show(report: WorkReport) -> None:
    typer.echo(f"\r{_line(report)}\x1b[K", nl=False, err=True)


def _line(report: WorkReport) -> str:
    rate = report.added / report.seconds if report.seconds else 0.0
    aside = f"; set aside: {pairs(report.rejected)}" if report.rejected else ""
    again = f"; {report.retries} retries" if report.retries else ""
    return f"{report.done} messages, {report.added} images added, {rate:.1f} a second{again}{aside}"
