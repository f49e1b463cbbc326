"""Archives: what is written comes back as it was, and nothing else is believed."""

import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.adapters import archive_files, archive_parquet
from lookalike.adapters.archive_columns import words_of_text
from lookalike.adapters.archive_files import PARTIAL_NAME
from lookalike.adapters.archive_parquet import ParquetArchiveWriter
from lookalike.adapters.archive_reading import ParquetArchiveReader
from lookalike.domain.archives import (
    ArchivedEncoder,
    ArchivedSpace,
    ArchiveFacts,
    manifest_of_json,
)
from lookalike.domain.errors import (
    ArchiveCorruptError,
    ArchiveError,
    ArchiveFormatError,
    ArchiveMissingError,
    DiskFullError,
    MissingExtraError,
    UsageError,
)
from lookalike.domain.images import (
    COLOR_NAMES,
    KINDS,
    DetectedObject,
    ImageFacts,
    ImageRecord,
    OcrWord,
    PaletteColour,
    Row,
    Source,
    image_id,
)
from lookalike.ports.archive import (
    ArchivedCopy,
    ArchivedDecision,
    ArchivedRegions,
    BlobHashes,
)
from lookalike.ports.catalog import Failure

DIM = 8
SPACE = ArchivedSpace("toy", DIM, ArchivedEncoder("toy", "1", "f" * 32))
FACTS = ArchiveFacts("index", SPACE, "lookalike test", 1_700_000_000.25)

texts = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["", "\0", "/pictures/\udcff\udc80.jpg", "\ud83d\ude00", "😀", "a\ud800b", "\ufffd"]
)
times = st.floats(-1e11, 1e11)
parts = st.floats(0, 1)
wholes = st.integers(0, (1 << 31) - 1)

sources = st.builds(
    Source, texts, texts, texts, texts, texts, texts, texts, texts, texts,
    taken=st.none() | times, seen=times, is_vanished=st.booleans(),
)  # fmt: skip
facts = st.builds(
    ImageFacts,
    id=st.binary(max_size=8).map(image_id),
    width=wholes, height=wholes, bytes=st.integers(0, 1 << 50), format=texts, frames=wholes,
    kind=st.sampled_from(KINDS), is_animated=st.booleans(), is_transparent=st.booleans(),
    taken=st.none() | times,
    palette=st.lists(
        st.builds(PaletteColour, st.tuples(times, times, times), parts), max_size=3
    ).map(tuple),
    color_tags=st.lists(st.sampled_from(COLOR_NAMES), max_size=3).map(tuple),
    phash=st.integers(0, (1 << 64) - 1), phash_quality=parts, licence=texts, embedded_text=texts,
    embedded_title=texts, keywords=st.lists(texts, max_size=3).map(tuple), creator=texts,
    rights=texts, place=st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
)  # fmt: skip
plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
records = st.builds(
    ImageRecord, st.just(Row(0)), facts,
    st.lists(sources, min_size=1, max_size=3, unique_by=lambda one: one.uri).map(tuple),
    objects=st.lists(
        st.builds(DetectedObject, texts, parts, st.tuples(parts, parts, parts, parts)), max_size=2
    ).map(tuple),
    words=st.lists(
        st.builds(OcrWord, texts, parts, st.tuples(parts, parts, parts, parts), wholes), max_size=3
    ).map(tuple),
    first_seen=times, last_seen=times,
    models=st.dictionaries(plain, plain, max_size=2),
)  # fmt: skip
failures = st.builds(Failure, texts, texts, texts, texts, times)


