"""Building the index anew beside the one that answers, and switching between two searches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.adapters.text_elasticsearch import (
    ElasticsearchTextIndex,
    rebuild_alias,
    removals,
)
from lookalike.adapters.text_elasticsearch_bulk import Write, write_all
from lookalike.adapters.text_elasticsearch_hits import PARTIAL, demand_ours, fetch_sorted, read_seq
from lookalike.adapters.text_elasticsearch_provision import create_index, newest_index
from lookalike.adapters.text_elasticsearch_query import terms_query
from lookalike.adapters.text_elasticsearch_schema import (
    OLDEST_REBUILT,
    REMOVED,
    ROW,
    TEXT_MARKER,
    upgraded,
)
from lookalike.domain.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lookalike.adapters.text_elasticsearch_server import SearchServer
    from lookalike.adapters.text_schema import TextIndexSettings

PAGE: Final = 500
"""Documents read at once when late writes are taken over: their texts travel."""


class ElasticsearchRebuild:
    """One rebuild: fill `texts`, then `switch`.

    Writers go on writing to the old index meanwhile. `switch` holds them back for a moment (they
    try again by themselves), takes over what they wrote and removed since the rebuild began, and
    moves the alias in one step, so that no search sees both indexes or none.
    """

    def __init__(
        self,
        server: SearchServer,
        indexes: tuple[str, str],
        begun_at: Mapping[str, int],
        settings: TextIndexSettings | None,
    ) -> None:
        self._server = server
        self._old, self._new = indexes
        self._begun_at = begun_at
        self._next = server.at(rebuild_alias(server.options.alias))
        self.texts = ElasticsearchTextIndex.open(self._next, settings=settings)

    @classmethod
    def begin(
        cls, server: SearchServer, *, settings: TextIndexSettings | None = None
    ) -> ElasticsearchRebuild:
        """Make an empty index beside the old one; begin to read the catalog after this.

        Raises:
            BackendError: another rebuild is under way, or was left behind.
        """
        alias = server.options.alias
        if server.call("GET", f"/_alias/{rebuild_alias(alias)}", allowed=(404,)) is not None:
            raise BackendError(
                server.name,
                "another rebuild is under way, or was left behind",
                hint="wait for it, or abandon it",
            )
        old = demand_ours(server, oldest=OLDEST_REBUILT)
        last = newest_index(server)
        number = int((last[0] if last else old).rpartition("-")[2]) + 1
        begun_at = _last_writes(server, old)
        new = create_index(server, number, rebuild_alias(alias))
        return cls(server, (old, new), begun_at, settings)

    @staticmethod
    def abandon(server: SearchServer) -> str | None:
        """Delete what an unfinished rebuild left behind; return the index's name."""
        alias = rebuild_alias(server.options.alias)
        found = server.call("GET", f"/_alias/{alias}", allowed=(404,))
        for index in found or {}:
            server.call("DELETE", f"/{index}", allowed=(404,))
            return index
        return None

    def switch(self) -> str:
        """Put the new index in the old one's place; return the old one's name, to be dropped."""
        server, alias = self._server, self._server.options.alias
        self._take_over()  # most of it while writers go on
        try:
            self._hold(is_held=True)
            self._take_over()
            self.texts.commit(read_seq(server, TEXT_MARKER))
            server.call("POST", f"/{self._new}/_refresh")
            actions = [
                {"remove": {"index": self._old, "alias": alias, "must_exist": True}},
                {"add": {"index": self._new, "alias": alias}},
                {"remove": {"index": self._new, "alias": rebuild_alias(alias)}},
            ]
            server.call("POST", "/_aliases", {"actions": actions})
        except BaseException:
            self._hold(is_held=False)
            raise
        self.texts.close()
        return self._old

    def drop(self, index: str) -> None:
        """Delete an index that is behind no alias any more."""
        self._server.call("DELETE", f"/{index}", allowed=(404,))

    def _hold(self, *, is_held: bool) -> None:
        """Refuse writes to the old index, once those under way are done, or let them on again."""
        if is_held:
            self._server.call("PUT", f"/{self._old}/_block/write")
            return
        settings = {"index.blocks.write": None}
        self._server.call("PUT", f"/{self._old}/_settings", settings)

    def _take_over(self) -> None:
        """Repeat in the new index what the old one was told since the last time."""
        reached = _last_writes(self._server, self._old)
        self._server.call("POST", f"/{self._old}/_refresh")
        for shard, begun_at in self._begun_at.items():
            for sources in self._late_pages(shard, begun_at):
                self._repeat(sources)
        self._begun_at = reached

    def _late_pages(self, shard: str, begun_at: int) -> Iterator[list[Mapping[str, Any]]]:
        after: dict[str, Any] = {}
        while True:
            body = {
                "query": {"range": {"_seq_no": {"gt": begun_at}}},
                "sort": [{"_seq_no": "asc"}],
                "size": PAGE,
                "track_total_hits": False,
                **after,
            }
            answer = self._server.call(
                "POST",
                f"/{self._old}/_search",
                body,
                params={**PARTIAL, "preference": f"_shards:{shard}"},
            )
            hits = answer["hits"]["hits"]
            yield [hit["_source"] for hit in hits]
            if len(hits) < PAGE:
                return
            after = {"search_after": hits[-1]["sort"]}

    def _repeat(self, sources: list[Mapping[str, Any]]) -> None:
        """Write documents as they are, and remove what is noted as removed and has not returned."""
        noted = [source[REMOVED] for source in sources if REMOVED in source]
        returned = set(self._alive(noted))
        gone = np.array([row for row in noted if row not in returned], np.int64)
        documents = [upgraded(source) for source in sources if ROW in source]
        write_all(self._next, removals(gone))
        write_all(self._next, (Write.index(str(one[ROW]), one) for one in documents))

    def _alive(self, rows: list[int]) -> list[int]:
        if not rows:
            return []
        body = {"query": terms_query(ROW, rows), "sort": [ROW]}
        return [row for (row,) in fetch_sorted(self._server, body, len(rows))]


def _last_writes(server: SearchServer, index: str) -> dict[str, int]:
    """Return the number of the last write to each shard."""
    found = server.call("GET", f"/{index}/_stats/indexing", params={"level": "shards"})
    shards = found["indices"][index]["shards"]
    return {
        shard: min(copy["seq_no"]["max_seq_no"] for copy in copies)
        for shard, copies in shards.items()
    }
