"""Candidates of a query: gathered from both paths under one deadline, with every feature."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from lookalike.domain.errors import BackendError, LookalikeError, StoreError
from lookalike.domain.hits import NO_ROW
from lookalike.engine.telling import asks_regions
from lookalike.ranking.fusion_features import FIELD_OF, RECENCY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.domain.arrays import FloatMatrix, Pixels, RowArray
    from lookalike.domain.hits import Selection
    from lookalike.domain.queries import Query
    from lookalike.engine.query_vectors import QueryEncoder, QueryVector
    from lookalike.engine.stores import Stores
    from lookalike.telemetry.stages import StageTimer

Answer = TypeVar("Answer")

OVERFETCH: Final = 4
LEAST_CANDIDATES: Final = 200
MOST_CANDIDATES: Final = 1000
SERVER_FAULT: Final = 500

LEAST_COMPLETION_S: Final = 0.25
"""What the completion of features has, even where a late path has used up the query's time."""


@dataclass(slots=True)
class Gathered:
    """What all paths found: rows without repeats, features by name, and what went wrong.

    `regions` maps a row to the number of its object that is nearest to the query. What `is_cut`
    ended where the paths were as deep as was asked, not where nothing more was to be found.
    """

    rows: RowArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    regions: Mapping[int, int] = field(default_factory=dict[int, int])
    vector: QueryVector | None = None
    degraded: list[str] = field(default_factory=list)
    is_cut: bool = False

    def keep_near_objects(self) -> NDArray[np.float32]:
        """Leave out the rows none of whose objects is near; return how near the others' are."""
        nowhere = np.full(len(self.rows), np.nan, dtype=np.float32)
        is_near = np.isfinite(self.features.setdefault("region", nowhere))
        self.rows = self.rows[is_near]
        self.features = {name: values[is_near] for name, values in self.features.items()}
        return self.features["region"]


