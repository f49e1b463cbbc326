"""The filter index over the documents of the text index: terms, numbers and listings.

A filter is not turned into rows here: a selection carries it to the stores, which compile it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.adapters.text_elasticsearch import removals
from lookalike.adapters.text_elasticsearch_bulk import Write, write_all
from lookalike.adapters.text_elasticsearch_hits import (
    PARTIAL,
    demand_ours,
    fetch_counted,
    read_seq,
    write_seq,
)
from lookalike.adapters.text_elasticsearch_query import conditions_of
from lookalike.adapters.text_elasticsearch_schema import (
    FACET_FIELDS,
    FACETS,
    FILTER_MARKER,
    ROW,
    filter_fields,
    marker,
)
from lookalike.domain.errors import StoreError
from lookalike.domain.filter_terms import terms_of
from lookalike.domain.hits import Selection
from lookalike.ports.filters import Listing, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lookalike.adapters.text_elasticsearch_server import SearchServer
    from lookalike.domain.arrays import RowArray
    from lookalike.domain.filters import Filter
    from lookalike.domain.images import ImageRecord

MOST_FACETS: Final = 1000
"""Words counted at most; the kinds, colours and sizes are few, licences may be many."""

_NEWEST_FIRST: Final = [{"seen": "desc"}, {ROW: "desc"}]
_OURS: Final[Mapping[str, Any]] = {"exists": {"field": "seen"}}


class ElasticsearchFilterIndex:
    """A `FilterIndex` behind one alias; many processes write and read it at once.

    The text index writes the same fields with its documents, so that nothing has to be appended
    where both are filled. Where commits refresh, what is appended can be selected after `flush`,
    and updates and removals at once; under other policies within the server's next refresh.
    """

    def __init__(self, server: SearchServer, *, is_writer: bool) -> None:
        self._server = server
        self._alias = server.options.alias
        self._is_writer = is_writer
        self._is_closed = False
        self._seq = read_seq(server, FILTER_MARKER)
        server.hold()

    @classmethod
    def open(cls, server: SearchServer, *, is_writer: bool = True) -> ElasticsearchFilterIndex:
        """Open the index behind the server's alias.

        Raises:
            BackendMissingError: it was not made yet.
            BackendSchemaError: it is foreign, or of another version.
        """
        demand_ours(server)
        return cls(server, is_writer=is_writer)

    def append(self, records: Sequence[ImageRecord]) -> None:
        """Write the fields of images, and take them up again where they had been removed."""
        self._demand_writer()
        write_all(self._server, _merges(records, is_making=True))

    def update(self, records: Sequence[ImageRecord]) -> None:
        """Take over fields that later sources changed; images that are not there stay away."""
        self._demand_writer()
        write_all(self._server, _merges(records, is_making=False))
        self._show()

    def remove(self, rows: RowArray) -> None:
        """Take rows out of every selection, with all that is known of them here."""
        self._demand_writer()
        write_all(self._server, removals(rows))
        self._show()

    def flush(self) -> None:
        """Make appended fields visible."""
        self._show()

    def refresh(self, rows: int) -> None:  # noqa: ARG002 - every row here is committed
        """See up to which seq others have saved; rows are visible to all alike."""
        self._seq = read_seq(self._server, FILTER_MARKER)

    def save(self, seq: int) -> None:
        """Remember the log's seq up to which all is written; of several writers' the highest."""
        self._demand_writer()
        self._show()
        if seq > self._seq:
            write_seq(self._server, FILTER_MARKER, marker(seq, is_text=False))
            self._seq = seq

    @property
    def seq(self) -> int:
        """The highest seq that any writer saved, as of opening, `save` or `refresh`."""
        return self._seq

    def select(self, filter_: Filter) -> Selection:
        """Return the filter for the stores to compile; nothing is asked of the server."""
        return Selection(filter_)

    def listing(self, selection: Selection, *, k: int, after: Place | None = None) -> Listing:
        """Return the newest k selected rows, or the next k after a place."""
        query = self._selected(selection)
        body: dict[str, Any] = {"query": query, "sort": _NEWEST_FIRST}
        if after is not None:
            body["search_after"] = [after.seen, after.row]
        found, total = fetch_counted(self._server, body, k + 1)
        has_more, found = len(found) > k > 0, found[: max(k, 0)]
        rows = np.array([row for _, row in found], np.int64)
        last = Place(float(found[-1][0]), int(found[-1][1])) if has_more else None
        return Listing(rows, total, last)

    def facets(self, selection: Selection) -> Mapping[str, Mapping[str, int]]:
        """Count type, color, licence, aspect and size words over a selection; absent ones not."""
        counted = {"terms": {"field": FACETS, "size": MOST_FACETS}}
        body = {
            "size": 0,
            "track_total_hits": False,
            "query": self._selected(selection),
            "aggs": {"words": counted},
        }
        answer = self._server.call("POST", f"/{self._alias}/_search", body, params=PARTIAL)
        counts: dict[str, dict[str, int]] = {field: {} for field in FACET_FIELDS}
        for bucket in answer["aggregations"]["words"]["buckets"]:
            field, _, word = bucket["key"].partition(":")
            counts[field][word] = bucket["doc_count"]
        return counts

    def close(self) -> None:
        """Let the connections go."""
        if not self._is_closed:
            self._is_closed = True
            self._server.release()

    def _selected(self, selection: Selection) -> dict[str, Any]:
        return {"bool": {"filter": [_OURS, *conditions_of(selection)]}}

    def _demand_writer(self) -> None:
        if not self._is_writer:
            raise StoreError(
                f"{self._server.name} is not open for writing", hint="open it for writing"
            )

    def _show(self) -> None:
        if self._is_writer and self._server.options.refresh == "true":
            self._server.call("POST", f"/{self._alias}/_refresh")


def _merges(records: Sequence[ImageRecord], *, is_making: bool) -> Iterator[Write]:
    latest = {int(record.row): record for record in records}
    for row, record in latest.items():
        fields = filter_fields(row, terms_of(record))
        yield Write.merge(str(row), fields, is_making=is_making)
