"""Killing the indexer: whatever was acknowledged is found, once, and a re-run goes on."""

import os
import random
import signal
import time

import pytest

from lookalike.domain.images import image_id
from lookalike.domain.queries import ImagePart, Query, TextMatch
from lookalike.domain.query_language import parse_query
from lookalike.settings import Settings
from lookalike.wiring.checks import run_checks
from lookalike.wiring.embedded import open_index
from tests.processes import Death
from tests.toy import COLOURS, picture

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]

KILLS = 12
COUNT = 160
SMALL_BATCHES = {"lookalike.engine.ingest:BATCH": 6, "lookalike.engine.writer:TEXT_COMMIT_S": 0.0}

MATRIX = "lookalike.adapters.vectors_faiss:FaissVectorIndex"
SEGMENTS = "lookalike.adapters.vectors_segments:SegmentFolder"
COLUMNS = "lookalike.adapters.filters_columns:ColumnsFilterIndex"
BLOBS = "lookalike.adapters.blobs_obstore:ObstoreBlobStore"
CATALOG = "lookalike.adapters.catalog_sqlite:SqliteCatalog"
TEXTS = "lookalike.adapters.text_tantivy:TantivyTextIndex"


class Gallery:
    """Pictures in a folder, each with a word of its own and a word that all share."""

    def __init__(self, folder, count):
        folder.mkdir()
        colours = list(COLOURS)
        self.folder = folder
        self.numbers = {}
        for number in range(count):
            data = picture(colours[number % len(colours)], seed=number)
            (folder / f"{number:04}.jpg").write_bytes(data)
            (folder / f"{number:04}.txt").write_text(f"everyone word{number:04}x")
            self.numbers[image_id(data)] = number

    def path(self, image):
        return self.folder / f"{self.numbers[image]:04}.jpg"

    def check(self, index, acknowledged, *, sample):
        """Check that the index holds what was acknowledged and holds together; return its ids."""
        with open_index(index, settings=Settings(decoders=1, threads=1)) as engine:
            state = engine.stores.catalog.state()
            records = list(engine.stores.catalog.all_records())
            live = [record.id for record in records]
            assert len(live) == len(set(live)) == state.images == len(engine)
            assert state.rows == state.images + state.removed
            assert set(acknowledged) <= set(live) <= set(self.numbers)
            if not live:
                return set()
            everyone = Query(match=TextMatch("everyone"), k=1000)
            some = Query(images=(ImagePart("path", str(self.path(live[0]))),), k=1000)
            for query in (everyone, some):
                result = engine.search(query)
                assert not result.degraded
                assert sorted(hit.record.id for hit in result.hits) == sorted(live)
            for image in random.Random(len(live)).sample(live, min(sample, len(live))):
                self._check_one(engine, image)
        return set(live)

    def _check_one(self, engine, image):
        word = f"word{self.numbers[image]:04}x"
        assert [h.record.id for h in engine.search(Query(match=TextMatch(word))).hits] == [image]
        whole = parse_query(word, k=1)
        assert engine.search(whole).hits[0].record.id == image
        like = Query(images=(ImagePart("path", str(self.path(image))),), k=1)
        assert engine.search(like).hits[0].record.id == image
        by_id = engine.search(Query(images=(ImagePart("id", image),), k=1))
        assert by_id.hits[0].record.id == image
        assert engine.record(image).sources[0].uri == str(self.path(image))
        assert engine.thumbnail(image)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return Gallery(tmp_path_factory.mktemp("crash") / "pictures", COUNT)


@pytest.fixture(scope="module")
def small_gallery(tmp_path_factory):
    return Gallery(tmp_path_factory.mktemp("crash") / "few", 40)


def words_of(path):
    return path.read_text().split() if path.exists() else []


