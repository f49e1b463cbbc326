"""Answering a query: filter, gather, rank, page."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.domain.errors import CursorError, QueryError, StoreError, UsageError
from lookalike.domain.filters import HasObject
from lookalike.domain.hits import Hit, MatchedObject, SearchResult
from lookalike.domain.objects import classes_of
from lookalike.engine.candidates import Gatherer
from lookalike.engine.cursor import (
    ListingCursor,
    RankedCursor,
    decode_cursor,
    digest,
    encode_cursor,
    fingerprint,
)
from lookalike.engine.learning_trace import mixed_if_asked, tell
from lookalike.ranking.calibration import LEAST_SAMPLE, Background
from lookalike.ranking.fusion_features import IF_WANTED
from lookalike.telemetry.stages import StageTimer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.domain.arrays import BoolMask, Pixels, RowArray
    from lookalike.domain.hits import Selection, Traced
    from lookalike.domain.images import ImageRecord
    from lookalike.domain.queries import Query
    from lookalike.engine.query_vectors import QueryEncoder, QueryVector
    from lookalike.engine.stores import Stores
    from lookalike.ports.ranker import Ranker

MOST_HITS: Final = 1000
LEAST_COLLAPSED: Final = 100
COLLAPSED_PAGES: Final = 4
"""How deep copies are looked for in a ranking: so many hits, or so many pages."""

BACKGROUND_SIZE: Final = 512
BACKGROUND_GROWTH: Final = 1.5
"""The background sample is drawn anew when the index has grown by this factor."""

BACKGROUND_S: Final = 600.0
EMPTY_BACKGROUND_S: Final = 5.0
"""Where rows do not count up, the sample is drawn anew after so long, sooner one that is empty."""


@dataclass(frozen=True, slots=True)
class _Page:
    """The rows of one page with their scores and features, in order, and what comes after."""

    rows: RowArray
    scores: NDArray[np.float32]
    features: Mapping[str, NDArray[np.float32]]
    vector: QueryVector | None
    total: int
    next: str | None
    regions: Mapping[int, int] = field(default_factory=dict[int, int])
    shares: Mapping[str, NDArray[np.float32]] = field(default_factory=dict[str, Any])
    traced: Sequence[Traced] = ()


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A background sample, how many rows there were when it was drawn, and when that was."""

    background: Background
    rows: int
    at: float

    def is_fresh(self, stores: Stores, now: float) -> bool:
        """Tell whether the sample still stands for the index."""
        if stores.is_dense:
            return stores.visible_rows <= self.rows * BACKGROUND_GROWTH
        return now - self.at < (
            BACKGROUND_S if len(self.background.vectors) else EMPTY_BACKGROUND_S
        )


