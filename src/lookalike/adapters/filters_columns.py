"""Filters over memory-mapped columns and Roaring bitmaps.

Fields of the picture and dates stand in columns, durable before the catalog's commit. Sites,
licences, counts of objects and what is removed stand in bitmaps that are rebuilt from the
catalog's log, as far as the saved file does not hold them. Columns that a later source or a new
reading changes are written in place by the writer (an aligned value, replayed from the log after
a crash) and laid over in a reader, which may have seen the commit first.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from pyroaring import BitMap

from lookalike.adapters.filters_bitmaps import Term, count_of, load_bitmaps, terms_of
from lookalike.adapters.filters_files import (
    ANIMATED,
    COLOR_BITS,
    DTYPES,
    KIND_BITS,
    KIND_NUMBERS,
    TRANSPARENT,
    ColumnFiles,
    file_errors,
    fixed_values,
)
from lookalike.domain.errors import StoreError
from lookalike.domain.filters import (
    ASPECTS,
    PANORAMA_RATIO,
    SIZE_PIXELS,
    SIZES,
    SQUARE_RATIOS,
    Between,
    Filter,
    OneOf,
)
from lookalike.domain.hits import Selection
from lookalike.domain.licences import licence_matches
from lookalike.domain.shades import is_shade, shades_near
from lookalike.ports.filters import Listing, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.domain.arrays import BoolMask, RowArray
    from lookalike.domain.filters import Condition, HasObject
    from lookalike.domain.images import ImageRecord

    _Maps: TypeAlias = Mapping[str, NDArray[Any]]
    _MaskOf: TypeAlias = Callable[[_Maps, str], BoolMask]

CACHE_BYTES: Final = 64 * 1024 * 1024
"""Selections kept are bounded in memory: a mask takes a byte a row."""

_REMOVED: Final[Term] = ("set", "removed", 0)
_DESCRIBED: Final[Term] = ("set", "described", 0)
_DERIVED_KINDS: Final = ("site", "licence", "label", "shade", "count")


class ColumnsFilterIndex:
    """`ports.filters.FilterIndex` in one folder."""

    def __init__(self, folder: Path, files: ColumnFiles) -> None:
        self._path = folder / "bitmaps"
        self._files = files
        self._bitmaps, self._seq = load_bitmaps(self._path)
        self._laid_over: dict[str, dict[int, float]] = {name: {} for name in DTYPES}
        self._lock = threading.RLock()
        self._cache: OrderedDict[Filter, Selection] = OrderedDict()
        self._live: BoolMask | None = None
        self._merged: _Maps | None = None

    @classmethod
    def open(cls, folder: Path, *, rows: int, is_writer: bool) -> ColumnsFilterIndex:
        """Open the columns in a folder and show `rows` rows; a writer cuts away the rest."""
        return cls(folder, ColumnFiles(folder, rows=rows, is_writer=is_writer))

    def append(self, records: Sequence[ImageRecord]) -> None:
        """Write the fields of new images at their rows; durable after `flush`."""
        self._demand_writer()
        ordered = sorted({record.row: record for record in records}.values(), key=lambda r: r.row)
        if not ordered:
            return
        rows = _rows_of(ordered)
        with self._lock:
            for name, values in fixed_values(ordered).items():
                self._files.write(name, rows, values)
            self._bitmaps.drop(_REMOVED, BitMap(row for row in rows if row >= self._files.rows))
            self._describe(ordered)
            self._changed()

    def update(self, records: Sequence[ImageRecord]) -> None:
        """Take over all fields, sites, licences and objects, whatever they were before."""
        ordered = sorted({record.row: record for record in records}.values(), key=lambda r: r.row)
        if not ordered:
            return
        with self._lock:
            self._describe(ordered)
            if self._update_columns(ordered):
                self._changed()

    def remove(self, rows: RowArray) -> None:
        """Take rows out of every selection."""
        with self._lock:
            self._bitmaps.add(_REMOVED, BitMap(np.asarray(rows, dtype=np.int64).tolist()))
            self._changed()

    def flush(self) -> None:
        """Make appended fields durable."""
        self._files.sync()

    def refresh(self, rows: int) -> None:
        """Show every row below `rows`, which the catalog has committed, and none above it."""
        with self._lock:
            if rows != self._files.rows:
                self._files.show(rows)
                self._changed()

    def save(self, seq: int) -> None:
        """Write the bitmaps with the log's seq they hold, after the dates that go with them."""
        self._demand_writer()
        with self._lock:
            self._files.sync()
            with file_errors(self._path):
                self._bitmaps.save(self._path, seq=seq)
            self._seq = seq

    @property
    def seq(self) -> int:
        """The log's seq up to which the saved bitmaps are complete."""
        return self._seq

    def select(self, filter_: Filter) -> Selection:
        """Return the live rows that meet a filter; the mask is shared and cannot be written."""
        with self._lock:
            found = self._cache.pop(filter_, None)
            if found is None:
                mask = self._live_mask().copy() if filter_ else self._live_mask()
                for condition in filter_.conditions:
                    mask &= self._mask_of(condition)
                mask.flags.writeable = False
                found = Selection(filter_, mask)
            self._cache[filter_] = found
            if len(self._cache) > max(1, CACHE_BYTES // max(1, self._files.rows)):
                self._cache.popitem(last=False)
            return found

    def listing(self, selection: Selection, *, k: int, after: Place | None = None) -> Listing:
        """Return the newest k selected rows, or the next k after a place: by falling row."""
        with self._lock:
            rows = self._files.rows
            mask = self._live_mask() if selection.mask is None else _fitted(selection.mask, rows)
        end = rows if after is None else max(0, min(after.row, rows))
        found = np.flatnonzero(mask[:end])[::-1][: k + 1].astype(np.int64)
        has_more, found = len(found) > k, found[:k]
        last = Place(0.0, int(found[-1])) if has_more and k else None
        return Listing(found, int(np.count_nonzero(mask)), last)

    def facets(self, selection: Selection) -> Mapping[str, Mapping[str, int]]:
        """Count type, color, licence, aspect and size words over a selection; absent ones not."""
        with self._lock:
            rows = self._files.rows
            mask = self._live_mask() if selection.mask is None else _fitted(selection.mask, rows)
            maps = {name: column[mask] for name, column in self._maps().items()}
            tiles = np.bincount(maps["colors"], minlength=1).tolist()
            colors = Counter[str]()
            for bits, count in enumerate(tiles):
                for name, bit in COLOR_BITS.items():
                    if count and bits & bit:
                        colors[name] += count
            counts = {
                "type": _counted(_type_mask, maps, _TYPE_WORDS),
                "color": dict(colors),
                "licence": {
                    word: int(np.count_nonzero(mask[self._visible(("licence", word, 0))]))
                    for word in self._bitmaps.words("licence")
                },
                "aspect": _counted(_aspect_mask, maps, ASPECTS),
                "size": _counted(_size_mask, maps, SIZES),
            }
        return {
            field: {word: count for word, count in words.items() if count}
            for field, words in counts.items()
        }

    def close(self) -> None:
        """Release the files."""
        with self._lock:
            self._changed()
            self._files.close()

    def _demand_writer(self) -> None:
        if not self._files.is_writer:
            raise StoreError(
                f"{self._path.parent} is not open for writing", hint="open the index for writing"
            )

    def _changed(self) -> None:
        self._cache.clear()
        self._live = None
        self._merged = None

    def _describe(self, records: Sequence[ImageRecord]) -> None:
        """Give rows the terms of their records and no others.

        Most records are told twice, when appended and by the log: what has not changed is
        passed over, for taking terms away looks at every bitmap.
        """
        told = [(record.row, terms_of(record)) for record in records]
        changed = [(row, terms) for row, terms in told if not self._is_described(row, terms)]
        if not changed:
            return
        rows = BitMap(row for row, _ in changed)
        known = self._bitmaps.get(_DESCRIBED) & rows
        if known:
            self._bitmaps.drop_all(_DERIVED_KINDS, known)
        rows_of: dict[Term, BitMap] = {_DESCRIBED: rows}
        for row, terms in changed:
            for term in (*terms, count_of(terms)):
                rows_of.setdefault(term, BitMap()).add(row)
        for term, found in rows_of.items():
            self._bitmaps.add(term, found)
        self._changed()

    def _is_described(self, row: int, terms: set[Term]) -> bool:
        """Tell whether a row bears just these terms: all of them, and as many as these."""
        return all(row in self._bitmaps.get(term) for term in (count_of(terms), *terms))

    def _update_columns(self, records: Sequence[ImageRecord]) -> bool:
        """Take over fields that differ from what stands in the columns; tell whether any did."""
        rows, has_changed = _rows_of(records), False
        for name, values in fixed_values(records).items():
            column, laid_over = self._files.maps[name], self._laid_over[name]
            shown = rows < len(column)
            differs = np.ones(len(rows), dtype=bool)
            differs[shown] = column[rows[shown]] != values[shown]
            has_changed |= bool(laid_over) or bool(differs.any())
            if self._files.is_writer:
                if differs.any():
                    self._files.write(name, rows[differs], values[differs])
                continue
            for row in rows[~differs].tolist():
                laid_over.pop(row, None)
            laid_over.update(zip(rows[differs].tolist(), values[differs].tolist(), strict=True))
        return has_changed

    def _maps(self) -> _Maps:
        """Return the columns with what a reader knows to be newer, merged once for all filters."""
        if self._merged is None:
            maps = dict(self._files.maps)
            for name, changed in self._laid_over.items():
                rows = [row for row in changed if row < len(maps[name])]
                if rows:
                    maps[name] = maps[name].copy()
                    maps[name][rows] = [changed[row] for row in rows]
            self._merged = maps
        return self._merged

    def _live_mask(self) -> BoolMask:
        if self._live is None:
            self._live = np.ones(self._files.rows, dtype=bool)
            self._live[self._visible(_REMOVED)] = False
            self._live.flags.writeable = False
        return self._live

    def _visible(self, *terms: Term) -> RowArray:
        """Return the shown rows that bear any of the terms, in order."""
        found = BitMap.union(*(self._bitmaps.get(term) for term in terms)) if terms else BitMap()
        rows = np.asarray(found.to_array(), dtype=np.int64)
        return rows[: np.searchsorted(rows, self._files.rows)]

    def _mask_of(self, condition: Condition) -> BoolMask:
        if isinstance(condition, OneOf):
            mask = self._words_mask(condition)
        elif isinstance(condition, Between):
            mask = self._range_mask(condition)
        else:
            mask = self._object_mask(condition)
        return ~mask if condition.is_negated else mask

    def _words_mask(self, condition: OneOf) -> BoolMask:
        maps, wanted = self._maps(), condition.values
        if condition.field == "site":
            return self._filled(self._visible(*(("site", word, 0) for word in wanted)))
        if condition.field == "licence":
            known = self._bitmaps.words("licence")
            meant = [word for word in known if any(licence_matches(word, w) for w in wanted)]
            return self._filled(self._visible(*(("licence", word, 0) for word in meant)))
        if condition.field == "color":
            bits = sum(COLOR_BITS.get(word, 0) for word in wanted)
            mask = (maps["colors"] & np.uint16(bits)) != 0
            cells = {cell for word in wanted if is_shade(word) for cell in shades_near(word)}
            mask[self._visible(*(("shade", cell, 0) for cell in cells))] = True
            return mask
        mask_of = {"type": _type_mask, "aspect": _aspect_mask, "size": _size_mask}[condition.field]
        mask = np.zeros(self._files.rows, dtype=bool)
        for word in wanted:
            mask |= mask_of(maps, word)
        return mask

    def _range_mask(self, condition: Between) -> BoolMask:
        maps, field = self._maps(), condition.field
        values = _pixels(maps) if field == "pixels" else maps[field]
        mask = np.ones(self._files.rows, dtype=bool)
        if condition.low is not None:
            mask &= values >= float(condition.low)
        if condition.high is not None:
            mask &= values <= float(condition.high)
        return mask

    def _object_mask(self, condition: HasObject) -> BoolMask:
        if condition.at_least <= 0:
            mask = np.ones(self._files.rows, dtype=bool)
        else:
            mask = self._filled(self._visible(("label", condition.label, condition.at_least)))
        if condition.at_most is not None:
            if condition.at_most < 0:
                return np.zeros(self._files.rows, dtype=bool)
            mask[self._visible(("label", condition.label, condition.at_most + 1))] = False
        return mask

    def _filled(self, rows: RowArray) -> BoolMask:
        mask = np.zeros(self._files.rows, dtype=bool)
        mask[rows] = True
        return mask


_TYPE_WORDS: Final = (*KIND_NUMBERS, "animated", "transparent")


def _rows_of(records: Sequence[ImageRecord]) -> RowArray:
    return np.array([record.row for record in records], dtype=np.int64)


def _fitted(mask: BoolMask, rows: int) -> BoolMask:
    """Return a mask over exactly `rows` rows: a selection may be older than what is shown."""
    if len(mask) == rows:
        return mask
    fitted = np.zeros(rows, dtype=bool)
    fitted[: len(mask)] = mask[:rows]
    return fitted


def _counted(mask_of: _MaskOf, maps: _Maps, words: Sequence[str]) -> dict[str, int]:
    return {word: int(np.count_nonzero(mask_of(maps, word))) for word in words}


def _type_mask(maps: _Maps, word: str) -> BoolMask:
    kinds = maps["kind"]
    flag = {"animated": ANIMATED, "transparent": TRANSPARENT}.get(word)
    if flag is not None:
        return (kinds & np.uint8(flag)) != 0
    number = KIND_NUMBERS.get(word)
    if number is None:
        return np.zeros(len(kinds), dtype=bool)
    return (kinds & np.uint8(KIND_BITS)) == number


def _pixels(maps: _Maps) -> NDArray[np.uint64]:
    return maps["width"].astype(np.uint64) * maps["height"]


def _aspect_mask(maps: _Maps, word: str) -> BoolMask:
    """Say what `domain.filters.aspects_of` says, of all rows."""
    ratio = maps["width"] / np.maximum(maps["height"], 1)
    low, high = SQUARE_RATIOS
    masks = {
        "square": lambda: (ratio >= low) & (ratio <= high),
        "wide": lambda: ratio > high,
        "tall": lambda: ratio < low,
        "panorama": lambda: ratio >= PANORAMA_RATIO,
    }
    return masks[word]() if word in masks else np.zeros(len(ratio), dtype=bool)


def _size_mask(maps: _Maps, word: str) -> BoolMask:
    """Say what `domain.filters.sizes_of` says, of all rows."""
    pixels = _pixels(maps)
    if word not in SIZE_PIXELS:
        return np.zeros(len(pixels), dtype=bool)
    low, high = SIZE_PIXELS[word]
    mask = pixels >= low
    return mask if high is None else mask & (pixels <= high)