def unit(count, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f2")


def record(name, *uris, **changes):
    seen = [Source(uri, seen=5.0) for uri in uris or (f"/{name}",)]
    picture = ImageFacts(image_id(name.encode()), 4, 3, 99, "png", **changes)
    return ImageRecord(Row(7), picture, tuple(seen), first_seen=1.0, last_seen=9.0)


def export(folder, given_records, *, refused=(), blocked=(), thumbnails=None, seen=None):
    archive = ParquetArchiveWriter.create(folder, SPACE)
    if thumbnails:
        archive.put_blobs("thumbnails", thumbnails)
    if given_records:
        archive.put_images(given_records, unit(len(given_records)), seen or ())
    archive.put_failures(refused)
    archive.put_blocked(blocked)
    return archive.finish(FACTS)


def read_all(folder):
    archive = ParquetArchiveReader.open(folder)
    archive.check()
    pieces = list(archive.images())
    return archive, [one for piece in pieces for one in piece.records], pieces


def numbered(given_records):
    """The records as an archive gives them back: their rows are positions."""
    return [replace(one, row=Row(at)) for at, one in enumerate(given_records)]


@given(st.lists(records, max_size=6, unique_by=lambda one: one.id), st.lists(failures, max_size=4))
@settings(max_examples=60)
def test_everything_comes_back_as_it_was(tmp_path_factory, some, refused):
    folder = tmp_path_factory.mktemp("archive")
    manifest = export(folder, some, refused=refused, blocked=[one.id for one in some])
    archive, found, pieces = read_all(folder)
    assert archive.manifest == manifest
    assert found == numbered(some)
    assert manifest.counts.images == len(some)
    assert manifest.counts.sources == sum(
        not source.is_vanished for one in some for source in one.sources
    )
    vectors = [line for piece in pieces for line in piece.halves]
    assert np.array_equal(np.array(vectors).reshape(-1, DIM), unit(len(some)))
    assert [one for lines in archive.failures() for one in lines] == refused
    assert [one for ids in archive.blocked() for one in ids] == [one.id for one in some]
    uris = [pair for piece in archive.uris() for pair in piece.uris]
    assert uris == [(one.id, source.uri) for one in some for source in one.sources]
    assert [image for piece in archive.uris() for image in piece.ids] == [one.id for one in some]
    assert [image for ids, _ in archive.vectors() for image in ids] == [one.id for one in some]


CAT = DetectedObject("cat", 0.5, (0.1, 0.2, 0.3, 0.4))


def test_regions_stay_with_their_images(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_parquet, "CHUNK_ROWS", 3)
    some = [replace(record(str(at)), objects=(CAT,) * 4) for at in range(8)]
    numbers = [(), (2,), (0, 3), (), (1, 2, 3), (), (), (0,)]
    seen = [ArchivedRegions(of, unit(len(of), seed=at)) for at, of in enumerate(numbers)]
    manifest = export(tmp_path / "x", some, seen=seen)
    assert manifest.counts.regions == 7
    assert [file.rows for file in manifest.chunk("region_vectors")] == [3, 3, 1]
    _, found, pieces = read_all(tmp_path / "x")
    assert found == numbered(some)
    read = [one for piece in pieces for one in piece.regions]
    assert [one.numbers for one in read] == numbers
    for one, given_one in zip(read, seen, strict=True):
        assert one.halves.tobytes() == given_one.halves.tobytes()


def test_copies_and_decisions_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_parquet, "CHUNK_LINES", 3)
    ids = [image_id(str(at).encode()) for at in range(9)]
    groups = [
        [
            ArchivedCopy(ids[at], ids[at], True, "", "", 1.0),
            ArchivedCopy(ids[at + 1], ids[at], False, ids[at], "phash", 0.25),
        ]
        for at in (0, 2, 4, 6)
    ]
    decisions = [
        ArchivedDecision(ids[0], ids[8], "different", 5.0),
        ArchivedDecision(ids[0], ids[1], "same", 0.0),
        ArchivedDecision(ids[2], "", "keep", 7.0),
        ArchivedDecision(ids[3], ids[4], "same", 8.0),
    ]
    archive = ParquetArchiveWriter.create(tmp_path / "x", SPACE)
    for group in groups:
        archive.put_copies(group)
    for one in decisions:
        archive.put_decisions([one])
    counts = archive.finish(FACTS).counts
    assert (counts.copy_groups, counts.copies, counts.decisions) == (4, 8, 4)
    reader, _, _ = read_all(tmp_path / "x")
    assert list(reader.copies()) == groups
    assert [one for some in reader.decisions() for one in some] == decisions


