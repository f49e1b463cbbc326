"""The port of the words of a language."""

from __future__ import annotations

from typing import Protocol


class Lexicon(Protocol):
    """The words of one language, whatever an index holds of them."""

    def knows(self, word: str) -> bool:
        """Tell whether a word belongs to the language, in any of its usual forms."""
        ...
