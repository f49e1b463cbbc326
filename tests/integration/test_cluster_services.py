"""A cluster over real servers: the command line, workers in processes of their own, HTTP."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lookalike.domain.errors import BackendMissingError, EncoderMismatchError
from lookalike.domain.images import image_id
from lookalike.wiring.cluster_checks import check_cluster
from lookalike.wiring.manifest import SpaceEntry
from tests import real_cluster
from tests.toy import DIM

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(300)]


BLIND = 'objects = false\nocr = "off"\ncopies = "off"'
"""What is seen in pictures takes most of the time, and is compared elsewhere (congruence_seen)."""

BLINDLY = ("--no-objects", "--no-ocr", "--copies", "off")


class Program:
    """The `lookalike` command with the configuration of one cluster."""

    def __init__(self, config):
        self.config = config
        self._environment = os.environ | real_cluster.KEYS | {
            "LOOKALIKE_CONFIG": str(config), "LOOKALIKE_THREADS": "1", "LOOKALIKE_DECODERS": "1",
        }  # fmt: skip

    def start(self, *words):
        return subprocess.Popen(
            [sys.executable, "-m", "lookalike", *words], env=self._environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words, code=0):
        started = self.start(*words)
        try:
            out, err = started.communicate(timeout=100)
        except subprocess.TimeoutExpired:
            started.kill()
            out, err = started.communicate()
            pytest.fail(f"{words} did not end:\n{out}\n{err}")
        assert started.returncode == code, f"{words}: {started.returncode}\n{out}\n{err}"
        return out

    def json(self, *words, code=0):
        return json.loads(self.run(*words, "--json", code=code).splitlines()[-1])


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A cluster for the packaged encoder, made by the command."""
    folder = tmp_path_factory.mktemp("cluster")
    made = Program(real_cluster.write_config(folder, encoder="lite", features=BLIND))
    assert made.json("init-cluster")["made"]
    return made


