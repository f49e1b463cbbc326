"""Bringing pictures in: read, decode, encode and write as overlapping stages of bounded size."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from lookalike.domain import reasons
from lookalike.engine.intake import Intake, IntakeTools, Judged, SeenUris
from lookalike.engine.looking import Looker, Seen, View
from lookalike.engine.refusals import RefusalFile
from lookalike.engine.relay import WriteBehind, read_ahead
from lookalike.engine.reports import IngestProgress, IngestReport
from lookalike.engine.writer import PreparedImage, WriteBatch
from lookalike.ports.catalog import Failure
from lookalike.telemetry.stages import StageTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lookalike.domain.arrays import FloatMatrix
    from lookalike.domain.images import ImageFacts, ImageId, Source
    from lookalike.engine.decode_pool import DecodePool
    from lookalike.engine.reports import OnProgress
    from lookalike.engine.writer import IndexWriter
    from lookalike.imaging.examine import ExaminePlan
    from lookalike.ports.source import Fetcher, PictureSource

BATCH: Final = 64
"""Pictures encoded and committed at once."""

PAGES: Final = 8
"""A batch with so many pictures to read is full: reading takes a second each."""

BATCH_WAIT_S: Final = 1.0
"""After so long, a smaller batch is committed."""

TICK_S: Final = 0.25
"""How often progress is told, and how soon an idle run tends to its last writes."""

MOST_PENDING: Final = 512
"""Merged sources and refusals that wait for a commit at the most."""

MOST_REPORTED: Final = 1000

_LOG: Final = logging.getLogger("lookalike.ingest")


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How a run treats what it meets.

    `is_forced` looks at known pictures again; `is_pruning` forgets sources that vanished, and
    removes images left without any; `is_keeping` stores pictures that came as bytes; `licence`
    is assumed where a source states none; `reports` is the file that lists what was refused.
    `is_without_objects` and `is_without_words` leave out the models that look for them.
    """

    is_forced: bool = False
    is_pruning: bool = False
    is_keeping: bool = False
    is_without_objects: bool = False
    is_without_words: bool = False
    licence: str = "unknown"
    reports: Path | None = None
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class IngestTools:
    """What a run works with."""

    writer: IndexWriter
    looker: Looker
    pool: DecodePool
    plan: ExaminePlan
    fetcher: Fetcher | None
    clock: Callable[[], float] = time.time


