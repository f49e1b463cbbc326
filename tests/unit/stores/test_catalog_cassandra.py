"""The pure parts of the Cassandra catalog: options, errors, keys, statements, plans."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra_errors import is_refused, is_transient, translated
from lookalike.adapters.catalog_cassandra_mapping import (
    pack_number,
    pack_pair,
    site_key,
    site_shard,
    sites_above,
    unpack_number,
    unpack_pair,
    uri_key,
    uri_part,
    whole,
)
from lookalike.adapters.catalog_cassandra_options import CassandraOptions
from lookalike.adapters.catalog_cassandra_planning import (
    ImageState,
    Plan,
    Scene,
    StoredSource,
    UriState,
)
from lookalike.adapters.catalog_cassandra_writing import Ticker
from lookalike.adapters.catalog_values import pack_key
from lookalike.domain.errors import (
    BackendAuthError,
    BackendError,
    BackendFullError,
    BackendMissingError,
    BackendSchemaError,
    BackendTimeoutError,
    BackendUnreachableError,
    BackendVersionError,
    StoreError,
    UsageError,
)
from lookalike.domain.images import ImageFacts, Source, hashed_row, image_id
from lookalike.ports.catalog import Batch, NewImage

# ── Options ──────────────────────────────────────────────────────────────────────────────


def test_a_url_names_hosts_and_a_keyspace():
    options = CassandraOptions.from_url(
        "cassandra://10.0.0.1:9999,db.example.org,[::1]:1234/photos",
        username="u",
        password="p",
        consistency="QUORUM",
        replication={"class": "NetworkTopologyStrategy", "dc1": 3},
        request_timeout_s=2,
    )
    assert options.hosts == (("10.0.0.1", 9999), ("db.example.org", 9042), ("::1", 1234))
    assert options.keyspace == "photos"
    assert (options.reads, options.writes) == ("QUORUM", "QUORUM")
    assert options.request_timeout_s == 2.0
    assert options.name == "cassandra://10.0.0.1:9999/photos"
    assert "p'" not in repr(options)
    assert options.is_overlapping


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/photos",
        "cassandra://127.0.0.1",
        "cassandra:///photos",
        "cassandra://127.0.0.1/Photos",
        "cassandra://127.0.0.1/a/b",
        "cassandra://127.0.0.1/photos; drop",
        "cassandra://127.0.0.1:x/photos",
        "cassandra://127.0.0.1,/photos",
        "cassandra://[::1/photos",
        "cassandra://u:p@127.0.0.1/photos",
        "cassandra://127.0.0.1/photos?x=1",
    ],
)
def test_other_urls_are_refused_with_a_hint(url):
    with pytest.raises(UsageError) as caught:
        CassandraOptions.from_url(url)
    assert caught.value.hint
    assert "u:p" not in caught.value.message


@pytest.mark.parametrize(
    "settings",
    [
        {"consistancy": "ONE"},
        {"consistency": "MOST"},
        {"read_consistency": "EACH_QUORUM"},
        {"serial_consistency": "QUORUM"},
        {"consistency": 3},
        {"request_timeout_s": 0},
        {"request_timeout_s": True},
        {"in_flight": 0},
        {"in_flight": 2.5},
        {"log_days": 0},
        {"uri_parts": 1 << 20},
        {"replication": {"dc1": 3}},
        {"replication": "3"},
        {"is_encrypted": "yes"},
        {"keyspace": "other"},
    ],
)
def test_settings_that_cannot_work_are_refused_with_a_hint(settings):
    with pytest.raises(UsageError) as caught:
        CassandraOptions.from_url("cassandra://127.0.0.1/photos", **settings)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("levels", "is_overlapping"),
    [
        ({}, True),
        ({"consistency": "ONE"}, False),
        ({"read_consistency": "ONE"}, False),
        ({"read_consistency": "ONE", "write_consistency": "ALL"}, True),
        ({"write_consistency": "EACH_QUORUM"}, True),
    ],
)
def test_levels_that_do_not_overlap_are_known(levels, is_overlapping):
    options = CassandraOptions.from_url("cassandra://127.0.0.1/photos", **levels)
    assert options.is_overlapping is is_overlapping


# ── Errors ───────────────────────────────────────────────────────────────────────────────


def of_hosts(*errors):
    from cassandra.cluster import NoHostAvailable

    return NoHostAvailable("none", {f"host{at}": error for at, error in enumerate(errors)})


def driver_errors():
    import cassandra
    from cassandra.cluster import NoHostAvailable
    from cassandra.connection import ConnectionShutdown

    return [
        (of_hosts(ConnectionRefusedError("refused")), BackendUnreachableError, True),
        (NoHostAvailable("none", {}), BackendUnreachableError, True),
        (ConnectionShutdown("gone"), BackendUnreachableError, True),
        (cassandra.UnresolvableContactPoints({}), BackendUnreachableError, False),
        (cassandra.OperationTimedOut(), BackendTimeoutError, True),
        (of_hosts(cassandra.OperationTimedOut()), BackendTimeoutError, True),
        (TimeoutError("late"), BackendTimeoutError, False),
        (of_hosts(cassandra.AuthenticationFailed("no")), BackendAuthError, False),
        (cassandra.Unauthorized("no"), BackendAuthError, False),
        (cassandra.InvalidRequest("Keyspace 'x' does not exist"), BackendMissingError, False),
        (cassandra.InvalidRequest("unconfigured table about"), BackendMissingError, False),
        (cassandra.InvalidRequest("Undefined column name row"), BackendSchemaError, False),
        (cassandra.InvalidRequest("something else"), BackendError, False),
        (cassandra.DriverException("ProtocolVersion 5 refused"), BackendVersionError, False),
        (OSError("No space left on device"), BackendFullError, False),
    ]


@pytest.mark.parametrize("number", range(15))
def test_each_error_of_the_driver_has_its_meaning_and_a_remedy(number):
    pytest.importorskip("cassandra")
    error, kind, is_again = driver_errors()[number]
    made = translated(error, "cassandra://h:1/k")
    assert type(made) is kind
    assert made.message.startswith("cassandra://h:1/k: ")
    assert made.hint
    assert is_transient(error) is is_again


def test_what_no_replica_has_seen_is_known():
    cassandra = pytest.importorskip("cassandra")
    assert is_refused(of_hosts())
    assert is_refused(of_hosts(ConnectionRefusedError()))
    assert not is_refused(of_hosts(cassandra.OperationTimedOut()))
    assert not is_refused(cassandra.OperationTimedOut())


# ── Keys and statements ──────────────────────────────────────────────────────────────────


def test_sites_above_end_with_the_top_level_domain():
    assert sites_above("a.b.example.org") == [
        "a.b.example.org",
        "b.example.org",
        "example.org",
        "org",
    ]
    assert sites_above("") == []
    assert sites_above("org") == ["org"]
    assert sites_above("b.") == ["b."]
    assert len(sites_above(".".join("x" * 1000))) == 127


@given(site=st.text(max_size=3000))
def test_a_site_makes_a_key_that_cassandra_takes(site):
    assert len(site_key(site)) <= 1024
    assert 0 <= site_shard(site, 12345) < 256


@given(uri=st.text(st.characters(), max_size=50), parts=st.integers(1, 1 << 16))
def test_a_uri_belongs_to_one_partition(uri, parts):
    key = uri_key(pack_key(uri))
    assert len(key) == 16
    assert 0 <= uri_part(key, parts) < parts


@given(one=st.integers(0, 1 << 62), other=st.integers(0, 1 << 62))
def test_numbers_sort_as_their_bytes_do(one, other):
    assert unpack_number(pack_number(one)) == one
    assert (pack_number(one) < pack_number(other)) == (one < other)
    assert unpack_pair(pack_pair(one % 100_000, other % 256)) == (one % 100_000, other % 256)


def test_numbers_out_of_bounds_are_refused():
    assert whole((1 << 63) - 1)
    with pytest.raises(StoreError):
        whole(1 << 63)


def test_statements_name_columns_that_their_tables_have():
    """A typing error would be found by a server only; this one names what is wrong."""
    for name, statement in vars(cql).items():
        if not isinstance(statement, cql.Statement):
            continue
        (table,) = set(re.findall(r"@(\w+)", statement.cql))
        columns = set(cql.TABLES[table].columns)
        for column in re.findall(r"(\w+) (?:=|<=?|>=?) ", statement.cql):
            assert column in columns, (name, column)
        if chosen := re.match(r"SELECT (?:DISTINCT )?(.+?) FROM", statement.cql):
            assert set(chosen[1].split(", ")) <= columns, name
        marks = statement.cql.count("?")
        if put := re.search(r"INSERT INTO @\w+ \((.+?)\) VALUES \((.+?)\)", statement.cql):
            assert set(put[1].split(", ")) <= columns, name
            assert len(put[1].split(", ")) == len(put[2].split(", ")), name
        assert marks or table in {"commits_open", "about"}, name


def test_every_truth_is_written_by_compare_and_set_alone():
    """Plain writes to the two tables only go with a compare-and-set of the same image."""
    plain = [
        name
        for name, statement in vars(cql).items()
        if isinstance(statement, cql.Statement)
        and re.search(r"(UPDATE|INTO|DELETE.* FROM) @(images|uris)\b", statement.cql)
        and " IF stamp = ?" not in statement.cql
    ]
    assert sorted(plain) == ["DROP_COPY", "DROP_SOURCE", "DROP_SOURCES", "PUT_SOURCE"]


def test_numbers_rise_whatever_the_clock_does():
    times = iter([100, 90, 90, 500, 10])
    tick = Ticker(lambda: next(times))
    assert [tick(), tick(), tick()] == [100, 101, 102]
    tick.witness(300)
    assert tick() == 500
    tick.witness(700)
    assert tick() == 701


# ── Plans ────────────────────────────────────────────────────────────────────────────────


def key(name):
    return image_id(name.encode())


def identity(name):
    return bytes.fromhex(key(name))


def row(name):
    return hashed_row(key(name))


def scene_of(names=(), held=(), blocked=()):
    """A scene of images by name and of uris, each held by the named image or by none."""
    scene = Scene(blocked=set(map(identity, blocked)))
    for name in names:
        scene.images[row(name)] = ImageState(row(name))
    for uri, owner in held:
        of = uri_key(pack_key(uri))
        scene.uris[of] = UriState(uri, of)
        if owner is not None:
            image = scene.images[row(owner)]
            image.id, image.is_live, image.is_stated, image.stamp = identity(owner), True, True, 1
            image.first_seen = image.last_seen = 5.0
            image.sources[of] = StoredSource(1, Source(uri, seen=5.0))
            scene.uris[of].row, scene.uris[of].stamp = row(owner), 1
    return scene


def plan_of(scene):
    return Plan(scene, now=100.0, tick=Ticker(lambda: 0))


def new(name):
    return NewImage(row(name), ImageFacts(key(name), 1, 1, 1, "png"))


def test_a_plan_leaves_its_scene_as_it_was():
    scene = scene_of("ab", [("/1", "a")])
    before = repr(scene)
    plan = plan_of(scene)
    plan.apply(Batch([new("b")], [(key("b"), Source("/1"))], forgotten=["/1"]))
    assert repr(scene) == before
    assert {after.row for _, after in plan.changed_images()} == {row("a"), row("b")}


def test_a_plan_that_changes_nothing_is_empty():
    plan = plan_of(scene_of("a", [("/1", "a")]))
    plan.apply(Batch([new("a")], [(key("a"), Source("/1", seen=5.0))]))
    assert list(plan.changed_images()) == []
    assert list(plan.changed_uris()) == []
    assert plan.touched == {}


def test_an_image_that_was_put_while_it_was_blocked_goes():
    plan = plan_of(scene_of("a", [("/1", "a")], blocked="a"))
    ((before, after),) = plan.changed_images()
    assert (before.is_live, after.is_live) == (True, False)
    assert plan.remove([identity("a")]) == [row("a")]
    ((_, uri),) = plan.changed_uris()
    assert not uri.is_known


def test_an_image_lets_go_of_a_uri_that_has_left_it():
    scene = scene_of("ab", [("/1", "a"), ("/2", "a")])
    of = uri_key(pack_key("/1"))
    scene.uris[of].row, scene.uris[of].former = None, row("a")
    assert scene.unsettled()
    plan = plan_of(scene)
    plan.settle()
    ((_, after),) = plan.changed_images()
    assert [stored.source.uri for stored in after.sources.values()] == ["/2"]


def test_a_uri_that_came_back_meanwhile_is_not_taken_from_its_image():
    scene = scene_of("a", [("/1", "a")])
    scene.uris[uri_key(pack_key("/1"))].former = row("a")
    plan = plan_of(scene)
    plan.settle()
    assert list(plan.changed_images()) == []


def test_a_uri_that_leads_to_a_removed_image_is_not_known():
    scene = scene_of("ab", [("/1", "a")])
    scene.images[row("a")].is_live = False
    scene.images[row("a")].sources.clear()
    plan = plan_of(scene)
    plan.apply(Batch([new("b")], [(key("b"), Source("/1"))]))
    assert plan.uris[uri_key(pack_key("/1"))].row == row("b")
    assert [after.row for _, after in plan.changed_images()] == [row("b")]
