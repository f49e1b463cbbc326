"""From what is asked of the text path to Elasticsearch's queries, as `text_query` to Tantivy's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from lookalike.adapters.text_elasticsearch_schema import TERMS, storable
from lookalike.adapters.text_query import shown_terms
from lookalike.adapters.text_schema import (
    FIELDS,
    OCR,
    PART_SCORE,
    PARTS,
    Analysis,
    TextIndexSettings,
    stem_field,
)
from lookalike.adapters.text_words import PART, is_within_words, parts_of
from lookalike.domain.errors import QueryError, StoreError
from lookalike.domain.filter_terms import AnyTerm, NoTerm, clauses_of

if TYPE_CHECKING:
    from lookalike.domain.filter_terms import Clause
    from lookalike.domain.filters import Between, Filter
    from lookalike.domain.hits import Selection
    from lookalike.domain.queries import TextMatch

Query: TypeAlias = dict[str, Any]

MOST_CLAUSES: Final = 960
"""Terms in one search; OpenSearch takes 1024 unless told otherwise."""

MOST_TERMS: Final = 65_536
"""Values in one `terms` query (index.max_terms_count)."""

NOTHING: Final[Query] = {"match_none": {}}


class ElasticsearchQueries:
    """Builds queries over the weighted fields; nothing of a user is ever syntax.

    `scale` multiplies every score (`text_elasticsearch_versions.bm25_scale`).
    """

    def __init__(
        self, analysis: Analysis, settings: TextIndexSettings, *, scale: float = 1.0
    ) -> None:
        self._analysis = analysis
        self._exact_weight = settings.exact_weight
        self._weights = {name: weight * scale for name, weight in settings.field_weights().items()}

    def compile(self, match: TextMatch) -> Query | None:
        """Return the query of a match, or None where nothing it asks can be found.

        Of very many words the first are scored, as many as one search may hold.

        Raises:
            QueryError: the phrases alone are more than one search may hold.
        """
        demands = [
            *self._phrases(match.phrases, FIELDS),
            *(self._readable(terms) for terms in self._analysed(match.ocr_phrases)),
        ]
        terms = self._analysis.query_terms(match.words)
        if not demands and not terms:
            return None
        refused = self._excluded(match)
        scored: list[Query] = []
        room = MOST_CLAUSES - _clauses(demands) - _clauses(refused)
        for term in terms:
            queries = self._scored(term)
            if len(queries) > room - len(scored):
                break
            scored += queries
        if room < 0 or not (demands or scored):
            raise QueryError("the query holds too many words", hint="ask for fewer phrases")
        found: Query = {"should": scored, "must": demands, "must_not": refused}
        return {"bool": {kind: queries for kind, queries in found.items() if queries}}

    def compile_field(self, match: TextMatch, name: str) -> Query | None:
        """Return the query of a match's words in one field; None where it scores nothing."""
        terms = self._analysis.query_terms(match.words)
        scored = [query for term in terms for query in self._scored(term, [name])]
        return any_of(scored[:MOST_CLAUSES]) if scored else None

    def named(self, match: TextMatch) -> dict[str, Query]:
        """Return a query for each `field:term` that could match, by its name."""
        named: dict[str, Query] = {}
        for term in self._analysis.query_terms(match.words):
            for name in FIELDS:
                named[f"{name}:{term}"] = self._either(name, term)
        for terms in self._analysed(match.phrases):
            for name in FIELDS:
                named[f"{name}:{shown_terms(terms)}"] = _phrase(name, terms)
        for terms in self._analysed(match.ocr_phrases):
            named[f"{OCR}:{shown_terms(terms)}"] = _part(terms)
        return named

    def _scored(self, term: str, names: Sequence[str] = FIELDS) -> list[Query]:
        stem = self._analysis.stem(term)
        queries: list[Query] = []
        for name in names:
            weight = self._weights[name]
            if weight > 0:
                queries.append(_term(stem_field(name), stem, weight))
            if weight * self._exact_weight > 0:
                queries.append(_term(name, term, weight * self._exact_weight))
        return queries

    def _phrases(self, phrases: Sequence[str], fields: Sequence[str]) -> list[Query]:
        return [
            any_of([_phrase(name, terms, self._weights[name]) for name in fields])
            for terms in self._analysed(phrases)
        ]

    def _excluded(self, match: TextMatch) -> list[Query]:
        words = [
            self._either(name, terms[0]) if len(terms) == 1 else _phrase(name, terms)
            for terms in self._analysed(match.excluded)
            for name in FIELDS
        ]
        return [*words, *(_part(terms) for terms in self._analysed(match.ocr_excluded))]

    def _readable(self, terms: Sequence[str]) -> Query:
        """Return the query of a phrase in the text of the picture, whole words first."""
        part = {"constant_score": {"filter": _part(terms), "boost": PART_SCORE}}
        return {"bool": {"must": [part], "should": [_phrase(OCR, terms, self._weights[OCR])]}}

    def _analysed(self, phrases: Sequence[str]) -> list[list[str]]:
        analysed = (self._analysis.terms(phrase) for phrase in phrases)
        return [terms for terms in analysed if terms]

    def _either(self, name: str, term: str) -> Query:
        return any_of([_term(name, term), _term(stem_field(name), self._analysis.stem(term))])


