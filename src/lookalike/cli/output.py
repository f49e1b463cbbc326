"""Printing for people and for scripts."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import typer

from lookalike.domain.errors import UsageError

SHOWN_AROUND: Final = 60
"""As many characters of a query are shown before and behind what is wrong in it."""

_CONTROLS: Final = dict.fromkeys([*range(32), *range(127, 160)], "\N{REPLACEMENT CHARACTER}")

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL.Image import Image
    from rich.console import Console

    from lookalike.domain.errors import LookalikeError
    from lookalike.domain.hits import Hit, SearchResult
    from lookalike.domain.images import ImageRecord
    from lookalike.engine.engine import Engine


def print_json(value: object) -> None:
    """Print one JSON object on one line."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    typer.echo(json.dumps(value, ensure_ascii=not is_utf8))


def shown(text: str) -> str:
    """Return text that can be printed and says nothing to the terminal itself."""
    from lookalike.domain.answers import printable

    return printable(text).translate(_CONTROLS)


def console(*, is_error: bool = False) -> Console:
    """Return a console on standard output, or on standard error."""
    from rich.console import Console

    return Console(stderr=is_error, highlight=False, soft_wrap=True)


def pointed_at(text: str, begin: int, end: int) -> tuple[str, str]:
    """Return what of a line fits around its characters `[begin, end)`, and carets under them."""
    from rich.cells import cell_len

    first = max(0, begin - SHOWN_AROUND)
    before, piece = shown(text[first:begin]), shown(text[begin : min(end, begin + SHOWN_AROUND)])
    rest = shown(text[begin : end + SHOWN_AROUND])[len(piece) :]
    before = f"…{before}" if first else before
    return f"{before}{piece}{rest}", " " * cell_len(before) + "^" * max(1, cell_len(piece))


def print_error(error: LookalikeError, *, is_json: bool) -> None:
    """Print an error with its hint: to people on standard error, to scripts as JSON."""
    if is_json:
        print_json({"error": error.to_json()})
        return
    typer.secho(f"error: {shown(error.message)}", fg="red", err=True)
    if isinstance(error, UsageError) and error.place is not None:
        for line in pointed_at(error.text, *error.place):
            typer.echo(f"  {line}", err=True)
    if error.hint:
        typer.echo(f"  {shown(error.hint)}", err=True)


def print_result(result: SearchResult, *, is_explained: bool) -> None:
    """Print hits as a table with what explains them."""
    from rich.table import Table
    from rich.text import Text

    from lookalike.domain.answers import title_of
    from lookalike.domain.query_format import words_instead

    out = console()
    for note in result.degraded:
        typer.secho(f"degraded: {note}", fg="yellow", err=True)
    for notice in result.notices:
        typer.secho(notice.message, fg="yellow", err=True)
    if result.corrected:
        out.print(f"Showing results for {shown(result.corrected)}", markup=False)
        out.print("  --as-typed searches for the words as they are", style="dim")
    if result.reading:
        asked = ", ".join(result.reading)
        out.print(f"{result.reading_met} of these show {asked}; to search the words alone:")
        out.print(f"  {words_instead(result.corrected or result.query)}", style="dim", markup=False)
    if not result.hits:
        out.print("Nothing found.")
        return
    if result.no_good_match:
        out.print("No good match. What comes nearest:")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("#", "score", "relevance"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    table.add_column("id", no_wrap=True, min_width=8)
    table.add_column("size", no_wrap=True, min_width=9)
    table.add_column("picture", overflow="fold", ratio=1)
    for number, hit in enumerate(result.hits, 1):
        facts = hit.record.facts
        lines = [Text(shown(title_of(hit.record)), overflow="ellipsis", no_wrap=True)]
        lines.append(Text(shown(hit.record.location), style="dim"))
        if is_explained:
            parts = "  ".join(f"{name} {value:.4f}" for name, value in hit.parts.items())
            lines.append(Text(f"{parts}  {' '.join(hit.why)}", style="dim"))
        table.add_row(
            str(number),
            f"{hit.score:.3f}",
            f"{hit.relevance:.2f}",
            hit.record.id[:8],
            f"{facts.width}×{facts.height}",
            Text("\n").join(lines),
        )
    out.print(table)
    total = f"{result.timings_ms.get('total', 0.0):.0f} ms"
    out.print(f"{len(result.hits)} of {result.total} candidates in {total}", style="dim")
    if is_explained:
        _print_explanation(result, out)


def _print_explanation(result: SearchResult, out: Console) -> None:
    stages = "  ".join(f"{name} {ms:.1f}" for name, ms in result.timings_ms.items())
    out.print(f"milliseconds: {stages}")
    for name, value in result.explanation.items():
        out.print(f"{name}: {value}", markup=False)


def write_sheet(engine: Engine, sections: Sequence[tuple[str, SearchResult]], path: Path) -> None:
    """Write a contact sheet of several answers, a section each."""
    from lookalike.domain.answers import title_of
    from lookalike.imaging.contact_sheet import Section, Tile, sections_sheet, to_png

    drawn = [
        Section(
            heading=title,
            tiles=[
                Tile(
                    image=_marked(thumbnail, hit),
                    title=title_of(hit.record),
                    subtitle=f"{hit.score:.3f}",
                )
                for hit in result.hits
                if (thumbnail := _thumbnail(engine, hit)) is not None
            ],
        )
        for title, result in sections
    ]
    path.write_bytes(to_png(sections_sheet(drawn)))


def write_outlined(engine: Engine, record: ImageRecord, path: Path) -> None:
    """Write a picture with the objects and words that were found in it, as PNG."""
    from lookalike.domain.errors import LookalikeError
    from lookalike.imaging.contact_sheet import to_png
    from lookalike.imaging.outlines import Outline, outlined

    try:
        data = engine.original(record.id)[0]
    except LookalikeError:  # it is no longer where it was
        data = engine.thumbnail(record.id)
    words = [Outline(word.box, is_faint=True) for word in record.words]
    objects = [Outline(one.box, f"{one.label} {one.score:.2f}") for one in record.objects]
    path.write_bytes(to_png(outlined(data, [*words, *objects])))


def _marked(thumbnail: bytes, hit: Hit) -> bytes | Image:
    """Return a thumbnail with the objects that made it a hit."""
    if not hit.objects:
        return thumbnail
    from lookalike.imaging.outlines import Outline, outlined

    return outlined(thumbnail, [Outline(one.found.box, one.found.label) for one in hit.objects])


def _thumbnail(engine: Engine, hit: Hit) -> bytes | None:
    from lookalike.domain.errors import NotFoundError

    try:
        return engine.thumbnail(hit.record.id)
    except NotFoundError:  # of an image that is known by its vector alone
        return None


def is_terminal() -> bool:
    """Tell whether people are watching."""
    return sys.stderr.isatty()


def size_text(count: float) -> str:
    """Return bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def pairs(values: dict[str, Any]) -> str:
    """Return a mapping as `name value, name value`."""
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"
