"""The fields of the Elasticsearch index, and how a document is made.

Text is analysed here, by the code of the embedded index, and sent as terms joined by spaces: both
deployments then find the same. See docs/adr/0013-text-on-elasticsearch.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters.text_schema import BLANK, FIELDS, OCR, PARTS, Analysis, stem_field
from lookalike.adapters.text_words import STOP_WORDS, joined_parts, path_words
from lookalike.domain.filters import ASPECTS, NUMBER_FIELDS, SIZES, TYPES
from lookalike.domain.images import COLOR_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lookalike.adapters.text_elasticsearch_options import ElasticsearchOptions
    from lookalike.domain.filter_terms import FilterTerms
    from lookalike.ports.text import TextDocument

VERSION: Final = 2
"""Rises with every change of the fields or of the analysis."""

OLDEST_REBUILT: Final = 1
"""The oldest version that a rebuild can make into this one."""


ROW: Final = "row"
IS_TEXT: Final = "is_text"
TERMS: Final = "terms"
FACETS: Final = "facets"
WORDS: Final = "words"
REMOVED: Final = "removed"
SEQ: Final = "seq"

TAUGHT_FIELDS: Final = tuple(name for name in FIELDS if name != "path")
"""File names are no words to teach."""

TEXT_MARKER: Final = "seq-text"
FILTER_MARKER: Final = "seq-filters"

LONGEST_TERM: Final = 8000
"""Characters; a longer filter term (four bytes each) would be over Lucene's bound."""

_FACET_WORDS: Final = {
    "type": frozenset(TYPES),
    "color": frozenset(COLOR_NAMES),
    "aspect": frozenset(ASPECTS),
    "size": frozenset(SIZES),
}
FACET_FIELDS: Final = ("type", "color", "licence", "aspect", "size")


def mappings() -> dict[str, Any]:
    """Return the fields; a document with any other is refused."""
    properties: dict[str, Any] = {
        ROW: {"type": "long"},
        IS_TEXT: {"type": "boolean", "doc_values": False},
        WORDS: {"type": "keyword"},
        TERMS: {"type": "keyword", "doc_values": False, "ignore_above": LONGEST_TERM},
        FACETS: {"type": "keyword", "index": False},
        REMOVED: {"type": "long"},
        SEQ: {"type": "long", "index": False, "doc_values": False},
    }
    for name in FIELDS:
        properties[name] = _text("positions")
        properties[stem_field(name)] = _text("freqs")
    properties[PARTS] = _text("positions") | {"norms": False}
    for name in NUMBER_FIELDS:
        properties[name] = {"type": "double"}
    return {"dynamic": "strict", "_meta": meta(), "properties": properties}


def _text(options: str) -> dict[str, Any]:
    return {"type": "text", "analyzer": "whitespace", "index_options": options}


def meta() -> dict[str, Any]:
    """Return what marks an index as ours."""
    return {"lookalike": {"version": VERSION}}


def index_settings(options: ElasticsearchOptions) -> dict[str, Any]:
    """Return the settings of an index that is made.

    Where each commit refreshes, the server's own interval only tidies up after a writer that
    ended before its commit. `optimize` drops every removed document, since each still counts in
    the frequencies that scores are made of.
    """
    intervals = {"true": "30s", "wait_for": "1s"}
    return {
        "number_of_shards": options.shards,
        "number_of_replicas": options.replicas,
        "refresh_interval": intervals.get(options.refresh, options.refresh),
        "codec": "best_compression",
        "merge": {"policy": {"expunge_deletes_allowed": "0"}},
    }


def text_fields(document: TextDocument, analysis: Analysis) -> dict[str, Any]:
    """Return what the text path stores of a document."""
    made: dict[str, Any] = {ROW: document.row, IS_TEXT: True}
    words: set[str] = set()
    for name in FIELDS:
        text: str = getattr(document, name)
        text = path_words(text) if name == "path" else text
        terms = analysis.terms(text)
        made[name] = " ".join(terms) or BLANK
        if name == OCR and terms:
            made[PARTS] = joined_parts(terms)
        made[stem_field(name)] = " ".join(analysis.stems(text)) or BLANK
        if name != "path":
            words.update(terms)
    made[WORDS] = sorted(words - STOP_WORDS)
    return made


def upgraded(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an index of an older version stores of a document as this version does.

    Texts that were not indexed then are missing until the document is written again.
    """
    made = dict(source)
    if not made.get(IS_TEXT):
        return made
    for name in FIELDS:
        for field in (name, stem_field(name)):
            made.setdefault(field, BLANK)
    if made[OCR] != BLANK:
        made[PARTS] = joined_parts(made[OCR].split())
    return made


def filter_fields(row: int, values: FilterTerms | None) -> dict[str, Any]:
    """Return what filters ask of an image; nothing where nothing is known."""
    made: dict[str, Any] = {ROW: row}
    if values is None:
        return made
    made[TERMS] = sorted(storable(term) for term in values.terms)
    made[FACETS] = sorted(_facets(values.terms))
    made |= {name: value for name, value in values.numbers.items() if math.isfinite(value)}
    return made


def marker(seq: int, *, is_text: bool) -> dict[str, Any]:
    """Return the document that states a seq; no search finds it.

    That of the text index counts as one of the documents, as the embedded index's does.
    """
    made: dict[str, Any] = {SEQ: seq}
    if is_text:
        for name in FIELDS:
            made[name] = made[stem_field(name)] = BLANK
    return made


def storable(term: str) -> str:
    """Return a filter term that JSON can carry, one for one."""
    return term if term.isascii() else term.encode("utf-8", "backslashreplace").decode("utf-8")


def _facets(terms: frozenset[str]) -> set[str]:
    """Return the terms that are counted.

    Of licences only the stated ones: a version's family (`cc-by` of `cc-by-4.0`) is a term for
    filters alone. A picture under both counts for the version.
    """
    facets: set[str] = set()
    licences: set[str] = set()
    for term in terms:
        field, _, word = term.partition(":")
        if field == "licence":
            licences.add(word)
        elif word in _FACET_WORDS.get(field, ()):
            facets.add(term)
    families = {word.rpartition("-")[0] for word in licences if _is_versioned(word)}
    facets.update(f"licence:{storable(word)}" for word in licences - families)
    return facets


def _is_versioned(licence: str) -> bool:
    version = licence.rpartition("-")[2]
    return bool(version) and set(version) <= set("0123456789.")
