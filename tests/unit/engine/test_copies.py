"""Likely copies: near in hash and embedding, and only then."""

import io

import pytest
from PIL import Image

from lookalike.adapters.source_folder import FolderSource
from lookalike.domain.errors import NotFoundError, UnknownNameError
from lookalike.domain.images import image_id
from lookalike.domain.queries import ImagePart
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.manifest import Manifest, SpaceEntry, read_manifest, write_manifest
from tests.photographs import sample
from tests.toy import DIM, ToyEncoder


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Ids by name: three pictures, and one of them again as a smaller WebP."""
    folder = tmp_path_factory.mktemp("copies") / "pictures"
    folder.mkdir()
    files = {
        "first.jpg": sample("taj-mahal.jpg"),
        "second.jpg": sample("big-ben.jpg"),
        "third.jpg": sample("burj-al-arab.jpg"),
    }
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(files["first.jpg"])) as first:
        first.resize((first.width * 2 // 3, first.height * 2 // 3)).save(buffer, "WEBP", quality=70)
    files["again.webp"] = buffer.getvalue()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder, {name: image_id(data) for name, data in files.items()}


@pytest.fixture(scope="module")
def engine(names):
    root = names[0].parent / "index"
    root.mkdir()
    write_manifest(root, Manifest(SpaceEntry("toy", DIM), NO_FEATURES))
    settings = Settings(decoders=1, threads=1)
    with assemble(
        root, read_manifest(root), ToyEncoder(), options=OpenOptions(), settings=settings
    ) as engine:
        assert engine.index([FolderSource(names[0])]).added == 4
        yield engine


def test_a_copy_is_found_from_both_sides(engine, names):
    folder, ids = names
    for one, other in (("first.jpg", "again.webp"), ("again.webp", "first.jpg")):
        found = engine.copies.of(ids[one], strictness="balanced")
        assert [copy.record.id for copy in found] == [ids[other]]
        assert found[0].cosine > 0.97
        assert found[0].reason.startswith("same picture")
        by_path = engine.copies.of_picture(ImagePart("path", str(folder / one)))
        assert {copy.record.id for copy in by_path} == {ids[one], ids[other]}


def test_a_picture_without_copies_has_none(engine, names):
    assert list(engine.copies.of(names[1]["third.jpg"], strictness="strict")) == []


def test_unknown_names_are_said(engine, names):
    with pytest.raises(UnknownNameError) as caught:
        engine.copies.of(names[1]["first.jpg"], strictness="balance")
    assert "balanced" in caught.value.hint
    with pytest.raises(NotFoundError):
        engine.copies.of("f" * 32, strictness="strict")
