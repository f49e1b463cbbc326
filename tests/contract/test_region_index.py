"""What every region index promises; a new back end adds one line to `BACK_ENDS`."""

import numpy as np
import pytest

from lookalike.adapters.regions_faiss import FaissRegionIndex
from lookalike.adapters.regions_vectors import VectorRegionIndex
from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.domain.errors import IndexCorruptError, StoreError
from lookalike.domain.hits import Selection
from lookalike.ports.regions import ImageRegions
from tests.vector_servers import DIM, MilvusBackEnd, PineconeBackEnd, own_term

SETTINGS = VectorSettings(import_rows=0)


class Folder:
    """Regions in a folder: what is put shows when the catalog's length is told."""

    def begin(self):
        """Each test has a folder of its own."""

    def open(self, folder, *, length=0, removed=(), is_writer=True):
        return FaissRegionIndex.open(
            folder,
            dim=DIM,
            length=length,
            removed=np.asarray(removed, np.int64),
            is_writer=is_writer,
            settings=SETTINGS,
        )

    def select(self, rows):
        mask = np.zeros(100, np.bool_)
        mask[list(rows)] = True
        return Selection(None, mask)


class Server:
    """Regions in a vector server."""

    def __init__(self, back_end):
        self.back_end = back_end

    def begin(self):
        self.back_end.begin()

    def open(self, folder, *, length=0, removed=(), is_writer=True):
        index = VectorRegionIndex(self.back_end.connect())
        self.back_end.opened.append(index)
        index.remove(np.asarray(removed, np.int64))
        return index

    def select(self, rows):
        mask = np.zeros(100, np.bool_)
        mask[list(rows)] = True
        return self.back_end.select(mask)


BACK_ENDS = {
    "faiss": Folder(),
    "milvus": Server(MilvusBackEnd()),
    "pinecone": Server(PineconeBackEnd()),
}
PARAMETERS = [
    pytest.param(name, marks=pytest.mark.service if name == "milvus" else ()) for name in BACK_ENDS
]


@pytest.fixture(scope="module", autouse=True)
def ended():
    yield
    for back_end in BACK_ENDS.values():
        if isinstance(back_end, Server):
            back_end.back_end.end()


@pytest.fixture(params=PARAMETERS)
def back_end(request):
    chosen = BACK_ENDS[request.param]
    chosen.begin()
    return chosen


def unit(*numbers):
    """Return vectors that each point mostly along one axis."""
    vectors = np.full((len(numbers), DIM), 0.05, np.float32)
    vectors[np.arange(len(numbers)), list(numbers)] = 1.0
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def regions(row, **axes):
    """Return the regions of an image: `r0=3` is its object 0, along axis 3."""
    numbers = tuple(int(name[1:]) for name in axes)
    return ImageRegions(row, numbers, unit(*axes.values()), own_term(row))


def show(index):
    index.flush()
    index.refresh(index.length)


def found(index, axis, k=10, selection=None, least=0.9):
    hits = index.search(unit(axis), k=k, selection=selection)
    assert (np.diff(hits.scores) <= 0).all()
    pairs = zip(hits.rows.tolist(), hits.numbers.tolist(), hits.scores.tolist(), strict=True)
    return sorted((row, number) for row, number, score in pairs if score > least)


def test_regions_are_found_with_their_image_and_number(back_end, tmp_path):
    index = back_end.open(tmp_path)
    index.put([regions(7, r0=1, r2=2), regions(9, r1=2), regions(11)], is_new=True)
    show(index)
    assert found(index, 1) == [(7, 0)]
    assert found(index, 2) == [(7, 2), (9, 1)]
    assert len(found(index, 2, k=1)) == 1
    assert found(index, 3) == []
    assert len(index) == 3
    assert index.has(np.array([11, 9, 7, 9, 99])).tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(index.fetch(7, [2, 0]), unit(2, 1), atol=2e-3)
    for row, numbers in ((7, [1]), (8, [0])):
        with pytest.raises(StoreError):
            index.fetch(row, numbers)