class IngestRun:
    """One run over some sources; call `run` once."""

    def __init__(
        self, tools: IngestTools, options: IngestOptions, on_progress: OnProgress | None = None
    ) -> None:
        """Prepare a run; nothing is read before `run`."""
        self._tools = tools
        self._options = options
        self._on_progress = on_progress
        self._catalog = tools.writer.stores.catalog
        self._counts: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._stages = StageTimer()
        self._refusals = RefusalFile(options.reports)
        self._pending = _Pending()
        self._flying: set[ImageId] = set()
        self._rewritten: set[ImageId] = set()
        self._ids: list[ImageId] = []
        self._refused: dict[str, tuple[str, str]] = {}
        self._unread: Counter[str] = Counter()
        self._total: int | None = None
        self._began = time.monotonic()
        self._told = 0.0

    def run(self, sources: Sequence[PictureSource]) -> IngestReport:
        """Index the sources and return what was done; what a stop leaves, a re-run continues."""
        self._began = time.monotonic()
        counts = [source.count() for source in sources]
        self._total = None if None in counts else sum(count or 0 for count in counts)
        # A slow source must not keep the words of what is committed out of the text index.
        saver = WriteBehind(self._write, most=2, on_idle=self._tools.writer.flush)
        try:
            for source in sources:
                self._run_source(source, saver)
            self._save(saver)
            saver.drain()
        finally:
            saver.close()
            self._refusals.close()
        self._tools.writer.flush()
        self._progress()
        return self._report()

    def _run_source(self, source: PictureSource, saver: WriteBehind[WriteBatch]) -> None:
        seen = SeenUris() if source.prefix is not None else None
        tools = self._tools
        intake = Intake(
            IntakeTools(
                self._catalog, tools.pool, tools.plan, tools.fetcher,
                self._options.licence, self._options.is_forced, self._options.is_keeping,
            ),
            self._stages,
        )  # fmt: skip
        stop = self._options.stop
        judging = intake.judge(source, seen)
        for judged in read_ahead(judging, most=BATCH, stop=stop, tick_s=TICK_S):
            if judged is not None:
                self._take(judged)
            if self._pending.is_due():
                self._save(saver)
            self._progress(is_due=time.monotonic() - self._told >= TICK_S)
        if source.prefix is not None and seen is not None and not stop.is_set():
            self._save(saver)
            saver.drain()
            self._note_vanished(source.prefix, seen, saver)

    def _take(self, judged: Judged) -> None:
        self._counts["done"] += 1
        if not judged.source.seen:
            judged = replace(judged, source=replace(judged.source, seen=self._tools.clock()))
        if judged.verdict == "known":
            self._counts["known"] += 1
        elif judged.verdict == "failed" or judged.facts is None:
            self._refuse(judged.source, judged.error, is_old=judged.is_old_failure)
        elif judged.facts.id in self._flying or self._is_known(judged.facts.id):
            self._pending.merged.append((judged.facts.id, judged.source))
            self._counts["merged"] += 1
            if self._options.is_forced and judged.facts.id not in self._flying:
                self._pending.readings.append(judged)
        elif self._catalog.blocked([judged.facts.id]):
            error = (reasons.BLOCKED, "removed with --block")
            self._refuse(judged.source, error, is_old=False)
        else:
            self._flying.add(judged.facts.id)
            self._pending.images.append(judged)
            self._counts["added"] += 1

    def _is_known(self, image: ImageId) -> bool:
        """Tell whether the image needs no more than a new source.

        A forced run over a cluster writes everything of a known image once more, so that a
        vector or a thumbnail that got lost comes back.
        """
        is_known = bool(self._catalog.rows_of([image]))
        is_rewritten = self._options.is_forced and not self._tools.writer.stores.is_dense
        if is_known and is_rewritten:
            self._rewritten.add(image)
            self._counts["merged"] += 1
            self._counts["added"] -= 1
        return is_known and not is_rewritten

    def _refuse(self, source: Source, error: tuple[str, str], *, is_old: bool) -> None:
        reason, detail = error
        self._refusals.write(source.uri, reason, detail)
        if reason == reasons.VANISHED:
            self._counts["vanished"] += 1
            self._pending.vanished.append(source.uri)
            return
        self._failed[reason] += 1
        if len(self._refused) < MOST_REPORTED:
            self._refused[source.uri] = error
        if not is_old:
            now = self._tools.clock()
            failure = Failure(source.uri, reason, detail, source.fingerprint, now)
            self._pending.failures.append(failure)

    def _save(self, saver: WriteBehind[WriteBatch]) -> None:
        """Encode what is pending and hand it to the writing thread."""
        pending, self._pending = self._pending, _Pending()
        looked_at = [*pending.images, *(replace(one, view=_known(one)) for one in pending.readings)]
        seen = self._tools.looker.look([one.view for one in looked_at], self._stages)
        self._note_unread(seen)
        fresh = len(pending.images)
        batch = WriteBatch(
            images=[
                PreparedImage(
                    _facts(judged),
                    judged.source,
                    _vector(one),
                    judged.thumbnail,
                    judged.original,
                    seen=one,
                )
                for judged, one in zip(pending.images, seen[:fresh], strict=True)
            ],
            readings=[
                (_facts(judged), one)
                for at, (judged, one) in enumerate(zip(looked_at, seen, strict=True))
                if at >= fresh or _facts(judged).id in self._rewritten
            ],
            merged=tuple(pending.merged),
            failures=tuple(pending.failures),
            vanished=tuple(pending.vanished),
        )
        if batch:
            saver.put(batch)

    def _note_unread(self, seen: Sequence[Seen]) -> None:
        """Count the pictures whose text could not be read, and tell the first reason at once."""
        for one in seen:
            if one.unread:
                if not self._unread:
                    _LOG.warning("text is not read: %s", one.unread)
                self._unread[one.unread] += 1

    def _write(self, batch: WriteBatch) -> None:
        with self._stages.stage("write", items=len(batch.images)):
            self._tools.writer.write(batch)
        ids = [image.facts.id for image in batch.images]
        self._flying.difference_update(ids)
        fresh = [image for image in ids if image not in self._rewritten]
        self._ids.extend(fresh[: max(0, MOST_REPORTED - len(self._ids))])

    def _note_vanished(self, prefix: str, seen: SeenUris, saver: WriteBehind[WriteBatch]) -> None:
        is_pruning = self._options.is_pruning
        known = self._catalog.uris_under(prefix, has_vanished=is_pruning)
        gone = [uri for uri in known if not seen.has(uri)]
        self._counts["vanished"] += len(gone)
        for uri in gone:
            self._refusals.write(uri, reasons.VANISHED, "no longer in its source")
        for at in range(0, len(gone), MOST_PENDING):
            some = gone[at : at + MOST_PENDING]
            saver.put(WriteBatch(forgotten=some) if is_pruning else WriteBatch(vanished=some))

    def _progress(self, *, is_due: bool = True) -> None:
        if self._on_progress is None or not is_due:
            return
        self._told = time.monotonic()
        seconds = time.monotonic() - self._began
        self._on_progress(
            IngestProgress(
                done=self._counts["done"],
                total=self._total,
                added=self._counts["added"],
                known=self._counts["known"],
                failed=sum(self._failed.values()),
                images_per_s=self._counts["added"] / seconds if seconds else 0.0,
                seconds=seconds,
                stage_seconds=self._stage_seconds(),
            )
        )

    def _stage_seconds(self) -> dict[str, float]:
        return {name: ms / 1000.0 for name, ms in self._stages.stages.items()}

    def _report(self) -> IngestReport:
        seconds = time.monotonic() - self._began
        return IngestReport(
            added=self._counts["added"],
            known=self._counts["known"],
            merged=self._counts["merged"],
            vanished=self._counts["vanished"],
            failed=dict(self._failed),
            seconds=seconds,
            images_per_s=self._counts["added"] / seconds if seconds else 0.0,
            stage_seconds=self._stage_seconds(),
            is_interrupted=self._options.stop.is_set(),
            refusals=self._refusals.path,
            ids=tuple(self._ids),
            refused=dict(self._refused),
            unread=dict(self._unread),
        )


