"""Moving between the two deployments, with a cluster of stand-ins that can be cut off anywhere."""

from dataclasses import replace

import numpy as np
import pytest

from lookalike.domain.errors import BackendTimeoutError, StoreError
from lookalike.domain.images import Source, image_id
from lookalike.domain.queries import ImagePart, Query
from lookalike.engine.cluster_writer import UNFINISHED
from lookalike.engine.stores import Stores
from lookalike.engine.vector_blobs import read_vectors, vector_key
from lookalike.ports.catalog import Batch
from lookalike.ports.source import SourceItem
from lookalike.wiring.moving import export_index, import_index
from tests.cluster_fakes import Broken, open_stores
from tests.integration.test_cluster_engine import make_engine
from tests.integration.test_engine import open_toy
from tests.integration.test_moving import assert_same, copies_of, fill, records_of, regions_of
from tests.toy import DIM, picture

NAMES = ("catalog", "texts", "vectors", "regions", "blobs", "hashes")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    root = tmp_path_factory.mktemp("moving")
    with open_toy(root / "index") as engine:
        fill(engine, root / "pictures")
        yield engine


@pytest.fixture(scope="module")
def exported(filled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "x"
    export_index(filled, folder)
    return folder


@pytest.fixture
def cluster(tmp_path):
    with make_engine(open_stores(tmp_path / "cluster", DIM)) as engine:
        yield engine


def images_of(engine):
    """Records without a deployment's own order, and a cluster's mark for `no fingerprint`."""
    return {
        one.id: replace(
            one, row=0, copy_group=None, sources=tuple(sorted(map(plain, one.sources), key=uri_of))
        )
        for one in engine.stores.catalog.all_records()
    }


def plain(source):
    return replace(source, fingerprint="") if source.fingerprint == UNFINISHED else source


def uri_of(source):
    return source.uri


def test_there_and_back_between_the_deployments(filled, exported, cluster, tmp_path):
    report = import_index(cluster, exported)
    assert report.counts["added"] == len(filled)
    assert (report.verification.vectors_equal, report.verification.overlap_at_10) == (50, 1.0)
    assert images_of(cluster) == images_of(filled)
    assert copies_of(cluster) == copies_of(filled)
    assert regions_of(cluster) == regions_of(filled)
    blobs = cluster.stores.blobs
    for one in filled.stores.catalog.all_records():
        half = filled.stores.vectors.fetch(np.array([one.row])).astype("<f2").tobytes()
        assert blobs.get(vector_key("toy", one.id)) == half
    back = export_index(cluster, tmp_path / "back")
    assert back.manifest.counts == export_index(filled, tmp_path / "again").manifest.counts
    with open_toy(tmp_path / "third") as third:
        import_index(third, tmp_path / "back")
        assert_same(third, filled)
        ids = sorted(records_of(filled))
        for image in ids[::10]:
            query = Query(images=(ImagePart("id", image),), k=5)
            hits = [
                [round(hit.parts["cosine"], 3) for hit in engine.search(query).hits]
                for engine in (filled, cluster, third)
            ]
            assert hits[0] == hits[1] == hits[2]


def test_importing_twice_changes_nothing_in_a_cluster(exported, cluster):
    import_index(cluster, exported)
    state = cluster.stores.catalog.state()
    report = import_index(cluster, exported)
    assert (report.counts["added"], report.counts["merged"]) == (0, 0)
    assert cluster.stores.catalog.state() == state


@pytest.mark.parametrize("name", NAMES)
def test_an_import_that_was_cut_off_goes_on(filled, exported, tmp_path, monkeypatch, name):
    monkeypatch.setattr("lookalike.adapters.archive_reading.BATCH_ROWS", 16)
    stores = open_stores(tmp_path / "cluster", DIM)
    writes = {"commit", "put_many", "add", "remove", "delete_many", "flush", "update", "put"}
    for due in range(1, 8):
        calls = iter(range(1, 10_000))

        def is_due(call, calls=calls, due=due):
            return call in writes and next(calls) == due

        parts = {one: getattr(stores, one) for one in (*NAMES, "filters", "regions")}
        parts[name] = Broken(parts[name], is_due)
        broken = Stores(**parts, space="toy", is_dense=False)
        with make_engine(broken) as engine:
            try:
                import_index(engine, exported)
            except BackendTimeoutError:
                continue
            break
    with make_engine(stores) as engine:
        report = import_index(engine, exported)
        assert report.verification.images_missing == 0
        assert images_of(engine) == images_of(filled)
        assert copies_of(engine) == copies_of(filled)
        assert regions_of(engine) == regions_of(filled)
        rows = np.array([one.row for one in engine.stores.catalog.all_records()])
        assert engine.stores.vectors.has(rows).all()
        assert engine.stores.texts.has(rows).all()


def test_a_vector_comes_from_the_index_where_its_blob_is_lost(exported, cluster, tmp_path):
    import_index(cluster, exported)
    stores = cluster.stores
    first, second = [one.id for one in stores.catalog.all_records()][:2]
    stores.blobs.delete(vector_key("toy", first))
    assert export_index(cluster, tmp_path / "x").images == len(cluster)
    stores.blobs.put(vector_key("toy", second), b"\0" * 2 * DIM)
    with pytest.raises(StoreError, match=f"{second} is missing or damaged"):
        export_index(cluster, tmp_path / "y")


def test_what_is_blocked_leaves_the_whole_cluster(cluster, tmp_path):
    data = picture("red", seed=5)
    with open_toy(tmp_path / "origin") as origin:
        origin.remove([image_id(data)], is_blocked=True)
        export_index(origin, tmp_path / "x")
    cluster.add([SourceItem(Source("/x/a"), "data", data=data)])
    assert import_index(cluster, tmp_path / "x").counts["removed"] == 1
    assert len(cluster) == len(cluster.stores.vectors) == 0
    assert read_vectors(cluster.stores, [image_id(data)]) == {}


def test_marks_of_writes_under_way_stay_behind(cluster, tmp_path):
    data = picture("red", seed=6)
    cluster.add([SourceItem(Source("/x/a", fingerprint="f"), "data", data=data)])
    under_way = Source("/x/b", fingerprint="?g", seen=1e9)
    cluster.stores.catalog.commit(Batch(sources=[(image_id(data), under_way)]))
    export_index(cluster, tmp_path / "x")
    with open_toy(tmp_path / "target") as target:
        import_index(target, tmp_path / "x")
        states = target.stores.catalog.source_states(["/x/a", "/x/b"])
        assert {uri: state.fingerprint for uri, state in states.items()} == {
            "/x/a": "f",
            "/x/b": "",
        }
