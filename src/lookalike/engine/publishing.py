"""Handing pictures to the ingest log, for workers to index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lookalike.domain import reasons
from lookalike.domain.images import image_id
from lookalike.domain.ingest_messages import PutMessage, encode_message, key_of
from lookalike.engine.adding import AddOutcome
from lookalike.ports.ingest_log import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lookalike.domain.images import ImageId
    from lookalike.engine.stores import Stores
    from lookalike.ports.ingest_log import IngestLog
    from lookalike.ports.source import SourceItem

_UNSENT: Final = (reasons.UNSUPPORTED, "ready vectors do not travel through the ingest log")


def incoming_key(image: ImageId) -> str:
    """Return the blob key of a picture that waits for a worker."""
    return f"incoming/{image[:2]}/{image}"


def publish_pictures(
    stores: Stores,
    log: IngestLog,
    items: Sequence[SourceItem],
    read: Callable[[SourceItem], bytes] | None = None,
) -> Sequence[AddOutcome]:
    """Put the items' bytes into the blob store and a message for each into the log.

    Files are read with `read`, or left to workers that see the same disk. Durable when this
    returns. Only pictures that came as bytes, or were read here, have an id already.
    """
    blobs: dict[str, bytes] = {}
    entries: list[Entry] = []
    outcomes: list[AddOutcome] = []
    for item in items:
        data = item.data if item.kind == "data" else b""
        if item.kind == "path" and read is not None:
            data = read(item)
        message = _message(item, data)
        if message is None:
            reason, detail = item.error if item.kind == "error" else _UNSENT
            outcomes.append(AddOutcome(None, False, reason, detail))
            continue
        entries.append(Entry(key_of(message), encode_message(message)))
        image = image_id(data) if data else None
        if image is not None:
            blobs[incoming_key(image)] = data
        outcomes.append(AddOutcome(image, is_new=False, is_waiting=True))
    known = stores.catalog.rows_of([one.id for one in outcomes if one.id is not None])
    stores.blobs.put_many(blobs)
    log.publish(entries)
    return [
        AddOutcome(one.id, one.id is not None and one.id not in known, is_waiting=True)
        if one.is_waiting
        else one
        for one in outcomes
    ]


def _message(item: SourceItem, data: bytes) -> PutMessage | None:
    if data:
        is_kept = item.kind == "data"
        return PutMessage(item.source, "blob", incoming_key(image_id(data)), is_kept)
    if item.kind == "url":
        return PutMessage(item.source, "url", item.url)
    if item.kind == "path" and item.path is not None:
        return PutMessage(item.source, "path", item.source.uri)
    return None
