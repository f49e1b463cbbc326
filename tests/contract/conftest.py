"""What the contract tests of catalogs and of copy ledgers open."""

import pytest

from tests.catalog_places import CATALOGS, CassandraKeyspace, SqliteFolder


@pytest.fixture(params=CATALOGS)
def place(request, tmp_path):
    """Where a catalog is kept, with nothing in it."""
    if request.param == "sqlite":
        return SqliteFolder(tmp_path)
    keyspace = CassandraKeyspace(request.getfixturevalue("cassandra_space"))
    keyspace.fresh()
    return keyspace


@pytest.fixture
def opened(place):
    """Open the same catalog any number of times; closed at the end."""
    catalogs = []

    def open_(*, is_writer=True):
        catalogs.append(place.open(is_writer=is_writer))
        return catalogs[-1]

    yield open_
    for catalog in catalogs:
        catalog.close()
