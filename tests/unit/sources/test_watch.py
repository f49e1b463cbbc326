"""Watching folders for changes."""

import queue
import threading
import time

import pytest

from lookalike.adapters.source_watch import WatchBatch, watch_folder
from lookalike.domain.errors import SourceError


@pytest.fixture
def watching(tmp_path):
    """Watch tmp_path in a thread; give the queue of batches."""
    stop, batches = threading.Event(), queue.Queue()

    def run():
        skip = [tmp_path / "my.index"]
        for batch in watch_folder([tmp_path], stop, settle_s=0.3, skip=skip):
            batches.put(batch)

    thread = threading.Thread(target=run)
    thread.start()
    assert batches.get(timeout=10) == WatchBatch(is_rescan_due=True)
    yield batches
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_new_changed_and_deleted_pictures(tmp_path, watching):
    (tmp_path / "a.jpg").write_bytes(b"1")
    (tmp_path / "notes.md").write_bytes(b"1")
    (tmp_path / ".hidden.jpg").write_bytes(b"1")
    assert watching.get(timeout=10) == WatchBatch(changed=(tmp_path / "a.jpg",))
    (tmp_path / "a.jpg").write_bytes(b"22")
    assert watching.get(timeout=10).changed == (tmp_path / "a.jpg",)
    (tmp_path / "a.txt").write_text("a dog")
    assert watching.get(timeout=10).changed == (tmp_path / "a.jpg",)
    (tmp_path / "a.jpg").unlink()
    assert watching.get(timeout=10).deleted == (f"{tmp_path}/a.jpg",)


def test_a_picture_that_grows_is_taken_when_whole(tmp_path, watching):
    with (tmp_path / "big.jpg").open("wb") as file:
        for _ in range(12):
            file.write(b"x" * 1000)
            file.flush()
            time.sleep(0.1)
            assert watching.empty()
    assert watching.get(timeout=10).changed == (tmp_path / "big.jpg",)
    assert (tmp_path / "big.jpg").stat().st_size == 12_000


def test_folders_that_come_ask_for_a_rescan(tmp_path, watching):
    (tmp_path / "my.index").mkdir()
    (tmp_path / "sub").mkdir()
    assert watching.get(timeout=10).is_rescan_due
    (tmp_path / "sub" / "b.jpg").write_bytes(b"1")
    seen = []
    while tmp_path / "sub" / "b.jpg" not in seen:
        seen.extend(watching.get(timeout=10).changed)


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(SourceError):
        next(watch_folder([tmp_path / "none"], threading.Event()))
