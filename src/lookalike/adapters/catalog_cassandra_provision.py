"""The keyspace and the tables of a Cassandra catalog, made and inspected."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra import read_about
from lookalike.adapters.catalog_cassandra_client import DDL_TIMEOUT_S, CassandraClient
from lookalike.domain.errors import (
    BackendError,
    BackendSchemaError,
    BackendVersionError,
    LookalikeError,
)
from lookalike.domain.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lookalike.adapters.catalog_cassandra_options import CassandraOptions

OLDEST: Final = (4, 0)
SAFE_COPIES: Final = 3

_KEYSPACES: Final = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s"
_COLUMNS: Final = (
    "SELECT table_name, column_name, type, kind FROM system_schema.columns WHERE keyspace_name = %s"
)


class CassandraProvisioner:
    """`ports.provision.Provisioner` of one keyspace."""

    def __init__(self, options: CassandraOptions) -> None:
        self._options = options
        self.name = options.name

    def prepare(self) -> Sequence[str]:
        """Make the keyspace and the tables that are missing, and bring older ones up to date.

        Raises:
            BackendError: the cluster cannot be reached or refuses.
            BackendVersionError: it is older than 4.0.
            BackendSchemaError: the keyspace holds tables of something else.
        """
        client = CassandraClient.connect(self._options)
        try:
            return list(self._prepare(client))
        finally:
            client.close()

    def check(self) -> Sequence[Finding]:
        """Look whether the cluster answers, and whether the keyspace is ours and up to date."""
        try:
            client = CassandraClient.connect(self._options)
        except LookalikeError as error:
            return [_finding(error)]
        try:
            return list(self._findings(client))
        finally:
            client.close()

    def _prepare(self, client: CassandraClient) -> Iterator[str]:
        keyspace = self._options.keyspace
        self._require_version(client)
        if self._replication(client) is None:
            replication = ", ".join(
                f"'{_word(name)}': '{_word(str(value))}'"
                for name, value in self._options.replication.items()
            )
            client.execute(
                f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {{{replication}}}",
                timeout_s=DDL_TIMEOUT_S,
            )
            yield f"the keyspace {keyspace}"
        there = self._tables(client)
        self._require_ours(there, is_older=True)
        for name in cql.TABLES:
            if name not in there:
                client.execute(cql.create_table(name, keyspace), timeout_s=DDL_TIMEOUT_S)
                yield f"the table {keyspace}.{name}"
        for change in _changes(there, keyspace):
            self._alter(client, change)
            yield f"the schema changed: {change}"
        self._require_ours(self._tables(client))
        rows = (
            (cql.URI_PARTS_NAME, self._options.uri_parts, None),
            (cql.SCHEMA_NAME, cql.VERSION, cql.MARK),
        )
        for row in rows:
            client.execute(
                f"INSERT INTO {keyspace}.about (name, number, words)"  # noqa: S608 - checked
                " VALUES (%s, %s, %s) IF NOT EXISTS",
                row,
            )
        client.execute(
            f"UPDATE {keyspace}.about SET number = %s WHERE name = %s"  # noqa: S608 - checked
            " IF number < %s AND words = %s",
            (cql.VERSION, cql.SCHEMA_NAME, cql.VERSION, cql.MARK),
        )
        read_about(client)

    def _alter(self, client: CassandraClient, change: str) -> None:
        """Change the schema; somebody else may just have done the same."""
        try:
            client.execute(change, timeout_s=DDL_TIMEOUT_S)
        except BackendError:
            if change in _changes(self._tables(client), self._options.keyspace):
                raise

    def _findings(self, client: CassandraClient) -> Iterator[Finding]:
        try:
            version = self._require_version(client)
            yield Finding("catalog", "ok", f"{self.name} answers, version {version}")
            replication = self._replication(client)
            if replication is None:
                yield Finding(
                    "catalog schema",
                    "error",
                    f"there is no keyspace {self._options.keyspace}",
                    "lookalike init-cluster --config FILE",
                )
                return
            there = self._tables(client)
            self._require_ours(there, is_older=True)
            yield from _inside(client)
            self._require_ours(there)
        except LookalikeError as error:
            yield _finding(error)
            return
        counts = [
            int(count) for name, count in replication.items() if name != "class" and count.isdigit()
        ]
        yield _copies(counts)
        if len(counts) > 1 and self._options.serial_consistency == "LOCAL_SERIAL":
            yield Finding(
                "catalog writers",
                "warning",
                "writers in several data centres do not see each other's compare-and-sets",
                'set serial_consistency = "SERIAL", or write from one data centre only',
            )
        if not self._options.is_overlapping:
            yield Finding(
                "catalog consistency",
                "warning",
                f"reads at {self._options.reads} may miss writes at {self._options.writes}",
                "leave consistency at LOCAL_QUORUM",
            )

    def _require_version(self, client: CassandraClient) -> str:
        version = str(client.execute("SELECT release_version FROM system.local")[0][0])
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        if numbers < OLDEST:
            raise BackendVersionError(
                self.name, f"it is Cassandra {version}", hint="4.0 or newer is needed"
            )
        return version

    def _replication(self, client: CassandraClient) -> Mapping[str, str] | None:
        lines = client.execute(_KEYSPACES, (self._options.keyspace,))
        return dict(lines[0][0]) if lines else None

    def _tables(self, client: CassandraClient) -> dict[str, dict[str, str]]:
        """Return the columns with their types of each table in the keyspace."""
        tables: dict[str, dict[str, str]] = {}
        for table, column, kind, of in client.execute(_COLUMNS, (self._options.keyspace,)):
            tables.setdefault(table, {})[column] = f"{kind} static" if of == "static" else kind
        return tables

    def _require_ours(
        self, tables: Mapping[str, Mapping[str, str]], *, is_older: bool = False
    ) -> None:
        """Refuse a keyspace with tables of something else, or not of this version.

        Raises:
            BackendSchemaError: a table is not one of ours, or has other columns.
        """
        retired = cql.RETIRED_TABLES if is_older else frozenset[str]()
        foreign = sorted(set(tables) - set(cql.TABLES) - retired)
        other = sorted(
            name
            for name, columns in tables.items()
            if name in cql.TABLES and not _is_of(name, columns, is_older=is_older)
        )
        if foreign or other:
            raise BackendSchemaError(
                self.name,
                "the keyspace holds tables that are not this version's: "
                + ", ".join([*foreign, *other]),
                hint="choose another keyspace in the url",
            )


def _is_of(name: str, columns: Mapping[str, str], *, is_older: bool) -> bool:
    """Tell whether a table has its columns, or at least none that no version has."""
    ours = dict(cql.TABLES[name].columns)
    if not is_older:
        return ours == dict(columns)
    known = ours | dict(cql.RETIRED_COLUMNS.get(name, {}))
    return all(known.get(column) == kind for column, kind in columns.items())


def _changes(tables: Mapping[str, Mapping[str, str]], keyspace: str) -> list[str]:
    """Return the statements that bring the tables of an older version up to date."""
    changes: list[str] = []
    for name, columns in tables.items():
        if name in cql.RETIRED_TABLES:
            changes.append(f"DROP TABLE {keyspace}.{name}")
            continue
        wanted = cql.TABLES[name].columns
        if new := [f"{column} {wanted[column]}" for column in wanted if column not in columns]:
            changes.append(f"ALTER TABLE {keyspace}.{name} ADD ({', '.join(new)})")
        if gone := [column for column in columns if column not in wanted]:
            changes.append(f"ALTER TABLE {keyspace}.{name} DROP ({', '.join(gone)})")
    return changes


def _inside(client: CassandraClient) -> Iterator[Finding]:
    """Look into the keyspace: its version, and commits that were cut short."""
    about = read_about(client)
    yield Finding("catalog schema", "ok", f"version {about[cql.SCHEMA_NAME]}")
    if marks := client.run(cql.READ_OPEN):
        yield Finding(
            "catalog counts",
            "warning",
            f"{len(marks)} commits are under way or were cut short: counts may be off",
            "lookalike doctor --repair when no worker runs",
        )


def _copies(counts: Sequence[int]) -> Finding:
    """Say how many copies there are of everything."""
    fewest = min(counts, default=1)
    if fewest >= SAFE_COPIES:
        return Finding("catalog copies", "ok", f"{fewest} of everything")
    return Finding(
        "catalog copies",
        "warning",
        f"only {fewest} of everything: a lost node takes data along, or stops the catalog",
        "ALTER KEYSPACE … WITH replication = {'class': 'NetworkTopologyStrategy', 'DC': 3}, repair",
    )


def _finding(error: LookalikeError) -> Finding:
    is_schema = isinstance(error, BackendSchemaError)
    return Finding("catalog schema" if is_schema else "catalog", "error", error.message, error.hint)


def _word(text: str) -> str:
    """Return text as it stands between the quotes of a CQL string."""
    return text.replace("'", "''")
