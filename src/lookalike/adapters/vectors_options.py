"""What the options of every vector server share: typed settings out of a table of words."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Final

from lookalike.domain.errors import UsageError, suggest_names

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from urllib.parse import SplitResult

HOST_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9a-fA-F:]{2,39}")


def checked_settings(
    kind: type, settings: Mapping[str, object], fixed: Collection[str]
) -> dict[str, Any]:
    """Return settings as the types of a dataclass's defaults; `fixed` fields are not settings.

    Raises:
        UsageError: a setting is unknown or of the wrong type.
    """
    known: dict[str, Any] = {
        one.name: one.default
        for one in fields(kind)
        if one.name not in fixed and one.default is not MISSING
    }
    chosen: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in known:
            raise UsageError(f"there is no vector setting {name}", hint=suggest_names(name, known))
        chosen[name] = _checked(name, value, known[name])
    return chosen


def refuse_secrets(parts: SplitResult) -> None:
    """Refuse credentials inside a URL: it is shown in errors and logs."""
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(
            "the URL of a vector store holds no credentials, query or fragment",
            hint="secrets come from the environment, the rest from settings",
        )


def check_positive(options: object, names: Collection[str]) -> None:
    """Refuse settings that are zero or less."""
    for name in names:
        if getattr(options, name) <= 0:
            raise UsageError(f"{name} must be above 0", hint="leave it out for the default")


def check_among(name: str, value: str, known: Collection[str]) -> None:
    """Refuse a word that is not known."""
    if value not in known:
        raise UsageError(f"{name} {value!r} is not known", hint=suggest_names(value, known))


def _checked(name: str, value: object, usual: object) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(usual, bool):
        is_fit = isinstance(value, bool)
    elif isinstance(usual, float):
        is_fit = is_number
        value = float(value) if isinstance(value, int | float) else value
    elif isinstance(usual, int):
        is_fit = is_number and isinstance(value, int)
    else:
        is_fit = isinstance(value, str)
    if not is_fit:
        raise UsageError(f"{name} cannot be {value!r}", hint=f"the default is {usual!r}")
    return value
