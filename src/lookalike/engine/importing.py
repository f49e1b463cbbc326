"""Importing: an archive written into an index through its writer, empty or filled.

Every step can be repeated: images that are there are passed over, and a run that was cut short
goes on where it ended. Of a source that both sides know, the side that saw it later is right.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.domain.errors import EncoderMismatchError
from lookalike.engine.calibrating import calibrate
from lookalike.engine.exporting import by_bytes
from lookalike.engine.import_checks import Kept, Sample, Verification, verify
from lookalike.engine.import_copies import take_copies, take_decisions
from lookalike.engine.import_merging import Held
from lookalike.engine.looking import Seen
from lookalike.engine.reports import IngestProgress
from lookalike.engine.writer import PreparedImage, WriteBatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lookalike.domain.archives import ArchiveManifest
    from lookalike.domain.arrays import HalfMatrix
    from lookalike.domain.images import ImageId, ImageRecord, Source
    from lookalike.engine.engine import Engine
    from lookalike.engine.reports import OnProgress
    from lookalike.engine.writer import IndexWriter
    from lookalike.ports.archive import (
        ArchivedImages,
        ArchivedRegions,
        ArchiveReader,
        BlobHashes,
    )
    from lookalike.ports.catalog import Failure, SourceState

COUNTED: Final = (
    "added", "known", "merged", "superseded", "blocked", "removed", "failures", "copy_groups",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How an archive is imported.

    `is_verifying` compares counts, records, vectors and answers with the archive at the end.
    """

    is_verifying: bool = True
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    `known` images were there; `merged` counts sources that were written for them, and further
    ones of new images. `superseded` sources are older than what the index says of the same
    place, and were passed over. `blocked` images may not come into this index; `removed` ones
    were in it, but may not come back to the one that was exported. `copy_groups` are those of
    the export that stand here now.
    """

    manifest: ArchiveManifest
    counts: Mapping[str, int]
    seconds: float
    is_interrupted: bool = False
    verification: Verification | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the last line that `import --json` prints."""
        done = self.counts["added"] + self.counts["known"]
        return {
            **self.counts,
            "exported": self.manifest.to_json()["counts"],
            "images_per_s": round(done / self.seconds, 2) if self.seconds else 0.0,
            "seconds": round(self.seconds, 3),
            "interrupted": self.is_interrupted,
            "verification": self.verification.to_json() if self.verification else None,
        }


