"""What is done about the words of a query before it is asked: misspelt ones, and foreign ones.

A word gives way to a near one of the index only where neither the index nor the language knows
it. Quoted words, refused ones, filters, ids and a query in another language are left alone. See
docs/adr/0033-spelling-completion-languages.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import CursorError, LookalikeError, QueryError
from lookalike.domain.filters import OneOf
from lookalike.domain.hits import Notice
from lookalike.domain.languages import MANY, NAMES, foreign_language
from lookalike.domain.query_format import replace_words, respelt
from lookalike.domain.shades import is_shade
from lookalike.engine.read_queries import search_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lookalike.domain.hits import SearchResult
    from lookalike.domain.queries import Query
    from lookalike.engine.stores import Stores
    from lookalike.ports.encoder import Encoder
    from lookalike.ports.lexicon import Lexicon

MOST_WORDS: Final = 24
"""A longer text is pasted, not typed; it is searched for as it is."""

_WORD: Final = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Wording:
    """Corrects and judges the words of queries to one index."""

    stores: Stores
    encoder: Encoder | None
    lexicon: Lexicon | None

    def search(self, query: Query, search: Callable[[Query], SearchResult]) -> SearchResult:
        """Answer a query with its misspelt words replaced, and say what is to be said of it."""
        language = self._foreign(query)
        is_left = language is not None or query.is_as_typed
        answer = self._answer(query, None if is_left else self.corrections(query), search)
        notices = [*self._of_language(language), *self._of_colours(query, answer)]
        return replace(answer, notices=(*answer.notices, *notices)) if notices else answer

    def corrections(self, query: Query) -> Mapping[str, str]:
        """Return what each misspelt word of a query was most likely meant to be."""
        words = _WORD.findall(query.match.words)
        knows = self.lexicon.knows if self.lexicon is not None else None
        unknown = [word for word in dict.fromkeys(words) if knows is None or not knows(word)]
        if not unknown or len(words) > MOST_WORDS:
            return {}
        try:
            found = self.stores.texts.correct(" ".join(unknown))
        except LookalikeError:  # a courtesy: the search itself says what fails
            return {}
        return {one.word: one.replacement for one in found}

    def _answer(
        self,
        query: Query,
        replacements: Mapping[str, str] | None,
        search: Callable[[Query], SearchResult],
    ) -> SearchResult:
        if not replacements:
            return search_read(query, search)
        try:
            corrected = replace_words(query, replacements)
        except QueryError:  # not of the query language: searched for as it is
            return search_read(query, search)
        try:
            answer = search_read(corrected, search)
        except CursorError:  # the page before was of the words as typed
            return search_read(query, search)
        line = respelt(query.source, replacements)
        return answer if line == query.source else replace(answer, corrected=line)

    def _foreign(self, query: Query) -> str | None:
        """Return the language of a query that the encoder does not know."""
        if self.lexicon is None or self.encoder is None or not self.encoder.has_text:
            return None
        known = self.encoder.bundle.languages
        if not known or MANY in known:
            return None
        language = foreign_language(" ".join(part.text for part in query.texts), self.lexicon.knows)
        return None if language in known else language

    def _of_language(self, language: str | None) -> Iterator[Notice]:
        if language is None or self.encoder is None:
            return
        bundle = self.encoder.bundle
        known = " and ".join(NAMES.get(one, one) for one in bundle.languages)
        yield Notice(
            "language",
            f"This looks like {NAMES[language]}. The encoder {bundle.name} knows {known}: pictures "
            "are found by the words known of them, less well by what they show.",
        )

    def _of_colours(self, query: Query, answer: SearchResult) -> Iterator[Notice]:
        is_asked = any(
            isinstance(one, OneOf) and one.field == "color" and any(map(is_shade, one.values))
            for one in query.filter.conditions
        )
        if is_asked and not answer.hits and not self.stores.is_dense and query.cursor is None:
            yield Notice(
                "colours",
                "Nothing has such a colour. A cluster that was filled before colours had values "
                "needs `lookalike doctor --repair` once.",
            )