def test_an_export_of_the_first_version_is_read(tmp_path):
    """It was written by the program as it was before objects, words and copies were kept."""
    archive, found, (piece,) = read_all(Path(__file__).parent / "export_v1")
    assert archive.manifest.version == 1
    assert archive.manifest.counts.regions == 0
    assert (found[0].objects, found[0].words, found[0].copy_group) == ((CAT,), (), None)
    assert found[0].facts == ImageFacts(
        image_id(b"a"), 4, 3, 99, "png", color_tags=("red",), embedded_text="old \udcff",
        palette=(PaletteColour((1.0, 2.0, 3.0), 0.5),),
    )  # fmt: skip
    assert [source.uri for source in found[0].sources] == ["/a", "/b"]
    assert found[1].ocr_text == "NO parking\nhere"
    assert [word.line for word in found[1].words] == [0, 0, 1]
    assert np.array_equal(piece.halves, unit(2))
    assert piece.regions == ()
    assert list(archive.copies()) == list(archive.decisions()) == []
    assert [one for ids in archive.blocked() for one in ids] == [image_id(b"z")]


def test_words_of_a_text_alone_stand_anywhere():
    assert words_of_text(" \n\n") == ()
    assert len(words_of_text("x " * 9000)) == 2000


def test_many_chunks_stay_aligned(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_parquet, "CHUNK_ROWS", 300)
    some = [record(str(n), *(f"/{n}/{at}" for at in range(1 + n % 3))) for n in range(1000)]
    manifest = export(tmp_path / "x", some)
    assert [file.rows for file in manifest.chunk("vectors")] == [300, 300, 300, 100]
    _, found, pieces = read_all(tmp_path / "x")
    assert found == numbered(some)
    assert np.array_equal(np.concatenate([piece.halves for piece in pieces]), unit(1000))


def test_much_text_ends_a_chunk_early(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_parquet, "CHUNK_CHARACTERS", 1000)
    some = [record(str(n), embedded_text="x" * 400) for n in range(10)]
    manifest = export(tmp_path / "x", some)
    assert [file.rows for file in manifest.chunk("images")] == [3, 3, 3, 1]
    assert read_all(tmp_path / "x")[1] == numbered(some)


def test_an_empty_index_is_an_export_too(tmp_path):
    assert export(tmp_path / "x", []).files == ()
    assert read_all(tmp_path / "x")[1] == []


def test_a_reader_without_lookalike(tmp_path):
    """As docs/export-format.md shows it: pyarrow and numpy alone."""
    from pyarrow import parquet

    folder = tmp_path / "x"
    export(folder, [record("a", "/pictures/\udcff.jpg", "/b"), record("c")])
    manifest = json.loads((folder / "export.json").read_text())
    images = parquet.read_table(folder / "images-00000.parquet")
    seen = parquet.read_table(folder / "sources-00000.parquet").to_pylist()
    vectors = np.load(folder / "vectors/toy/00000.npy", mmap_mode="r", allow_pickle=False)
    assert manifest["counts"]["images"] == images.num_rows == len(vectors) == 2
    assert [row["uri"] for row in seen] == ["/pictures/\ufffd.jpg", "/b", "/c"]
    odd = seen[0]["odd_texts"]
    assert [(one["column"], one["value"]) for one in odd] == [
        ("uri", b"/pictures/\xed\xb3\xbf.jpg")
    ]
    assert odd[0]["value"].decode("utf-8", "surrogatepass") == "/pictures/\udcff.jpg"