def import_from(
    engine: Engine,
    archive: ArchiveReader,
    options: ImportOptions | None = None,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Write an archive into an index; whatever it holds already is left as it is.

    Raises:
        EncoderMismatchError: other vectors than the index's; nothing was written.
        ArchiveCorruptError: a file is missing or damaged; those checked at the beginning are
            told before anything is written.
        ArchiveMismatchError: what stands in the index differs from what was exported.
    """
    options = options or ImportOptions()
    check_space(engine, archive.manifest)
    began = time.monotonic()
    archive.check()
    with engine.writing() as writer:
        run = _Import(writer, archive, options, on_progress)
        run.run()
        if not options.stop.is_set():
            calibrate(writer.stores, engine.encoder)
    is_interrupted = options.stop.is_set()
    verification = None
    if options.is_verifying and not is_interrupted:
        engine.catch_up()
        verification = verify(engine.stores, archive, run.kept)
    seconds = time.monotonic() - began
    return ImportReport(archive.manifest, run.counts, seconds, is_interrupted, verification)


def check_space(engine: Engine, manifest: ArchiveManifest) -> None:
    """Demand that the vectors of an archive can stand in an index."""
    space = manifest.facts.space
    dim = engine.stores.vectors.dim
    ours = engine.encoder.bundle if engine.encoder is not None else None
    theirs = space.encoder
    if (ours and ours.fingerprint) != (theirs and theirs.fingerprint) or space.dim != dim:
        raise EncoderMismatchError(
            f"the export's vectors were made by {theirs.name if theirs else 'another program'} "
            f"({space.dim} numbers), those of {engine.location} by "
            f"{ours.name if ours else 'another program'} ({dim})",
            hint="one index holds the vectors of one encoder: import into a new one",
        )


class _Import:
    """One import; call `run` once."""

    def __init__(
        self,
        writer: IndexWriter,
        archive: ArchiveReader,
        options: ImportOptions,
        on_progress: OnProgress | None,
    ) -> None:
        self.counts = Counter[str](dict.fromkeys(COUNTED, 0))
        self.kept = Kept(Sample(archive.manifest.counts.images))
        self._writer = writer
        self._archive = archive
        self._options = options
        self._on_progress = on_progress
        self._began = time.monotonic()
        self._done = 0

    def run(self) -> None:
        """Write what is missing: blocked ids, then images with their sources, then failures."""
        for ids in self._archive.blocked():
            self.counts["removed"] += self._writer.remove(ids, is_blocked=True)
        for images in self._archive.images():
            if self._options.stop.is_set():
                break
            self._take(images)
            self._done += len(images.records)
            self._tell()
        for failures in self._archive.failures():
            if self._options.stop.is_set():
                break
            self._take_failures(failures)
        self._writer.flush()
        if not self._options.stop.is_set():
            take_decisions(self._writer.stores, self._archive)
            self.counts["copy_groups"], _ = take_copies(self._writer.stores, self._archive)

    def _take(self, images: ArchivedImages) -> None:
        held = Held(self._writer.stores, images.records)
        fresh: list[_Fresh] = []
        merged: list[tuple[ImageId, Source]] = []
        for at, record in enumerate(images.records):
            if record.id in held.blocked:
                self.counts["blocked"] += 1
                self.kept.missing_sources += len(record.sources)
                continue
            sources = held.take(record)
            superseded = len(record.sources) - len(sources.wanted) - sources.same
            self.counts["superseded"] += superseded
            self.kept.missing_sources += superseded
            is_known = record.id in held.whole
            if is_known:
                self.counts["known"] += 1
                merged += ((record.id, source) for source in sources.wanted)
            elif found := sources.wanted or held.sources_of(record.id):
                self.counts["added"] += 1
                held.whole.add(record.id)
                regions = images.regions[at] if images.regions else None
                fresh.append(_Fresh(record, images.halves[at], images.hashes[at], found, regions))
            else:  # every place of it holds another image since
                self.kept.replaced.add(record.id)
                continue
            self.kept.sample.offer(record, images.halves[at], is_added=not is_known)
        self._write(fresh, merged)
        if held.moved_from:
            alive = self._writer.stores.catalog.rows_of(list(held.moved_from))
            self.kept.replaced |= held.moved_from - alive.keys()

    def _write(self, fresh: Sequence[_Fresh], merged: Sequence[tuple[ImageId, Source]]) -> None:
        self.counts["merged"] += len(merged)
        for some in by_bytes(fresh, lambda one: one.original_bytes):
            further = [(one.record.id, source) for one in some for source in one.sources[1:]]
            self._writer.write(WriteBatch(images=self._prepared(some), merged=further))
            self.counts["merged"] += len(further)
        if merged:
            self._writer.write(WriteBatch(merged=merged))

    def _prepared(self, fresh: Sequence[_Fresh]) -> list[PreparedImage]:
        thumbnails = {one.record.id: one.hashes.thumbnail for one in fresh if one.hashes.thumbnail}
        originals = {one.record.id: one.hashes.original for one in fresh if one.hashes.original}
        small = self._archive.blobs("thumbnails", thumbnails)
        whole = self._archive.blobs("originals", originals)
        return [
            PreparedImage(
                facts=one.record.facts,
                source=one.sources[0],
                vector=one.half.astype(np.float32),
                thumbnail=small.get(one.record.id, b""),
                original=whole.get(one.record.id, b""),
                models=one.record.models,
                times=(one.record.first_seen, one.record.last_seen),
                seen=one.seen,
            )
            for one in fresh
        ]

    def _take_failures(self, failures: Sequence[Failure]) -> None:
        """Write failures of places that the index knows nothing of, or another reason."""
        states = self._writer.stores.catalog.source_states([one.uri for one in failures])
        wanted = [one for one in failures if _is_news(one, states.get(one.uri))]
        if wanted:
            self._writer.write(WriteBatch(failures=wanted))
            self.counts["failures"] += len(wanted)

    def _tell(self) -> None:
        if self._on_progress is None:
            return
        seconds = time.monotonic() - self._began
        self._on_progress(
            IngestProgress(
                done=self._done, total=self._archive.manifest.counts.images,
                added=self.counts["added"], known=self.counts["known"],
                failed=self.counts["blocked"],
                images_per_s=self._done / seconds if seconds else 0.0, seconds=seconds,
            )
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Fresh:
    """An image to write with the sources to write of it, one at the least."""

    record: ImageRecord
    half: HalfMatrix
    hashes: BlobHashes
    sources: Sequence[Source]
    regions: ArchivedRegions | None = None

    @property
    def seen(self) -> Seen:
        """What models saw in it."""
        record, regions = self.record, self.regions
        if regions is None or not regions.numbers:
            return Seen(objects=record.objects, words=record.words)
        return Seen(
            objects=record.objects,
            words=record.words,
            numbers=regions.numbers,
            regions=regions.halves.astype(np.float32),
        )

    @property
    def original_bytes(self) -> int:
        """How much memory its kept picture takes."""
        return self.record.facts.bytes if self.hashes.original else 0


def _is_news(failure: Failure, state: SourceState | None) -> bool:
    if state is None:
        return True
    is_same = (state.reason, state.fingerprint) == (failure.reason, failure.fingerprint)
    return state.image is None and not is_same
