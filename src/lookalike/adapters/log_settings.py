"""Settings of ingest logs, read by name and kind."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from lookalike.domain.errors import UsageError, suggest_names

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def read_settings(
    kind: type[Any], settings: Mapping[str, object], *, taken: Collection[str]
) -> dict[str, Any]:
    """Return the settings as values for the fields of an options class.

    Raises:
        UsageError: one is unknown, or of another kind than its default.
    """
    known = {
        each.name: each.default
        for each in fields(kind)
        if each.default is not MISSING and each.name not in taken
    }
    values: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in known:
            raise UsageError(
                f"an ingest log has no setting {name!r}", hint=suggest_names(name, known)
            )
        values[name] = _checked(name, value, known[name])
    return values


def _checked(name: str, value: object, usual: object) -> object:
    if isinstance(usual, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is type(usual):
        return value
    raise UsageError(
        f"the setting {name!r} of an ingest log is like {usual!r}, not {type(value).__name__}",
        hint="see its default",
    )
