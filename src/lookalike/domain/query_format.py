"""From a query back to a line of text, and a query with its misspelt words replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from lookalike.domain.errors import QueryError
from lookalike.domain.filters import Between, Condition, HasObject
from lookalike.domain.queries import ImagePart, Query, TextMatch, TextPart
from lookalike.domain.query_language import PUSH_AWAY, shown_reading, with_reading
from lookalike.domain.query_objects import read_objects
from lookalike.domain.query_tokens import Token, quote, quote_if_needed, tokens

_LETTERS: Final = re.compile(r"[^\W\d_]+")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def format_query(query: Query) -> str:
    """Return a line that `parse_query` reads as the same query (but for `source`).

    Words that would be read as conditions (`two dogs`) are written so only where the query has
    those conditions; elsewhere they are written as a part with a weight, which stays words.
    Pictures given as bytes have no written form and raise `QueryError`.
    """
    main, weighted = _split_texts(query)
    match, conditions = query.match, query.filter.conditions
    plain = [quote(text) if is_phrase else text for text, is_phrase in _main_pieces(main, match)]
    reading = None if match.phrases else read_objects(main)
    if reading is not None:
        stated = with_reading(query.filter, reading).conditions
        if reading.words == main and conditions == stated:
            conditions = conditions[len(reading.conditions) :]
        else:
            plain = [f"1:{quote(main)}"]
    pieces = [
        *plain,
        *(f"{_digits(part.weight)}:{quote(part.text)}" for part in weighted),
        *("-" + quote(text) for text in match.excluded),
        *(f"text:{quote(text)}" for text in match.ocr_phrases),
        *(f"-text:{quote(text)}" for text in match.ocr_excluded),
        *(_image(part) for part in query.images),
        *(_condition(condition) for condition in conditions),
    ]
    return " ".join(pieces)


def words_instead(source: str) -> str:
    """Return a line that searches for the plain words of another, whatever they could be read as.

    >>> words_instead("two dogs color:red")
    '1:"two dogs" color:red'
    """
    words: list[str] = []
    rest: list[str] = []
    for token in tokens(source):
        is_plain = not (token.name or token.is_negated or token.is_quoted or token.weight)
        (words if is_plain else rest).append(token.value if is_plain else token.source)
    return " ".join([f"1:{quote(' '.join(words))}", *rest] if words else rest)


def respelt(source: str, replacements: Mapping[str, str]) -> str:
    """Return a line with words replaced where `replace_words` replaces them, and no others.

    >>> respelt('moutain "moutain dew" -moutain color:red', {"moutain": "mountain"})
    'mountain "moutain dew" -moutain color:red'
    """
    pieces: list[str] = []
    for token in tokens(source):
        is_word = not (token.name or token.is_negated or (token.is_quoted and token.weight is None))
        is_pulled = is_word and (token.weight is None or token.weight > 0)
        pieces.append(
            " ".join(_swapped(word, replacements) for word in token.source.split(" "))
            if is_pulled
            else token.source
        )
    return " ".join(pieces)


def replace_words(query: Query, replacements: Mapping[str, str]) -> Query:
    """Return the query with words replaced, in its plain and weighted parts but no phrase.

    Plain words that can be read as conditions only now (`two dgos`) are.
    """

    def corrected(text: str) -> str:
        return " ".join(_swapped(word, replacements) for word in text.split())

    main, weighted = _split_texts(query)
    pieces = [
        text if is_phrase else corrected(text)
        for text, is_phrase in _main_pieces(main, query.match)
    ]
    away = query.texts[len(query.texts) - len(query.match.excluded) :]
    others = tuple(replace(part, text=corrected(part.text)) for part in weighted)
    plain, words = " ".join(pieces), corrected(query.match.words)
    is_readable = plain != main and not (query.match.phrases or query.reading)
    if is_readable and (reading := read_objects(plain)) is not None:
        plain = reading.words
        words = " ".join([plain, *(part.text for part in others if part.weight > 0)]).strip()
        query = replace(
            query,
            filter=with_reading(query.filter, reading),
            reading=shown_reading(reading),
        )
    texts = (*([TextPart(plain)] if plain else []), *others, *away)
    return replace(query, texts=texts, match=replace(query.match, words=words))


def _swapped(word: str, replacements: Mapping[str, str]) -> str:
    return _LETTERS.sub(lambda found: replacements.get(found[0], found[0]), word)


def _split_texts(query: Query) -> tuple[str, Sequence[TextPart]]:
    """Return the text of plain words and phrases, and the weighted parts."""
    texts = query.texts[: len(query.texts) - len(query.match.excluded)]
    away = tuple(TextPart(text, PUSH_AWAY) for text in query.match.excluded)
    is_parsed = query.texts[len(texts) :] == away
    if not is_parsed:
        raise QueryError("the query was not made by the query language, and has no written form")
    has_main = bool(texts) and texts[0].weight == 1 and (query.match.phrases or _is_plain(texts[0]))
    return (texts[0].text, texts[1:]) if has_main else ("", texts)


def _is_plain(part: TextPart) -> bool:
    plain = [Token(word, source=word) for word in part.text.split()]
    return list(tokens(part.text)) == plain


def _main_pieces(main: str, match: TextMatch) -> list[tuple[str, bool]]:
    """Return the words and phrases of the plain text in an order that gives that text.

    Both lists are in order, so the choice is which of the two goes next; reach[i] holds the
    counts of words w so that i phrases and w words make the beginning of the text.
    """
    letters = main.split()
    phrases = [phrase.split() for phrase in match.phrases]
    taken = sum(map(len, phrases))
    words = match.words.split()[: len(letters) - taken]
    came: dict[tuple[int, int], tuple[int, int] | None] = {(0, 0): None}
    waiting = [(0, 0, 0)]
    while waiting:
        i, w, place = waiting.pop()
        for nexts, used in ((words[w : w + 1], (i, w + 1)), (_at(phrases, i), (i + 1, w))):
            end = place + len(nexts)
            if nexts and used not in came and letters[place:end] == nexts:
                came[used] = (i, w)
                waiting.append((*used, end))
    state = (len(phrases), len(words))
    if state not in came:
        return [*((word, False) for word in words), *((" ".join(p), True) for p in phrases)]
    pieces: list[tuple[str, bool]] = []
    while before := came[state]:
        if state[0] > before[0]:
            pieces.append((" ".join(phrases[before[0]]), True))
        else:
            pieces.append((words[before[1]], False))
        state = before
    return pieces[::-1]


def _at(phrases: list[list[str]], place: int) -> list[str]:
    return phrases[place] if place < len(phrases) else []


def _image(part: ImagePart) -> str:
    if part.kind == "data":
        raise QueryError("a picture given as bytes has no written form")
    region = ""
    if part.region is not None:
        region = "@" + ",".join(map(_digits, part.region))
    weight = "" if part.weight == 1 else f"{_digits(part.weight)}:"
    return f"{weight}img:{quote(part.reference)}{region}"


def _condition(condition: Condition) -> str:
    sign = "-" if condition.is_negated else ""
    if isinstance(condition, Between):
        is_date = condition.field in {"taken", "seen"}
        show = _moment if is_date else _digits
        low = "" if condition.low is None else show(condition.low)
        high = "" if condition.high is None else show(condition.high)
        return f"{sign}{condition.field}:{low}..{high}"
    if isinstance(condition, HasObject):
        return f"{sign}has:{quote(condition.label)}{_count(condition)}"
    return f"{sign}{condition.field}:{quote_if_needed(','.join(sorted(condition.values)))}"


def _count(condition: HasObject) -> str:
    if condition.at_most is None:
        return "" if condition.at_least == 1 else f">={condition.at_least}"
    return f"={condition.at_least}..{condition.at_most}"


def _digits(number: float) -> str:
    text = format(Decimal(repr(float(number))), "f")
    return text.removesuffix(".0")


def _moment(seconds: float) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat().removesuffix("+00:00")
