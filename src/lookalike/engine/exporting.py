"""Exporting: everything an index holds, streamed into an archive.

Nothing is locked: what is committed meanwhile may be in the archive or not, and the manifest
tells whether anything was. Vectors come bit for bit: from the matrix of an embedded index, from
the durable blobs of a cluster.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from lookalike import __version__
from lookalike.domain.archives import UNIT_SLACK, ArchivedEncoder, ArchivedSpace, ArchiveFacts
from lookalike.domain.errors import StoreError
from lookalike.engine.cluster_writer import UNFINISHED
from lookalike.engine.export_copies import decisions_of, put_copies, read_regions
from lookalike.engine.originals import original_key, thumbnail_key
from lookalike.engine.reports import IngestProgress
from lookalike.engine.vector_blobs import vector_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from lookalike.domain.archives import ArchiveManifest
    from lookalike.domain.arrays import HalfMatrix
    from lookalike.domain.images import ImageId, ImageRecord
    from lookalike.engine.engine import Engine
    from lookalike.engine.reports import OnProgress
    from lookalike.engine.stores import Stores
    from lookalike.ports.archive import ArchiveWriter, BlobKind

T = TypeVar("T")

BATCH: Final = 256
BATCH_BYTES: Final = 64 * 1024 * 1024
"""Kept pictures that are in memory at once."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What an export takes along; `stop` ends it early, unfinished."""

    has_thumbnails: bool = True
    has_originals: bool = True
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export did; `manifest` is None where it was stopped."""

    manifest: ArchiveManifest | None
    images: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the last line that `export --json` prints."""
        manifest = self.manifest
        stated = manifest.to_json() if manifest else {}
        return {
            "images": self.images,
            "counts": stated.get("counts", {}),
            "left_out": stated.get("left_out", 0),
            "quiet": stated.get("quiet", False),
            "files": len(manifest.files) if manifest else 0,
            "bytes": manifest.bytes if manifest else 0,
            "images_per_s": round(self.images / self.seconds, 2) if self.seconds else 0.0,
            "seconds": round(self.seconds, 3),
            "interrupted": manifest is None,
        }


def space_of(engine: Engine) -> ArchivedSpace:
    """Return what an archive says of the vectors of an index."""
    bundle = engine.encoder.bundle if engine.encoder is not None else None
    encoder = bundle and ArchivedEncoder(bundle.name, bundle.version, bundle.fingerprint)
    stores = engine.stores
    return ArchivedSpace(stores.space, stores.vectors.dim, encoder)


def export_to(
    engine: Engine,
    archive: ArchiveWriter,
    options: ExportOptions | None = None,
    on_progress: OnProgress | None = None,
) -> ExportReport:
    """Write everything an index holds into an archive, and finish it.

    Raises:
        StoreError: a vector is missing or damaged; `doctor --repair` may mend it.
        ArchiveError: the archive cannot be written.
        DiskFullError: there is no room for it.
    """
    return _Export(engine, archive, options or ExportOptions(), on_progress).run()


def read_halves(stores: Stores, records: Sequence[ImageRecord]) -> Mapping[ImageId, HalfMatrix]:
    """Return the `(dim,)` fp16 vectors there are of some images, as they are stored, by id."""
    found: dict[ImageId, HalfMatrix] = {}
    if not stores.is_dense:
        keys = {vector_key(stores.space, record.id): record.id for record in records}
        for key, data in stores.blobs.get_many(list(keys)).items():
            if len(data) == 2 * stores.vectors.dim:
                found[keys[key]] = np.frombuffer(data, "<f2")
    missing = [record for record in records if record.id not in found]
    rows = np.asarray([record.row for record in missing], dtype=np.int64)
    if missing and not stores.is_dense:
        is_there = stores.vectors.has(rows)
        rows = rows[is_there]
        missing = [one for one, known in zip(missing, is_there, strict=True) if known]
    if missing:
        halves = stores.vectors.fetch(rows).astype("<f2")
        found |= {record.id: half for record, half in zip(missing, halves, strict=True)}
    return found


