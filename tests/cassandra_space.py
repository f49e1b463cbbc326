"""A keyspace of the tests' own: made once a session, emptied between tests, dropped at the end.

Making its tables takes seconds and truncating them a tenth of one each, so what a test has left
is deleted partition by partition; only after a large one is a table truncated.
"""

import secrets
from dataclasses import replace

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra import CassandraCatalog
from lookalike.adapters.catalog_cassandra_client import Call, CassandraClient
from lookalike.adapters.catalog_cassandra_options import CassandraOptions
from lookalike.adapters.catalog_cassandra_provision import CassandraProvisioner

FEW = 300


class CassandraSpace:
    def __init__(self, url):
        self.options = CassandraOptions.from_url(
            f"{url}/test_{secrets.token_hex(6)}", request_timeout_s=30.0, uri_parts=4
        )
        CassandraProvisioner(self.options).prepare()
        self.client = CassandraClient.connect(self.options)

    def open(self, *, clock=lambda: 1_700_000_000.0, is_writer=True, **options):
        return CassandraCatalog.open(
            replace(self.options, **options), is_writer=is_writer, clock=clock
        )

    def clean(self):
        """Leave what `prepare` has made and nothing else."""
        self.execute("DELETE FROM @about WHERE name = 'seq'")
        for owner in ("all", "reasons"):
            lines = self.execute("SELECT name, amount FROM @tallies WHERE owner = %s", (owner,))
            for name, amount in lines:
                values = (amount, owner, name)
                self.execute(
                    "UPDATE @tallies SET amount = amount - %s WHERE owner = %s AND name = %s",
                    values,
                )
        tables = [name for name in cql.TABLES if name not in {"about", "tallies"}]
        calls = [
            Call(cql.Statement(f"SELECT DISTINCT {_keys(name, ', ')} FROM @{name} LIMIT {FEW + 1}"))
            for name in tables
        ]
        drops = []
        for name, keys in zip(tables, self.client.wave(calls), strict=True):
            if len(keys) > FEW:
                self.execute(f"TRUNCATE @{name}", timeout_s=60.0)
            else:
                where = _keys(name, " = ? AND ")
                drop = cql.Statement(f"DELETE FROM @{name} WHERE {where} = ?", "write")
                drops += [Call(drop, key) for key in keys]
        self.client.wave(drops)

    def execute(self, statement, values=(), *, timeout_s=0.0):
        statement = statement.replace("@", f"{self.options.keyspace}.")
        return self.client.execute(statement, values, timeout_s=timeout_s)

    def drop(self):
        self.execute(f"DROP KEYSPACE {self.options.keyspace}", timeout_s=60.0)
        self.client.close()


def _keys(name, between):
    """Return the columns of a table's partition key, joined."""
    key = cql.TABLES[name].key
    first = key[1:].split(")")[0] if key.startswith("(") else key.split(",")[0]
    return between.join(column.strip() for column in first.split(","))
