"""The query language: one line of text that means words, pictures, filters and weights.

The rules stand in docs/query-language.md; `query_format.format_query` is the way back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from lookalike.domain.errors import QueryError, UsageError, suggest_names
from lookalike.domain.filters import Condition, Filter
from lookalike.domain.images import is_image_id
from lookalike.domain.queries import ImagePart, Query, Region, TextMatch, TextPart
from lookalike.domain.query_filters import ALIASES, FILTER_NAMES, condition
from lookalike.domain.query_objects import Reading, read_objects, shown_condition
from lookalike.domain.query_sums import read_sums
from lookalike.domain.query_tokens import Token, tokens

MOST_CHARACTERS: Final = 2000
MOST_PARTS: Final = 32
"""Weighted, excluded and picture parts; each costs an encoding."""

PUSH_AWAY: Final = -0.25
"""The weight of `-word` on the encoder's side."""

PART_NAMES: Final = ("text", "img")
NAMES: Final = (*FILTER_NAMES, *ALIASES, *PART_NAMES)

_REGION: Final = re.compile(r"@((?:\d*\.?\d+)(?:,\d*\.?\d+){3})$", re.ASCII)


@dataclass(slots=True)
class _Parts:
    main: list[str] = field(default_factory=list[str])
    words: list[str] = field(default_factory=list[str])
    phrases: list[str] = field(default_factory=list[str])
    weighted: list[TextPart] = field(default_factory=list[TextPart])
    excluded: list[str] = field(default_factory=list[str])
    ocr: list[str] = field(default_factory=list[str])
    ocr_excluded: list[str] = field(default_factory=list[str])
    images: list[ImagePart] = field(default_factory=list[ImagePart])
    conditions: list[Condition] = field(default_factory=list[Condition])
    labels: Collection[str] = ()


def parse_query(
    text: str,
    *,
    k: int = 20,
    cursor: str | None = None,
    is_explained: bool = False,
    deadline_ms: float = 2000.0,
    labels: Collection[str] = (),
) -> Query:
    """Return the query that a line of text asks.

    Plain words make one text part in their order, with the phrases among them; weighted
    parts and what is pushed away follow. Plain words that say as a whole which objects there are
    (`two dogs and a car`) become conditions, too. `labels` are those of another detector than
    COCO's, where the index has one. Raises `QueryError` for an unknown name, a text that is too
    long or a bad weight or region, and `FilterError` for a bad filter value; both know the place.
    """
    if len(text) > MOST_CHARACTERS:
        raise QueryError(
            f"the query is {len(text)} characters long",
            hint=f"at most {MOST_CHARACTERS} are allowed",
        )
    if k < 1:
        raise QueryError(f"k is {k}", hint="ask for at least one hit")
    parts = _Parts(labels=labels)
    for token in read_sums(tuple(tokens(text)), away=PUSH_AWAY):
        try:
            _read(token, parts)
        except UsageError as error:
            error.point(text, token.begin, token.begin + len(token.source))
            raise
    if len(parts.weighted) + len(parts.excluded) + len(parts.images) > MOST_PARTS:
        raise QueryError("the query has too many parts", hint=f"at most {MOST_PARTS} are allowed")
    reading = None if parts.phrases else read_objects(" ".join(parts.main), labels)
    if reading is not None:
        parts.main = parts.words = [reading.words] if reading.words else []
    return Query(
        source=text,
        texts=_text_parts(parts),
        images=tuple(parts.images),
        match=_match(parts),
        filter=with_reading(Filter(tuple(parts.conditions)), reading),
        k=k,
        cursor=cursor,
        is_explained=is_explained,
        deadline_ms=deadline_ms,
        reading=shown_reading(reading),
    )


def with_reading(filter_: Filter, reading: Reading | None) -> Filter:
    """Return a filter with what plain words were read as before it, nothing twice."""
    if reading is None:
        return filter_
    rest = (one for one in filter_.conditions if one not in reading.conditions)
    return Filter((*reading.conditions, *rest))


def shown_reading(reading: Reading | None) -> tuple[str, ...]:
    """Return the conditions of a reading as people read them."""
    return tuple(map(shown_condition, reading.conditions)) if reading is not None else ()


