"""`doctor` and `init-cluster`: what is there, what is missing, and making it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli import options as opt
from lookalike.cli.opening import config_file, index_folder
from lookalike.cli.output import print_json, shown
from lookalike.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.domain.findings import Finding


def doctor(
    index: opt.IndexDir = None,
    config: opt.Config = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Mend vectors and words that are missing, and removals cut short.",
        ),
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="With --repair and a cluster: look only at what changed since.",
            show_default=False,
        ),
    ] = None,
    is_json: opt.Json = False,
) -> None:
    """Check the installation and the index, and say how to mend what is wrong."""
    cluster = config_file(index, config)
    if since is not None and not (repair and cluster):
        raise UsageError("--since goes with --repair and a cluster")
    mended: dict[str, object] | None = None
    if cluster is not None:
        from lookalike.wiring.cluster_checks import check_cluster, repair_cluster

        if repair:
            mended = repair_cluster(cluster, since=since)
        findings = check_cluster(cluster)
    else:
        from lookalike.wiring.checks import repair_folder, run_checks

        if repair:
            mended = repair_folder(index_folder(index))
        findings = run_checks(index_folder(index))
    _print(findings, mended, is_json=is_json)
    if any(finding.state == "error" for finding in findings):
        raise typer.Exit(3)


def init_cluster(
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The lookalike.toml (env LOOKALIKE_CONFIG).", show_default=False
        ),
    ] = None,
    is_json: opt.Json = False,
) -> None:
    """Make what a cluster needs: keyspace, templates, collections, topics and buckets.

    Again, it makes only what is missing.
    """
    cluster = config_file(None, config)
    if cluster is None:
        raise UsageError("which cluster?", hint="name its lookalike.toml with --config")
    from lookalike.wiring.cluster import init_cluster as make

    made = make(cluster)
    if is_json:
        print_json({"made": made})
        return
    for what in made:
        typer.echo(f"made     {shown(what)}")
    typer.echo("ready" if made else "ready: everything was there")


def _print(findings: Sequence[Finding], mended: dict[str, object] | None, *, is_json: bool) -> None:
    if is_json:
        answer: dict[str, object] = {"checks": [finding.to_json() for finding in findings]}
        print_json(answer if mended is None else answer | {"repair": mended})
        return
    if mended is not None:
        for name, value in mended.items():
            typer.echo(f"{name.replace('_', ' '):20} {value}")
    for finding in findings:
        colour = {"ok": "green", "warning": "yellow", "error": "red"}[finding.state]
        line = f"{finding.name}: {shown(finding.detail)}"
        typer.echo(typer.style(f"{finding.state:8}", fg=colour) + line)
        if finding.remedy:
            typer.echo(f"        {shown(finding.remedy)}")
