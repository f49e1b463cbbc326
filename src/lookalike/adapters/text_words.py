"""From text to words: what is done before the tokenizer sees it, and which words say nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

WORD_PATTERN: Final = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]"
    r"|[[\p{Alphabetic}\p{N}\p{M}]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]]+"
)
"""A word is a run of letters, marks and digits; scripts without spaces give a token a sign."""

LONGEST_TOKEN: Final = 60
"""Bytes; longer tokens (keys, base64) are left out of the index."""

_STOP_WORDS: Final = """
a an and are as at be been but by can did do does for from had has have he her his i if in into is
it its me my no not of on or our she so some such than that the their them then there these they
this those to up was we were what when where which while who will with you your
"""
STOP_WORDS: Final = frozenset(_STOP_WORDS.split())
"""Words that are not scored while a query has others, and are never corrected."""

_POSSESSIVE: Final = re.compile(r"['’]s\b", re.IGNORECASE)
_BOUNDARY: Final = re.compile(
    r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])"
)
_RUN: Final = re.compile(r"[^\W_]+")


def indexable(text: str) -> str:
    """Return text as the tokenizer gets it: NFKC, encodable, without the possessive ending.

    >>> indexable("the dog’s bowl")
    'the dog bowl'
    """
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
        text = unicodedata.normalize("NFKC", text)
    return _POSSESSIVE.sub("", text)


PART: Final = 3
"""Signs of a part of a text; shorter texts are looked for at the beginning of words."""

PART_BLANK: Final = "_"
"""Stands for the space between words in a part; no word holds it."""


def parts_of(text: str) -> list[str]:
    """Return every run of `PART` signs of a text, in order.

    >>> parts_of("no parking")[:4]
    ['no_', 'o_p', '_pa', 'par']
    """
    text = text.replace(" ", PART_BLANK)
    return [text[begin : begin + PART] for begin in range(len(text) - PART + 1)]


def joined_parts(terms: Sequence[str]) -> str:
    """Return the parts of words in a row, joined by spaces; a space stands on either side of each.

    >>> joined_parts(["no", "pa"])
    '_no no_ o_p _pa pa_'
    """
    return " ".join(parts_of(f" {' '.join(terms)} "))


def is_within_words(text: str) -> bool:
    """Tell whether a text shorter than `PART` is looked for inside words too.

    Two signs of Korean or Arabic may be a word or the better part of one; two letters or digits
    of ASCII are in nearly every text.
    """
    return len(text) == PART - 1 and not text.isascii()


def path_words(path: str) -> str:
    """Return the words of a path, and after them its runs as they were written.

    >>> path_words("trip/goldenGate_IMG12.jpg")
    'trip/golden Gate_IMG 12.jpg goldenGate IMG12'
    """
    split = _BOUNDARY.sub(" ", path)
    whole = [run for run in _RUN.findall(path) if _BOUNDARY.search(run)]
    return " ".join([split, *whole])
