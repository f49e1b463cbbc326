"""How the catalog's values look inside Cassandra, and back: numbers, blobs, keys of partitions."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters.catalog_values import (
    pack_embedded,
    pack_key,
    pack_objects,
    pack_words,
    require_id,
    unpack_embedded,
    unpack_id,
    unpack_key,
    unpack_objects,
    unpack_words,
)
from lookalike.domain.errors import IndexCorruptError, StoreError
from lookalike.domain.images import ImageFacts, ImageRecord, PaletteColour, Row, Source
from lookalike.ports.catalog import NewImage

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY_BYTES: Final = 16
HEAD_BYTES: Final = 16_384
"""Of a longer uri, its order is that of so many bytes; Cassandra takes keys up to 64 KiB."""

SITE_BYTES: Final = 1024
SITE_LEVELS: Final = 127
"""A host name has at most so many labels."""

DAY_MICROS: Final = 86_400_000_000
BUCKET_MICROS: Final = 600_000_000
SITE_SHARDS: Final = 16
TOP_SHARDS: Final = 256
FAILURE_SHARDS: Final = 16
BLOCKED_PARTS: Final = 256

NO_ID: Final = bytes(16)
"""Of a row that was written but never became an image's."""

_ANIMATED: Final = 1
_TRANSPARENT: Final = 2
_COLOUR: Final = struct.Struct("<4f")
_PHASH_BITS: Final = 1 << 64
_MOST: Final = (1 << 63) - 1
_FACTS: Final = 19
_SOURCE_AT: Final = 6 + _FACTS + 2
"""Where the columns of a source begin in a line of `READ_IMAGE`; its key stands before."""


def uri_key(uri: bytes) -> bytes:
    """Return the key of a uri: half of its SHA-256, so that a uri may be of any length."""
    return hashlib.sha256(uri).digest()[:KEY_BYTES]


def uri_part(key: bytes, parts: int) -> int:
    """Return the partition of `uris_in_order` that lists a uri."""
    return int.from_bytes(key[:4], "big") % parts


def id_prefix(image: bytes) -> bytes:
    """Return the partition of `ids` that an id belongs to: its first 4 hex digits."""
    return image[:2]


def blocked_part(image: bytes) -> int:
    """Return the partition of `blocked_ids` that lists an id."""
    return image[0]


def site_key(site: str) -> bytes:
    """Return a site as the key of partitions; one that is no host name's length, by its hash."""
    key = pack_key(site)
    return key if len(key) <= SITE_BYTES else b"\xff" + hashlib.sha256(key).digest()


def sites_above(site: str) -> list[str]:
    """Return a site and every domain above it.

    >>> sites_above("www.example.org")
    ['www.example.org', 'example.org', 'org']
    """
    found = [site] if site else []
    at = site.find(".")
    while at >= 0 and len(found) < SITE_LEVELS:
        if above := site[at + 1 :]:
            found.append(above)
        at = site.find(".", at + 1)
    return found


def site_shard(site: str, row: int) -> int:
    """Return in which piece of a site's day a row is listed; a top-level domain has more."""
    return row % (SITE_SHARDS if "." in site else TOP_SHARDS)


def whole(value: float) -> int:
    """Return an integer that a column can hold.

    Raises:
        StoreError: it is out of bounds.
    """
    number = int(value)
    if not -_MOST - 1 <= number <= _MOST:
        raise StoreError(f"{number} is out of bounds", hint="a number of the image is wrong")
    return number


def real(value: float) -> float:
    """Return a number as a column can hold it.

    Raises:
        StoreError: it is not a number.
    """
    number = float(value)
    if math.isnan(number):
        raise StoreError("a number of the image is NaN", hint="a number of the image is wrong")
    return number


def optional_real(value: float | None) -> float | None:
    """Return a number or None; what is not a number is None."""
    return None if value is None or math.isnan(value) else float(value)


def fact_values(new: NewImage) -> tuple[Any, ...]:
    """Return the values of `FACT_COLUMNS`.

    Raises:
        StoreError: one of them cannot be held.
    """
    facts = new.facts
    phash = int(facts.phash) % _PHASH_BITS
    return (
        require_id(facts.id),
        whole(facts.width),
        whole(facts.height),
        whole(facts.bytes),
        pack_key(facts.format),
        whole(facts.frames),
        pack_key(facts.kind),
        _ANIMATED * facts.is_animated | _TRANSPARENT * facts.is_transparent,
        optional_real(facts.taken),
        b"".join(_COLOUR.pack(*colour.lab, colour.weight) for colour in facts.palette),
        pack_key(",".join(facts.color_tags)),
        phash - _PHASH_BITS if phash >= _PHASH_BITS // 2 else phash,
        real(facts.phash_quality),
        pack_key(facts.licence),
        pack_key(facts.embedded_text),
        pack_key(json.dumps(dict(new.models))),
        pack_embedded(facts),
        pack_objects(new.objects),
        pack_words(new.words),
    )


