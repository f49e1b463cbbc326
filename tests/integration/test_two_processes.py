"""Several processes on one index: one writes, any number read, and nobody is in doubt."""

import os
import shutil

import pytest

from lookalike.adapters import lock_file
from lookalike.adapters.lock_file import WriterLock
from lookalike.domain.images import image_id
from lookalike.domain.queries import Query, TextMatch, TextPart
from lookalike.settings import Settings
from lookalike.wiring.embedded import open_index
from tests.processes import Death
from tests.toy import fill_folder

pytestmark = pytest.mark.timeout(300)

SMALL_BATCHES = {"lookalike.engine.ingest:BATCH": 5, "lookalike.engine.writer:TEXT_COMMIT_S": 0.0}
ONE_THREAD = Settings(decoders=1, threads=1)


def ids_of(engine, query):
    return [hit.record.id for hit in engine.search(query).hits]


def test_a_second_writer_is_told_who_writes(commands, tiny_bundle, tmp_path):
    fill_folder(tmp_path / "pictures", 5)
    argv = ("index", tmp_path / "pictures", "--index", tmp_path / "index")
    assert commands.run(*argv, "--encoder", tiny_bundle).code == 0
    with WriterLock(tmp_path / "index" / "index.lock", command="the first writer"):
        refused = commands.run(*argv, "--force")
        assert refused.code == 3
        assert f"process {os.getpid()}" in refused.err
        assert "the first writer" in refused.err
        assert "Traceback" not in refused.err
        error = commands.run("remove", "--site", "x.org", *argv[2:], "--json").json["error"]
        assert error["code"] == "index_locked"
        assert commands.run("search", "red", *argv[2:]).code == 0
    assert commands.run(*argv, "--force").code == 0


def test_a_reader_sees_what_is_acknowledged_while_it_is_written(commands, tiny_bundle, tmp_path):
    paths = fill_folder(tmp_path / "pictures", 120)
    everything = {image_id(path.read_bytes()) for path in paths}
    index, acknowledged = tmp_path / "index", tmp_path / "acknowledged"
    argv = ("index", tmp_path / "pictures", "--index", index, "--encoder", tiny_bundle, "--json")
    running = commands.start(*argv, acknowledged=str(acknowledged), values=SMALL_BATCHES)
    assert running.wait_until(lambda: acknowledged.exists() and acknowledged.stat().st_size > 0)
    looks = 0
    with open_index(index, settings=ONE_THREAD) as reader:
        is_over = False
        while not is_over:
            is_over = running.poll() is not None
            known = set(acknowledged.read_text().split())
            found = ids_of(reader, Query(texts=(TextPart("red"),), k=1000))
            assert len(found) == len(set(found))
            assert known <= set(found) <= everything
            looks += 1
        assert set(ids_of(reader, Query(texts=(TextPart("red"),), k=1000))) == everything
        reds = {image_id(path.read_bytes()) for path in paths if "red" in path.name}
        assert reds <= set(ids_of(reader, Query(match=TextMatch("red"), k=1000)))
    assert running.wait().code == 0
    assert looks > 1


def test_two_writers_at_once_leave_one_whole_index(commands, tiny_bundle, tmp_path):
    paths = fill_folder(tmp_path / "pictures", 60)
    index = tmp_path / "index"
    argv = ("index", tmp_path / "pictures", "--index", index, "--encoder", tiny_bundle, "--json")
    for number in range(3):
        shutil.rmtree(index, ignore_errors=True)
        running = [commands.start(*argv, values=SMALL_BATCHES) for _ in range(2 + number)]
        done = [one.wait() for one in running]
        assert {one.code for one in done} <= {0, 3}, done
        assert all(one.json["error"]["code"] == "index_locked" for one in done if one.code == 3)
        assert sum(one.json["added"] for one in done if one.code == 0) == 60
        with open_index(index, settings=ONE_THREAD) as engine:
            found = ids_of(engine, Query(texts=(TextPart("red"),), k=1000))
            assert sorted(found) == sorted(image_id(path.read_bytes()) for path in paths)


def test_opening_to_read_does_not_wait_for_a_writer(commands, tiny_bundle, tmp_path, monkeypatch):
    fill_folder(tmp_path / "pictures", 20)
    index = tmp_path / "index"
    argv = ("index", tmp_path / "pictures", "--index", index, "--encoder", tiny_bundle)
    death = Death("lookalike.adapters.text_tantivy:TantivyTextIndex.commit", "before", 3)
    assert commands.run(*argv, deaths=(death,), values=SMALL_BATCHES).code < 0

    def wait(_seconds):
        raise AssertionError("a reader waited for the lock")

    with WriterLock(index / "index.lock"):
        monkeypatch.setattr(lock_file.time, "sleep", wait)
        with open_index(index, settings=ONE_THREAD) as reader:
            assert not reader.status().is_up_to_date
            assert ids_of(reader, Query(texts=(TextPart("red"),), k=1))
    with open_index(index, settings=ONE_THREAD) as reader:
        assert reader.status().is_up_to_date, "the next reader mends what was left behind"


def test_a_reader_sees_segments_sealed_by_another(commands, tiny_bundle, tmp_path):
    fill_folder(tmp_path / "pictures", 30)
    index = tmp_path / "index"
    assert commands.run(
        "index", tmp_path / "pictures", "--index", index, "--encoder", tiny_bundle
    ).code == 0  # fmt: skip
    with open_index(index, settings=ONE_THREAD) as reader:
        before = ids_of(reader, Query(texts=(TextPart("red"),), k=30))
        assert reader.status().spaces[0]["sealed_rows"] == 0
        assert commands.run("optimize", "--index", index, is_sealing_early=True).code == 0
        assert reader.status().spaces[0]["sealed_rows"] == 30
        assert ids_of(reader, Query(texts=(TextPart("red"),), k=30)) == before
