"""The archives that one name means: a file, a folder of them, or a pattern."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.domain.errors import SourceError
from lookalike.domain.sources import GlobPattern, expand_braces, has_suffix, is_glob, natural_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def archives_named(name: str, suffixes: Sequence[str]) -> Iterator[str]:
    """Yield the absolute paths of the archives that a name means, in natural order."""
    path = os.path.abspath(os.path.expanduser(name))
    if os.path.isdir(path):
        for entry in names_in(path):
            if has_suffix(entry, suffixes):
                yield os.path.join(path, entry)
    elif os.path.lexists(path) or not is_glob(name):
        yield path
    else:
        for text in expand_braces(name):
            yield from _matching(text, suffixes)


def names_in(folder: str) -> list[str]:
    """Return the names in a folder, in natural order.

    Raises:
        SourceError: it cannot be listed.
    """
    try:
        return sorted(os.listdir(folder), key=natural_key)
    except OSError as error:
        raise SourceError(f"cannot list the folder {folder}: {error.strerror}") from error


def _matching(text: str, suffixes: Sequence[str]) -> Iterator[str]:
    """Yield the files that one pattern without braces means; a plain name is yielded as it is."""
    pattern = GlobPattern.parse(text)
    root = os.path.abspath(pattern.root)
    if not any(is_glob(segment) for segment in pattern.segments):
        yield os.path.join(root, *pattern.segments)
        return
    for folder, below, names in os.walk(root):
        parts = Path(folder).relative_to(root).parts
        below[:] = [n for n in sorted(below, key=natural_key) if pattern.may_hold((*parts, n))]
        for name in sorted(names, key=natural_key):
            if pattern.matches((*parts, name)) and has_suffix(name, suffixes):
                yield os.path.join(folder, name)
