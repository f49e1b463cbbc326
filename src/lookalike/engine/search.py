"""Answering a query: filter, gather, rank, page."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.errors import CursorError, QueryError, StoreError, UsageError
from lookalike.domain.hits import SearchResult
from lookalike.domain.images import ImageId
from lookalike.domain.queries import Answering
from lookalike.engine.background import BackgroundSampler
from lookalike.engine.candidates import Gatherer
from lookalike.engine.cursor import (
    DeepCursor,
    ListingCursor,
    RankedCursor,
    decode_cursor,
    digest,
    encode_cursor,
    fingerprint,
)
from lookalike.engine.deep import behind, deep_page
from lookalike.engine.learning_trace import mixed_if_asked, tell
from lookalike.engine.presenting import Page, Presenter
from lookalike.ranking.diversity import mmr_order
from lookalike.ranking.fusion_features import IF_WANTED
from lookalike.telemetry.stages import StageTimer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.domain.arrays import BoolMask, Pixels, RowArray
    from lookalike.domain.hits import Selection
    from lookalike.domain.queries import Query
    from lookalike.engine.candidates import Gathered
    from lookalike.engine.query_vectors import QueryEncoder, QueryVector
    from lookalike.engine.stores import Stores
    from lookalike.ports.ranker import Ranker

MOST_HITS: Final = 1000
LEAST_COLLAPSED: Final = 100
COLLAPSED_PAGES: Final = 4
"""How deep copies are looked for in a ranking: so many hits, or so many pages."""

MOST_SPREAD: Final = 400
"""So many of the first hits are put in an order that repeats itself less."""


class Searcher:
    """Searches one set of stores; safe to call from many threads."""

    def __init__(
        self,
        stores: Stores,
        encoder: QueryEncoder,
        ranker: Ranker,
        *,
        index_id: str,
        threads: int,
        answering: Answering | None = None,
    ) -> None:
        """Keep the parts; `threads` bounds the paths that run at once over all queries."""
        self._answering = answering or Answering()
        self._stores = stores
        self._encoder = encoder
        self._ranker = ranker
        self._index_id = index_id
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="search")
        self._sampler = BackgroundSampler(stores)
        self._gatherer = Gatherer(stores, encoder, self._threads)
        self._presenter = Presenter(stores, self._threads, self._sampler)

    def search(self, query: Query) -> SearchResult:
        """Answer a query; what is wrong with the query is raised, what fails inside is degraded."""
        _check(query)
        watch = StageTimer()
        degraded: list[str] = []
        if query.diversity is None:
            query = replace(query, diversity=self._answering.diversity)
        if query.diversity or query.more or query.less:  # an order that nobody learns from
            query = replace(query, is_traced=False, is_mixed=False)
        with watch.stage("decode"):
            pixels = self._encoder.load_images(query)
        selection = None
        if query.filter:
            with watch.stage("filter"):
                selection = self._stores.filters.select(query.filter)
        page = self._page(query, pixels, selection, watch, degraded)
        with watch.stage("records"):
            hits = self._presenter.hits(query, page, watch, degraded)
        least = self._answering.least_relevance
        is_good = self._presenter.has_good_match(query, page, hits, least)
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
            no_good_match=not is_good,
        )

    def use_ranker(self, ranker: Ranker) -> None:
        """Rank with another model from the next search on."""
        self._ranker = ranker

    def preload(self) -> None:
        """Load the text tower in a thread, and meanwhile touch the vectors here."""
        self._threads.submit(self._encoder.preload)
        anything = np.eye(1, self._stores.vectors.dim, dtype=np.float32)
        self._stores.vectors.search(anything, k=1, query_kind="text")
        self._sampler.sample()

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
    ) -> Page:
        owner = self._owner(query)
        cursor = decode_cursor(query.cursor, owner) if query.cursor else None
        if query.is_listing:
            if isinstance(cursor, RankedCursor | DeepCursor):
                raise CursorError("the cursor belongs to another query")
            return self._listing(query, selection, cursor, owner)
        if isinstance(cursor, ListingCursor):
            raise CursorError("the cursor belongs to another query")
        if isinstance(cursor, DeepCursor):
            return self._deeper(query, pixels, selection, cursor, watch)
        if cursor is not None:
            rows = cursor.rows[: query.k]
            known = self._gatherer.features(query, pixels, rows, selection, watch)
            page = self._cut(cursor, known.features, known.vector, query.k, owner)
            return replace(page, regions=known.regions)
        return self._first(query, pixels, selection, watch, degraded)

    def _first(
        self,
        query: Query,
        pixels: list[Pixels | None],
        selection: Selection | None,
        watch: StageTimer,
        degraded: list[str],
    ) -> Page:
        """Rank what all paths find, freeze the order, and return the first page of it."""
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
        refused = self._rows_of(query.less)
        order = order[~np.isin(gathered.rows[order], refused)]
        if query.is_collapsed and len(order):
            with watch.stage("collapse"):
                order = order[self._kept(gathered.rows[order], query.k, degraded)]
        if query.diversity and len(order):
            with watch.stage("diversify"):
                order = self._spread(query, gathered.rows, scores, order, degraded)
        usual, order = order, mixed_if_asked(query, gathered.features, order)
        ranked = RankedCursor(
            gathered.rows[order], scores[order], 0, len(order),
            seen=np.union1d(np.delete(gathered.rows, order), refused),
            horizon=self._horizon(query, selection, gathered),
        )  # fmt: skip
        features = {name: values[order] for name, values in gathered.features.items()}
        page = self._cut(ranked, features, gathered.vector, query.k, self._owner(query))
        if query.is_of_objects:
            return replace(page, regions=gathered.regions)
        shares, traced = tell(query, self._ranker, gathered.features, usual, order)
        return replace(page, regions=gathered.regions, shares=shares, traced=traced)

    def _deeper(
        self,
        query: Query,
        pixels: list[Pixels | None],
        selection: Selection | None,
        cursor: DeepCursor,
        watch: StageTimer,
    ) -> Page:
        """Return a page behind the ranking."""
        with watch.stage("encode"):
            vector = self._gatherer.encode(query, pixels)
        with watch.stage("deep"):
            found = deep_page(
                query, vector, selection, cursor, stores=self._stores, gatherer=self._gatherer
            )
        known = self._gatherer.features(query, pixels, found.rows, selection, watch, vector=vector)
        return Page(
            rows=found.rows,
            scores=found.scores,
            features=known.features,
            vector=vector,
            total=cursor.total,
            next=encode_cursor(found.next, self._owner(query)) if found.next else None,
            regions=known.regions,
        )

    def _rows_of(self, ids: Sequence[str]) -> RowArray:
        if not ids:
            return np.empty(0, dtype=np.int64)
        known = self._stores.catalog.rows_of([ImageId(one) for one in ids])
        return np.array(list(known.values()), dtype=np.int64)

    def _horizon(self, query: Query, selection: Selection | None, gathered: Gathered) -> int | None:
        """Return below which row there is more than was gathered; None where there is nothing."""
        stores = self._stores
        if query.is_of_objects or not gathered.is_cut:
            return None
        if stores.is_dense:
            count = selection.count if selection is not None else len(stores.vectors)
            if count is not None and len(gathered.rows) >= count:
                return None
        return stores.visible_rows

    def _spread(
        self,
        query: Query,
        rows: RowArray,
        scores: NDArray[np.float32],
        order: NDArray[np.int64],
        degraded: list[str],
    ) -> NDArray[np.int64]:
        """Return an order whose first pages repeat themselves less."""
        first = order[: min(MOST_SPREAD, max(LEAST_COLLAPSED, COLLAPSED_PAGES * query.k))]
        try:
            vectors = self._gatherer.vectors_of(rows[first])
        except StoreError as error:  # the hits may repeat themselves then
            degraded.append(f"diversity: {error.code}: {error.message}")
            return order
        chosen = mmr_order(scores[first], vectors, query.diversity or 0.0)
        return np.concatenate([first[chosen], order[len(first) :]])

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
    ) -> Page:
        following = behind(ranked)
        if len(ranked.rows) > k:
            seen = ranked.seen if ranked.horizon is None else (
                np.union1d(ranked.seen, ranked.rows[:k])
            )  # fmt: skip
            following = replace(ranked, offset=k, seen=seen)
        return Page(
            rows=ranked.rows[:k],
            scores=ranked.scores[:k],
            features={name: values[:k] for name, values in features.items()},
            vector=vector,
            total=ranked.total,
            next=encode_cursor(following, owner) if following else None,
        )

    def _listing(
        self,
        query: Query,
        selection: Selection | None,
        cursor: ListingCursor | None,
        owner: bytes,
    ) -> Page:
        """Return the images a filter alone selects, the newest first."""
        if selection is None:
            raise QueryError("nothing is asked", hint="give words, a picture or a filter")
        after = cursor.last if cursor else None
        listing = self._stores.filters.listing(selection, k=query.k, after=after)
        total = cursor.total if cursor else listing.total
        following = ListingCursor(listing.last, total) if listing.last else None
        return Page(
            rows=listing.rows,
            scores=np.ones(len(listing.rows), dtype=np.float32),
            features={},
            vector=None,
            total=total,
            next=encode_cursor(following, owner) if following else None,
        )

    def _owner(self, query: Query) -> bytes:
        images = [
            f"{part.kind}:{part.reference}:{digest(part.data)}:{part.region}:{part.weight}"
            for part in query.images
        ]
        texts = [f"{part.text}:{part.weight}" for part in query.texts]
        return fingerprint(
            self._index_id, self._stores.space, repr(query.match), repr(_stable(query)),
            "objects" if query.is_of_objects else "", *texts, "|", *images,
            "|", *query.more, "|", *query.less, f"{query.diversity or 0:g}",
        )  # fmt: skip

    def _explain(
        self, query: Query, selection: Selection | None, page: Page
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
