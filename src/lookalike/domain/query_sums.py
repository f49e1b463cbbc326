"""Sums of words and pictures: `horse + stripes - fruit`, as the parts that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lookalike.domain.query_tokens import Token, quote

PLUS = "+"
MINUS = "-"


def read_sums(found: Sequence[Token], *, away: float) -> Sequence[Token]:
    """Return tokens with each term of a sum as one weighted part; without a sum, as they are.

    There is a sum where a `+` stands by itself between words, quotes or pictures. What follows a
    `-` that stands by itself then has the weight `away`. Filters, weighted and excluded parts stay.
    """
    return tuple(_terms(found, away)) if _is_sum(found) else found


def _is_sum(found: Sequence[Token]) -> bool:
    return any(
        _is_sign(one, PLUS) and _is_operand(before) and _is_operand(after)
        for before, one, after in zip(found, found[1:], found[2:], strict=False)
    )


def _is_sign(token: Token, sign: str) -> bool:
    return token.source == sign


def _is_operand(token: Token) -> bool:
    is_sign = token.source in {PLUS, MINUS}
    return not is_sign and (token.name == "img" or _is_plain(token))


def _is_plain(token: Token) -> bool:
    return not token.name and token.weight is None and not token.is_negated


def _terms(found: Sequence[Token], away: float) -> Iterator[Token]:
    words: list[Token] = []
    is_taken_away = False
    for token in found:
        if token.source in {PLUS, MINUS}:
            yield from _term(words, away if is_taken_away else 1.0)
            words, is_taken_away = [], token.source == MINUS
        elif _is_plain(token):
            words.append(token)
        elif token.name == "img" and token.weight is None and is_taken_away:
            yield replace(token, is_negated=True)
        else:
            yield token
    yield from _term(words, away if is_taken_away else 1.0)


def _term(words: Sequence[Token], weight: float) -> Iterator[Token]:
    if words:
        text = " ".join(word.value for word in words)
        source = f"{weight:g}:{quote(text)}"
        yield Token(text, weight=weight, is_quoted=True, source=source, begin=words[0].begin)