def test_pictures_are_files_checked_by_their_hash(tmp_path):
    one = record("a")
    export(tmp_path / "x", [one, record("b")], thumbnails={one.id: b"small"})
    archive, _, (piece,) = read_all(tmp_path / "x")
    hashes = {one.id: piece.hashes[0].thumbnail}
    assert piece.hashes[1] == BlobHashes()
    assert archive.blobs("thumbnails", hashes) == {one.id: b"small"}
    path = tmp_path / "x" / "blobs" / "thumbnails" / one.id[:2] / one.id
    assert path.read_bytes() == b"small"
    path.write_bytes(b"other")
    with pytest.raises(ArchiveCorruptError, match="is not what was exported"):
        archive.blobs("thumbnails", hashes)
    path.unlink()
    with pytest.raises(ArchiveCorruptError, match="lacks blobs/thumbnails"):
        archive.blobs("thumbnails", hashes)
    os.mkfifo(path)
    with pytest.raises(ArchiveCorruptError, match="not a regular file"):
        archive.blobs("thumbnails", hashes)


def test_an_original_is_the_picture_its_id_names(tmp_path, monkeypatch):
    data, other = b"a picture", record("other")
    one = record("a picture")
    archive = ParquetArchiveWriter.create(tmp_path / "x", SPACE)
    archive.put_blobs("originals", {one.id: data, other.id: data})
    archive.put_images([one, other], unit(2))
    assert archive.finish(FACTS).counts.originals == 2
    reader, _, (piece,) = read_all(tmp_path / "x")
    first, second = (hashes.original for hashes in piece.hashes)
    assert reader.blobs("originals", {one.id: first}) == {one.id: data}
    with pytest.raises(ArchiveCorruptError, match="is not what was exported"):
        reader.blobs("originals", {other.id: second})
    monkeypatch.setitem(archive_files.MOST_BLOB_BYTES, "originals", 5)
    with pytest.raises(ArchiveCorruptError, match="is not what was exported"):
        reader.blobs("originals", {one.id: first})


# ── Unfinished, foreign, full ────────────────────────────────────────────────────────────


def test_an_unfinished_export_is_none_and_is_begun_anew(tmp_path):
    folder = tmp_path / "x"
    archive = ParquetArchiveWriter.create(folder, SPACE)
    archive.put_blobs("thumbnails", {record("old").id: b"old"})
    archive.put_images([record("old")], unit(1))
    archive._end_chunk()
    with pytest.raises(ArchiveError, match="another export is at work"):
        ParquetArchiveWriter.create(folder, SPACE)
    archive.close()
    with pytest.raises(ArchiveMissingError, match="not finished"):
        ParquetArchiveReader.open(folder)
    export(folder, [record("new")])
    assert [one.id for one in read_all(folder)[1]] == [record("new").id]
    assert not (folder / PARTIAL_NAME).exists()
    assert not (folder / "blobs").exists()


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        ParquetArchiveWriter.create(tmp_path, SPACE)
    (tmp_path / PARTIAL_NAME).write_text("")
    with pytest.raises(UsageError, match="not empty"):
        ParquetArchiveWriter.create(tmp_path, SPACE)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(UsageError, match="is a file"):
        ParquetArchiveWriter.create(tmp_path / "notes.txt", SPACE)
    export(tmp_path / "x", [])
    with pytest.raises(UsageError, match="finished export"):
        ParquetArchiveWriter.create(tmp_path / "x", SPACE)
    with pytest.raises(ArchiveMissingError, match="no export"):
        ParquetArchiveReader.open(tmp_path / "x" / "y")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["images-00000.parquet", "vectors/toy/00000.npy"])
def test_a_full_disk_leaves_no_export(tmp_path, name):
    folder = tmp_path / "x"
    archive = ParquetArchiveWriter.create(folder, SPACE)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to("/dev/full")
    archive.put_images([record("a")], unit(1))
    with pytest.raises(DiskFullError, match="no space"):
        archive.finish(FACTS)
    archive.close()
    with pytest.raises(ArchiveMissingError, match="not finished"):
        ParquetArchiveReader.open(folder)
    export(folder, [record("a")])
    assert len(read_all(folder)[1]) == 1


