"""From what is asked of the text path to Tantivy's query objects; no query parser is involved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from lookalike.adapters.text_schema import (
    FIELDS,
    OCR,
    PART_SCORE,
    PARTS,
    ROW,
    Analysis,
    TextIndexSettings,
    stem_field,
)
from lookalike.adapters.text_words import PART, is_within_words, parts_of

if TYPE_CHECKING:
    import tantivy

    from lookalike.domain.queries import TextMatch


class QueryCompiler:
    """Builds queries over the weighted fields of one schema."""

    def __init__(
        self, schema: tantivy.Schema, analysis: Analysis, settings: TextIndexSettings
    ) -> None:
        import tantivy

        self._tantivy = tantivy
        self._schema = schema
        self._analysis = analysis
        self._exact_weight = settings.exact_weight
        self._weights = settings.field_weights()

    def compile(self, match: TextMatch) -> tantivy.Query | None:
        """Return the query of a match, or None where nothing it asks can be found."""
        occur = self._tantivy.Occur
        demands = [
            *self._phrases(match.phrases, FIELDS),
            *(self._readable(terms) for terms in self._analysed(match.ocr_phrases)),
        ]
        scored = [
            (occur.Should, query)
            for term in self._analysis.query_terms(match.words)
            for query in self._scored(term)
        ]
        if not demands and not scored:
            return None
        refused = [(occur.MustNot, query) for query in self._excluded(match)]
        return self._tantivy.Query.boolean_query(
            [*((occur.Must, query) for query in demands), *scored, *refused]
        )

    def compile_field(self, match: TextMatch, name: str) -> tantivy.Query | None:
        """Return the query of a match's words in one field; None where it scores nothing."""
        scored = [
            (self._tantivy.Occur.Should, query)
            for term in self._analysis.query_terms(match.words)
            for query in self._scored(term, [name])
        ]
        return self._tantivy.Query.boolean_query(scored) if scored else None

    def any_of(self, rows: Iterable[int]) -> tantivy.Query:
        """Return the query of the rows alone.

        A union of single terms is several times as fast as Tantivy's term set up to a few
        thousand rows (see docs/adr/0006-text-index.md).
        """
        should = self._tantivy.Occur.Should
        return self._tantivy.Query.boolean_query([(should, self._term(ROW, row)) for row in rows])

    def among(self, query: tantivy.Query, rows: Iterable[int]) -> tantivy.Query:
        """Return `query` narrowed to the rows, its scores unchanged."""
        return self.narrowed(query, self.scoreless(rows))

    def scoreless(self, rows: Iterable[int]) -> tantivy.Query:
        """Return the query of the rows that adds nothing to a score."""
        return self._tantivy.Query.const_score_query(self.any_of(rows), 0.0)

    def narrowed(self, query: tantivy.Query, rows: tantivy.Query) -> tantivy.Query:
        """Return `query` where `rows` matches too."""
        must = self._tantivy.Occur.Must
        return self._tantivy.Query.boolean_query([(must, query), (must, rows)])

    def explained(
        self, match: TextMatch, doc_freq: Callable[[str, str], int]
    ) -> list[tuple[str, tantivy.Query]]:
        """Return a name `field:term` and a query for each thing that could match.

        `doc_freq` counts the documents that hold an analysed term in an index field.
        """
        named: list[tuple[str, tantivy.Query]] = []
        for term in self._analysis.query_terms(match.words):
            stem = self._analysis.stem(term)
            named += [
                (f"{name}:{term}", self._either(name, term))
                for name in FIELDS
                if doc_freq(name, term) or doc_freq(stem_field(name), stem)
            ]
        for terms in self._analysed(match.phrases):
            named += [
                (f"{name}:{shown_terms(terms)}", self._phrase(name, terms)) for name in FIELDS
            ]
        for terms in self._analysed(match.ocr_phrases):
            named.append((f"{OCR}:{shown_terms(terms)}", self._part(terms)))
        return list({name: (name, query) for name, query in named}.values())

    def _scored(self, term: str, names: Sequence[str] = FIELDS) -> list[tantivy.Query]:
        boost = self._tantivy.Query.boost_query
        stem = self._analysis.stem(term)
        queries: list[tantivy.Query] = []
        for name in names:
            weight = self._weights[name]
            if weight > 0:
                queries.append(boost(self._term(stem_field(name), stem), weight))
            if weight * self._exact_weight > 0:
                queries.append(boost(self._term(name, term), weight * self._exact_weight))
        return queries

    def _phrases(self, phrases: Sequence[str], fields: Sequence[str]) -> list[tantivy.Query]:
        kinds, should = self._tantivy.Query, self._tantivy.Occur.Should
        return [
            kinds.boolean_query(
                [
                    (should, kinds.boost_query(self._phrase(name, terms), self._weights[name]))
                    for name in fields
                ]
            )
            for terms in self._analysed(phrases)
        ]

    def _excluded(self, match: TextMatch) -> list[tantivy.Query]:
        words = [
            self._either(name, terms[0]) if len(terms) == 1 else self._phrase(name, terms)
            for terms in self._analysed(match.excluded)
            for name in FIELDS
        ]
        return [*words, *(self._part(terms) for terms in self._analysed(match.ocr_excluded))]

    def _readable(self, terms: Sequence[str]) -> tantivy.Query:
        """Return the query of a phrase in the text of the picture, whole words first."""
        kinds, occur = self._tantivy.Query, self._tantivy.Occur
        whole = kinds.boost_query(self._phrase(OCR, terms), self._weights[OCR])
        part = kinds.const_score_query(self._part(terms), PART_SCORE)
        return kinds.boolean_query([(occur.Must, part), (occur.Should, whole)])

    def _part(self, terms: Sequence[str]) -> tantivy.Query:
        """Return the query of a phrase that may begin and end inside words."""
        text = " ".join(terms)
        if len(text) < PART:  # letters, marks and digits alone: no syntax of a pattern
            field = PARTS if is_within_words(text) else OCR
            return self._tantivy.Query.regex_query(self._schema, field, f"{text}.*")
        return self._phrase(PARTS, parts_of(text))

    def _analysed(self, phrases: Sequence[str]) -> list[list[str]]:
        analysed = (self._analysis.terms(phrase) for phrase in phrases)
        return [terms for terms in analysed if terms]

    def _either(self, name: str, term: str) -> tantivy.Query:
        should = self._tantivy.Occur.Should
        stem = self._term(stem_field(name), self._analysis.stem(term))
        return self._tantivy.Query.boolean_query([(should, self._term(name, term)), (should, stem)])

    def _phrase(self, name: str, terms: Sequence[str]) -> tantivy.Query:
        if len(terms) == 1:
            return self._term(name, terms[0])
        return self._tantivy.Query.phrase_query(self._schema, name, list(terms))

    def _term(self, name: str, value: str | int) -> tantivy.Query:
        return self._tantivy.Query.term_query(self._schema, name, value)


def shown_terms(terms: Sequence[str]) -> str:
    """Return a phrase as it is shown to explain a hit."""
    return terms[0] if len(terms) == 1 else f'"{" ".join(terms)}"'
