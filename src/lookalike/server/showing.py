"""What of a search is shown: all of it, copies alone, the like without them, objects, or text."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from lookalike.domain.answers import object_json, result_json, word_json
from lookalike.domain.errors import QueryError
from lookalike.domain.filters import HasObject, matches
from lookalike.domain.hits import SearchResult
from lookalike.domain.images import image_id
from lookalike.domain.queries import TextMatch
from lookalike.domain.query_format import words_instead
from lookalike.engine.copies import FoundCopy
from lookalike.server.copy_answers import copy_hit, evidence_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lookalike.domain.images import DetectedObject, ImageId, OcrWord
    from lookalike.domain.queries import ImagePart, Query
    from lookalike.engine.engine import Engine

Show: TypeAlias = Literal["all", "copies", "similar", "objects", "text"]

COPY_COSINE: Final = 0.97
"""A whole picture this near to the asked one is marked as its copy without a closer look."""

MOST_ASKED_WORDS: Final = 16
"""Words of a picture that others are searched for by."""

_SAME_FILE: Final = "the same file"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is seen in the picture that is asked with."""

    objects: Sequence[DetectedObject] = ()
    words: Sequence[OcrWord] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A result, why hits are copies of the asked picture, and what is seen in that."""

    result: SearchResult
    evidence: Mapping[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    asked: Asked | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the object that HTTP answers with."""
        body = result_json(self.result)
        for hit in body["hits"]:
            if hit["id"] in self.evidence:
                hit["copy_of"] = self.evidence[hit["id"]]
        if self.result.reading:
            body["words_instead"] = words_instead(self.result.corrected or self.result.query)
        if self.asked is not None:
            body["asked"] = {
                "objects": [object_json(one) for one in self.asked.objects],
                "words": [word_json(one) for one in self.asked.words],
            }
        return body


def answer_of(engine: Engine, query: Query, show: Show, *, most: int) -> Answer:
    """Search, and leave what is to be shown; `most` bounds what one look goes through.

    Raises `QueryError` where the query holds nothing that could be shown so.
    """
    if show == "copies":
        return _copies(engine, query, most) if query.images else _copied(engine, query, most)
    if show == "similar":
        return _similar(engine, query)
    if show == "objects":
        return _objects(engine, query)
    if show == "text":
        return _text(engine, query)
    result = engine.search(query)
    return Answer(result, _marks(engine, query, result))


def _copies(engine: Engine, query: Query, most: int) -> Answer:
    """Return the copies of the one picture asked with, the surest first; filters hold."""
    if len(query.images) != 1 or query.images[0].region:
        raise QueryError(
            "copies are found of one whole picture", hint="leave its region and other pictures out"
        )
    found = [
        one for one in copies_of(engine, query.images[0]) if matches(one.record, query.filter)
    ][:most]
    return Answer(
        SearchResult(query.source, [copy_hit(one) for one in found[: query.k]], len(found)),
        {one.record.id: evidence_json(one) for one in found},
    )


def _copied(engine: Engine, query: Query, most: int) -> Answer:
    """Return the best hits of a query without pictures that there are copies of."""
    result = engine.search(replace(query, k=most, cursor=None))
    hits = [hit for hit in result.hits if hit.copies]
    met = sum(bool(hit.copies) for hit in result.hits[: result.reading_met])
    return Answer(
        replace(
            result, hits=hits[: query.k], total=len(hits), next=None,
            reading_met=min(met, query.k),
        )
    )  # fmt: skip


def _similar(engine: Engine, query: Query) -> Answer:
    """Return what looks like the picture and is not the same, or like the words say.

    Copies are told by a close look on the first page, where they stand, and by marks later.
    """
    if not query.images:
        return Answer(engine.search(replace(query, match=_without_words(query))))
    result = engine.search(query)
    if len(query.images) != 1 or query.images[0].region:
        return Answer(result)
    copies = set(_marks(engine, replace(query, texts=()), result))
    if query.cursor is None:
        copies |= {one.record.id for one in copies_of(engine, query.images[0])}
    return Answer(replace(result, hits=[hit for hit in result.hits if hit.record.id not in copies]))


