"""What the Cassandra catalog says when the server is away, slow, foreign or not made ready."""

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra import CassandraCatalog
from lookalike.adapters.catalog_cassandra_options import CassandraOptions
from lookalike.adapters.catalog_cassandra_provision import CassandraProvisioner
from lookalike.domain.errors import (
    BackendError,
    BackendMissingError,
    BackendSchemaError,
    BackendTimeoutError,
    BackendUnreachableError,
    MissingExtraError,
)
from lookalike.domain.images import ImageFacts, Source, hashed_row, image_id
from lookalike.ports.catalog import Batch, NewImage
from tests.cut_proxy import CutProxy

pytestmark = pytest.mark.service

IMAGE = image_id(b"a")
BATCH = Batch(
    [NewImage(hashed_row(IMAGE), ImageFacts(IMAGE, 1, 1, 1, "png"))],
    [(IMAGE, Source("/a", seen=1.0))],
)


@pytest.fixture
def space(cassandra_space):
    cassandra_space.clean()
    return cassandra_space


@pytest.fixture(scope="module")
def other(cassandra_space):
    """A keyspace that is not there yet; dropped at the end."""
    options = replace(cassandra_space.options, keyspace=f"test_{secrets.token_hex(6)}")
    yield options
    cassandra_space.client.execute(f"DROP KEYSPACE IF EXISTS {options.keyspace}", timeout_s=60.0)


def states(options):
    return {one.name: one.state for one in CassandraProvisioner(options).check()}


def test_nothing_at_the_address_is_told_at_once():
    options = CassandraOptions.from_url("cassandra://127.0.0.1:1/x", connect_timeout_s=2.0)
    began = time.monotonic()
    with pytest.raises(BackendUnreachableError, match=r"cassandra://127\.0\.0\.1:1/x") as caught:
        CassandraCatalog.open(options)
    assert time.monotonic() - began < 4
    assert caught.value.hint
    (finding,) = CassandraProvisioner(options).check()
    assert (finding.state, bool(finding.remedy)) == ("error", True)
    with pytest.raises(BackendUnreachableError):
        CassandraProvisioner(options).prepare()


@pytest.fixture
def proxy(space):
    made = CutProxy(space.options.hosts[0][1])
    yield made
    made.close()


def test_a_server_that_hangs_is_given_up_at_the_deadline(space, proxy):
    options = {"hosts": (("127.0.0.1", proxy.port),), "connect_timeout_s": 0.5}
    catalog = space.open(**options, request_timeout_s=0.5)
    catalog.commit(BATCH)
    proxy.hang()
    acts = (
        catalog.state,
        lambda: catalog.commit(BATCH),
        lambda: list(catalog.all_records()),
        lambda: list(catalog.uris_under("/")),
    )
    for act in acts:
        began = time.monotonic()
        with pytest.raises(BackendTimeoutError, match=str(proxy.port)) as caught:
            act()
        assert time.monotonic() - began < 1.2
        assert caught.value.hint
    with pytest.raises(BackendTimeoutError):
        space.open(**options)
    catalog.close()


def test_a_connection_that_is_cut_loses_nothing_and_comes_back(space, proxy):
    catalog = space.open(hosts=(("127.0.0.1", proxy.port),), request_timeout_s=2.0)
    names = [image_id(str(number).encode()) for number in range(200)]

    def write(name):
        uri = f"/{name}"
        new = NewImage(hashed_row(name), ImageFacts(name, 1, 1, 1, "png"))
        for _ in range(60):
            try:
                return catalog.commit(Batch([new], [(name, Source(uri, seen=1.0))]))
            except (BackendUnreachableError, BackendTimeoutError):
                time.sleep(0.1)
        raise AssertionError("it never came back")

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [write(name) for name in names])
        for _ in range(2):
            time.sleep(0.2)
            proxy.cut()
            time.sleep(0.1)
            proxy.restore()
        writing.result()
    assert set(catalog.rows_of(names)) == set(names)
    assert len(list(catalog.uris_under("/"))) == 200
    if catalog._writer._carrier.owed.is_unsure:  # a counter was cut off
        catalog.recount()
    assert (catalog.state().images, catalog.state().sources) == (200, 200)
    assert catalog.recount().corrections == {}
    catalog.close()


