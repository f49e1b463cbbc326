"""Filters for stores that know no masks: a record as terms and numbers, a filter as clauses.

A store that keeps the terms and numbers of each image answers any filter with three kinds of
clause. `meets` over them agrees with `domain.filters.matches` on every record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from lookalike.domain.filters import (
    NUMBER_FIELDS,
    Between,
    HasObject,
    NumberField,
    OneOf,
    number_of,
    words_of,
)
from lookalike.domain.licences import GROUPS, licence_matches, normalise_licence
from lookalike.domain.objects import counts_of
from lookalike.domain.shades import is_shade, shades_borne, shades_near

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.domain.filters import Filter
    from lookalike.domain.images import ImageRecord

_SHADE: Final = "shade"
_VERSIONED: Final = re.compile(r"(?P<licence>.+)-[\d.]+", re.S)


@dataclass(frozen=True, slots=True)
class FilterTerms:
    """What filters can ask of one image: terms such as `color:red`, and every number."""

    terms: frozenset[str]
    numbers: Mapping[NumberField, float]


@dataclass(frozen=True, slots=True)
class AnyTerm:
    """The image bears at least one of the terms; no terms, no image."""

    terms: frozenset[str]


@dataclass(frozen=True, slots=True)
class NoTerm:
    """The image bears none of the terms, or bears one of `unless`."""

    terms: frozenset[str]
    unless: frozenset[str] = frozenset()


Clause: TypeAlias = AnyTerm | NoTerm | Between
"""One condition of a conjunction."""


def terms_of(record: ImageRecord) -> FilterTerms:
    """Return the terms and numbers of a record."""
    terms = {
        f"{field}:{word}"
        for field in ("type", "color", "aspect", "size")
        for word in words_of(record, field)
    }
    for site in record.sites:
        terms.update(f"site:{part}" for part in _suffixes(site))
    for licence in record.licences:
        terms.add(f"licence:{licence}")
        if versioned := _VERSIONED.fullmatch(licence):
            terms.add(f"licence:{versioned['licence']}")
        terms.update(f"licences:{group}" for group in GROUPS if licence_matches(licence, group))
    terms.update(f"{_SHADE}:{cell}" for cell in shades_borne(record.facts.palette))
    for label, count in counts_of(record.objects).items():
        terms.update(_object(label, number) for number in range(1, count + 1))
    numbers: dict[NumberField, float] = {name: number_of(record, name) for name in NUMBER_FIELDS}
    return FilterTerms(frozenset(terms), numbers)


def clauses_of(filter_: Filter) -> tuple[Clause, ...]:
    """Return the clauses that must all hold; none for an empty filter."""
    return tuple(clause for condition in filter_.conditions for clause in _clauses(condition))


def meets(values: FilterTerms, clauses: tuple[Clause, ...]) -> bool:
    """Tell whether an image's terms and numbers meet every clause."""
    return all(_meets(values, clause) for clause in clauses)


def _meets(values: FilterTerms, clause: Clause) -> bool:
    if isinstance(clause, AnyTerm):
        return bool(values.terms & clause.terms)
    if isinstance(clause, NoTerm):
        return not values.terms & clause.terms or bool(values.terms & clause.unless)
    value, low, high = values.numbers[clause.field], clause.low, clause.high
    return ((low is None or value >= low) and (high is None or value <= high)) != clause.is_negated


def _clauses(condition: OneOf | Between | HasObject) -> Iterator[Clause]:
    if isinstance(condition, Between):
        yield condition
    elif isinstance(condition, OneOf):
        terms = frozenset(
            term for value in condition.values for term in _terms(condition.field, value)
        )
        yield NoTerm(terms) if condition.is_negated else AnyTerm(terms)
    else:
        yield from _object_clauses(condition)


def _object_clauses(condition: HasObject) -> Iterator[Clause]:
    label, low, high = condition.label, condition.at_least, condition.at_most
    enough = frozenset({_object(label, low)}) if low > 0 else None
    too_many = frozenset[str]() if high is None else frozenset({_object(label, max(high, 0) + 1)})
    if high is not None and high < 0:  # no count is that small
        too_many, enough = frozenset[str](), frozenset[str]()
    if not condition.is_negated:
        if enough is not None:
            yield AnyTerm(enough)
        if too_many:
            yield NoTerm(too_many)
    elif enough is None:
        yield AnyTerm(too_many)
    else:
        yield NoTerm(enough, too_many)


def _terms(field: str, value: str) -> Iterator[str]:
    """Yield the terms any of which a value of a word field stands for."""
    if field == "licence":
        is_group = value in GROUPS
        yield f"licences:{value}" if is_group else f"licence:{normalise_licence(value)}"
    elif field == "color" and is_shade(value):
        yield from (f"{_SHADE}:{cell}" for cell in shades_near(value))
    else:
        yield f"{field}:{value}"


def _object(label: str, count: int) -> str:
    return f"object:{count}:{label}"


def _suffixes(site: str) -> Iterator[str]:
    """Yield a site and every domain above it."""
    yield site
    for at, character in enumerate(site):
        if character == ".":
            yield site[at + 1 :]
