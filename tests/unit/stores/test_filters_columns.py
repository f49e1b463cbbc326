"""What is the columns' own: files that are short, damaged or full, and the bitmaps' file."""

import errno
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from lookalike.adapters.filters_bitmaps import Bitmaps, load_bitmaps
from lookalike.adapters.filters_columns import ColumnsFilterIndex
from lookalike.domain.errors import DiskFullError, IndexCorruptError, StoreError
from lookalike.domain.filters import Between, Filter, OneOf
from lookalike.domain.images import ImageFacts, ImageRecord, Row, Source, image_id


def record(row, *, site="a.org", first_seen=1.0):
    facts = ImageFacts(image_id(str(row).encode()), row + 1, 1, 1, "png")
    return ImageRecord(Row(row), facts, (Source("/a", site=site),), first_seen=first_seen)


@pytest.fixture
def index(tmp_path):
    index = ColumnsFilterIndex.open(tmp_path, rows=0, is_writer=True)
    index.append([record(row) for row in range(4)])
    index.flush()
    index.refresh(4)
    index.save(9)
    yield index
    index.close()


def rows(index, *conditions):
    return np.flatnonzero(index.select(Filter(conditions)).mask).tolist()


def test_the_files_are_plain_numbers(index, tmp_path):
    names = {"kind.u1", "colors.u2", "width.u4", "height.u4", "bytes.u8", "taken.f8", "seen.f8"}
    assert {path.name for path in tmp_path.iterdir()} == names | {"bitmaps"}
    assert np.fromfile(tmp_path / "width.u4", "<u4").tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("is_writer", [True, False])
def test_a_column_that_is_short_or_gone_is_told(index, tmp_path, is_writer):
    index.close()
    path = tmp_path / "width.u4"
    os.truncate(path, 15)
    with pytest.raises(IndexCorruptError, match="holds 3 of 4 rows"):
        ColumnsFilterIndex.open(tmp_path, rows=4, is_writer=is_writer)
    path.unlink()
    with pytest.raises(IndexCorruptError, match="holds 0 of 4 rows"):
        ColumnsFilterIndex.open(tmp_path, rows=4, is_writer=False)


@pytest.mark.parametrize("cut", [0, 3, 10, 20, 21, 60, -1])
def test_damaged_bitmaps_begin_anew(index, tmp_path, cut):
    path = tmp_path / "bitmaps"
    path.write_bytes(path.read_bytes()[:cut])
    again = ColumnsFilterIndex.open(tmp_path, rows=4, is_writer=False)
    assert again.seq == 0
    assert rows(again, OneOf("site", frozenset({"org"}))) == []
    again.update([record(row) for row in range(4)])
    assert rows(again, OneOf("site", frozenset({"org"}))) == [0, 1, 2, 3]


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_bit_that_turned_over_is_noticed(tmp_path_factory, at, bit):
    path = tmp_path_factory.mktemp("bitmaps") / "bitmaps"
    bitmaps = Bitmaps()
    bitmaps.add(("site", "org", 0), BitMap([1, 5]))
    bitmaps.save(path, seq=3)
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    loaded, seq = load_bitmaps(path)
    assert seq == 0
    assert not loaded.get(("site", "org", 0))


def test_bitmaps_come_back_as_they_were(tmp_path):
    bitmaps = Bitmaps()
    terms = {("label", "cat", 2): [1, 70_000], ("site", "\udcff", 0): [0], ("label", "cat", 1): [7]}
    for term, found in terms.items():
        bitmaps.add(term, BitMap(found))
    for _ in range(2):  # saved from memory, and then from what was never decoded
        bitmaps.save(tmp_path / "bitmaps", seq=12)
        bitmaps, seq = load_bitmaps(tmp_path / "bitmaps")
        assert seq == 12
    assert {term: list(bitmaps.get(term)) for term in terms} == terms
    assert list(bitmaps.words("label")) == ["cat"]
    bitmaps.drop_all(["label"], BitMap([1, 70_000]))
    assert list(bitmaps.get(("label", "cat", 2))) == []
    assert list(bitmaps.get(("label", "cat", 1))) == [7]


def test_a_save_that_fails_leaves_the_old_file(index, tmp_path, monkeypatch):
    before = (tmp_path / "bitmaps").read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    index.update([record(0, site="b.net")])
    with pytest.raises(DiskFullError):
        index.save(10)
    with pytest.raises(DiskFullError):
        index.flush()
    assert (tmp_path / "bitmaps").read_bytes() == before
    assert index.seq == 9


def test_an_io_error_is_ours(index, monkeypatch):
    def broken(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.pwrite", broken)
    with pytest.raises(StoreError, match="Input/output"):
        index.append([record(4)])


def test_a_folder_that_is_a_file_is_our_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        ColumnsFilterIndex.open(tmp_path / "file", rows=0, is_writer=True)


def test_a_date_changed_in_place_is_seen_by_every_reader(index, tmp_path):
    reader = ColumnsFilterIndex.open(tmp_path, rows=4, is_writer=False)
    older = record(2, first_seen=0.5)
    reader.update([older])
    assert rows(reader, Between("taken", high=0.5)) == [2]
    index.update([older])
    assert rows(index, Between("taken", high=0.5)) == [2]
    late = ColumnsFilterIndex.open(tmp_path, rows=4, is_writer=False)
    assert rows(late, Between("seen", high=0.5)) == [2]


def test_what_a_new_reading_changed_is_seen_by_every_reader(index, tmp_path):
    reader = ColumnsFilterIndex.open(tmp_path, rows=4, is_writer=False)
    old = record(2)
    facts = replace(old.facts, width=4000, height=10, kind="lineart", color_tags=("pink",))
    changed = replace(old, facts=facts)
    reader.update([changed])  # it saw the commit before the writer came to the columns
    pink = Filter((OneOf("color", frozenset({"pink"})), OneOf("type", frozenset({"lineart"}))))
    wide = Filter((OneOf("aspect", frozenset({"panorama"})), Between("width", 4000, 4000)))
    for filter_ in (pink, wide):
        assert np.flatnonzero(reader.select(filter_).mask).tolist() == [2]
    assert reader.facets(reader.select(Filter()))["color"]["pink"] == 1
    index.update([changed])
    reader.update([changed])
    assert not any(reader._laid_over.values())
    for filter_, store in ((pink, index), (wide, reader)):
        assert np.flatnonzero(store.select(filter_).mask).tolist() == [2]
    reader.close()


def test_a_reader_keeps_its_rows_while_a_writer_cuts_the_file(index, tmp_path):
    index.append([record(row) for row in range(4, 9)])
    index.flush()
    reader = ColumnsFilterIndex.open(tmp_path, rows=4, is_writer=False)
    index.close()
    ColumnsFilterIndex.open(tmp_path, rows=4, is_writer=True).close()
    assert rows(reader, Between("width", 1)) == [0, 1, 2, 3]


def test_selections_kept_are_bounded(index, monkeypatch):
    monkeypatch.setattr("lookalike.adapters.filters_columns.CACHE_BYTES", 40)
    for low in range(50):
        index.select(Filter((Between("width", low),)))
    assert len(index._cache) == 10
