"""The report file of a run: one line for each source that could not be indexed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TextIO

from lookalike.domain.answers import printable

if TYPE_CHECKING:
    from pathlib import Path


class RefusalFile:
    """Writes `{"uri", "reason", "detail"}` lines; the file exists only if there is one."""

    def __init__(self, path: Path | None) -> None:
        """Remember where to write; None writes nowhere."""
        self._path = path
        self._file: TextIO | None = None

    @property
    def path(self) -> Path | None:
        """The file, once a line was written."""
        return self._path if self._file is not None else None

    def write(self, uri: str, reason: str, detail: str) -> None:
        """Add a line."""
        if self._path is None:
            return
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("w", encoding="utf-8")
        line = {"uri": printable(uri), "reason": reason, "detail": printable(detail)}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()
