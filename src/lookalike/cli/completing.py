"""`complete`."""

from __future__ import annotations

from typing import Annotated

import typer

from lookalike.cli import options as opt
from lookalike.cli.opening import config_file, index_folder, open_engine
from lookalike.cli.output import print_json, shown
from lookalike.domain.completing import MOST_COMPLETED


def complete(
    query: Annotated[str, typer.Argument(help="The beginning of a query, up to where one types.")],
    index: opt.IndexDir = None,
    config: opt.Config = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MOST_COMPLETED, help="How many lines.")
    ] = 8,
    is_json: opt.Json = False,
) -> None:
    """Complete a query: words of the index, filters and their values, objects, past queries.

    For instance: lookalike complete 'dog color:b'
    """
    from lookalike.engine.completion import complete as complete_query
    from lookalike.wiring.learning import past_queries
    from lookalike.wiring.learning_open import open_learning

    with (
        open_engine(index, config) as engine,
        open_learning(index_folder(index), config_file(index, config)) as learning,
    ):
        past = past_queries(learning, is_waiting=True)
        found = complete_query(engine, query, limit=limit, past=past)
    if is_json:
        print_json({"completions": [one.to_json() for one in found]})
    else:
        for one in found:
            counted = "" if one.count is None else f"  (asked {one.count} times)"
            typer.echo(shown(one.text) + counted)
    if not found:
        raise typer.Exit(1)
