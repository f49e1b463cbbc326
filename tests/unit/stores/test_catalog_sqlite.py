"""What is SQLite's own: versions, damage, a full disk, other processes, sudden death."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from lookalike.adapters.catalog_sqlite import SqliteCatalog
from lookalike.adapters.catalog_sqlite_mapping import pack_site, unpack_site
from lookalike.adapters.catalog_sqlite_schema import APPLICATION_ID, MIGRATIONS, VERSION
from lookalike.domain.errors import (
    DiskFullError,
    IndexCorruptError,
    IndexFormatError,
    IndexLockedError,
    IndexMissingError,
)
from lookalike.domain.images import (
    DetectedObject,
    ImageFacts,
    Row,
    Source,
    image_id,
    merged_source,
)
from lookalike.ports.catalog import Batch, CatalogState, NewImage, Reading


@pytest.fixture
def path(tmp_path):
    return tmp_path / "an index é?#%20" / "catalog.sqlite"


@pytest.fixture
def open_(path):
    path.parent.mkdir()
    opened = []

    def open_catalog(*, is_writer=True):
        opened.append(SqliteCatalog.open(path, is_writer=is_writer, clock=lambda: 1.0))
        return opened[-1]

    yield open_catalog
    for catalog in opened:
        catalog.close()


def batch(first, count, *, caption=""):
    ids = [image_id(str(first + at).encode()) for at in range(count)]
    return Batch(
        [
            NewImage(Row(first + at), ImageFacts(image, 1, 1, 1, "png"))
            for at, image in enumerate(ids)
        ],
        [
            (image, Source(f"/{first + at}", caption=caption, seen=1.0))
            for at, image in enumerate(ids)
        ],
        rows=first + count,
    )


def change(path, statement):
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_reader_needs_a_catalog(open_, path):
    with pytest.raises(IndexMissingError):
        open_(is_writer=False)
    path.touch()
    with pytest.raises(IndexMissingError):
        open_(is_writer=False)


def test_a_newer_format_is_refused_and_left_alone(open_, path):
    open_().close()
    change(path, f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    for is_writer in (True, False):
        with pytest.raises(IndexFormatError, match="format"):
            open_(is_writer=is_writer)
    assert path.read_bytes() == before


def test_an_older_format_is_brought_up_to_date_by_a_writer(open_, path, monkeypatch):
    catalog = open_()
    catalog.commit(batch(0, 1))
    catalog.close()
    schema = "lookalike.adapters.catalog_sqlite_schema"
    monkeypatch.setattr(f"{schema}.MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE later(x)",)))
    monkeypatch.setattr(f"{schema}.VERSION", VERSION + 1)
    with pytest.raises(IndexFormatError, match="older"):
        open_(is_writer=False)
    assert open_().state().images == 1
    assert open_(is_writer=False).state().images == 1


def test_an_index_of_the_first_version_is_brought_up_to_date(open_, path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    key = bytes.fromhex(image_id(b"0"))
    image = (0, key, 4, 3, 99, "png", 1, "photo", 0, None, b"", "red", 7, 0.5, "cc0", "old", "{}")
    connection.execute(f"INSERT INTO images VALUES ({', '.join('?' * 19)})", (*image, 1.0, 2.0))
    source = (1, 0, b"/0", "f", "", b"", "", "", "", "", "cc0", None, 1.0, 0)
    connection.execute(f"INSERT INTO sources VALUES ({', '.join('?' * 14)})", source)
    connection.execute("INSERT INTO log VALUES (1, 0, 0, ?)", (key,))
    connection.execute("UPDATE state SET (seq, rows, images, sources) = (1, 1, 1, 1)")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    with pytest.raises(IndexFormatError, match="older"):
        open_(is_writer=False)
    catalog = open_()
    (record,) = catalog.all_records()
    assert (record.facts.embedded_text, record.facts.keywords) == ("old", ())
    assert (record.objects, record.words, record.copy_group) == ((), (), None)
    assert catalog.state() == CatalogState(1, 1, 1, 1, 0, 0, 0)
    found = DetectedObject("cat", 0.5, (0.0, 0.0, 1.0, 1.0))
    catalog.commit(Batch(readings=[Reading(record.id, objects=(found,))]))
    assert open_(is_writer=False).records([0])[0].objects == (found,)


def test_a_migration_that_fails_changes_nothing(open_, path, monkeypatch):
    open_().close()
    schema = "lookalike.adapters.catalog_sqlite_schema"
    bad = ("CREATE TABLE later(x)", "CREATE TABLE state(x)")
    monkeypatch.setattr(f"{schema}.MIGRATIONS", (*MIGRATIONS, bad))
    monkeypatch.setattr(f"{schema}.VERSION", VERSION + 1)
    with pytest.raises(Exception, match="state"):
        open_()
    monkeypatch.undo()
    assert open_().state().rows == 0


def test_a_file_of_something_else_is_refused_and_left_alone(open_, path):
    change(path, "CREATE TABLE theirs(x)")
    before = path.read_bytes()
    for is_writer in (True, False):
        with pytest.raises(IndexCorruptError, match="not a Lookalike catalog"):
            open_(is_writer=is_writer)
    assert path.read_bytes() == before
    path.write_bytes(b"hello" * 1000)
    with pytest.raises(IndexCorruptError):
        open_()


def test_damage_is_told(open_, path):
    catalog = open_()
    catalog.commit(batch(0, 500, caption="x" * 200))
    catalog.close()
    data = bytearray(path.read_bytes())
    data[8192:] = os.urandom(len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(IndexCorruptError) as caught:
        list(open_(is_writer=False).all_records())
    assert caught.value.hint


def test_two_writers_wait_and_then_say_so(open_, path, monkeypatch):
    monkeypatch.setattr("lookalike.adapters.catalog_sqlite_schema.BUSY_TIMEOUT_MS", 50)
    catalog = open_()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(IndexLockedError):
        catalog.commit(batch(0, 1))
    other.execute("ROLLBACK")
    other.close()
    catalog.commit(batch(0, 1))


def test_a_full_disk_is_told_and_leaves_what_was_acknowledged(open_):
    catalog = open_()
    catalog.commit(batch(0, 10))
    pages = catalog._writer.execute("PRAGMA page_count").fetchone()[0]
    catalog._writer.execute(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(DiskFullError):
        catalog.commit(batch(10, 200, caption="x" * 1000))
    assert catalog.state().rows == 10
    catalog._writer.execute("PRAGMA max_page_count = 1000000")
    catalog.commit(batch(10, 200))
    assert catalog.state().images == 210


FILE_LIMIT = """
import resource, signal, sys
from pathlib import Path
from lookalike.adapters.catalog_sqlite import SqliteCatalog
from lookalike.domain.errors import StoreError
from lookalike.domain.images import Source, image_id, ImageFacts
from lookalike.ports.catalog import Batch, NewImage
catalog = SqliteCatalog.open(Path(sys.argv[1]), is_writer=True, clock=lambda: 1.0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
done = 0
try:
    while True:
        image = image_id(str(done).encode())
        source = Source(f"/{done}", caption="x" * 5000)
        new = NewImage(done, ImageFacts(image, 1, 1, 1, "png"))
        catalog.commit(Batch([new], [(image, source)]))
        done += 1
except StoreError as error:
    print(done, catalog.state().rows, type(error).__name__)
"""


def test_writes_that_fail_in_the_middle_leave_what_was_acknowledged(open_, path):
    output = subprocess.run(
        [sys.executable, "-c", FILE_LIMIT, str(path)], check=True, capture_output=True, text=True
    ).stdout.split()
    done, rows = int(output[0]), int(output[1])
    assert done == rows > 3
    assert output[2] in {"StoreError", "DiskFullError"}
    assert open_().state().images == done
    assert len(list(open_().all_records())) == done


def test_readers_do_not_wait_for_a_writer(open_, path):
    catalog, reader = open_(), open_(is_writer=False)
    catalog.commit(batch(0, 1))
    with catalog._transaction() as transaction:
        transaction.apply(batch(1, 1))
        begin = time.monotonic()
        assert reader.state().rows == 1
        assert catalog.state().rows == 1
        assert time.monotonic() - begin < 1
        transaction.finish()
    assert reader.state().rows == 2


def test_connections_are_used_again(open_):
    catalog = open_()
    barrier = threading.Barrier(4)

    def read():
        barrier.wait()
        for _ in range(20):
            catalog.state()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(catalog._idle) <= 4


def test_closing_leaves_one_file(open_, path):
    catalog = open_()
    catalog.commit(batch(0, 10))
    catalog.state()
    catalog.close()
    assert [file.name for file in path.parent.iterdir()] == ["catalog.sqlite"]


def test_queries_use_their_indexes(open_):
    catalog = open_()
    plan = catalog._all(
        "EXPLAIN QUERY PLAN SELECT image FROM sources WHERE site <> x'' AND site >= ? AND site < ?",
        (b"a", b"b"),
    )
    assert any("sources_by_site" in row[3] for row in plan)
    plan = catalog._all(
        "EXPLAIN QUERY PLAN SELECT uri FROM sources WHERE uri >= ?1 AND uri < ?2"
        " AND is_vanished = 0 UNION ALL SELECT uri FROM failures WHERE uri >= ?1 AND uri < ?2"
        " ORDER BY uri LIMIT 10",
        (b"a", b"b"),
    )
    assert not any("TEMP B-TREE" in row[3] or row[3].startswith("SCAN") for row in plan)


@pytest.mark.parametrize("site", ["", "a", "example.org", "a..b", ".", "b.", "\udcff.org"])
def test_sites_turn_round_and_back(site):
    assert unpack_site(pack_site(site)) == site


def test_merging_a_source_with_itself_changes_nothing():
    source = Source("/a", "f", "p", "s", "t", "a", "c", "x", "cc0", 1.0, 2.0)
    assert merged_source(source, source) == source


WRITER = """
import os, random, signal, sqlite3, sys
from pathlib import Path
from lookalike.adapters.catalog_sqlite import SqliteCatalog
from lookalike.domain.images import Source, image_id, ImageFacts
from lookalike.ports.catalog import Batch, NewImage

left = int(sys.argv[2])

def count(statement):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

connect = sqlite3.connect
def traced(*args, **kwargs):
    connection = connect(*args, **kwargs)
    connection.set_trace_callback(count)
    return connection
sqlite3.connect = traced

catalog = SqliteCatalog.open(Path(sys.argv[1]), is_writer=True, clock=lambda: 1.0)
while True:
    row = catalog.state().rows
    ids = [image_id(str(row + at).encode()) for at in range(3)]
    catalog.commit(Batch(
        [NewImage(row + at, ImageFacts(image, 1, 1, 1, "png")) for at, image in enumerate(ids)],
        [(image, Source(f"/{row + at}")) for at, image in enumerate(ids)],
        vanished=[f"/{row - 3}"],
        rows=row + 3,
    ))
    print("committed", row + 3, flush=True)
    if row % 2:
        catalog.remove([ids[1]])
        print("removed", row + 1, flush=True)
"""


@pytest.mark.crash
@pytest.mark.parametrize("steps", [1, 3, 7, 12, 20, 28, 41, 55, 70, 95, 130, 200])
def test_a_kill_at_any_step_leaves_every_acknowledged_commit_and_no_half_one(open_, path, steps):
    acknowledged, removed = 0, []
    for round_ in range(3):
        killed = subprocess.run(
            [sys.executable, "-c", WRITER, str(path), str(steps + round_)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        for line in killed.stdout.splitlines():
            word, number = line.split()
            if word == "committed":
                acknowledged = int(number)
            else:
                removed.append(int(number))
        catalog = open_()
        state = catalog.state()
        records = {record.row: record for record in catalog.all_records()}
        assert acknowledged <= state.rows <= acknowledged + 3
        assert state.rows % 3 == 0
        assert len(records) == state.images == state.rows - state.removed
        assert not set(removed) & set(records)
        for row, record in records.items():
            assert record.id == image_id(str(row).encode())
            assert [source.uri for source in record.sources] == [f"/{row}"]
        assert {change.row for change in catalog.changes(after=0)} == set(range(state.rows))
        assert catalog._all("PRAGMA integrity_check", ()) == [("ok",)]
        assert catalog._all("PRAGMA foreign_key_check", ()) == []
        acknowledged = state.rows
        catalog.close()


REGROUPER = (
    WRITER.partition("while True:")[0]
    + """
from lookalike.ports.copies import CopyDecision, CopyMember, CopyStep

ids = [image_id(str(row).encode()) for row in range(12)]
if catalog.state().rows == 0:
    catalog.commit(Batch(
        [NewImage(row, ImageFacts(image, 1, 1, 1, "png")) for row, image in enumerate(ids)],
        [(image, Source(f"/{row}")) for row, image in enumerate(ids)],
    ))
turn = 0
while True:
    turn += 1
    rows = [(turn + at * (1 + turn % 3)) % 10 for at in range(4)]
    rows = list(dict.fromkeys(rows))
    members = [CopyMember(rows[0], rows[0], is_canonical=True)]
    members += [CopyMember(row, rows[0], via=rows[0], reason="phash") for row in rows[1:]]
    catalog.copies.replace(rows, members)
    print("grouped", turn, flush=True)
    pair = sorted(rows[:2])
    catalog.copies.decide(
        CopyStep(turn, "split", tuple(pair), kept=pair[0]), [CopyDecision(*pair, "different")]
    )
    if turn % 3 == 0:
        catalog.copies.undo()
    if turn % 5 == 0:
        catalog.remove([ids[rows[0]]])
        row = catalog.state().rows
        catalog.commit(Batch(
            [NewImage(row, ImageFacts(ids[rows[0]], 1, 1, 1, "png"))],
            [(ids[rows[0]], Source(f"/{rows[0]}"))],
        ))
"""
)


@pytest.mark.crash
@pytest.mark.parametrize("steps", [60, 90, 140, 260, 400])
def test_a_kill_at_any_step_leaves_groups_that_can_be(open_, path, steps):
    for round_ in range(2):
        killed = subprocess.run(
            [sys.executable, "-c", REGROUPER, str(path), str(steps + round_)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        catalog = open_()
        members = [list(group) for group in catalog.copies.all_groups()]
        rows = [one.row for group in members for one in group]
        assert len(rows) == len(set(rows))
        assert all(record is not None for record in catalog.records(rows))
        for group in members:
            assert [one.is_canonical for one in group] == [True] + [False] * (len(group) - 1)
            assert len(group) >= 2
        assert catalog.copies.counts() == (len(members), len(rows))
        alive = [record.row for record in catalog.all_records()]
        decided = {(one.first, one.second) for one in catalog.copies.decisions(alive)}
        standing = {tuple(sorted(step.rows)) for step in catalog.copies.steps(limit=1000)}
        assert decided == {pair for pair in standing if len(pair) == 2}
        assert catalog._all("PRAGMA integrity_check", ()) == [("ok",)]
        catalog.close()


READER = """
import sys
from pathlib import Path
from lookalike.adapters.catalog_sqlite import SqliteCatalog
catalog = SqliteCatalog.open(Path(sys.argv[1]), is_writer=False, clock=lambda: 1.0)
for line in sys.stdin:
    state = catalog.state()
    found = [record for record in catalog.records(range(state.rows)) if record]
    print(state.seq, state.rows, len(found), flush=True)
"""


def test_a_reader_in_another_process_sees_commits_without_opening_again(open_, path):
    catalog = open_()
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:

        def ask():
            reader.stdin.write("\n")
            reader.stdin.flush()
            return [int(number) for number in reader.stdout.readline().split()]

        assert ask() == [0, 0, 0]
        catalog.commit(batch(0, 2))
        assert ask() == [2, 2, 2]
        catalog.remove([image_id(b"0")])
        assert ask() == [3, 2, 1]
        catalog.close()  # the writer goes, and another comes
        assert ask() == [3, 2, 1]
        open_().commit(batch(2, 1))
        assert ask() == [4, 3, 2]
        reader.stdin.close()
