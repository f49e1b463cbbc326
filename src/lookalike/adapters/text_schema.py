"""The fields of the Tantivy index, how they are analysed and how a document is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lookalike.adapters.text_words import (
    LONGEST_TOKEN,
    STOP_WORDS,
    WORD_PATTERN,
    indexable,
    joined_parts,
    path_words,
)
from lookalike.domain.errors import UnknownNameError, suggest_names

if TYPE_CHECKING:
    import tantivy

    from lookalike.ports.text import TextDocument

DEFAULT_WEIGHTS: Final[dict[str, float]] = {
    "alt_text": 2.0,
    "caption": 2.0,
    "title": 1.5,
    "keywords": 1.5,
    "labels": 1.5,
    "ocr_text": 1.0,
    "path": 1.0,
    "page_text": 0.5,
    "colors": 0.5,
    "creator": 0.5,
}
"""What a match in each field counts; a caption says what is shown, a page says much else."""

FIELDS: Final = tuple(DEFAULT_WEIGHTS)
OCR: Final = "ocr_text"
PARTS: Final = "ocr_parts"
"""Holds the parts of the text read from a picture, for phrases that begin or end inside words."""

PART_SCORE: Final = 1.0
"""What a phrase in that text scores wherever it stands; between whole words it adds its BM25."""

ROW: Final = "row"
SEQ: Final = "seq"
MARKER_ROW: Final = 2**64 - 1
"""The row of the one document that holds the seq; no image's row reaches it."""

BLANK: Final = "\U000e0100"
"""The one term of a field without words: a sign that stands in no text by itself.

BM25 takes a field's mean length over all documents here, and in Lucene over those that have the
field. With a term in each the two are the same, and so are the scores of both deployments.
"""

_EXACT_TOKENIZER: Final = "lookalike_exact_1"
_STEM_TOKENIZER: Final = "lookalike_english_1"
_PART_TOKENIZER: Final = "lookalike_parts_1"


@dataclass(frozen=True, slots=True)
class TextIndexSettings:
    """How the index scores and writes.

    `weights` maps a field to its weight (fields left out keep their default; 0 leaves a field
    out of scoring). `exact_weight` is what the word as written adds to the match of its stem.
    `known_words` are never corrected, even where the index does not know them (lower case), and
    others may be corrected to them.
    """

    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    exact_weight: float = 0.5
    heap_bytes: int = 50_000_000
    threads: int = 1
    known_words: frozenset[str] = frozenset()

    def field_weights(self) -> dict[str, float]:
        """Return the weight of every field; an unknown name raises `UnknownNameError`."""
        for name in self.weights:
            if name not in DEFAULT_WEIGHTS:
                raise UnknownNameError(
                    f"there is no text field {name}", hint=suggest_names(name, FIELDS)
                )
        return DEFAULT_WEIGHTS | dict(self.weights)


def stem_field(name: str) -> str:
    """Return the field that holds the stems of `name`."""
    return f"{name}_stem"


def build_schema() -> tantivy.Schema:
    """Return the schema; a change of analysis changes a tokenizer's name, and so the schema."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field(ROW, indexed=True, fast=True)
    builder.add_unsigned_field(SEQ, fast=True)
    for name in FIELDS:
        builder.add_text_field(name, tokenizer_name=_EXACT_TOKENIZER, index_option="position")
        builder.add_text_field(
            stem_field(name), tokenizer_name=_STEM_TOKENIZER, index_option="freq"
        )
    builder.add_text_field(PARTS, tokenizer_name=_PART_TOKENIZER, index_option="position")
    return builder.build()


class Analysis:
    """Turns text into terms, the same way for documents and for queries."""

    def __init__(self) -> None:
        import tantivy

        self._exact = _analyzer(is_stemmed=False)
        self._stem = _analyzer(is_stemmed=True)
        self._parts = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()

    def register(self, index: tantivy.Index) -> None:
        """Make the tokenizers known to an index."""
        index.register_tokenizer(_EXACT_TOKENIZER, self._exact)
        index.register_tokenizer(_STEM_TOKENIZER, self._stem)
        index.register_tokenizer(_PART_TOKENIZER, self._parts)

    def terms(self, text: str) -> list[str]:
        """Return the words of a text as written, in order: lower case, ASCII-folded."""
        return [term for term in self._exact.analyze(indexable(text)) if term != BLANK]

    def stems(self, text: str) -> list[str]:
        """Return the stems of a text's words, in order."""
        return [term for term in self._stem.analyze(indexable(text)) if term != BLANK]

    def stem(self, term: str) -> str:
        """Return the stem of one term."""
        stems = self._stem.analyze(term)
        return stems[0] if stems else term

    def query_terms(self, words: str) -> list[str]:
        """Return the distinct terms to score: without stop words, unless there are only those."""
        terms = list(dict.fromkeys(self.terms(words)))
        return [term for term in terms if term not in STOP_WORDS] or terms


def _analyzer(*, is_stemmed: bool) -> tantivy.TextAnalyzer:
    import tantivy

    builder = (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.regex(WORD_PATTERN))
        .filter(tantivy.Filter.remove_long(LONGEST_TOKEN))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
    )
    return (builder.filter(tantivy.Filter.stemmer("English")) if is_stemmed else builder).build()


def build_document(document: TextDocument, analysis: Analysis) -> tantivy.Document:
    """Return a document as Tantivy takes it."""
    import tantivy

    made = tantivy.Document()
    made.add_unsigned(ROW, document.row)
    for name in FIELDS:
        text: str = getattr(document, name) or BLANK
        text = indexable(path_words(text) if name == "path" else text)
        made.add_text(name, text)
        made.add_text(stem_field(name), text)
    if terms := analysis.terms(document.ocr_text):
        made.add_text(PARTS, joined_parts(terms))
    return made


def build_marker(seq: int) -> tantivy.Document:
    """Return the document that states up to which seq the index is complete."""
    import tantivy

    made = tantivy.Document()
    made.add_unsigned(ROW, MARKER_ROW)
    made.add_unsigned(SEQ, seq)
    for name in FIELDS:
        made.add_text(name, BLANK)
        made.add_text(stem_field(name), BLANK)
    return made
