"""Writing to a cluster: many writers at once, no lock, every step safe to repeat.

The order of a batch:

1. blobs: thumbnails, kept originals, and the durable copy of each vector;
2. the catalog, with the fingerprints of the sources marked as not done;
3. vectors, perceptual hashes, then words, with what filters ask;
4. the fingerprints.

A source whose fingerprint is marked is read again by the next run or by a worker's next try, and a
known image whose vector, hash or words are missing gets them then. So whatever fails in the middle
is mended by trying again, and `engine.repair` mends what nobody tries again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lookalike.domain.copies import LEAST_QUALITY
from lookalike.domain.filter_terms import terms_of
from lookalike.domain.images import UNFINISHED, hashed_row
from lookalike.domain.regions import region_numbers
from lookalike.engine.documents import document_of
from lookalike.engine.originals import original_key, thumbnail_key
from lookalike.engine.vector_blobs import (
    pack_regions,
    pack_vector,
    read_regions,
    read_vectors,
    regions_key,
    vector_key,
)
from lookalike.engine.writer import reading, regions_of
from lookalike.ports.catalog import Batch
from lookalike.ports.regions import ImageRegions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

    from lookalike.domain.arrays import FloatMatrix
    from lookalike.domain.images import ImageId, ImageRecord, Source
    from lookalike.engine.copy_placing import CopyPlacer
    from lookalike.engine.looking import Seen
    from lookalike.engine.stores import Stores
    from lookalike.engine.writer import WriteBatch


@dataclass(frozen=True, slots=True)
class Derived:
    """What was written to the derived stores: images whose vector, words or hash were missing.

    The vectors of `lost` images are nowhere to be had, until their pictures are encoded again.
    """

    vectors: int = 0
    texts: int = 0
    removed: int = 0
    hashes: int = 0
    lost: tuple[ImageId, ...] = ()


class ClusterWriter:
    """`engine.writer.IndexWriter` over a cluster's stores; safe to call from many threads."""

    def __init__(
        self, stores: Stores, *, models: dict[str, str], placer: CopyPlacer | None = None
    ) -> None:
        """Share the stores of the readers: there is nothing to open or to lock.

        Without a `placer` no image is placed among its copies.
        """
        self._stores = stores
        self._placer = placer
        self._models = models

    @property
    def stores(self) -> Stores:
        """The stores written to."""
        return self._stores

    def write(self, batch: WriteBatch) -> None:
        """Write a batch; what it holds is acknowledged when this returns."""
        self._put_blobs(batch)
        sources = [*((one.facts.id, one.source) for one in batch.images), *batch.merged]
        uris = [source.uri for _, source in sources]
        moved_from = self._images_of([*uris, *batch.vanished, *batch.forgotten])
        self._stores.catalog.commit(
            Batch(
                images=[one.at(hashed_row(one.facts.id), self._models) for one in batch.images],
                sources=[(image, _unfinished(source)) for image, source in sources],
                failures=batch.failures,
                vanished=batch.vanished,
                forgotten=batch.forgotten,
                readings=[reading(facts, seen) for facts, seen in batch.readings],
            )
        )
        touched = {image for image, _ in sources} | moved_from
        again = {facts.id for facts, _ in batch.readings}
        touched |= again
        vectors = {one.facts.id: one.vector for one in batch.images}
        seen = {one.facts.id: one.seen for one in batch.images}
        seen |= {facts.id: one for facts, one in batch.readings if "objects" in one.models}
        fresh = vectors.keys() - again
        derived = self.derive(touched, vectors=vectors, seen=seen, fresh=fresh, again=again)
        if self._placer is not None:  # what comes from another index brings its groups along
            placed = [hashed_row(one.facts.id) for one in batch.images if one.models is None]
            self._placer.place(placed)
        finished = [(image, source) for image, source in sources if image not in derived.lost]
        if finished:
            self._stores.catalog.commit(Batch(sources=finished))

    def derive(
        self,
        images: Iterable[ImageId],
        *,
        vectors: Mapping[ImageId, FloatMatrix] | None = None,
        seen: Mapping[ImageId, Seen] | None = None,
        fresh: Set[ImageId] = frozenset(),
        again: Set[ImageId] = frozenset(),
    ) -> Derived:
        """Bring vectors, regions, hashes and words of some images to what the catalog says of them.

        `vectors` and what was `seen` are at hand already; those of other images are read from the
        blobs where the index lacks them. `fresh` images were never seen before, and the pictures
        of those in `again` were read anew.
        """
        stores, wanted = self._stores, list(dict.fromkeys(images))
        if not wanted:
            return Derived()
        rows = [hashed_row(image) for image in wanted]
        records: list[ImageRecord] = []
        gone: list[int] = []
        for image, row, record in zip(wanted, rows, stores.catalog.records(rows), strict=True):
            if record is None:
                gone.append(row)
            elif record.id == image:
                records.append(record)
        added, lost = self._derive_vectors(records, vectors or {})
        self._derive_regions(records, seen or {}, fresh)
        hashed = self._derive_hashes(records, fresh, again)
        had_text = stores.texts.has(np.asarray([one.row for one in records], dtype=np.int64))
        stores.texts.add([replace(document_of(one), terms=terms_of(one)) for one in records])
        if gone:
            self._hide(np.asarray(gone, dtype=np.int64))
        self._commit_words()
        return Derived(added, int(np.count_nonzero(~had_text)), len(gone), hashed, lost)

    def remove(self, ids: Sequence[ImageId], *, is_blocked: bool) -> int:
        """Remove images everywhere and return how many there were."""
        removed = self._stores.catalog.remove(ids, is_blocked=is_blocked)
        if ids:  # all of them: an earlier try may have come no further than the catalog
            self._hide(np.asarray([hashed_row(image) for image in ids], dtype=np.int64))
            self._commit_words()
            self._stores.blobs.delete_many(
                [key for image in ids for key in blob_keys(self._stores.space, image)]
            )
        return len(removed)

    def flush(self) -> None:
        """Do nothing: what a write acknowledged is searchable already."""

    def optimize(self) -> None:
        """Let the vector and the text index put their house in order."""
        self._stores.vectors.optimize()
        self._stores.regions.optimize()
        if self._stores.hashes is not None:
            self._stores.hashes.optimize()
        self._stores.texts.optimize()

    def close(self) -> None:
        """Do nothing: the stores belong to the engine."""

    def _commit_words(self) -> None:
        """Show the words written so far.

        No seq is remembered: nothing follows the catalog's log here, and a marker that changes
        with every batch would leave a removed document each time.
        """
        self._stores.texts.commit(0)

    def _put_blobs(self, batch: WriteBatch) -> None:
        images = batch.images
        blobs = {thumbnail_key(one.facts.id): one.thumbnail for one in images}
        blobs |= {original_key(one.facts.id): one.original for one in images}
        space = self._stores.space
        blobs |= {vector_key(space, one.facts.id): pack_vector(one.vector) for one in images}
        blobs |= {regions_key(space, one.facts.id): _packed(one.seen) for one in images}
        again = [(facts.id, one) for facts, one in batch.readings if "objects" in one.models]
        blobs |= {regions_key(space, image): _packed(one) for image, one in again}
        self._stores.blobs.put_many({key: data for key, data in blobs.items() if data})
        gone = [regions_key(space, image) for image, one in again if not one.numbers]
        if gone:
            self._stores.blobs.delete_many(gone)

    def _images_of(self, uris: Sequence[str]) -> set[ImageId]:
        """Return the images that the uris belong to before the batch moves or drops them."""
        states = self._stores.catalog.source_states(uris)
        return {state.image for state in states.values() if state.image is not None}

    def _derive_vectors(
        self, records: Sequence[ImageRecord], at_hand: Mapping[ImageId, FloatMatrix]
    ) -> tuple[int, tuple[ImageId, ...]]:
        """Add the vectors that are missing, update the terms of the others; name the lost ones."""
        stores = self._stores
        if not records:
            return 0, ()
        rows = np.asarray([record.row for record in records], dtype=np.int64)
        terms = [terms_of(record) for record in records]
        # A vector at hand is written whatever is there: asking would wait for the server's clock.
        is_known = np.asarray([record.id not in at_hand for record in records], dtype=np.bool_)
        if is_known.any():
            is_known[is_known] = stores.vectors.has(rows[is_known])
        missing = [record.id for record, known in zip(records, is_known, strict=True) if not known]
        found = {image: at_hand[image] for image in missing if image in at_hand}
        found |= read_vectors(stores, [image for image in missing if image not in found])
        fresh = [at for at, record in enumerate(records) if record.id in found]
        if fresh:
            stores.vectors.add(
                rows[fresh],
                np.stack([found[records[at].id] for at in fresh]),
                [terms[at] for at in fresh],
            )
        if is_known.any():
            known = np.flatnonzero(is_known)
            stores.vectors.update(rows[known], [terms[at] for at in known.tolist()])
        stores.vectors.flush()
        lost = tuple(image for image in missing if image not in found)
        return len(fresh), lost

    def _derive_regions(
        self, records: Sequence[ImageRecord], seen: Mapping[ImageId, Seen], fresh: Set[ImageId]
    ) -> None:
        """Put the regions at hand; put what is missing of others from the blobs, and their terms.

        `fresh` are images of which no other regions were ever put.
        """
        stores, regions = self._stores, self._stores.regions
        nothing = np.empty((0, stores.vectors.dim), np.float32)
        terms = {one.id: terms_of(one) for one in records}
        at_hand = [one for one in records if one.id in seen]
        for is_new in (True, False):
            some = [one for one in at_hand if (one.id in fresh) == is_new]
            made = [
                regions_of(one.row, seen[one.id], terms[one.id])
                or ImageRegions(one.row, (), nothing)
                for one in some
            ]
            if made:
                regions.put(made, is_new=is_new)
        others = [one for one in records if one.id not in seen and region_numbers(one.objects)]
        if others:
            is_there = regions.has(np.asarray([one.row for one in others], dtype=np.int64))
            known = [one for one, has in zip(others, is_there, strict=True) if has]
            missing = [one for one, has in zip(others, is_there, strict=True) if not has]
            kept = read_regions(stores, [one.id for one in missing])
            again = [one for one in missing if one.id in kept]
            regions.put([ImageRegions(one.row, *kept[one.id], terms[one.id]) for one in again])
            rows = np.asarray([one.row for one in known], dtype=np.int64)
            regions.update(rows, [terms[one.id] for one in known])
        regions.flush()

    def _derive_hashes(
        self, records: Sequence[ImageRecord], fresh: Set[ImageId], again: Set[ImageId]
    ) -> int:
        """Put the hashes of images just read, and what is missing of others; count the latter.

        Hashes of a low quality say nothing: they are left out, and taken out where they stood.
        """
        hashes = self._stores.hashes
        if hashes is None:
            return 0
        is_telling = [one.facts.phash_quality >= LEAST_QUALITY for one in records]
        telling = [one for one, tells in zip(records, is_telling, strict=True) if tells]
        mute = [one for one, tells in zip(records, is_telling, strict=True) if not tells]
        hashes.remove(np.asarray([one.row for one in mute if one.id in again], dtype=np.int64))
        read = [one for one in telling if one.id in fresh or one.id in again]
        others = [one for one in telling if one.id not in fresh and one.id not in again]
        is_there = hashes.has(np.asarray([one.row for one in others], dtype=np.int64))
        missing = [one for one, has in zip(others, is_there, strict=True) if not has]
        put = [*read, *missing]
        hashes.add(
            np.asarray([one.row for one in put], dtype=np.int64),
            np.asarray([one.facts.phash for one in put], dtype=np.uint64),
        )
        return len(missing)

    def _hide(self, rows: np.ndarray) -> None:
        self._stores.vectors.remove(rows)
        self._stores.vectors.flush()
        self._stores.regions.remove(rows)
        if self._stores.hashes is not None:
            self._stores.hashes.remove(rows)
        self._stores.texts.remove(rows)


def _packed(seen: Seen) -> bytes:
    """Return the durable copy of an image's regions, empty without any."""
    if seen.regions is None or not seen.numbers:
        return b""
    return pack_regions(seen.numbers, seen.regions)


def _unfinished(source: Source) -> Source:
    """Return the source with a fingerprint that is no picture's."""
    return replace(source, fingerprint=UNFINISHED + source.fingerprint)


def blob_keys(space: str, image: ImageId) -> tuple[str, ...]:
    """Return the keys of everything that is kept of an image."""
    return (
        thumbnail_key(image),
        original_key(image),
        vector_key(space, image),
        regions_key(space, image),
    )
