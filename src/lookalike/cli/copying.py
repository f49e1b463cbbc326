"""`copies`: the same picture in several files, and what a person says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from typer.models import OptionInfo

from lookalike.cli import options as opt
from lookalike.cli.opening import open_engine
from lookalike.cli.output import is_terminal, print_json, shown
from lookalike.cli.progress import count_bar
from lookalike.cli.searching import image_part
from lookalike.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.engine.copies import Copies, FoundCopy

DECISIONS = "Decisions"

Pictures: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        help="An image's id, a picture file or a URL; without it, every group of the index.",
        show_default=False,
    ),
]
Level: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--copies", metavar="LEVEL", help="strict, balanced or lenient (the index's own).",
        show_default=False,
    ),
]  # fmt: skip


def _decision(name: str, help_text: str) -> OptionInfo:
    return typer.Option(name, help=help_text, rich_help_panel=DECISIONS)


def copies(
    image: Pictures = None,
    index: opt.IndexDir = None,
    config: opt.Config = None,
    strictness: Level = None,
    listed: Annotated[
        bool, typer.Option("--list", help="List the groups as they stand, without judging anew.")
    ] = False,
    merge: Annotated[bool, _decision("--merge", "The images are one picture.")] = False,
    split: Annotated[
        bool,
        _decision("--split", "The images are different; one: none of its group."),
    ] = False,
    keep: Annotated[bool, _decision("--keep", "The image stands for its group.")] = False,
    undo: Annotated[bool, _decision("--undo", "Take back the last decision.")] = False,
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
        answer: dict[str, Any]
        if merge or split or keep or undo:
            answer = _decided(found, given, merge=merge, split=split, keep=keep)
        elif given:
            answer = _of(found, given, strictness)
        else:
            answer = _groups(found, len(engine), None if listed else strictness, is_new=not listed)
    if is_json:
        print_json(answer)
    else:
        _print(answer)
    if not any(answer.values()):
        raise typer.Exit(1)


def _groups(found: Copies, images: int, strictness: str | None, *, is_new: bool) -> dict[str, Any]:
    """Return every group, judged anew where that is wanted."""
    if is_new:
        with count_bar("judging", images, is_shown=is_terminal()) as on_progress:
            found.regroup(strictness=strictness, on_progress=on_progress)
    return {"groups": [group.to_json() for group in found.groups()]}


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
        "groups": [group.to_json() for group in groups.values()],
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
    sources: list[dict[str, Any]] = record["sources"]
    source = sources[0] if sources else {}
    place = shown(str(source.get("path") or source.get("url") or ""))
    size = f"{record['width']}×{record['height']}"
    why = f"  {one['score']:.2f} {shown(one['reason'])}" if one["reason"] else ""
    typer.echo(f"{indent}{record['id'][:8]}  {size:>9}  {place}{why}")
