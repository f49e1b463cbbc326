"""Back ends that are cut off, hang or are killed at each step of a write, and what mends it."""

import threading
import time

import numpy as np
import pytest

from lookalike.adapters.source_folder import FolderSource
from lookalike.domain.errors import BackendError, StoreError
from lookalike.domain.images import hashed_row
from lookalike.domain.query_language import parse_query
from lookalike.engine.cluster_writer import blob_keys
from lookalike.engine.repair import repair
from lookalike.engine.working import Worker
from services import run as services
from tests import real_cluster
from tests.cut_proxy import CutProxy
from tests.real_services import need
from tests.toy import fill_folder

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.crash, pytest.mark.timeout(300)]

PATIENCE_S = 2.0
LONGEST_S = 25.0
"""No call may hold a run up for longer, retries and all."""

SCHEMES = {"cassandra": "cassandra://", "elasticsearch": "elasticsearch://", "milvus": "milvus://",
           "s3": "s3://"}  # fmt: skip
STEPS = [
    ("s3", "blobs", "put_many", 1),
    ("cassandra", "catalog", "source_states", 2),
    ("cassandra", "catalog", "commit", 1),
    ("cassandra", "catalog", "records", 1),
    ("milvus", "vectors", "add", 1),
    ("elasticsearch", "texts", "add", 1),
    ("elasticsearch", "texts", "commit", 1),
    ("cassandra", "catalog", "commit", 2),
]
"""Which server goes away, right before which call of which store, in the order of a write."""


class Hooked:
    """A store that calls something right before the n-th call of one of its methods."""

    def __init__(self, store, method, number, before):
        self._store, self._method, self._left, self._before = store, method, number, before

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if name != self._method:
            return found

        def call(*args, **kwargs):
            self._left -= 1
            if self._left == 0:
                self._before()
            return found(*args, **kwargs)

        return call

    def __len__(self):
        return len(self._store)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """A cluster behind proxies, with little patience; the proxies by server."""
    proxies = {}
    for name in SCHEMES:
        proxies[name] = CutProxy(int(need(name).rpartition(":")[2]))
    folder = tmp_path_factory.mktemp("faults")
    config = real_cluster.write_config(
        folder,
        catalog=f"request_timeout_s = {PATIENCE_S}\nconnect_timeout_s = {PATIENCE_S}",
        text=f"request_timeout_s = {PATIENCE_S}\nwrite_timeout_s = {2 * PATIENCE_S}",
        vectors=f"timeout_s = {PATIENCE_S}\nconnect_timeout_s = {PATIENCE_S}",
        blobs=f"request_timeout_s = {PATIENCE_S}\nconnect_timeout_s = {PATIENCE_S}\nretries = 1",
    )
    real_cluster.make(config)
    text = config.read_text(encoding="utf-8")
    for name, proxy in proxies.items():
        real = need(name).rpartition("127.0.0.1:")[2]
        text = text.replace(f"127.0.0.1:{real}", f"127.0.0.1:{proxy.port}")
    config.write_text(text, encoding="utf-8")
    yield config, proxies
    for proxy in proxies.values():
        proxy.close()


def assert_whole(stores, folder, count):
    """Every picture of the folder stands once in every store, and its source is done."""
    uris = [str(path) for path in sorted(folder.iterdir())]
    states = stores.catalog.source_states(uris)
    images = [states[uri].image for uri in uris]
    assert len(set(images)) == len(uris) == count
    assert not any(states[uri].fingerprint.startswith("?") for uri in uris)
    rows = np.array([hashed_row(image) for image in images])
    assert all(stores.catalog.records(rows.tolist()))
    assert stores.vectors.has(rows).all()
    assert stores.texts.has(rows).all()
    for image in images:
        thumbnail, _, vector, _ = blob_keys(stores.space, image)
        assert stores.blobs.has(thumbnail)
        assert stores.blobs.has(vector)


