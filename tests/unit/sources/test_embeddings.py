"""clip-retrieval folders."""

import numpy as np
import pytest

from lookalike.adapters.source_embeddings import EmbeddingsSource
from lookalike.domain.errors import SourceError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def make(folder, parts, dtype=np.float16, describe=True):
    (folder / "img_emb").mkdir()
    (folder / "metadata").mkdir()
    for number, rows in parts.items():
        vectors = np.random.default_rng(number).normal(size=(rows, 8)).astype(dtype)
        np.save(folder / f"img_emb/img_emb_{number}.npy", vectors)
        if describe:
            table = {
                "image_path": [f"{number}/{i}.jpg" for i in range(rows)],
                "caption": [f"picture {number} {i}" for i in range(rows)],
            }
            pq.write_table(pa.table(table), folder / f"metadata/metadata_{number}.parquet")
    return folder


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_vectors_come_in_order_with_their_words(tmp_path, dtype):
    source = EmbeddingsSource(make(tmp_path, {2: 3, 10: 2, 0: 4}, dtype))
    items = list(source.items())
    assert [item.source.caption[8:] for item in items] == [
        "0 0", "0 1", "0 2", "0 3", "2 0", "2 1", "2 2", "10 0", "10 1",
    ]  # fmt: skip
    assert (source.count(), source.dim) == (9, 8)
    raw = np.load(tmp_path / "img_emb/img_emb_2.npy").astype(np.float32)
    for item in items:
        assert item.vector is not None
        assert (item.vector.shape, item.vector.dtype) == ((1, 8), np.float32)
        assert np.linalg.norm(item.vector) == pytest.approx(1, abs=1e-6)
    assert np.allclose(items[4].vector, raw[0] / np.linalg.norm(raw[0]), atol=1e-3)
    assert len({item.source.uri for item in items}) == 9


def test_more_rows_than_a_block(tmp_path):
    items = list(EmbeddingsSource(make(tmp_path, {0: 9000})).items())
    assert len(items) == 9000
    assert items[8999].source.caption == "picture 0 8999"


def test_places(tmp_path):
    (tmp_path / "img_emb").mkdir()
    (tmp_path / "metadata").mkdir()
    (tmp_path / "here.jpg").write_bytes(b"x")
    np.save(tmp_path / "img_emb/img_emb_0.npy", np.eye(4, dtype=np.float32))
    table = {
        "image_path": ["here.jpg", "/gone/b.jpg", "000000012", "000000013"],
        "url": ["https://x.org/1", None, "https://x.org/3", None],
        "original_width": [640, None, 3, -1],
        "original_height": [480.0, None, 4, 9],
    }
    pq.write_table(pa.table(table), tmp_path / "metadata/metadata_0.parquet")
    one, two, three, four = EmbeddingsSource(tmp_path).items()
    assert (one.path, one.source.uri) == (tmp_path / "here.jpg", f"{tmp_path}/here.jpg")
    assert (one.width, one.height, one.url) == (640, 480, "https://x.org/1")
    assert (two.path, two.source.uri) == (None, "/gone/b.jpg")
    assert three.source.uri == "https://x.org/3"
    assert four.source.uri == f"{tmp_path}/img_emb/img_emb_0.npy#3"
    assert (four.width, four.height) == (0, 9)


def test_unusable_vectors_are_error_items(tmp_path):
    make(tmp_path, {0: 5}, np.float32)
    vectors = np.load(tmp_path / "img_emb/img_emb_0.npy")
    vectors[1], vectors[2, 3], vectors[3, 0] = 0, np.nan, np.inf
    np.save(tmp_path / "img_emb/img_emb_0.npy", vectors)
    items = list(EmbeddingsSource(tmp_path).items())
    assert [item.kind for item in items] == ["vector", "error", "error", "error", "vector"]
    assert items[1].error[0] == "bad-record"


def test_without_metadata(tmp_path):
    items = list(EmbeddingsSource(make(tmp_path, {0: 2}, describe=False)).items())
    assert [item.source.uri.split("#")[1] for item in items] == ["0", "1"]


def test_row_counts_that_differ_are_told_before_any_item(tmp_path):
    make(tmp_path, {0: 3, 1: 3})
    pq.write_table(pa.table({"caption": ["x"]}), tmp_path / "metadata/metadata_1.parquet")
    with pytest.raises(SourceError, match=r"3 vectors.*describes 1"):
        next(EmbeddingsSource(tmp_path).items())


def test_several_widths(tmp_path):
    make(tmp_path, {0: 3})
    np.save(tmp_path / "img_emb/img_emb_1.npy", np.eye(4, dtype=np.float32))
    with pytest.raises(SourceError, match="several widths: 4, 8"):
        _ = EmbeddingsSource(tmp_path).dim


@pytest.mark.parametrize(
    "array", [np.zeros(4, np.float32), np.zeros((2, 2), np.int64), np.array([[{}]], dtype=object)]
)
def test_files_that_are_no_vectors(tmp_path, array):
    (tmp_path / "img_emb").mkdir()
    np.save(tmp_path / "img_emb/img_emb_0.npy", array)
    with pytest.raises(SourceError):
        list(EmbeddingsSource(tmp_path).items())


def test_cut_files(tmp_path):
    make(tmp_path, {0: 50})
    for name in ("img_emb/img_emb_0.npy", "metadata/metadata_0.parquet"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(SourceError, match="cannot read"):
            list(EmbeddingsSource(tmp_path).items())
        (tmp_path / name).write_bytes(data)


def test_what_it_accepts(tmp_path):
    assert not EmbeddingsSource.accepts(str(tmp_path))
    assert not EmbeddingsSource.accepts("https://x.org/")
    make(tmp_path, {0: 1})
    assert EmbeddingsSource.accepts(str(tmp_path))
