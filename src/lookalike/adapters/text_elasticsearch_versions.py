"""Which servers are spoken to, and what differs between them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import BackendVersionError

if TYPE_CHECKING:
    from lookalike.adapters.text_elasticsearch_server import SearchServer

LEAST_VERSION: Final = {"elasticsearch": 8, "opensearch": 2}
NEWEST_VERSION: Final = {"elasticsearch": 9, "opensearch": 3}

BARE_BM25: Final = 2.2
"""k1 + 1, by which OpenSearch's BM25 is smaller from version 3 on.

Elasticsearch and OpenSearch 2 score with this factor, as the embedded index does
(https://github.com/opensearch-project/OpenSearch/issues/17315).
"""

_NO_SUCH_CALL: Final = (400, 404, 405)


def check_version(server: SearchServer) -> str:
    """Return the lowest version of the nodes.

    Raises:
        BackendVersionError: one is too old or too new, or another product answers.
    """
    product = server.options.product
    if product == "opensearch":
        _opensearch_version(server)
    found = server.call("GET", "/_nodes/_all/none", params={"filter_path": "nodes.*.version"})
    versions = sorted((node["version"] for node in found["nodes"].values()), key=_numbers)
    for version in versions:
        if not LEAST_VERSION[product] <= _numbers(version)[0] <= NEWEST_VERSION[product]:
            raise BackendVersionError(
                server.name,
                f"version {version} is not spoken to",
                hint=f"{LEAST_VERSION[product]} to {NEWEST_VERSION[product]} are",
            )
    return versions[0]


def bm25_scale(server: SearchServer) -> float:
    """Return the factor that makes the server's BM25 equal to the embedded index's."""
    if server.options.product != "opensearch":
        return 1.0
    return BARE_BM25 if _numbers(_opensearch_version(server))[0] >= 3 else 1.0


def _opensearch_version(server: SearchServer) -> str:
    told = (server.call("GET", "/", allowed=_NO_SUCH_CALL) or {}).get("version", {})
    if told.get("distribution") != "opensearch":
        raise BackendVersionError(
            server.name, "it is not OpenSearch", hint="write elasticsearch:// instead"
        )
    return str(told.get("number", "0"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3]) or (0,)
