"""Options that commands share, named as in the query language."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from typer.models import OptionInfo

from lookalike.domain.errors import UsageError
from lookalike.domain.queries import Region, Wishes

FILTERS = "Filters"
OUTPUT = "Output"
FEATURES = "What is looked for"

IndexDir: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--index",
        "-i",
        metavar="DIR",
        help="The index folder (env LOOKALIKE_INDEX, default ./lookalike.index).",
        show_default=False,
    ),
]
Config: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="A cluster's lookalike.toml, in place of a folder (env LOOKALIKE_CONFIG).",
        show_default=False,
    ),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=OUTPUT)
]
HowMany: TypeAlias = Annotated[int, typer.Option("-k", help="How many hits.", min=1, max=1000)]
Cursor: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="The `next` of an earlier answer.", show_default=False, rich_help_panel=OUTPUT
    ),
]
Explain: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--explain", help="Show score parts, choices and milliseconds.", rich_help_panel=OUTPUT
    ),
]
AllCopies: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--all-copies", help="Show every copy, not one of each group.", rich_help_panel=OUTPUT
    ),
]
AsTyped: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--as-typed", help="Leave words that seem misspelt as they are.", rich_help_panel=OUTPUT
    ),
]
More: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID", help="An image that is what is wanted; may be given several times.",
        show_default=False,
    ),
]  # fmt: skip
Less: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID", help="An image that is not; may be given several times.", show_default=False
    ),
]
Diversity: TypeAlias = Annotated[
    float | None,
    typer.Option(
        min=0.0, max=1.0, metavar="0..1", help="How much hits may not repeat each other.",
        show_default=False, rich_help_panel=OUTPUT,
    ),
]  # fmt: skip
Sheet: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write the hits as a contact sheet PNG.", show_default=False,
        rich_help_panel=OUTPUT,
    ),
]  # fmt: skip

Sources: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        help="Folders, globs, tables (CSV, JSONL, Parquet), tar shards, WARC files, saved "
        "pages, files of URLs, URLs."
    ),
]
NewEncoder: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Bundle of a new index: a name or a folder.", show_default=False),
]
NoObjects: TypeAlias = Annotated[
    bool, typer.Option("--no-objects", help="Look for no objects.", rich_help_panel=FEATURES)
]
NoOcr: TypeAlias = Annotated[
    bool, typer.Option("--no-ocr", help="Read no text off pictures.", rich_help_panel=FEATURES)
]
OcrEngine: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ENGINE", help="Of a new index: auto, rapidocr or tesseract.",
        show_default=False, rich_help_panel=FEATURES,
    ),
]  # fmt: skip
Languages: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="Of a new index: a language to read, such as en or de; again for more.",
        show_default=False, rich_help_panel=FEATURES,
    ),
]  # fmt: skip
NewStrictness: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="LEVEL", help="Of a new index: how copies are judged: strict, balanced, lenient"
        " or off.", show_default=False, rich_help_panel=FEATURES,
    ),
]  # fmt: skip
KeepPlace: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--keep-place", help="Of a new index: keep where pictures were taken.",
        rich_help_panel=FEATURES,
    ),
]  # fmt: skip


def _filter(help_text: str, metavar: str, *names: str) -> OptionInfo:
    return typer.Option(
        *names, help=help_text, metavar=metavar, show_default=False, rich_help_panel=FILTERS
    )


Color: TypeAlias = Annotated[
    str | None, _filter("Colours, such as red or blue,white or #ff8800~15.", "NAME")
]
Size: TypeAlias = Annotated[str | None, _filter("icon, small, medium, large or huge.", "NAME")]
Aspect: TypeAlias = Annotated[str | None, _filter("square, wide, tall or panorama.", "NAME")]
MinWidth: TypeAlias = Annotated[int | None, _filter("Least width in pixels.", "PX")]
MinHeight: TypeAlias = Annotated[int | None, _filter("Least height in pixels.", "PX")]
MaxWidth: TypeAlias = Annotated[int | None, _filter("Greatest width in pixels.", "PX")]
MaxHeight: TypeAlias = Annotated[int | None, _filter("Greatest height in pixels.", "PX")]
Licence: TypeAlias = Annotated[
    str | None,
    _filter("A licence id such as cc-by-4.0, or cc, open, commercial, modify.", "ID"),
]
Site: TypeAlias = Annotated[str | None, _filter("A site such as example.org.", "HOST")]
Type: TypeAlias = Annotated[
    str | None, _filter("photo, clipart, lineart, animated or transparent.", "NAME", "--type")
]
Object: TypeAlias = Annotated[
    str | None, _filter("A detected object, such as cat or dog>=2.", "LABEL", "--object")
]
Since: TypeAlias = Annotated[str | None, _filter("Taken on or after, such as 2024-05.", "DATE")]
Until: TypeAlias = Annotated[str | None, _filter("Taken on or before.", "DATE")]


@dataclass(frozen=True, slots=True)
class Ask:
    """What `search` and `similar` have in common."""

    index: Path | None
    config: Path | None
    k: int
    cursor: str | None
    is_explained: bool
    is_json: bool
    sheet: Path | None
    filters: dict[str, str]
    is_collapsed: bool = True
    is_as_typed: bool = False
    wishes: Wishes = field(default_factory=Wishes)


def given(**options: str | int | None) -> dict[str, str]:
    """Return the filter options that were given, as text by name."""
    return {name: str(value) for name, value in options.items() if value is not None}


def parse_region(text: str | None) -> Region | None:
    """Return the region that `x,y,w,h` names, as fractions of width and height."""
    if text is None:
        return None
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a region",
            hint="write x,y,width,height as fractions, as 0.2,0.1,0.5,0.5",
        ) from error
    is_inside = 0 <= x < 1 and 0 <= y < 1 and width > 0 and height > 0
    if not is_inside or x + width > 1.001 or y + height > 1.001:
        raise UsageError(f"the region {text} does not lie inside the picture")
    return (x, y, width, height)