def test_without_pyarrow_nothing_is_made(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for begin in (
        lambda: ParquetArchiveWriter.create(tmp_path / "x", SPACE),
        lambda: ParquetArchiveReader.open(tmp_path / "x"),
    ):
        with pytest.raises(MissingExtraError) as raised:
            begin()
        assert "lookalike[parquet]" in raised.value.hint
    assert not (tmp_path / "x").exists()


# ── Damaged and hostile archives ─────────────────────────────────────────────────────────


@pytest.fixture
def folder(tmp_path):
    seen = [ArchivedRegions((1,), unit(1)), ArchivedRegions((), unit(0))]
    export(
        tmp_path / "x", [replace(record("a", "/a", "/b"), objects=(CAT, CAT)), record("c")],
        seen=seen, refused=[Failure("/x", "empty-file", seen=2.0)], blocked=[image_id(b"blocked")],
    )  # fmt: skip
    return tmp_path / "x"


NAMES = [
    "images-00000.parquet", "sources-00000.parquet", "vectors/toy/00000.npy",
    "failures-00000.parquet", "blocked-00000.parquet", "regions-00000.parquet",
    "region_vectors/toy/00000.npy",
]  # fmt: skip


def rehash(folder, name, **changes):
    """State a changed file truly in the manifest, as one who means harm would."""
    import hashlib

    path = folder / "export.json"
    values = json.loads(path.read_text())
    (listed,) = (one for one in values["files"] if one["name"] == name)
    data = (folder / name).read_bytes()
    listed.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), **changes)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_cut_or_changed_file_is_named(folder, name):
    path = folder / name
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    for data, fault in ((whole[:-1], "bytes, the manifest"), (bytes(changed), "SHA-256")):
        path.write_bytes(data)
        with pytest.raises(ArchiveCorruptError, match=f"{path.name} has .*{fault}"):
            ParquetArchiveReader.open(folder).check()
    path.unlink()
    with pytest.raises(ArchiveCorruptError, match="lacks"):
        ParquetArchiveReader.open(folder).check()
    path.mkdir()
    with pytest.raises(ArchiveCorruptError, match=r"regular|cannot read"):
        ParquetArchiveReader.open(folder).check()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_damaged_file_with_a_true_hash_is_refused(folder, name, share):
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    rehash(folder, name)
    with pytest.raises(ArchiveCorruptError, match=path.name):
        read_all_parts(folder)


def read_all_parts(folder):
    archive, _, _ = read_all(folder)
    for part in (archive.uris(), archive.vectors(), archive.failures(), archive.blocked()):
        list(part)


@given(st.data())
@settings(max_examples=150)
def test_any_bytes_are_read_or_refused_by_us(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz") / "x"
    export(folder, [record("a", "/a", "/b"), record("c")], refused=[Failure("/x", "r", seen=1.0)])
    name = data.draw(st.sampled_from(NAMES[:4]))
    content = bytearray((folder / name).read_bytes())
    for at, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)
    ):
        content[at] = value
    (folder / name).write_bytes(content)
    rehash(folder, name)
    try:
        read_all_parts(folder)
    except ArchiveError:
        pass
    shutil.rmtree(folder)


