"""`search` and `similar`."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli import options as opt
from lookalike.cli.opening import open_engine
from lookalike.cli.output import print_json, print_result, write_sheet

if TYPE_CHECKING:
    from lookalike.domain.queries import ImagePart, Query


def search(
    query: Annotated[list[str], typer.Argument(help="Words and filters in the query language.")],
    index: opt.IndexDir = None,
    config: opt.Config = None,
    k: opt.HowMany = 20,
    more: opt.More = None,
    less: opt.Less = None,
    color: opt.Color = None,
    type_: opt.Type = None,
    size: opt.Size = None,
    aspect: opt.Aspect = None,
    min_width: opt.MinWidth = None,
    min_height: opt.MinHeight = None,
    max_width: opt.MaxWidth = None,
    max_height: opt.MaxHeight = None,
    licence: opt.Licence = None,
    site: opt.Site = None,
    object_: opt.Object = None,
    since: opt.Since = None,
    until: opt.Until = None,
    cursor: opt.Cursor = None,
    explain: opt.Explain = False,
    all_copies: opt.AllCopies = False,
    as_typed: opt.AsTyped = False,
    diversity: opt.Diversity = None,
    sheet: opt.Sheet = None,
    is_json: opt.Json = False,
) -> None:
    """Find pictures by words.

    For instance: lookalike search 'a dog on a beach -people color:blue size:large'
    """
    from lookalike.domain.query_language import parse_query

    filters = opt.given(
        color=color, type=type_, size=size, aspect=aspect, min_width=min_width,
        min_height=min_height, max_width=max_width, max_height=max_height, licence=licence,
        site=site, object=object_, since=since, until=until,
    )  # fmt: skip
    wishes = opt.Wishes(more or (), less or (), diversity)
    ask = opt.Ask(
        index, config, k, cursor, explain, is_json, sheet, filters, not all_copies, as_typed, wishes
    )
    _answer(parse_query(" ".join(query), k=k), ask)


def similar(
    picture: Annotated[str, typer.Argument(help="A picture file, a URL, or the id of an image.")],
    index: opt.IndexDir = None,
    config: opt.Config = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H", help="A part of the picture, as fractions.", show_default=False
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Words added to the picture.", show_default=False)
    ] = None,
    k: opt.HowMany = 20,
    more: opt.More = None,
    less: opt.Less = None,
    color: opt.Color = None,
    type_: opt.Type = None,
    size: opt.Size = None,
    aspect: opt.Aspect = None,
    min_width: opt.MinWidth = None,
    min_height: opt.MinHeight = None,
    max_width: opt.MaxWidth = None,
    max_height: opt.MaxHeight = None,
    licence: opt.Licence = None,
    site: opt.Site = None,
    object_: opt.Object = None,
    since: opt.Since = None,
    until: opt.Until = None,
    cursor: opt.Cursor = None,
    explain: opt.Explain = False,
    all_copies: opt.AllCopies = False,
    as_typed: opt.AsTyped = False,
    diversity: opt.Diversity = None,
    sheet: opt.Sheet = None,
    is_json: opt.Json = False,
) -> None:
    """Find pictures like a picture.

    For instance: lookalike similar photo.jpg --region 0.2,0.1,0.5,0.5 --text 'at night'
    """
    from lookalike.domain.queries import Query
    from lookalike.domain.query_language import parse_query

    filters = opt.given(
        color=color, type=type_, size=size, aspect=aspect, min_width=min_width,
        min_height=min_height, max_width=max_width, max_height=max_height, licence=licence,
        site=site, object=object_, since=since, until=until,
    )  # fmt: skip
    query = parse_query(text, k=k) if text else Query(k=k)
    part = replace(image_part(picture), region=opt.parse_region(region))
    query = replace(
        query, source=" ".join(filter(None, (picture, text))), images=(*query.images, part)
    )
    wishes = opt.Wishes(more or (), less or (), diversity)
    ask = opt.Ask(
        index, config, k, cursor, explain, is_json, sheet, filters, not all_copies, as_typed, wishes
    )
    _answer(query, ask)


def image_part(picture: str) -> ImagePart:
    """Return the part of a query that a file, URL or id (or a beginning of one) names."""
    from lookalike.domain.queries import ImagePart

    if picture.startswith(("http://", "https://")):
        return ImagePart("url", picture)
    if os.path.exists(os.path.expanduser(picture)):  # Path.exists raises on odd names
        return ImagePart("path", picture)
    is_id = len(picture) >= 4 and not set(picture.lower()) - set("0123456789abcdef")
    return ImagePart("id" if is_id else "path", picture)


def _answer(query: Query, ask: opt.Ask) -> None:
    from lookalike.domain.answers import result_json
    from lookalike.domain.query_filters import filters_from_options

    query = replace(
        query,
        filter=query.filter & filters_from_options(ask.filters),
        cursor=ask.cursor,
        is_explained=ask.is_explained,
        is_collapsed=ask.is_collapsed,
        is_as_typed=ask.is_as_typed,
    )
    query = ask.wishes.applied(query)
    with open_engine(ask.index, ask.config) as engine:
        if query.texts:
            engine.preload()
        result = engine.search(query)
        if ask.sheet is not None:
            write_sheet(engine, [(result.query, result)], ask.sheet)
    if ask.is_json:
        print_json(result_json(result))
    else:
        print_result(result, is_explained=ask.is_explained)
    if not result.hits:
        raise typer.Exit(1)
