"""The embedded vector index's own rules: crashes, segments, readers beside a writer."""

import itertools
import json
import multiprocessing
import resource
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.adapters import vectors_exact
from lookalike.adapters.vectors_exact import ExactScanner
from lookalike.adapters.vectors_matrix import HEADER_BYTES
from lookalike.adapters.vectors_native import load_faiss, scan_halves
from lookalike.adapters.vectors_segments import Manifest, Segment, plan_seal
from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.adapters.vectors_tuning import Tuning
from lookalike.domain.errors import (
    DiskFullError,
    IndexCorruptError,
    IndexFormatError,
    IndexMissingError,
    StoreError,
)
from lookalike.domain.filters import Filter, one_of
from lookalike.domain.hits import Selection
from tests import vector_folders
from tests.vector_folders import DIM, fill, unit

ROW_BYTES = 2 * DIM
SMALL = VectorSettings(exact_rows=100, seal_rows=100, rows_per_cell=20)


def open_index(folder, *, settings_=SMALL, **how):
    return vector_folders.open_index(folder, settings_, **how)


def sealed(folder, vectors):
    index = open_index(folder)
    fill(index, vectors)
    index.optimize()
    return index


def segment_files(folder):
    return sorted(path.name for path in (folder / "segments").glob("*.faiss"))


def test_a_longer_matrix_is_cut_back_by_the_writer_only(tmp_path):
    index = open_index(tmp_path)
    fill(index, unit(50))
    index.close()
    path = tmp_path / "matrix.f16"
    with path.open("ab") as file:
        file.write(b"half a row")
    reader = open_index(tmp_path, rows=40, is_writer=False)
    assert len(reader) == 40
    assert path.stat().st_size == HEADER_BYTES + 50 * ROW_BYTES + 10
    assert len(open_index(tmp_path, rows=40)) == 40
    assert path.stat().st_size == HEADER_BYTES + 40 * ROW_BYTES


@pytest.mark.parametrize("is_writer", [True, False])
def test_a_matrix_that_contradicts_the_catalog_is_refused(tmp_path, is_writer):
    with pytest.raises(IndexMissingError):
        open_index(tmp_path, rows=1, is_writer=is_writer)
    index = open_index(tmp_path)
    fill(index, unit(5))
    index.close()
    with pytest.raises(IndexCorruptError, match="holds 5 vectors, the catalog counts 6"):
        open_index(tmp_path, rows=6, is_writer=is_writer)
    with pytest.raises(IndexCorruptError, match="vectors of 16 numbers, the index says 24"):
        open_index(tmp_path, rows=2, dim=24, is_writer=is_writer)
    path = tmp_path / "matrix.f16"
    data = bytearray(path.read_bytes())
    data[8] = 9
    path.write_bytes(data)
    with pytest.raises(IndexFormatError, match="format 9"):
        open_index(tmp_path, rows=5, is_writer=is_writer)
    path.write_bytes(b"something else entirely" * 20)
    with pytest.raises(IndexCorruptError):
        open_index(tmp_path, rows=5, is_writer=is_writer)


def test_a_header_cut_short_by_a_crash_is_written_again(tmp_path):
    (tmp_path / "matrix.f16").write_bytes(b"LKA")
    index = open_index(tmp_path)
    fill(index, unit(5))
    assert len(index) == 5


def test_a_reader_writes_nothing(tmp_path):
    reader = open_index(tmp_path, is_writer=False)
    assert list(tmp_path.iterdir()) == []
    for call in (
        lambda: reader.add(np.array([0]), unit(1)),
        reader.flush,
        lambda: reader.calibrate(unit(1)),
    ):
        with pytest.raises(StoreError, match="read only"):
            call()
    assert reader.maybe_seal() is False


def test_leftovers_of_a_crash_are_swept_by_the_writer(tmp_path):
    sealed(tmp_path, unit(300)).close()
    files = segment_files(tmp_path)
    for name in ("00000099-0-5.faiss", "00000009-0-300.faiss.tmp", "manifest.json.tmp"):
        (tmp_path / "segments" / name).write_bytes(b"half")
    open_index(tmp_path, rows=300, is_writer=False)
    assert len(segment_files(tmp_path)) == 2
    open_index(tmp_path, rows=300)
    assert segment_files(tmp_path) == files
    assert not list((tmp_path / "segments").glob("*.tmp"))


