"""The embedded ingest log: its file, leases that run out, processes that share it."""

import sqlite3
import subprocess
import sys
import threading

import pytest

from lookalike.adapters.log_sqlite import SqliteIngestLog
from lookalike.adapters.log_sqlite_provision import SqliteLogProvisioner, waiting_finding
from lookalike.adapters.log_sqlite_schema import SqliteLogOptions
from lookalike.domain.errors import (
    BackendError,
    BackendSchemaError,
    BackendTimeoutError,
    BackendUnreachableError,
    MessageTooLargeError,
    UsageError,
)
from lookalike.ports.ingest_log import Entry
from tests.conftest import ROOT


@pytest.fixture
def options(tmp_path):
    return SqliteLogOptions.from_url((tmp_path / "a folder").as_uri())


@pytest.fixture
def clock():
    return Clock()


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def logs(options, clock):
    opened = [SqliteIngestLog(options, clock=clock) for _ in range(2)]
    yield opened
    for log in opened:
        log.close()


def values(deliveries):
    return [d.value for d in deliveries]


def test_a_lease_that_runs_out_frees_its_messages(logs, clock):
    first, second = logs
    first.publish([Entry("a", b"1"), Entry("b", b"2")])
    assert values(first.poll(most=5, timeout_s=0)) == [b"1", b"2"]
    clock.now += 29
    assert second.poll(most=5, timeout_s=0) == []
    clock.now += 2
    assert values(second.poll(most=5, timeout_s=0)) == [b"1", b"2"]
    assert first.poll(most=5, timeout_s=0) == []


def test_an_acknowledgement_after_the_lease_still_counts(logs, clock):
    first, second = logs
    first.publish([Entry("a", b"1")])
    taken = first.poll(most=5, timeout_s=0)
    clock.now += 31
    assert values(second.poll(most=5, timeout_s=0)) == [b"1"]
    first.acknowledge(taken)
    assert first.lag() == 0
    second.reject(taken[0], "late", "it was done already")
    assert second.dead_letters() == []


def test_a_later_message_of_a_held_key_waits(logs):
    first, second = logs
    first.publish([Entry("a", b"1"), Entry("b", b"2"), Entry("a", b"3"), Entry("c", b"4")])
    held = first.poll(most=1, timeout_s=0)
    assert values(second.poll(most=9, timeout_s=0)) == [b"2", b"4"]
    first.acknowledge(held)
    assert values(second.poll(most=9, timeout_s=0)) == [b"3"]


def test_a_lease_is_renewed_while_its_worker_is_busy(tmp_path):
    url = f"sqlite://{tmp_path}/log"
    options = SqliteLogOptions.from_url(url, lease_s=0.6)
    busy, other = SqliteIngestLog(options), SqliteIngestLog(options)
    try:
        busy.publish([Entry("a", b"1")])
        busy.poll(most=1, timeout_s=0)
        assert other.poll(most=1, timeout_s=1.5) == []
    finally:
        busy.close()
    assert values(other.poll(most=1, timeout_s=0)) == [b"1"]
    other.close()


