"""Copies from the run that places them to the answers that collapse them, and what people say."""

import io
from dataclasses import replace

import pytest
from PIL import Image, ImageOps

from lookalike.adapters.source_folder import FolderSource
from lookalike.domain.errors import UsageError
from lookalike.domain.images import image_id
from lookalike.domain.queries import ImagePart, Query
from lookalike.engine.cluster_writer import ClusterWriter
from lookalike.engine.copies import make_placer
from lookalike.engine.engine import Engine
from lookalike.engine.hash_follower import current_hashes
from lookalike.engine.parts import EngineParts
from lookalike.settings import Settings
from lookalike.settings.features import Features
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.manifest import Manifest, SpaceEntry, read_manifest, write_manifest
from tests.cluster_fakes import open_stores
from tests.photographs import sample
from tests.toy import DIM, ToyEncoder

ONLY_COPIES = Features(objects=False, ocr="off")
ORIGINAL, OTHER = "coco-041888.jpg", "taj-mahal.jpg"


def encoded(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def files():
    """Return a photograph, three edits of it, and another photograph, by name."""
    with Image.open(io.BytesIO(sample(ORIGINAL))) as image:
        whole = image.convert("RGB")
    small = whole.resize((whole.width * 2 // 3, whole.height * 2 // 3))
    return {
        "original": sample(ORIGINAL),
        "small": encoded(small, quality=60),
        "grey": encoded(ImageOps.grayscale(whole), quality=40),
        "mirrored": encoded(ImageOps.mirror(whole), quality=40),
        "other": sample(OTHER),
    }


@pytest.fixture
def folder(files, tmp_path):
    place = tmp_path / "pictures"
    place.mkdir()
    for name, data in files.items():
        (place / f"{name}.jpg").write_bytes(data)
    return place


def folder_engine(root):
    if not (root / "index.toml").exists():
        root.mkdir()
        write_manifest(root, Manifest(SpaceEntry("toy", DIM), ONLY_COPIES))
    settings = Settings(decoders=1, threads=1)
    manifest = read_manifest(root)
    return assemble(root, manifest, ToyEncoder(), options=OpenOptions(), settings=settings)


def cluster_engine(root):
    stores = open_stores(root, DIM)
    placer = make_placer(stores, current_hashes(stores, None), "balanced")
    return Engine(
        EngineParts(
            location="memory", index_id="m", reader=stores, open_writer=None,
            writer=ClusterWriter(stores, models={"vector": "toy"}, placer=placer),
            encoder=ToyEncoder(), fetcher=None, bytes_used=lambda: 0, decode_workers=1,
            copies="balanced",
        )
    )  # fmt: skip


@pytest.fixture(params=[folder_engine, cluster_engine], ids=["folder", "cluster"])
def engine(request, tmp_path, folder):
    with request.param(tmp_path / "index") as engine:
        assert engine.index([FolderSource(folder)]).added == 5
        yield engine


@pytest.fixture
def ids(files):
    return {name: image_id(data) for name, data in files.items()}


def group(engine):
    """Return the names of the one group there is, the canonical image first."""
    groups = list(engine.copies.groups())
    assert len(groups) <= 1
    return [name_of(record) for one in groups for record, _ in one.members]


def name_of(record):
    return record.location.rsplit("/", 1)[-1].removesuffix(".jpg")


def test_new_images_are_placed_at_once(engine):
    members = group(engine)
    assert members[0] == "original", "the one with the most pixels stands for them"
    assert set(members) == {"original", "small", "grey", "mirrored"}
    assert engine.status().copy_groups == 1
    (one,) = engine.copies.groups()
    reasons = {name_of(record): member.reason for record, member in one.members}
    assert reasons["original"] == ""
    assert "mirrored" in reasons["mirrored"]
    assert all(0 < member.score <= 1 for _, member in one.members)


def test_search_shows_one_of_a_group_and_counts_the_others(engine, ids):
    query = Query(images=(ImagePart("id", ids["original"]),), k=5)
    hits = engine.search(query).hits
    assert [name_of(hit.record) for hit in hits] == ["original", "other"]
    assert hits[0].copies == 3
    every = engine.search(replace(query, is_collapsed=False)).hits
    assert len(every) == 5


def test_a_removed_image_leaves_its_group(engine, ids):
    engine.remove([ids["original"]])
    members = group(engine)
    assert "original" not in members
    assert len(members) == 3
    engine.remove([ids["small"], ids["grey"]])
    assert group(engine) == []


def test_a_split_sticks_and_can_be_taken_back(engine, ids):
    engine.copies.split([ids["grey"]])
    assert set(group(engine)) == {"original", "small", "mirrored"}
    engine.copies.regroup()
    assert set(group(engine)) == {"original", "small", "mirrored"}
    assert ids["grey"] not in {one.record.id for one in engine.copies.of(ids["original"])}
    step = engine.copies.undo()
    assert step is not None
    assert step.kind == "split"
    assert set(group(engine)) == {"original", "small", "grey", "mirrored"}
    assert engine.copies.undo() is None


def test_a_merge_sticks_and_can_be_taken_back(engine, ids):
    engine.copies.merge([ids["other"], ids["small"]])
    assert set(group(engine)) == {"original", "small", "grey", "mirrored", "other"}
    engine.copies.regroup(strictness="strict")
    assert {"other", "small"} <= set(group(engine))
    assert ids["other"] in {one.record.id for one in engine.copies.of(ids["small"])}
    engine.copies.undo()
    engine.copies.regroup()
    assert "other" not in group(engine)


def test_a_person_chooses_what_stands_for_a_group(engine, ids):
    engine.copies.keep(ids["small"])
    assert group(engine)[0] == "small"
    engine.copies.regroup()
    assert group(engine)[0] == "small"
    engine.copies.undo()
    assert group(engine)[0] == "original"
    with pytest.raises(UsageError):
        engine.copies.keep(ids["other"])


def test_a_picture_that_is_not_stored_finds_its_copies(engine, files):
    with Image.open(io.BytesIO(files["original"])) as image:
        darker = encoded(image.convert("RGB").point(lambda value: value * 0.8), quality=50)
    found = engine.copies.of_picture(ImagePart("data", data=darker))
    assert name_of(found[0].record) in {"original", "small"}
    assert "other" not in {name_of(one.record) for one in found}
    assert {"original", "small"} <= {name_of(one.record) for one in found}


def test_a_copy_that_comes_later_joins_the_group(engine, files, tmp_path):
    with Image.open(io.BytesIO(files["original"])) as image:
        later = encoded(image.convert("RGB"), quality=30)
    place = tmp_path / "later"
    place.mkdir()
    (place / "later.jpg").write_bytes(later)
    engine.index([FolderSource(place)])
    assert "later" in group(engine)


def test_groups_and_decisions_are_there_when_a_folder_is_opened_again(tmp_path, folder, ids):
    root = tmp_path / "index"
    with folder_engine(root) as engine:
        engine.index([FolderSource(folder)])
        engine.copies.split([ids["grey"]])
    with folder_engine(root) as again:
        assert set(group(again)) == {"original", "small", "mirrored"}
        again.copies.regroup()
        assert set(group(again)) == {"original", "small", "mirrored"}


def test_what_a_killed_writer_left_is_placed_by_the_next(tmp_path, folder):
    root = tmp_path / "index"
    with folder_engine(root) as engine:
        engine._parts = replace(engine._parts, copies="off")
        engine.index([FolderSource(folder)])
        assert group(engine) == []
    with folder_engine(root) as again, again.writing() as writer:
        writer.flush()
        assert set(group(again)) == {"original", "small", "grey", "mirrored"}


def test_an_index_that_was_never_judged_is_not_judged_by_whoever_opens_it(
    tmp_path, folder, monkeypatch
):
    root = tmp_path / "index"
    with folder_engine(root) as engine:
        engine._parts = replace(engine._parts, copies="off")
        engine.index([FolderSource(folder)])
    monkeypatch.setattr("lookalike.engine.writer.MOST_UNTOLD", 3)
    with folder_engine(root) as again:
        with again.writing() as writer:
            writer.flush()
        assert group(again) == []
        again.copies.regroup()
        assert set(group(again)) == {"original", "small", "grey", "mirrored"}