def _text_parts(parts: _Parts) -> tuple[TextPart, ...]:
    main = [TextPart(" ".join(parts.main))] if parts.main else []
    away = [TextPart(text, PUSH_AWAY) for text in parts.excluded]
    return (*main, *parts.weighted, *away)


def _match(parts: _Parts) -> TextMatch:
    pulled = [part.text for part in parts.weighted if part.weight > 0]
    return TextMatch(
        words=" ".join([*parts.words, *pulled]),
        phrases=tuple(parts.phrases),
        ocr_phrases=tuple(parts.ocr),
        excluded=tuple(parts.excluded),
        ocr_excluded=tuple(parts.ocr_excluded),
    )


def _read(token: Token, parts: _Parts) -> None:
    name = token.name
    if not name:
        _read_words(token, parts)
    elif name == "img":
        parts.images.append(_image(token))
    elif name == "text":
        _read_ocr(token, parts)
    elif name in FILTER_NAMES or name in ALIASES:
        _refuse_weight(token)
        _need_value(token)
        parts.conditions.append(
            condition(
                name,
                token.value,
                suffix=token.suffix,
                is_negated=token.is_negated,
                is_quoted=token.is_quoted,
                labels=parts.labels,
            )
        )
    elif not token.value:  # "note: …" is prose
        _read_words(Token(f"{name}:", "", token.weight, token.is_negated), parts)
    else:
        raise QueryError(
            f"there is no filter {name}:",
            hint=f"{suggest_names(name, NAMES)} To search for the words, put them in quotes.",
        )


def _read_words(token: Token, parts: _Parts) -> None:
    text = " ".join(token.value.replace("\x00", " ").split())
    if not text:
        return
    if token.weight is not None:
        parts.weighted.append(TextPart(text, _weight(token)))
    elif token.is_negated:
        parts.excluded.append(text)
    else:
        parts.main.append(text)
        (parts.phrases if token.is_quoted else parts.words).append(text)


def _read_ocr(token: Token, parts: _Parts) -> None:
    _refuse_weight(token)
    _need_value(token)
    text = " ".join((token.value + token.suffix).replace("\x00", " ").split())
    if text:
        (parts.ocr_excluded if token.is_negated else parts.ocr).append(text)


def _image(token: Token) -> ImagePart:
    _need_value(token)
    reference, region = token.value, None
    tail = token.suffix if token.is_quoted else token.value
    if found := _REGION.search(tail):
        region = _region(found[1].split(","))
        reference = token.value if token.is_quoted else tail[: found.start()]
        tail = tail[: found.start()] if token.is_quoted else ""
    if token.is_quoted and tail:
        raise QueryError(
            f"{token.source} cannot be read", hint='write img:"my photo.jpg"@0.1,0.2,0.5,0.5'
        )
    if not reference:
        raise QueryError("img: needs a path, a URL or an id", hint="write img:photo.jpg")
    kind = "id" if is_image_id(reference) else "path"
    if reference.lower().startswith(("http://", "https://")):
        kind = "url"
    weight = _weight(token) if token.weight is not None else 1.0
    return ImagePart(
        kind, reference, region=region, weight=PUSH_AWAY if token.is_negated else weight
    )


def _region(numbers: Sequence[str]) -> Region:
    x, y, width, height = (float(number) for number in numbers)
    is_inside = x + width <= 1.0001 and y + height <= 1.0001
    if not (is_inside and width > 0 and height > 0):
        raise QueryError(
            f"the region {','.join(numbers)} does not lie in the picture",
            hint="write x,y,width,height as fractions, such as 0.1,0.2,0.5,0.5",
        )
    return (x, y, width, height)


def _weight(token: Token) -> float:
    if not token.weight:
        raise QueryError(f"{token.source} has the weight 0", hint="leave the part out instead")
    return token.weight


def _refuse_weight(token: Token) -> None:
    if token.weight is not None:
        raise QueryError(
            f"{token.source}: a filter has no weight",
            hint="weights go with words and img:, as in 0.5:dog",
        )


def _need_value(token: Token) -> None:
    if not token.value.strip():
        raise QueryError(
            f"{token.name}: needs a value", hint=f"write it right after the colon, {token.name}:…"
        )