def test_processes_publish_at_once_and_nothing_is_lost(options):
    program = (
        "import sys; from lookalike.adapters.log_sqlite import SqliteIngestLog;"
        "from lookalike.adapters.log_sqlite_schema import SqliteLogOptions;"
        "from lookalike.ports.ingest_log import Entry;"
        "log = SqliteIngestLog(SqliteLogOptions.from_url(sys.argv[1]));"
        "[log.publish([Entry('k', sys.argv[2].encode())]) for _ in range(40)]; log.close()"
    )
    command = [sys.executable, "-c", program, options.name]
    processes = [subprocess.Popen([*command, str(n)], cwd=ROOT) for n in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    log = SqliteIngestLog(options)
    assert log.lag() == 120
    log.close()


def test_threads_publish_at_once(logs):
    log = logs[0]
    threads = [
        threading.Thread(target=lambda: [log.publish([Entry("k", b"1")]) for _ in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.lag() == 80


def test_a_batch_with_a_large_message_leaves_nothing(tmp_path):
    options = SqliteLogOptions.from_url(f"sqlite://{tmp_path}/log", most_bytes=10)
    log = SqliteIngestLog(options)
    with pytest.raises(MessageTooLargeError):
        log.publish([Entry("a", b"1"), Entry("b", b"x" * 11)])
    assert log.lag() == 0
    log.close()


def test_a_file_that_is_something_else_is_refused(options):
    options.path.parent.mkdir()
    with sqlite3.connect(options.path) as other:
        other.execute("CREATE TABLE pictures(id)")
    other.close()
    with pytest.raises(BackendSchemaError, match="something else"):
        SqliteIngestLog(options).lag()
    assert SqliteLogProvisioner(options).check()[0].state == "error"


def test_a_file_that_is_no_database_is_refused(options):
    options.path.parent.mkdir()
    options.path.write_bytes(b"no database at all " * 100)
    with pytest.raises(BackendSchemaError):
        SqliteIngestLog(options).publish([Entry("a", b"1")])


def test_a_log_of_a_newer_version_is_refused(options):
    SqliteLogProvisioner(options).prepare()
    with sqlite3.connect(options.path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(BackendSchemaError, match="99"):
        SqliteIngestLog(options).lag()


def test_a_folder_that_cannot_be_is_our_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    options = SqliteLogOptions.from_url(f"sqlite://{tmp_path}/file/log")
    with pytest.raises(BackendUnreachableError):
        SqliteIngestLog(options).lag()
    SqliteLogOptions.from_url(f"sqlite://{tmp_path}")
    with pytest.raises(BackendUnreachableError):
        SqliteIngestLog(SqliteLogOptions.from_url(f"sqlite://{tmp_path}")).lag()


def test_a_file_that_another_process_holds_is_waited_for_and_then_our_error(tmp_path):
    options = SqliteLogOptions.from_url(f"sqlite://{tmp_path}/log", request_timeout_s=0.2)
    log = SqliteIngestLog(options)
    log.publish([Entry("a", b"1")])
    other = sqlite3.connect(options.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        for call in (
            lambda: log.publish([Entry("a", b"2")]),
            lambda: log.poll(most=1, timeout_s=0),
        ):
            with pytest.raises(BackendTimeoutError):
                call()
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert len(log.poll(most=5, timeout_s=0)) == 1
    log.close()


def test_a_closed_log_says_so(options):
    log = SqliteIngestLog(options)
    log.publish([Entry("a", b"1")])
    log.close()
    with pytest.raises(BackendError, match="closed"):
        log.lag()


def test_the_file_is_made_once_and_inspected(options):
    provisioner = SqliteLogProvisioner(options)
    assert [finding.state for finding in provisioner.check()] == ["error"]
    assert provisioner.prepare() == [str(options.path)]
    assert provisioner.prepare() == []
    assert {finding.state for finding in provisioner.check()} == {"ok"}
    log = SqliteIngestLog(options)
    log.publish([Entry("a", b"1")])
    log.reject(log.poll(most=1, timeout_s=0)[0], "malformed", "no")
    log.close()
    assert [f.detail for f in provisioner.check() if f.state == "warning"] == [
        "messages were set aside, the last one as malformed"
    ]
    assert waiting_finding(20_000).state == "warning"


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite://host/x", "file:///", "redis:///x"])
def test_other_urls_are_refused(url):
    with pytest.raises(UsageError):
        SqliteLogOptions.from_url(url)


@pytest.mark.parametrize(
    "settings", [{"lease": 3}, {"lease_s": 0}, {"lease_s": "3"}, {"path": "x"}, {"username": "me"}]
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(UsageError):
        SqliteLogOptions.from_url("sqlite:///x", **settings)
