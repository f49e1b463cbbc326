"""`models list`, `models show` and `models verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli import options as opt
from lookalike.cli.output import print_json, size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.domain.bundle import Bundle

app = typer.Typer(help="List, show and verify model bundles.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A packaged name, or a folder with a bundle.")]


@app.command("list")
def list_models(is_json: opt.Json = False) -> None:
    """List the bundles that ship with the package."""
    from lookalike.adapters.bundle_files import load_bundle, packaged_names

    bundles = [load_bundle(name) for name in packaged_names()]
    if is_json:
        listed = [
            {"name": one.name, "version": one.version, "kind": one.kind, "dim": one.dim,
             "licence": one.licence, "fingerprint": one.fingerprint,
             **({"labels": len(_labels(one))} if one.detector else {})}
            for one in bundles
        ]  # fmt: skip
        print_json({"models": listed})
        return
    for one in bundles:
        gives = f"{len(_labels(one)):5} labels " if one.detector else f"{one.dim:5} numbers"
        typer.echo(f"{one.name:12} {one.version:8} {one.kind:8} {gives}  {one.licence}")


def _labels(bundle: Bundle) -> Sequence[str]:
    from lookalike.adapters.detector_onnx import OnnxDetector

    return OnnxDetector(bundle).labels


@app.command()
def show(name: Name, is_json: opt.Json = False) -> None:
    """Show what a bundle is: its files, preprocessing, licences, sources and quality."""
    from dataclasses import asdict

    from lookalike.adapters.bundle_files import load_bundle

    bundle = load_bundle(name)
    facts: dict[str, Any] = asdict(bundle)
    facts["root"] = str(bundle.root)
    facts["quality"] = dict(bundle.quality)
    facts["files"] = [
        {**file, "bytes": bundle.path(file["path"]).stat().st_size} for file in facts["files"]
    ]
    if bundle.detector is not None:
        facts["labels"] = list(_labels(bundle))
    if is_json:
        print_json(facts)
        return
    for field in ("name", "version", "kind", "dim", "fingerprint", "root"):
        typer.echo(f"{field:12} {facts[field]}")
    for file in facts["files"]:
        typer.echo(f"file         {file['path']} ({size_text(file['bytes'])})")
    if bundle.detector is not None:
        typer.echo(f"labels       {', '.join(facts['labels'])}")
    for part in bundle.licences:
        typer.echo(
            f"licence      {part.part}: {part.licence}{'; ' + part.note if part.note else ''}"
        )
    for source in bundle.sources:
        typer.echo(f"source       {source.part}: {source.package}")
    for measure, value in bundle.quality:
        typer.echo(f"quality      {measure} {value}")


@app.command()
def verify(name: Name, is_json: opt.Json = False) -> None:
    """Hash a bundle's files again and compare with what it states."""
    from lookalike.adapters.bundle_files import load_bundle
    from lookalike.adapters.bundle_files import verify as verify_bundle

    reports = verify_bundle(load_bundle(name))
    if is_json:
        files = [
            {"path": one.path, "state": one.state, "bytes": one.size_bytes, "sha256": one.actual}
            for one in reports
        ]
        print_json({"files": files})
    else:
        for one in reports:
            typer.echo(f"{one.state:9} {one.path}")
    if any(one.state in {"missing", "corrupt"} for one in reports):
        raise typer.Exit(3)
