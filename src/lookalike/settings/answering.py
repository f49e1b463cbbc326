"""How searches are answered: `[search]` of an index or a cluster."""

from __future__ import annotations

from dataclasses import fields
from typing import cast

from lookalike.domain.errors import UsageError, suggest_names
from lookalike.domain.queries import Answering


def read_answering(values: object, path: str) -> Answering:
    """Return the settings that a table states; `path` names its file in errors.

    Raises:
        UsageError: an entry is unknown, is no number or does not lie between 0 and 1.
    """
    if not isinstance(values, dict):
        raise UsageError(f"{path}: search must be a table")
    known = [one.name for one in fields(Answering)]
    found: dict[str, float] = {}
    for key, value in cast("dict[str, object]", values).items():
        if key not in known:
            raise UsageError(f"{path}: search.{key} is not known", hint=suggest_names(key, known))
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UsageError(f"{path}: search.{key} must lie between 0 and 1, not {value!r}")
        found[key] = float(value)
    return Answering(**found)


def render_answering(settings: Answering) -> str:
    """Return the text of the `[search]` table."""
    lines = [f"{one.name} = {getattr(settings, one.name)}" for one in fields(settings)]
    return "[search]\n" + "\n".join(lines) + "\n"