class Searcher:
    """Searches one set of stores; safe to call from many threads."""

    def __init__(
        self, stores: Stores, encoder: QueryEncoder, ranker: Ranker, *, index_id: str, threads: int
    ) -> None:
        """Keep the parts; `threads` bounds the paths that run at once over all queries."""
        self._stores = stores
        self._encoder = encoder
        self._ranker = ranker
        self._index_id = index_id
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self._gatherer = Gatherer(stores, encoder, self._threads)
        self._background: _Drawn | None = None

    def search(self, query: Query) -> SearchResult:
        """Answer a query; what is wrong with the query is raised, what fails inside is degraded."""
        _check(query)
        watch = StageTimer()
        degraded: list[str] = []
        with watch.stage("decode"):
            pixels = self._encoder.load_images(query)
        selection = None
        if query.filter:
            with watch.stage("filter"):
                selection = self._stores.filters.select(query.filter)
        page = self._page(query, pixels, selection, watch, degraded)
        with watch.stage("records"):
            hits = self._hits(query, page, degraded)
        timings = {**watch.stages, "total": watch.total_ms}
        return SearchResult(
            query=query.source,
            hits=hits,
            total=page.total,
            degraded=tuple(degraded),
            timings_ms=timings,
            next=page.next,
            explanation=self._explain(query, selection, page) if query.is_explained else {},
            reading=query.reading,
        )

    def use_ranker(self, ranker: Ranker) -> None:
        """Rank with another model from the next search on."""
        self._ranker = ranker

    def preload(self) -> None:
        """Load the text tower in a thread, and meanwhile touch the vectors here."""
        self._threads.submit(self._encoder.preload)
        anything = np.eye(1, self._stores.vectors.dim, dtype=np.float32)
        self._stores.vectors.search(anything, k=1, query_kind="text")
        self._sample()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _page(
        self,
        query: Query,
        pixels: list[Pixels | None],
        selection: Selection | None,
        watch: StageTimer,
        degraded: list[str],
    ) -> _Page:
        owner = self._owner(query)
        cursor = decode_cursor(query.cursor, owner) if query.cursor else None
        is_listing = not (query.texts or query.images or query.match)
        if is_listing:
            if isinstance(cursor, RankedCursor):
                raise CursorError("the cursor belongs to another query")
            return self._listing(query, selection, cursor, owner)
        if isinstance(cursor, ListingCursor):
            raise CursorError("the cursor belongs to another query")
        if cursor is not None:
            rows = cursor.rows[: query.k]
            known = self._gatherer.features(query, pixels, rows, selection, watch)
            page = self._cut(cursor, known.features, known.vector, query.k, owner)
            return replace(page, regions=known.regions)
        wanted = IF_WANTED if query.is_traced else self._ranker.wants
        gathered = self._gatherer.gather(query, pixels, selection, watch, wanted=wanted)
        degraded.extend(gathered.degraded)
        if query.texts and not self._encoder.has_text:
            degraded.append("vector: this index's encoder knows no words")
        with watch.stage("rank"):
            if query.is_of_objects:
                scores = gathered.keep_near_objects()
            else:
                scores = self._ranker.score(gathered.features)
            order = np.lexsort((gathered.rows, -scores)) if len(scores) else np.empty(0, np.int64)
        if query.is_collapsed and len(order):
            with watch.stage("collapse"):
                order = order[self._kept(gathered.rows[order], query.k, degraded)]
        usual, order = order, mixed_if_asked(query, gathered.features, order)
        ranked = RankedCursor(gathered.rows[order], scores[order], 0, len(order))
        features = {name: values[order] for name, values in gathered.features.items()}
        page = self._cut(ranked, features, gathered.vector, query.k, owner)
        if query.is_of_objects:
            return replace(page, regions=gathered.regions)
        shares, traced = tell(query, self._ranker, gathered.features, usual, order)
        return replace(page, regions=gathered.regions, shares=shares, traced=traced)

    def _kept(self, rows: RowArray, k: int, degraded: list[str]) -> BoolMask:
        """Tell which of ranked `(n,)` rows to keep: of each group of copies the first alone.

        Looks as deep as some pages reach: each look-up costs a cluster a question.
        """
        kept = np.ones(len(rows), dtype=np.bool_)
        depth = min(len(rows), max(LEAST_COLLAPSED, COLLAPSED_PAGES * k))
        try:
            groups = self._stores.copies.groups_of(rows[:depth])
        except StoreError as error:  # the hits stand beside their copies then
            degraded.append(f"copies: {error.code}: {error.message}")
            return kept
        grouped = np.flatnonzero(groups >= 0)
        _, first = np.unique(groups[grouped], return_index=True)
        kept[grouped] = False
        kept[grouped[first]] = True
        return kept

    def _cut(
        self,
        ranked: RankedCursor,
        features: Mapping[str, NDArray[np.float32]],
        vector: QueryVector | None,
        k: int,
        owner: bytes,
    ) -> _Page:
        rest = replace(ranked, offset=k)
        has_more = len(ranked.rows) > k
        return _Page(
            rows=ranked.rows[:k],
            scores=ranked.scores[:k],
            features={name: values[:k] for name, values in features.items()},
            vector=vector,
            total=ranked.total,
            next=encode_cursor(rest, owner) if has_more else None,
        )

    def _listing(
        self,
        query: Query,
        selection: Selection | None,
        cursor: ListingCursor | None,
        owner: bytes,
    ) -> _Page:
        """Return the images a filter alone selects, the newest first."""
        if selection is None:
            raise QueryError("nothing is asked", hint="give words, a picture or a filter")
        after = cursor.last if cursor else None
        listing = self._stores.filters.listing(selection, k=query.k, after=after)
        total = cursor.total if cursor else listing.total
        following = ListingCursor(listing.last, total) if listing.last else None
        return _Page(
            rows=listing.rows,
            scores=np.ones(len(listing.rows), dtype=np.float32),
            features={},
            vector=None,
            total=total,
            next=encode_cursor(following, owner) if following else None,
        )

    def _hits(self, query: Query, page: _Page, degraded: list[str]) -> Sequence[Hit]:
        asked = self._threads.submit(self._why, query, page)  # beside the catalog's answer
        records = self._stores.catalog.records([int(row) for row in page.rows])
        relevance = self._relevance(page, degraded)
        try:
            why = asked.result()
        except StoreError as error:  # the hits stand without their explanation
            degraded.append(f"explanation: {error.code}: {error.message}")
            why = [()] * len(page.rows)
        extra = self._copies_under(records, degraded)
        hits: list[Hit] = []
        for at, record in enumerate(records):
            if record is None:
                continue  # removed since the ranking was frozen
            hits.append(
                Hit(
                    record=record,
                    score=float(page.scores[at]),
                    relevance=float(relevance[at]),
                    parts={
                        name: float(values[at])
                        for name, values in page.features.items()
                        if np.isfinite(values[at]) and name not in IF_WANTED
                    },
                    why=why[at],
                    copies=copies_of(record) + extra.get(record.row, 0),
                    objects=_matched(query, page, at, record),
                    shares={name: float(values[at]) for name, values in page.shares.items()},
                    traced=page.traced[at] if page.traced else None,
                )
            )
        return hits

    def _copies_under(
        self, records: Sequence[ImageRecord | None], degraded: list[str]
    ) -> Mapping[int, int]:
        """Return how many other images are the same picture as each record."""
        known = [one for one in records if one is not None]
        group_of = {one.row: one.copy_group for one in known if one.copy_group is not None}
        if not group_of:
            return {}
        try:
            members = self._stores.copies.members(sorted(set(group_of.values())))
        except StoreError as error:
            degraded.append(f"copies: {error.code}: {error.message}")
            return {}
        return {row: max(0, len(members.get(group, ())) - 1) for row, group in group_of.items()}

    def _why(self, query: Query, page: _Page) -> Sequence[tuple[str, ...]]:
        """Return the matched terms of each row; none where words were not asked or not found."""
        if not query.match or "bm25" not in page.features:
            return [()] * len(page.rows)
        return self._stores.texts.matched_terms(query.match, page.rows)

    def _relevance(self, page: _Page, degraded: list[str]) -> NDArray[np.float32]:
        cosines = page.features.get("cosine")
        if cosines is None or page.vector is None:
            return np.ones(len(page.rows), dtype=np.float32)
        try:
            sample = self._sample()
        except StoreError as error:
            degraded.append(f"relevance: {error.code}: {error.message}")
            sample = Background(np.empty((0, self._stores.vectors.dim), dtype=np.float32))
        return np.nan_to_num(sample.relevance(page.vector.vector, cosines))

    def _sample(self) -> Background:
        """Return the background, drawn anew when the index has grown or the sample is old."""
        drawn = self._background
        if drawn is not None and drawn.is_fresh(self._stores, time.monotonic()):
            return drawn.background
        stores = self._stores
        rows = np.asarray(stores.catalog.sample_rows(BACKGROUND_SIZE), dtype=np.int64)
        rows = rows[rows < stores.visible_rows]
        rows = rows[stores.vectors.has(rows)]
        vectors = stores.vectors.fetch(rows[: len(rows) if len(rows) >= LEAST_SAMPLE else 0])
        background = Background(vectors)
        self._background = _Drawn(background, stores.visible_rows, time.monotonic())
        return background

    def _owner(self, query: Query) -> bytes:
        images = [
            f"{part.kind}:{part.reference}:{digest(part.data)}:{part.region}:{part.weight}"
            for part in query.images
        ]
        texts = [f"{part.text}:{part.weight}" for part in query.texts]
        return fingerprint(
            self._index_id, self._stores.space, repr(query.match), repr(_stable(query)),
            "objects" if query.is_of_objects else "", *texts, "|", *images,
        )  # fmt: skip

    def _explain(
        self, query: Query, selection: Selection | None, page: _Page
    ) -> Mapping[str, object]:
        stats = self._stores.vectors.stats()
        return {
            "space": self._stores.space,
            "vectors": {"kind": stats.kind, "rows": stats.rows, "sealed_rows": stats.sealed_rows},
            "query_kind": page.vector.kind if page.vector else None,
            "selected": selection.count if selection else None,
            "words": query.match.words,
            "phrases": list(query.match.phrases),
            "excluded": list(query.match.excluded),
            **self._ranker.explain(),
        }