@pytest.fixture(scope="module")
def indexed(program, samples):
    """The samples, half of them indexed directly and all of them again by a worker."""
    images = sorted((samples / "images").iterdir())
    half = [str(path) for path in images[: len(images) // 2]]
    report = program.json("index", *half)
    assert (report["added"], report["failed"]) == (len(half), {})
    queued = program.json("index", str(samples / "samples.jsonl"), "--enqueue")
    worked = program.json("worker", "--drain")
    assert worked["rejected"] == {}
    assert worked["done"] == queued["added"] == len(images)
    return program


def test_init_again_makes_nothing_and_doctor_is_content(program):
    assert program.json("init-cluster") == {"made": []}
    checks = program.json("doctor")["checks"]
    assert [one for one in checks if one["state"] == "error"] == []
    named = " ".join(one["name"] for one in checks)
    for port in ("catalog", "text", "vectors", "blobs", "log"):
        assert port in named


def test_status_counts_what_is_there(indexed, samples):
    count = len(list((samples / "images").iterdir()))
    status = indexed.json("status")
    assert status["images"] == count
    assert status["waiting"] == 0
    assert status["spaces"][0]["rows"] == count
    assert status["up_to_date"]


def test_words_pictures_filters_and_records_as_with_a_folder(indexed, samples, tmp_path):
    alone = ["--index", str(tmp_path / "index")]
    folder = Program(indexed.config)
    folder.run("index", str(samples / "samples.jsonl"), "-q", *BLINDLY, *alone)
    big_ben = str(samples / "images" / "big-ben.jpg")
    for words in (
        ["search", "a clock tower type:photo aspect:tall,wide", "--licence", "open"],
        ["similar", big_ben, "--text", "at night", "--region", "0.1,0.1,0.8,0.8"],
    ):
        ours, theirs = indexed.json(*words), folder.json(*words, *alone)
        assert not ours["degraded"]
        mine = [hit["id"] for hit in ours["hits"]]
        others = [hit["id"] for hit in theirs["hits"]]
        assert len(mine) == len(others)
        assert len(set(mine) & set(others)) >= 0.9 * len(others), words
        assert mine[0] == others[0]
    image = image_id((samples / "images" / "big-ben.jpg").read_bytes())
    record = indexed.json("show", image[:10])
    assert record["id"] == image
    assert record["sources"]


def test_a_removed_and_blocked_image_stays_away(indexed, samples):
    picture = samples / "images" / "big-ben.jpg"
    image = image_id(picture.read_bytes())
    assert indexed.json("remove", image, "--block")["removed"] == 1
    assert image not in [hit["id"] for hit in indexed.json("search", "big ben", "-k", "50")["hits"]]
    assert indexed.json("index", str(picture), "--force", code=1)["failed"] == {"blocked": 1}


def test_the_server_takes_pictures_that_a_worker_indexes(indexed, tmp_path):
    import httpx2 as httpx

    from tests.toy import picture

    work = indexed.start("worker")
    serve = indexed.start("serve", "--port", "0")
    try:
        address = address_of(serve)
        data = picture("pink", seed=77, size=(300, 200))
        with httpx.Client(base_url=address, timeout=30) as client:
            answer = client.post(
                "/v1/images", files={"file": ("pink.jpg", data)}, data={"caption": "zyzzyva"}
            )
            assert answer.status_code == 202
            assert answer.json()["id"] == image_id(data)
            began = time.monotonic()
            while time.monotonic() - began < 30:
                hits = client.get("/v1/search", params={"q": "zyzzyva", "k": 1}).json()["hits"]
                if hits and hits[0]["id"] == image_id(data):
                    break
                time.sleep(0.1)
            else:
                pytest.fail("the picture was not searchable within 30 s")
            assert client.get(f"/v1/images/{image_id(data)}/original").content == data
            assert client.get("/readyz").status_code == 200
            assert "zyzzyva" not in client.get("/metrics").text
    finally:
        for process in (work, serve):
            process.send_signal(signal.SIGTERM)
        out, _ = work.communicate(timeout=60)
        serve.communicate(timeout=60)
    assert work.returncode == 0, out
    assert "1 messages, 1 images added" in out


def address_of(serve):
    """Return the address that a server tells it listens on."""
    while line := serve.stderr.readline():
        if '"address"' in line or "http://127.0.0.1:" in line:
            port = line.rpartition("127.0.0.1:")[2]
            digits = "".join(one for one in port[:6] if one.isdigit())
            if digits and digits != "0":
                return f"http://127.0.0.1:{digits}"
    raise AssertionError("the server ended")


def test_a_killed_worker_loses_nothing(program, tmp_path):
    from tests.toy import fill_folder

    fill_folder(tmp_path / "more", 40, colours=("purple", "brown"))
    assert program.json("index", str(tmp_path / "more"), "--enqueue")["added"] == 40
    first = program.start("worker")
    while first.poll() is None and program_rows(program, tmp_path) == 0:
        time.sleep(0.05)
    first.kill()
    first.communicate()
    report = program.json("worker", "--drain")
    assert report["rejected"] == {}
    again = program.json("index", str(tmp_path / "more"))
    assert (again["added"], again["known"]) == (0, 40)
    mended = program.json("doctor", "--repair")["repair"]
    assert mended["lost"] == 0
    assert program.json("optimize", "--rebuild-words")["images"] >= 40
    assert program.json("search", "purple", "-k", "3")["hits"]


def program_rows(program, folder):
    """Return how many of a folder's pictures the catalog knows."""
    with real_cluster.opened(program.config, encoder=Silent()) as engine:
        uris = [str(path) for path in (folder / "more").iterdir()]
        return sum(
            one.image is not None for one in engine.stores.catalog.source_states(uris).values()
        )


class Silent:
    """Stands for the packaged encoder where nothing is encoded."""

    has_text = False

    class bundle:  # noqa: N801 - an attribute
        fingerprint = "none"


def test_what_is_missing_or_foreign_is_said(tmp_path):
    config = real_cluster.write_config(tmp_path)
    with pytest.raises(BackendMissingError) as caught, real_cluster.opened(config):
        pass
    assert "init-cluster" in caught.value.hint
    real_cluster.make(config)
    with pytest.raises(EncoderMismatchError):
        real_cluster.make(config, SpaceEntry("other", DIM + 1))


def test_doctor_names_each_back_end_that_is_away(tmp_path, monkeypatch):
    for name, value in real_cluster.KEYS.items():
        monkeypatch.setenv(name, value)
    config = real_cluster.write_config(tmp_path)
    real_cluster.make(config)
    text = config.read_text(encoding="utf-8")
    for scheme in ("cassandra", "elasticsearch", "milvus", "kafka"):
        port = text.partition(f"{scheme}://127.0.0.1:")[2].partition("/")[0]
        config.write_text(text.replace(f":{port}/", ":9/"), encoding="utf-8")
        wrong = [one for one in check_cluster(config) if one.state == "error"]
        assert wrong
        assert any(f"{scheme}://127.0.0.1:9" in one.detail for one in wrong)
        assert all(one.remedy for one in wrong)


def test_thumbnails_come_by_signed_address_where_that_is_asked(tmp_path):
    import urllib.request

    from starlette.testclient import TestClient

    from lookalike.domain.images import Source
    from lookalike.ports.source import SourceItem
    from lookalike.server.app import create_app
    from lookalike.server.options import ServerSettings
    from tests.toy import picture

    config = real_cluster.write_config(tmp_path)
    real_cluster.make(config)
    with real_cluster.opened(config) as engine:
        data = picture()
        engine.add([SourceItem(Source("upload:a"), "data", data=data)])
        app = create_app(engine, fetcher=None, settings=ServerSettings())
        with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False) as client:
            place = f"/v1/images/{image_id(data)}/thumbnail"
            whole = client.get(place)
            moved = client.get(place, params={"redirect": "true"})
            assert moved.status_code == 307
            with urllib.request.urlopen(moved.headers["location"], timeout=10) as answer:
                assert answer.read() == whole.content
            assert client.get(f"/v1/images/{'0' * 32}/thumbnail?redirect=true").status_code == 404