def source_values(number: int, source: Source) -> tuple[Any, ...]:
    """Return the values of `SOURCE_COLUMNS`."""
    return (
        number,
        pack_key(source.uri),
        pack_key(source.fingerprint),
        pack_key(source.page_url),
        pack_key(source.site),
        pack_key(source.title),
        pack_key(source.alt_text),
        pack_key(source.caption),
        pack_key(source.page_text),
        pack_key(source.licence),
        optional_real(source.taken),
        real(source.seen),
        bool(source.is_vanished),
    )


def source_of(values: Sequence[Any]) -> Source:
    """Return the source that `SOURCE_COLUMNS` hold, without its number."""
    uri, fingerprint, page_url, site, title, alt, caption, page, licence, taken, seen, gone = values
    return Source(
        unpack_key(uri),
        unpack_key(fingerprint),
        unpack_key(page_url),
        unpack_key(site),
        unpack_key(title),
        unpack_key(alt),
        unpack_key(caption),
        unpack_key(page),
        unpack_key(licence),
        taken,
        seen,
        bool(gone),
    )


def record_of(lines: Sequence[Sequence[Any]]) -> ImageRecord | None:
    """Return the record that the lines of one image's partition make, None when it is not live."""
    if not lines or not lines[0][1]:
        return None
    row, _, _, _, first_seen, last_seen, *values = lines[0]
    stored = [line for line in lines if line[_SOURCE_AT - 1] is not None]
    stored.sort(key=lambda line: (line[_SOURCE_AT], line[_SOURCE_AT - 1]))
    known = known_of(row, values[:_FACTS])
    return ImageRecord(
        row=Row(row),
        facts=known.facts,
        sources=tuple(source_of(line[_SOURCE_AT + 1 :]) for line in stored),
        objects=known.objects,
        words=known.words,
        copy_group=values[_FACTS],
        first_seen=first_seen,
        last_seen=last_seen,
        models=known.models,
    )


def known_of(row: int, values: Sequence[Any]) -> NewImage:
    """Return what the values of `FACT_COLUMNS` say of an image.

    Raises:
        IndexCorruptError: one of them cannot be.
    """
    key, width, height, size, format_, frames, kind, flags, taken = values[:9]
    palette, tags, phash, quality, licence, text, models, embedded, objects, words = values[9:]
    try:
        facts = ImageFacts(
            id=unpack_id(key),
            width=width,
            height=height,
            bytes=size,
            format=unpack_key(format_),
            frames=frames,
            kind=unpack_key(kind),
            is_animated=bool(flags & _ANIMATED),
            is_transparent=bool(flags & _TRANSPARENT),
            taken=taken,
            palette=tuple(
                PaletteColour((light, a, b), weight)
                for light, a, b, weight in _COLOUR.iter_unpack(palette)
            ),
            color_tags=tuple(unpack_key(tags).split(",")) if tags else (),
            phash=phash % _PHASH_BITS,
            phash_quality=quality,
            licence=unpack_key(licence),
            embedded_text=unpack_key(text),
            **unpack_embedded(embedded),
        )
        return NewImage(
            Row(row),
            facts,
            dict(_models_of(models)),
            objects=unpack_objects(objects),
            words=unpack_words(words),
        )
    except (AttributeError, TypeError, ValueError, struct.error) as error:
        raise IndexCorruptError(
            f"row {row} of the catalog cannot be read: {error}",
            hint="remove the image and index it anew",
        ) from error


@lru_cache(maxsize=64)
def _models_of(text: bytes) -> dict[str, str]:
    """Return the model versions; few combinations stand in many records."""
    return json.loads(text)


def pack_number(number: int) -> bytes:
    """Return a number as bytes that sort as it does, negative ones apart."""
    return number.to_bytes(8, "big")


def unpack_number(value: bytes) -> int:
    """Return what `pack_number` was given."""
    return int.from_bytes(value, "big")


def pack_pair(day: int, shard: int) -> bytes:
    """Return a day and a shard as bytes that sort by day."""
    return day.to_bytes(4, "big") + shard.to_bytes(4, "big")


def unpack_pair(value: bytes) -> tuple[int, int]:
    """Return what `pack_pair` was given."""
    return int.from_bytes(value[:4], "big"), int.from_bytes(value[4:], "big")