class _Export:
    """One export; call `run` once."""

    def __init__(
        self,
        engine: Engine,
        archive: ArchiveWriter,
        options: ExportOptions,
        on_progress: OnProgress | None,
    ) -> None:
        engine.catch_up()
        self._engine = engine
        self._stores = engine.stores
        self._end = self._stores.visible_rows
        self._archive = archive
        self._options = options
        self._on_progress = on_progress
        self._began = time.monotonic()
        self._done = 0
        self._left_out = 0
        # An index of files on disk keeps none: then nobody asks for each.
        self._has_originals = options.has_originals and any(self._stores.blobs.keys("originals/"))

    def run(self) -> ExportReport:
        """Write it all; nothing is finished when it was stopped."""
        catalog = self._stores.catalog
        before = catalog.state()
        for records in self._batches():
            if self._options.stop.is_set():
                return ExportReport(None, self._done, time.monotonic() - self._began)
            self._put(records)
            self._tell(before.images)
        put_copies(self._stores, self._archive, self._end)
        for failures in batches(catalog.all_failures(), BATCH):
            self._archive.put_failures(failures)
        for ids in batches(catalog.all_blocked(), BATCH):
            self._archive.put_blocked(ids)
        manifest = self._archive.finish(
            ArchiveFacts(
                index=self._engine.index_id,
                space=space_of(self._engine),
                written_by=f"lookalike {__version__}",
                written=self._options.clock(),
                has_thumbnails=self._options.has_thumbnails,
                has_originals=self._options.has_originals,
                is_quiet=catalog.state() == before,
                left_out=self._left_out,
            )
        )
        self._tell(self._done)
        return ExportReport(manifest, self._done, time.monotonic() - self._began)

    def _batches(self) -> Iterator[list[ImageRecord]]:
        """Yield what the stores show in full: rows of later commits are left to a later export."""
        shown = (one for one in self._stores.catalog.all_records() if one.row < self._end)
        for records in batches(shown, BATCH):
            whole = [self._finished(record) for record in records if record.sources]
            self._left_out += len(records) - len(whole)
            if whole:
                yield whole

    def _finished(self, record: ImageRecord) -> ImageRecord:
        """Return a record without marks of writes under way, so that such sources are read again.

        They are a cluster's own, and mean nothing to another index.
        """
        if self._stores.is_dense:
            return record
        sources = [
            replace(one, fingerprint="") if one.fingerprint.startswith(UNFINISHED) else one
            for one in record.sources
        ]
        return replace(record, sources=tuple(sources))

    def _put(self, records: Sequence[ImageRecord]) -> None:
        halves = read_halves(self._stores, records)
        lost = [record.id for record in records if not _is_unit(halves.get(record.id))]
        if lost:
            records = self._without(lost, records)
        if not records:
            return
        if self._options.has_thumbnails:
            self._put_blobs("thumbnails", {thumbnail_key(one.id): one.id for one in records})
        if self._has_originals:
            for some in by_bytes(records, lambda one: one.facts.bytes):
                self._put_blobs("originals", {original_key(one.id): one.id for one in some})
        self._archive.put_images(
            records,
            np.stack([halves[record.id] for record in records]),
            read_regions(self._stores, records),
        )
        self._archive.put_decisions(decisions_of(self._stores, records))
        self._done += len(records)

    def _without(self, lost: list[ImageId], records: Sequence[ImageRecord]) -> list[ImageRecord]:
        """Leave out images that were removed meanwhile; one that is still there is damage."""
        alive = self._stores.catalog.rows_of(lost)
        if alive:
            raise StoreError(
                f"the vector of {next(iter(alive))} is missing or damaged "
                f"({len(alive)} of {len(records)} images looked at)",
                hint="`lookalike doctor --repair` may mend a cluster; else index the picture anew",
            )
        return [record for record in records if record.id not in lost]

    def _put_blobs(self, kind: BlobKind, keys: Mapping[str, ImageId]) -> None:
        found = self._stores.blobs.get_many(list(keys))
        self._archive.put_blobs(kind, {keys[key]: data for key, data in found.items()})

    def _tell(self, total: int) -> None:
        if self._on_progress is None:
            return
        seconds = time.monotonic() - self._began
        rate = self._done / seconds if seconds else 0.0
        self._on_progress(
            IngestProgress(
                done=self._done, total=max(total, self._done), added=self._done, known=0,
                failed=0, images_per_s=rate, seconds=seconds,
            )
        )  # fmt: skip


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of so many items, the last one shorter."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def by_bytes(items: Iterable[T], bytes_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield lists of items that are not too large together, one item at the least."""
    some: list[T] = []
    size = 0
    for item in items:
        if some and size + bytes_of(item) > BATCH_BYTES:
            yield some
            some, size = [], 0
        some.append(item)
        size += bytes_of(item)
    if some:
        yield some


def _is_unit(half: HalfMatrix | None) -> bool:
    if half is None:
        return False
    return abs(float(np.linalg.norm(half.astype(np.float32))) - 1.0) <= UNIT_SLACK
