"""The one writer of an index: the order of writes that makes an acknowledgement true.

Vectors and columns are appended and synced, thumbnails put, then one catalog commit states the
images, their sources and how long the files are valid: that commit is the acknowledgement. Text
and bitmaps are derived from the catalog's log, and catch up when they were left behind.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from lookalike.domain.images import ImageId, ImageRecord, Row
from lookalike.engine.looking import Seen
from lookalike.engine.originals import original_key, thumbnail_key
from lookalike.engine.stores import Stores, put_rows, replay, replay_texts
from lookalike.ports.catalog import Batch, Failure, NewImage, Reading
from lookalike.ports.regions import ImageRegions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from lookalike.domain.arrays import FloatMatrix
    from lookalike.domain.filter_terms import FilterTerms
    from lookalike.domain.images import ImageFacts, Source
    from lookalike.engine.copy_placing import CopyPlacer

TEXT_COMMIT_S: Final = 0.5
"""A text commit waits at most so long behind the catalog's."""

MOST_UNTOLD: Final = 5000
"""Changes of the log that a killed writer may have left without placing them among their copies."""

_LOG: Final = logging.getLogger("lookalike.copies")

FILTER_SAVE_ROWS: Final = 5000
"""Rows after which the derived bitmaps are saved, so that a reader's catch-up stays short."""


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """A new image with everything that is written of it; `vector` is `(dim,)`.

    What comes from another index brings the `models` that filled it, and the `times` when it was
    first and last seen there.
    """

    facts: ImageFacts
    source: Source
    vector: FloatMatrix = field(repr=False)
    thumbnail: bytes = field(repr=False)
    original: bytes = field(default=b"", repr=False)
    models: Mapping[str, str] | None = None
    times: tuple[float, float] | None = None
    seen: Seen = field(default_factory=Seen, repr=False)

    def at(self, row: Row, models: Mapping[str, str]) -> NewImage:
        """Return what the catalog is told, with the writer's `models` where it brings none."""
        first_seen, last_seen = self.times or (None, None)
        stated = models if self.models is None else self.models
        return NewImage(
            row, self.facts, {**stated, **self.seen.models}, first_seen, last_seen,
            self.seen.objects, self.seen.words,
        )  # fmt: skip

    def regions_at(self, row: int, terms: FilterTerms | None = None) -> ImageRegions | None:
        """Return what the region index is told, None of an image without regions."""
        return regions_of(row, self.seen, terms)


def regions_of(row: int, seen: Seen, terms: FilterTerms | None = None) -> ImageRegions | None:
    """Return the regions that were seen in the image of a row."""
    if seen.regions is None or not seen.numbers:
        return None
    return ImageRegions(row, seen.numbers, seen.regions, terms)


@dataclass(frozen=True, slots=True)
class WriteBatch:
    """What one commit adds; `readings` are facts and what was seen anew of known images."""

    images: Sequence[PreparedImage] = ()
    readings: Sequence[tuple[ImageFacts, Seen]] = ()
    merged: Sequence[tuple[ImageId, Source]] = ()
    failures: Sequence[Failure] = ()
    vanished: Sequence[str] = ()
    forgotten: Sequence[str] = ()

    def __bool__(self) -> bool:
        """Tell whether there is anything to write."""
        return any(
            (self.images, self.readings, self.merged, self.failures, self.vanished, self.forgotten)
        )


class IndexWriter(Protocol):
    """What writes batches to the stores of an index; each write is acknowledged by its return."""

    @property
    def stores(self) -> Stores:
        """The stores written to."""
        ...

    def write(self, batch: WriteBatch) -> None:
        """Write a batch."""
        ...

    def remove(self, ids: Sequence[ImageId], *, is_blocked: bool) -> int:
        """Remove images everywhere and return how many there were."""
        ...

    def flush(self) -> None:
        """Make everything acknowledged searchable by words too."""
        ...

    def optimize(self) -> None:
        """Seal and merge what was appended."""
        ...

    def close(self) -> None:
        """Finish and let go."""
        ...


