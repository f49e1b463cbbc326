"""Handing pictures to the ingest log, for workers to index."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lookalike.domain import reasons
from lookalike.domain.errors import ImageError
from lookalike.domain.images import image_id
from lookalike.domain.ingest_messages import PutMessage, encode_message, key_of
from lookalike.domain.sources import is_unchanged
from lookalike.engine.adding import AddOutcome
from lookalike.engine.reports import IngestProgress, IngestReport
from lookalike.ports.ingest_log import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lookalike.domain.images import ImageId, Source
    from lookalike.engine.ingest import IngestOptions
    from lookalike.engine.reports import OnProgress
    from lookalike.engine.stores import Stores
    from lookalike.ports.catalog import SourceState
    from lookalike.ports.ingest_log import IngestLog
    from lookalike.ports.source import PictureSource, SourceItem

CHUNK: Final = 64
"""Pictures whose bytes are held at once."""

_UNSENT: Final = (reasons.UNSUPPORTED, "ready vectors do not travel through the ingest log")


def incoming_key(image: ImageId) -> str:
    """Return the blob key of a picture that waits for a worker."""
    return f"incoming/{image[:2]}/{image}"


def publish_pictures(
    stores: Stores, log: IngestLog, items: Sequence[SourceItem]
) -> Sequence[AddOutcome]:
    """Put the items' bytes into the blob store and a message for each into the log.

    Durable when this returns. Only pictures whose bytes are at hand have an id already.
    """
    blobs: dict[str, bytes] = {}
    entries: list[Entry] = []
    outcomes: list[AddOutcome] = []
    for item in items:
        message = _message(item)
        if message is None:
            reason, detail = item.error if item.kind == "error" else _UNSENT
            outcomes.append(AddOutcome(None, False, reason, detail))
            continue
        entries.append(Entry(key_of(message), encode_message(message)))
        image = image_id(item.data) if item.kind == "data" else None
        if image is not None:
            blobs[incoming_key(image)] = item.data
        outcomes.append(AddOutcome(image, is_new=False, is_waiting=True))
    known = stores.catalog.rows_of([one.id for one in outcomes if one.id is not None])
    stores.blobs.put_many(blobs)
    log.publish(entries)
    return [
        replace(one, is_new=one.is_waiting and one.id is not None and one.id not in known)
        for one in outcomes
    ]


def publish_sources(
    stores: Stores,
    log: IngestLog,
    sources: Sequence[PictureSource],
    options: IngestOptions,
    on_progress: OnProgress | None = None,
) -> IngestReport:
    """Publish every picture of some sources that is new or changed; `added` counts messages.

    Files are read here, so that workers need not see the same disk; URLs are left to workers.
    """
    began, counts, failed = time.monotonic(), Counter[str](), Counter[str]()
    refused: dict[str, tuple[str, str]] = {}
    listed = [source.count() for source in sources]
    total = None if None in listed else sum(count or 0 for count in listed)
    items = (item for source in sources for item in source.items())
    while not options.stop.is_set() and (chunk := list(islice(items, CHUNK))):
        fresh = list(_fresh(stores, chunk, options))
        counts["known"] += len(chunk) - len(fresh)
        for item, outcome in zip(fresh, publish_pictures(stores, log, fresh), strict=True):
            counts["added"] += outcome.is_waiting
            if not outcome.is_waiting:
                failed[outcome.reason] += 1
                refused[item.source.uri] = (outcome.reason, outcome.detail)
        counts["done"] += len(chunk)
        if on_progress is not None:
            seconds = time.monotonic() - began
            on_progress(
                IngestProgress(
                    counts["done"], total, counts["added"], counts["known"],
                    sum(failed.values()), counts["added"] / seconds, seconds,
                )
            )  # fmt: skip
    seconds = time.monotonic() - began
    return IngestReport(
        added=counts["added"], known=counts["known"], merged=0, vanished=0, failed=dict(failed),
        seconds=seconds, images_per_s=counts["added"] / seconds, stage_seconds={},
        is_interrupted=options.stop.is_set(), refused=refused,
    )  # fmt: skip


def _fresh(
    stores: Stores, chunk: Sequence[SourceItem], options: IngestOptions
) -> Iterator[SourceItem]:
    """Yield what is new or changed, with files replaced by their bytes."""
    from lookalike.engine.decode_worker import read_picture
    from lookalike.imaging.decode import DecodeLimits

    states = stores.catalog.source_states([item.source.uri for item in chunk])
    most = DecodeLimits().max_bytes
    for item in chunk:
        source, state = item.source, states.get(item.source.uri)
        if state is not None and _is_done(state, source) and not options.is_forced:
            continue
        if options.licence != "unknown" and source.licence == "unknown":
            source = replace(source, licence=options.licence)
        item = replace(item, source=source)  # noqa: PLW2901 - the same item, licensed
        if item.kind != "path" or item.path is None:
            yield item
            continue
        try:
            data = read_picture(bytes(Path(item.path)), most)
        except ImageError as error:
            yield replace(item, kind="error", error=(error.reason, error.message))
            continue
        yield replace(item, kind="data", data=data, path=None)


def _is_done(state: SourceState, source: Source) -> bool:
    return state.image is not None and is_unchanged(state.fingerprint, source.fingerprint)


def _message(item: SourceItem) -> PutMessage | None:
    if item.kind == "data":
        is_kept = not item.source.uri.startswith("/")
        return PutMessage(item.source, "blob", incoming_key(image_id(item.data)), is_kept)
    if item.kind == "url":
        return PutMessage(item.source, "url", item.url)
    return None
