"""What every source of pictures promises, one case per adapter."""

import io
import itertools
import tarfile

import numpy as np
import pytest

from lookalike.adapters.source_embeddings import EmbeddingsSource
from lookalike.adapters.source_folder import FilesSource, FolderSource, GlobSource
from lookalike.adapters.source_pages import PagedFolderSource, SavedPageSource
from lookalike.adapters.source_shards import ShardSource
from lookalike.adapters.source_table import TableSource
from lookalike.adapters.source_urls import UrlListSource, UrlSource
from lookalike.adapters.source_warc import WarcSource
from lookalike.domain import reasons
from tests.unit.sources.warcs import page, response, write

JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 60
BAD = {"folder", "files", "glob", "csv", "jsonl", "shards", "urls", "page", "pages", "warc"}


def _pictures(folder):
    for name in ("b/1.jpg", "b/2.png", "a.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(JPEG)
    (folder / "bad.jpg").symlink_to(folder / "nothing")
    return folder


def _written(path, text):
    path.write_text(text)
    return path


def _tar(path):
    with tarfile.open(path, "w") as tar:
        for name in ("1.jpg", "1.txt", "2.jpg"):
            info = tarfile.TarInfo(name)
            info.size = len(JPEG)
            tar.addfile(info, io.BytesIO(JPEG))
    path.write_bytes(path.read_bytes()[:-9000])
    return path


def _embeddings(folder):
    (folder / "img_emb").mkdir()
    np.save(folder / "img_emb/img_emb_0.npy", np.eye(4, dtype=np.float16))
    return folder


def _saved(folder):
    _pictures(folder)
    (folder / "b").rename(folder / "page_files")
    shown = ("page_files/1.jpg", "https://x.org/3.jpg", "gone.jpg", "page_files/2.png")
    html = "".join(f'<img src="{name}" alt="a bird">' for name in shown)
    return _written(folder / "page.html", html)


def _warc(path):
    write(path, [
        page("https://x.org/", '<img src="/1.jpg" alt="bird">'),
        page("https://y.org/", '<img src="https://x.org/1.jpg" alt="bird">'),
        response("https://x.org/1.jpg", JPEG, "image/jpeg"),
        response("https://x.org/2.jpg", JPEG, "image/jpeg"),
        response("https://x.org/3.jpg", JPEG, "image/jpeg"),
    ])  # fmt: skip
    path.write_bytes(path.read_bytes()[:-20])
    return path


URLS = "https://x.org/1.jpg\nnonsense\nhttps://x.org/2.jpg\n"
MAKERS = {
    "folder": lambda d: FolderSource(_pictures(d)),
    "glob": lambda d: GlobSource(f"{_pictures(d)}/**/*.jpg"),
    "files": lambda d: FilesSource([_pictures(d) / "a.jpg", d / "bad.jpg"]),
    "csv": lambda d: TableSource(
        _written(_pictures(d) / "t.csv", "path\na.jpg\nno.jpg\nb/1.jpg\n")
    ),
    "jsonl": lambda d: TableSource(_written(_pictures(d) / "t.jsonl", '{"path":"a.jpg"}\n{bad\n')),
    "shards": lambda d: ShardSource(_tar(d / "0.tar")),
    "url": lambda d: UrlSource("https://x.org/1.jpg"),
    "urls": lambda d: UrlListSource(_written(d / "u.txt", URLS)),
    "page": lambda d: SavedPageSource(_saved(d)),
    "pages": lambda d: PagedFolderSource(FolderSource(_saved(d).parent)),
    "warc": lambda d: WarcSource(_warc(d / "a.warc.gz")),
    "embeddings": lambda d: EmbeddingsSource(_embeddings(d)),
}


@pytest.fixture(params=sorted(MAKERS))
def case(request, tmp_path):
    return request.param, MAKERS[request.param](tmp_path)


def _facts(items):
    return [(i.source, i.kind, i.path, i.data, i.url, i.error) for i in items]


def test_items_come_in_a_stable_order(case):
    _, source = case
    first = _facts(source.items())
    assert first
    assert _facts(source.items()) == first


def test_uris_are_unique_absolute_and_fit_for_utf8(case):
    _, source = case
    uris = [item.source.uri for item in source.items()]
    assert len(set(uris)) == len(uris)
    for uri in uris:
        uri.encode("utf-8")
        assert uri.startswith(("/", "https://"))


def test_each_item_holds_what_its_kind_says(case):
    _, source = case
    for item in source.items():
        assert bool(item.error[0]) == (item.kind == "error")
        if item.kind == "path":
            assert item.path is not None
            assert item.path.is_absolute()
            assert item.source.fingerprint
        elif item.kind == "data":
            assert item.data
        elif item.kind == "url":
            assert item.url == item.source.uri
        elif item.kind == "vector":
            assert item.vector is not None
            assert item.vector.shape[0] == 1
            assert np.linalg.norm(item.vector) == pytest.approx(1)


def test_unusable_entries_are_items_with_a_known_reason(case):
    name, source = case
    errors = [item.error for item in source.items() if item.kind == "error"]
    assert bool(errors) == (name in BAD)
    assert all(reason in reasons.MEANING and detail for reason, detail in errors)


def test_the_prefix_covers_every_uri(case):
    _, source = case
    if source.prefix is not None:
        assert all(item.source.uri.startswith(source.prefix) for item in source.items())


def test_a_count_is_right_or_not_told(case):
    _, source = case
    assert source.count() in {None, len(list(source.items()))}


def test_a_run_may_stop_early(case):
    _, source = case
    items = source.items()
    assert list(itertools.islice(items, 1))
    items.close()
    assert source.name
