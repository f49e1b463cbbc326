"""From the rows of a page to its hits: records, what they matched, relevance and copies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.domain.coverage import coverage, telling_words
from lookalike.domain.errors import StoreError
from lookalike.domain.filters import HasObject
from lookalike.domain.hits import Hit, MatchedObject
from lookalike.domain.objects import classes_of
from lookalike.ranking.calibration import Background
from lookalike.ranking.fusion_features import IF_WANTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import ThreadPoolExecutor

    from numpy.typing import NDArray

    from lookalike.domain.arrays import RowArray
    from lookalike.domain.hits import Traced
    from lookalike.domain.images import ImageRecord
    from lookalike.domain.queries import Query
    from lookalike.engine.background import BackgroundSampler
    from lookalike.engine.query_vectors import QueryVector
    from lookalike.engine.stores import Stores
    from lookalike.ranking.calibration import QueryKind
    from lookalike.telemetry.stages import StageTimer


@dataclass(frozen=True, slots=True)
class Page:
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


class Presenter:
    """Makes hits of rows; what cannot be told of them is named as degraded."""

    def __init__(
        self, stores: Stores, threads: ThreadPoolExecutor, sampler: BackgroundSampler
    ) -> None:
        """Keep the parts."""
        self._stores = stores
        self._threads = threads
        self._sampler = sampler

    def hits(
        self, query: Query, page: Page, watch: StageTimer, degraded: list[str]
    ) -> Sequence[Hit]:
        """Return the hits of a page, without what was removed since its ranking was frozen."""
        asked = self._threads.submit(self._why, query, page)  # beside the catalog's answer
        records = self._stores.catalog.records([int(row) for row in page.rows])
        try:
            why = asked.result()
        except StoreError as error:  # the hits stand without their explanation
            degraded.append(f"explanation: {error.code}: {error.message}")
            why = [()] * len(page.rows)
        with watch.stage("relevance"):
            relevance = self._relevance(query, page, why, degraded)
        extra = self._copies_under(records, degraded)
        return [
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
            for at, record in enumerate(records)
            if record is not None
        ]

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

    def _why(self, query: Query, page: Page) -> Sequence[tuple[str, ...]]:
        """Return the matched terms of each row; none where words were not asked or not found."""
        if not query.match or "bm25" not in page.features:
            return [()] * len(page.rows)
        return self._stores.texts.matched_terms(query.match, page.rows)

    def has_good_match(self, query: Query, page: Page, hits: Sequence[Hit], least: float) -> bool:
        """Tell whether a hit of a first page is relevant, as far as it can be told.

        An object that was asked for and detected speaks for itself.
        """
        is_told = page.vector is not None and "cosine" in page.features
        if not is_told or not hits or query.cursor or _asks_objects(query):
            return True
        try:
            if not self._sampler.sample().is_telling:
                return True
        except StoreError:
            return True
        return any(hit.relevance >= least for hit in hits)

    def _relevance(
        self, query: Query, page: Page, why: Sequence[tuple[str, ...]], degraded: list[str]
    ) -> NDArray[np.float32]:
        cosines = page.features.get("cosine")
        if cosines is None or page.vector is None:
            return np.ones(len(page.rows), dtype=np.float32)
        try:
            sample = self._sampler.sample()
        except StoreError as error:
            degraded.append(f"relevance: {error.code}: {error.message}")
            sample = Background(np.empty((0, self._stores.vectors.dim), dtype=np.float32))
        asked = telling_words(query.match)
        shares = np.array([coverage(asked, reasons) for reasons in why], dtype=np.float32)
        relevance = sample.relevance(
            page.vector.vector, cosines, kind=_kind_of(query), coverage=shares
        )
        return np.nan_to_num(relevance)


def _kind_of(query: Query) -> QueryKind:
    has_words = any(part.weight > 0 for part in query.texts)
    has_pictures = bool(query.more) or any(part.weight > 0 for part in query.images)
    if has_words and has_pictures:
        return "mixed"
    return "image" if has_pictures else "text"


def _asks_objects(query: Query) -> bool:
    return any(
        isinstance(one, HasObject) and not one.is_negated and one.at_least > 0
        for one in query.filter.conditions
    )


def copies_of(record: ImageRecord) -> int:
    """Return at how many other places the very file was seen."""
    return max(0, sum(not source.is_vanished for source in record.sources) - 1)


def _matched(query: Query, page: Page, at: int, record: ImageRecord) -> tuple[MatchedObject, ...]:
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
