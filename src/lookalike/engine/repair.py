"""Mending a cluster: what the catalog says is brought into the stores that derive from it.

A write that failed in the middle, and that nobody tried again, leaves an image whose vector, hash
or words are missing, or one that was removed and can still be found. The catalog's log names every
image that changed, so that only those since a moment have to be looked at, or all of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lookalike.engine.cluster_writer import ClusterWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lookalike.domain.images import ImageId
    from lookalike.engine.stores import Stores

CHUNK: Final = 256
MOST_LOST: Final = 100


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was looked at and mended.

    `lost` names images whose vector is nowhere to be had: index their pictures again with
    `--force`. It holds the first hundred of `lost_count`.
    """

    images: int
    vectors: int
    texts: int
    removed: int
    hashes: int
    lost_count: int
    lost: tuple[ImageId, ...]
    seconds: float

    def to_json(self) -> dict[str, object]:
        """Return the report as an object."""
        return {
            "images": self.images,
            "vectors_mended": self.vectors,
            "texts_mended": self.texts,
            "hashes_mended": self.hashes,
            "removals_mended": self.removed,
            "lost": self.lost_count,
            "lost_ids": list(self.lost),
            "seconds": round(self.seconds, 3),
        }


def repair(
    stores: Stores, *, after: int | None, on_progress: Callable[[int], None] | None = None
) -> RepairReport:
    """Look at every image that changed after a seq of the log, or at all where `after` is None.

    Safe beside workers: everything written is what the catalog says at that moment.
    """
    began = time.monotonic()
    writer = ClusterWriter(stores, models={})
    images = vectors = texts = removed = hashes = lost_count = 0
    lost: list[ImageId] = []
    chunks = _everything(stores) if after is None else _changed(stores, after)
    for chunk in chunks:
        derived = writer.derive(chunk)
        images += len(chunk)
        vectors += derived.vectors
        texts += derived.texts
        removed += derived.removed
        hashes += derived.hashes
        lost_count += len(derived.lost)
        lost.extend(derived.lost[: MOST_LOST - len(lost)])
        if on_progress is not None:
            on_progress(images)
    seconds = time.monotonic() - began
    return RepairReport(images, vectors, texts, removed, hashes, lost_count, tuple(lost), seconds)


def _changed(
    stores: Stores, after: int, *, is_removal_only: bool = False
) -> Iterator[Sequence[ImageId]]:
    while changes := stores.catalog.changes(after=after, limit=CHUNK):
        after = changes[-1].seq
        wanted = (one for one in changes if one.op == "remove" or not is_removal_only)
        if ids := list(dict.fromkeys(change.id for change in wanted)):
            yield ids


def _everything(stores: Stores) -> Iterator[Sequence[ImageId]]:
    chunk: list[ImageId] = []
    for record in stores.catalog.all_records():
        chunk.append(record.id)
        if len(chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
    yield from _changed(stores, 0, is_removal_only=True)  # they are no records