def test_a_filter_of_images_holds_for_their_regions(back_end, tmp_path):
    index = back_end.open(tmp_path)
    index.put([regions(row, r0=row % 3, r1=5) for row in range(12)], is_new=True)
    show(index)
    assert found(index, 5, k=20, selection=back_end.select({3, 8})) == [(3, 1), (8, 1)]
    assert found(index, 0, k=2, selection=back_end.select({6})) == [(6, 0)]


def test_putting_again_replaces_and_removing_hides(back_end, tmp_path):
    index = back_end.open(tmp_path)
    index.put([regions(1, r0=1, r1=2, r2=3), regions(2, r0=1)], is_new=True)
    show(index)
    index.put([regions(1, r1=4, r3=2)])
    show(index)
    assert found(index, 1) == [(2, 0)]
    assert found(index, 2) == [(1, 3)]
    assert found(index, 3) == []
    assert found(index, 4) == [(1, 1)]
    index.put([regions(1, r1=4, r3=2)])
    show(index)
    assert found(index, 2) == [(1, 3)]
    assert len(index) == 3
    index.put([regions(2)])
    show(index)
    assert found(index, 1) == []
    with pytest.raises(StoreError):
        index.fetch(2, [0])
    index.remove(np.array([1, 77]))
    assert not index.has(np.array([1, 2])).any()
    assert found(index, 2) == []
    assert len(index) == 0


def test_what_was_put_is_there_after_opening_again(back_end, tmp_path):
    index = back_end.open(tmp_path)
    index.put([regions(1, r0=1), regions(2, r0=1), regions(3, r0=1, r1=2)], is_new=True)
    show(index)
    index.put([regions(1, r2=1)])
    show(index)
    length = index.length
    index.close()
    again = back_end.open(tmp_path, length=length, removed=[2])
    assert found(again, 1) == [(1, 2), (3, 0)]
    assert found(again, 2) == [(3, 1)]


def test_regions_put_twice_before_they_are_shown_stand_once(back_end, tmp_path):
    index = back_end.open(tmp_path)
    index.put([regions(4, r0=1, r1=2)], is_new=True)
    index.put([regions(4, r0=3)])
    show(index)
    assert found(index, 1) == []
    assert found(index, 2) == []
    assert found(index, 3) == [(4, 0)]


def test_a_folder_shows_no_more_than_the_catalog_committed(tmp_path):
    back_end = Folder()
    index = back_end.open(tmp_path)
    index.put([regions(1, r0=1)], is_new=True)
    show(index)
    index.put([regions(2, r0=1)], is_new=True)
    index.flush()
    reader = back_end.open(tmp_path, length=1, is_writer=False)
    assert found(reader, 1) == [(1, 0)]
    reader.refresh(2)
    assert found(reader, 1) == [(1, 0), (2, 0)]
    index.close()
    cut = back_end.open(tmp_path, length=1)
    assert cut.length == 1
    assert found(cut, 1) == [(1, 0)]
    cut.put([regions(5, r0=1)], is_new=True)
    show(cut)
    assert found(cut, 1) == [(1, 0), (5, 0)]


def test_a_folder_keeps_many_replacements_apart(tmp_path):
    generator = np.random.default_rng(5)
    index = Folder().open(tmp_path)
    expected = {}
    for _ in range(30):
        batch = {}
        for row in generator.integers(0, 40, size=6).tolist():
            numbers = generator.permutation(6)[: generator.integers(0, 4)].tolist()
            batch[row] = {f"r{number}": int(generator.integers(0, DIM)) for number in numbers}
        index.put([regions(row, **axes) for row, axes in batch.items()])
        expected.update(batch)
        show(index)
        for axis in range(0, DIM, 5):
            want = {
                (r, int(n[1:]))
                for r, axes in expected.items()
                for n, a in axes.items()
                if a == axis
            }
            assert set(found(index, axis, k=200)) == want
    length = index.length
    index.close()
    again = Folder().open(tmp_path, length=length)
    assert len(again) == sum(map(len, expected.values()))


def test_a_short_file_is_named(tmp_path):
    index = Folder().open(tmp_path)
    index.put([regions(1, r0=1)], is_new=True)
    show(index)
    index.close()
    with pytest.raises(
        IndexCorruptError, match=r"owners\.i64 holds 1 regions, the catalog counts 2"
    ):
        Folder().open(tmp_path, length=2)
