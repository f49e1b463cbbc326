"""Making the template, the first index and its alias, and looking whether they are well."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters.text_elasticsearch_errors import ROOM_HINT
from lookalike.adapters.text_elasticsearch_hits import demand_ours, version_of
from lookalike.adapters.text_elasticsearch_schema import VERSION, index_settings, mappings, meta
from lookalike.adapters.text_elasticsearch_server import SearchServer
from lookalike.adapters.text_elasticsearch_versions import check_version
from lookalike.domain.errors import BackendError, BackendMissingError, BackendSchemaError
from lookalike.domain.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lookalike.adapters.text_elasticsearch_options import ElasticsearchOptions

PRIORITY: Final = 500
"""Above the templates that a cluster brings along."""

_READ_ONLY: Final = "index.blocks.read_only_allow_delete"
_HELD: Final = "index.blocks.write"


class ElasticsearchProvisioner:
    """A `Provisioner` of the template, the index and the alias."""

    def __init__(self, server: SearchServer) -> None:
        self._server = server
        self._alias = server.options.alias

    @classmethod
    def connect(cls, options: ElasticsearchOptions) -> ElasticsearchProvisioner:
        """Return a provisioner with connections of its own; nothing is asked yet."""
        return cls(SearchServer(options))

    @property
    def name(self) -> str:
        """The cluster and alias without secrets."""
        return self._server.name

    def prepare(self) -> Sequence[str]:
        """Make the template, the index and the alias where they are missing."""
        check_version(self._server)
        made: list[str] = []
        if self._prepare_template():
            made.append(f"template {self._alias}")
        try:
            demand_ours(self._server)
        except BackendMissingError:
            made.append(self._prepare_index())
        return made

    def check(self) -> Sequence[Finding]:
        """Look at the cluster, the index and its room."""
        findings: list[Finding] = []
        try:
            version = check_version(self._server)
            findings.append(Finding("text", "ok", f"{self.name}: version {version}"))
            index = demand_ours(self._server)
            findings += [Finding("text index", "ok", index), *self._condition(index)]
        except BackendError as error:
            findings.append(Finding("text", "error", error.message, error.hint))
        return findings

    def close(self) -> None:
        """Release the connections."""
        self._server.close()

    def _prepare_template(self) -> bool:
        """Put the template unless it is there as it should be; tell whether it was put."""
        options, path = self._server.options, f"/_index_template/{self._alias}"
        wanted = {"settings": index_settings(options), "mappings": mappings()}
        found = self._server.call("GET", path, allowed=(404,))
        if found is not None:
            there = found["index_templates"][0]["index_template"]
            if (there.get("_meta") or {}).keys() != meta().keys():
                raise BackendSchemaError(
                    self.name,
                    f"the index template {self._alias} was made by something else",
                    hint="delete it, or name another alias",
                )
            if _is_like(there.get("template", {}), wanted):
                return False
        body = {
            "index_patterns": [f"{self._alias}-0*"],
            "priority": PRIORITY,
            "_meta": meta(),
            "template": wanted,
        }
        self._server.call("PUT", path, body)
        return True

    def _prepare_index(self) -> str:
        """Make the first index, or give one that lost its alias the alias back."""
        last = newest_index(self._server)
        if last is None:
            index = create_index(self._server, 1, self._alias)
            return f"index {index} with alias {self._alias}"
        index, version = last
        if version != VERSION:
            raise BackendSchemaError(
                self.name, f"{index} has no alias and is of version {version}", hint="delete it"
            )
        add = {"add": {"index": index, "alias": self._alias}}
        self._server.call("POST", "/_aliases", {"actions": [add]})
        return f"alias {self._alias} of {index}"

    def _condition(self, index: str) -> Iterator[Finding]:
        server = self._server
        health = server.call("GET", f"/_cluster/health/{self._alias}")
        if health["status"] == "red":
            detail = "some shards are not there: searches and writes fail"
            yield Finding("text shards", "error", detail, "bring the cluster's nodes back")
        elif health["status"] == "yellow":
            detail = f"{health['unassigned_shards']} copies of shards have no node"
            remedy = f"add nodes, or set replicas below {server.options.replicas}"
            yield Finding("text shards", "warning", detail, remedy)
        flat = {"flat_settings": "true"}
        found = server.call("GET", f"/{index}/_settings", params=flat)[index]["settings"]
        if found.get(_READ_ONLY) == "true":
            detail = "the cluster's disks are full: nothing can be written"
            yield Finding("text room", "error", detail, ROOM_HINT)
        if found.get(_HELD) == "true":
            detail = "writes are held, as at the end of a rebuild"
            yield Finding("text writes", "warning", detail, f"if none is running, clear {_HELD}")
        shards = int(found["index.number_of_shards"])
        if shards != server.options.shards:
            detail = f"{index} has {shards} shards; {server.options.shards} are configured"
            yield Finding("text shards", "warning", detail, "a rebuild makes them anew")


def create_index(server: SearchServer, number: int, alias: str) -> str:
    """Make the index of a number behind an alias, in one step; return its name."""
    index = f"{server.options.alias}-{number:06d}"
    body = {
        "settings": index_settings(server.options),
        "mappings": mappings(),
        "aliases": {alias: {}},
    }
    try:
        server.call("PUT", f"/{index}", body)
    except BackendError as error:
        if "already exists" not in error.message:
            raise
    return index


def newest_index(server: SearchServer) -> tuple[str, object] | None:
    """Return the last made of the alias's numbered indexes, and the version it states."""
    alias = server.options.alias
    found = server.call("GET", f"/{alias}-0*/_mapping", params={"allow_no_indices": "true"})
    pattern = re.compile(re.escape(alias) + r"-\d{6}")
    names = sorted(name for name in found if pattern.fullmatch(name))
    return (names[-1], version_of(found[names[-1]])) if names else None


def _is_like(there: Any, wanted: Any) -> bool:
    """Tell whether what the server gives back says what was put: settings come back as text."""
    if isinstance(wanted, dict):
        if not isinstance(there, dict):
            return False
        inner = there.get("index", there) if "number_of_shards" in wanted else there
        return all(_is_like(inner.get(key), value) for key, value in wanted.items())
    return str(there).lower() == str(wanted).lower()
