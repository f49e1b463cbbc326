"""English words that are right however few pictures an index has of them."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Final

from lookalike.adapters.text_schema import Analysis
from lookalike.adapters.text_words import STOP_WORDS

LEXICON: Final = Path(__file__).parents[1] / "bundles" / "words" / "english.txt.gz"
"""Stems of WordNet's words and of the tokenizer's (training/lexicon.py)."""

LEAST_LENGTH: Final = 3


class EnglishLexicon:
    """`ports.lexicon.Lexicon`: read from the package when first asked."""

    def __init__(self) -> None:
        self._analysis = Analysis()

    def knows(self, word: str) -> bool:
        """Tell whether a word is English, in any form of it that its stem stands for."""
        terms = self._analysis.terms(word)
        return all(term in STOP_WORDS or self._analysis.stem(term) in _stems() for term in terms)


@lru_cache(maxsize=1)
def _stems() -> frozenset[str]:
    return frozenset(gzip.decompress(LEXICON.read_bytes()).decode("ascii").split("\n"))
