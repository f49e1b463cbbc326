"""Opening an index the way every command does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.settings import load_settings

if TYPE_CHECKING:
    from lookalike.engine.engine import Engine
    from lookalike.wiring.embedded import OpenOptions


def index_folder(given: Path | None) -> Path:
    """Return the folder of `--index`, of the environment, or the default."""
    return given if given is not None else load_settings().index


def open_engine(given: Path | None, options: OpenOptions | None = None) -> Engine:
    """Open the index that a command was asked for."""
    from lookalike.wiring.embedded import open_index

    return open_index(index_folder(given), options)