@dataclass(slots=True)
class _Pending:
    """What waits for the next commit."""

    images: list[Judged] = field(default_factory=list["Judged"])
    readings: list[Judged] = field(default_factory=list["Judged"])
    merged: list[tuple[ImageId, Source]] = field(default_factory=list["tuple[ImageId, Source]"])
    failures: list[Failure] = field(default_factory=list["Failure"])
    vanished: list[str] = field(default_factory=list[str])
    began: float | None = None

    def is_due(self) -> bool:
        """Tell whether it is time to commit; the wait begins with the first thing pending."""
        others = len(self.merged) + len(self.failures) + len(self.vanished)
        looked_at = len(self.images) + len(self.readings)
        if looked_at >= BATCH or others >= MOST_PENDING:
            return True
        if sum(one.view.page is not None for one in (*self.images, *self.readings)) >= PAGES:
            return True
        if not self.images and not others:
            return False
        now = time.monotonic()
        self.began = now if self.began is None else self.began
        return now - self.began >= BATCH_WAIT_S


def _known(judged: Judged) -> View:
    """Return the view of a picture whose vector is there already."""
    return replace(judged.view, pixels=None)


def _vector(seen: Seen) -> FloatMatrix:
    if seen.vector is None:
        raise ValueError("a picture without a vector cannot be saved")
    return seen.vector


def _facts(judged: Judged) -> ImageFacts:
    if judged.facts is None:
        raise ValueError("only examined pictures are saved")
    return judged.facts
