"""The engine over stores whose rows are hashes and that know no masks, without servers."""

import io
import threading
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from PIL import Image

from lookalike.adapters.source_folder import FolderSource
from lookalike.domain.copies import LEAST_QUALITY
from lookalike.domain.errors import (
    BackendAuthError,
    BackendError,
    BackendMissingError,
    BackendSchemaError,
    BackendTimeoutError,
    StoreError,
)
from lookalike.domain.filters import Filter, one_of
from lookalike.domain.images import Source, hashed_row, image_id
from lookalike.domain.ingest_messages import PutMessage, RemoveMessage, encode_message, key_of
from lookalike.domain.queries import Query, TextPart
from lookalike.domain.query_language import parse_query
from lookalike.engine import candidates
from lookalike.engine.cluster_writer import ClusterWriter, blob_keys
from lookalike.engine.engine import Engine
from lookalike.engine.ingest import IngestOptions
from lookalike.engine.parts import EngineParts
from lookalike.engine.publishing import incoming_key
from lookalike.engine.repair import repair
from lookalike.engine.stores import Stores
from lookalike.engine.working import ALONE_TRIES, TRIES, Worker
from lookalike.ports.ingest_log import Delivery, Entry
from lookalike.ports.source import SourceItem
from tests.cluster_fakes import Broken, open_stores
from tests.toy import DIM, ToyEncoder, fill_folder, picture

NAMES = ("catalog", "filters", "texts", "vectors", "regions", "blobs", "hashes")


@dataclass
class MemoryLog:
    """One partition in a list."""

    messages: list = field(default_factory=list)
    done: set = field(default_factory=set)
    given: int = 0
    aside: list = field(default_factory=list)

    def publish(self, entries):
        self.messages += [(one.key, one.value) for one in entries]

    def poll(self, *, most, timeout_s):
        given = []
        while self.given < len(self.messages) and len(given) < most:
            if self.given not in self.done:
                given.append(Delivery(0, self.given, *self.messages[self.given]))
            self.given += 1
        return given

    def acknowledge(self, deliveries):
        self.done |= {one.offset for one in deliveries}

    def reject(self, delivery, reason, detail):
        self.aside.append((reason, detail, delivery.value))
        self.done.add(delivery.offset)

    def rewind(self):
        self.given = 0

    def lag(self):
        return len(self.messages) - len(self.done)

    def close(self):
        pass


def make_engine(stores, *, log=None, encoder=None):
    return Engine(
        EngineParts(
            location="memory", index_id="m", reader=stores, open_writer=None,
            writer=ClusterWriter(stores, models={"vector": "toy"}), log=log,
            encoder=encoder or ToyEncoder(), fetcher=None, bytes_used=lambda: 0, decode_workers=1,
        )
    )  # fmt: skip


@pytest.fixture
def stores(tmp_path):
    return open_stores(tmp_path / "stores", DIM)


@pytest.fixture
def pictures(tmp_path):
    fill_folder(tmp_path / "pictures", 20)
    return tmp_path / "pictures"


