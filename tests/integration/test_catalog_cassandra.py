"""What is Cassandra's own: many writers, commits cut short at any statement, hashed rows."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra_mapping import HEAD_BYTES, uri_key
from lookalike.adapters.catalog_values import pack_key
from lookalike.domain import reasons
from lookalike.domain.errors import BackendError, BackendSchemaError, StoreError
from lookalike.domain.images import (
    DetectedObject,
    ImageFacts,
    ImageId,
    Row,
    Source,
    hashed_row,
    image_id,
)
from lookalike.ports.catalog import Batch, Failure, NewImage, Reading
from lookalike.ports.copies import CopyDecision, CopyMember, CopyStep
from tests.unit.stores.test_catalog_machine import CatalogMachine

pytestmark = pytest.mark.service

NOW = 1_700_000_000.0


@pytest.fixture
def space(cassandra_space):
    cassandra_space.clean()
    return cassandra_space


@pytest.fixture
def opened(space):
    catalogs = []

    def open_(**options):
        catalogs.append(space.open(clock=lambda: NOW, **options))
        return catalogs[-1]

    yield open_
    for catalog in catalogs:
        catalog.close()


@pytest.fixture
def catalog(opened):
    return opened()


def key(name):
    return image_id(name.encode())


def row(name):
    return hashed_row(key(name))


def new(name):
    return NewImage(row(name), ImageFacts(key(name), 640, 480, 12_345, "jpeg"))


def seen(name, uri, **changes):
    return key(name), Source(uri, **{"seen": NOW} | changes)


def put(catalog, name, *uris, **changes):
    sources = [seen(name, uri, **changes) for uri in uris or (f"/{name}",)]
    return catalog.commit(Batch([new(name)], sources))


def uris_of(catalog, name):
    (record,) = catalog.records([row(name)])
    return None if record is None else [source.uri for source in record.sources]


def everything(catalog, *, is_logged=True):
    """What a catalog holds, all of its listings and counts, without the numbers of its log."""
    state = catalog.state()
    records = sorted(catalog.all_records(), key=lambda record: record.row)
    uris = list(catalog.uris_under("", has_vanished=True))
    changes = {(c.row, c.op) for c in catalog.changes(after=0)} if is_logged else None
    return {
        "counts": (state.rows, state.images, state.sources, state.removed, state.failures),
        "records": records,
        "rows": catalog.rows_of([key(name) for name in "abcdefgh"]),
        "uris": uris,
        "states": catalog.source_states([*uris, "/1", "/2", "/3", "/4", "/5"]),
        "failures": catalog.failures(),
        "reasons": catalog.failure_counts(),
        "removed": catalog.removed_rows(),
        "sites": [catalog.ids_of_site(site) for site in ("org", "example.org", "other.net")],
        "ids": catalog.ids_with_prefix("", limit=100),
        "changed": changes,
        "groups": sorted(catalog.copies.all_groups(), key=lambda members: members[0].row),
        "group of": catalog.copies.groups_of(np.array([row(name) for name in "abc"])).tolist(),
        "copies": catalog.copies.counts(),
        "decisions": catalog.copies.decisions([row(name) for name in "abc"]),
        "kept": catalog.copies.kept([row(name) for name in "abc"]),
        "steps": [step.kind for step in catalog.copies.steps()],
    }


# ── Rows and uris ────────────────────────────────────────────────────────────────────────


def test_a_removed_image_comes_back_at_its_row(catalog):
    put(catalog, "a")
    catalog.remove([key("a")])
    assert catalog.removed_rows() == [row("a")]
    assert catalog.state().rows == 1
    put(catalog, "a", "/again")
    assert catalog.rows_of([key("a")]) == {key("a"): row("a")}
    assert uris_of(catalog, "a") == ["/again"]
    state = catalog.state()
    assert (state.rows, state.images, state.removed) == (1, 1, 0)
    assert catalog.removed_rows() == []


def test_an_image_whose_row_is_taken_is_refused_with_its_reason(catalog):
    first = ImageId("0123456789abcdef" + "0" * 16)
    second = ImageId("0123456789abcdef" + "1" * 16)
    assert hashed_row(first) == hashed_row(second)
    for image, uri in ((first, "/1"), (second, "/2"), (second, "/2")):
        facts = ImageFacts(image, 1, 1, 1, "png")
        new_image = NewImage(hashed_row(image), facts)
        catalog.commit(Batch([new_image], [(image, Source(uri, seen=NOW))]))
    assert catalog.rows_of([first, second]) == {first: hashed_row(first)}
    (record,) = catalog.records([hashed_row(second)])
    assert record.id == first
    assert catalog.failure_counts() == {reasons.ROW_TAKEN: 1}
    assert catalog.source_states(["/2"])["/2"].reason == reasons.ROW_TAKEN


def test_a_row_that_is_not_hashed_and_taken_is_an_error(catalog):
    catalog.commit(Batch([NewImage(Row(3), new("a").facts)]))
    with pytest.raises(StoreError, match="row 3"):
        catalog.commit(Batch([NewImage(Row(3), new("b").facts)]))
    for bad in (-1, 1 << 63):
        with pytest.raises(StoreError):
            catalog.commit(Batch([NewImage(Row(bad), new("b").facts)]))
    with pytest.raises(StoreError, match="without an image"):
        catalog.commit(Batch(rows=1 << 40))


def test_uris_may_be_of_any_length(catalog):
    long = "https://example.org/" + "x" * 70_000
    put(catalog, "a", long + "a", long + "b", "/short")
    catalog.commit(Batch(failures=[Failure(long + "c", reasons.EMPTY)]))
    assert uris_of(catalog, "a") == [long + "a", long + "b", "/short"]
    assert set(catalog.source_states([long + "a", long + "d"])) == {long + "a"}
    assert set(catalog.uris_under("https://")) == {long + "a", long + "b", long + "c"}
    assert list(catalog.uris_under(long + "b")) == [long + "b"]
    assert list(catalog.uris_under(long[:HEAD_BYTES] + "y")) == []
    catalog.commit(Batch(forgotten=[long + "a"]))
    assert set(catalog.uris_under("https://")) == {long + "b", long + "c"}


def test_an_image_may_have_very_many_and_very_large_sources(catalog):
    uris = [f"/{number:05}" for number in range(700)]
    put(catalog, "a", *uris, caption="c" * 10_000)
    assert uris_of(catalog, "a") == uris
    assert catalog.state().sources == 700
    put(catalog, "a", "/00699", "/more", title="told anew")
    (record,) = catalog.records([row("a")])
    assert len(record.sources) == 701
    assert record.sources[699].title == "told anew"
    assert record.sources[699].caption == "c" * 10_000
    assert catalog.state().sources == 701
    put(catalog, "b", *uris[:650])
    assert uris_of(catalog, "a") == [*uris[650:], "/more"]
    put(catalog, "c", *uris[650:], "/more")
    assert uris_of(catalog, "a") is None
    assert catalog.state().sources == 701
    catalog.remove([key("b")])
    assert catalog.state().sources == 51
    assert len(list(catalog.uris_under("/"))) == 51


def test_a_site_with_an_endless_name_is_held_too(catalog):
    site = "x" * 3000 + ".example.org"
    put(catalog, "a", site=site)
    assert catalog.ids_of_site(site) == [key("a")]
    assert catalog.ids_of_site("example.org") == [key("a")]


def test_a_site_that_a_source_has_left_no_longer_lists_its_image(catalog):
    put(catalog, "a", "/1", site="www.example.org")
    put(catalog, "a", "/2", site="other.net")
    put(catalog, "a", "/1", site="elsewhere.net")
    assert catalog.ids_of_site("example.org") == []
    assert catalog.ids_of_site("net") == [key("a")]
    catalog.commit(Batch(forgotten=["/2"]))
    assert catalog.ids_of_site("other.net") == []
    assert catalog.ids_of_site("elsewhere.net") == [key("a")]


# ── Cut short ────────────────────────────────────────────────────────────────────────────


class FailingSession:
    """A session that is lost at its n-th statement, before or after that one has arrived."""

    def __init__(self, session, *, after, has_arrived):
        self._session = session
        self._left = after
        self._has_arrived = has_arrived

    def prepare(self, cql):
        return self._session.prepare(cql)

    def execute_async(self, *args, **kwargs):
        from cassandra import OperationTimedOut

        self._left -= 1
        if self._left >= 0:
            return self._session.execute_async(*args, **kwargs)
        if self._left == -1 and self._has_arrived:
            self._session.execute_async(*args, **kwargs).result()
        raise OperationTimedOut


def cut(catalog, act, *, after, has_arrived):
    """Act on a catalog whose connection is lost on the way; False when it came through."""
    client = catalog._client
    session, client._session = (
        client._session,
        FailingSession(client._session, after=after, has_arrived=has_arrived),
    )
    try:
        act(catalog)
    except BackendError:
        return True
    finally:
        client._session = session
    return False


def empty(space, *catalogs):
    space.clean()
    for catalog in catalogs:
        catalog._writer._carrier._parts.clear()  # of partitions that it knows are listed


def prepare_scene(catalog):
    assert catalog._writer._carrier.owed.is_settled
    put(catalog, "a", "/1", site="www.example.org")
    put(catalog, "b", "/2", "/3", site="other.net")
    catalog.commit(Batch(failures=[Failure("/4", reasons.EMPTY, seen=NOW)]))
    put(catalog, "d", "/d1", "/d2")
    group(catalog, "a", "b", "d")
    catalog.copies.decide(CopyStep(1, "keep", (row("a"), row("b")), row("a")), [apart("a", "b")])


def group(catalog, first, *others):
    """Make the first image canonical and link the others to it."""
    links = [
        CopyMember(row(name), row(first), via=row(first), reason="phash", score=1 / (2 + at))
        for at, name in enumerate(others)
    ]
    members = [CopyMember(row(first), row(first), is_canonical=True), *links]
    catalog.copies.replace([one.row for one in members], members)


def apart(one, other):
    return CopyDecision(*sorted((row(one), row(other))), "different", 1.0)


def regroup(catalog):
    put(catalog, "c", "/c1")
    group(catalog, "c", "b", "a")


def decide(catalog):
    """Decide what a first try may have decided already, in an act of its own."""
    step = CopyStep(2, "merge", (row("a"), row("b"), row("d")), row("b"))
    alike = replace(apart("a", "b"), verdict="same")
    if len(catalog.copies.steps()) < 2:
        catalog.copies.decide(step, [alike, apart("a", "d")])
    catalog.copies.adopt([], [])


def undo(catalog):
    if catalog.copies.steps():
        catalog.copies.undo()


FOUND = (DetectedObject("cat", 0.5, (0.0, 0.0, 0.5, 0.5)),)
SCENES = {
    "put": Batch([new("c")], [seen("c", "/5", site="example.org"), seen("b", "/6")]),
    "move": Batch([new("c")], [seen("c", "/1", site="example.org"), seen("c", "/2")]),
    "fail": Batch(failures=[Failure("/1", reasons.CORRUPT, seen=NOW)]),
    "heal": Batch(sources=[seen("b", "/4")]),
    "vanish": Batch(vanished=["/2", "/4"]),
    "forget": Batch(forgotten=["/1", "/2", "/4"]),
    "read": Batch(readings=[Reading(key(name), objects=FOUND) for name in "abx"]),
}
ACTS = {
    **{name: lambda catalog, batch=batch: catalog.commit(batch) for name, batch in SCENES.items()},
    "remove": lambda catalog: catalog.remove([key("a"), key("b")]),
    "block": lambda catalog: catalog.remove([key("b")], is_blocked=True),
    "regroup": regroup,
}


@pytest.fixture
def no_second_try(monkeypatch):
    monkeypatch.setattr("lookalike.adapters.catalog_cassandra_client.TRIES", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("no_second_try")
@pytest.mark.parametrize("has_arrived", [False, True], ids=["lost", "unanswered"])
@pytest.mark.parametrize("name", ACTS)
def test_a_retry_mends_what_was_cut_short_at_any_statement(space, opened, name, has_arrived):
    act = ACTS[name]
    catalog = opened(request_timeout_s=5.0)
    prepare_scene(catalog)
    act(catalog)
    expected = everything(catalog)
    for after in itertools.count(int(has_arrived), 2):
        empty(space, catalog)
        prepare_scene(catalog)
        was_cut = cut(catalog, act, after=after, has_arrived=has_arrived)
        act(catalog)
        if catalog._writer._carrier.owed.is_unsure:  # a counter was cut
            catalog._clock = lambda: NOW + 10_000
            catalog.recount()
        assert everything(catalog) == expected, f"cut at statement {after}"
        if not was_cut:
            break
    assert after > 5


@pytest.mark.slow
@pytest.mark.usefixtures("no_second_try")
@pytest.mark.parametrize("name", ["move", "forget", "remove", "read", "regroup"])
def test_another_process_mends_what_a_killed_one_left(space, opened, name):
    act, checker = ACTS[name], opened()
    prepare_scene(checker)
    act(checker)
    expected = everything(checker, is_logged=False)
    for after in itertools.count(0, 3):
        empty(space, checker)
        prepare_scene(checker)
        killed = opened(request_timeout_s=5.0)
        was_cut = cut(killed, act, after=after, has_arrived=False)
        act(checker)
        checker._clock = lambda: NOW + 10_000
        checker.recount()
        assert everything(checker, is_logged=False) == expected, f"cut at statement {after}"
        assert space.execute("SELECT * FROM @commits_open") == []
        if not was_cut:
            break


@pytest.mark.slow
@pytest.mark.usefixtures("no_second_try")
@pytest.mark.parametrize("act", [decide, undo])
def test_an_act_that_was_cut_short_is_carried_through_or_never_was(space, opened, act):
    catalog, checker = opened(request_timeout_s=5.0), opened()
    prepare_scene(catalog)
    before = everything(checker)
    act(catalog)
    expected = everything(checker)
    for after in itertools.count():
        empty(space, catalog)
        prepare_scene(catalog)
        was_cut = cut(catalog, act, after=after, has_arrived=False)
        checker.copies._settled()  # as any later act would begin
        found = everything(checker)
        assert found in (before, expected), f"cut at statement {after}"
        if not was_cut:
            assert found == expected
            break
    assert after > 3


def test_a_commit_that_was_cut_short_is_told_and_its_change_is_logged(space, opened):
    from lookalike.adapters.catalog_cassandra_provision import CassandraProvisioner

    killed, catalog = opened(request_timeout_s=5.0), opened()
    put(killed, "z")
    prepared = killed._client._prepared
    assert cql.PUT_CHANGE.cql in prepared
    killed._writer.log = lambda changes: (_ for _ in ()).throw(BackendError("x", "killed"))
    with pytest.raises(BackendError):
        put(killed, "a")
    findings = {one.name: one for one in CassandraProvisioner(space.options).check()}
    assert findings["catalog counts"].state == "warning"
    assert catalog.rows_of([key("a")]) == {key("a"): row("a")}
    assert row("a") not in {change.row for change in catalog.changes(after=0)}
    assert catalog.recount().corrections == {"images": 1, "sources": 1}
    assert row("a") not in {change.row for change in catalog.changes(after=0)}
    catalog._clock = lambda: NOW + 10_000
    report = catalog.recount()
    assert (report.corrections, report.logged) == ({}, 1)
    assert row("a") in {change.row for change in catalog.changes(after=0)}
    findings = {one.name: one for one in CassandraProvisioner(space.options).check()}
    assert "catalog counts" not in findings


# ── Older schemas ────────────────────────────────────────────────────────────────────────

FIRST_TABLES = (
    "CREATE TABLE @copy_groups (copy_group bigint, row bigint, is_canonical boolean, reason text,"
    " score double, PRIMARY KEY (copy_group, row))",
    "CREATE TABLE @copy_group_of (row bigint PRIMARY KEY, copy_group bigint)",
    "CREATE TABLE @copy_decisions (row bigint, other bigint, is_copy boolean, decided_by text,"
    " decided double, PRIMARY KEY (row, other))",
)
"""What the first version made otherwise; images had no columns for copies, objects and words."""


@pytest.fixture
def first_space():
    """A keyspace as the first version has made it, with one image."""
    from tests.cassandra_space import CassandraSpace
    from tests.real_services import need

    space = CassandraSpace(need("cassandra"))
    catalog = space.open()
    put(catalog, "a", "/1")
    catalog.close()
    new = [*cql.COPY_COLUMNS, "embedded", "objects", "words"]
    for statement in (
        f"ALTER TABLE @images DROP ({', '.join(new)})",
        *(f"DROP TABLE @{name}" for name in ("copy_groups", "copy_decisions", "copy_kept")),
        "DROP TABLE @copy_steps",
        *FIRST_TABLES,
        "UPDATE @about SET number = 1 WHERE name = 'schema'",
    ):
        space.execute(statement, timeout_s=60.0)
    yield space
    space.drop()


def test_a_keyspace_of_the_first_version_is_named_and_brought_up_to_date(first_space):
    from lookalike.adapters.catalog_cassandra_provision import CassandraProvisioner

    provisioner = CassandraProvisioner(first_space.options)
    with pytest.raises(BackendSchemaError, match="version 1") as caught:
        first_space.open()
    assert "init-cluster" in caught.value.hint
    (finding,) = [one for one in provisioner.check() if one.name == "catalog schema"]
    assert (finding.state, "version 1" in finding.detail) == ("error", True)
    assert "init-cluster" in finding.remedy
    first_space.execute("ALTER TABLE @images ADD words blob static")  # an upgrade cut short
    assert any("copy_group" in line for line in provisioner.prepare())
    assert list(provisioner.prepare()) == []
    assert not [one for one in provisioner.check() if one.state == "error"]
    catalog = first_space.open()
    assert uris_of(catalog, "a") == ["/1"]
    put(catalog, "b")
    catalog.commit(SCENES["read"])
    assert [record.objects for record in catalog.records([row("a"), row("b")])] == [FOUND, FOUND]
    group(catalog, "a", "b")
    assert catalog.copies.counts() == (1, 2)
    assert catalog.recount().corrections == {}
    catalog.close()


def test_tables_of_something_else_are_left_alone(first_space):
    from lookalike.adapters.catalog_cassandra_provision import CassandraProvisioner

    first_space.execute("ALTER TABLE @copy_decisions ADD theirs text")
    with pytest.raises(BackendSchemaError, match="copy_decisions"):
        CassandraProvisioner(first_space.options).prepare()
    assert first_space.execute("SELECT number FROM @about WHERE name = 'schema'") == [(1,)]


# ── Against a model ──────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_the_machine_of_the_embedded_catalog_finds_no_difference(cassandra_space):
    class Machine(CatalogMachine):
        def make(self):
            cassandra_space.clean()

        def open(self):
            return cassandra_space.open(clock=lambda: 100.0)

        def drop(self):
            pass

    few = settings(max_examples=10, stateful_step_count=12)
    run_state_machine_as_test(Machine, settings=few)


# ── Writers that meet ────────────────────────────────────────────────────────────────────


def together(*acts):
    """Run functions at the same moment, and raise what one of them has raised."""
    barrier = threading.Barrier(len(acts))

    def run(act):
        barrier.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [task.result() for task in [pool.submit(run, act) for act in acts]]


def assert_sound(catalog):
    """Every uri leads where it is held, and counts are what a recount finds."""
    held = {source.uri: record.id for record in catalog.all_records() for source in record.sources}
    total = sum(len(record.sources) for record in catalog.all_records())
    assert total == len(held), "a uri is held by two images"
    listed = list(catalog.uris_under("", has_vanished=True))
    states = catalog.source_states([*listed, *held])
    assert {uri: state.image for uri, state in states.items() if state.image} == held
    assert set(listed) == set(states)
    ids = [record.id for record in catalog.all_records()]
    assert set(catalog.rows_of(ids)) == set(ids)
    assert catalog.recount().corrections == {}


def test_two_writers_put_the_same_images_at_once(opened):
    one, other = opened(), opened()
    for turn in range(8):
        names = [f"{turn}-{at}" for at in range(6)]

        def put_all(catalog, side, names=names):
            sources = [seen(name, f"/{side}/{name}") for name in names]
            catalog.commit(Batch([new(name) for name in names], sources))

        together(lambda: put_all(one, "one"), lambda: put_all(other, "other"))
        for name in names:
            assert set(uris_of(one, name)) == {f"/one/{name}", f"/other/{name}"}
    assert one.state().images == 48
    assert one.state().sources == 96
    assert_sound(one)


def test_a_source_that_comes_while_the_last_one_goes_is_kept(opened):
    one, other = opened(), opened()
    for turn in range(25):
        name = f"n{turn}"
        put(one, name, f"/old/{turn}")
        together(
            lambda turn=turn: one.commit(Batch(forgotten=[f"/old/{turn}"])),
            lambda name=name, turn=turn: put(other, name, f"/new/{turn}"),
        )
        assert uris_of(one, name) == [f"/new/{turn}"]
        assert other.rows_of([key(name)]) == {key(name): row(name)}
    assert_sound(one)


def test_a_uri_that_two_writers_lead_elsewhere_ends_at_one_image(opened):
    catalogs = [opened() for _ in range(3)]
    put(catalogs[0], "start", *[f"/{n}" for n in range(4)])
    for turn in range(12):
        names = [f"{turn}-{side}" for side in "abc"]
        together(
            *[
                lambda catalog=catalog, name=name: put(catalog, name, "/0", "/1", "/2", "/3")
                for catalog, name in zip(catalogs, names, strict=True)
            ]
        )
        states = catalogs[0].source_states([f"/{n}" for n in range(4)])
        assert {state.image for state in states.values()} <= {key(name) for name in names}
        assert len(states) == 4
    assert_sound(catalogs[0])


def test_a_uri_that_goes_to_and_fro_is_never_lost(opened):
    catalogs = [opened() for _ in range(2)]
    put(catalogs[0], "a", "/x", "/a")
    put(catalogs[0], "b", "/b")

    def swing(catalog, name):
        for _ in range(15):
            put(catalog, name, "/x", f"/{name}")

    together(lambda: swing(catalogs[0], "a"), lambda: swing(catalogs[1], "b"))
    assert len(catalogs[0].source_states(["/x", "/a", "/b"])) == 3
    assert_sound(catalogs[0])


def test_an_image_that_is_blocked_while_it_comes_does_not_stay(opened):
    one, other = opened(), opened()
    for turn in range(25):
        name = f"n{turn}"
        together(
            lambda name=name: one.remove([key(name)], is_blocked=True),
            lambda name=name: put(other, name),
        )
        put(other, f"m{turn}")
        assert other.rows_of([key(name)]) == {}
        assert uris_of(one, name) is None
    assert_sound(one)


def test_two_writers_place_images_into_one_group_at_once(opened):
    one, other = opened(), opened()
    for turn in range(10):
        names = [f"{turn}-{at}" for at in range(4)]
        for name in names:
            put(one, name)
        group(one, *names[:2])
        together(
            lambda names=names: group(one, names[2], *names[:2]),
            lambda names=names: group(other, names[3], *names[:2]),
        )
        found = {members[0].group: members for members in one.copies.all_groups()}
        for members in found.values():
            assert len(members) >= 2
            assert [member.is_canonical for member in members[:2]] == [True, False]
        total = sum(map(len, found.values()))
        assert one.copies.counts() == (len(found), total)
    assert_sound(one)


def test_an_image_that_goes_while_it_is_placed_is_in_no_group(opened):
    one, other = opened(), opened()
    for turn in range(10):
        names = [f"{turn}-{at}" for at in range(3)]
        for name in names:
            put(one, name)
        together(
            lambda names=names: group(one, *names),
            lambda names=names: other.remove([key(names[0])]),
        )
        (members,) = [of for of in one.copies.all_groups() if of[1].row in map(row, names)]
        assert {member.row for member in members} == {row(names[1]), row(names[2])}
        one.remove([key(name) for name in names[1:]])
    assert one.copies.counts() == (0, 0)
    assert_sound(one)


def test_many_threads_of_one_catalog_write_at_once(opened):
    catalog = opened()

    def write(side):
        for turn in range(6):
            put(catalog, f"{turn}", f"/{side}/{turn}")
            catalog.commit(Batch(failures=[Failure(f"/bad/{side}/{turn}", reasons.EMPTY)]))

    together(*[lambda side=side: write(side) for side in range(4)])
    state = catalog.state()
    assert (state.images, state.sources, state.failures) == (6, 24, 24)
    changes = catalog.changes(after=0)
    assert [change.seq for change in changes] == sorted({change.seq for change in changes})
    assert_sound(catalog)


def test_a_late_write_of_an_older_state_changes_nothing(catalog, space):
    put(catalog, "a", "/1")
    catalog.remove([key("a")])
    (version,) = space.execute("SELECT version FROM @images WHERE row = %s LIMIT 1", (row("a"),))[0]
    identity = bytes.fromhex(key("a"))
    late = version - 1
    space.execute(
        f"UPDATE @ids USING TIMESTAMP {late} SET row = %s WHERE prefix = %s AND id = %s",
        (row("a"), identity[:2], identity),
    )
    assert catalog.rows_of([key("a")]) == {}


def test_a_forgotten_uri_leaves_nothing_within_a_day(catalog, space):
    put(catalog, "a", "/1", "/2")
    catalog.commit(Batch(forgotten=["/1"]))
    (ttl,) = space.execute(
        "SELECT ttl(stamp) FROM @uris WHERE key = %s", (uri_key(pack_key("/1")),)
    )[0]
    assert cql.FORGOTTEN_S - 60 <= ttl <= cql.FORGOTTEN_S
    put(catalog, "a", "/1")
    (ttl,) = space.execute(
        "SELECT ttl(stamp) FROM @uris WHERE key = %s", (uri_key(pack_key("/1")),)
    )[0]
    assert ttl is None


def test_no_statement_scans_a_table_but_listings(opened):
    """Each names a whole partition; only listings, by token range, do not."""
    for name, statement in vars(cql).items():
        if not isinstance(statement, cql.Statement) or name.startswith(("LIST_", "SAMPLE_")):
            continue
        assert "ALLOW FILTERING" not in statement.cql
        assert " IN (" not in statement.cql
        assert "WHERE" in statement.cql or statement.cql.startswith("INSERT"), name