@dataclass(frozen=True, slots=True)
class RegionPath:
    """Images by their nearest region: `(n,)` rows without repeats, numbers and cosines."""

    rows: RowArray
    numbers: RowArray
    scores: NDArray[np.float32]

    def feature(self, rows: RowArray) -> NDArray[np.float32]:
        """Return the cosine of each of `(n,)` rows, NaN for one whose regions are not near."""
        values = np.full(len(rows), np.nan, dtype=np.float32)
        at = np.minimum(np.searchsorted(self.rows, rows), max(0, len(self.rows) - 1))
        if len(self.rows):
            is_found = self.rows[at] == rows
            values[is_found] = self.scores[at[is_found]]
        return values

    def numbers_of(self) -> Mapping[int, int]:
        """Return the number of the nearest region by row."""
        return dict(zip(self.rows.tolist(), self.numbers.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class _VectorPath:
    vector: QueryVector | None
    rows: RowArray
    scores: NDArray[np.float32]
    near: RegionPath | None = None
    degraded: tuple[str, ...] = ()


class Gatherer:
    """Runs BM25 and ANN side by side and completes the features of what they find."""

    def __init__(self, stores: Stores, encoder: QueryEncoder, threads: ThreadPoolExecutor) -> None:
        """Keep the stores and the threads the paths run on."""
        self._stores = stores
        self._encoder = encoder
        self._threads = threads

    def gather(
        self,
        query: Query,
        pixels: list[Pixels | None],
        selection: Selection | None,
        watch: StageTimer,
        *,
        wanted: Collection[str] = (),
    ) -> Gathered:
        """Return every candidate with `cosine` and `bm25`; a late or failed path is named.

        Of what is told only if it is wanted, `recency` is how late an image was added, and a
        field of the text what the words score there alone.
        """
        depth = _depth(query)
        deadline = time.monotonic() + query.deadline_ms / 1000.0
        words = self._threads.submit(self._words, query, depth, selection, watch)
        vectors = self._threads.submit(self._vectors, query, pixels, depth, selection, watch)
        gathered = Gathered()
        found = _wait(vectors, deadline, "vector", gathered.degraded)
        matched = _wait(words, deadline, "text", gathered.degraded)
        if found is not None:
            gathered.vector = found.vector
            gathered.degraded.extend(found.degraded)
        lengths = [len(matched[0]) if matched is not None else 0]
        if found is not None and not _must_match(query):
            lengths.append(len(found.rows))
        gathered.is_cut = max(lengths) >= depth
        with watch.stage("complete"):
            self._complete(query, found, matched, gathered, deadline, wanted)
        return gathered

    def features(
        self,
        query: Query,
        pixels: list[Pixels | None],
        rows: RowArray,
        selection: Selection | None,
        watch: StageTimer,
        *,
        vector: QueryVector | None = None,
    ) -> Gathered:
        """Return the query's vector, unless it is given, and the features of given rows."""
        if vector is None:
            vector = self.encode(query, pixels)
        features: dict[str, NDArray[np.float32]] = {}
        if vector is not None:
            features["cosine"] = self.cosines(vector, rows)
        if query.match:
            features["bm25"] = self._stores.texts.score(query.match, rows).reshape(-1)
        near = self._near(query, vector, selection, watch)
        if near is not None:
            features["region"] = near.feature(rows)
        return Gathered(rows, features, near.numbers_of() if near else {}, vector)

    def encode(self, query: Query, pixels: list[Pixels | None]) -> QueryVector | None:
        """Return the query's vector, None where nothing of it can be encoded."""
        return self._encoder.mix(query, pixels, self._stores)

    def cosines(self, vector: QueryVector, rows: RowArray) -> NDArray[np.float32]:
        """Return the `(n,)` cosines of rows, NaN for one just added or removed."""
        none = np.empty(0, np.int64), np.empty(0, np.float32)
        return self._cosines(_VectorPath(vector, *none), rows)

    def _near(
        self,
        query: Query,
        vector: QueryVector | None,
        selection: Selection | None,
        watch: StageTimer,
    ) -> RegionPath | None:
        """Return the images whose objects are nearest to a query that regions tell of."""
        if vector is None or not asks_regions(query) or not self._has_regions():
            return None
        with watch.stage("regions"):
            hits = self._stores.regions.search(
                vector.vector[None, :], k=_depth(query), selection=selection,
                query_kind=vector.kind,
            )  # fmt: skip
        is_shown = hits.rows < self._stores.visible_rows
        rows, first = np.unique(hits.rows[is_shown], return_index=True)  # the best comes first
        return RegionPath(rows, hits.numbers[is_shown][first], hits.scores[is_shown][first])

    def _has_regions(self) -> bool:
        """Tell whether there is anything to find; a cluster's store is not asked for its count."""
        return not self._stores.is_dense or self._stores.regions.length > 0

    def _words(
        self, query: Query, depth: int, selection: Selection | None, watch: StageTimer
    ) -> tuple[RowArray, NDArray[np.float32]] | None:
        if not query.match:
            return None
        with watch.stage("bm25"):
            hits = self._stores.texts.search(query.match, k=depth, selection=selection)
        rows, scores = hits.rows[0], hits.scores[0]
        is_hit = (rows != NO_ROW) & (rows < self._stores.visible_rows)
        return rows[is_hit], scores[is_hit]

    def _vectors(
        self,
        query: Query,
        pixels: list[Pixels | None],
        depth: int,
        selection: Selection | None,
        watch: StageTimer,
    ) -> _VectorPath:
        """Encode the query, and search the pictures and, where they tell something, the regions."""
        vector = None
        if query.texts or query.images or query.more or query.less:
            with watch.stage("encode"):
                vector = self.encode(query, pixels)
        if vector is None:
            return _VectorPath(None, np.empty(0, np.int64), np.empty(0, np.float32))
        with watch.stage("ann"):
            hits = self._stores.vectors.search(
                vector.vector[None, :], k=depth, selection=selection, query_kind=vector.kind
            )
        is_hit = hits.rows[0] != NO_ROW
        near, degraded = None, ()
        try:
            near = self._near(query, vector, selection, watch)
        except StoreError as error:  # the pictures found stand without it
            degraded = (f"regions: {error.code}: {error.message}",)
        return _VectorPath(vector, hits.rows[0][is_hit], hits.scores[0][is_hit], near, degraded)

    def _complete(
        self,
        query: Query,
        found: _VectorPath | None,
        matched: tuple[RowArray, NDArray[np.float32]] | None,
        gathered: Gathered,
        deadline: float,
        wanted: Collection[str],
    ) -> None:
        """Unite the rows; give each vector-only row its BM25 and each BM25-only row its cosine.

        A feature that cannot be completed in time is left out, and named as degraded.
        """
        near = found.near if found is not None else None
        none = np.empty(0, dtype=np.int64)
        vector_rows = found.rows if found is not None else none
        word_rows = matched[0] if matched is not None else none
        must_match = _must_match(query)
        rows = word_rows if must_match else np.union1d(vector_rows, word_rows)
        if near is not None and not must_match:
            rows = np.union1d(rows, near.rows)
        gathered.rows = rows
        # The two completions ask different stores, so each waits beside the other.
        waiting: dict[str, tuple[Future[NDArray[np.float32]], str]] = {}
        fields = [name for name in FIELD_OF.values() if name in wanted]
        parts = None
        if matched is not None and fields and len(word_rows):
            score_fields = self._stores.texts.score_fields
            parts = self._threads.submit(score_fields, query.match, word_rows, fields)
        if matched is not None:
            scores = self._threads.submit(self._scores, query, rows, word_rows, matched[1])
            waiting["bm25"] = scores, "text"
        if found is not None and found.vector is not None and rows.shape[0]:
            waiting["cosine"] = self._threads.submit(self._cosines, found, rows), "vector"
        deadline = max(deadline, time.monotonic() + LEAST_COMPLETION_S)
        for name, (future, path) in waiting.items():
            values = _wait(future, deadline, path, gathered.degraded)
            if values is not None:
                gathered.features[name] = values
        if rows.shape[0] and not gathered.features:
            gathered.features = _own_scores(rows, found, matched)
        by_field = _wait(parts, deadline, "text", gathered.degraded) if parts else None
        if by_field is not None:
            gathered.features |= _by_field(rows, word_rows, fields, by_field)
        if rows.shape[0] and RECENCY in wanted and self._stores.is_dense:
            gathered.features[RECENCY] = _recency(rows)
        if near is not None and rows.shape[0]:
            gathered.features["region"] = near.feature(rows)
            gathered.regions = near.numbers_of()

    def vectors_of(self, rows: RowArray) -> FloatMatrix:
        """Return the `(n, dim)` vectors of rows; NaN for one just added or removed."""
        store = self._stores.vectors
        try:
            return store.fetch(rows)
        except BackendError:
            raise
        except StoreError:  # some are not there: find out which, which costs another round
            vectors = np.full((len(rows), store.dim), np.nan, dtype=np.float32)
            is_there = store.has(rows)
            vectors[is_there] = store.fetch(rows[is_there])
            return vectors

    def _scores(
        self, query: Query, rows: RowArray, known: RowArray, scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the `(n,)` BM25 of rows: those the search gave, and the others' asked for."""
        bm25 = np.zeros(rows.shape[0], dtype=np.float32)
        order = np.argsort(rows)
        bm25[order[np.searchsorted(rows[order], known)]] = scores
        missing = ~np.isin(rows, known, assume_unique=True)
        if missing.any():
            bm25[missing] = self._stores.texts.score(query.match, rows[missing]).reshape(-1)
        return bm25

    def _cosines(self, found: _VectorPath, rows: RowArray) -> NDArray[np.float32]:
        """Return the `(n,)` cosines of rows: those the search gave, and the others' computed.

        A row whose vector cannot be had, since it was only just added or removed, gets NaN.
        """
        assert found.vector is not None
        order = np.argsort(found.rows)
        found_rows, found_scores = found.rows[order], found.scores[order]
        cosines = np.full(rows.shape, np.nan, dtype=np.float32)
        at = np.minimum(np.searchsorted(found_rows, rows), max(0, len(found_rows) - 1))
        is_found = found_rows[at] == rows if len(found_rows) else np.zeros(rows.shape, np.bool_)
        cosines[is_found] = found_scores[at[is_found]]
        missing = np.flatnonzero(~is_found)
        if missing.size:
            cosines[missing] = self.vectors_of(rows[missing]) @ found.vector.vector
        return cosines


def _must_match(query: Query) -> bool:
    """Tell whether only images that the words find are answers."""
    return bool(query.match.phrases or query.match.ocr_phrases)


def _depth(query: Query) -> int:
    """Return how many candidates each path gives."""
    return min(MOST_CANDIDATES, max(LEAST_CANDIDATES, OVERFETCH * query.k))


def _by_field(
    rows: RowArray, word_rows: RowArray, fields: Sequence[str], scores: FloatMatrix
) -> dict[str, NDArray[np.float32]]:
    """Return the `(w, f)` scores of the rows that words matched for `(n,)` rows, 0 for others."""
    table = np.zeros((len(rows), len(fields)), dtype=np.float32)
    order = np.argsort(rows)
    table[order[np.searchsorted(rows[order], word_rows)]] = scores
    return {name: table[:, place] for place, name in enumerate(fields)}


def _recency(rows: RowArray) -> NDArray[np.float32]:
    """Return how late each of `(n,)` rows was added, from 0 to 1; rows grow in a folder alone."""
    oldest, newest = int(rows.min()), int(rows.max())
    return ((rows - oldest) / max(1, newest - oldest)).astype(np.float32)


def _own_scores(
    rows: RowArray,
    found: _VectorPath | None,
    matched: tuple[RowArray, NDArray[np.float32]] | None,
) -> dict[str, NDArray[np.float32]]:
    """Return the scores that the paths gave themselves, where nothing could be completed."""
    features: dict[str, NDArray[np.float32]] = {}
    given = {
        "bm25": matched,
        "cosine": (found.rows, found.scores) if found is not None else None,
    }
    for name, path in given.items():
        if path is not None and len(path[0]):
            by_row = dict(zip(path[0].tolist(), path[1].tolist(), strict=True))
            values = [by_row.get(row, np.nan) for row in rows.tolist()]
            features[name] = np.asarray(values, dtype=np.float32)
    return features


def _wait(future: Future[Answer], deadline: float, path: str, degraded: list[str]) -> Answer | None:
    """Return a path's answer; when it fails or is late, say so and return None."""
    try:
        return future.result(timeout=max(0.0, deadline - time.monotonic()))
    except FutureTimeout:
        future.cancel()
        degraded.append(f"{path}: late")
    except LookalikeError as error:
        if error.http_status < SERVER_FAULT:  # the query's own fault
            raise
        degraded.append(f"{path}: {error.code}: {error.message}")
    return None
