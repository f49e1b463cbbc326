"""Sorted hits, paged beyond what one search may return, and where an index stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.adapters.text_elasticsearch_bulk import Write, write_all
from lookalike.adapters.text_elasticsearch_errors import INIT_HINT, OLD_HINT, Refusal
from lookalike.adapters.text_elasticsearch_schema import SEQ, VERSION
from lookalike.domain.errors import BackendMissingError, BackendSchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lookalike.adapters.text_elasticsearch_server import SearchServer
    from lookalike.domain.arrays import RowArray

WINDOW: Final = 10_000
"""Hits that one search returns at most (index.max_result_window)."""

PARTIAL: Final = {"allow_partial_search_results": "false"}
"""An answer that lacks a shard is an error, not a shorter answer."""


def fetch_sorted(
    server: SearchServer,
    body: Mapping[str, Any],
    limit: int,
    params: Mapping[str, str] | None = None,
) -> list[list[Any]]:
    """Return the sort values of the first hits, as many as the limit."""
    found: list[list[Any]] = []
    after: dict[str, Any] = {}
    while len(found) < limit:
        size = min(WINDOW, limit - len(found))
        page = {"track_total_hits": False, "stored_fields": "_none_", **body, **after, "size": size}
        answer = server.call(
            "POST",
            f"/{server.options.alias}/_search",
            page,
            params={**PARTIAL, "filter_path": "hits.hits.sort", **(params or {})},
        )
        hits = answer.get("hits", {}).get("hits", [])
        found += [hit["sort"] for hit in hits]
        if len(hits) < size:
            break
        after = {"search_after": hits[-1]["sort"]}
    return found


def fetch_counted(
    server: SearchServer, body: Mapping[str, Any], limit: int
) -> tuple[list[list[Any]], int]:
    """Return the sort values of the first hits, and how many there are in all."""
    size = min(WINDOW, limit)
    answer = server.call(
        "POST",
        f"/{server.options.alias}/_search",
        {**body, "track_total_hits": True, "stored_fields": "_none_", "size": size},
        params={**PARTIAL, "filter_path": "hits.hits.sort,hits.total.value"},
    )
    hits = [hit["sort"] for hit in answer["hits"].get("hits", [])]
    if size == len(hits) < limit:
        more = {**body, "search_after": hits[-1]}
        hits += fetch_sorted(server, more, limit - len(hits))
    return hits, int(answer["hits"]["total"]["value"])


def row_chunks(rows: RowArray) -> Iterator[list[int]]:
    """Yield the distinct rows that can be, as many at once as one search returns."""
    distinct = np.unique(rows[rows >= 0])
    for begin in range(0, distinct.size, WINDOW):
        yield distinct[begin : begin + WINDOW].tolist()


def demand_ours(server: SearchServer, *, oldest: int = VERSION) -> str:
    """Return the name of the index behind the alias, of this version or an older allowed one.

    Raises:
        BackendMissingError: there is none.
        BackendSchemaError: it is not ours, of another version, or there are several.
    """
    alias = server.options.alias
    found = server.call("GET", f"/{alias}/_mapping", allowed=(404,))
    if found is None:
        raise BackendMissingError(server.name, "the index is missing", hint=INIT_HINT)
    if len(found) != 1:
        raise BackendSchemaError(
            server.name, f"{alias} stands for several indexes: {', '.join(sorted(found))}"
        )
    ((index, content),) = found.items()
    if index == alias:
        raise BackendSchemaError(
            server.name,
            f"{alias} is an index, where it should be an alias of one",
            hint="it was made by something else: delete it, or name another alias",
        )
    version = version_of(content)
    if not (isinstance(version, int) and oldest <= version <= VERSION):
        what = "was made by something else" if version is None else f"is of version {version}"
        raise BackendSchemaError(
            server.name, f"{index} {what}; version {VERSION} is needed", hint=OLD_HINT
        )
    return index


def version_of(content: Mapping[str, Any]) -> object:
    """Return the version that mappings state, None where they are not ours."""
    meta = content.get("mappings", {}).get("_meta") or {}
    ours = meta.get("lookalike")
    return ours.get("version") if isinstance(ours, dict) else None


def read_seq(server: SearchServer, marker: str) -> int:
    """Return the seq that a marker states; 0 where there is none yet."""
    found = server.call("POST", f"/{server.options.alias}/_mget", {"ids": [marker]})
    (document,) = found["docs"]
    if "error" in document:
        raise Refusal.of(404, document).error(server.name)
    return int(document["_source"][SEQ]) if document["found"] else 0


def write_seq(server: SearchServer, marker: str, content: Mapping[str, Any]) -> None:
    """State a seq; of several writers' the highest stays."""
    write_all(server, [Write.highest(marker, content, version=content[SEQ])])
