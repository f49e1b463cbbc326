"""The columns of an archive's Parquet files, and the rows they make.

Text columns are plain strings. The rare text that UTF-8 cannot hold (a file name of other bytes,
which Python shows with lone surrogates) stands there with U+FFFD in the place of what is odd, and
whole in `odd_texts`: UTF-8 with `surrogatepass`, which is one-to-one over all Python strings.
Texts within a list are named by their place: `words/3`.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from lookalike.domain.archives import VERSION
from lookalike.domain.errors import MissingExtraError
from lookalike.domain.images import (
    MOST_WORDS,
    DetectedObject,
    ImageFacts,
    ImageId,
    ImageRecord,
    OcrWord,
    PaletteColour,
    Row,
    Source,
    is_image_id,
)
from lookalike.ports.archive import BlobHashes
from lookalike.ports.catalog import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")
_SHA256: Final = re.compile(r"([0-9a-f]{64})?")
_MOST_SIDE: Final = 1 << 31
_MOST_BYTES: Final = 1 << 62
_MOST_TIME: Final = 1e12
_BOX: Final = ("x", "y", "width", "height")

_MOST_NUMBER: Final = 1 << 31

_IMAGE_TEXTS: Final = ("format", "kind", "licence", "embedded_text", "ocr_text")
_EMBEDDED: Final = ("embedded_title", "creator", "rights")
SINCE_2: Final = frozenset({*_EMBEDDED, "keywords", "latitude", "longitude", "words"})
"""Columns of images that the first version has not."""
_SOURCE_TEXTS: Final = (
    "uri", "fingerprint", "page_url", "site", "title", "alt_text", "caption", "page_text",
    "licence",
)  # fmt: skip
_FAILURE_TEXTS: Final = ("uri", "reason", "detail", "fingerprint")


def import_pyarrow() -> ModuleType:
    """Return pyarrow, or say how to get it."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtraError("exporting and importing an index", extra="parquet") from error
    return pa


def schema_of(kind: str, version: int = VERSION) -> Any:
    """Return the Arrow schema of a kind of table (`domain.archives.KINDS`) of a version."""
    pa = import_pyarrow()
    numbers = {"f8": pa.float64(), "i4": pa.int32(), "i8": pa.int64(), "u8": pa.uint64()}

    def list_of(**fields: Any) -> Any:
        return pa.list_(pa.struct([pa.field(name, type_) for name, type_ in fields.items()]))

    odd = list_of(column=pa.string(), value=pa.binary())
    types: Mapping[str, Mapping[str, Any]] = {
        "images": {
            "id": pa.string(), "width": numbers["i4"], "height": numbers["i4"],
            "bytes": numbers["i8"], "format": pa.string(), "frames": numbers["i4"],
            "kind": pa.string(), "is_animated": pa.bool_(), "is_transparent": pa.bool_(),
            "taken?": numbers["f8"],
            "palette": list_of(**dict.fromkeys(("l", "a", "b", "weight"), numbers["f8"])),
            "color_tags": pa.list_(pa.string()), "phash": numbers["u8"],
            "phash_quality": numbers["f8"], "licence": pa.string(), "embedded_text": pa.string(),
            "objects": list_of(label=pa.string(), **dict.fromkeys(("score", *_BOX), numbers["f8"])),
            "ocr_text": pa.string(),
            "words": list_of(
                text=pa.string(), **dict.fromkeys(("score", *_BOX), numbers["f8"]),
                line=numbers["i4"],
            ),
            **dict.fromkeys(_EMBEDDED, pa.string()), "keywords": pa.list_(pa.string()),
            "latitude?": numbers["f8"], "longitude?": numbers["f8"],
            "models": pa.map_(pa.string(), pa.string()),
            "first_seen": numbers["f8"], "last_seen": numbers["f8"],
            "thumbnail_sha256?": pa.string(), "original_sha256?": pa.string(), "odd_texts": odd,
        },
        "sources": {
            "image": pa.string(), **dict.fromkeys(_SOURCE_TEXTS, pa.string()),
            "taken?": numbers["f8"], "seen": numbers["f8"], "is_vanished": pa.bool_(),
            "odd_texts": odd,
        },
        "regions": {"image": pa.string(), "number": numbers["i4"]},
        "copies": {
            "image": pa.string(), "copy_group": pa.string(), "is_canonical": pa.bool_(),
            "via?": pa.string(), "reason": pa.string(), "score": numbers["f8"],
        },
        "decisions": {
            "image": pa.string(), "other?": pa.string(), "verdict": pa.string(),
            "decided": numbers["f8"],
        },
        "failures": {
            **dict.fromkeys(_FAILURE_TEXTS, pa.string()), "seen": numbers["f8"], "odd_texts": odd,
        },
        "blocked": {"id": pa.string()},
    }  # fmt: skip
    return pa.schema(
        [
            pa.field(name.rstrip("?"), type_, nullable=name.endswith("?"))
            for name, type_ in types[kind].items()
            if version > 1 or name.rstrip("?") not in SINCE_2
        ]
    )


