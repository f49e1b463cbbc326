"""How much of what a query says in words stands beside an image."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lookalike.domain.queries import TextMatch

_WORD: Final = re.compile(r"\w+")
_TELLING_NOTHING: Final = frozenset(
    re.findall(
        r"\w+",
        "a an the in on at of and or is are with to his her its their by from into over up down "
        "out as for while who which that this there it he she they one be being has have",
    )
)


def telling_words(match: TextMatch) -> frozenset[str]:
    """Return the words of a query that say what is to be seen.

    >>> from lookalike.domain.queries import TextMatch
    >>> sorted(telling_words(TextMatch("a dog on the Beach")))
    ['beach', 'dog']
    """
    text = " ".join((match.words, *match.phrases, *match.ocr_phrases)).casefold()
    return frozenset(_WORD.findall(text)) - _TELLING_NOTHING


def coverage(asked: frozenset[str], why: Iterable[str]) -> float:
    """Return the share of a query's words that an image holds, of its reasons `field:term`.

    >>> coverage(frozenset({"dog", "beach"}), ("caption:dog", "title:dog", "caption:on"))
    0.5
    >>> coverage(frozenset({"golden", "gate"}), ('caption:"golden gate"',))  # a phrase has words
    1.0
    """
    if not asked:
        return 0.0
    terms = " ".join(reason.partition(":")[2] for reason in why)
    held = frozenset(_WORD.findall(terms)) - _TELLING_NOTHING
    return min(1.0, len(held) / len(asked))
