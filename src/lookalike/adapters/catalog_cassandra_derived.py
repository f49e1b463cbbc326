"""What is derived from images and uris, as statements that may be repeated and may overtake.

Each is written with the version of its image or uri as the timestamp: an older one that arrives
late changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra_client import Call
from lookalike.adapters.catalog_cassandra_mapping import (
    DAY_MICROS,
    FAILURE_SHARDS,
    HEAD_BYTES,
    NO_ID,
    id_prefix,
    pack_pair,
    site_key,
    uri_part,
)
from lookalike.adapters.catalog_values import pack_key, unpack_id
from lookalike.domain.images import hashed_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lookalike.adapters.catalog_cassandra_planning import (
        ImageState,
        Plan,
        SiteEntry,
        UriState,
    )

IDS: Final = b"ids"
FAILURES: Final = b"failures"
SITE: Final = b"site:"

Part = tuple[bytes, bytes]
"""A table (and a site) and one of its partitions, as `parts` lists them."""

Marks = tuple[int, "int | None"]
"""The version and the stamp that a partition has."""


def image_calls(plan: Plan, marks: Mapping[int, Marks]) -> tuple[list[Call], set[Part]]:
    """Return the statements for the images a plan names, and the partitions they fill.

    `marks` say what each image is marked with by now.
    """
    calls: list[Call] = []
    parts: set[Part] = set()
    for row, image in plan.images.items():
        version, stamp = marks[row]
        if stamp is not None and image.id != NO_ID:
            calls += _id_calls(plan, image, version, parts)
            calls += _unlisted(plan.scene.images[row], image, version)
    return calls, parts


def site_calls(plan: Plan, tick: Callable[[], int]) -> tuple[list[Call], set[Part]]:
    """Return the statements that list images for sites they are about to be seen on.

    They go before the image itself, so that what an image holds is always listed; whoever reads
    the list asks the image. Images of one partition go together.
    """
    rows: dict[SiteEntry, list[int]] = {}
    for row, image in plan.images.items():
        before = plan.scene.images[row]
        if image.is_live and image.sources != before.sources:
            for entry in image.site_entries(plan.uris) - before.site_entries():
                rows.setdefault(entry, []).append(row)
    calls: list[Call] = []
    parts: set[Part] = set()
    for (site, day, shard), some in rows.items():
        key = site_key(site)
        parts.add((SITE + key, pack_pair(day, shard)))
        version = max(tick(), *(plan.scene.images[row].version + 1 for row in some))
        puts = [Call(cql.PUT_SITE, (key, day, shard, row, version)) for row in some]
        calls.append(Call(puts[0].statement, puts[0].values, puts[1:]))
    return calls, parts


def uri_calls(
    plan: Plan, marks: Mapping[bytes, Marks], uri_parts: int
) -> tuple[list[Call], set[Part]]:
    """Return the statements for the uris a plan names, and the partitions they fill."""
    calls: list[Call] = []
    parts: set[Part] = set()
    for key, uri in plan.uris.items():
        version, stamp = marks[key]
        if stamp is not None:
            calls.append(_order_call(uri, version, uri_part(key, uri_parts)))
            calls += _failure_calls(plan.scene.uris[key], uri, parts)
    return calls, parts


def failure_place(number: int, key: bytes) -> tuple[int, int]:
    """Return the partition of `failures` that holds a refusal: its day and a shard."""
    return number // DAY_MICROS, key[0] % FAILURE_SHARDS


def _id_calls(plan: Plan, image: ImageState, version: int, parts: set[Part]) -> Iterator[Call]:
    prefix = id_prefix(image.id)
    if image.is_live:
        # One that comes back is put anew: who took it away may be about to drop the entry.
        is_back = not plan.scene.images[image.row].is_live
        if is_back or plan.scene.rows.get(image.id) != image.row:
            parts.add((IDS, prefix))
            yield Call(cql.PUT_ID, (version, image.row, prefix, image.id))
    elif plan.row_of(image.id) is None:
        was_here = plan.scene.images[image.row].is_live or image.row == hashed_row(
            unpack_id(image.id)
        )
        if was_here or plan.scene.rows.get(image.id) == image.row:
            yield Call(cql.DROP_ID, (version, prefix, image.id))


def _unlisted(before: ImageState, after: ImageState, version: int) -> Iterator[Call]:
    """Yield the statements that take an image from the lists of sites it is no longer seen on."""
    if before.is_whole:
        for site, day, shard in before.site_entries() - after.site_entries():
            yield Call(cql.DROP_SITE, (version, site_key(site), day, shard, after.row))


def _order_call(uri: UriState, version: int, part: int) -> Call:
    text = pack_key(uri.uri)
    head = text[:HEAD_BYTES]
    if not uri.is_known:
        return Call(cql.DROP_IN_ORDER, (version, part, head, uri.key))
    whole = text if len(text) > HEAD_BYTES else None
    return Call(cql.PUT_IN_ORDER, (version, whole, uri.is_vanished, part, head, uri.key))


def _failure_calls(before: UriState, after: UriState, parts: set[Part]) -> Iterator[Call]:
    if before.reason is not None and before.number != after.number:
        place = failure_place(before.number, before.key)
        yield Call(cql.DROP_FAILURE, (*place, before.number, before.key))
    if failure := after.failure:
        place = failure_place(after.number, after.key)
        parts.add((FAILURES, pack_pair(*place)))
        texts = (failure.uri, failure.reason, failure.detail, failure.fingerprint)
        values = (*place, after.number, after.key, *map(pack_key, texts), failure.seen)
        yield Call(cql.PUT_FAILURE, values)