@pytest.mark.parametrize(
    "damage", ["missing", "short", "garbage", "manifest", "older", "newer", "overlap"]
)
@pytest.mark.parametrize("is_writer", [True, False])
def test_damaged_segments_cost_speed_and_no_row(tmp_path, damage, is_writer):
    vectors = unit(300)
    sealed(tmp_path, vectors).close()
    file = tmp_path / "segments" / segment_files(tmp_path)[0]
    manifest = tmp_path / "segments" / "manifest.json"
    document = json.loads(manifest.read_text())
    if damage == "missing":
        file.unlink()
    elif damage == "short":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "garbage":
        file.write_bytes(b"\x07" * file.stat().st_size)
    elif damage == "manifest":
        manifest.write_bytes(b"\x00{")
    elif damage == "older":
        manifest.write_text(json.dumps(document | {"format": 1}))
    elif damage == "newer":
        manifest.write_text(json.dumps(document | {"format": 99}))
    else:
        manifest.write_text(json.dumps(document | {"segments": document["segments"] * 2}))
    index = open_index(tmp_path, rows=300, is_writer=is_writer)
    assert index.search(vectors, k=1).rows.ravel().tolist() == list(range(300))
    assert index.stats().kind == "flat"
    if is_writer:
        assert index.maybe_seal()
        assert index.stats().sealed_rows == 300
        assert len(segment_files(tmp_path)) == 1
        assert open_index(tmp_path, rows=300, is_writer=False).stats().kind == "ivf"


def test_a_segment_beyond_the_committed_rows_does_not_count(tmp_path):
    vectors = unit(300)
    sealed(tmp_path, vectors).close()
    reader = open_index(tmp_path, rows=200, is_writer=False)
    assert reader.stats().kind == "flat"
    assert reader.search(vectors[250:251], k=200).rows.max() == 199
    reader.refresh(300)
    assert reader.stats().kind == "ivf"


def test_a_small_index_stays_flat_and_a_large_one_reports_its_recall(tmp_path):
    index = sealed(tmp_path, unit(100))
    assert index.stats().kind == "flat"
    assert index.stats().ann_recall_at_10 == {"image": 1.0, "text": 1.0}
    fill(index, unit(900, seed=1), begin=100)
    index.optimize()
    stats = index.stats()
    assert stats.kind == "ivf"
    assert stats.sealed_rows == 1000
    assert stats.bytes > 1000 * ROW_BYTES
    assert stats.ann_recall_at_10.keys() == {"image"}
    assert stats.ann_recall_at_10["image"] >= SMALL.image_recall
    index.calibrate(unit(40, seed=2))
    assert index.stats().ann_recall_at_10["text"] >= SMALL.text_recall
    again = open_index(tmp_path, rows=1000, is_writer=False)
    assert again.stats() == index.stats()


def test_new_rows_are_found_at_once_and_sealed_in_the_background(tmp_path):
    vectors = unit(900)
    index = open_index(tmp_path)
    seals = 0
    for begin in range(0, 900, 60):
        fill(index, vectors[begin : begin + 60], begin=begin)
        assert index.search(vectors[begin + 59 : begin + 60], k=1).rows.tolist() == [[begin + 59]]
        seals += index.maybe_seal()
    assert seals > 3
    assert len(segment_files(tmp_path)) <= 4
    assert index.stats().sealed_rows >= 780
    hits = index.search(vectors, k=1)
    assert (hits.rows.ravel() == np.arange(900)).mean() > 0.98


@pytest.mark.parametrize("engine", ["cells", "exact"])
def test_what_was_removed_is_erased_when_its_segment_is_built_anew(tmp_path, engine):
    vectors = unit(600)
    index = open_index(tmp_path, settings_=replace(SMALL, engine=engine))
    fill(index, vectors)
    index.optimize()
    reader = open_index(tmp_path, rows=600, is_writer=False)
    gone = np.r_[3, 40:300]
    index.remove(gone)
    assert index.fetch(gone).any(axis=1).all()
    if engine == "exact":
        index.optimize()
    else:
        assert index.maybe_seal()
    assert not index.fetch(gone).any()
    left = np.setdiff1d(np.arange(600), gone)
    assert (index.fetch(left) == vectors[left].astype(np.float16)).all()
    assert len(index) == len(left)
    for one in (index, reader, open_index(tmp_path, rows=600, is_writer=False, removed=gone)):
        hits = one.search(vectors, k=5)
        assert not np.isin(hits.rows, gone).any()
        assert (hits.rows[left, 0] == left).mean() > 0.98
    fill(index, unit(1, seed=5), begin=600)
    assert len(index) == len(left) + 1


