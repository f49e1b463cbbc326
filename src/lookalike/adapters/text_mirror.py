"""Reading a text index where nothing can be written: Tantivy takes a lock file even to read."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path


def is_read_only(folder: Path) -> bool:
    """Tell whether no file can be made in a folder."""
    return not os.access(folder, os.W_OK)


def mirror(folder: Path) -> Path:
    """Return a temporary folder of links to the files of an index, but for its locks."""
    place = Path(tempfile.mkdtemp(prefix="lookalike-text-"))
    for path in folder.absolute().iterdir():
        if path.suffix != ".lock":
            (place / path.name).symlink_to(path)
    return place


def drop_with(owner: object, place: Path) -> None:
    """Delete a mirror when its owner goes."""
    weakref.finalize(owner, shutil.rmtree, place, ignore_errors=True)
