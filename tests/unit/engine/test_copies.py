"""Likely copies: near in hash and embedding, and only then."""

import io

import pytest
from PIL import Image

from lookalike.adapters.source_folder import FolderSource
from lookalike.domain.errors import NotFoundError, UnknownNameError
from lookalike.domain.images import image_id
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.manifest import Manifest, SpaceEntry, read_manifest, write_manifest
from tests.toy import DIM, ToyEncoder, picture


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Ids by name: three pictures, and one of them again as a smaller WebP."""
    folder = tmp_path_factory.mktemp("copies") / "pictures"
    folder.mkdir()
    files = {
        f"{colour}.jpg": picture(colour, seed=number, size=(480, 360))
        for number, colour in enumerate(("red", "green", "blue"))
    }
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(files["red.jpg"])) as red:
        red.resize((320, 240)).save(buffer, "WEBP", quality=70)
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
    _, ids = names
    for one, other in (("red.jpg", "again.webp"), ("again.webp", "red.jpg")):
        pairs = engine.copies(ids[one], strictness="balanced")
        assert [(pair.first.id, pair.second.id) for pair in pairs] == [(ids[one], ids[other])]
        assert pairs[0].cosine > 0.97
        assert "pHash" in pairs[0].reason


def test_a_picture_without_copies_has_none(engine, names):
    assert list(engine.copies(names[1]["blue.jpg"], strictness="lenient")) == []


def test_every_pair_is_listed_once(engine, names):
    pairs = engine.copies(strictness="lenient")
    assert len(pairs) <= 1
    listed = [frozenset((pair.first.id, pair.second.id)) for pair in pairs]
    assert set(listed) <= {frozenset((names[1]["red.jpg"], names[1]["again.webp"]))}


def test_unknown_names_are_said(engine, names):
    with pytest.raises(UnknownNameError) as caught:
        engine.copies(strictness="balance")
    assert "balanced" in caught.value.hint
    with pytest.raises(NotFoundError):
        engine.copies("f" * 32, strictness="strict")
