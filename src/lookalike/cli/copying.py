"""`copies`: the same picture in several files, and what a person says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli import options as opt
from lookalike.cli.opening import open_engine
from lookalike.cli.output import is_terminal, print_json, shown
from lookalike.cli.progress import count_bar
from lookalike.cli.searching import image_part
from lookalike.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.engine.copies import Copies, CopyGroup, FoundCopy

DECISIONS = "Decisions"


def copies(
    image: Annotated[
        list[str] | None,
        typer.Argument(
            help="An image's id, a picture file or a URL; without it, every group of the index.",
            show_default=False,
        ),
    ] = None,
    index: opt.IndexDir = None,
    config: opt.Config = None,
    strictness: Annotated[
        str | None,
        typer.Option(
            "--copies",
            metavar="LEVEL",
            help="strict, balanced or lenient (the index's own).",
            show_default=False,
        ),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="List the groups as they stand, without judging anew.")
    ] = False,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="The images are one picture.", rich_help_panel=DECISIONS),
    ] = False,
    split: Annotated[
        bool,
        typer.Option(
            "--split",
            help="The images are different; of one, that it is none of its group.",
            rich_help_panel=DECISIONS,
        ),
    ] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="The image stands for its group.", rich_help_panel=DECISIONS),
    ] = False,
    undo: Annotated[
        bool,
        typer.Option("--undo", help="Take back the last decision.", rich_help_panel=DECISIONS),
    ] = False,
    is_json: opt.Json = False,
) -> None:
    """Find copies of a picture, group the whole index anew, or decide.

    For instance: lookalike copies photo.jpg; lookalike copies --split 3f1c9a0e 7b2d11c4
    """
    given = image or []
    if sum((merge, split, keep, undo)) > 1:
        raise UsageError("one decision at a time", hint="name --merge, --split, --keep or --undo")
    with open_engine(index, config) as engine:
        found = engine.copies
        if merge or split or keep or undo:
            answer: dict[str, Any] = _decided(found, given, merge=merge, split=split, keep=keep)
        elif given:
            answer = _of(found, given, strictness)
        else:
            if not listed:
                with count_bar("judging", len(engine), is_shown=is_terminal()) as on_progress:
                    found.regroup(strictness=strictness, on_progress=on_progress)
            answer = {"groups": [_group_json(group) for group in found.groups()]}
    if is_json:
        print_json(answer)
    else:
        _print(answer)
    if not any(answer.values()):
        raise typer.Exit(1)


def _decided(
    found: Copies, given: Sequence[str], *, merge: bool, split: bool, keep: bool
) -> dict[str, Any]:
    """Write a decision, and return the groups that the images stand in then."""
    if merge:
        found.merge(given)
    elif split:
        found.split(given)
    elif keep:
        if len(given) != 1:
            raise UsageError("--keep takes one image")
        found.keep(given[0])
    else:
        if given:
            raise UsageError("--undo takes no image: it takes back the last decision")
        step = found.undo()
        return {"undone": step.kind if step else None}
    groups = {group.number: group for one in given if (group := found.group_of(one))}
    return {
        "decided": "merge" if merge else "split" if split else "keep",
        "groups": [_group_json(group) for group in groups.values()],
    }


def _of(found: Copies, given: Sequence[str], strictness: str | None) -> dict[str, Any]:
    if len(given) != 1:
        raise UsageError("one picture at a time", hint="or say --merge or --split of several")
    copies = found.of_picture(image_part(given[0]), strictness=strictness)
    return {"copies": [copy_json(one) for one in copies]}


def copy_json(one: FoundCopy) -> dict[str, Any]:
    """Return a copy that was found, with why it is one."""
    from lookalike.domain.answers import record_json

    return {
        "record": record_json(one.record),
        "reason": one.reason,
        "score": round(one.score, 4),
        "cosine": None if one.cosine is None else round(one.cosine, 4),
        "hash_distance": one.hash_distance,
    }


def _group_json(group: CopyGroup) -> dict[str, Any]:
    from lookalike.domain.answers import record_json

    ids = {member.row: record.id for record, member in group.members}
    return {
        "canonical": next(record.id for record, one in group.members if one.is_canonical),
        "members": [
            {
                "record": record_json(record),
                "copy_of": ids.get(member.via),
                "reason": member.reason,
                "score": round(member.score, 4),
            }
            for record, member in group.members
        ],
    }


def _print(answer: dict[str, Any]) -> None:
    if "undone" in answer:
        typer.echo(f"took back: {answer['undone']}" if answer["undone"] else "nothing to take back")
        return
    if "copies" in answer:
        for one in answer["copies"]:
            _print_line(one, "  ")
        typer.echo(f"{len(answer['copies'])} copies")
        return
    for group in answer["groups"]:
        for member in group["members"]:
            _print_line(member, "" if member["copy_of"] is None else "  ")
    typer.echo(f"{len(answer['groups'])} groups")


def _print_line(one: dict[str, Any], indent: str) -> None:
    record = one["record"]
    source: dict[str, Any] = next(iter(record["sources"]), {})
    place = shown(str(source.get("path") or source.get("url") or ""))
    size = f"{record['width']}×{record['height']}"
    why = f"  {one['score']:.2f} {shown(one['reason'])}" if one["reason"] else ""
    typer.echo(f"{indent}{record['id'][:8]}  {size:>9}  {place}{why}")
