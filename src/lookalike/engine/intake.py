"""The first half of ingest: what needs work, and the pictures read, checked and decoded."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from lookalike.domain import reasons
from lookalike.domain.errors import ImageError
from lookalike.domain.images import ImageFacts, ImageId
from lookalike.domain.sources import is_unchanged
from lookalike.engine.frames import DecodeAnswer, DecodeJob
from lookalike.engine.looking import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lookalike.domain.arrays import FloatMatrix
    from lookalike.domain.images import Source
    from lookalike.engine.decode_pool import DecodePool
    from lookalike.imaging.examine import ExaminePlan
    from lookalike.ports.catalog import Catalog, SourceState
    from lookalike.ports.source import Fetcher, PictureSource, SourceItem
    from lookalike.telemetry.stages import StageTimer

LOOKUP_CHUNK: Final = 256
"""Sources whose state is looked up at once."""

FETCHES: Final = 16
"""URLs fetched at once."""

TRANSIENT: Final = frozenset(
    {
        reasons.VANISHED,
        reasons.UNREADABLE,
        reasons.FETCH_FAILED,
        reasons.FETCH_TIMEOUT,
        reasons.DECODER_CRASHED,
        reasons.TOO_SLOW,
        reasons.BLOCKED,
        reasons.BLOCKED_ADDRESS,
        reasons.OPTED_OUT,
    }
)
"""Refusals that may end differently next time, so that an unchanged source is tried again."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One source and what became of it.

    `known`: unchanged since the last run. `failed`: `error` holds reason and detail.
    `examined`: decoded, or its vector came ready; models may look at the `view`.
    """

    source: Source
    verdict: Literal["known", "failed", "examined"]
    facts: ImageFacts | None = None
    thumbnail: bytes = field(default=b"", repr=False)
    original: bytes = field(default=b"", repr=False)
    view: View = field(default_factory=View)
    error: tuple[str, str] = ("", "")
    is_old_failure: bool = False


@dataclass(frozen=True, slots=True)
class IntakeTools:
    """What the first half works with."""

    catalog: Catalog
    pool: DecodePool
    plan: ExaminePlan
    fetcher: Fetcher | None
    licence: str = "unknown"
    is_forced: bool = False
    is_keeping: bool = False


class SeenUris:
    """Remembers uris in eight bytes each, so that missing ones can be told afterwards."""

    def __init__(self) -> None:
        """Begin with none."""
        self._recent: list[int] = []
        self._sorted = np.empty(0, dtype=np.uint64)
        self._unlisted: list[str] = []

    def add(self, uri: str, *, is_unlisted: bool = False) -> None:
        """Remember a uri; an unlisted folder or archive speaks for everything below it."""
        if is_unlisted:
            self._unlisted.append(uri if uri.endswith("/") else f"{uri}#")
        self._recent.append(_hash(uri))
        if len(self._recent) >= 1 << 16:
            self._merge()

    def has(self, uri: str) -> bool:
        """Tell whether the uri may still be there (by chance a false yes, about n / 2^64)."""
        if any(uri.startswith(prefix) for prefix in self._unlisted):
            return True
        if self._recent:
            self._merge()
        at = bisect_left(self._sorted, _hash(uri))
        return at < self._sorted.shape[0] and int(self._sorted[at]) == _hash(uri)

    def _merge(self) -> None:
        fresh = np.asarray(self._recent, dtype=np.uint64)
        self._sorted = np.sort(np.concatenate([self._sorted, fresh]))
        self._recent = []


class Intake:
    """Judges the items of a source, in their order, with bounded work in flight."""

    def __init__(self, tools: IntakeTools, stages: StageTimer) -> None:
        """Keep the tools; `stages` gathers what each stage took."""
        self._tools = tools
        self._stages = stages

    def judge(self, source: PictureSource, seen: SeenUris | None) -> Iterator[Judged]:
        """Yield one judgement for each item; `seen` takes in every uri that is still there."""
        with ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch") as fetchers:
            sorted_out = self._sort_out(source.items(), seen)
            fetched = self._fetch(sorted_out, fetchers)
            jobs = ((pair, self._job(pair[0], pair[1])) for pair in fetched)
            for pair, answer in self._tools.pool.map(jobs):
                yield self._conclude(pair, answer)

    def _sort_out(
        self, items: Iterator[SourceItem], seen: SeenUris | None
    ) -> Iterator[tuple[SourceItem, SourceState | None]]:
        while True:
            with self._stages.stage("list"):
                chunk = [self._licensed(item) for item in islice(items, LOOKUP_CHUNK)]
                states = self._tools.catalog.source_states([item.source.uri for item in chunk])
            if not chunk:
                return
            for item in chunk:
                if seen is not None:
                    seen.add(item.source.uri, is_unlisted=item.kind == "error")
                yield item, self._unchanged(item, states.get(item.source.uri))

    def _licensed(self, item: SourceItem) -> SourceItem:
        """Assume the run's licence where the source states none."""
        if self._tools.licence == "unknown" or item.source.licence != "unknown":
            return item
        return replace(item, source=replace(item.source, licence=self._tools.licence))

    def _unchanged(self, item: SourceItem, state: SourceState | None) -> SourceState | None:
        """Return what is remembered if it still holds, else None."""
        if state is None or self._tools.is_forced or item.kind == "error":
            return None
        if state.reason in TRANSIENT:
            return None
        return state if is_unchanged(state.fingerprint, item.source.fingerprint) else None

    def _fetch(
        self,
        pairs: Iterable[tuple[SourceItem, SourceState | None]],
        fetchers: ThreadPoolExecutor,
    ) -> Iterator[tuple[SourceItem, SourceState | None]]:
        """Replace URLs by their bytes, several fetched at once, in their order."""
        flying: deque[tuple[SourceItem, SourceState | None, Future[SourceItem] | None]] = deque()
        for item, state in pairs:
            needs = item.kind == "url" and state is None
            flying.append((item, state, fetchers.submit(self._fetched, item) if needs else None))
            while flying and (len(flying) >= 2 * FETCHES or flying[0][2] is None):
                yield _landed(flying.popleft())
        while flying:
            yield _landed(flying.popleft())

    def _fetched(self, item: SourceItem) -> SourceItem:
        if self._tools.fetcher is None:
            error = (reasons.FETCH_FAILED, "fetching is turned off")
            return replace(item, kind="error", error=error)
        try:
            return replace(item, kind="data", data=self._tools.fetcher.fetch(item.url))
        except ImageError as error:
            return replace(item, kind="error", error=(error.reason, error.message))

    def _job(self, item: SourceItem, state: SourceState | None) -> DecodeJob | None:
        if state is not None or item.kind in {"error", "url"}:
            return None
        plan = self._tools.plan
        if item.kind == "vector":
            plan = replace(plan, preprocess=None)
        limit = plan.limits.max_bytes
        if item.path is not None:
            return DecodeJob(path=os.fsencode(item.path), plan=plan, max_bytes=limit)
        return DecodeJob(data=item.data, plan=plan) if item.kind == "data" else None

    def _conclude(
        self, pair: tuple[SourceItem, SourceState | None], answer: DecodeAnswer | None
    ) -> Judged:
        item, state = pair
        if state is not None:
            if state.image is not None:
                return Judged(item.source, "known")
            return Judged(
                item.source,
                "failed",
                error=(state.reason, "unchanged since it was refused"),
                is_old_failure=True,
            )
        if item.kind == "error":
            return Judged(item.source, "failed", error=item.error)
        judged = self._examined(item, answer)
        if item.kind != "vector":
            return judged
        if judged.facts is None:  # the vector stands even where the picture is not at hand
            judged = Judged(item.source, "examined", facts=_bare_facts(item))
        return replace(judged, view=replace(judged.view, vector=_only(item)))

    def _examined(self, item: SourceItem, answer: DecodeAnswer | None) -> Judged:
        if answer is None:
            return Judged(item.source, "failed", error=(reasons.UNREADABLE, "nothing to read"))
        self._stages.add("decode", answer.cpu_s * 1000.0, items=1)
        if answer.error is not None:
            error = (answer.error.reason, answer.error.message)
            return Judged(item.source, "failed", error=error)
        examined = answer.examined
        if examined is None:
            raise ValueError("a decode answer holds neither picture nor error")
        return Judged(
            item.source,
            "examined",
            facts=examined.facts,
            view=View(
                examined.pixels,
                examined.canvas,
                examined.page,
                is_gated=self._tools.plan.page_side is not None,
            ),
            thumbnail=examined.thumbnail,
            original=item.data if self._tools.is_keeping else b"",
        )


def _landed(
    flying: tuple[SourceItem, SourceState | None, Future[SourceItem] | None],
) -> tuple[SourceItem, SourceState | None]:
    item, state, future = flying
    return (future.result() if future is not None else item), state


def _bare_facts(item: SourceItem) -> ImageFacts:
    """Return the facts of a picture known only by its vector; its id stands for its uri."""
    name = f"reference\0{item.source.uri}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(name).hexdigest()[:32]
    return ImageFacts(ImageId(digest), item.width, item.height, 0, "unknown")


def _only(item: SourceItem) -> FloatMatrix | None:
    return None if item.vector is None else item.vector.reshape(-1)


def _hash(uri: str) -> int:
    digest = hashlib.blake2b(uri.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