def test_a_header_of_absurd_size_is_not_believed(folder):
    path = folder / "vectors/toy/00000.npy"
    for shape in ("(2, 8)", f"({1 << 62}, {1 << 62})", f"({1 << 40}, 8)", "(-1, 8)", "(2, 9)"):
        header = f"{{'descr': '<f2', 'fortran_order': False, 'shape': {shape}, }}"
        header = header.ljust(117) + "\n"
        data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
        path.write_bytes(data + b"\0" * 8)
        rehash(folder, "vectors/toy/00000.npy")
        with pytest.raises(ArchiveCorruptError, match=r"00000\.npy"):
            ParquetArchiveReader.open(folder).check()


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1] * DIM] * 2, dtype=object), np.zeros((2, DIM), np.float32),
        np.zeros((2, DIM + 1), np.float16), np.zeros(2 * DIM, np.float16),
        np.zeros((2, DIM), "V2"), np.array("x" * 40),
    ],
    ids=["objects", "floats", "wide", "flat", "void", "text"],
)  # fmt: skip
def test_only_fp16_of_the_right_shape_is_read(folder, array):
    path = folder / "vectors/toy/00000.npy"
    np.save(path, array, allow_pickle=True)
    rehash(folder, "vectors/toy/00000.npy")
    with pytest.raises(ArchiveCorruptError, match=r"00000\.npy"):
        ParquetArchiveReader.open(folder).check()


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, 3.0])
def test_a_vector_that_is_not_of_unit_norm_is_refused(folder, value):
    vectors = unit(2)
    vectors[1] = value
    np.save(folder / "vectors/toy/00000.npy", vectors)
    rehash(folder, "vectors/toy/00000.npy")
    with pytest.raises(ArchiveCorruptError, match="row 1 is not of unit norm"):
        read_all(folder)