@pytest.mark.parametrize("way", ["cut", "hang"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[1]}.{step[2]}-{step[3]}")
def test_a_back_end_lost_at_a_step_is_named_in_time_and_a_retry_completes(
    proxied, tmp_path, step, way
):
    config, proxies = proxied
    server, store, method, number = step
    proxy = proxies[server]
    folder = tmp_path / f"{store}-{method}-{number}-{way}"
    fill_folder(folder, 3, colours=("red", "green", "blue"))
    mark(folder)
    try:
        with real_cluster.opened(config) as engine:
            before = engine.stores.catalog.state().seq
            whole = getattr(engine.stores, store)
            setattr(engine.stores, store, Hooked(whole, method, number, getattr(proxy, way)))
            began = time.monotonic()
            with pytest.raises(BackendError) as caught:
                engine.index([FolderSource(folder)])
            assert time.monotonic() - began < LONGEST_S
            assert SCHEMES[server] in caught.value.backend
            assert caught.value.hint
            setattr(engine.stores, store, whole)
            proxy.restore()
            if number == 1 and store in {"vectors", "texts"}:  # what the catalog knows is mended
                mended = again(lambda: repair(engine.stores, after=before))
                assert mended.lost == ()
                assert mended.images == 3
            report = again(lambda: engine.index([FolderSource(folder)]))
            assert report.added + report.merged + report.known == 3
            assert_whole(engine.stores, folder, 3)
            assert engine.index([FolderSource(folder)]).known == 3
    finally:
        proxy.restore()


def mark(folder):
    """Make a folder's pictures differ from every other folder's."""
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes() + folder.name.encode())


def again(call):
    """Call until it works: connections take a moment to come back."""
    began = time.monotonic()
    while True:
        try:
            return call()
        except StoreError:
            if time.monotonic() - began > LONGEST_S:
                raise
            time.sleep(0.3)


def test_a_path_that_is_cut_off_leaves_a_degraded_answer(proxied, tmp_path):
    config, proxies = proxied
    folder = tmp_path / "degraded"
    fill_folder(folder, 4)
    mark(folder)
    with real_cluster.opened(config) as engine:
        again(lambda: engine.index([FolderSource(folder)]))
        assert not engine.search(parse_query("red", k=2)).degraded
        for server, path in (("elasticsearch", "text"), ("milvus", "vector")):
            try:
                proxies[server].cut()
                result = engine.search(parse_query("red", k=2))
                assert result.hits
                assert any(note.startswith(f"{path}: ") for note in result.degraded)
            finally:
                proxies[server].restore()
        began = time.monotonic()
        while engine.search(parse_query("red", k=2)).degraded:
            assert time.monotonic() - began < LONGEST_S
            time.sleep(0.3)


@pytest.mark.outage
@pytest.mark.parametrize("server", real_cluster.SERVERS)
def test_a_worker_outlives_the_death_of_each_server(tmp_path, server, monkeypatch):
    monkeypatch.setattr("lookalike.engine.working.MOST_PAUSE_S", 2.0)
    config = real_cluster.write_config(tmp_path)
    real_cluster.make(config)
    folder = tmp_path / "pictures"
    fill_folder(folder, 150)
    stop = threading.Event()
    try:
        with real_cluster.opened(config) as engine, real_cluster.opened(config) as other:
            assert engine.enqueue([FolderSource(folder)]).added == 150
            worker = Worker(other, other.log)
            thread = threading.Thread(target=worker.run, args=(stop,))
            thread.start()
            began = time.monotonic()
            while worker.report().done < 20 and time.monotonic() - began < 60:
                time.sleep(0.01)
            services.kill(server)
            time.sleep(1.0)
            services.start(server)
            began = time.monotonic()
            while again(other.log.lag) and time.monotonic() - began < 100:
                time.sleep(0.2)
            stop.set()
            thread.join(60)
            assert not thread.is_alive()
            report = worker.report()
            assert report.rejected == {}
            assert other.log.lag() == 0
            again(lambda: assert_whole(engine.stores, folder, 150))
            again(engine.stores.catalog.recount)
            assert again(engine.stores.catalog.state).images == 150
            assert list(other.log.dead_letters()) == []
    finally:
        stop.set()
        if not services.is_up(server):
            services.start(server)
