"""Running an app: logs as JSON lines, keep-alive and a graceful end."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import uvicorn

from lookalike.server.options import check_exposure
from lookalike.telemetry.logs import JsonFormatter

if TYPE_CHECKING:
    from fastapi import FastAPI

    from lookalike.server.options import ServerSettings


def serve(app: FastAPI, settings: ServerSettings, *, is_access_logged: bool = True) -> None:
    """Serve until a signal comes; requests under way are finished within the grace time."""
    check_exposure(settings)
    log_json(is_access_logged=is_access_logged)
    server_of(app, settings).run()


def server_of(app: FastAPI, settings: ServerSettings) -> uvicorn.Server:
    """Return the server of an app, not yet started."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        h11_max_incomplete_event_size=128 * 1024,
        backlog=256,
    )
    return uvicorn.Server(config)


def log_json(*, is_access_logged: bool) -> None:
    """Send the logs of the server to standard error, a JSON object per line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("lookalike", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO)
    logging.getLogger("lookalike.access").disabled = not is_access_logged