def picture_of_one_colour():
    buffer = io.BytesIO()
    Image.new("RGB", (48, 36), (90, 90, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def put_many(log, stores, count):
    return [
        put(log, stores, picture("red", n), f"upload:{n}", caption=f"nr{n}") for n in range(count)
    ]


def names(result):
    return [hit.record.location.rsplit("/", 1)[-1] for hit in result.hits]


def run_worker(engine, log, **options):
    return Worker(engine, log, most=len(log.messages), **options).run(threading.Event())


def put(log, stores, data, uri, **said):
    message = PutMessage(Source(uri, **said), "blob", incoming_key(image_id(data)), is_kept=True)
    stores.blobs.put(message.place, data)
    log.publish([Entry(key_of(message), encode_message(message))])
    return image_id(data)


def test_a_folder_is_indexed_and_found(stores, pictures):
    with make_engine(stores) as engine:
        assert engine.index([FolderSource(pictures)]).added == 20
        assert all(name.startswith("red") for name in names(engine.search(parse_query("red", k=2))))
        look = engine.search(Query(texts=(TextPart("blue"),), k=2))
        assert all(name.startswith("blue") for name in names(look))
        only = engine.search(Query(filter=Filter((one_of("color", "red"),)), k=50))
        assert only.total == len(only.hits) > 0
        assert all("red" in hit.record.facts.color_tags for hit in only.hits)
        both = engine.search(parse_query("picture color:red", k=50))
        assert {hit.record.id for hit in both.hits} <= {hit.record.id for hit in only.hits}
        again = engine.index([FolderSource(pictures)])
        assert (again.added, again.known) == (0, 20)
        assert engine.status().images == len(engine) == 20


def test_pages_of_a_listing_hold_every_image_once(stores, pictures):
    with make_engine(stores) as engine:
        engine.index([FolderSource(pictures)])
        query = Query(filter=Filter((one_of("aspect", "wide"),)), k=6)
        seen, cursor = [], None
        while True:
            page = engine.search(Query(filter=query.filter, k=6, cursor=cursor))
            seen += [hit.record.id for hit in page.hits]
            cursor = page.next
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == page.total == 20


def test_removing_takes_everything_away_and_blocking_keeps_it_away(stores, pictures):
    with make_engine(stores) as engine:
        engine.index([FolderSource(pictures)])
        image = engine.search(parse_query("red", k=1)).hits[0].record.id
        assert engine.remove([image], is_blocked=True) == 1
        assert not engine.has(image)
        assert not stores.vectors.has(np.array([hashed_row(image)]))[0]
        assert not stores.texts.has(np.array([hashed_row(image)]))[0]
        assert not any(stores.blobs.has(key) for key in blob_keys("toy", image))
        report = engine.index([FolderSource(pictures)], IngestOptions(is_forced=True))
        assert dict(report.failed) == {"blocked": 1}
        assert report.added == 0


def test_a_forced_run_brings_back_what_was_lost(stores, pictures):
    with make_engine(stores) as engine:
        engine.index([FolderSource(pictures)])
        image = engine.search(parse_query("red", k=1)).hits[0].record.id
        stores.vectors.remove(np.array([hashed_row(image)]))
        stores.blobs.delete_many(blob_keys("toy", image))
        assert repair(stores, after=None).lost == (image,)
        report = engine.index([FolderSource(pictures)], IngestOptions(is_forced=True))
        assert (report.added, report.merged) == (0, 20)
        assert repair(stores, after=None).lost == ()
        assert engine.thumbnail(image)
        assert stores.vectors.has(np.array([hashed_row(image)]))[0]


def test_repair_mends_vectors_words_and_removals(stores, pictures):
    with make_engine(stores) as engine:
        engine.index([FolderSource(pictures)])
        rows = np.array([hashed_row(one.id) for one in stores.catalog.all_records()])
        kept = stores.vectors.fetch(rows)
        stores.vectors.remove(rows[:5])
        stores.texts.remove(rows[3:9])
        stores.texts.commit(0)
        is_hashed = stores.hashes.has(rows)
        stores.hashes.remove(rows[:4])
        gone = stores.catalog.records([int(rows[9])])[0].id
        stores.catalog.remove([gone])
        mended = repair(stores, after=0)
        assert (mended.vectors, mended.texts, mended.removed) == (5, 6, 1)
        np.testing.assert_allclose(stores.vectors.fetch(rows[:5]), kept[:5], atol=1e-3)
        assert stores.texts.has(rows).tolist() == [True] * 9 + [False] + [True] * 10
        assert mended.hashes == np.count_nonzero(is_hashed[:4]) > 0
        is_hashed[9] = False
        assert stores.hashes.has(rows).tolist() == is_hashed.tolist()
        quiet = repair(stores, after=None)
        assert (quiet.vectors, quiet.texts, quiet.hashes) == (0, 0, 0)


def test_hashes_stand_for_pictures_whose_hash_says_something(stores, pictures):
    (pictures / "flat.png").write_bytes(flat := picture_of_one_colour())
    with make_engine(stores) as engine:
        engine.index([FolderSource(pictures)])
        records = list(stores.catalog.all_records())
        rows = np.array([one.row for one in records])
        telling = [one.facts.phash_quality >= LEAST_QUALITY for one in records]
        assert stores.hashes.has(rows).tolist() == telling
        assert sum(telling) == len(stores.hashes) > 0
        mute = np.array([hashed_row(image_id(flat))])
        assert not stores.hashes.has(mute)[0]
        stores.hashes.add(mute, np.zeros(1, np.uint64))  # as an earlier reading may have left it
        stores.hashes.remove(rows[telling][:2])
        engine.index([FolderSource(pictures)], IngestOptions(is_forced=True))
        assert stores.hashes.has(rows).tolist() == telling
        engine.remove([one.id for one in records])
        assert len(stores.hashes) == 0


# ── Workers ──────────────────────────────────────────────────────────────────────────────


def test_a_worker_indexes_what_is_in_the_log(stores):
    log = MemoryLog()
    with make_engine(stores, log=log) as engine:
        ids = put_many(log, stores, 9)
        log.publish([Entry("x", b"no json"), Entry("y", b"[]")])
        put(log, stores, b"no picture at all", "upload:bad")
        report = run_worker(engine, log)
        assert (report.done, report.added) == (12, 9)
        assert report.rejected == {"bad-message": 2, "not-an-image": 1}
        assert sorted(reason for reason, _, _ in log.aside) == sorted(
            [*["bad-message"] * 2, "not-an-image"]
        )
        assert all(engine.has(image) for image in ids)
        assert engine.search(parse_query("nr4", k=1)).hits[0].record.id == ids[4]
        assert engine.original(ids[0])[0] == picture("red", 0)
        assert not list(stores.blobs.keys("incoming/"))
        assert engine.status().waiting == 0


def test_the_same_message_twice_changes_nothing(stores):
    log = MemoryLog()
    with make_engine(stores, log=log) as engine:
        for _ in range(2):
            image = put(log, stores, picture(), "upload:a", caption="first")
        run_worker(engine, log)
        before = stores.catalog.records([hashed_row(image)])[0], stores.catalog.state()
        log.done.clear()  # delivered again, when the blob is gone already
        log.rewind()
        report = run_worker(engine, log)
        assert report.rejected == {}
        assert (stores.catalog.records([hashed_row(image)])[0], stores.catalog.state()) == before


def test_messages_of_one_image_keep_their_order(stores):
    log = MemoryLog()
    with make_engine(stores, log=log) as engine:
        ids = [put(log, stores, picture("red", n), f"upload:{n}") for n in range(70)]
        removals = [RemoveMessage(image, is_blocked=n % 2 == 0) for n, image in enumerate(ids[:6])]
        log.publish([Entry(key_of(one), encode_message(one)) for one in removals])
        run_worker(engine, log)
        assert [engine.has(image) for image in ids] == [False] * 6 + [True] * 64
        assert stores.catalog.blocked(ids) == {ids[0], ids[2], ids[4]}


def test_a_submitted_picture_waits_for_a_worker(stores):
    log = MemoryLog()
    with make_engine(stores, log=log) as engine:
        item = SourceItem(Source("upload:a", caption="hello"), "data", data=picture())
        (outcome,) = engine.submit([item])
        assert (outcome.id, outcome.is_new, outcome.is_waiting) == (image_id(picture()), True, True)
        assert engine.status().waiting == 1
        assert not engine.has(outcome.id)
        run_worker(engine, log)
        assert engine.has(outcome.id)


# ── Failures in the middle ───────────────────────────────────────────────────────────────


def everything(stores):
    """Return what the stores hold, as far as a user can tell."""
    records = sorted(stores.catalog.all_records(), key=lambda one: one.row)
    rows = np.array([one.row for one in records], np.int64)
    kept = [blob_keys("toy", one.id)[::2] for one in records]  # the thumbnail and the vector
    return (
        [(one.id, [(source.uri, source.fingerprint) for source in one.sources]) for one in records],
        stores.vectors.has(rows).tolist(),
        stores.texts.has(rows).tolist(),
        len(stores.vectors),
        len(stores.texts),
        [all(stores.blobs.has(key) for key in keys) for keys in kept],
        stores.hashes.has(rows).tolist(),
        len(stores.hashes),
    )


def broken(stores, number):
    """Return the stores, all failing from the n-th call on, and a switch that mends them."""
    state = {"calls": 0, "is_down": True}

    def is_due(_name):
        state["calls"] += 1
        return state["is_down"] and state["calls"] >= number

    wrapped = {name: Broken(getattr(stores, name), is_due) for name in NAMES}
    return Stores(**wrapped, space="toy", is_dense=False), state


def test_a_run_cut_off_at_any_call_is_completed_by_the_next(tmp_path, pictures):
    for path in sorted(pictures.iterdir())[3:]:
        path.unlink()
    with make_engine(open_stores(tmp_path / "whole", DIM)) as engine:
        engine.index([FolderSource(pictures)])
        whole = everything(engine.stores)
    number, is_whole = 0, False
    while not is_whole:
        number += 1
        assert number < 200
        stores = open_stores(tmp_path / f"cut-{number}", DIM)
        cut, state = broken(stores, number)
        with make_engine(cut) as engine:
            try:
                engine.index([FolderSource(pictures)])
                is_whole = True
            except StoreError:
                state["is_down"] = False
                engine.index([FolderSource(pictures)])
            assert everything(stores) == whole, f"cut off at call {number}"


def test_a_removal_cut_off_at_any_call_is_completed_by_the_next(tmp_path):
    number, is_whole = 0, False
    while not is_whole:
        number += 1
        assert number < 50
        stores = open_stores(tmp_path / f"cut-{number}", DIM)
        with make_engine(stores) as engine:
            engine.add([SourceItem(Source("upload:a"), "data", data=picture())])
        cut, state = broken(stores, number)
        with make_engine(cut) as engine:
            try:
                engine.remove([image_id(picture())])
                is_whole = True
            except StoreError:
                state["is_down"] = False
                engine.remove([image_id(picture())])
        assert everything(stores) == ([], [], [], 0, 0, [], [], 0), f"cut off at call {number}"
        assert list(stores.blobs.keys()) == []


def test_a_worker_waits_for_a_back_end_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("lookalike.engine.working.LEAST_PAUSE_S", 0.01)
    for number in range(1, 40, 3):
        stores = open_stores(tmp_path / f"cut-{number}", DIM)
        cut, state = broken(stores, number)
        log = MemoryLog()
        ids = [put(log, stores, picture("red", n), f"upload:{n}") for n in range(3)]
        timer = threading.Timer(0.2, lambda state=state: state.update(is_down=False))
        timer.start()
        with make_engine(cut, log=log) as engine:
            report = run_worker(engine, log)
            timer.join()
            assert report.done == 3
            assert not log.aside
            assert all(engine.has(image) for image in ids)
            assert everything(stores)[1:3] == ([True] * 3, [True] * 3)


def test_a_message_that_no_store_takes_is_set_aside_alone(stores, monkeypatch):
    monkeypatch.setattr("lookalike.engine.working.LEAST_PAUSE_S", 0.001)
    log = MemoryLog()
    ids = put_many(log, stores, 5)
    add = stores.texts.add

    def picky(documents):
        if any("nr3" in one.caption for one in documents):
            raise StoreError("this text cannot be stored")
        add(documents)

    monkeypatch.setattr(stores.texts, "add", picky)
    with make_engine(stores, log=log) as engine:
        report = run_worker(engine, log)
        assert report.rejected == {"write-failed": 1}
        assert log.aside[0][1] == "this text cannot be stored"
        for n in (0, 1, 2, 4):
            assert engine.search(parse_query(f"nr{n}", k=1)).hits[0].record.id == ids[n]


@pytest.mark.parametrize(
    ("error", "failures"),
    [(BackendMissingError, 12), (BackendAuthError, 12), (BackendSchemaError, 12),
     (BackendError, TRIES + ALONE_TRIES - 1)],
)  # fmt: skip
def test_no_message_is_blamed_for_a_back_end_that_comes_back(stores, monkeypatch, error, failures):
    monkeypatch.setattr("lookalike.engine.working.LEAST_PAUSE_S", 0.001)
    monkeypatch.setattr("lookalike.engine.working.MOST_PAUSE_S", 0.005)
    log = MemoryLog()
    put_many(log, stores, 5)
    add, left = stores.vectors.add, [failures]

    def recovering(*args):
        if left[0]:
            left[0] -= 1
            raise error("milvus://somewhere", "collection not loaded", hint="wait")
        add(*args)

    monkeypatch.setattr(stores.vectors, "add", recovering)
    with make_engine(stores, log=log) as engine:
        report = run_worker(engine, log)
        assert report.rejected == {}
        assert engine.status().images == 5


def test_a_message_that_a_back_end_always_refuses_is_set_aside_in_the_end(stores, monkeypatch):
    monkeypatch.setattr("lookalike.engine.working.LEAST_PAUSE_S", 0.001)
    monkeypatch.setattr("lookalike.engine.working.MOST_PAUSE_S", 0.005)
    log = MemoryLog()
    put_many(log, stores, 5)
    add = stores.texts.add

    def picky(documents):
        if any("nr3" in one.caption for one in documents):
            raise BackendError("elasticsearch://somewhere", "it refuses: too odd", hint="see log")
        add(documents)

    monkeypatch.setattr(stores.texts, "add", picky)
    with make_engine(stores, log=log) as engine:
        report = run_worker(engine, log)
        assert report.rejected == {"write-failed": 1}
        assert log.aside[0][1] == "elasticsearch://somewhere: it refuses: too odd"
        assert len(log.done) == 5


def test_a_stopped_worker_ends_with_its_batch(stores):
    log = MemoryLog()
    with make_engine(stores, log=log) as engine:
        for n in range(200):
            put(log, stores, picture("red", n), f"upload:{n}")
        stop = threading.Event()
        worker = Worker(engine, log, on_progress=lambda report: report.done and stop.set())
        report = worker.run(stop)
        assert 0 < report.done <= 200
        assert report.done == len(log.done) == engine.status().images


def test_backends_that_are_late_leave_a_degraded_answer(stores, pictures):
    with make_engine(stores) as engine:
        engine.index([FolderSource(pictures)])
    broken_texts = Broken(stores.texts, lambda name: name == "search")
    late = replace(stores, texts=broken_texts)
    with make_engine(late) as engine:
        result = engine.search(parse_query("red", k=3))
        assert len(result.hits) == 3
        assert any("text: backend_timeout" in note for note in result.degraded)
    with pytest.raises(BackendTimeoutError):
        broken_texts.search(None, k=1)


def test_a_draining_worker_ends_when_nothing_waits(stores):
    log = MemoryLog()
    with make_engine(stores, log=log) as engine:
        put_many(log, stores, 3)
        report = Worker(engine, log, drain_s=0.2).run(threading.Event())
        assert report.done == 3


def test_a_source_without_a_fingerprint_is_known_afterwards(stores):
    with make_engine(stores) as engine:
        item = SourceItem(Source("https://example.org/a.jpg"), "data", data=picture())
        assert engine.add([item])[0].is_new
        assert stores.catalog.source_states([item.source.uri])[item.source.uri].fingerprint == ""


def test_pages_and_judgements_as_in_a_folder(stores, pictures, monkeypatch):
    monkeypatch.setattr(candidates, "LEAST_CANDIDATES", 5)
    monkeypatch.setattr(candidates, "OVERFETCH", 1)
    with make_engine(stores) as engine:
        engine.index([FolderSource(pictures)])
        query, seen, cursor, pages = parse_query("1:red", k=4), [], None, 0
        while pages == 0 or cursor:
            page = engine.search(replace(query, cursor=cursor))
            seen += names(page)
            cursor, pages = page.next, pages + 1
            data = picture("red", 900 + pages)
            engine.add([SourceItem(Source(f"x{pages}.jpg"), "bytes", data=data)])
        assert len(seen) == len(set(seen)) >= 20
        assert {path.name for path in pictures.iterdir()} <= set(seen)
        first = engine.search(parse_query("1:red", k=3))
        refused, wanted = first.hits[0].record.id, first.hits[2].record.id
        judged = engine.search(replace(query, more=(wanted,), less=(refused,), k=30))
        assert refused not in [hit.record.id for hit in judged.hits]
        assert wanted in [hit.record.id for hit in judged.hits[:5]]
        alone = engine.search(Query(more=(wanted,), k=30))
        assert alone.hits[0].record.id == wanted
        varied = engine.search(replace(query, diversity=0.9))
        assert names(varied) != names(engine.search(query))
        assert not varied.degraded


def test_nothing_is_a_good_match(stores, tmp_path):
    with make_engine(stores) as engine:
        fill_folder(tmp_path / "many", 40, colours=("red", "orange", "pink"))
        engine.index([FolderSource(tmp_path / "many")])
        assert not engine.search(parse_query("red orange", k=3)).no_good_match
        nothing = engine.search(Query(texts=(TextPart("green"),), k=3))
        assert nothing.no_good_match
        assert len(nothing.hits) == 3
