"""What every catalog does alike: keys and ids as bytes, and packed objects, words and metadata.

Keys are UTF-8 with `surrogatepass`, which is one-to-one over all strings: they sort by code
point, and a file name that is not UTF-8 (which Python shows with lone surrogates) comes back as
it was.

Objects and words are packed by columns: a byte that names the form, their number, their numbers
(scores and boxes in ten-thousandths, 16 bits each), then the lengths of their texts and the texts.
What is longer than `LEAST_DEFLATED` is deflated.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

from lookalike.domain.errors import StoreError
from lookalike.domain.images import (
    MOST_WORDS,
    DetectedObject,
    ImageId,
    OcrWord,
    is_image_id,
)
from lookalike.ports.catalog import NewImage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lookalike.domain.images import ImageFacts, ImageRecord
    from lookalike.ports.catalog import Reading

MOST_OBJECTS: Final = 100
MOST_CHARACTERS: Final = 1000
"""Of a label or a word; of keywords, each."""

MOST_KEYWORDS: Final = 500
MOST_EMBEDDED: Final = 20_000
"""Characters of an embedded title, of the rights and of a creator's name."""

LEAST_DEFLATED: Final = 200
MOST_PACKED_BYTES: Final = 1 << 24
"""What unpacks to more is not ours."""

_SCALE: Final = 10_000
_PLAIN: Final = 1
_DEFLATED: Final = 2
_HEAD: Final = struct.Struct("<BH")
_MOST_LINE: Final = (1 << 16) - 1


class Embedded(TypedDict, total=False):
    """Fields of `ImageFacts` that a file carries."""

    embedded_title: str
    keywords: tuple[str, ...]
    creator: str
    rights: str
    place: tuple[float, float] | None


_Numbers = tuple[float, tuple[float, float, float, float], int]
"""A score, a box and a line."""


def pack_key(text: str) -> bytes:
    """Return a uri as bytes that sort as its code points do."""
    return text.encode("utf-8", "surrogatepass")


def unpack_key(value: bytes) -> str:
    """Return what `pack_key` was given."""
    return value.decode("utf-8", "surrogatepass")


def pack_id(image: ImageId) -> bytes | None:
    """Return an id as 16 bytes, or None for text that is no id."""
    return bytes.fromhex(image) if is_image_id(image) else None


def pack_ids(images: Sequence[ImageId]) -> list[bytes]:
    """Return the ids as bytes, text that is no id left out."""
    return [key for key in map(pack_id, images) if key is not None]


def unpack_id(value: bytes) -> ImageId:
    """Return what `pack_id` was given."""
    return ImageId(value.hex())


def require_id(image: ImageId) -> bytes:
    """Return an id as 16 bytes.

    Raises:
        StoreError: the text is no id.
    """
    key = pack_id(image)
    if key is None:
        raise StoreError(f"{image!r} is no image id", hint="ids are 32 hex digits")
    return key


def pack_objects(objects: Sequence[DetectedObject]) -> bytes:
    """Return objects in few bytes, none for none; those after the hundredth are left out.

    Raises:
        StoreError: a score or a box is no number.
    """
    some = objects[:MOST_OBJECTS]
    return _packed([one.label for one in some], [(one.score, one.box, 0) for one in some])


def unpack_objects(data: bytes | None) -> tuple[DetectedObject, ...]:
    """Return what `pack_objects` was given, its numbers to a ten-thousandth.

    Raises:
        ValueError: the bytes are not its.
    """
    if not data:
        return ()
    return tuple(DetectedObject(label, score, box) for label, score, box, _ in _unpacked(data))


def pack_words(words: Sequence[OcrWord]) -> bytes:
    """Return words in few bytes, none for none; those after `MOST_WORDS` are left out.

    Raises:
        StoreError: a score or a box is no number.
    """
    some = words[:MOST_WORDS]
    return _packed([one.text for one in some], [(one.score, one.box, one.line) for one in some])


def unpack_words(data: bytes | None) -> tuple[OcrWord, ...]:
    """Return what `pack_words` was given, its numbers to a ten-thousandth.

    Raises:
        ValueError: the bytes are not its.
    """
    if not data:
        return ()
    return tuple(OcrWord(*values) for values in _unpacked(data))


def pack_embedded(facts: ImageFacts) -> bytes:
    """Return the title, keywords, creator, rights and place that a file carries; none for none.

    Raises:
        StoreError: the place is no number.
    """
    values: dict[str, Any] = {
        "title": facts.embedded_title[:MOST_EMBEDDED],
        "keywords": [word[:MOST_CHARACTERS] for word in facts.keywords[:MOST_KEYWORDS]],
        "creator": facts.creator[:MOST_EMBEDDED],
        "rights": facts.rights[:MOST_EMBEDDED],
    }
    if facts.place is not None:
        values["place"] = [_finite(facts.place[0]), _finite(facts.place[1])]
    said = {name: value for name, value in values.items() if value}
    return json.dumps(said, separators=(",", ":")).encode("ascii") if said else b""