def copies_of(record: ImageRecord) -> int:
    """Return at how many other places the very file was seen."""
    return max(0, sum(not source.is_vanished for source in record.sources) - 1)


def _matched(query: Query, page: _Page, at: int, record: ImageRecord) -> tuple[MatchedObject, ...]:
    """Return the objects that filters asked for, and the one that is nearest to the query."""
    asked = {
        one.label
        for one in query.filter.conditions
        if isinstance(one, HasObject) and not one.is_negated and one.at_least > 0
    }
    cosine = page.features["region"][at] if "region" in page.features else np.nan
    nearest = page.regions.get(int(page.rows[at])) if np.isfinite(cosine) else None
    return tuple(
        MatchedObject(found, float(cosine) if number == nearest else None)
        for number, found in enumerate(record.objects)
        if number == nearest or asked & set(classes_of(found.label))
    )


def _stable(query: Query) -> list[str]:
    """Return the filter's conditions as text that does not depend on set order."""
    return [
        f"{type(one).__name__}:{getattr(one, 'field', getattr(one, 'label', ''))}:"
        f"{sorted(getattr(one, 'values', ()))}:"
        f"{getattr(one, 'low', '')}:{getattr(one, 'high', '')}:"
        f"{getattr(one, 'at_least', '')}:{getattr(one, 'at_most', '')}:{one.is_negated}"
        for one in query.filter.conditions
    ]


def _check(query: Query) -> None:
    if query.is_empty:
        raise QueryError("nothing is asked", hint="give words, a picture or a filter")
    if not 1 <= query.k <= MOST_HITS:
        raise UsageError(f"k must lie between 1 and {MOST_HITS}, not {query.k}")
