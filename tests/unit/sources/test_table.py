"""CSV, TSV, JSON Lines and Parquet tables."""

import builtins
import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.adapters.source_table import TableSource
from lookalike.domain.errors import MissingExtraError, SourceError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_labels_as_they_are(touch, below):
    root = touch("images/1.jpg", "images/2.jpg")
    rows = [
        {"file": "images/1.jpg", "captions": ["A dog.", "A pup."], "licence_id": "CC-BY-2.0"},
        {"file": "images/2.jpg", "captions": [], "licence_id": None, "flickr_url": None},
    ]
    path = write(root, "labels.jsonl", "\n".join(map(json.dumps, rows)) + "\n")
    source = TableSource(path)
    one, two = source.items()
    assert below([one, two]) == ["images/1.jpg", "images/2.jpg"]
    assert (one.source.caption, one.source.licence) == ("A dog.\nA pup.", "cc-by-2.0")
    assert one.source.fingerprint.startswith("64-")
    assert "+" in one.source.fingerprint
    assert two.source.licence == "unknown"
    assert "+" not in two.source.fingerprint
    assert source.count() == 2
    assert source.prefix is None


def test_bad_rows_are_items_with_their_line(touch):
    root = touch("1.jpg")
    lines = ['{"path": "1.jpg"}', "", "{nonsense", "[1]", '{"path": 5}', '{"path": "no.jpg"}',
             '{"path": "."}', '{"caption": "x"}', '{"path": "1.jpg"}']  # fmt: skip
    items = list(TableSource(write(root, "t.jsonl", "\r\n".join(lines))).items())
    assert [item.error[0] for item in items] == [
        "", "bad-record", "bad-record", "bad-record", "vanished", "not-an-image", "bad-record", "",
    ]  # fmt: skip
    assert items[1].error[1].startswith("line 3: not JSON")
    assert items[1].source.uri.endswith("t.jsonl#line-3")


def test_csv_with_mark_crlf_quotes_and_semicolons(touch, below):
    root = touch("a b.jpg", "ü.jpg")
    text = '\ufeffFile;Caption;Licence\r\n"a b.jpg";"two\r\nlines; yes";CC0\r\nü.jpg;;\r\n'
    one, two = TableSource(write(root, "t.csv", text)).items()
    assert below([one, two]) == ["a b.jpg", "ü.jpg"]
    assert one.source.caption.split() == ["two", "lines;", "yes"]
    assert one.source.licence == "cc0"


def test_utf16_as_spreadsheets_write_it(touch, below):
    root = touch("ü.jpg")
    path = write(root, "t.tsv", "path\tcaption\r\nü.jpg\tein Hund\r\n", "utf-16")
    (item,) = TableSource(path).items()
    assert (below([item]), item.source.caption) == (["ü.jpg"], "ein Hund")


def test_rows_of_one_picture_are_one_item(touch):
    root = touch("a.jpg", "b.jpg")
    text = "image,caption\na.jpg,A dog\na.jpg,A pup, running\nb.jpg,x\na.jpg,again\n"
    items = list(TableSource(write(root, "captions.csv", text)).items())
    assert [item.source.caption for item in items] == ["A dog\nA pup, running", "x", "again"]


def test_huge_fields_and_broken_quotes(touch):
    root = touch("a.jpg")
    text = f'path,page_text\na.jpg,{"x" * 500_000}\na.jpg,"open'
    items = list(TableSource(write(root, "t.csv", text)).items())
    assert items[0].kind == "path"
    assert items[1].error[0] == "bad-record"
    assert "line 3" in items[1].error[1]


def test_quotes_that_break_one_row_do_not_end_the_run(touch):
    root = touch("a.jpg", "b.jpg")
    text = 'path,caption\na.jpg,"x"y\nb.jpg,fine\n'
    items = list(TableSource(write(root, "t.csv", text)).items())
    assert [item.kind for item in items] == ["error", "path"]


def test_names_that_are_not_utf8(tmp_path):
    import os

    raw = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    with open(raw, "wb") as file:
        file.write(b"x")
    (tmp_path / "t.csv").write_bytes(b"path,caption\ncaf\xe9.jpg,caf\xe9\n")
    (item,) = TableSource(tmp_path / "t.csv").items()
    assert item.path is not None
    assert os.fsencode(item.path) == raw
    assert item.source.caption == "caf?"