def test_what_was_not_made_names_the_command_that_makes_it(other):
    with pytest.raises(BackendMissingError) as caught:
        CassandraCatalog.open(other)
    assert "init-cluster" in caught.value.hint
    assert states(other) == {"catalog": "ok", "catalog schema": "error"}


def test_a_replication_that_the_server_refuses_is_told(other):
    replication = {"class": "NetworkTopologyStrategy", "nowhere": 1}
    with pytest.raises(BackendError, match="nowhere"):
        CassandraProvisioner(replace(other, replication=replication)).prepare()


def test_a_datacenter_that_is_not_there_is_told(space):
    with pytest.raises(BackendUnreachableError):
        space.open(local_datacenter="nowhere")


def test_preparing_makes_everything_once_even_by_two_at_once(other, cassandra_space):
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(CassandraProvisioner(other).prepare) for _ in range(2)]
        made = [task.result() for task in tasks]
    tables = {f"the table {other.keyspace}.{name}" for name in cql.TABLES}
    assert {f"the keyspace {other.keyspace}", *tables} == {*made[0], *made[1]}
    assert CassandraProvisioner(other).prepare() == []
    catalog = CassandraCatalog.open(other)
    catalog.commit(BATCH)
    assert catalog.rows_of([IMAGE]) == {IMAGE: hashed_row(IMAGE)}
    catalog.close()
    found = states(other)
    assert found == {"catalog": "ok", "catalog schema": "ok", "catalog copies": "warning"}
    weak = states(replace(other, consistency="ONE"))
    assert weak["catalog consistency"] == "warning"


@pytest.mark.parametrize(
    ("change", "undo"),
    [
        ("UPDATE @about SET number = 99 WHERE name = 'schema'", f"number = {cql.VERSION}"),
        ("UPDATE @about SET words = 'photo album' WHERE name = 'schema'", f"words = '{cql.MARK}'"),
    ],
)
def test_a_schema_of_another_version_or_owner_is_refused(space, change, undo):
    space.execute(change)
    try:
        with pytest.raises(BackendSchemaError) as caught:
            space.open()
        assert caught.value.hint
        with pytest.raises(BackendSchemaError):
            CassandraProvisioner(space.options).prepare()
        assert states(space.options)["catalog schema"] == "error"
    finally:
        space.execute(f"UPDATE @about SET {undo} WHERE name = 'schema'")
    assert states(space.options)["catalog schema"] == "ok"


def test_a_keyspace_with_foreign_tables_is_left_alone(cassandra_space):
    options = replace(cassandra_space.options, keyspace=f"test_{secrets.token_hex(6)}")
    execute = cassandra_space.client.execute
    execute(
        f"CREATE KEYSPACE {options.keyspace} WITH replication ="
        " {'class': 'SimpleStrategy', 'replication_factor': 1}",
        timeout_s=60.0,
    )
    try:
        execute(f"CREATE TABLE {options.keyspace}.images (name text PRIMARY KEY)", timeout_s=60.0)
        with pytest.raises(BackendSchemaError, match="images"):
            CassandraProvisioner(options).prepare()
        assert states(options)["catalog schema"] == "error"
        with pytest.raises(BackendMissingError):
            CassandraCatalog.open(options)
        tables = execute(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s",
            (options.keyspace,),
        )
        assert tables == [("images",)]
    finally:
        execute(f"DROP KEYSPACE {options.keyspace}", timeout_s=60.0)


def test_the_driver_that_is_missing_is_named(monkeypatch):
    import sys

    options = CassandraOptions.from_url("cassandra://127.0.0.1/x")
    for name in [name for name in sys.modules if name.split(".")[0] == "cassandra"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cassandra", None)
    with pytest.raises(MissingExtraError) as caught:
        CassandraCatalog.open(options)
    assert "lookalike[cassandra]" in caught.value.hint