def any_of(queries: Sequence[Query]) -> Query:
    """Return the query that matches where one of some does."""
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


def narrowed(query: Query, conditions: Sequence[Query]) -> Query:
    """Return a query that matches where the conditions hold too, its scores unchanged."""
    return {"bool": {"must": [query], "filter": list(conditions)}} if conditions else query


def conditions_of(selection: Selection | None) -> list[Query]:
    """Return what a selection demands."""
    if selection is None:
        return []
    if selection.mask is not None:
        raise StoreError("this text index takes no masks", hint="give it the filter alone")
    return filter_queries(selection.filter)


def filter_queries(filter_: Filter) -> list[Query]:
    """Return queries that must all match; none for an empty filter."""
    return [_condition(clause) for clause in clauses_of(filter_)]


def portions(named: Mapping[str, Query]) -> Iterator[dict[str, Query]]:
    """Yield named queries, as many at once as one search may hold."""
    portion: dict[str, Query] = {}
    room = MOST_CLAUSES
    for name, query in named.items():
        count = _clauses([query])
        if portion and count > room:
            yield portion
            portion, room = {}, MOST_CLAUSES
        portion[name] = query
        room -= count
    if portion:
        yield portion


def terms_query(field: str, values: Iterable[Any]) -> Query:
    """Return the query of documents that bear one of the values."""
    listed = list(values)
    parts: list[Query] = [
        {"terms": {field: listed[begin : begin + MOST_TERMS]}}
        for begin in range(0, len(listed), MOST_TERMS)
    ]
    return NOTHING if not parts else parts[0] if len(parts) == 1 else any_of(parts)


def _condition(clause: Clause) -> Query:
    if isinstance(clause, AnyTerm):
        return _bearing(clause.terms)
    if isinstance(clause, NoTerm):
        without = _not(_bearing(clause.terms))
        return any_of([without, _bearing(clause.unless)]) if clause.unless else without
    found = _range(clause)
    return _not(found) if clause.is_negated else found


def _bearing(terms: frozenset[str]) -> Query:
    return terms_query(TERMS, sorted(storable(term) for term in terms))


def _range(clause: Between) -> Query:
    bounds: dict[str, float] = {}
    for name, bound, open_end in (("gte", clause.low, -math.inf), ("lte", clause.high, math.inf)):
        if bound is None or bound == open_end:
            continue
        if not math.isfinite(bound):
            return NOTHING
        bounds[name] = bound
    return {"range": {clause.field: bounds}} if bounds else {"exists": {"field": clause.field}}


def _not(query: Query) -> Query:
    return {"bool": {"must_not": [query]}}


def _term(name: str, value: str, weight: float = 1.0) -> Query:
    return {"term": {name: {"value": value, "boost": weight}}}


def _phrase(name: str, terms: Sequence[str], weight: float = 1.0) -> Query:
    if len(terms) == 1:
        return _term(name, terms[0], weight)
    return {"match_phrase": {name: {"query": " ".join(terms), "boost": weight}}}


def _part(terms: Sequence[str]) -> Query:
    """Return the query of a phrase that may begin and end inside words."""
    text = " ".join(terms)
    if len(text) < PART:
        return {"prefix": {PARTS if is_within_words(text) else OCR: {"value": text}}}
    return _phrase(PARTS, parts_of(text))


def _clauses(queries: Sequence[Query]) -> int:
    """Count the terms that queries hold, as the server does."""
    count = 0
    for query in queries:
        kind, content = next(iter(query.items()))
        if kind == "bool":
            count += sum(_clauses(inner) for inner in content.values() if isinstance(inner, list))
        elif kind == "constant_score":
            count += _clauses([content["filter"]])
        elif kind == "match_phrase":
            count += len(next(iter(content.values()))["query"].split(" "))
        else:
            count += 1
    return count
