"""The embedded region index: a vector index of its own, and a file that says whose each row is.

    spaces/<name>/regions/matrix.f16, segments/   as of `vectors_faiss`, a row for each region
    spaces/<name>/regions/owners.i64              the region code of each row, in the same order

Regions put anew are appended, and the older rows of their codes count no more; a code whose
region is gone is appended with an empty vector, which is never found. So both files only grow,
and the catalog's count of valid rows cuts them back alike.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np

from lookalike.adapters.regions_owners import OwnersFile, map_owners
from lookalike.adapters.vectors_faiss import FaissVectorIndex
from lookalike.domain.errors import StoreError
from lookalike.domain.hits import NO_ROW, Selection
from lookalike.domain.regions import NUMBER_BITS, region_code, split_codes
from lookalike.ports.regions import RegionHits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lookalike.adapters.vectors_settings import VectorSettings
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
    from lookalike.domain.filter_terms import FilterTerms
    from lookalike.ports.regions import ImageRegions

_OWNERS: Final = "owners.i64"


class FaissRegionIndex:
    """`RegionIndex` in one folder; see the port for its promises."""

    def __init__(self, vectors: FaissVectorIndex, folder: Path, owners: OwnersFile | None) -> None:
        """Use `open`, which also shows the committed regions."""
        self._vectors = vectors
        self._path = folder / _OWNERS
        self._owners = owners
        self._lock = threading.RLock()
        self._codes: RowArray = np.empty(0, np.int64)
        self._fresh: list[int] = []
        self._rising: RowArray = self._codes
        self._order: RowArray | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        dim: int,
        length: int,
        removed: RowArray,
        is_writer: bool,
        settings: VectorSettings,
    ) -> Self:
        """Open or create the index in a folder and show the `length` regions that are committed.

        `removed` are the rows of removed images. A reader of a folder that has no regions yet
        finds none.
        """
        none = np.empty(0, np.int64)
        owners = OwnersFile(folder / _OWNERS, length) if is_writer else None
        vectors = FaissVectorIndex.open(
            folder, dim=dim, rows=length, removed=none, is_writer=is_writer, settings=settings
        )
        index = cls(vectors, folder, owners)
        try:
            index.refresh(length)
            index.remove(removed)
        except StoreError:
            index.close()
            raise
        return index

    def __len__(self) -> int:
        """Return how many regions can be found."""
        return len(self._vectors)

    @property
    def length(self) -> int:
        """How many rows both files have, committed or not."""
        return len(self._codes) + len(self._fresh)

    def put(self, images: Sequence[ImageRegions], *, is_new: bool = False) -> None:
        """Append the regions of images, and empty ones for those that are gone."""
        owners = self._writable()
        codes: list[int] = []
        parts: list[FloatMatrix] = []
        with self._lock:
            for image in images:
                fresh = [region_code(image.row, number) for number in image.numbers]
                gone = [] if is_new else self._gone(image.row, fresh)
                codes += fresh + gone
                parts += [image.vectors, np.zeros((len(gone), self._vectors.dim), np.float32)]
            if not codes:
                return
            begin = self.length
            owners.write(begin, np.asarray(codes, np.int64))
            rows = np.arange(begin, begin + len(codes), dtype=np.int64)
            self._vectors.add(rows, np.concatenate(parts).astype(np.float32))
            self._fresh += codes

    def fetch(self, row: int, numbers: Sequence[int]) -> FloatMatrix:
        """Return the `(n, dim)` vectors of an image's regions."""
        places = self._places(np.asarray([row], np.int64))
        by_code = dict(zip(self._codes[places].tolist(), places.tolist(), strict=True))
        try:
            wanted = [by_code[region_code(row, number)] for number in numbers]
        except KeyError as error:
            raise StoreError(f"row {row} has no such region", hint="run doctor") from error
        vectors = self._vectors.fetch(np.asarray(wanted, np.int64))
        if len(vectors) and not vectors.any(axis=1).all():
            raise StoreError(f"row {row} has no such region", hint="run doctor")
        return vectors

    def has(self, rows: RowArray) -> BoolMask:
        """Tell for each of `(n,)` image rows whether any region of it can be found."""
        rows = np.asarray(rows, np.int64)
        places = self._places(np.unique(rows))
        places = places[self._vectors.has(places)]
        return np.isin(rows, self._codes[places] >> NUMBER_BITS)

    def remove(self, rows: RowArray) -> None:
        """Hide the regions of images at once."""
        with self._lock:
            self._vectors.remove(self._places(np.asarray(rows, np.int64)))

    def update(self, rows: RowArray, terms: Sequence[FilterTerms]) -> None:
        """Do nothing: filters come as masks."""

    def flush(self) -> None:
        """Make every region durable."""
        self._writable().sync()
        self._vectors.flush()

    def refresh(self, length: int) -> None:
        """Show what the catalog has committed; older rows of the same codes are hidden."""
        with self._lock:
            before = len(self._codes)
            self._vectors.refresh(length)
            if length == before:
                return
            codes = map_owners(self._path, length)
            if length < before:  # the folder was replaced by an older one
                before, self._order, self._fresh = 0, None, []
            if self._order is None and bool((np.diff(codes[max(before - 1, 0) :]) > 0).all()):
                self._rising = codes
            else:
                self._sort_in(codes, before)
            self._codes, self._fresh = codes, self._fresh[length - before :]

    def search(
        self,
        query: FloatMatrix,
        *,
        k: int,
        selection: Selection | None = None,
        query_kind: Literal["image", "text"] = "image",
    ) -> RegionHits:
        """Return the best k regions for a `(1, dim)` query."""
        codes = self._codes
        hits = self._vectors.search(
            query, k=k, selection=_selected(selection, codes), query_kind=query_kind
        )
        rows, scores = hits.rows[0], hits.scores[0]
        is_hit = (rows != NO_ROW) & (rows < len(codes))
        images, numbers = split_codes(codes[rows[is_hit]])
        return RegionHits(images, numbers, scores[is_hit])

    def maybe_seal(self) -> bool:
        """Seal what was added when enough has come."""
        return self._vectors.maybe_seal()

    def optimize(self) -> None:
        """Seal, merge and tune in the foreground."""
        self._vectors.optimize()

    def close(self) -> None:
        """Release files and maps."""
        self._vectors.close()
        if self._owners is not None:
            self._owners.close()

    def _writable(self) -> OwnersFile:
        if self._owners is None:
            raise StoreError("the index is open to read only", hint="open it as the writer")
        return self._owners

    def _gone(self, row: int, fresh: Sequence[int]) -> list[int]:
        """Return the codes that were put of an image and are not among the fresh ones."""
        shown = self._codes[self._places(np.asarray([row], np.int64))].tolist()
        waiting = [code for code in self._fresh if code >> NUMBER_BITS == row]
        return sorted({*shown, *waiting} - set(fresh))

    def _places(self, rows: RowArray) -> RowArray:
        """Return the places of every region of some images, replaced ones too."""
        first = np.searchsorted(self._rising, rows << NUMBER_BITS, side="left")
        last = np.searchsorted(self._rising, (rows + 1) << NUMBER_BITS, side="left")
        places = _spans(first, last)
        return places if self._order is None else self._order[places]

    def _sort_in(self, codes: RowArray, before: int) -> None:
        """Sort the codes from a place on in among the others, and hide the rows they replace."""
        if self._order is None:  # until now they rose by themselves
            self._rising, self._order = codes[:before], np.arange(before, dtype=np.int64)
        fresh = before + np.argsort(codes[before:], kind="stable")
        sorted_codes = codes[fresh]
        first = np.searchsorted(self._rising, sorted_codes, side="left")
        last = np.searchsorted(self._rising, sorted_codes, side="right")
        replaced = self._order[_spans(first, last)]
        again = fresh[:-1][sorted_codes[:-1] == sorted_codes[1:]]
        self._order = np.insert(self._order, last, fresh)
        self._rising = np.insert(self._rising, last, sorted_codes)
        self._vectors.remove(np.concatenate([replaced, again]))


def _spans(first: RowArray, last: RowArray) -> RowArray:
    """Return every place in the `[first, last)` spans, one after the other."""
    counts = last - first
    within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(first, counts) + within


def _selected(selection: Selection | None, codes: RowArray) -> Selection | None:
    """Return the selection of images as one of regions."""
    if selection is None or selection.mask is None:
        return selection
    images = codes >> NUMBER_BITS
    mask: BoolMask = np.zeros(len(codes), np.bool_)
    is_known = images < len(selection.mask)
    mask[is_known] = selection.mask[images[is_known]]
    return Selection(selection.filter, mask)
