"""How the catalog's values look inside SQLite, and back.

Uris and site names are blobs (`catalog_values.pack_key`), so that they sort by code point and
may hold anything a Python string may. Other text is TEXT where UTF-8 can hold it and a blob of
the same encoding where it cannot.
"""

from __future__ import annotations

import json
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from lookalike.adapters.catalog_values import (
    pack_embedded,
    pack_key,
    pack_objects,
    pack_words,
    unpack_embedded,
    unpack_id,
    unpack_key,
    unpack_objects,
    unpack_words,
)
from lookalike.domain.errors import IndexCorruptError
from lookalike.domain.images import ImageFacts, ImageRecord, PaletteColour, Row, Source
from lookalike.ports.catalog import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from lookalike.ports.catalog import NewImage

Text: TypeAlias = str | bytes
"""Text as SQLite holds it."""

IMAGE_COLUMNS: Final = (
    "row, id, width, height, bytes, format, frames, kind, flags, taken, palette, color_tags,"
    " phash, phash_quality, licence, embedded_text, models, embedded, objects, words, first_seen,"
    " last_seen"
)
RECORD_COLUMNS: Final = (
    f"{IMAGE_COLUMNS}, (SELECT copy_group FROM copies"  # noqa: S608 - constants
    " WHERE copies.row = images.row AND copy_group >= 0)"
)
"""What `record_of` takes: the columns of an image, and the number of its copy group."""

READING_COLUMNS: Final = IMAGE_COLUMNS.removeprefix("row, id, ").removesuffix(
    ", first_seen, last_seen"
)
"""What models and files say of an image, which a reading may replace."""

SOURCE_COLUMNS: Final = (
    "uri, fingerprint, page_url, site, title, alt_text, caption, page_text, licence, taken,"
    " seen, is_vanished"
)
FAILURE_COLUMNS: Final = "uri, reason, detail, fingerprint, seen"

_ANIMATED: Final = 1
_TRANSPARENT: Final = 2
_COLOUR: Final = struct.Struct("<4f")
_PHASH_BITS: Final = 1 << 64


def pack_text(text: str) -> Text:
    """Return text in the form that SQLite can hold."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return pack_key(text)
    return text


def unpack_text(value: Text) -> str:
    """Return what `pack_text` was given."""
    return value if isinstance(value, str) else unpack_key(value)


def pack_site(site: str) -> bytes:
    """Return a host name with its labels turned round, so that sub-domains follow it."""
    return pack_key(".".join(reversed(site.split(".")))) if site else b""


def unpack_site(value: bytes) -> str:
    """Return what `pack_site` was given."""
    return ".".join(reversed(unpack_key(value).split("."))) if value else ""


def image_values(image: NewImage, key: bytes, now: float) -> tuple[Any, ...]:
    """Return the values of `IMAGE_COLUMNS` for an image that is new here."""
    facts = image.facts
    phash = int(facts.phash) % _PHASH_BITS
    return (
        int(image.row),
        key,
        int(facts.width),
        int(facts.height),
        int(facts.bytes),
        pack_text(facts.format),
        int(facts.frames),
        pack_text(facts.kind),
        _ANIMATED * facts.is_animated | _TRANSPARENT * facts.is_transparent,
        None if facts.taken is None else float(facts.taken),
        b"".join(_COLOUR.pack(*colour.lab, colour.weight) for colour in facts.palette),
        pack_text(",".join(facts.color_tags)),
        phash - _PHASH_BITS if phash >= _PHASH_BITS // 2 else phash,
        float(facts.phash_quality),
        pack_text(facts.licence),
        pack_text(facts.embedded_text),
        json.dumps(dict(image.models)),
        pack_embedded(facts),
        pack_objects(image.objects),
        pack_words(image.words),
        now if image.first_seen is None else float(image.first_seen),
        now if image.last_seen is None else float(image.last_seen),
    )


def source_values(source: Source, seen: float) -> tuple[Any, ...]:
    """Return the values of `SOURCE_COLUMNS`."""
    return (
        pack_key(source.uri),
        pack_text(source.fingerprint),
        pack_text(source.page_url),
        pack_site(source.site),
        pack_text(source.title),
        pack_text(source.alt_text),
        pack_text(source.caption),
        pack_text(source.page_text),
        pack_text(source.licence),
        None if source.taken is None else float(source.taken),
        seen,
        int(source.is_vanished),
    )


def source_of(values: Sequence[Any]) -> Source:
    """Return the source that `SOURCE_COLUMNS` hold."""
    uri, fingerprint, page_url, site, title, alt, caption, page, licence, taken, seen, gone = values
    texts = (fingerprint, page_url, title, alt, caption, page, licence)
    if bytes in map(type, texts):
        texts = tuple(map(unpack_text, texts))
        fingerprint, page_url, title, alt, caption, page, licence = texts
    return Source(
        unpack_key(uri),
        fingerprint,
        page_url,
        unpack_site(site),
        title,
        alt,
        caption,
        page,
        licence,
        taken,
        seen,
        bool(gone),
    )


def failure_of(values: Sequence[Any]) -> Failure:
    """Return the failure that `FAILURE_COLUMNS` hold."""
    uri, *texts, seen = values
    return Failure(unpack_key(uri), *map(unpack_text, texts), seen=seen)


def record_of(values: Sequence[Any], sources: Sequence[Source]) -> ImageRecord:
    """Return the record that `RECORD_COLUMNS` and its sources make."""
    row, key, width, height, size, format_, frames, kind, flags, taken = values[:10]
    palette, tags, phash, quality, licence, text, models = values[10:17]
    embedded, objects, words, first_seen, last_seen, copy_group = values[17:]
    try:
        facts = ImageFacts(
            id=unpack_id(key),
            width=width,
            height=height,
            bytes=size,
            format=unpack_text(format_),
            frames=frames,
            kind=unpack_text(kind),
            is_animated=bool(flags & _ANIMATED),
            is_transparent=bool(flags & _TRANSPARENT),
            taken=taken,
            palette=tuple(
                PaletteColour((light, a, b), weight)
                for light, a, b, weight in _COLOUR.iter_unpack(palette)
            ),
            color_tags=tuple(unpack_text(tags).split(",")) if tags else (),
            phash=phash % _PHASH_BITS,
            phash_quality=quality,
            licence=unpack_text(licence),
            embedded_text=unpack_text(text),
            **unpack_embedded(embedded),
        )
        found, read = unpack_objects(objects), unpack_words(words)
        stated = dict(_models_of(models))
    except (AttributeError, TypeError, ValueError, struct.error) as error:
        raise IndexCorruptError(
            f"row {row} of the catalog cannot be read: {error}",
            hint="restore a backup, or index the pictures anew",
        ) from error
    return ImageRecord(
        row=Row(row),
        facts=facts,
        sources=tuple(sources),
        objects=found,
        words=read,
        copy_group=copy_group,
        first_seen=first_seen,
        last_seen=last_seen,
        models=stated,
    )


@lru_cache(maxsize=64)
def _models_of(text: str) -> dict[str, str]:
    """Return the model versions; few combinations stand in many records."""
    return json.loads(text)
