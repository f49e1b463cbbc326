"""The port of text indexes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
from lookalike.domain.filter_terms import FilterTerms
from lookalike.domain.hits import RowHits, Selection
from lookalike.domain.queries import TextMatch


@dataclass(frozen=True, slots=True)
class TextDocument:
    """The words known of one image, a field per kind of text.

    `terms` is what filters may ask of it, for stores that are given no masks.
    """

    row: int
    alt_text: str = ""
    caption: str = ""
    title: str = ""
    page_text: str = ""
    ocr_text: str = ""
    labels: str = ""
    colors: str = ""
    keywords: str = ""
    creator: str = ""
    path: str = ""
    terms: FilterTerms | None = None


@dataclass(frozen=True, slots=True)
class Correction:
    """A word of the query that the index does not know, and the near one it does."""

    word: str
    replacement: str


class TextIndex(Protocol):
    """Words by row, scored by BM25 (higher is better).

    Promises: at most k hits, none twice; ties broken by rising row; adding a row again
    replaces it; removing an unknown row does nothing; only Lookalike's errors escape.
    """

    def __len__(self) -> int:
        """Return how many rows can be found."""
        ...

    def add(self, documents: Sequence[TextDocument]) -> None:
        """Add or replace documents; visible and durable after `commit`."""
        ...

    def remove(self, rows: RowArray) -> None:
        """Remove rows; gone after `commit`."""
        ...

    def has(self, rows: RowArray) -> BoolMask:
        """Tell for each of `(n,)` rows whether it can be found."""
        ...

    def commit(self, seq: int) -> None:
        """Make everything so far durable and visible, and remember the log's seq."""
        ...

    @property
    def seq(self) -> int:
        """The log's seq up to which this index is complete."""
        ...

    def refresh(self) -> None:
        """See what another process committed."""
        ...

    def search(self, match: TextMatch, *, k: int, selection: Selection | None = None) -> RowHits:
        """Return the best k rows as `(1, k)`; k hits come back whenever k selected rows match."""
        ...

    def score(self, match: TextMatch, rows: RowArray) -> FloatMatrix:
        """Return `(n,)` scores of the rows, equal to `search`'s; 0 where a row does not match."""
        ...

    def score_fields(self, match: TextMatch, rows: RowArray, fields: Sequence[str]) -> FloatMatrix:
        """Return `(n, f)` what the words of a match score in each field alone, 0 for nothing.

        Over all fields they sum up to `score` where nothing but words is asked.
        """
        ...

    def correct(self, words: str) -> Sequence[Correction]:
        """Return corrections of misspelt words from the index's own vocabulary."""
        ...

    def suggest(self, prefix: str, *, limit: int = 8) -> Sequence[str]:
        """Return frequent terms of the index that begin with `prefix`."""
        ...

    def matched_terms(self, match: TextMatch, rows: RowArray) -> Sequence[tuple[str, ...]]:
        """Return, for each of `(n,)` rows, `field:term` for each query term that it holds."""
        ...

    def optimize(self) -> None:
        """Merge segments and drop what was removed."""
        ...

    def close(self) -> None:
        """Release files and locks."""
        ...
