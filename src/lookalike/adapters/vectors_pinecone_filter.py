"""Filters in Pinecone's query language, and what they read as a vector's metadata."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters.vectors_terms import bounded_terms
from lookalike.domain.filter_terms import AnyTerm, NoTerm
from lookalike.domain.filters import NUMBER_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lookalike.domain.filter_terms import Clause, FilterTerms
    from lookalike.domain.filters import Between

DESCRIBED: Final = "described"
"""True where an image came with terms; what came without is found only where no filter is set."""

TERMS: Final = "terms"
_ALL: Final = "*"
"""A term that every image bears, so that the list is never empty: what `$nin` says of an empty
or missing list is not published."""

MOST_TERMS: Final = 2000
MOST_TERM_BYTES: Final = 30_000
"""With quotes, commas and numbers they fit the 40 KB that a vector's metadata may have."""

_DESCRIBED: Final[dict[str, Any]] = {DESCRIBED: {"$eq": True}}
_NEVER: Final[dict[str, Any]] = {DESCRIBED: {"$eq": False}}


def metadata_of(values: FilterTerms | None) -> dict[str, Any]:
    """Return the metadata that filters read of one image."""
    if values is None:
        return {DESCRIBED: False}
    terms = bounded_terms(
        values.terms, most=MOST_TERMS, most_bytes=MOST_TERM_BYTES, most_term_bytes=1024
    )
    numbers = {name: float(values.numbers[name]) for name in NUMBER_FIELDS}
    return {DESCRIBED: True, TERMS: [_ALL, *terms], **numbers}


def query_filter_of(clauses: Iterable[Clause]) -> dict[str, Any]:
    """Return the filter that images which meet every clause pass."""
    return {"$and": [_DESCRIBED, *(part for clause in clauses for part in _parts(clause))]}


def _parts(clause: Clause) -> list[dict[str, Any]]:
    """Return conditions that must all hold."""
    if isinstance(clause, AnyTerm):
        return [_bears(clause.terms)] if clause.terms else [_NEVER]
    if isinstance(clause, NoTerm):
        if not clause.terms:
            return []
        without = {TERMS: {"$nin": sorted(clause.terms)}}
        return [{"$or": [without, _bears(clause.unless)]}] if clause.unless else [without]
    return _outside(clause) if clause.is_negated else _inside(clause)


def _bears(terms: frozenset[str]) -> dict[str, Any]:
    return {TERMS: {"$in": sorted(terms)}}


def _inside(clause: Between) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for sign, bound, nowhere in (("$gte", clause.low, 1), ("$lte", clause.high, -1)):
        if bound is None:
            continue
        if math.isnan(bound) or bound == nowhere * math.inf:
            return [_NEVER]
        if not math.isinf(bound):
            parts.append({clause.field: {sign: bound}})
    return parts


def _outside(clause: Between) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for sign, bound, nowhere in (("$lt", clause.low, 1), ("$gt", clause.high, -1)):
        if bound is None:
            continue
        if math.isnan(bound) or bound == nowhere * math.inf:
            return []
        if not math.isinf(bound):
            parts.append({clause.field: {sign: bound}})
    return [{"$or": parts}] if parts else [_NEVER]