def unpack_embedded(data: bytes | None) -> Embedded:
    """Return what `pack_embedded` has packed, as fields of `ImageFacts`; none for none.

    Raises:
        ValueError: the bytes are not its.
    """
    if not data:
        return {}
    values = json.loads(data)
    if not isinstance(values, dict):
        raise ValueError("embedded metadata is no object")
    said = cast("Mapping[str, object]", values)
    keywords, place = said.get("keywords", []), said.get("place")
    if not isinstance(keywords, list):
        raise ValueError("embedded keywords are no list")
    return {
        "embedded_title": _text(said.get("title", "")),
        "keywords": tuple(map(_text, cast("list[object]", keywords))),
        "creator": _text(said.get("creator", "")),
        "rights": _text(said.get("rights", "")),
        "place": None if place is None else _place(place),
    }


def new_of(record: ImageRecord) -> NewImage:
    """Return what a commit would state to make a record anew."""
    return NewImage(
        record.row,
        record.facts,
        record.models,
        record.first_seen,
        record.last_seen,
        record.objects,
        record.words,
    )


def read_anew(known: NewImage, reading: Reading) -> NewImage:
    """Return an image as it is after a reading.

    Raises:
        StoreError: the facts are another image's.
    """
    facts = known.facts if reading.facts is None else reading.facts
    if facts.id != known.facts.id:
        raise StoreError(f"facts of {facts.id} were read in {known.facts.id}", hint="report a bug")
    return replace(
        known,
        facts=facts,
        objects=known.objects if reading.objects is None else reading.objects,
        words=known.words if reading.words is None else reading.words,
        models={**known.models, **reading.models},
    )


def _packed(texts: Sequence[str], numbers: Sequence[_Numbers]) -> bytes:
    count = len(texts)
    if not count:
        return b""
    some = [text[:MOST_CHARACTERS] for text in texts]
    columns = [
        [_parts(score) for score, _, _ in numbers],
        *([_parts(box[at]) for _, box, _ in numbers] for at in range(4)),
        [max(0, min(int(line), _MOST_LINE)) for _, _, line in numbers],
        [len(text) for text in some],
    ]
    body = struct.pack(f"<{7 * count}H", *(value for column in columns for value in column))
    body += pack_key("".join(some))
    if len(body) < LEAST_DEFLATED:
        return _HEAD.pack(_PLAIN, count) + body
    return _HEAD.pack(_DEFLATED, count) + zlib.compress(body)


def _unpacked(data: bytes) -> list[tuple[str, float, tuple[float, float, float, float], int]]:
    try:
        form, count = _HEAD.unpack_from(data)
        body = data[_HEAD.size :]
        if form == _DEFLATED:
            inflater = zlib.decompressobj()
            body = inflater.decompress(body, MOST_PACKED_BYTES)
            if not inflater.eof:
                raise ValueError("packed words are cut short, or too large")
        elif form != _PLAIN:
            raise ValueError("packed words have an unknown form")
        numbers = struct.unpack_from(f"<{7 * count}H", body)
        text = unpack_key(body[14 * count :])
    except (struct.error, zlib.error) as error:
        raise ValueError(f"packed words are damaged: {error}") from error
    parts = [number / _SCALE for number in numbers[: 5 * count]]
    scores, x, y, width, height = (parts[at * count : (at + 1) * count] for at in range(5))
    lines, lengths = numbers[5 * count : 6 * count], numbers[6 * count :]
    if sum(lengths) != len(text):
        raise ValueError("packed words are cut short")
    texts: list[str] = []
    at = 0
    for length in lengths:
        texts.append(text[at : at + length])
        at += length
    boxes = zip(x, y, width, height, strict=True)
    return list(zip(texts, scores, boxes, lines, strict=True))


def _parts(value: float) -> int:
    """Return a share in [0, 1] in ten-thousandths; what lies outside is brought in."""
    return round(max(0.0, min(_finite(value), 1.0)) * _SCALE)


def _finite(value: float) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise StoreError(f"{number} is no number of a box", hint="a model answers nonsense")
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("an embedded text is none")
    return value


def _place(value: object) -> tuple[float, float]:
    if not isinstance(value, list) or len(cast("list[object]", value)) != 2:
        raise ValueError("an embedded place is none")
    latitude, longitude = cast("list[object]", value)
    if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
        raise ValueError("an embedded place is none")
    return float(latitude), float(longitude)
