"""What is asked: the parts of a query and the bounds on its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from lookalike.domain.filters import Filter

Region: TypeAlias = tuple[float, float, float, float]
"""x, y, width, height as fractions of the upright picture."""


@dataclass(frozen=True, slots=True)
class TextPart:
    """Words of a query with their weight; a negative weight pushes away."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture of a query: an id in the index, a path, a URL, or its bytes."""

    kind: Literal["id", "path", "url", "data"]
    reference: str = ""
    data: bytes = b""
    region: Region | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class TextMatch:
    """What the text path asks of the words known of an image.

    `words` are scored (any may match); every phrase in `phrases` must occur in some
    field; `ocr_phrases` must occur in text read from the picture; `excluded` must not occur,
    nor `ocr_excluded` in text read from the picture.
    """

    words: str = ""
    phrases: tuple[str, ...] = ()
    ocr_phrases: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    ocr_excluded: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything is asked that can find an image."""
        return bool(self.words.strip() or self.phrases or self.ocr_phrases)


@dataclass(frozen=True, slots=True)
class Answering:
    """How an index answers where a query says nothing of it.

    Where no hit is as relevant as `least_relevance`, the answer says that there is no good match;
    `diversity` is how much the hits may not repeat each other. Both lie in [0, 1].
    """

    least_relevance: float = 0.35
    diversity: float = 0.0


@dataclass(frozen=True, slots=True)
class Query:
    """One search: words, pictures, filter and page.

    `reading` shows the conditions that plain words were read as (`dog ≥ 2`, `no person`), for the
    answer to say so; they stand in `filter`. `is_collapsed` shows one of each group of copies.
    `is_of_objects` finds by the objects in pictures alone, the nearest first. `is_traced` keeps
    with each hit what a fusion model weighs of it. `is_mixed` lets the nearest by vectors take
    turns with the usual order. `is_as_typed` leaves words that seem misspelt as they are.
    `more` and `less` are ids of images that were judged to be what is wanted and not.
    `diversity` in [0, 1] is how much hits may not repeat each other; None takes the index's own.
    """

    source: str = ""
    texts: tuple[TextPart, ...] = ()
    images: tuple[ImagePart, ...] = ()
    match: TextMatch = field(default_factory=TextMatch)
    filter: Filter = field(default_factory=Filter)
    k: int = 20
    cursor: str | None = None
    is_explained: bool = False
    deadline_ms: float = 2000.0
    reading: tuple[str, ...] = field(default=(), compare=False)
    is_collapsed: bool = True
    is_of_objects: bool = False
    is_traced: bool = False
    is_mixed: bool = False
    is_as_typed: bool = False
    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    diversity: float | None = None

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is asked; a filter alone is a question."""
        return self.is_listing and not self.filter

    @property
    def is_listing(self) -> bool:
        """Tell whether nothing is asked by which images could be ranked."""
        return not (self.texts or self.images or self.match or self.more or self.less)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wished of an answer beside the query: likenesses of images, and how much it varies.

    `more` and `less` are ids of images in the index, or unique beginnings of them.
    """

    more: Sequence[str] = ()
    less: Sequence[str] = ()
    diversity: float | None = None

    def applied(self, query: Query) -> Query:
        """Return a query with these wishes."""
        return replace(
            query, more=tuple(self.more), less=tuple(self.less), diversity=self.diversity
        )
