"""How the vectors of an index in a folder are searched: `[vectors]` of its index.toml."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, cast, get_args

from lookalike.adapters.vectors_settings import Engine, VectorSettings
from lookalike.domain.errors import UsageError, suggest_names

_RECALLS: Final = ("image_recall", "text_recall")
_KNOWN: Final = ("engine", *_RECALLS)


def read_vectors(values: object, path: str) -> VectorSettings:
    """Return the settings that a table states; `path` names its file in errors.

    A recall other than the usual one is aimed at in segments of every size.

    Raises:
        UsageError: an entry is unknown, the engine is, or a recall does not lie between 0 and 1.
    """
    if not isinstance(values, dict):
        raise UsageError(f"{path}: vectors must be a table")
    table = cast("dict[str, object]", values)
    for key in table:
        if key not in _KNOWN:
            raise UsageError(f"{path}: vectors.{key} is not known", hint=suggest_names(key, _KNOWN))
    engine = table.get("engine", VectorSettings().engine)
    if engine not in get_args(Engine):
        raise UsageError(
            f"{path}: vectors.engine is {engine!r}", hint="one of " + ", ".join(get_args(Engine))
        )
    settings = VectorSettings.of_engine(cast("Engine", engine))
    for name in _RECALLS:
        usual = getattr(settings, name)
        recall = _recall(table, name, usual, path)
        if recall != usual:  # said, so it holds for large segments too
            settings = replace(settings, **{name: recall, f"many_{name}": recall})
    return settings


def render_vectors(settings: VectorSettings) -> str:
    """Return the text of the `[vectors]` table."""
    recalls = "".join(f"{name} = {getattr(settings, name)}\n" for name in _RECALLS)
    return f'[vectors]\nengine = "{settings.engine}"\n{recalls}'


def _recall(table: dict[str, object], name: str, usual: float, path: str) -> float:
    value = table.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise UsageError(f"{path}: vectors.{name} must lie between 0 and 1, not {value!r}")
    return float(value)
