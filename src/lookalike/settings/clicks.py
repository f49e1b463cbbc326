"""What is kept of users' clicks: `[clicks]` of an index or a cluster; nothing unless asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import cast

from lookalike.domain.errors import UsageError, suggest_names

_MOST_DAYS = 3650
_MOST_ANSWERS = 100_000_000


@dataclass(frozen=True, slots=True)
class ClickSettings:
    """What the server keeps of answers and clicks.

    `is_text_kept` keeps the words of queries, else their keyed hash alone; `is_text_offered` lets
    completion offer kept queries that several answers had to everyone. `swap_share` is the
    share of answers of which two of the first positions are drawn, and swapped half of the time;
    in `mixed_share` of them the nearest by vectors take turns with the usual order.
    """

    is_logged: bool = False
    is_text_kept: bool = False
    is_text_offered: bool = False
    swap_share: float = 0.01
    mixed_share: float = 0.05
    days: int = 90
    most_answers: int = 100_000


def read_clicks(values: object, path: str) -> ClickSettings:
    """Return the settings that a table states; `path` names its file in errors.

    Raises:
        UsageError: an entry is unknown, has another type or lies outside of its bounds.
    """
    if not isinstance(values, dict):
        raise UsageError(f"{path}: clicks must be a table")
    table = cast("dict[str, object]", values)
    usual = ClickSettings()
    known = [one.name for one in fields(ClickSettings)]
    for key, value in table.items():
        if key not in known:
            raise UsageError(f"{path}: clicks.{key} is not known", hint=suggest_names(key, known))
        is_bool = isinstance(value, bool)
        kind = getattr(usual, key)
        is_fine = is_bool if isinstance(kind, bool) else isinstance(value, int) and not is_bool
        if isinstance(kind, float):
            is_fine = isinstance(value, int | float) and not is_bool
        if not is_fine:
            raise UsageError(f"{path}: clicks.{key} is {value!r}", hint=f"as in {_text(kind)}")
    settings = ClickSettings(
        is_logged=bool(table.get("is_logged", usual.is_logged)),
        is_text_kept=bool(table.get("is_text_kept", usual.is_text_kept)),
        is_text_offered=bool(table.get("is_text_offered", usual.is_text_offered)),
        swap_share=float(cast("float", table.get("swap_share", usual.swap_share))),
        mixed_share=float(cast("float", table.get("mixed_share", usual.mixed_share))),
        days=cast("int", table.get("days", usual.days)),
        most_answers=cast("int", table.get("most_answers", usual.most_answers)),
    )
    for key, value, most in (
        ("swap_share", settings.swap_share, 1.0),
        ("mixed_share", settings.mixed_share, 1.0),
        ("days", settings.days, _MOST_DAYS),
        ("most_answers", settings.most_answers, _MOST_ANSWERS),
    ):
        least = 0.0 if key.endswith("share") else 1
        if not least <= value <= most:
            raise UsageError(f"{path}: clicks.{key} must lie between {least:g} and {most:g}")
    return settings


def render_clicks(settings: ClickSettings) -> str:
    """Return the text of the `[clicks]` table."""
    lines = [f"{one.name} = {_text(getattr(settings, one.name))}" for one in fields(settings)]
    return "[clicks]\n" + "\n".join(lines) + "\n"


def _text(value: object) -> str:
    return json.dumps(value)