def _without_words(query: Query) -> TextMatch:
    return replace(query.match, words="") if query.texts else query.match


def _objects(engine: Engine, query: Query) -> Answer:
    """Return what is found through the objects in pictures, the nearest first."""
    if not (query.texts or query.images):
        if not any(isinstance(one, HasObject) for one in query.filter.conditions):
            raise QueryError("no object is asked for", hint="give words, a picture, or has:cat")
        return Answer(engine.search(query))
    result = engine.search(replace(query, is_of_objects=True))
    return Answer(result, asked=_asked(engine, query))


def _text(engine: Engine, query: Query) -> Answer:
    """Return pictures in which all words of the query can be read, or some of its picture."""
    match = query.match
    if match:
        wanted = (*match.ocr_phrases, *match.phrases, *match.words.split())
        read = replace(match, words="", phrases=(), ocr_phrases=tuple(dict.fromkeys(wanted)))
        return Answer(engine.search(replace(query, texts=(), match=read)))
    asked = _asked(engine, query)
    if asked is None:
        raise QueryError("no words are asked for", hint="give words, or one picture")
    words = _telling(asked.words)
    if not words:
        return Answer(SearchResult(query.source, [], 0), asked=asked)
    result = engine.search(replace(query, images=(), texts=(), match=TextMatch(" ".join(words))))
    own = _stored(engine, query.images[0])
    hits = [
        hit
        for hit in result.hits
        if hit.record.id != own and any(one.startswith("ocr_text:") for one in hit.why)
    ]
    return Answer(replace(result, hits=hits), asked=asked)


def _telling(words: Sequence[OcrWord]) -> Sequence[str]:
    """Return the words that others may share: the longest, each once."""
    texts = dict.fromkeys(word.text for word in words if any(map(str.isalnum, word.text)))
    return sorted((one for one in texts if len(one) > 1), key=len, reverse=True)[:MOST_ASKED_WORDS]


def _asked(engine: Engine, query: Query) -> Asked | None:
    """Return what is seen in the one picture asked with: known of a stored one, else looked at."""
    if len(query.images) != 1:
        return None
    part = query.images[0]
    known = _stored(engine, part)
    if known is not None:
        record = engine.record(known)
        return Asked(record.objects, record.words)
    seen = engine.look(part)
    return Asked(seen.objects, seen.words)


def _stored(engine: Engine, part: ImagePart) -> ImageId | None:
    """Return the image of the index that a part is, if it is one."""
    if part.kind == "id":
        return engine.resolve(part.reference)
    image = image_id(part.data)
    return image if engine.has(image) else None


def copies_of(engine: Engine, part: ImagePart) -> Sequence[FoundCopy]:
    """Return the copies of a picture, the surest first; of a stored file, itself before them."""
    known = _stored(engine, part)
    if known is None:
        return engine.copies.of_picture(part)
    others = engine.copies.of(known)
    if part.kind == "id":
        return others
    return [FoundCopy(engine.record(known), _SAME_FILE, 1.0, 1.0, 0), *others]


def _marks(engine: Engine, query: Query, result: SearchResult) -> Mapping[str, dict[str, Any]]:
    """Return which hits are the one picture asked for, by its group or by being very near."""
    if len(query.images) != 1 or query.images[0].region or query.texts:
        return {}
    own = _stored(engine, query.images[0])
    has_groups = own is not None and any(hit.record.copy_group is not None for hit in result.hits)
    group = engine.copies.group_of(own) if own is not None and has_groups else None
    reasons = {record.id: member.reason for record, member in group.members} if group else {}
    marks: dict[str, dict[str, Any]] = {}
    for hit in result.hits:
        cosine = hit.parts.get("cosine", 0.0)
        image = hit.record.id
        if image == own:
            marks[image] = {"reason": _SAME_FILE, "cosine": cosine}
        elif image in reasons:
            marks[image] = {"reason": reasons[image] or "same picture", "cosine": cosine}
        elif own is None and cosine >= COPY_COSINE:
            marks[image] = {"reason": "nearly the same picture", "cosine": cosine}
    return marks