def rewrite(folder, name, change):
    """Change rows of a table and keep the manifest true."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = parquet.read_table(folder / name).to_pylist()
    schema = parquet.read_schema(folder / name)
    change(rows)
    nullable = pa.schema([pa.field(one.name, one.type) for one in schema])
    parquet.write_table(pa.Table.from_pylist(rows, schema=nullable), folder / name)
    rehash(folder, name)


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("images-00000.parquet", "id", "../../../../etc/passwd"),
        ("images-00000.parquet", "id", "A" * 32),
        ("images-00000.parquet", "id", None),
        ("images-00000.parquet", "width", -1),
        ("images-00000.parquet", "bytes", -(1 << 60)),
        ("images-00000.parquet", "frames", None),
        ("images-00000.parquet", "taken", math.nan),
        ("images-00000.parquet", "first_seen", math.inf),
        ("images-00000.parquet", "phash_quality", math.nan),
        ("images-00000.parquet", "thumbnail_sha256", "../x"),
        ("images-00000.parquet", "palette", [None]),
        ("images-00000.parquet", "palette", [{"l": 1.0, "a": None, "b": 0.0, "weight": 1.0}]),
        ("images-00000.parquet", "color_tags", ["red,blue"]),
        ("images-00000.parquet", "color_tags", None),
        ("images-00000.parquet", "objects", [{"label": None}]),
        ("images-00000.parquet", "odd_texts", [{"column": "kind", "value": b"\xff"}]),
        ("sources-00000.parquet", "image", image_id(b"another")),
        ("sources-00000.parquet", "image", "x"),
        ("sources-00000.parquet", "uri", None),
        ("sources-00000.parquet", "seen", math.nan),
        ("sources-00000.parquet", "is_vanished", None),
        ("sources-00000.parquet", "odd_texts", [{"column": "uri", "value": b"\xc3"}]),
        ("failures-00000.parquet", "reason", None),
        ("failures-00000.parquet", "seen", math.inf),
        ("blocked-00000.parquet", "id", "../x"),
        ("blocked-00000.parquet", "id", None),
    ],
)
def test_a_value_that_cannot_be_is_refused(folder, name, column, value):
    rewrite(folder, name, lambda rows: rows[-1].update({column: value}))
    with pytest.raises(ArchiveCorruptError, match=r"(images|sources|failures|blocked)-00000"):
        read_all_parts(folder)


def test_a_missing_column_is_named_and_a_foreign_one_passed_over(folder):
    from pyarrow import parquet

    path = folder / "sources-00000.parquet"
    table = parquet.read_table(path)
    parquet.write_table(table.append_column("mine", table["uri"]), path)
    rehash(folder, path.name)
    assert len(read_all(folder)[1]) == 2
    parquet.write_table(table.drop_columns(["caption"]), path)
    rehash(folder, path.name)
    with pytest.raises(ArchiveCorruptError, match="lacks the columns caption"):
        ParquetArchiveReader.open(folder).check()


def test_wider_types_are_taken_where_the_values_fit(folder):
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / "images-00000.parquet"
    table = parquet.read_table(path)
    before = read_all(folder)[1]
    for name, type_ in (("id", pa.large_string()), ("width", pa.int64()), ("phash", pa.float64())):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table[name].cast(type_, safe=False))
    parquet.write_table(table, path)
    rehash(folder, path.name)
    assert read_all(folder)[1] == before


@pytest.mark.parametrize(
    ("change", "error", "fault"),
    [
        (lambda v: v.update(version=3), ArchiveFormatError, "up to 2"),
        (lambda v: v.update(version=0), ArchiveCorruptError, "version"),
        (lambda v: v.update(version=1), ArchiveCorruptError, "unknown kind"),
        (lambda v: v.update(version="1"), ArchiveCorruptError, "version"),
        (lambda v: v.update(format="other"), ArchiveCorruptError, "not that of a Lookalike"),
        (lambda v: v.pop("space"), ArchiveCorruptError, "space"),
        (lambda v: v.pop("counts"), ArchiveCorruptError, "counts"),
        (lambda v: v.update(files={}), ArchiveCorruptError, "lists no files"),
        (lambda v: v["space"].update(dim=0), ArchiveCorruptError, "cannot be"),
        (lambda v: v["space"].update(dim=1 << 40), ArchiveCorruptError, "cannot be"),
        (lambda v: v["space"].update(dim=9), ArchiveCorruptError, "shape"),
        (lambda v: v["space"].update(name=".."), ArchiveCorruptError, "cannot be"),
        (lambda v: v["space"].update(name="../x"), ArchiveCorruptError, "in the place of"),
        (lambda v: v["space"].update(name="\ud800" * 300), ArchiveCorruptError, "in the place of"),
        (lambda v: v["space"].update(encoder=[1]), ArchiveCorruptError, "encoder"),
        (lambda v: v["counts"].update(images=3), ArchiveCorruptError, "add up"),
        (lambda v: v["counts"].update(images=-1), ArchiveCorruptError, "whole number"),
        (lambda v: v["counts"].update(sources=True), ArchiveCorruptError, "whole number"),
        (lambda v: v["files"].pop(), ArchiveCorruptError, "add up"),
        (lambda v: v["files"][0].update(name="../../x"), ArchiveCorruptError, "unknown kind"),
        (lambda v: v["files"][0].update(rows=7), ArchiveCorruptError, "add up"),
        (lambda v: v["files"][0].update(sha256="00"), ArchiveCorruptError, "SHA-256"),
        (lambda v: v["files"].append(v["files"][0]), ArchiveCorruptError, "in the place of"),
        (lambda v: v.update(written=[]), ArchiveCorruptError, "time"),
    ],
)
def test_a_manifest_is_not_believed(folder, change, error, fault):
    path = folder / "export.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(error, match=fault):
        ParquetArchiveReader.open(folder).check()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"x"', "[" * 100_000, "\x00", '{"a": NaN}'])
def test_a_manifest_that_is_none(folder, text):
    (folder / "export.json").write_text(text)
    with pytest.raises(ArchiveCorruptError, match=r"export\.json"):
        ParquetArchiveReader.open(folder)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
@settings(max_examples=200)
def test_any_manifest_is_read_or_refused_by_us(data):
    manifest = {
        "format": "lookalike-export", "version": 2, "written_by": "", "written": 0, "index": "",
        "space": {"name": "x", "dim": 3, "encoder": None},
        "holds": {"thumbnails": True, "originals": True}, "quiet": True, "left_out": 0,
        "counts": dict.fromkeys(
            ("images", "sources", "vanished_sources", "failures", "blocked", "thumbnails",
             "originals", "regions", "copy_groups", "copies", "decisions"), 0,
        ),
        "files": [],
    }  # fmt: skip
    assert manifest_of_json(manifest).to_json() == manifest
    place = data.draw(st.sampled_from([manifest, manifest["space"], manifest["counts"]]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(json_values)
    try:
        manifest_of_json(manifest)
    except ArchiveError:
        pass
