"""The vector index on Milvus: one collection, its server's index, exact scores and order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np

from lookalike.adapters.vectors_input import checked_queries, checked_vectors
from lookalike.adapters.vectors_milvus_client import MilvusLink
from lookalike.adapters.vectors_milvus_filter import described
from lookalike.adapters.vectors_milvus_schema import (
    ROW,
    VECTOR,
    check_collection,
    check_version,
    indexed_rows,
    is_loaded,
    load_collection,
    read_index,
    unindexed_rows,
)
from lookalike.adapters.vectors_milvus_search import MilvusSearch, read_entities
from lookalike.adapters.vectors_ranking import as_stored, overlap_at_10, stacked
from lookalike.domain.errors import BackendTimeoutError, StoreError, UsageError
from lookalike.domain.filter_terms import clauses_of
from lookalike.domain.hits import RowHits, Selection
from lookalike.ports.vectors import VectorStats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.adapters.vectors_milvus_options import MilvusOptions
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
    from lookalike.domain.filter_terms import FilterTerms

_WRITE_BYTES: Final = 4 << 20
_WRITE_ROWS: Final = 1000
_POLL_S: Final = 0.5
_SAMPLE: Final = 100


class MilvusVectorIndex:
    """`VectorIndex` on one Milvus collection; see the port for its promises.

    What `add` returned from is in the server's log: `flush` has nothing to do, and sealing and
    indexing are the server's own work. A process sees its own writes at once, those of others
    as soon as `consistency` says.
    """

    def __init__(self, link: MilvusLink, search: MilvusSearch, *, dim: int, kind: str) -> None:
        """Use `open`, which also looks whether the collection fits."""
        self._link = link
        self._dim = dim
        self._kind = kind
        self._search = search
        self._recalls: dict[str, float] = {}
        self._text_queries: FloatMatrix | None = None

    @classmethod
    def open(cls, options: MilvusOptions, *, dim: int) -> Self:
        """Open the collection that a provisioner made, with all that was acknowledged before.

        Raises:
            BackendError: it cannot be reached, is missing, or is not ours.
        """
        link = MilvusLink(options)
        try:
            check_version(link)
            check_collection(link, dim)
            index = read_index(link)
            if not is_loaded(link):
                load_collection(link)
            search = MilvusSearch(link, index, dim=dim)
            search.count("", level="Strong")
        except StoreError:
            link.close()
            raise
        return cls(link, search, dim=dim, kind=f"milvus {index.kind.lower()}")

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    @property
    def widened(self) -> int:
        """How many searches had to be asked again with more cells or more candidates."""
        return self._search.widened

    def __len__(self) -> int:
        """Return how many rows can be found."""
        return self._search.count("")

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
        self._write(
            rows, vectors, [None if terms is None else terms[last[row]] for row in rows.tolist()]
        )

    def update(self, rows: RowArray, terms: Sequence[FilterTerms]) -> None:
        """Replace the terms of rows; unknown rows are passed over.

        Milvus replaces whole entities, so the vectors are read and written again.
        """
        by_row = dict(zip(np.asarray(rows, np.int64).tolist(), terms, strict=True))
        known = self._read(np.asarray(sorted(by_row), np.int64))
        found = sorted(known)
        vectors = np.asarray([known[row] for row in found], np.float32).reshape(-1, self._dim)
        self._write(np.asarray(found, np.int64), vectors, [by_row[row] for row in found])

    def has(self, rows: RowArray) -> BoolMask:
        """Tell for each of `(n,)` rows whether it can be found."""
        rows = np.asarray(rows, np.int64)
        known = read_entities(self._link, np.unique(rows[rows >= 0]), fields=[], step=10_000)
        return np.fromiter((row in known for row in rows.tolist()), np.bool_, len(rows))

    def remove(self, rows: RowArray) -> None:
        """Delete rows; this process's next search does not find them."""
        rows = np.unique(np.asarray(rows, np.int64))
        rows = rows[rows >= 0]
        for begin in range(0, len(rows), _WRITE_ROWS):
            part = rows[begin : begin + _WRITE_ROWS].tolist()
            self._link.write("delete", ids=part)

    def flush(self) -> None:
        """Do nothing: what was written is in the server's log already."""

    def refresh(self, rows: int) -> None:
        """Do nothing: the server shows what others wrote by itself."""

    def search(
        self,
        queries: FloatMatrix,
        *,
        k: int,
        selection: Selection | None = None,
        query_kind: Literal["image", "text"] = "image",
    ) -> RowHits:
        """Return the best k rows for each of the `(n, dim)` queries, with exact cosines."""
        queries = checked_queries(queries, self._dim)
        if k < 0:
            raise UsageError(f"k is {k}", hint="ask for one hit or more")
        if k == 0 or not len(queries):
            return stacked([_NOTHING] * len(queries), k)
        options = self._link.options
        return self._search.search(
            queries,
            k=k,
            clauses=clauses_of(selection.filter) if selection and selection.filter else None,
            nprobe=options.text_nprobe if query_kind == "text" else options.nprobe,
        )

    def fetch(self, rows: RowArray) -> FloatMatrix:
        """Return the `(n, dim)` vectors of the rows; an unknown row raises `StoreError`."""
        rows = np.asarray(rows, np.int64)
        known = self._read(np.unique(rows))
        if missing := [row for row in np.unique(rows).tolist() if row not in known]:
            # Another process may have written them just now.
            known |= self._read(np.asarray(missing, np.int64), "Strong")
        unknown = [row for row in rows.tolist() if row not in known]
        if unknown:
            raise StoreError(
                f"row {unknown[0]} is not in the vector index", hint="lookalike doctor --repair"
            )
        return np.asarray([known[row] for row in rows.tolist()], np.float32).reshape(-1, self._dim)

    def stats(self) -> VectorStats:
        """Return what the server tells; `sealed_rows` are searched through a real index.

        `bytes` is what the vectors are as numbers. Removed rows are not counted: the server
        forgets them when it compacts.
        """
        rows = len(self)
        return VectorStats(
            kind=self._kind,
            dim=self._dim,
            rows=rows,
            removed=0,
            bytes=rows * self._dim * 4,
            sealed_rows=indexed_rows(self._link),
            ann_recall_at_10=dict(self._recalls),
        )

    def maybe_seal(self) -> bool:
        """Do nothing: the server seals and indexes by itself."""
        return False

    def calibrate(self, text_queries: FloatMatrix) -> None:
        """Measure the recall of `(n, dim)` real text queries."""
        self._text_queries = checked_queries(text_queries, self._dim)[:_SAMPLE]
        self._recalls["text"] = self._recall(self._text_queries, "text")

    def warm(self) -> None:
        """Have one search made, so that the first real one does not pay for the connection."""
        self.search(np.eye(1, self._dim, dtype=np.float32), k=1)

    def optimize(self) -> None:
        """Have the server seal and index every row, wait for that, and measure recall.

        Merging of small segments is asked for and not waited for: it may take minutes.

        Raises:
            BackendTimeoutError: it takes longer than `optimize_timeout_s`; it goes on.
        """
        options = self._link.options
        deadline = time.monotonic() + options.optimize_timeout_s
        self._link.call("flush", options.collection, timeout_s=options.optimize_timeout_s)
        self._wait_indexed(deadline)
        sample = self._link.read(
            "query", filter=f"{ROW} >= 0", limit=_SAMPLE, output_fields=[VECTOR]
        )
        vectors = np.asarray([one[VECTOR] for one in sample], np.float32).reshape(-1, self._dim)
        self._recalls["image"] = self._recall(vectors, "image")
        if self._text_queries is not None:
            self._recalls["text"] = self._recall(self._text_queries, "text")
        self._link.call("compact", options.collection)

    def close(self) -> None:
        """Let the connection go."""
        self._link.close()

    def _read(self, rows: RowArray, level: str = "") -> dict[int, list[float]]:
        found = read_entities(self._link, rows[rows >= 0], fields=[VECTOR], level=level)
        return {row: entity[VECTOR] for row, entity in found.items()}

    def _write(
        self, rows: RowArray, vectors: FloatMatrix, terms: Sequence[FilterTerms | None]
    ) -> None:
        step = max(1, min(_WRITE_ROWS, _WRITE_BYTES // (4 * self._dim)))
        for begin in range(0, len(rows), step):
            entities = [
                {ROW: row, VECTOR: vector, **described(values)}
                for row, vector, values in zip(
                    rows[begin : begin + step].tolist(),
                    vectors[begin : begin + step],
                    terms[begin : begin + step],
                    strict=True,
                )
            ]
            self._link.write("upsert", data=entities)

    def _recall(self, queries: FloatMatrix, kind: Literal["image", "text"]) -> float:
        """Return the overlap of the ten best with those of a search through every cell."""
        if not len(queries):
            return 1.0
        widest = self._search.search(queries, k=200, clauses=None, nprobe=1 << 14)
        return overlap_at_10(self.search(queries, k=10, query_kind=kind), widest)

    def _wait_indexed(self, deadline: float) -> None:
        while unindexed_rows(self._link):
            self._pause(deadline)

    def _pause(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise BackendTimeoutError(
                self._link.options.name,
                "it has not indexed every row yet",
                hint="searches are right meanwhile, only slower; raise optimize_timeout_s",
            )
        time.sleep(_POLL_S)


_NOTHING: Final = (np.zeros(0, np.int64), np.zeros(0, np.float32))
