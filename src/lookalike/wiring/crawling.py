"""Crawling into an index: rounds of pictures are indexed while the crawl goes on."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from lookalike.adapters.source_crawl import Crawl
from lookalike.domain.pages_crawl import CrawlPlan

if TYPE_CHECKING:
    from lookalike.engine.engine import Engine
    from lookalike.engine.ingest import IngestOptions
    from lookalike.engine.reports import IngestReport

OnCrawl: TypeAlias = Callable[["CrawlReport"], None]

FOLDER: Final = "crawls"
"""Where in an index the states of its crawls stand."""


@dataclass(slots=True)
class CrawlReport:
    """How far a crawl is, or what it did.

    `added`, `known`, `merged` and `failed` are of this run. `pages`, `images`, `bytes` and
    `skipped` (what was passed over, by cause) are of the whole crawl, also of earlier runs;
    `pages_before` tells how many of the pages those had.
    """

    state: Path
    seconds: float = 0.0
    pages: int = 0
    pages_before: int = 0
    images: int = 0
    bytes: int = 0
    waiting: int = 0
    added: int = 0
    known: int = 0
    merged: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    page_failures: dict[str, int] = field(default_factory=dict[str, int])
    skipped: dict[str, int] = field(default_factory=dict[str, int])
    is_complete: bool = False

    @property
    def pages_per_s(self) -> float:
        """Pages fetched a second in this run."""
        return (self.pages - self.pages_before) / self.seconds if self.seconds else 0.0

    @property
    def images_per_s(self) -> float:
        """Pictures added a second in this run."""
        return self.added / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the object that `crawl --json` prints."""
        return {
            "pages": self.pages,
            "images": self.images,
            "bytes": self.bytes,
            "waiting": self.waiting,
            "added": self.added,
            "known": self.known,
            "merged": self.merged,
            "failed": dict(self.failed),
            "pages_failed": self.page_failures,
            "skipped": self.skipped,
            "pages_per_s": round(self.pages_per_s, 2),
            "images_per_s": round(self.images_per_s, 2),
            "seconds": round(self.seconds, 3),
            "interrupted": not self.is_complete,
            "state": None if self.is_complete else str(self.state),
        }


def state_folder(home: Path, plan: CrawlPlan) -> Path:
    """Return where a crawl of these URLs keeps its state below an index, or another folder."""
    name = hashlib.blake2b("\n".join(plan.starts).encode(), digest_size=6).hexdigest()
    return home / FOLDER / name


def crawl_into(
    engine: Engine,
    plan: CrawlPlan,
    state: Path,
    options: IngestOptions,
    *,
    is_enqueued: bool = False,
    on_progress: OnCrawl | None = None,
) -> CrawlReport:
    """Crawl and index at the same time, until all is done or `options.stop` is set.

    A crawl that is complete drops its state; what a stop leaves, the same call goes on with.

    Raises:
        MissingExtraError: Scrapy is not installed.
        UsageError: the state folder is that of another crawl.
        SourceError: the crawler died; its state is kept.
    """
    report = CrawlReport(state)
    began = time.monotonic()
    bring_in = engine.enqueue if is_enqueued else engine.index
    with Crawl(plan, state) as crawl:
        report.pages_before = crawl.counts().get("pages", 0)

        def tell() -> None:
            report.seconds = time.monotonic() - began
            _take_counts(report, crawl.counts())
            if on_progress is not None:
                on_progress(report)

        for some in crawl.rounds(options.stop, on_tick=tell):
            done = bring_in([some], options)
            _add(report, done)
            if not done.is_interrupted:
                crawl.acknowledge(some)
            tell()
        crawl.stop()
        tell()
        report.is_complete = crawl.is_complete()
    if report.is_complete:
        shutil.rmtree(state)
    return report


def _add(report: CrawlReport, done: IngestReport) -> None:
    report.added += done.added
    report.known += done.known
    report.merged += done.merged
    report.failed.update(done.failed)


def _take_counts(report: CrawlReport, counts: Mapping[str, int]) -> None:
    report.pages = counts.get("pages", 0)
    report.images = counts.get("images", 0)
    report.bytes = counts.get("bytes", 0)
    report.waiting = counts["waiting"]
    for prefix, target in (("page:", report.page_failures), ("skipped:", report.skipped)):
        for name, count in counts.items():
            if name.startswith(prefix):
                target[name.removeprefix(prefix)] = count