def assert_no_orphans(group):
    """Its decoder processes end with it: they read the end of their pipe."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("a decoder process outlives its parent")


def errors_of(index):
    return [found for found in run_checks(index) if found.state == "error"]


def test_killed_at_random_points(commands, tiny_bundle, gallery, tmp_path):
    dice = random.Random(20)
    kills, fresh, ends = 0, 0, []
    while kills < KILLS:
        index = tmp_path / f"index-{fresh}"
        acknowledged = tmp_path / f"acknowledged-{fresh}"
        before = len(words_of(acknowledged))
        values = {
            "lookalike.engine.ingest:BATCH": dice.choice([3, 6, 12]),
            "lookalike.engine.writer:TEXT_COMMIT_S": dice.choice([0.0, 0.0, 0.05]),
        }
        running = commands.start(
            "index", gallery.folder, "--index", index, "--encoder", tiny_bundle, "--json",
            acknowledged=str(acknowledged), values=values,
        )  # fmt: skip
        if dice.random() < 0.25:  # while it starts
            time.sleep(dice.uniform(0.0, 0.3))
        else:
            wanted = before + dice.randint(0, 60)
            running.wait_until(lambda: len(words_of(acknowledged)) >= wanted)  # noqa: B023
            time.sleep(dice.choice([0.0, 0.0, dice.uniform(0.0, 0.05), dice.uniform(0.0, 0.3)]))
        running.signal(signal.SIGKILL)
        done = running.wait()
        assert_no_orphans(running.pid)
        ids = words_of(acknowledged)
        assert len(ids) == len(set(ids))
        if done.code == -signal.SIGKILL:
            kills += 1
            ends.append(len(ids))
        else:
            assert done.code == 0, done.err
            assert gallery.check(index, ids, sample=10) == set(gallery.numbers)
            fresh += 1
            continue
        if (index / "index.toml").exists() and dice.random() < 0.5:
            gallery.check(index, ids, sample=5)
            assert not errors_of(index) or kills % 6
    assert len(set(ends)) > KILLS // 4, "the kills came at too few different points"
    done = commands.run(
        "index", gallery.folder, "--index", index, "--encoder", tiny_bundle, "--json"
    )
    assert done.code == 0, done.err
    assert done.json["added"] + done.json["known"] == COUNT
    assert done.json["known"] >= len(words_of(acknowledged))
    assert gallery.check(index, words_of(acknowledged), sample=COUNT) == set(gallery.numbers)
    assert not errors_of(index)


FILLING = [
    Death("os:fsync", "before", 1),
    Death("lookalike.wiring.embedded:write_manifest", "after"),
    Death(f"{CATALOG}.open", "before", 1),
    Death(f"{MATRIX}.open", "before", 1),
    Death(f"{TEXTS}.open", "before", 2),
    Death(f"{MATRIX}.add", "after", 3),
    Death(f"{MATRIX}.flush", "after", 3),
    Death(f"{COLUMNS}.append", "after", 3),
    Death(f"{BLOBS}.put", "after", 15),
    Death(f"{BLOBS}.put_many", "after", 3),
    Death(f"{CATALOG}.commit", "after", 3),
    Death(f"{MATRIX}.refresh", "after", 6),
    Death(f"{COLUMNS}.update", "after", 3),
    Death(f"{TEXTS}.add", "after", 3),
    Death(f"{TEXTS}.commit", "before", 3),
    Death(f"{TEXTS}.commit", "after", 3),
    Death(f"{COLUMNS}.save", "before"),
    Death(f"{COLUMNS}.save", "after"),
    *(Death("os:fsync", "before", number) for number in (2, 3, 14, 22)),
]


@pytest.mark.parametrize("death", FILLING, ids=lambda one: f"{one.when}-{one.target}-{one.call}")
def test_killed_between_two_steps(commands, tiny_bundle, small_gallery, tmp_path, death):
    index, acknowledged = tmp_path / "index", tmp_path / "acknowledged"
    argv = ("index", small_gallery.folder, "--index", index, "--encoder", tiny_bundle, "--json")
    killed = commands.run(
        *argv, deaths=(death,), acknowledged=str(acknowledged), values=SMALL_BATCHES
    )
    assert killed.code == -signal.SIGKILL, killed.err
    ids = words_of(acknowledged)
    if (index / "index.toml").exists():
        small_gallery.check(index, ids, sample=4)
    done = commands.run(*argv)
    assert done.code == 0, done.err
    assert len(ids) <= done.json["known"]
    assert done.json["added"] + done.json["known"] == 40
    assert small_gallery.check(index, ids, sample=40) == set(small_gallery.numbers)


SEALING = [
    Death("lookalike.adapters.vectors_build:write_codes_file", "before"),
    Death("lookalike.adapters.vectors_codes_file:_write_tail", "before"),
    Death("lookalike.adapters.vectors_build:write_codes_file", "after"),
    Death(f"{SEGMENTS}.write", "before"),
    Death(f"{SEGMENTS}.write", "after"),
    Death(f"{TEXTS}.optimize", "before"),
    Death(f"{TEXTS}.optimize", "after"),
]


@pytest.mark.parametrize("death", SEALING, ids=lambda one: f"{one.when}-{one.target}")
def test_killed_while_sealing(commands, tiny_bundle, small_gallery, tmp_path, death):
    index, everything = tmp_path / "index", set(small_gallery.numbers)
    filled = commands.run(
        "index", small_gallery.folder, "--index", index, "--encoder", tiny_bundle, "--json"
    )
    assert filled.code == 0, filled.err
    killed = commands.run("optimize", "--index", index, deaths=(death,), is_sealing_early=True)
    assert killed.code == -signal.SIGKILL, killed.err
    assert small_gallery.check(index, everything, sample=4) == everything
    done = commands.run("optimize", "--index", index, "--json", is_sealing_early=True)
    assert done.code == 0, done.err
    assert done.json["spaces"][0]["sealed_rows"] == 40
    assert small_gallery.check(index, everything, sample=10) == everything


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_a_graph_is_written(commands, tiny_bundle, small_gallery, tmp_path, when):
    index, everything = tmp_path / "index", set(small_gallery.numbers)
    filled = commands.run(
        "index", small_gallery.folder, "--index", index, "--encoder", tiny_bundle, "--json"
    )
    assert filled.code == 0, filled.err
    manifest = index / "index.toml"
    text = manifest.read_text()
    assert 'engine = "cells"' in text
    manifest.write_text(text.replace('engine = "cells"', 'engine = "graph"'))
    death = Death("lookalike.adapters.vectors_graph:write_atomically", when)
    killed = commands.run("optimize", "--index", index, deaths=(death,), is_sealing_early=True)
    assert killed.code == -signal.SIGKILL, killed.err
    assert small_gallery.check(index, everything, sample=4) == everything
    done = commands.run("optimize", "--index", index, "--json", is_sealing_early=True)
    assert done.code == 0, done.err
    assert done.json["spaces"][0]["kind"] == "hnsw"
    assert done.json["spaces"][0]["sealed_rows"] == 40
    assert small_gallery.check(index, everything, sample=10) == everything


REMOVING = [
    Death(f"{CATALOG}.remove", "before"),
    Death(f"{CATALOG}.remove", "after"),
    Death(f"{BLOBS}.delete", "after"),
    Death(f"{TEXTS}.commit", "before"),
]


@pytest.mark.parametrize("death", REMOVING, ids=lambda one: f"{one.when}-{one.target}")
def test_killed_while_removing(commands, tiny_bundle, small_gallery, tmp_path, death):
    index, everything = tmp_path / "index", set(small_gallery.numbers)
    argv = ("index", small_gallery.folder, "--index", index, "--encoder", tiny_bundle, "--json")
    assert commands.run(*argv).code == 0
    gone = sorted(everything)[:3]
    killed = commands.run("remove", *gone, "--index", index, deaths=(death,))
    assert killed.code == -signal.SIGKILL, killed.err
    is_removed = death.when == "after" or death.target.startswith(TEXTS)
    left = everything - set(gone) if is_removed else everything
    assert small_gallery.check(index, left, sample=4) == left
    done = commands.run(*argv)
    assert (done.code, done.json["added"]) == (0, 3 if is_removed else 0)
    assert small_gallery.check(index, everything, sample=40) == everything
