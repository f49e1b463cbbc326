"""The page at `/`: static files that need nothing beyond this server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from fastapi import FastAPI

STATIC: Final = Path(__file__).parent / "static"
_REVALIDATE: Final = {"cache-control": "no-cache"}


class _PageFiles(StaticFiles):
    """Static files that a browser asks about each time, so that an upgrade is seen at once."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """Return the file's response with the caching of the page."""
        response = super().file_response(*args, **kwargs)  # pyright: ignore[reportArgumentType]
        response.headers.update(_REVALIDATE)
        return response


def install_page(app: FastAPI) -> None:
    """Serve the page and its files."""
    app.add_api_route("/", _index, methods=["GET", "HEAD"], include_in_schema=False)
    app.add_api_route("/favicon.ico", _icon, methods=["GET"], include_in_schema=False)
    app.mount("/static", _PageFiles(directory=STATIC), name="static")


async def _index() -> Response:
    return FileResponse(STATIC / "index.html", media_type="text/html", headers=_REVALIDATE)


async def _icon() -> Response:
    return FileResponse(STATIC / "icon.svg", media_type="image/svg+xml", headers=_REVALIDATE)
