"""The vector index on Pinecone: one namespace of a serverless index.

It was run against a small server of the tests that follows the published API, never against the
live service.
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np

from lookalike.adapters.vectors_input import checked_queries, checked_vectors
from lookalike.adapters.vectors_pinecone_client import PineconeLink
from lookalike.adapters.vectors_pinecone_filter import metadata_of, query_filter_of
from lookalike.adapters.vectors_pinecone_options import MOST_HITS
from lookalike.adapters.vectors_ranking import (
    as_stored,
    best_of,
    exact_scores,
    is_cut_in_tie,
    stacked,
)
from lookalike.domain.errors import StoreError, UsageError
from lookalike.domain.filter_terms import clauses_of
from lookalike.domain.hits import RowHits, Selection
from lookalike.ports.vectors import VectorStats

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lookalike.adapters.vectors_pinecone_options import PineconeOptions
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
    from lookalike.domain.filter_terms import FilterTerms

_REQUEST_BYTES: Final = 1_800_000
_ANSWER_BYTES: Final = 3_000_000
"""Below the published 2 MB of a request and 4 MB of an answer."""

_NUMBER_BYTES: Final = 20
"""What a number of a vector takes in JSON at most."""

_IDS: Final = 100
_DELETED_IDS: Final = 1000
_SLACK: Final = 10
_RECENT_S: Final = 60.0
"""For so long this process remembers its own writes, which reads may not show yet."""


class PineconeVectorIndex:
    """`VectorIndex` on one Pinecone namespace; see the port for its promises.

    The service shows writes after a while. A search tells how far its data go; where that is
    short of this process's last write, it is asked again. Removals are hidden here until then.
    Others' writes are seen when the service shows them, mostly within seconds.
    """

    def __init__(self, link: PineconeLink, *, dim: int) -> None:
        """Use `open`, which also looks whether the index fits."""
        self._link = link
        self._dim = dim
        self._lock = threading.Lock()
        self._committed = 0
        self._added: dict[int, float] = {}
        self._removed: dict[int, float] = {}

    @classmethod
    def open(cls, options: PineconeOptions, *, dim: int) -> Self:
        """Open the namespace of an index that a provisioner made.

        Raises:
            BackendError: it cannot be reached, is missing, or has another shape.
        """
        link = PineconeLink(options)
        try:
            link.check_shape(dim)
        except StoreError:
            link.close()
            raise
        return cls(link, dim=dim)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    def __len__(self) -> int:
        """Return how many rows the service counts; it may lag behind writes."""
        stats = self._link.call("describe_index_stats")
        found = stats.namespaces.get(self._link.options.namespace)
        return 0 if found is None else int(found.vector_count)

    def add(
        self, rows: RowArray, vectors: FloatMatrix, terms: Sequence[FilterTerms] | None = None
    ) -> None:
        """Write `(n, dim)` unit vectors at their rows; durable when this returns."""
        if terms is not None and len(terms) != len(rows):
            raise StoreError("there are not as many terms as rows", hint="report a bug")
        given = np.asarray(rows, np.int64)
        rows, vectors = checked_vectors(rows, vectors, self._dim)
        last = {row: at for at, row in enumerate(given.tolist())}
        is_hole = ~vectors.any(axis=1)
        self.remove(rows[is_hole])
        rows, vectors = rows[~is_hole], as_stored(vectors[~is_hole])
        records = (
            {
                "id": str(row),
                "values": vector.tolist(),
                "metadata": metadata_of(None if terms is None else terms[last[row]]),
            }
            for row, vector in zip(rows.tolist(), vectors, strict=True)
        )
        calls = [
            self._named(vectors=batch, show_progress=False) for batch in self._batches(records)
        ]
        answers = self._link.call_each("upsert", calls) if calls else []
        with self._lock:
            for answer in answers:
                self._committed = max(self._committed, _lsn(answer, "lsn_committed") or 0)
            self._remember(self._added, self._removed, rows)

    def update(self, rows: RowArray, terms: Sequence[FilterTerms]) -> None:
        """Replace the terms of rows; unknown rows are passed over."""
        rows = np.asarray(rows, np.int64)
        is_known = self.has(rows)
        calls = [
            self._named(id=str(row), set_metadata=metadata_of(values))
            for row, values, known in zip(rows.tolist(), terms, is_known, strict=True)
            if known
        ]
        for answer in self._link.call_each("update", calls) if calls else []:
            with self._lock:
                self._committed = max(self._committed, _lsn(answer, "lsn_committed") or 0)

    def has(self, rows: RowArray) -> BoolMask:
        """Tell for each of `(n,)` rows whether it can be found, or will be once it is shown."""
        rows = np.asarray(rows, np.int64)
        known = self._fetched(rows)
        with self._lock:
            there = (set(known) | set(self._recent(self._added))) - set(self._recent(self._removed))
        return np.fromiter((row in there for row in rows.tolist()), np.bool_, len(rows))

    def remove(self, rows: RowArray) -> None:
        """Delete rows; this process finds them no more."""
        rows = np.unique(np.asarray(rows, np.int64))
        rows = rows[rows >= 0]
        calls = [
            self._named(ids=[str(row) for row in rows[begin : begin + _DELETED_IDS].tolist()])
            for begin in range(0, len(rows), _DELETED_IDS)
        ]
        if not calls:
            return
        with self._lock:
            self._remember(self._removed, self._added, rows)
        self._link.call_each("delete", calls)

    def flush(self) -> None:
        """Do nothing: what was written is in the service's log already."""

    def refresh(self, rows: int) -> None:
        """Do nothing: the service shows what others wrote by itself."""

    def search(
        self,
        queries: FloatMatrix,
        *,
        k: int,
        selection: Selection | None = None,
        query_kind: Literal["image", "text"] = "image",
    ) -> RowHits:
        """Return the best k rows for each of the `(n, dim)` queries, with exact cosines."""
        del query_kind  # there is nothing to spend more on
        queries = checked_queries(queries, self._dim)
        if k < 0:
            raise UsageError(f"k is {k}", hint="ask for one hit or more")
        if k == 0:
            return stacked([(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(queries), 0)
        filter_ = None
        if selection and selection.filter:
            filter_ = query_filter_of(clauses_of(selection.filter))
        with self._lock:
            hidden = frozenset(self._recent(self._removed))

        def best(query: FloatMatrix) -> tuple[RowArray, FloatMatrix]:
            return self._best(query, k, filter_, hidden)

        if len(queries) == 1:
            return stacked([best(queries[0])], k)
        # A request holds one query, so that several are under way at once.
        with ThreadPoolExecutor(self._link.options.threads) as threads:
            return stacked(list(threads.map(best, queries)), k)

    def fetch(self, rows: RowArray) -> FloatMatrix:
        """Return the `(n, dim)` vectors of the rows; an unknown row raises `StoreError`."""
        rows = np.asarray(rows, np.int64)
        deadline = time.monotonic() + self._link.options.wait_s
        while True:
            known = self._fetched(rows)
            with self._lock:
                added, removed = set(self._recent(self._added)), set(self._recent(self._removed))
            missing = [row for row in rows.tolist() if row not in known or row in removed]
            if not missing:
                break
            if not set(missing) <= added or time.monotonic() >= deadline:
                raise StoreError(
                    f"row {missing[0]} is not in the vector index", hint="lookalike doctor --repair"
                )
            time.sleep(0.1)
        return np.asarray([known[row] for row in rows.tolist()], np.float32).reshape(-1, self._dim)

    def stats(self) -> VectorStats:
        """Return what the service counts; how it indexes is its own affair."""
        rows = len(self)
        return VectorStats(
            kind="pinecone",
            dim=self._dim,
            rows=rows,
            removed=0,
            bytes=rows * self._dim * 4,
            sealed_rows=rows,
        )

    def maybe_seal(self) -> bool:
        """Do nothing: the service indexes by itself."""
        return False

    def calibrate(self, text_queries: FloatMatrix) -> None:
        """Do nothing: there is nothing to tune."""

    def warm(self) -> None:
        """Have one search made, so that the first real one does not pay for the connection."""
        self.search(np.eye(1, self._dim, dtype=np.float32), k=1)

    def optimize(self) -> None:
        """Do nothing: the service tends itself."""

    def close(self) -> None:
        """Let the connections go."""
        self._link.close()

    def _best(
        self, query: FloatMatrix, k: int, filter_: dict[str, Any] | None, hidden: frozenset[int]
    ) -> tuple[RowArray, FloatMatrix]:
        limit = min(MOST_HITS, k + len(hidden) + max(_SLACK, k // 10))
        while True:
            rows, scores = self._candidates(query, limit, filter_)
            is_shown = np.fromiter(
                (row not in hidden for row in rows.tolist()), np.bool_, len(rows)
            )
            is_cut = len(rows) >= limit and is_cut_in_tie(scores[is_shown], k)
            if not is_cut or limit == MOST_HITS:
                return best_of(rows[is_shown], scores[is_shown], k)
            limit = min(MOST_HITS, limit * 4)

    def _candidates(
        self, query: FloatMatrix, limit: int, filter_: dict[str, Any] | None
    ) -> tuple[RowArray, FloatMatrix]:
        """Return rows and exact scores in the service's order."""
        is_small = limit <= 1000 and limit * self._dim * _NUMBER_BYTES <= _ANSWER_BYTES
        named = self._named(top_k=limit, vector=query.tolist(), include_values=is_small)
        if filter_ is not None:
            named["filter"] = filter_
        deadline = time.monotonic() + self._link.options.wait_s
        while True:
            answer = self._link.call("query", **named)
            shown = _lsn(answer, "lsn_reconciled")
            if shown is None or shown >= self._committed or time.monotonic() >= deadline:
                break
            time.sleep(0.05)
        rows = np.asarray([int(match.id) for match in answer.matches], np.int64)
        if is_small:
            vectors = {int(match.id): match.values for match in answer.matches}
        else:
            vectors = self._fetched(rows)  # a row may be deleted between the two calls
            rows = rows[[row in vectors for row in rows.tolist()]] if len(rows) else rows
        if not len(rows):
            return rows, np.zeros(0, np.float32)
        matrix = np.asarray([vectors[row] for row in rows.tolist()], np.float32)
        return rows, exact_scores(matrix, query)

    def _fetched(self, rows: RowArray) -> dict[int, Sequence[float]]:
        """Return the vectors of the rows that the service shows."""
        wanted = [str(row) for row in np.unique(rows[rows >= 0]).tolist()]
        calls = [
            self._named(ids=wanted[begin : begin + _IDS]) for begin in range(0, len(wanted), _IDS)
        ]
        answers = self._link.call_each("fetch", calls) if calls else []
        return {
            int(name): record.values
            for answer in answers
            for name, record in answer.vectors.items()
        }

    def _batches(self, records: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
        """Cut records into requests of bounded numbers and bytes."""
        batch: list[dict[str, Any]] = []
        left = _REQUEST_BYTES
        for record in records:
            metadata = len(json.dumps(record["metadata"], ensure_ascii=False).encode())
            size = metadata + self._dim * _NUMBER_BYTES + 64
            if batch and (size > left or len(batch) == self._link.options.batch_rows):
                yield batch
                batch, left = [], _REQUEST_BYTES
            batch.append(record)
            left -= size
        if batch:
            yield batch

    def _named(self, **named: Any) -> dict[str, Any]:
        return {"namespace": self._link.options.namespace, **named}

    def _recent(self, seen: dict[int, float]) -> list[int]:
        since = time.monotonic() - _RECENT_S
        return [row for row, when in seen.items() if when >= since]

    def _remember(self, seen: dict[int, float], gone: dict[int, float], rows: RowArray) -> None:
        """Note rows as written now, and forget what is old; the lock is held."""
        now = time.monotonic()
        kept = {row: seen[row] for row in self._recent(seen)}
        seen.clear()
        seen.update(kept)
        for row in rows.tolist():
            seen[row] = now
            gone.pop(row, None)


def _lsn(answer: object, name: str) -> int | None:
    """Return a log position that an answer's headers tell, if they do."""
    found = getattr(getattr(answer, "response_info", None), name, None)
    return None if found is None else int(found)
