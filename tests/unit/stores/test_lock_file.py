"""The writer's lock: one holder, named to the others, and gone with its process."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from lookalike.adapters.lock_file import WriterLock
from lookalike.domain.errors import IndexLockedError, StoreError

HOLD = """
import sys, time
from pathlib import Path
from lookalike.adapters.lock_file import WriterLock
lock = WriterLock(Path(sys.argv[1]), command="lookalike index pictures", clock=lambda: 0.0)
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock until its input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "index.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_file_says_who_holds_it(tmp_path):
    path = tmp_path / "new" / "index.lock"
    with WriterLock(path, command="serve", clock=lambda: 1.7e9) as lock:
        assert lock.is_held
        assert json.loads(path.read_text()) == {
            "pid": os.getpid(),
            "host": os.uname().nodename,
            "command": "serve",
            "since": "2023-11-14T22:13:20+00:00",
        }
    assert not lock.is_held
    assert path.read_text() == ""


def test_another_process_is_named(tmp_path, holder):
    lock = WriterLock(tmp_path / "index.lock")
    with pytest.raises(IndexLockedError) as caught:
        lock.acquire()
    message = str(caught.value)
    assert str(holder.pid) in message
    assert "lookalike index pictures" in message
    assert "1970-01-01" in message
    assert caught.value.hint


def test_two_locks_of_one_process_exclude_each_other(tmp_path):
    one, other = WriterLock(tmp_path / "index.lock"), WriterLock(tmp_path / "index.lock")
    with one, pytest.raises(IndexLockedError, match=str(os.getpid())):
        other.acquire()
    with other:
        assert other.is_held


def test_a_killed_process_leaves_nothing_behind(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / "index.lock").read_text()
    with WriterLock(tmp_path / "index.lock") as lock:
        assert lock.is_held


def test_waits_for_a_while(tmp_path, holder):
    lock = WriterLock(tmp_path / "index.lock")
    begin = time.monotonic()
    with pytest.raises(IndexLockedError):
        lock.acquire(timeout_s=0.2)
    assert time.monotonic() - begin >= 0.2
    threading.Timer(0.2, holder.kill).start()
    lock.acquire(timeout_s=20)
    lock.release()


def test_releases_on_an_error_and_twice_without_harm(tmp_path):
    lock = WriterLock(tmp_path / "index.lock")
    with pytest.raises(RuntimeError), lock:
        raise RuntimeError
    lock.release()
    lock.acquire()
    with pytest.raises(IndexLockedError):
        lock.acquire()
    lock.release()


def test_garbage_in_the_file_does_not_block(tmp_path):
    (tmp_path / "index.lock").write_bytes(b"\xff" * 1000)
    with WriterLock(tmp_path / "index.lock") as lock:
        assert lock.is_held


def test_a_folder_that_cannot_be_written_is_our_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError):
        WriterLock(tmp_path / "file" / "index.lock").acquire()


FORK = """
import os, sys, time
from pathlib import Path
from lookalike.adapters.lock_file import WriterLock
lock = WriterLock(Path(sys.argv[1]))
lock.acquire()
child = os.fork()
if child == 0:
    os.close(1)
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", FORK, str(tmp_path / "index.lock")], stdout=subprocess.PIPE
    ) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        try:
            WriterLock(tmp_path / "index.lock").acquire(timeout_s=5)
            os.kill(child, 0)
        finally:
            os.kill(child, 9)
