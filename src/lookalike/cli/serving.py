"""`serve`."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from lookalike.cli import options as opt
from lookalike.cli.opening import config_file, index_folder, open_engine


def serve(
    index: opt.IndexDir = None,
    config: opt.Config = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but localhost needs an API key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8080,
    encoder: Annotated[
        str | None,
        typer.Option(help="Bundle of a new index: a name or a folder.", show_default=False),
    ] = None,
) -> None:
    """Serve the page and the HTTP interface of an index folder, made when there is none.

    With --config it serves a cluster and holds nothing itself, so any number may run.
    """
    from lookalike.server.app import create_app
    from lookalike.server.options import ServerSettings
    from lookalike.server.run import serve as serve_app
    from lookalike.settings import load_settings
    from lookalike.wiring.embedded import OpenOptions, make_fetcher
    from lookalike.wiring.learning import past_queries, recording
    from lookalike.wiring.learning_open import open_learning

    settings = load_settings()
    bounds = ServerSettings(host=host, port=port, api_keys=settings.api_keys)
    options = OpenOptions(encoder=encoder, is_creating=True, is_serving=True)
    with (
        open_engine(index, config, options, settings) as engine,
        open_learning(index_folder(index), config_file(index, config)) as learning,
        recording(learning) as clicks,
    ):
        fetcher = make_fetcher(settings)
        past = past_queries(learning)
        app = create_app(engine, fetcher=fetcher, settings=bounds, clicks=clicks, past=past)
        threading.Thread(target=engine.warm, name="warm", daemon=True).start()
        at = f"at http://{host}:{port}" + (", clicks are logged" if clicks else "")
        typer.echo(f"{engine.location}: {len(engine)} images, {at}", err=True)
        serve_app(app, bounds)