def image_row(record: ImageRecord, hashes: BlobHashes) -> dict[str, Any]:
    """Return the row of an image."""
    facts = record.facts
    return {
        "id": facts.id,
        "width": int(facts.width),
        "height": int(facts.height),
        "bytes": int(facts.bytes),
        "frames": int(facts.frames),
        "is_animated": bool(facts.is_animated),
        "is_transparent": bool(facts.is_transparent),
        "taken": facts.taken,
        "palette": [
            dict(zip(("l", "a", "b", "weight"), (*colour.lab, colour.weight), strict=True))
            for colour in facts.palette
        ],
        "color_tags": list(facts.color_tags),
        "phash": int(facts.phash) % (1 << 64),
        "phash_quality": float(facts.phash_quality),
        "objects": [
            {"label": shown(one.label), "score": one.score, **_box(one.box)}
            for one in record.objects
        ],
        "words": [
            {"text": shown(one.text), "score": one.score, **_box(one.box), "line": one.line}
            for one in record.words
        ],
        "keywords": [shown(word) for word in facts.keywords],
        "latitude": facts.place and facts.place[0],
        "longitude": facts.place and facts.place[1],
        "models": list(record.models.items()),
        "first_seen": float(record.first_seen),
        "last_seen": float(record.last_seen),
        "thumbnail_sha256": hashes.thumbnail or None,
        "original_sha256": hashes.original or None,
        **_packed(
            {name: getattr(facts, name) for name in (*_IMAGE_TEXTS[:-1], *_EMBEDDED)}
            | {"ocr_text": record.ocr_text},
            {
                "objects": [one.label for one in record.objects],
                "words": [one.text for one in record.words],
                "keywords": facts.keywords,
            },
        ),
    }


def source_row(image: ImageId, source: Source) -> dict[str, Any]:
    """Return the row of a source."""
    return {
        "image": image,
        "taken": source.taken,
        "seen": float(source.seen),
        "is_vanished": bool(source.is_vanished),
        **_packed({name: getattr(source, name) for name in _SOURCE_TEXTS}),
    }


def failure_row(failure: Failure) -> dict[str, Any]:
    """Return the row of a failure."""
    texts = {name: getattr(failure, name) for name in _FAILURE_TEXTS}
    return {"seen": float(failure.seen), **_packed(texts)}


def record_of(
    row: Mapping[str, Any], position: int, sources: Sequence[Source]
) -> tuple[ImageRecord, BlobHashes]:
    """Return the image of a row with its sources.

    Raises:
        ValueError: a value cannot be.
    """
    texts = _unpacked(row, [*_IMAGE_TEXTS, *(name for name in _EMBEDDED if name in row)])
    labels = _listed(row, "objects", [one and one["label"] for one in row["objects"]])
    words = row.get("words", ())
    read = _listed(row, "words", [one and one["text"] for one in words])
    facts = ImageFacts(
        id=id_of(row["id"]),
        width=_whole(row["width"], _MOST_SIDE),
        height=_whole(row["height"], _MOST_SIDE),
        bytes=_whole(row["bytes"], _MOST_BYTES),
        format=texts["format"],
        frames=_whole(row["frames"], _MOST_SIDE),
        kind=texts["kind"],
        is_animated=row["is_animated"],
        is_transparent=row["is_transparent"],
        taken=_time_or_none(row["taken"]),
        palette=tuple(_colour(colour) for colour in row["palette"]),
        color_tags=tuple(_tag(tag) for tag in row["color_tags"]),
        phash=row["phash"],
        phash_quality=_real(row["phash_quality"]),
        licence=texts["licence"],
        embedded_text=texts["embedded_text"],
        embedded_title=texts.get("embedded_title", ""),
        keywords=tuple(_listed(row, "keywords", row.get("keywords", ()))),
        creator=texts.get("creator", ""),
        rights=texts.get("rights", ""),
        place=_place(row.get("latitude"), row.get("longitude")),
    )
    record = ImageRecord(
        row=Row(position),
        facts=facts,
        sources=tuple(sources),
        objects=tuple(map(_object, row["objects"], labels)),
        words=tuple(map(_word, words, read)) or words_of_text(texts["ocr_text"]),
        first_seen=_real(row["first_seen"]),
        last_seen=_real(row["last_seen"]),
        models={_str(name): _str(version) for name, version in row["models"]},
    )
    return record, BlobHashes(_hash(row["thumbnail_sha256"]), _hash(row["original_sha256"]))


