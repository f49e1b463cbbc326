"""Pictures of web sites, crawled by Scrapy in a process of its own.

The crawler keeps what it fetches in a state folder (`source_crawl_spool`), from which it is
indexed in rounds while the crawl goes on. A round's pictures leave the state only when they are
indexed, so that a stop, or the death of either process, loses nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from lookalike.adapters.source_crawl_spool import CrawlSpool
from lookalike.domain.errors import MissingExtraError, SourceError, UsageError
from lookalike.domain.pages import sources_of_sightings
from lookalike.domain.pages_crawl import CrawlPlan
from lookalike.ports.source import SourceItem, error_item

ROUND: Final = 256
"""Pictures of one round at the most."""

ROUND_WAIT_S: Final = 3.0
"""After so long, a smaller round is indexed."""

_TICK_S: Final = 0.2
_GRACE_S: Final = 20.0
_MOST_LOG: Final = 2000


class CrawlRound:
    """Some pictures that were crawled and wait to be indexed: a source."""

    def __init__(self, spool: CrawlSpool, numbers: Sequence[int]) -> None:
        self._spool = spool
        self.numbers = tuple(numbers)

    @property
    def name(self) -> str:
        """A fixed name."""
        return "crawled pictures"

    @property
    def prefix(self) -> str | None:
        """None: a crawl covers no site whole."""
        return None

    def count(self) -> int | None:
        """Return None: a picture on several sites is several items."""
        return None

    def items(self) -> Iterator[SourceItem]:
        """Yield the pictures in the order they were fetched."""
        for number in self.numbers:
            image = self._spool.image(number)
            if image.error[0]:
                yield error_item(image.url, *image.error)
                continue
            fingerprint = hashlib.blake2b(image.data, digest_size=12).hexdigest()
            for source in sources_of_sightings(image.url, image.sightings, fingerprint=fingerprint):
                yield SourceItem(source, "data", data=image.data)


class Crawl:
    """A crawl that runs while its `with` block does; take its `rounds` and acknowledge each.

    Raises, from `with`:
        MissingExtraError: Scrapy is not installed.
        UsageError: the state folder is that of another crawl.
    """

    def __init__(self, plan: CrawlPlan, state: Path) -> None:
        self._plan = plan
        self._state = state
        self._spool: CrawlSpool | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def __enter__(self) -> Crawl:
        """Begin, or go on where an earlier run stopped."""
        if importlib.util.find_spec("scrapy") is None:
            raise MissingExtraError("crawling", extra="crawl")
        self._spool = CrawlSpool(self._state)
        try:
            self._begin(self._spool)
        except BaseException:
            self._spool.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the crawler and close the state."""
        self.stop()
        if self._output is not None:
            self._output.close()
        if self._spool is not None:
            self._spool.close()

    def rounds(
        self, stop: threading.Event, *, on_tick: Callable[[], None] | None = None
    ) -> Iterator[CrawlRound]:
        """Yield pictures as they come, until the crawl is over or `stop` is set.

        `on_tick` is called while nothing is ready.

        Raises:
            SourceError: the crawler died.
        """
        spool, child = self._opened()
        given: set[int] = set()
        began = time.monotonic()
        while not stop.is_set():
            is_over = child.poll() is not None
            numbers = [number for number in spool.waiting(ROUND) if number not in given]
            is_due = len(numbers) >= ROUND or time.monotonic() - began >= ROUND_WAIT_S
            if numbers and (is_due or is_over):
                given.update(numbers)
                yield CrawlRound(spool, numbers)
                given.difference_update(numbers)
                began = time.monotonic()
            elif is_over:
                break
            else:
                if on_tick is not None:
                    on_tick()
                stop.wait(_TICK_S)
        if not stop.is_set() and child.returncode:
            raise SourceError(
                f"the crawler stopped with code {child.returncode}: {self._log_end()}",
                hint=f"its log is {self._state / 'crawl.log'}; run the command again to go on",
            )

    def acknowledge(self, done: CrawlRound) -> None:
        """Drop the pictures of a round, which are indexed now."""
        self._opened()[0].acknowledge(done.numbers)

    def counts(self) -> dict[str, int]:
        """Return what the crawler did so far, over all its runs."""
        return self._opened()[0].counts()

    def is_complete(self) -> bool:
        """Tell whether everything was fetched, and everything fetched was acknowledged."""
        spool, _ = self._opened()
        return spool.is_finished() and not spool.waiting(1)

    def stop(self) -> None:
        """Ask the crawler to end, and see to it that it does."""
        child = self._child
        if child is None:
            return
        with suppress(BrokenPipeError):
            if child.stdin is not None:
                child.stdin.close()
        for ask in (child.terminate, child.kill):
            try:
                child.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                ask()
        child.wait()

    def _begin(self, spool: CrawlSpool) -> None:
        earlier = spool.plan()
        if earlier and CrawlPlan.from_json(earlier).starts != self._plan.starts:
            raise UsageError(
                f"{self._state} is the state of another crawl",
                hint="name another folder with --state, or crawl the same URLs to go on",
            )
        spool.begin(self._plan)
        self._output = open(self._state / "crawl.log", "ab")  # noqa: SIM115 - closed at the end
        self._child = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "lookalike.adapters.source_crawl_child", str(self._state)],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,  # a Ctrl-C is told by us, so that both end in order
        )

    def _opened(self) -> tuple[CrawlSpool, subprocess.Popen[bytes]]:
        if self._spool is None or self._child is None:
            raise ValueError("a crawl is used inside its `with` block")
        return self._spool, self._child

    def _log_end(self) -> str:
        try:
            raw = (self._state / "crawl.log").read_bytes()[-_MOST_LOG:]
        except OSError:
            return "it left no log"
        lines = raw.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "it left no log"
