"""Splitting a query into signed, weighted, named and quoted tokens; nothing is looked up here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

MOST_WEIGHT: Final = 10.0
"""A number above it before a colon is no weight but text (`1984:orwell`)."""

_QUOTES: Final = '"“”„‟'
_SPACE: Final = re.compile(r"[\s\x00]+")
_REST: Final = re.compile(r"[^\s\x00]*")
_WEIGHT: Final = re.compile(r"(-?)(\d{1,2}(?:\.\d{1,17})?|\.\d{1,17}):(?=[^\s\x00\d:/])")
_NAME: Final = re.compile(r"([A-Za-z][A-Za-z_-]+):(?!:|//)")


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of a query.

    `name` is the lower-case word before a colon or empty; `value` is what follows, without
    quotes; `suffix` is what stands right after a closing quote (`has:"hot dog">=2`); `source` is
    the piece as written, from the character `begin` on.
    """

    value: str
    name: str = ""
    weight: float | None = None
    is_negated: bool = False
    is_quoted: bool = False
    suffix: str = ""
    source: str = ""
    begin: int = field(default=0, compare=False)


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a query in order."""
    place = 0
    while True:
        if space := _SPACE.match(text, place):
            place = space.end()
        if place >= len(text):
            return
        token, place = _token(text, place)
        if token.value or token.name:
            yield token


def _token(text: str, begin: int) -> tuple[Token, int]:
    place, weight, is_negated = begin, None, False
    if (found := _WEIGHT.match(text, place)) and float(found[2]) <= MOST_WEIGHT:
        weight = -float(found[2]) if found[1] else float(found[2])
        place = found.end()
    elif text[place] == "-" and place + 1 < len(text) and not _is_dash(text[place + 1]):
        is_negated = True
        place += 1
    name = ""
    if found := _NAME.match(text, place):
        name, place = found[1].lower(), found.end()
    is_quoted = place < len(text) and text[place] in _QUOTES
    if is_quoted and (quoted := _quoted(text, place, is_value=bool(name))):
        value, suffix, place = quoted
    elif is_quoted and place == begin:  # a quote that is never closed says nothing
        return Token(""), place + 1
    else:
        place += is_quoted
        rest = _REST.match(text, place)
        value, suffix, is_quoted = rest[0] if rest else "", "", False
        place += len(value)
    source = text[begin:place]
    return Token(value, name, weight, is_negated, is_quoted, suffix, source, begin), place


def _quoted(text: str, begin: int, *, is_value: bool) -> tuple[str, str, int] | None:
    """Return what stands in quotes, what follows it at once (for values), and where it ends.

    A doubled quote stands for one. The value of a name runs to the end of the query when
    its quote is never closed; any other unclosed quote gives None.
    """
    closing = '"' if text[begin] == '"' else _QUOTES
    letters: list[str] = []
    place = begin + 1
    while place < len(text):
        letter = text[place]
        if letter in closing:
            if text[place + 1 : place + 2] != letter:
                place += 1
                rest = _REST.match(text, place) if is_value else None
                suffix = rest[0] if rest else ""
                return "".join(letters), suffix, place + len(suffix)
            place += 1
        letters.append(letter)
        place += 1
    return ("".join(letters), "", place) if is_value else None


def _is_dash(letter: str) -> bool:
    return letter == "-" or letter.isspace() or letter == "\x00"


def quote(text: str) -> str:
    """Return a text in quotes, its own quotes doubled."""
    return '"' + text.replace('"', '""') + '"'


def quote_if_needed(text: str) -> str:
    """Return a value as it can stand after a colon."""
    is_plain = text != "" and text[0] not in _QUOTES and not _SPACE.search(text)
    return text if is_plain else quote(text)
