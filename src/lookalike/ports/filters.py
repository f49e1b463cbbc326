"""The port that turns filters into rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lookalike.domain.arrays import RowArray
from lookalike.domain.filters import Filter
from lookalike.domain.hits import Selection
from lookalike.domain.images import ImageRecord


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of a listing ends: when the last image was first seen, and its row."""

    seen: float
    row: int


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of the rows a filter selects, the newest first.

    `total` counts all of them; `last` is where the page ends, None when nothing follows.
    """

    rows: RowArray
    total: int
    last: Place | None = None


class FilterIndex(Protocol):
    """Filterable fields by row; agrees with `domain.filters.matches` on every record.

    A store whose rows are too many for masks selects without one: the text and the vector index
    then compile the filter themselves.
    """

    def append(self, records: Sequence[ImageRecord]) -> None:
        """Write the fixed fields of new images at their rows; durable after `flush`."""
        ...

    def update(self, records: Sequence[ImageRecord]) -> None:
        """Take over fields that later sources changed (sites, licences, dates, objects)."""
        ...

    def remove(self, rows: RowArray) -> None:
        """Take rows out of every selection."""
        ...

    def flush(self) -> None:
        """Make appended fields durable."""
        ...

    def refresh(self, rows: int) -> None:
        """Show every row below `rows`, which the catalog has committed, and none above it."""
        ...

    def save(self, seq: int) -> None:
        """Write what is derived (bitmaps) with the log's seq it is complete to."""
        ...

    @property
    def seq(self) -> int:
        """The log's seq up to which derived fields are complete."""
        ...

    def select(self, filter_: Filter) -> Selection:
        """Return the live rows that meet a filter; an empty filter selects every live row."""
        ...

    def listing(self, selection: Selection, *, k: int, after: Place | None = None) -> Listing:
        """Return the newest k selected rows, or the next k after a place."""
        ...

    def facets(self, selection: Selection) -> Mapping[str, Mapping[str, int]]:
        """Count type, color, licence, aspect and size words over a selection."""
        ...

    def close(self) -> None:
        """Release the files."""
        ...