class Writer:
    """Writes batches to a set of stores that were opened for writing under the index's lock."""

    def __init__(
        self,
        stores: Stores,
        *,
        models: dict[str, str],
        clock: Callable[[], float],
        on_close: Callable[[], None],
        placer: CopyPlacer | None = None,
    ) -> None:
        """Take over the stores and bring the derived ones up to the catalog.

        Without a `placer` no image is placed among its copies.
        """
        self._stores = stores
        self._placer = placer
        self._placed_rows = -1
        self._models = models
        self._clock = clock
        self._on_close = on_close
        self._filters_seq = stores.filters.seq
        self._rows_saved = stores.catalog.state().rows
        self._text_committed = clock()
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="seal")
        self._sealing: Future[bool] | None = None
        self.flush()

    @property
    def stores(self) -> Stores:
        """The stores written to."""
        return self._stores

    def write(self, batch: WriteBatch) -> None:
        """Write a batch; what it holds is acknowledged when this returns."""
        stores = self._stores
        first = stores.catalog.state().rows
        total = first + len(batch.images)
        if batch.images:
            self._append(batch.images, first)
        self._put_regions(batch, first)
        stores.catalog.commit(
            Batch(
                images=[
                    image.at(Row(first + at), self._models) for at, image in enumerate(batch.images)
                ],
                sources=[
                    *((image.facts.id, image.source) for image in batch.images),
                    *batch.merged,
                ],
                failures=batch.failures,
                vanished=batch.vanished,
                forgotten=batch.forgotten,
                rows=total,
                readings=[reading(facts, seen) for facts, seen in batch.readings],
                regions=stores.regions.length,
            )
        )
        stores.vectors.refresh(total)
        stores.regions.refresh(stores.regions.length)
        stores.filters.refresh(total)
        self._place(is_due=False)
        self._derive(is_text_due=self._clock() - self._text_committed >= TEXT_COMMIT_S)
        if self._sealing is None or self._sealing.done():
            self._end_sealing()
            self._sealing = self._sealer.submit(self._seal)

    def remove(self, ids: Sequence[ImageId], *, is_blocked: bool) -> int:
        """Remove images everywhere and return how many there were."""
        rows = self._stores.catalog.remove(ids, is_blocked=is_blocked)
        for image in ids:
            self._stores.blobs.delete(thumbnail_key(image))
            self._stores.blobs.delete(original_key(image))
        self.flush()
        return len(rows)

    def flush(self) -> None:
        """Make everything acknowledged searchable by words too."""
        self._place(is_due=True)
        self._derive(is_text_due=True)

    def optimize(self) -> None:
        """Seal and merge what was appended."""
        self.flush()
        self._end_sealing()
        self._stores.vectors.optimize()
        self._stores.regions.optimize()
        self._stores.texts.optimize()

    def close(self) -> None:
        """Finish the derived stores, close everything and give the lock back."""
        try:
            self.flush()
            self._stores.filters.save(self._filters_seq)
            self._end_sealing()
        finally:
            self._sealer.shutdown()
            try:
                self._stores.close()
            finally:
                self._on_close()

    def _end_sealing(self) -> None:
        """Wait for a seal under way, and raise what it failed with."""
        sealing, self._sealing = self._sealing, None
        if sealing is not None:
            sealing.result()

    def _append(self, images: Sequence[PreparedImage], first: int) -> None:
        stores = self._stores
        rows = np.arange(first, first + len(images), dtype=np.int64)
        stores.vectors.add(rows, np.stack([image.vector for image in images]))
        stores.filters.append(
            [
                ImageRecord(
                    Row(int(row)), image.facts, (image.source,),
                    objects=image.seen.objects,
                    first_seen=image.times[0] if image.times else image.source.seen,
                )
                for row, image in zip(rows, images, strict=True)
            ]
        )  # fmt: skip
        stores.vectors.flush()
        stores.filters.flush()
        blobs = {thumbnail_key(image.facts.id): image.thumbnail for image in images}
        blobs |= {original_key(image.facts.id): image.original for image in images}
        stores.blobs.put_many({key: data for key, data in blobs.items() if data})

    def _put_regions(self, batch: WriteBatch, first: int) -> None:
        """Append the regions of new images, and those of known ones that were looked at anew."""
        stores = self._stores
        seen = [image.regions_at(first + at) for at, image in enumerate(batch.images)]
        fresh = [one for one in seen if one is not None]
        stores.regions.put(fresh, is_new=True)
        looked_at = {facts.id: seen for facts, seen in batch.readings if "objects" in seen.models}
        if looked_at:
            nothing = np.empty((0, stores.vectors.dim), np.float32)
            stores.regions.put(
                [
                    regions_of(row, looked_at[image]) or ImageRegions(row, (), nothing)
                    for image, row in stores.catalog.rows_of(list(looked_at)).items()
                ]
            )
        if fresh or looked_at:
            stores.regions.flush()

    def _place(self, *, is_due: bool) -> None:
        """Place what was added since among its copies, and tell when that is due how far it came.

        What a killed writer left is placed by the next. More than that is an index of an earlier
        version, or one whose copies were off: judging it may take hours, which is for `lookalike
        copies` to begin and not for whoever adds one picture.
        """
        if self._placer is None:
            return
        catalog, ledger = self._stores.catalog, self._stores.copies
        state = catalog.state()
        if self._placed_rows < 0:
            behind = state.seq - ledger.seq
            if behind > MOST_UNTOLD:
                _LOG.warning("%d changes are left to `lookalike copies` to judge", behind)
            elif behind:
                self._placer.place(sorted(put_rows(catalog, after=ledger.seq)))
            self._placed_rows = state.rows
        if state.rows > self._placed_rows:
            self._placer.place(range(self._placed_rows, state.rows))
            self._placed_rows = state.rows
        behind = state.seq - ledger.seq
        if behind and (is_due or behind > MOST_UNTOLD // 2):
            ledger.replace((), (), seq=state.seq)

    def _seal(self) -> bool:
        return self._stores.vectors.maybe_seal() | self._stores.regions.maybe_seal()

    def _derive(self, *, is_text_due: bool) -> None:
        stores = self._stores
        self._filters_seq = replay(
            stores.catalog,
            after=self._filters_seq,
            on_put=stores.filters.update,
            on_remove=self._hide,
        )
        rows = stores.catalog.state().rows
        if rows - self._rows_saved >= FILTER_SAVE_ROWS:
            stores.filters.save(self._filters_seq)
            self._rows_saved = rows
        if is_text_due and stores.texts.seq < stores.catalog.state().seq:
            stores.texts.commit(replay_texts(stores))
            self._text_committed = self._clock()

    def _hide(self, rows: np.ndarray) -> None:
        self._stores.filters.remove(rows)
        self._stores.vectors.remove(rows)
        self._stores.regions.remove(rows)


def reading(facts: ImageFacts, seen: Seen) -> Reading:
    """Return what the catalog is told of a known image that was looked at anew."""
    return Reading(
        facts.id,
        objects=seen.objects if "objects" in seen.models else None,
        words=seen.words if "words" in seen.models else None,
        facts=facts,
        models=seen.models,
    )