def test_a_graph_keeps_what_was_removed_until_it_gives_way_to_cells(tmp_path):
    vectors = unit(600)
    index = open_index(tmp_path, settings_=replace(SMALL, engine="graph"))
    fill(index, vectors)
    index.optimize()
    gone = np.arange(40, 560)
    index.remove(gone)
    assert index.maybe_seal()
    index.optimize()
    assert index.fetch(gone).any(axis=1).all(), "the ways to others lead over it"
    left = np.setdiff1d(np.arange(600), gone)
    assert (index.search(vectors[left], k=1).rows.ravel() == left).all()
    index.close()
    index = open_index(tmp_path, rows=600, removed=gone)
    index.optimize()
    assert index.stats().kind == "ivf"
    assert not index.fetch(gone).any()
    assert (index.search(vectors[left], k=1).rows.ravel() == left).all()


def test_a_segment_that_lost_many_rows_is_built_anew(tmp_path):
    vectors = unit(400)
    index = sealed(tmp_path, vectors)
    before = segment_files(tmp_path)
    index.remove(np.arange(50))
    assert not index.maybe_seal()
    index.remove(np.arange(120))
    assert index.maybe_seal()
    assert segment_files(tmp_path) != before
    assert not index.maybe_seal()
    assert len(index) == 280


def test_a_row_that_changes_under_a_segment_is_found_by_its_new_vector(tmp_path):
    vectors = unit(300)
    index = sealed(tmp_path, vectors)
    new = unit(1, seed=77)
    index.add(np.array([17]), new)
    index.flush()
    index.refresh(300)
    assert index.search(new, k=1).rows.tolist() == [[17]]
    assert index.stats().kind == "flat"
    reader = open_index(tmp_path, rows=300, is_writer=False)
    assert reader.search(new, k=1).rows.tolist() == [[17]]


def test_searching_goes_on_during_adds_seals_and_refreshes(tmp_path):
    vectors = unit(1500)
    index = open_index(tmp_path)
    fill(index, vectors[:200])
    stop, failures = threading.Event(), []

    def search():
        while not stop.is_set():
            found = index.search(vectors[:3], k=1).rows.ravel().tolist()
            if found != [0, 1, 2]:
                failures.append(found)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for begin in range(200, 1500, 100):
        fill(index, vectors[begin : begin + 100], begin=begin)
        index.maybe_seal()
        index.remove(np.array([begin + 1]))
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def _follow(folder, commits, answers):
    index = open_index(folder, rows=200, is_writer=False)
    while (rows := commits.get()) is not None:
        index.refresh(rows)
        hits = index.search(unit(600)[rows - 1 : rows], k=1)
        answers.put((len(index), hits.rows.tolist(), index.stats().kind))


def test_a_reader_in_another_process_follows_the_writer(tmp_path):
    vectors = unit(600)
    index = open_index(tmp_path)
    fill(index, vectors[:200])
    context = multiprocessing.get_context("spawn")
    commits, answers = context.Queue(), context.Queue()
    reader = context.Process(target=_follow, args=(tmp_path, commits, answers))
    reader.start()
    for rows in (300, 450, 600):
        fill(index, vectors[index.stats().rows : rows], begin=index.stats().rows)
        if rows > 300:
            index.optimize()
        commits.put(rows)
        assert answers.get(timeout=60) == (rows, [[rows - 1]], "ivf" if rows > 300 else "flat")
    commits.put(None)
    reader.join(60)
    assert reader.exitcode == 0


def _overfill(folder, answers):
    merged = sealed(folder / "merged", unit(600)[:400])
    for begin, end in ((400, 550), (550, 600)):
        fill(merged, unit(600)[begin:end], begin=begin)
        merged.maybe_seal()
    index = open_index(folder)
    fill(index, unit(200))
    limit = (folder / "matrix.f16").stat().st_size + 10 * ROW_BYTES
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        index.add(np.arange(200, 400), unit(200, seed=1))
    except DiskFullError as error:
        answers.put(str(error))
    size = (folder / "matrix.f16").stat().st_size
    try:
        index.optimize()
    except DiskFullError as error:
        answers.put(str(error))
    names = sorted(path.name for path in (folder / "segments").iterdir())
    answers.put((size, names, index.search(unit(200), k=1).rows.ravel().tolist()))
    try:
        merged.optimize()
    except DiskFullError as error:
        answers.put(str(error))
    answers.put(merged.search(unit(600), k=1).rows.ravel().tolist())