def test_urls_and_paths(touch):
    root = touch("a.jpg")
    text = "url,alt,page_url\nhttps://x.org/1.jpg,a cat,https://blog.example/p\nftp://x/1,b,\n"
    one, two = TableSource(write(root, "t.csv", text)).items()
    assert (one.kind, one.url, one.source.uri) == ("url",) + ("https://x.org/1.jpg",) * 2
    assert (one.source.alt_text, one.source.site) == ("a cat", "blog.example")
    assert two.error[0] == "bad-record"


def test_gzip_whole_and_cut(touch):
    root = touch("a.jpg")
    lines = "\n".join(f'{{"path": "a.jpg", "caption": "{i}"}}' for i in range(2000))
    packed = gzip.compress(lines.encode())
    (root / "t.jsonl.gz").write_bytes(packed)
    assert len(list(TableSource(root / "t.jsonl.gz").items())) == 1
    (root / "t.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    items = list(TableSource(root / "t.jsonl.gz").items())
    assert [item.kind for item in items] == ["path", "error"]
    (root / "t.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(SourceError):
        list(TableSource(root / "t.csv.gz").items())


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.jsonl", "dir.csv"])
def test_tables_that_cannot_be_read(tmp_path, name):
    (tmp_path / "dir.csv").mkdir()
    with pytest.raises(SourceError):
        list(TableSource(tmp_path / name).items())


def test_tables_without_a_place_for_pictures(touch):
    root = touch("x.jpg")
    for path in (write(root, "t.csv", "colour,size\nred,1\n"), write(root, "e.csv", "")):
        with pytest.raises(SourceError, match="no column"):
            list(TableSource(path).items())


def test_parquet(touch, below):
    root = touch("a.jpg")
    rows = [
        {"image_path": "a.jpg", "url": None, "caption": ["x", "y"], "licence": "CC0"},
        {"image_path": None, "url": "https://x.org/b.jpg", "caption": None, "licence": None},
        {"image_path": None, "url": None, "caption": None, "licence": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), root / "t.parquet")
    source = TableSource(root / "t.parquet")
    one, two, three = source.items()
    assert (below([one]), one.source.caption) == (["a.jpg"], "x\ny")
    assert two.url == "https://x.org/b.jpg"
    assert three.error[0] == "bad-record"
    assert three.source.uri == f"{root}/t.parquet#row-2"
    assert source.count() == 3


def test_parquet_with_the_pictures_inside(tmp_path):
    rows = [
        {"jpg": b"\xff\xd8\xff", "key": "000000012", "caption": "a dog"},
        {"jpg": None, "key": "000000013", "caption": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "0.parquet")
    one, two = TableSource(tmp_path / "0.parquet").items()
    assert (one.kind, one.data, one.source.caption) == ("data", b"\xff\xd8\xff", "a dog")
    assert one.source.uri == f"{tmp_path}/0.parquet#000000012"
    assert two.error[0] == "bad-record"


def test_damaged_parquet(tmp_path):
    pq.write_table(pa.table({"path": [f"{i}.jpg" for i in range(5000)]}), tmp_path / "t.parquet")
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[100:400] = b"\xaa" * 300
    (tmp_path / "t.parquet").write_bytes(data)
    assert list(TableSource(tmp_path / "t.parquet").items())[-1].error[0] == "bad-record"
    (tmp_path / "t.parquet").write_bytes(data[:200])
    with pytest.raises(SourceError):
        list(TableSource(tmp_path / "t.parquet").items())


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **kwargs):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **kwargs)

    (tmp_path / "t.parquet").write_bytes(b"x")
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError) as caught:
        list(TableSource(tmp_path / "t.parquet").items())
    assert "lookalike[parquet]" in caught.value.hint


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".jsonl.gz", ".parquet"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_items_or_our_error(tmp_path, suffix, raw):
    path = tmp_path / f"t{suffix}"
    head = b"" if suffix in {".jsonl", ".jsonl.gz", ".parquet"} else b"path,url\n"
    path.write_bytes(head + raw)
    try:
        items = list(TableSource(path).items())
    except SourceError:
        return
    for item in items:
        item.source.uri.encode("utf-8")


def test_what_it_accepts(tmp_path):
    (tmp_path / "d.csv").mkdir()
    assert TableSource.accepts("a/B.JSONL.gz")
    assert TableSource.accepts("x.parquet")
    assert not TableSource.accepts(str(tmp_path / "d.csv"))
    assert not TableSource.accepts("https://x.org/a.csv")
    assert not TableSource.accepts("a.jpg")
