"""An index moved from a folder into a cluster, and back into another folder."""

import numpy as np
import pytest

from lookalike.adapters.source_folder import FolderSource
from lookalike.domain.filters import Filter, one_of
from lookalike.domain.images import Source, image_id
from lookalike.domain.queries import ImagePart, Query
from lookalike.domain.query_language import parse_query
from lookalike.engine.exporting import ExportOptions
from lookalike.engine.importing import ImportOptions
from lookalike.ports.source import SourceItem
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.manifest import Manifest, SpaceEntry, read_manifest, write_manifest
from lookalike.wiring.moving import export_index, import_index
from tests import real_cluster
from tests.toy import COLOURS, DIM, ToyEncoder, fill_folder, picture

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(300)]


def embedded(root):
    root.mkdir()
    encoder = ToyEncoder()
    space = SpaceEntry("toy", DIM, "", encoder.bundle.fingerprint)
    write_manifest(root, Manifest(space, NO_FEATURES))
    settings = Settings(decoders=1, threads=1)
    return assemble(
        root, read_manifest(root), encoder, options=OpenOptions(is_creating=True), settings=settings
    )


def facts_of(engine):
    """Return what an index knows, however its rows are numbered."""
    records = {one.id: one for one in engine.stores.catalog.all_records()}
    return {
        image: (
            one.facts, one.sources, one.first_seen, one.last_seen, dict(one.models),
            engine.thumbnail(image),
        )
        for image, one in records.items()
    }  # fmt: skip


def answers_of(engine):
    """Return the ids of the answers to words, colours, filters and every tenth picture."""
    queries = [parse_query(colour, k=12) for colour in COLOURS]
    queries += [parse_query(f"{colour} color:{colour}", k=12) for colour in ("red", "blue")]
    queries += [Query(filter=Filter((one_of("color", colour),)), k=100) for colour in COLOURS]
    ids = sorted(facts_of(engine))[::10]
    queries += [Query(images=(ImagePart("id", image),), k=12) for image in ids]
    found = []
    for query in queries:
        result = engine.search(query)
        assert not result.degraded
        # Ties go by row, which an index numbers as it likes.
        hits = sorted(result.hits, key=lambda hit: (-round(hit.score, 5), hit.record.id))
        ids = [hit.record.id for hit in hits]
        found.append(frozenset(ids) if query.filter and not query.texts else tuple(ids[:5]))
    return found


def vectors_of(engine):
    records = sorted(engine.stores.catalog.all_records(), key=lambda one: one.id)
    return engine.stores.vectors.fetch(np.array([one.row for one in records], np.int64))


def test_there_and_back(tmp_path):
    pictures = tmp_path / "pictures"
    fill_folder(pictures, 80)
    config = real_cluster.write_config(tmp_path)
    encoder = ToyEncoder()
    real_cluster.make(config, SpaceEntry("toy", DIM, "", encoder.bundle.fingerprint))
    odd = SourceItem(Source("upload:ü\0", caption="kept 🪲"), "data", data=picture("pink", 999))
    with embedded(tmp_path / "first") as first:
        first.index([FolderSource(pictures)])
        first.add([odd])
        (pictures / "broken.jpg").write_bytes(b"no picture")
        first.index([FolderSource(pictures)])
        blocked = image_id(picture("red", 0))
        first.remove([blocked], is_blocked=True)
        known, answers, vectors = facts_of(first), answers_of(first), vectors_of(first)
        state = first.stores.catalog.state()
        export_index(first, tmp_path / "export-1", ExportOptions())

    with real_cluster.opened(config) as cluster:
        report = import_index(cluster, tmp_path / "export-1", ImportOptions()).to_json()
        assert report["added"] == len(known)
        assert facts_of(cluster) == known
        np.testing.assert_array_equal(vectors_of(cluster), vectors)
        assert answers_of(cluster) == answers
        assert cluster.stores.catalog.blocked([blocked]) == {blocked}
        assert cluster.original(image_id(picture("pink", 999)))[0] == picture("pink", 999)
        now = cluster.stores.catalog.state()
        assert (now.images, now.sources, now.failures) == (
            state.images, state.sources, state.failures
        )  # fmt: skip
        again = import_index(cluster, tmp_path / "export-1", ImportOptions()).to_json()
        assert again["added"] == 0
        assert cluster.stores.catalog.state().seq == now.seq
        assert cluster.index([FolderSource(pictures)]).known >= 79
        export_index(cluster, tmp_path / "export-2", ExportOptions())

    with embedded(tmp_path / "second") as second:
        report = import_index(second, tmp_path / "export-2", ImportOptions()).to_json()
        assert report["added"] == len(known)
        assert facts_of(second) == known
        np.testing.assert_array_equal(vectors_of(second), vectors)
        assert answers_of(second) == answers
        assert second.stores.catalog.blocked([blocked]) == {blocked}
