"""The hash index in memory: floods, threads, segments, and its file."""

import threading
from itertools import pairwise

import numpy as np
import pytest

from lookalike.adapters import hashes_files, hashes_memory, hashes_segment
from lookalike.adapters.hashes_memory import GROWTH, MemoryHashIndex
from lookalike.adapters.hashes_segment import Segment
from lookalike.domain.errors import (
    IndexCorruptError,
    IndexFormatError,
    IndexMissingError,
    StoreError,
    UsageError,
)


def noise(count, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def filled(count=3000, tail_rows=256, **options):
    index = MemoryHashIndex(tail_rows=tail_rows, **options)
    hashes = noise(count)
    for at in range(0, count, 200):
        index.add(np.arange(at, min(at + 200, count)), hashes[at : at + 200])
    return index, hashes


def test_a_flood_of_one_hash_is_compared_once_and_can_be_cut_short():
    index = MemoryHashIndex()
    hashes = np.concatenate((np.full(50_000, 7, np.uint64), noise(50_000)))
    index.add(np.arange(100_000), hashes)
    (segment,) = (layer.segment for layer in index._layers)
    assert segment.tables.count == 50_001
    whole = index.within(np.asarray([7], np.uint64), radius=10)[0]
    assert whole.rows[:50_000].tolist() == list(range(50_000))
    few = index.within(np.asarray([3, 7], np.uint64), radius=10, most=5)
    assert [hits.rows.tolist() for hits in few] == [[0, 1, 2, 3, 4]] * 2
    assert few[0].distances.tolist() == [1] * 5


def test_the_nearest_few_skip_what_is_gone():
    index = MemoryHashIndex(tail_rows=4)
    index.add(np.arange(1000), np.full(1000, 9, np.uint64))
    index.remove(np.arange(300))
    hits = index.within(np.asarray([9], np.uint64), radius=0, most=3)[0]
    assert hits.rows.tolist() == [300, 301, 302]
    with pytest.raises(UsageError):
        index.within(np.asarray([9], np.uint64), radius=0, most=0)


def test_threads_give_the_same_answers():
    hashes = noise(300_000, seed=5)
    one, two = MemoryHashIndex(threads=1), MemoryHashIndex(threads=2)
    for index in (one, two):
        index.add(np.arange(len(hashes)), hashes)
    queries = hashes[:50] ^ np.uint64(0b1001000100001)
    for alone, shared in zip(
        one.within(queries, radius=12), two.within(queries, radius=12), strict=True
    ):
        assert np.array_equal(alone.rows, shared.rows)
        assert np.array_equal(alone.distances, shared.distances)


def test_segments_stay_few_and_a_hash_takes_few_bytes():
    index, _ = filled(20_000)
    sizes = [len(layer) for layer in index._layers]
    assert all(GROWTH * later < sooner for sooner, later in pairwise(sizes))
    large = MemoryHashIndex()
    large.add(np.arange(400_000), noise(400_000))
    assert large.nbytes / 400_000 < 48


def test_a_segment_that_lost_most_of_its_rows_is_made_anew():
    index = MemoryHashIndex(tail_rows=16)
    hashes = noise(1000)
    index.add(np.arange(1000), hashes)
    index.remove(np.arange(501))
    assert [len(layer.segment) for layer in index._layers] == [499]
    index.remove(np.arange(1000))
    assert index._layers == ()
    assert len(index) == 0


def test_rows_are_kept_as_small_as_they_are():
    hashes = noise(100)
    assert Segment.build(np.arange(5, 105), hashes).rows is None
    assert Segment.build(np.arange(0, 200, 2), hashes).rows.dtype == np.uint32
    assert Segment.build(np.arange(100) << 40, hashes).rows.dtype == np.int64


def test_hashes_alike_in_their_high_bits_are_sorted_whole():
    rng = np.random.default_rng(6)
    hashes = rng.integers(0, 64, 5000, dtype=np.uint64) | np.uint64(1 << 63)
    places, values = hashes_segment._sorted_with_places(hashes)
    assert np.array_equal(values, np.sort(hashes))
    assert np.array_equal(hashes[places], values)
    assert all((np.diff(places[values == value].astype(int)) > 0).all() for value in values[:3])


def test_more_rows_than_fit_are_refused_and_none_is_lost(monkeypatch):
    monkeypatch.setattr("lookalike.adapters.hashes_memory.MOST_ROWS", 1000)
    index, hashes = filled(900)
    with pytest.raises(StoreError, match="too many"):
        index.add(np.arange(900, 2000), noise(1100, seed=1))
    assert len(index) == 900
    assert index.within(hashes[:1], radius=0)[0].rows.tolist() == [0]


def test_searches_go_on_beside_writes():
    index, hashes = filled(2000, tail_rows=64)
    stop = threading.Event()
    wrong = []

    def search():
        while not stop.is_set():
            for row, hits in enumerate(index.within(hashes[:20], radius=3)):
                if hits.rows.tolist() != [row]:
                    wrong.append((row, hits.rows))

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    extra = noise(6000, seed=9)
    for at in range(0, 6000, 50):
        index.add(np.arange(5000 + at, 5050 + at), extra[at : at + 50])
        index.remove(np.arange(5000 + at, 5010 + at))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.fixture
def go_on(monkeypatch):
    """Merges aside wait for this event."""
    event = threading.Event()
    build = hashes_memory._segment_of

    def slowly(pieces):
        if threading.current_thread() is not threading.main_thread():
            assert event.wait(20)
        return build(pieces)

    monkeypatch.setattr(hashes_memory, "_segment_of", slowly)
    return event


def test_what_leaves_during_a_merge_aside_stays_away(go_on):
    index, hashes = filled(1000, tail_rows=100, most_beside=0)
    assert index._merging
    index.remove(np.arange(0, 1000, 2))
    index.add(np.asarray([1, 3]), hashes[[0, 2]])
    before = index.within(hashes, radius=0)
    go_on.set()
    index.settle()
    assert not index._merging
    assert len(index) == 500
    after = index.within(hashes, radius=0)
    assert [hits.rows.tolist() for hits in after] == [hits.rows.tolist() for hits in before]
    assert [hits.rows.tolist() for hits in after[:6]] == [[1], [], [3], [], [], [5]]


def test_a_merge_aside_of_nothing_leaves_nothing(go_on):
    index, hashes = filled(1000, tail_rows=100, most_beside=0)
    index.remove(np.arange(1000))
    go_on.set()
    index.settle()
    assert len(index) == 0
    index.add(np.arange(300), hashes[:300])
    index.settle()
    assert index.within(hashes[7:8], radius=0)[0].rows.tolist() == [7]


def test_a_saved_index_opens_as_it_was(tmp_path):
    index, hashes = filled()
    index.add(np.asarray([1 << 57]), hashes[4:5])
    index.remove(np.arange(0, 600, 3))
    index.save(tmp_path / "hashes.bin", seq=41)
    again = MemoryHashIndex.open(tmp_path / "hashes.bin", tail_rows=256)
    assert again.seq == 41
    assert len(again) == len(index)
    for old, new in zip(
        index.within(hashes[:60], radius=14), again.within(hashes[:60], radius=14), strict=True
    ):
        assert np.array_equal(old.rows, new.rows)
    again.remove(np.asarray([1]))
    again.add(np.arange(9000, 9400), noise(400, seed=2))
    again.save(tmp_path / "hashes.bin", seq=42)  # over the file that is mapped
    assert len(MemoryHashIndex.open(tmp_path / "hashes.bin")) == len(again)
    assert [file.name for file in tmp_path.iterdir()] == ["hashes.bin"]


def test_an_empty_index_is_saved_too(tmp_path):
    MemoryHashIndex().save(tmp_path / "none.bin")
    assert len(MemoryHashIndex.open(tmp_path / "none.bin")) == 0


def test_files_that_are_not_whole_are_refused(tmp_path):
    path = tmp_path / "hashes.bin"
    with pytest.raises(IndexMissingError):
        MemoryHashIndex.open(path)
    index, _ = filled(600)
    index.save(path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:10], whole[:-1], whole + b"x", b"X" + whole[1:]):
        path.write_bytes(damaged)
        with pytest.raises(IndexCorruptError):
            MemoryHashIndex.open(path)
    for at in range(8, 200, 7):  # one bit of the header is enough
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(IndexCorruptError):
            MemoryHashIndex.open(path)


def test_a_newer_format_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(hashes_files, "FORMAT", 2)
    MemoryHashIndex().save(tmp_path / "hashes.bin")
    monkeypatch.undo()
    with pytest.raises(IndexFormatError, match="format 2"):
        MemoryHashIndex.open(tmp_path / "hashes.bin")


def test_a_folder_that_is_not_there_is_our_error(tmp_path):
    with pytest.raises(StoreError):
        MemoryHashIndex().save(tmp_path / "none" / "hashes.bin")
