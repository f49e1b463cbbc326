"""What makes a Milvus server ready for a vector index, and what looks whether it is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from lookalike.adapters.vectors_milvus_client import MISSING_HINT, MilvusLink
from lookalike.adapters.vectors_milvus_schema import (
    check_collection,
    check_version,
    create_collection,
    create_index,
    indexed_rows,
    is_loaded,
    load_collection,
    read_index,
    unindexed_rows,
)
from lookalike.domain.errors import BackendMissingError, LookalikeError
from lookalike.domain.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.adapters.vectors_milvus_options import MilvusOptions

_BACKLOG: int = 200_000
"""As many rows waiting for their index make searches slow."""


class MilvusProvisioner:
    """`Provisioner` of one collection for vectors of `dim` numbers."""

    def __init__(self, options: MilvusOptions, *, dim: int) -> None:
        """Connect at the first call only."""
        self._options = options
        self._dim = dim

    @property
    def name(self) -> str:
        """The collection's place."""
        return self._options.name

    def prepare(self) -> Sequence[str]:
        """Make the database, the collection and its index, and load it, as far as missing."""
        made = self._make_database()
        link = MilvusLink(self._options)
        try:
            check_version(link)
            if not link.call("has_collection", self._options.collection):
                create_collection(link, self._dim)
                made.append(f"collection {self._options.collection}")
            check_collection(link, self._dim)
            try:
                read_index(link)
            except BackendMissingError:
                create_index(link, self._dim)
                made.append(f"index {self._options.index_type}")
            if not is_loaded(link):
                load_collection(link)
        finally:
            link.close()
        return made

    def check(self) -> Sequence[Finding]:
        """Look at the server, the collection, its index, and what still waits for one."""
        link, found = MilvusLink(self._options), list[Finding]()
        try:
            found.append(Finding("vectors", "ok", f"{self.name}: Milvus {check_version(link)}"))
            check_collection(link, self._dim)
            found.append(Finding("vectors schema", "ok", f"{self._dim} numbers a vector"))
            found += self._check_index(link)
        except LookalikeError as error:
            found.append(Finding("vectors", "error", error.message, error.hint))
        finally:
            link.close()
        return found

    def _check_index(self, link: MilvusLink) -> list[Finding]:
        kind, wanted = read_index(link).kind, self._options.index_type
        found: list[Finding] = []
        if not is_loaded(link):
            return [
                Finding("vectors loaded", "error", "the collection is not loaded", MISSING_HINT)
            ]
        if kind != wanted:
            detail = f"the collection is indexed by {kind}, the settings say {wanted}"
            remedy = "the collection's counts; drop its index and run init-cluster to change it"
            found.append(Finding("vectors index", "warning", detail, remedy))
        waiting = unindexed_rows(link)
        detail = f"{kind}: {indexed_rows(link)} rows indexed, {waiting} waiting"
        if waiting >= _BACKLOG:
            found.append(Finding("vectors backlog", "warning", detail, "give it index nodes"))
        else:
            found.append(Finding("vectors backlog", "ok", detail))
        return found

    def _make_database(self) -> list[str]:
        wanted = self._options.database
        if not wanted:
            return []
        link = MilvusLink(dataclasses.replace(self._options, database=""))
        try:
            if wanted in link.call("list_databases"):
                return []
            link.call("create_database", wanted)
        finally:
            link.close()
        return [f"database {wanted}"]
