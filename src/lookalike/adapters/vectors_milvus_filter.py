"""Filters as Milvus expressions, and what they read as fields of an entity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters.vectors_terms import bounded_terms
from lookalike.domain.filter_terms import AnyTerm, NoTerm
from lookalike.domain.filters import NUMBER_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lookalike.domain.filter_terms import Clause, FilterTerms

DESCRIBED: Final = "described"
"""True where an image came with terms; what came without is found only where no filter is set."""

TERMS: Final = "terms"
MOST_TERMS: Final = 4096
"""What Milvus lets an array hold."""
MOST_TERM_BYTES: Final = 1024

_NEVER: Final = "row < 0"
_ALWAYS: Final = "row >= 0"


def described(values: FilterTerms | None) -> dict[str, Any]:
    """Return the fields that filters read of one image."""
    if values is None:
        return {DESCRIBED: False, TERMS: [], **dict.fromkeys(NUMBER_FIELDS, 0.0)}
    terms = bounded_terms(
        values.terms, most=MOST_TERMS, most_bytes=MOST_TERMS * MOST_TERM_BYTES,
        most_term_bytes=MOST_TERM_BYTES,
    )  # fmt: skip
    numbers = {name: float(values.numbers[name]) for name in NUMBER_FIELDS}
    return {DESCRIBED: True, TERMS: terms, **numbers}


def expression_of(clauses: Iterable[Clause]) -> str:
    """Return the expression that is true of the images that meet every clause."""
    return " and ".join([f"{DESCRIBED} == true", *map(_expression, clauses)])


def _expression(clause: Clause) -> str:
    if isinstance(clause, AnyTerm):
        return _bears(clause.terms)
    if isinstance(clause, NoTerm):
        if not clause.terms:
            return _ALWAYS
        without = f"not {_bears(clause.terms)}"
        return f"({without} or {_bears(clause.unless)})" if clause.unless else f"({without})"
    bounds = [
        f"{clause.field} {sign} {_number(bound)}"
        for sign, bound in ((">=", clause.low), ("<=", clause.high))
        if bound is not None and not (math.isinf(bound) and (bound > 0) == (sign == "<="))
    ]
    if any(bound is not None and math.isnan(bound) for bound in (clause.low, clause.high)):
        bounds = [_NEVER]
    if not bounds:
        return _NEVER if clause.is_negated else _ALWAYS
    inside = f"({' and '.join(bounds)})"
    return f"(not {inside})" if clause.is_negated else inside


def _bears(terms: frozenset[str]) -> str:
    if not terms:
        return _NEVER
    return f"array_contains_any({TERMS}, [{', '.join(map(_quoted, sorted(terms)))}])"


def _quoted(text: str) -> str:
    r"""Return a string literal: it ends at the first quote that no backslash stands before."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    for control, written in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        escaped = escaped.replace(control, written)
    return f'"{escaped}"'


def _number(value: float) -> str:
    if math.isinf(value):  # no bound is that far, so a number beyond every other
        value = math.copysign(1.7e308, value)
    return repr(float(value))