def test_a_full_disk_is_reported_and_leaves_the_index_whole(tmp_path):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_overfill, args=(tmp_path, answers))
    process.start()
    assert "no space is left to write matrix.f16" in answers.get(timeout=60)
    assert "no space is left to write 00000001-0-200.faiss" in answers.get(timeout=60)
    size, names, rows = answers.get(timeout=60)
    merge = [answers.get(timeout=60) for _ in range(2)]
    process.join(60)
    assert size == HEADER_BYTES + 200 * ROW_BYTES
    assert names == []
    assert rows == list(range(200))
    assert "no space is left to write 00000003-0-600.faiss" in merge[0]
    assert merge[1] == list(range(600))
    assert segment_files(tmp_path / "merged") == [
        "00000001-0-400.faiss",
        "00000002-400-550.faiss",
    ]
    again = open_index(tmp_path / "merged", rows=600)
    assert again.stats().sealed_rows == 550
    assert again.search(unit(600), k=1).rows.ravel().tolist() == list(range(600))


def test_a_filter_without_rows_is_refused(tmp_path):
    index = sealed(tmp_path, unit(200))
    everything = index.search(unit(1), k=3, selection=Selection(Filter()))
    assert everything.rows.tolist() == index.search(unit(1), k=3).rows.tolist()
    with pytest.raises(StoreError, match="without its rows"):
        index.search(unit(1), k=3, selection=Selection(Filter((one_of("color", "red"),))))


@pytest.mark.parametrize("is_filtered", [False, True])
def test_numpy_and_faiss_scan_alike(monkeypatch, is_filtered):
    vectors = unit(500)
    vectors[3, :5] = 1e-7  # too small for a normal fp16 number
    halves, queries = vectors.astype(np.float16), unit(4, seed=1)
    mask = np.arange(500) % 3 == 0 if is_filtered else None
    load_faiss()
    fast = ExactScanner(numpy_rows=0).best(halves, queries, k=20, mask=mask)
    monkeypatch.delitem(sys.modules, "faiss")
    slow = ExactScanner(numpy_rows=10**6).best(halves, queries, k=20, mask=mask)
    np.testing.assert_array_equal(slow.rows, fast.rows)
    np.testing.assert_allclose(slow.scores, fast.scores, atol=1e-6)
    exact = np.take_along_axis(queries @ halves.astype(np.float32).T, slow.rows, axis=1)
    np.testing.assert_allclose(slow.scores, exact, atol=1e-6)


def test_faiss_is_imported_only_once_numpy_has_scanned_as_much_as_that_costs(monkeypatch):
    halves, queries = unit(500).astype(np.float16), unit(2, seed=1)
    calls = []
    load_faiss()

    def scan(matrix, asked, *, k, mask, threads):
        calls.append(len(matrix))
        return scan_halves(matrix, asked, k=k, mask=mask, threads=threads)

    with monkeypatch.context() as patch:
        patch.setattr(vectors_exact, "scan_halves", scan)
        scanner = ExactScanner(numpy_rows=2500)
        with monkeypatch.context() as unloaded:
            unloaded.delitem(sys.modules, "faiss")
            scanner.best(halves, queries, k=3)
            scanner.best(halves, queries, k=3)
        assert calls == []
        scanner.best(halves, queries, k=3)
        assert calls == [500]


def test_warm_opens_what_a_first_search_needs(tmp_path):
    index = sealed(tmp_path, unit(200))
    index.warm()
    assert index.search(unit(200)[:1], k=1).rows.tolist() == [[0]]


def _segment(begin, end):
    tuning = Tuning(1, 50, 1.0)
    return Segment(f"{begin}-{end}.faiss", begin, end, 2, 0, 1, {"image": tuning, "text": tuning})


@settings(max_examples=100)
@given(st.lists(st.integers(1, 400), max_size=40))
def test_sealing_covers_rows_with_few_segments(batches):
    manifest, rows = Manifest(), 0
    for batch in batches:
        rows += batch
        span = plan_seal(manifest, rows, SMALL)
        if span is not None:
            manifest = manifest.replaced_by(_segment(*span))
        assert rows - sum(s.rows for s in manifest.segments) <= 100
        sizes = [segment.rows for segment in manifest.segments]
        assert all(first >= 2 * second for first, second in itertools.pairwise(sizes))
        covered = sorted([*manifest.gaps(rows), *((s.begin, s.end) for s in manifest.segments)])
        assert [begin for begin, _ in covered] == [0, *(end for _, end in covered)][: len(covered)]
