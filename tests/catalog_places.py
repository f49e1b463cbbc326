"""Where the catalogs of contract tests are kept."""

import pytest

from lookalike.adapters.catalog_sqlite import SqliteCatalog

NOW = 1_700_000_000.0
CATALOGS = ["sqlite", pytest.param("cassandra", marks=pytest.mark.service)]


class SqliteFolder:
    """A folder for each test; rows are dense, listings in their order, and none is used again."""

    many, is_in_row_order, has_region_files = 2500, True, True
    examples, keeps_rows = 40, False

    def __init__(self, folder):
        self.folder = folder

    def fresh(self):
        self.folder /= "next"
        self.folder.mkdir()

    def open(self, *, is_writer=True):
        return SqliteCatalog.open(
            self.folder / "catalog.sqlite", is_writer=is_writer, clock=lambda: NOW
        )


class CassandraKeyspace:
    """One keyspace for all tests, emptied before each; rows are of the ids."""

    many, is_in_row_order, has_region_files = 600, False, False
    examples, keeps_rows = 5, True

    def __init__(self, space):
        self.space = space

    def fresh(self):
        self.space.clean()

    def open(self, *, is_writer=True):
        return self.space.open(is_writer=is_writer, clock=lambda: NOW)
