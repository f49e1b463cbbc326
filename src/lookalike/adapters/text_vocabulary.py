"""The words an index knows, for corrections and completions."""

from __future__ import annotations

import bisect
import heapq
import math
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from lookalike.adapters.text_words import STOP_WORDS

SHORTEST_CORRECTED: Final = 4
LEAST_FREQUENCY: Final = 2
SHORTEST_AT_TWO: Final = 6
"""A word shorter than this is corrected only at edit distance 1."""

MOST_RARE: Final = 2
MUCH_MORE: Final = 50
"""A word of so few documents may be misspelt in them: its replacement has so many times as many."""

SWAPPED: Final = 0.7
DOUBLED: Final = 0.6
BESIDE: Final = 0.8
"""What the likelier slips cost: neighbours swapped, a letter doubled, the key beside. Others 1."""

ELSEWHERE: Final = 1.0
"""Added where the first letter is another: typists seldom miss it."""

EDIT_WEIGHT: Final = 7.0
"""How many times as frequent (as a power of e) a word must be to outweigh one more edit."""

_MOST_EDITS: Final = 2
_KEYS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_FIRST_BYTE: Final = 97


class Vocabulary:
    """Words with their document frequency; made once, never changed.

    Words that are `taught` may be meant even where no document holds them.
    """

    def __init__(
        self, frequencies: Mapping[str, int], *, taught: frozenset[str] = frozenset()
    ) -> None:
        self._words = sorted(word for word in frequencies if word not in STOP_WORDS)
        self._frequencies = dict(frequencies)
        for word in taught - STOP_WORDS:
            self._frequencies[word] = max(LEAST_FREQUENCY, self._frequencies.get(word, 0))
        near = [
            word
            for word in sorted({*self._words, *(taught - STOP_WORDS)})
            if self._frequencies[word] >= LEAST_FREQUENCY
            and len(word) >= SHORTEST_CORRECTED - 1
            and word.isascii()
            and word.isalpha()
        ]
        self._near = near
        self._lengths = np.fromiter(map(len, near), np.int64, len(near))
        self._firsts = np.fromiter((ord(word[0]) for word in near), np.int64, len(near))
        self._letters = np.fromiter(map(_letters, near), np.uint32, len(near))

    def __len__(self) -> int:
        """Return how many words there are."""
        return len(self._words)

    def nearest(self, word: str, *, frequency: int = 0) -> str | None:
        """Return the known word that `word` was most likely meant to be, or None.

        The better of the cost of the edits and the document frequency; two edits only where the
        first letter stays or changes places with the second. A word that stands in a few
        documents itself (its `frequency`) gives way only to one that stands in many more.
        """
        if len(word) < SHORTEST_CORRECTED or not (word.isascii() and word.isalpha()):
            return None
        least = max(LEAST_FREQUENCY, MUCH_MORE * frequency)
        best: tuple[float, str] | None = None
        for known, distance in self._within_two_edits(word):
            if self._frequencies[known] < least or known == word:
                continue
            is_begun_alike = known[0] == word[0] or known[:2] == word[1] + word[0]
            reach = 2 if len(word) >= SHORTEST_AT_TWO and is_begun_alike and not frequency else 1
            if distance > reach:
                continue
            cost = EDIT_WEIGHT * slip_cost(word, known) + ELSEWHERE * (not is_begun_alike)
            rank = (cost - math.log(self._frequencies[known]), known)
            best = rank if best is None else min(best, rank)
        return None if best is None else best[1]

    def completions(self, prefix: str, *, limit: int) -> list[str]:
        """Return the most frequent words that begin with `prefix`, ties by alphabet."""
        begin = bisect.bisect_left(self._words, prefix)
        end = bisect.bisect_left(self._words, prefix + "\U0010ffff")
        return heapq.nsmallest(
            limit, self._words[begin:end], key=lambda word: (-self._frequencies[word], word)
        )

    def _within_two_edits(self, word: str) -> Iterator[tuple[str, int]]:
        """Yield the words near enough with their optimal string alignment distances.

        Neighbours that change places are one edit. Source: Boytsov, "Indexing methods for
        approximate dictionary searching", 2011, §2.
        """
        words = self._candidates(word)
        if not words:
            return
        from rapidfuzz.distance import OSA  # takes a while, which most commands need not spend
        from rapidfuzz.process import cdist

        scorer = OSA.distance
        edits = cdist([word], words, scorer=scorer, score_cutoff=_MOST_EDITS, dtype=np.uint8)[0]
        for place in np.flatnonzero(edits <= _MOST_EDITS).tolist():
            yield words[place], int(edits[place])

    def _candidates(self, word: str) -> list[str]:
        """Return words whose letters and length let them be near enough."""
        letters = np.bitwise_count(self._letters ^ np.uint32(_letters(word)))
        lengths = np.abs(self._lengths - len(word))
        is_near = (lengths <= 1) & (letters <= 2)
        if len(word) >= SHORTEST_AT_TWO:
            begun = np.isin(self._firsts, [ord(word[0]), ord(word[1])])
            is_near |= begun & (lengths <= 2) & (letters <= 4)
        return [self._near[place] for place in np.flatnonzero(is_near).tolist()]


def _letters(word: str) -> int:
    bits = 0
    for letter in word:
        bits |= 1 << (ord(letter) - _FIRST_BYTE)
    return bits


def slip_cost(typed: str, meant: str) -> float:
    """Return how unlikely it is to type one word for another, in edits of the usual kind."""
    before: list[float] = []
    row = [0.0]
    for j in range(1, len(meant) + 1):
        row.append(row[-1] + _one_letter(meant, j))
    for i, a in enumerate(typed, 1):
        before, last, row = row, before, [row[0] + _one_letter(typed, i)]
        for j, b in enumerate(meant, 1):
            changed = 0.0 if a == b else (BESIDE if b in _BESIDE.get(a, "") else 1.0)
            cost = min(
                before[j] + _one_letter(typed, i),
                row[j - 1] + _one_letter(meant, j),
                before[j - 1] + changed,
            )
            if i > 1 and j > 1 and a == meant[j - 2] and typed[i - 2] == b:
                cost = min(cost, last[j - 2] + SWAPPED)
            row.append(cost)
    return row[-1]


def _one_letter(word: str, end: int) -> float:
    """Return what it costs to leave out, or to add, the letter that ends there."""
    return DOUBLED if end > 1 and word[end - 2] == word[end - 1] else 1.0


def _beside() -> dict[str, str]:
    """Return the keys beside each key of an English keyboard."""
    places = {key: (r, c + r / 2) for r, keys in enumerate(_KEYS) for c, key in enumerate(keys)}
    return {
        key: "".join(
            other
            for other, (r, c) in places.items()
            if other != key and abs(r - row) <= 1 and abs(c - column) <= 1
        )
        for key, (row, column) in places.items()
    }


_BESIDE: Final = _beside()