def source_of(row: Mapping[str, Any]) -> Source:
    """Return the source of a row, or raise `ValueError`."""
    return Source(
        **_unpacked(row, _SOURCE_TEXTS),
        taken=_time_or_none(row["taken"]),
        seen=_real(row["seen"]),
        is_vanished=row["is_vanished"],
    )


def failure_of(row: Mapping[str, Any]) -> Failure:
    """Return the failure of a row, or raise `ValueError`."""
    return Failure(**_unpacked(row, _FAILURE_TEXTS), seen=_real(row["seen"]))


def uri_of(row: Mapping[str, Any]) -> str:
    """Return the uri of a row of sources, or raise `ValueError`."""
    return _unpacked(row, ("uri",))["uri"]


def id_of(value: object) -> ImageId:
    """Return an image's id, or raise `ValueError`."""
    text = _str(value)
    if not is_image_id(text):
        raise ValueError(f"{text[:40]!r} is no id of an image")
    return ImageId(text)


def words_of_text(text: str) -> tuple[OcrWord, ...]:
    """Return the words of a text of which nobody says where they stand: anywhere."""
    words = [
        OcrWord(word, 1.0, (0.0, 0.0, 1.0, 1.0), number)
        for number, line in enumerate(text.splitlines())
        for word in line.split()
    ]
    return tuple(words[:MOST_WORDS])


def shown(text: str) -> str:
    """Return a text that UTF-8 can hold."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text) if _is_odd(text) else text


def _packed(
    texts: Mapping[str, str], lists: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """Return columns for texts, and what is odd in them or in the texts of lists."""
    within = {
        f"{name}/{at}": text for name, of in (lists or {}).items() for at, text in enumerate(of)
    }
    odd = {name: text for name, text in (dict(texts) | within).items() if _is_odd(text)}
    return {
        **{name: shown(text) for name, text in texts.items()},
        "odd_texts": [
            {"column": name, "value": text.encode("utf-8", "surrogatepass")}
            for name, text in odd.items()
        ],
    }


def _unpacked(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    texts = {name: _str(row[name]) for name in names}
    for odd in row["odd_texts"]:
        if odd is not None and odd["column"] in texts and odd["value"] is not None:
            texts[odd["column"]] = odd["value"].decode("utf-8", "surrogatepass")
    return texts


def _listed(row: Mapping[str, Any], column: str, texts: Sequence[object]) -> list[str]:
    """Return the texts of a list, odd ones whole."""
    names: dict[str, Any] = {f"{column}/{at}": text for at, text in enumerate(texts)}
    return list(_unpacked(names | {"odd_texts": row["odd_texts"]}, list(names)).values())


def _is_odd(text: str) -> bool:
    return not text.isascii() and _SURROGATES.search(text) is not None


def _whole(value: int, end: int) -> int:
    if not 0 <= value < end:
        raise ValueError(f"{value} is out of range")
    return value


def _real(value: object) -> float:
    if not isinstance(value, float) or not math.isfinite(value) or abs(value) > _MOST_TIME:
        raise ValueError(f"{value} is no number that can stand here")
    return value


def _time_or_none(value: object) -> float | None:
    return None if value is None else _real(value)


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text is missing")
    return value


def _hash(value: str | None) -> str:
    if not _SHA256.fullmatch(value or ""):
        raise ValueError("a SHA-256 is malformed")
    return value or ""


def _tag(value: object) -> str:
    tag = _str(value)
    if not tag or "," in tag:
        raise ValueError(f"{tag!r} is no word for a colour")
    return tag


def _colour(value: Mapping[str, Any] | None) -> PaletteColour:
    if value is None:
        raise ValueError("a colour is missing")
    light, a, b, weight = (_real(value[name]) for name in ("l", "a", "b", "weight"))
    return PaletteColour((light, a, b), weight)


def _object(value: Mapping[str, Any], label: str) -> DetectedObject:
    x, y, width, height = (_real(value[name]) for name in _BOX)
    return DetectedObject(label, _real(value["score"]), (x, y, width, height))


def _word(value: Mapping[str, Any], text: str) -> OcrWord:
    x, y, width, height = (_real(value[name]) for name in _BOX)
    line = _whole(value["line"], _MOST_NUMBER)
    return OcrWord(text, _real(value["score"]), (x, y, width, height), line)


def _box(box: tuple[float, float, float, float]) -> dict[str, float]:
    return dict(zip(_BOX, box, strict=True))


def _place(latitude: object, longitude: object) -> tuple[float, float] | None:
    if latitude is None or longitude is None:
        return None
    return _real(latitude), _real(longitude)
