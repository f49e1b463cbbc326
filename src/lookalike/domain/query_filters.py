"""From the names and values of filters, as people write them, to conditions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from lookalike.domain.errors import FilterError, suggest_names
from lookalike.domain.filters import (
    Between,
    Condition,
    Filter,
    HasObject,
    NumberField,
    one_of,
    parse_date,
)
from lookalike.domain.objects import label_or_as_written, normal_label, resolve_label

ALIASES: Final = {
    "colour": "color",
    "license": "licence",
    "after": "since",
    "before": "until",
    "date": "taken",
}
"""Other spellings of filter names."""

WORD_NAMES: Final = ("color", "type", "size", "aspect", "licence", "site")
NUMBER_NAMES: Final[dict[str, NumberField]] = {
    "width": "width",
    "height": "height",
    "pixels": "pixels",
    "bytes": "bytes",
}
DATE_NAMES: Final[dict[str, NumberField]] = {"taken": "taken", "seen": "seen"}
FILTER_NAMES: Final = (*WORD_NAMES, *NUMBER_NAMES, *DATE_NAMES, "since", "until", "has")

OPTION_NAMES: Final = (
    *WORD_NAMES,
    "min_width",
    "max_width",
    "min_height",
    "max_height",
    "object",
    "since",
    "until",
)
"""Filters as options of the command line and parameters of HTTP."""

_UNITS: Final[dict[str, float]] = {
    "": 1,
    "b": 1,
    "px": 1,
    "k": 1e3,
    "kb": 1e3,
    "m": 1e6,
    "mb": 1e6,
    "mp": 1e6,
    "g": 1e9,
    "gb": 1e9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_UNITS_OF: Final = {
    "width": ("", "px"),
    "height": ("", "px"),
    "pixels": ("", "px", "k", "m", "mp"),
    "bytes": ("", "b", "k", "kb", "m", "mb", "g", "gb", "kib", "mib", "gib"),
}
_NUMBER: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]*)", re.ASCII)
_OPERATOR: Final = re.compile(r"(>=|<=|=>|=<|>|<|=|≥|≤)?(.*)", re.DOTALL)
_OBJECT: Final = re.compile(r"([^<>=≥≤]*)(.*)", re.DOTALL)
_QUOTED: Final = re.compile(r'["“”](.*)["“”](.*)', re.DOTALL)


def condition(
    name: str,
    value: str,
    *,
    suffix: str = "",
    is_negated: bool = False,
    is_quoted: bool = False,
    labels: Collection[str] = (),
) -> Condition:
    """Return the condition of one `name:value`; `suffix` is what follows a quoted value.

    The name is one of `FILTER_NAMES` or `ALIASES`; a value that does not fit raises
    `FilterError`, as does the name of an object that is neither COCO's nor among `labels`,
    unless it is quoted.
    """
    name = ALIASES.get(name, name)
    if name == "has":
        label, count = _object(value, suffix)
        resolve = label_or_as_written if is_quoted else resolve_label
        return _has(resolve(label, labels), count, is_negated=is_negated)
    value += suffix
    if name in WORD_NAMES:
        return one_of(name, _hosts(value) if name == "site" else value, is_negated=is_negated)
    if name in {"since", "until"}:
        if name == "since":
            return Between("taken", low=parse_date(value), is_negated=is_negated)
        return Between("taken", high=parse_date(value, is_end=True), is_negated=is_negated)
    if name in NUMBER_NAMES:
        field = NUMBER_NAMES[name]
        low, high = _bounds(name, value, lambda text: _number(name, text))
        return Between(field, low, high, is_negated)
    if name in DATE_NAMES:
        low, high = _date_bounds(name, value)
        return Between(DATE_NAMES[name], low, high, is_negated)
    raise FilterError(f"there is no filter {name}:", hint=suggest_names(name, FILTER_NAMES))


def filters_from_options(options: Mapping[str, object], *, labels: Collection[str] = ()) -> Filter:
    """Return the filter of options as the command line and HTTP take them.

    A value is a text, a number, or several of them (any of the words; every one of the
    objects); None and empty ones ask nothing. `labels` are those of another detector than COCO's;
    an object in quotes is taken as written. Errors name the option.
    """
    conditions: list[Condition] = []
    for given, value in options.items():
        name = ALIASES.get(given, given)
        if name not in OPTION_NAMES:
            raise FilterError(
                f"there is no filter option {given}", hint=suggest_names(given, OPTION_NAMES)
            )
        texts = [text for text in _texts(value) if text.strip()]
        if not texts:
            continue
        try:
            conditions += _option_conditions(name, texts, labels)
        except FilterError as error:
            raise FilterError(f"option {given}: {error.message}", hint=error.hint) from error
    return Filter(tuple(conditions))


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        items: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return [str(item) for item in items if item is not None]
    return [str(value)]


def _option_conditions(name: str, texts: list[str], labels: Collection[str]) -> list[Condition]:
    if name in WORD_NAMES:
        return [condition(name, ",".join(texts))]
    if name == "object":
        return [_object_option(text, labels) for text in texts]
    if len(texts) > 1:
        raise FilterError(f"takes one value, not {len(texts)}", hint="give it once")
    if name in {"since", "until"}:
        return [condition(name, texts[0])]
    bound, _, field = name.partition("_")
    number = _number(field, texts[0].strip())
    low, high = (number, None) if bound == "min" else (None, number)
    return [Between(NUMBER_NAMES[field], low, high)]


def _object_option(text: str, labels: Collection[str]) -> Condition:
    if quoted := _QUOTED.fullmatch(text.strip()):
        return condition("has", quoted[1], suffix=quoted[2], is_quoted=True, labels=labels)
    return condition("has", text, labels=labels)


def _object(value: str, suffix: str) -> tuple[str, str]:
    """Return the name of the object and what is said of its count."""
    count = suffix
    if not suffix:
        found = _OBJECT.match(value)
        value, count = (found[1], found[2]) if found else (value, "")
    label = normal_label(value)
    if not label:
        raise FilterError("has: needs the name of an object", hint="write has:dog or has:dog>=2")
    if "," in label:
        raise FilterError(
            "has: takes one object", hint="write has:dog has:cat for pictures with both"
        )
    return label, count


def _has(label: str, count: str, *, is_negated: bool) -> HasObject:
    if not count:
        return HasObject(label, is_negated=is_negated)
    low, high = _bounds("has", count, lambda text: _number("has", text))
    at_most = None if high is None else math.floor(high)
    return HasObject(label, math.ceil(low or 0), at_most, is_negated)


def _bounds(
    name: str, value: str, read: Callable[[str], float]
) -> tuple[float | None, float | None]:
    """Return the closed range over whole numbers that `>5`, `3..7`, `..7` or `5` means."""
    operator, rest = _split_operator(name, value)
    if ".." in rest and operator in {"", "="}:
        begin, _, end = rest.partition("..")
        return _in_order(name, read(begin) if begin else None, read(end) if end else None)
    number = read(rest)
    if operator == ">":
        return math.floor(number) + 1.0, None
    if operator == "<":
        return None, math.ceil(number) - 1.0
    return {">=": (number, None), "<=": (None, number)}.get(operator, (number, number))


def _date_bounds(name: str, value: str) -> tuple[float | None, float | None]:
    operator, rest = _split_operator(name, value)
    if ".." in rest and operator in {"", "="}:
        begin, _, end = rest.partition("..")
        low = parse_date(begin) if begin else None
        return _in_order(name, low, parse_date(end, is_end=True) if end else None)
    if operator == ">":
        return parse_date(rest, is_end=True) + 1.0, None
    if operator == "<":
        return None, parse_date(rest) - 1.0
    low, high = parse_date(rest), parse_date(rest, is_end=True)
    return {">=": (low, None), "<=": (None, high)}.get(operator, (low, high))


def _split_operator(name: str, value: str) -> tuple[str, str]:
    found = _OPERATOR.fullmatch(value.strip().lower() if name not in DATE_NAMES else value.strip())
    operator, rest = (found[1] or "", found[2].strip()) if found else ("", "")
    if rest in {"", ".."}:
        raise FilterError(f"{name}: needs a value", hint=f"write {name}:>5 or {name}:3..7")
    return {"≥": ">=", "=>": ">=", "≤": "<=", "=<": "<="}.get(operator, operator), rest


def _in_order(
    name: str, low: float | None, high: float | None
) -> tuple[float | None, float | None]:
    if low is not None and high is not None and low > high:
        raise FilterError(f"{name}: the range runs backwards", hint="write the smaller value first")
    return low, high


def _number(name: str, text: str) -> float:
    found = _NUMBER.fullmatch(text.lower())
    units = _UNITS_OF.get(name, ("",))
    if found is None:
        raise FilterError(
            f"{text!r} is not a number", hint=f"{name} takes numbers such as 800, >800 or 300..800"
        )
    if found[2] not in units:
        known = ", ".join(unit for unit in units if unit) or "none"
        raise FilterError(f"{found[2]!r} is no unit of {name}", hint=f"known units: {known}")
    return float(found[1]) * _UNITS[found[2]]


def _hosts(value: str) -> str:
    hosts = (part.strip().rpartition("://")[2].partition("/")[0] for part in value.split(","))
    return ",".join(hosts)
