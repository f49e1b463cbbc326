"""Logs as JSON lines that carry the id of the request they were written for."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Generator

_REQUEST_ID: Final[ContextVar[str]] = ContextVar("lookalike_request_id", default="")


@contextmanager
def bind_request_id(request_id: str) -> Generator[None]:
    """Name the request for every line logged inside the block, by this task or thread.

    The binding goes with the context: `asyncio.to_thread` and tasks started inside keep it.
    """
    token = _REQUEST_ID.set(request_id)
    try:
        yield
    finally:
        _REQUEST_ID.reset(token)


def current_request_id() -> str:
    """Return the id bound by `bind_request_id`, or an empty string."""
    return _REQUEST_ID.get()


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON, ASCII only, so that no value can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a mapping `fields` of the record is laid beside its message."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := current_request_id():
            line["request_id"] = request_id
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def configure_logs(stream: TextIO | None = None) -> None:
    """Send the logs of a command that runs for long to standard error, a JSON object a line.

    Other libraries are heard from a warning on: their clients tell of every call.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("lookalike").setLevel(logging.INFO)
