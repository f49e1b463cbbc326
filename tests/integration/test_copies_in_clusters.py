"""Turned and mirrored copies in a cluster: its hashes find what its vectors do not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from lookalike.adapters.source_folder import FolderSource
from lookalike.domain.errors import BackendMissingError
from lookalike.domain.images import hashed_row, image_id
from lookalike.domain.queries import ImagePart
from lookalike.engine.cluster_writer import ClusterWriter
from lookalike.engine.copies import make_placer
from lookalike.engine.copy_placing import FIRST_NEIGHBOURS, CopyPlacer
from lookalike.engine.engine import Engine
from lookalike.engine.hash_follower import current_hashes
from lookalike.engine.parts import EngineParts
from lookalike.engine.repair import repair
from lookalike.wiring.cluster_checks import check_cluster
from tests import real_cluster
from tests.cluster_fakes import open_stores
from tests.photographs import names, sample
from tests.toy import DIM, ToyEncoder

ORIGINAL = "coco-041888.jpg"
PHOTOGRAPHS = [ORIGINAL, *(name for name in names()[::4] if name != ORIGINAL)]
FEATURES = 'objects = false\nocr = "off"\ncopies = "balanced"'


def encoded(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def files():
    """Return two copies of a photograph, and thirty photographs, by name."""
    with Image.open(io.BytesIO(sample(ORIGINAL))) as image:
        whole = image.convert("RGB")
    turned = whole.transpose(Image.Transpose.ROTATE_90)
    copies = {"mirrored.jpg": encoded(ImageOps.mirror(whole)), "turned.jpg": encoded(turned)}
    return copies | {name: sample(name) for name in PHOTOGRAPHS}


@pytest.fixture
def folder(files, tmp_path):
    """Return a folder of the photographs with the copies in a folder beside it."""
    for name, data in files.items():
        place = tmp_path / ("photographs" if name in PHOTOGRAPHS else "copies")
        place.mkdir(exist_ok=True)
        (place / name).write_bytes(data)
    return tmp_path


def memory_engine(root):
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


def fill(engine, folder):
    for name in ("photographs", "copies"):
        engine.index([FolderSource(folder / name)])


def rows_of(*datas):
    return np.array([hashed_row(image_id(data)) for data in datas], np.int64)


def candidates(engine, placer, data):
    """Return the rows that may be copies of an image just added."""
    (row,) = rows_of(data).tolist()
    records = engine.stores.catalog.records([row])
    pairs = placer.candidates(records, neighbours=FIRST_NEIGHBOURS)
    return {one for pair in pairs for one in pair} - {row}


def check_found(engine, files):
    """Check that a group holds the photograph and both copies, each with its turn as reason."""
    group = engine.copies.group_of(image_id(files[ORIGINAL]))
    reasons = {record.id: member.reason for record, member in group.members}
    mirrored, turned = image_id(files["mirrored.jpg"]), image_id(files["turned.jpg"])
    assert set(reasons) == {image_id(files[ORIGINAL]), mirrored, turned}
    assert group.members[0][0].id == image_id(files[ORIGINAL])
    assert "mirrored" in reasons[mirrored]
    assert "turned by 90°" in reasons[turned]


def test_turned_and_mirrored_copies_join_their_group_when_they_come(files, folder, tmp_path):
    with memory_engine(tmp_path / "cluster") as engine:
        fill(engine, folder)
        check_found(engine, files)
        without = CopyPlacer(engine.stores, None)
        (original,) = rows_of(files[ORIGINAL]).tolist()
        assert original not in candidates(engine, without, files["turned.jpg"])


def test_a_turned_picture_that_is_not_stored_finds_the_stored_one(files, folder, tmp_path):
    with memory_engine(tmp_path / "cluster") as engine:
        engine.index([FolderSource(folder / "photographs")])
        found = engine.copies.of_picture(ImagePart("data", data=files["turned.jpg"]))
        assert [one.record.id for one in found] == [image_id(files[ORIGINAL])]
        assert found[0].hash_distance <= 10


def test_hashes_of_an_index_made_before_are_mended(files, folder, tmp_path):
    with memory_engine(tmp_path / "cluster") as engine:
        engine.index([FolderSource(folder / "photographs")])
        stores = engine.stores
        rows = np.array([one.row for one in stores.catalog.all_records()])
        hashed = len(stores.hashes)
        stores.hashes.remove(rows)
        assert repair(stores, after=None).hashes == hashed == len(stores.hashes)
        engine.index([FolderSource(folder / "copies")])
        check_found(engine, files)


# ── Real servers ─────────────────────────────────────────────────────────────────────────


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_turned_and_mirrored_copies_join_their_group_on_real_servers(
    files, folder, tmp_path, monkeypatch
):
    for name, value in real_cluster.KEYS.items():
        monkeypatch.setenv(name, value)
    path = real_cluster.write_config(tmp_path, features=FEATURES)
    made = real_cluster.make(path)
    assert any(one.endswith("_hashes") for one in made)
    with real_cluster.opened(path) as engine:
        fill(engine, folder)
        check_found(engine, files)
        assert len(engine.stores.hashes) == len(files)
        report = {one.name: one for one in check_cluster(path)}
        assert report["hashes"].state == "ok"
        rows = rows_of(*files.values())
        engine.stores.hashes.remove(rows[:5])
        assert {one.name: one for one in check_cluster(path)}["hashes"].state == "warning"
        assert repair(engine.stores, after=None).hashes == 5
        assert engine.remove([image_id(files["turned.jpg"])]) == 1
        assert not engine.stores.hashes.has(rows_of(files["turned.jpg"]))[0]
    drop_hashes(path)
    with pytest.raises(BackendMissingError, match="no such collection") as raised:
        with real_cluster.opened(path):
            pass
    assert "init-cluster" in raised.value.hint
    assert len(real_cluster.make(path)) == 2  # the collection and its index
    with real_cluster.opened(path) as engine:
        assert repair(engine.stores, after=None).hashes == len(files) - 1


def drop_hashes(path):
    """Leave the cluster as one that was made before it had hashes."""
    from lookalike.adapters.vectors_milvus_client import MilvusLink
    from lookalike.adapters.vectors_milvus_options import MilvusOptions

    url = real_cluster.configured(path).backends["vectors"].url
    link = MilvusLink(MilvusOptions.from_url(f"{url}_hashes"))
    link.call("drop_collection", link.options.collection)
    link.close()
