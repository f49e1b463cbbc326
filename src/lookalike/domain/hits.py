"""What is answered: hits with the parts of their scores, and how the answer came to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
from lookalike.domain.filters import Filter
from lookalike.domain.images import DetectedObject, ImageRecord

NO_ROW: Final = -1
"""Pads rows of a result that has fewer than k hits; its score is -inf."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows a filter lets through.

    `mask` is `(rows,)` bool over the whole index, tombstones already taken out, or None
    where a store compiles `filter` itself (a cluster back end).
    """

    filter: Filter
    mask: BoolMask | None = None

    @property
    def count(self) -> int | None:
        """How many rows pass, when known."""
        return None if self.mask is None else int(np.count_nonzero(self.mask))


@dataclass(frozen=True, slots=True)
class RowHits:
    """The best rows of one store for each of n queries.

    `rows` is `(n, k)` int64 padded with `NO_ROW`; `scores` is `(n, k)` float32 padded
    with -inf; each line falls in score, ties in rising row.
    """

    rows: RowArray
    scores: FloatMatrix


@dataclass(frozen=True, slots=True)
class MatchedObject:
    """An object that the query asked for, or that is near to it by `cosine`."""

    found: DetectedObject
    cosine: float | None = None


@dataclass(frozen=True, slots=True)
class Traced:
    """What a fusion model weighs of a hit, and its places (from 1) in the usual and mixed order."""

    values: Mapping[str, float]
    usual: int
    mixed: int


@dataclass(frozen=True, slots=True)
class Hit:
    """One image found; `parts` are its features, `relevance` lies in [0, 1].

    `objects` are those that made it a hit. `copies` counts the other places where it was seen and
    the copies that hang under it. `shares` are what each feature adds to the score; those and
    `traced` are there where they were asked for and the ranking was made anew.
    """

    record: ImageRecord
    score: float
    relevance: float
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    why: tuple[str, ...] = ()
    copies: int = 0
    objects: tuple[MatchedObject, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict[str, float])
    traced: Traced | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about a query that people should know; `code` is one of a fixed set of names."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of hits.

    `total` counts the candidates that were ranked, not every image that could match.
    `corrected` is the line that was searched for in place of `query`, where words of that seemed
    misspelt. `reading` shows what plain words were read as (`dog ≥ 2`); the first `reading_met`
    hits meet it.
    `degraded` names each path that failed or was late, with its reason. `timings_ms` maps
    a stage to its milliseconds. `next` is the cursor of the next page, or None. Clicks on an answer
    that `is_logged` are taken under its `query_id`. With `no_good_match` no hit is as relevant as
    an answer should be; the hits are what comes nearest.
    """

    query: str
    hits: Sequence[Hit]
    total: int
    degraded: tuple[str, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict[str, float])
    next: str | None = None
    explanation: Mapping[str, object] = field(default_factory=dict[str, object])
    query_id: str = ""
    is_logged: bool = False
    reading: tuple[str, ...] = ()
    reading_met: int = 0
    corrected: str = ""
    notices: tuple[Notice, ...] = ()
    no_good_match: bool = False
