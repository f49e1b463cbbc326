"""The words an index knows, for corrections and completions."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Mapping
from typing import Final

import numpy as np

from lookalike.adapters.text_words import STOP_WORDS

SHORTEST_CORRECTED: Final = 4
LEAST_FREQUENCY: Final = 2
SHORTEST_AT_TWO: Final = 7
"""A word shorter than this is corrected only at edit distance 1."""
SHORT_WORD_FREQUENCY: Final = 5
"""What a four-letter word's replacement must reach: most short words are near some other."""
_FIRST_BYTE: Final = 97


class Vocabulary:
    """Words with their document frequency; made once, never changed."""

    def __init__(self, frequencies: Mapping[str, int]) -> None:
        self._frequencies = frequencies
        self._words = sorted(word for word in frequencies if word not in STOP_WORDS)
        near = [
            word
            for word in self._words
            if frequencies[word] >= LEAST_FREQUENCY
            and len(word) >= SHORTEST_CORRECTED - 1
            and word.isascii()
            and word.isalpha()
        ]
        self._near = near
        self._lengths = np.fromiter(map(len, near), np.int64, len(near))
        self._letters = np.fromiter(map(_letters, near), np.uint32, len(near))

    def __len__(self) -> int:
        """Return how many words there are."""
        return len(self._words)

    def nearest(self, word: str) -> str | None:
        """Return the known word that `word` was most likely meant to be, or None.

        The smaller edit distance wins, then the higher document frequency; the first
        letter stays or changes places with the second, since typists rarely miss it.
        """
        if len(word) < SHORTEST_CORRECTED or not (word.isascii() and word.isalpha()):
            return None
        reach = 2 if len(word) >= SHORTEST_AT_TWO else 1
        best: tuple[int, int, str] | None = None
        for known in self._candidates(word, reach):
            distance = edit_distance(word, known)
            frequency = self._frequencies[known]
            if distance > reach or (
                len(word) == SHORTEST_CORRECTED and frequency < SHORT_WORD_FREQUENCY
            ):
                continue
            rank = (distance, -frequency, known)
            best = rank if best is None else min(best, rank)
        return None if best is None else best[2]

    def completions(self, prefix: str, *, limit: int) -> list[str]:
        """Return the most frequent words that begin with `prefix`, ties by alphabet."""
        begin = bisect.bisect_left(self._words, prefix)
        end = bisect.bisect_left(self._words, prefix + "\U0010ffff")
        return heapq.nsmallest(
            limit, self._words[begin:end], key=lambda word: (-self._frequencies[word], word)
        )

    def _candidates(self, word: str, reach: int) -> list[str]:
        apart = np.bitwise_count(self._letters ^ np.uint32(_letters(word)))
        is_near = (np.abs(self._lengths - len(word)) <= reach) & (apart <= 2 * reach)
        found = (self._near[place] for place in np.flatnonzero(is_near).tolist())
        swapped = word[1] + word[0]
        return [known for known in found if known[0] == word[0] or known[:2] == swapped]


def _letters(word: str) -> int:
    bits = 0
    for letter in word:
        bits |= 1 << (ord(letter) - _FIRST_BYTE)
    return bits


def edit_distance(left: str, right: str) -> int:
    """Return the optimal string alignment distance: edits, with neighbours' swaps as one.

    Source: Boytsov, "Indexing methods for approximate dictionary searching", 2011, §2.
    """
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
