"""`show`, `remove`, `status` and `optimize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lookalike.cli import options as opt
from lookalike.cli.opening import config_file, open_engine
from lookalike.cli.output import pairs, print_json, shown, size_text, write_outlined
from lookalike.domain.errors import UsageError


def show(
    image: Annotated[str, typer.Argument(help="An image's id, or a unique beginning of it.")],
    index: opt.IndexDir = None,
    config: opt.Config = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the picture with the objects and words found, as PNG.",
            show_default=False,
            rich_help_panel=opt.OUTPUT,
        ),
    ] = None,
    is_json: opt.Json = False,
) -> None:
    """Show everything known of an image."""
    from lookalike.domain.answers import record_json

    with open_engine(index, config) as engine:
        known = engine.record(image)
        record = record_json(known)
        if picture is not None:
            write_outlined(engine, known, picture)
    if is_json:
        print_json(record)
        return
    sources = record.pop("sources")
    record["objects"] = [_object_line(one) for one in record["objects"]]
    record.pop("words")  # ocr_text says them
    for name, value in record.items():
        if name == "objects":
            for line in value:
                typer.echo(f"{'object':14} {shown(line)}")
            continue
        if value not in (None, "", [], {}):
            typer.echo(f"{name:14} {shown(str(value))}")
    for source in sources:
        typer.echo("source")
        for name, value in source.items():
            typer.echo(f"  {name:12} {shown(str(value))}")


def _object_line(found: dict[str, Any]) -> str:
    x, y, width, height = found["box"]
    return f"{found['label']} {found['score']:.2f} at {x:.2f},{y:.2f},{width:.2f},{height:.2f}"


def remove(
    image: Annotated[
        list[str] | None, typer.Argument(help="Ids of images.", show_default=False)
    ] = None,
    index: opt.IndexDir = None,
    config: opt.Config = None,
    site: Annotated[
        str | None, typer.Option(help="Remove every image of this site.", show_default=False)
    ] = None,
    block: Annotated[bool, typer.Option("--block", help="The images may not come back.")] = False,
    is_json: opt.Json = False,
) -> None:
    """Remove images from the index; their files stay where they are."""
    if not image and site is None:
        raise UsageError("nothing to remove", hint="name ids of images, or a --site")
    with open_engine(index, config) as engine:
        count = engine.remove([engine.resolve(one) for one in image or []], is_blocked=block)
        if site is not None:
            count += engine.remove_site(site, is_blocked=block)
    if is_json:
        print_json({"removed": count, "blocked": block})
    else:
        typer.echo(f"removed {count}")
    if not count:
        raise typer.Exit(1)


def status(
    index: opt.IndexDir = None, config: opt.Config = None, is_json: opt.Json = False
) -> None:
    """Show what the index holds and how it is built."""
    with open_engine(index, config) as engine:
        state = engine.status().to_json()
    if is_json:
        print_json(state)
        return
    typer.echo(f"{state['location']}: {state['images']} images from {state['sources']} sources")
    typer.echo(
        f"size      {size_text(state['bytes'])}, seq {state['seq']}, {state['removed']} removed"
    )
    for space in state["spaces"]:
        typer.echo(
            f"vectors   {space['name']}: {space['rows']} × {space['dim']}, {space['kind']}, "
            f"{space['sealed_rows']} sealed, {size_text(space['bytes'])}"
        )
    if state["ann_recall_at_10"]:
        typer.echo(f"ann_recall@10  {pairs(state['ann_recall_at_10'])}")
    typer.echo(f"objects   {state['regions']} with vectors of their own")
    typer.echo(f"copies    {state['copy_groups']} groups")
    typer.echo(f"refused   {pairs(state['failures'])}")
    if state["waiting"]:
        typer.echo(f"log       {state['waiting']} messages wait for workers")
    elif not state["up_to_date"]:
        typer.echo("words     catching up with the last commits")


def optimize(
    index: opt.IndexDir = None,
    config: opt.Config = None,
    rebuild_words: Annotated[
        bool,
        typer.Option(
            "--rebuild-words", help="With a cluster: make its text index anew, and switch to it."
        ),
    ] = False,
    is_json: opt.Json = False,
) -> None:
    """Seal, merge and tune the index now rather than bit by bit."""
    if rebuild_words:
        cluster = config_file(index, config)
        if cluster is None:
            raise UsageError("--rebuild-words is for a cluster", hint="name it with --config")
        from lookalike.wiring.cluster_checks import rebuild_words as rebuild

        count = rebuild(cluster)["images"]
        typer.echo(f"rebuilt the words of {count} images", err=True)
    with open_engine(index, config) as engine:
        engine.optimize()
        state = engine.status().to_json()
    if is_json:
        print_json(state)
    else:
        typer.echo(f"optimized {state['images']} images")
