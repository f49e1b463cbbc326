"""The embedded vector index: an exact tail and sealed segments over a memory-mapped matrix.

    spaces/<name>/matrix.f16              every vector, row = position: the durable copy
    spaces/<name>/segments/manifest.json  which segments count, and how they are searched
    spaces/<name>/segments/*.faiss        codes of ranges of rows, derived from the matrix

One writer appends; readers in any process see what the catalog has committed. A search
works on a snapshot, so that it never waits for an append, a seal or a refresh.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np

from lookalike.adapters.vectors_allowed import AllowedCache, grown
from lookalike.adapters.vectors_engines import build_segment, tune_segment
from lookalike.adapters.vectors_erase import disk_bytes
from lookalike.adapters.vectors_exact import ExactScanner, empty_hits
from lookalike.adapters.vectors_graph import GraphIndex
from lookalike.adapters.vectors_input import checked_queries, checked_vectors
from lookalike.adapters.vectors_matrix import MATRIX_FILE, MatrixWriter, map_matrix, zero_rows
from lookalike.adapters.vectors_search import (
    Snapshot,
    SnapshotSearch,
    VectorRequest,
    selected_mask,
)
from lookalike.adapters.vectors_segments import Manifest, Segment, SegmentFolder, plan_seal
from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.domain.errors import StoreError, UsageError
from lookalike.domain.hits import RowHits, Selection
from lookalike.ports.vectors import VectorStats

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lookalike.adapters.vectors_segments import SegmentIndex
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
    from lookalike.domain.filter_terms import FilterTerms

_SEGMENTS: Final = "segments"
_FARTHEST: Final = 1 << 24
"""A reader remembers removals this far beyond what it shows, for the next refresh."""


class FaissVectorIndex:
    """`VectorIndex` in one folder; see the port for its promises."""

    def __init__(
        self, folder: Path, *, dim: int, writer: MatrixWriter | None, settings: VectorSettings
    ) -> None:
        """Use `open`, which also shows the committed rows."""
        self._path = folder / MATRIX_FILE
        self._dim = dim
        self._writer = writer
        self._settings = settings
        self._segments = SegmentFolder(folder / _SEGMENTS, dim)
        self._scanner = ExactScanner(settings.import_rows, settings.threads)
        self._allowed = AllowedCache()
        self._lock = threading.RLock()
        self._sealing = threading.Lock()
        self._removed = np.zeros(0, np.bool_)
        self._holes = np.zeros(0, np.bool_)
        self._signature = (-1, -1)
        self._rewrites = 0
        self._is_closed = False
        self._view = Snapshot(np.zeros((0, dim), np.float16), Manifest(), None)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        dim: int,
        rows: int,
        removed: RowArray,
        is_writer: bool,
        settings: VectorSettings,
    ) -> Self:
        """Open or create the index in a folder and show the `rows` that the catalog committed.

        A writer cuts a longer matrix back to `rows` and deletes leftover files; a reader
        writes nothing. Raises `IndexCorruptError` when the matrix is shorter than `rows`.
        """
        writer = MatrixWriter(folder / MATRIX_FILE, dim=dim, rows=rows) if is_writer else None
        index = cls(folder, dim=dim, writer=writer, settings=settings)
        try:
            index.refresh(rows)
            index.remove(removed)
            if is_writer:
                index._segments.sweep(index._view.manifest)
        except StoreError:
            index.close()
            raise
        return index

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    def __len__(self) -> int:
        """Return how many rows can be found; reads new rows once to tell holes from vectors."""
        hidden = self._with_holes().hidden
        view = self._view
        return view.rows - (0 if hidden is None else int(np.count_nonzero(hidden)))

    def add(
        self, rows: RowArray, vectors: FloatMatrix, terms: Sequence[FilterTerms] | None = None
    ) -> None:
        """Append `(n, dim)` unit vectors at their rows; shown by `refresh`, kept by `flush`."""
        del terms  # filters come as masks
        writer = self._writable()
        rows, vectors = checked_vectors(rows, vectors, self._dim)
        with self._lock:
            self._check_open()
            is_known = rows < self._view.rows
            if is_known.any():
                is_changed = is_known.copy()
                before = self._view.matrix[rows[is_known]]
                is_changed[is_known] = (before != vectors[is_known].astype(np.float16)).any(axis=1)
                self._unseal(rows[is_changed])
                rows, vectors = rows[~is_known | is_changed], vectors[~is_known | is_changed]
            if len(rows):
                writer.write(rows, vectors)

    def update(self, rows: RowArray, terms: Sequence[FilterTerms]) -> None:
        """Do nothing: filters come as masks."""

    def has(self, rows: RowArray) -> BoolMask:
        """Tell for each of `(n,)` rows whether it can be found."""
        rows, view = np.asarray(rows, np.int64), self._view
        is_there = (rows >= 0) & (rows < view.rows)
        if view.hidden is not None:
            is_there[is_there] = ~grown(view.hidden, view.rows)[rows[is_there]]
        is_there[is_there] = view.matrix[rows[is_there]].any(axis=1)
        return is_there

    def remove(self, rows: RowArray) -> None:
        """Hide rows from every search at once."""
        rows = np.asarray(rows, np.int64)
        rows = rows[rows >= 0]
        with self._lock:
            if self._writer is not None:
                rows = rows[rows < self._writer.rows]
            rows = rows[rows < self._view.rows + _FARTHEST]
            if not len(rows):
                return
            removed = grown(self._removed, int(rows.max()) + 1)
            removed[rows] = True
            self._removed = removed
            self._view = self._shown(self._view)

    def flush(self) -> None:
        """Make every added vector durable."""
        self._writable().sync()

    def refresh(self, rows: int) -> None:
        """Show every row below `rows` and the segments that are sealed now."""
        with self._lock:
            self._check_open()
            view = self._view
            signature = self._segments.signature()
            if rows == view.rows and signature == self._signature:
                return
            matrix, scattered = view.matrix, view.scattered
            if rows != view.rows:
                matrix = map_matrix(self._path, dim=self._dim, rows=rows)
                scattered = map_matrix(self._path, dim=self._dim, rows=rows, is_scattered=True)
            manifest = view.manifest
            if signature != self._signature:
                manifest = self._segments.read()
                self._signature = signature
            if manifest.within(rows) != manifest:
                # Another process sealed rows that are not shown here yet: look again next time.
                self._signature = (-1, -1)
                manifest = (view.manifest if self._writer is None else manifest).within(rows)
            self._segments.forget(manifest)
            self._view = self._shown(Snapshot(matrix, manifest, None, scattered))

    def search(
        self,
        queries: FloatMatrix,
        *,
        k: int,
        selection: Selection | None = None,
        query_kind: Literal["image", "text"] = "image",
    ) -> RowHits:
        """Return the best k rows for each of the `(n, dim)` queries, with exact cosines."""
        request = VectorRequest(
            checked_queries(queries, self._dim), k, selected_mask(selection), query_kind
        )
        if k < 0:
            raise UsageError(f"k is {k}", hint="ask for one hit or more")
        self._check_open()
        if k == 0 or len(request.queries) == 0:
            return empty_hits(len(request.queries), k)
        view, codes = self._ready()
        hits = self._searcher(view, codes).search(request)
        if view.has_hole(hits):
            hits = self._searcher(self._with_holes(), codes).search(request)
        return hits

    def _searcher(self, view: Snapshot, codes: dict[str, SegmentIndex]) -> SnapshotSearch:
        return SnapshotSearch(view, codes, self._scanner, self._settings, self._allowed)

    def fetch(self, rows: RowArray) -> FloatMatrix:
        """Return the `(n, dim)` vectors of the rows; an unknown row raises `StoreError`."""
        rows = np.asarray(rows, np.int64)
        matrix = self._view.matrix
        unknown = rows[(rows < 0) | (rows >= len(matrix))]
        if len(unknown):
            raise StoreError(f"row {unknown[0]} is not in the vector index", hint="run doctor")
        return matrix[rows].astype(np.float32)

    def stats(self) -> VectorStats:
        """Return sizes and the recall measured when the segments were sealed."""
        view = self._view
        segments = view.manifest.segments
        hidden = view.hidden
        return VectorStats(
            kind=view.manifest.kind,
            dim=self._dim,
            rows=view.rows,
            removed=0 if hidden is None else int(np.count_nonzero(hidden)),
            bytes=disk_bytes(self._path) + sum(segment.bytes for segment in segments),
            sealed_rows=sum(segment.rows for segment in segments),
            ann_recall_at_10=view.manifest.recalls(view.rows),
        )

    def optimize(self) -> None:
        """Seal every row into one segment, when there are enough of them, and tune it.

        With the engine that the settings name now: segments of another are replaced.
        """
        with self._sealing:
            view = self._with_holes()
            if self._settings.engine == "exact":
                self._switch(view.manifest, view.manifest.without(0, view.rows))
            elif view.rows > self._settings.exact_rows:
                self._seal(view, 0, view.rows)
            self._erase_removed(0, view.rows)

    def maybe_seal(self) -> bool:
        """Seal what is worth it now, as `plan_seal` and removals say; return whether it did.

        For the writer's background thread: searches, appends and refreshes go on meanwhile.
        """
        if self._writer is None or self._settings.engine == "exact":
            return False
        if not self._sealing.acquire(blocking=False):
            return False
        try:
            view, _ = self._ready()
            span = plan_seal(view.manifest, view.rows, self._settings) or view.worn()
            if span is None or not self._seal(self._with_holes(), *span):
                return False
            self._erase_removed(*span)
            return True
        finally:
            self._sealing.release()

    def calibrate(self, text_queries: FloatMatrix) -> None:
        """Keep `(n, dim)` vectors of real text queries and tune the segments with them."""
        self._writable()
        queries = checked_queries(text_queries, self._dim)
        with self._sealing:
            self._segments.save_text_queries(queries)
            view, codes = self._ready()
            tuned: list[Segment] = []
            for segment in view.manifest.segments:
                part = view.part(segment.begin, segment.end)
                found = codes[segment.file]
                tunings, costs = tune_segment(found, part, queries, self._settings)
                tuned.append(dataclasses.replace(segment, tunings=tunings, costs=costs))
            self._switch(view.manifest, Manifest(view.manifest.generation + 1, tuple(tuned)))

    def warm(self) -> None:
        """Pay for the import of Faiss and open the segments now, before the first search."""
        self._scanner.numpy_rows = 0
        self._ready()
        self.search(np.eye(1, self._dim, dtype=np.float32), k=1)

    def close(self) -> None:
        """Release files and maps; searches that run keep theirs until they end."""
        with self._lock:
            self._is_closed = True
            self._view = Snapshot(np.zeros((0, self._dim), np.float16), Manifest(), None)
            if self._writer is not None:
                self._writer.close()

    def _writable(self) -> MatrixWriter:
        if self._writer is None:
            raise StoreError("the index is open to read only", hint="open it as the writer")
        return self._writer

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("the vector index is closed", hint="open the index again")

    def _shown(self, view: Snapshot) -> Snapshot:
        """Return the snapshot with the hidden rows known now."""
        hidden = np.zeros(view.rows, np.bool_)
        for rows in (self._removed, self._holes):
            length = min(len(rows), view.rows)
            hidden[:length] |= rows[:length]
        return dataclasses.replace(view, hidden=hidden if hidden.any() else None)

    def _ready(self) -> tuple[Snapshot, dict[str, SegmentIndex]]:
        """Return the snapshot and its codes; a segment that cannot be opened is left out."""
        view = self._view
        opened = {s.file: self._segments.codes(s) for s in view.manifest.segments}
        codes = {name: found for name, found in opened.items() if found is not None}
        if len(codes) == len(opened):
            return view, codes
        with self._lock:
            view = self._view
            kept = tuple(s for s in view.manifest.segments if s.file in codes)
            manifest = Manifest(view.manifest.generation, kept)
            self._view = dataclasses.replace(view, manifest=manifest)
            return self._view, codes

    def _with_holes(self) -> Snapshot:
        """Return the snapshot with every hole below its rows found.

        Holes are looked for only when one may have been met: each row is read once, and
        known holes again, since they may have been filled.
        """
        while True:
            view, before = self._view, self._holes
            holes = grown(before, view.rows)
            again = np.flatnonzero(holes[: view.rows])
            holes[again] = ~view.matrix[again].any(axis=1)
            holes[len(before) + zero_rows(view.matrix[len(before) :])] = True
            removed = self._removed[: len(holes)]
            holes[: len(removed)] &= ~removed  # hidden anyway, and never filled again
            with self._lock:
                if self._holes is before:
                    self._holes = holes
                    self._view = self._shown(self._view)
                    return self._view

    def _unseal(self, rows: RowArray) -> None:
        """Drop segments whose rows change, durably before they change: they are scanned again."""
        if not len(rows):
            return
        self._rewrites += 1
        self._holes = self._holes[: int(rows.min())]
        manifest = self._view.manifest
        kept = manifest
        for segment in manifest.segments:
            if ((rows >= segment.begin) & (rows < segment.end)).any():
                kept = kept.without(segment.begin, segment.end)
        self._view = self._shown(dataclasses.replace(self._view, manifest=kept))
        if kept != manifest:
            self._segments.write(kept)
            self._signature = self._segments.signature()

    def _seal(self, view: Snapshot, begin: int, end: int) -> bool:
        """Build a segment over `[begin, end)` and switch to it; searches go on meanwhile."""
        self._writable()
        rewrites = self._rewrites
        part = view.part(begin, end)
        if not part.live.any():
            return False
        path = self._segments.path(f"{view.manifest.generation + 1:08d}-{begin}-{end}")
        replaced = [s for s in view.manifest.segments if s.begin < end and s.end > begin]
        parents = [codes for s in replaced if (codes := self._segments.codes(s)) is not None]
        codes = build_segment(part, self._settings, path, parents)
        tunings, costs = tune_segment(codes, part, self._segments.text_queries(), self._settings)
        hidden, size = int(np.count_nonzero(~part.live)), path.stat().st_size
        kind = "graph" if isinstance(codes, GraphIndex) else "cells"
        segment = Segment(path.name, begin, end, codes.cells, hidden, size, tunings, costs, kind)
        with self._lock:
            if rewrites != self._rewrites:
                self._segments.sweep(self._view.manifest)
                return False
            manifest = self._view.manifest
            self._switch(manifest, manifest.replaced_by(segment))
        return True

    def _erase_removed(self, begin: int, end: int) -> None:
        """Free what removed rows in `[begin, end)` take: no row is ever given out again."""
        due = self._view.manifest.erasable(self._removed)
        self._writable().erase(due[(due >= begin) & (due < end)])

    def _switch(self, before: Manifest, after: Manifest) -> None:
        with self._lock:
            self._check_open()
            if self._view.manifest != before or after.segments == before.segments:
                return
            self._segments.write(after)
            self._signature = self._segments.signature()
            self._view = dataclasses.replace(self._view, manifest=after)
