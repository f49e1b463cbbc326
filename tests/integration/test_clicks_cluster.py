"""The click log and the models of a cluster: Cassandra for one, the blob store for the other."""

from __future__ import annotations

import pytest

from lookalike.adapters.blobs_obstore import ObstoreBlobStore
from lookalike.domain.errors import TooFewClicksError
from lookalike.engine.learning import learn_from
from lookalike.wiring.learning import recording
from lookalike.wiring.learning_open import open_learning
from lookalike.wiring.manifest import FILE_NAME, Manifest, SpaceEntry, render_manifest
from tests.clicked import answer, users

pytestmark = pytest.mark.service


@pytest.fixture
def config(cassandra_space, tmp_path):
    cassandra_space.clean()
    options = cassandra_space.options
    blobs = ObstoreBlobStore((tmp_path / "blobs").as_uri())
    blobs.put(FILE_NAME, render_manifest(Manifest(SpaceEntry("toy", 4))).encode())
    host, port = options.hosts[0]
    where = f"{host}:{port}"
    path = tmp_path / "lookalike.toml"
    path.write_text(
        f'[catalog]\nurl = "cassandra://{where}/{options.keyspace}"\n'
        '[text]\nurl = "elasticsearch://127.0.0.1:1/photos"\n'
        '[vectors]\nurl = "milvus://127.0.0.1:1/photos"\n'
        f'[blobs]\nurl = "{(tmp_path / "blobs").as_uri()}"\n'
        "[clicks]\nis_logged = true\nswap_share = 0\n"
    )
    return path


def test_answers_clicks_and_models_of_a_cluster(config) -> None:
    with open_learning(config, config) as learning, recording(learning) as clicks:
        assert clicks is not None
        now = learning.log._clock()
        shown = answer(at=now)
        learning.log.add_answers([shown])
        clicks.click(shown.query_id, shown.images[1], 2)
        (session,) = learning.log.sessions()
        assert session.shown == shown
        assert session.is_clicked.tolist() == [False, True, False]
        with pytest.raises(TooFewClicksError):
            learn_from(learning.log.sessions(), learning.versions)
        report = learn_from(users(2500, seed=3), learning.versions)
        assert report.is_promoted
        assert learning.versions.current() == report.model
        assert (config.parent / "blobs" / "models" / "fusion-000001.json").exists()
        assert learning.log.forget() == 1
