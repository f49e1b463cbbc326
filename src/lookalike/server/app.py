"""The app: routes, page, doors and bounds around one engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware

from lookalike.server import (
    routes_clicks,
    routes_complete,
    routes_copies,
    routes_images,
    routes_search,
    routes_service,
)
from lookalike.server.access_log import AccessLog
from lookalike.server.context import Context
from lookalike.server.errors import install_error_handlers
from lookalike.server.limits import Limits
from lookalike.server.metrics import Metrics
from lookalike.server.openapi import API_VERSION, DESCRIPTION, TAGS
from lookalike.server.options import ServerSettings, check_exposure
from lookalike.server.page import install_page
from lookalike.server.security import Guard

if TYPE_CHECKING:
    from lookalike.engine.click_recorder import ClickRecorder
    from lookalike.engine.engine import Engine
    from lookalike.engine.past_queries import PastQueries
    from lookalike.ports.source import Fetcher


def create_app(
    engine: Engine,
    *,
    fetcher: Fetcher,
    settings: ServerSettings | None = None,
    metrics: Metrics | None = None,
    clicks: ClickRecorder | None = None,
    past: PastQueries | None = None,
) -> FastAPI:
    """Return the app over an engine, which its owner closes when the app has stopped.

    `clicks` records answers and clicks, where that is wanted; its owner closes it too. `past` are
    the queries of others, where completion may offer them.

    Raises `UsageError` for settings that would expose an index without a key.
    """
    settings = settings or ServerSettings()
    check_exposure(settings)
    metrics = metrics or Metrics()
    app = FastAPI(
        title="Lookalike",
        version=API_VERSION,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = Context(engine, fetcher, settings, metrics, clicks, past)
    for routes in (
        routes_search,
        routes_complete,
        routes_images,
        routes_copies,
        routes_clicks,
        routes_service,
    ):
        app.include_router(routes.router)
    install_page(app)
    install_error_handlers(app)
    app.add_middleware(Limits, settings=settings)
    app.add_middleware(Guard, settings=settings)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["content-type", "x-api-key", "authorization"],
        )
    app.add_middleware(AccessLog, metrics=metrics)
    app.openapi = lambda: _openapi(app)
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the schema with the ways to show a key; made once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        components: dict[str, Any] = schema.setdefault("components", {})
        components["securitySchemes"] = {
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
        schema["security"] = [{}, {"key": []}, {"bearer": []}]
        app.openapi_schema = schema
    return app.openapi_schema
