"""The engine over the embedded stores, with the toy encoder and real files."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lookalike.adapters.source_folder import FilesSource, FolderSource
from lookalike.domain.errors import CursorError, NotFoundError, QueryError, StoreError
from lookalike.domain.filters import Filter, one_of
from lookalike.domain.images import Source, image_id
from lookalike.domain.queries import ImagePart, Query, TextMatch, TextPart
from lookalike.domain.query_language import parse_query
from lookalike.engine import candidates
from lookalike.engine.ingest import IngestOptions
from lookalike.ports.source import SourceItem
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.manifest import Manifest, SpaceEntry, read_manifest, write_manifest
from tests.toy import DIM, ToyEncoder, fill_folder, picture


def open_toy(root, encoder=None, **options):
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "index.toml").exists():
        write_manifest(root, Manifest(SpaceEntry("toy", DIM), NO_FEATURES))
    return assemble(
        root, read_manifest(root), encoder or ToyEncoder(),
        options=OpenOptions(**options), settings=Settings(decoders=1, threads=1),
    )  # fmt: skip


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    fill_folder(folder, 30)
    return folder


@pytest.fixture
def engine(tmp_path, pictures):
    with open_toy(tmp_path / "index") as engine:
        report = engine.index([FolderSource(pictures)])
        assert report.added == 30
        yield engine


def names(result):
    return [hit.record.location.rsplit("/", 1)[-1] for hit in result.hits]


def test_words_find_by_name_and_by_look(engine):
    result = engine.search(parse_query("red", k=3))
    assert all(name.startswith("red-") for name in names(result))
    assert not result.degraded
    assert set(result.hits[0].parts) == {"bm25", "cosine"}
    only_look = engine.search(Query(texts=(TextPart("blue"),), k=3))
    assert all(name.startswith("blue-") for name in names(only_look))


def test_every_candidate_has_both_features(engine):
    result = engine.search(Query(texts=(TextPart("red"),), match=TextMatch("blue"), k=30))
    assert len(result.hits) == 30
    for hit in result.hits:
        assert np.isfinite([hit.parts["bm25"], hit.parts["cosine"]]).all()
        is_named = hit.record.location.rsplit("/", 1)[-1].startswith("blue")
        is_blue = is_named or "blue" in hit.record.facts.color_tags
        assert (hit.parts["bm25"] > 0) == is_blue


def test_a_picture_finds_its_copy(engine, pictures):
    altered = picture("green", seed=1, quality=30)
    result = engine.search(Query(images=(ImagePart("data", data=altered),), k=5))
    assert names(result)[0] == "green-0001.jpg"
    by_path = engine.search(Query(images=(ImagePart("path", str(pictures / "red-0000.jpg")),), k=1))
    assert names(by_path) == ["red-0000.jpg"]
    assert by_path.hits[0].parts["cosine"] == pytest.approx(1.0, abs=2e-3)


def test_an_id_or_its_beginning_is_a_query(engine, pictures):
    image = image_id((pictures / "pink-0008.jpg").read_bytes())
    for reference in (image, image[:8]):
        result = engine.search(Query(images=(ImagePart("id", reference),), k=1))
        assert result.hits[0].record.id == image
    with pytest.raises(NotFoundError):
        engine.search(Query(images=(ImagePart("id", "0" * 32),)))


def test_filters_are_exact_and_give_k(engine):
    only = Filter((one_of("color", "yellow"),))
    result = engine.search(Query(texts=(TextPart("black"),), filter=only, k=3))
    assert len(result.hits) == 3
    assert all(name.startswith("yellow") for name in names(result))
    listed = engine.search(Query(filter=only, k=10))
    assert listed.total == len(listed.hits) == 3


def test_pages_are_stable_while_pictures_come_in(engine, tmp_path):
    query = parse_query("red", k=7)
    whole = engine.search(parse_query("red", k=30))
    first = engine.search(query)
    fill_folder(tmp_path / "more", 20, colours=("red",))
    engine.index([FolderSource(tmp_path / "more")])
    seen, cursor = names(first), first.next
    while cursor:
        page = engine.search(Query(**{**_fields(query), "cursor": cursor}))
        seen += names(page)
        cursor = page.next
    assert seen == names(whole)


def _fields(query):
    return {name: getattr(query, name) for name in query.__dataclass_fields__}


def test_a_listing_pages_to_its_end(engine):
    query = Query(filter=Filter((one_of("type", "photo,clipart,lineart"),)), k=8)
    seen, cursor = [], None
    while True:
        page = engine.search(Query(**{**_fields(query), "cursor": cursor}))
        seen += names(page)
        if (cursor := page.next) is None:
            break
    assert len(seen) == len(set(seen)) == 30


def test_a_cursor_of_another_query_is_refused(engine):
    cursor = engine.search(parse_query("red", k=3)).next
    with pytest.raises(CursorError):
        engine.search(Query(**{**_fields(parse_query("blue", k=3)), "cursor": cursor}))


def test_nothing_asked(engine):
    with pytest.raises(QueryError):
        engine.search(Query())


def test_running_again_does_no_work(engine, pictures):
    encoded = engine.encoder.images_encoded
    report = engine.index([FolderSource(pictures)])
    assert (report.added, report.known) == (0, 30)
    assert engine.encoder.images_encoded == encoded


def test_changed_new_and_vanished_files(engine, pictures):
    (pictures / "red-0000.jpg").write_bytes(picture("white", seed=99))
    (pictures / "extra.jpg").write_bytes(picture("black", seed=98))
    (pictures / "blue-0002.jpg").unlink()
    report = engine.index([FolderSource(pictures)])
    assert (report.added, report.vanished, report.known) == (2, 1, 28)
    assert report.failed == {}
    result = engine.search(Query(texts=(TextPart("blue"),), k=3))
    assert "blue-0002.jpg" in names(result), "a vanished file's image stays until it is pruned"
    pruned = engine.index([FolderSource(pictures)], IngestOptions(is_pruning=True))
    assert pruned.vanished == 1
    assert len(engine) == 30


def test_pruning_forgets_what_vanished(engine, pictures):
    (pictures / "blue-0002.jpg").unlink()
    engine.index([FolderSource(pictures)], IngestOptions(is_pruning=True))
    assert len(engine) == 29
    assert "blue-0002.jpg" not in names(engine.search(Query(texts=(TextPart("blue"),), k=29)))


def test_the_same_bytes_elsewhere_are_one_image(engine, pictures, tmp_path):
    other = tmp_path / "other" / "copy of red.jpg"
    other.parent.mkdir()
    other.write_bytes((pictures / "red-0000.jpg").read_bytes())
    report = engine.index([FolderSource(other.parent)])
    assert (report.added, report.merged) == (0, 1)
    record = engine.record(image_id(other.read_bytes()))
    assert len(record.sources) == 2
    hit = engine.search(parse_query('"copy of red"', k=1)).hits[0]
    assert hit.record.id == record.id
    assert hit.copies == 1


def test_twins_in_one_run_are_one_image(tmp_path):
    folder = tmp_path / "twins"
    folder.mkdir()
    for number in range(150):
        (folder / f"{number}.jpg").write_bytes(picture("red", seed=number % 3))
    with open_toy(tmp_path / "index") as engine:
        report = engine.index([FolderSource(folder)])
        assert (report.added, report.merged) == (3, 147)
        assert len(engine) == 3


def test_refusals_are_counted_by_reason_and_listed(engine, pictures):
    (pictures / "empty.jpg").write_bytes(b"")
    (pictures / "cut.jpg").write_bytes(picture("red", seed=5, size=(400, 300))[:900])
    (pictures / "words.png").write_bytes(b"no picture at all, only words")
    report = engine.index([FolderSource(pictures)])
    assert report.failed == {"empty-file": 1, "truncated": 1, "not-an-image": 1}
    lines = report.refusals.read_text().splitlines()
    assert len(lines) == 3
    assert engine.status().failures == report.failed
    again = engine.index([FolderSource(pictures)])
    assert again.failed == report.failed
    (pictures / "empty.jpg").write_bytes(picture("purple", seed=7))
    assert engine.index([FolderSource(pictures)]).failed == {"truncated": 1, "not-an-image": 1}
    assert "empty-file" not in engine.status().failures


def test_removed_is_gone_everywhere_and_may_come_back(engine, pictures):
    path = pictures / "orange-0006.jpg"
    image = image_id(path.read_bytes())
    assert engine.remove([image]) == 1
    assert engine.remove([image]) == 0
    for query in (parse_query("orange", k=30), Query(images=(ImagePart("path", str(path)),), k=30)):
        assert image not in [hit.record.id for hit in engine.search(query).hits]
    with pytest.raises(NotFoundError):
        engine.record(image)
    with pytest.raises(NotFoundError):
        engine.thumbnail(image)
    assert engine.index([FolderSource(pictures)]).added == 1
    assert engine.record(image).id == image


def test_blocked_may_not_come_back(engine, pictures):
    path = pictures / "orange-0006.jpg"
    image = image_id(path.read_bytes())
    engine.remove([image], is_blocked=True)
    report = engine.index([FolderSource(pictures)])
    assert report.failed == {"blocked": 1}
    assert not engine.has(image)


def test_added_one_by_one_and_found_at_once(engine):
    data = picture("purple", seed=4242)
    item = SourceItem(Source("upload:1", caption="a lilac field"), "data", data=data)
    [outcome] = engine.add([item])
    assert (outcome.id, outcome.is_new) == (image_id(data), True)
    assert engine.search(parse_query("lilac", k=1)).hits[0].record.id == outcome.id
    [again] = engine.add([SourceItem(Source("upload:2"), "data", data=data)])
    assert (again.id, again.is_new) == (outcome.id, False)
    [refused] = engine.add([SourceItem(Source("upload:3"), "data", data=b"nothing")])
    assert (refused.id, refused.reason) == (None, "not-an-image")


def test_another_process_sees_commits_without_reopening(tmp_path, pictures):
    with open_toy(tmp_path / "index") as reader, open_toy(tmp_path / "index") as writer:
        assert len(reader) == 0
        writer.index([FolderSource(pictures)])
        assert len(reader) == 30
        assert names(reader.search(parse_query("green", k=2)))[0].startswith("green")
        image = reader.search(parse_query("green", k=1)).hits[0].record.id
        writer.remove([image])
        left = reader.search(parse_query("green", k=30)).hits
        assert image not in [hit.record.id for hit in left]


def test_many_threads_search_while_pictures_come_in(engine, tmp_path):
    fill_folder(tmp_path / "more", 60)
    done = threading.Event()

    def ask(number):
        count = 0
        while not done.is_set():
            result = engine.search(parse_query(("red", "blue", "green")[number % 3], k=5))
            assert len(result.hits) == 5
            assert not result.degraded
            count += 1
        return count

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask, number) for number in range(4)]
        engine.index([FolderSource(tmp_path / "more")])
        done.set()
        assert all(future.result(timeout=60) for future in asking)


def test_reopening_keeps_everything(tmp_path, pictures):
    with open_toy(tmp_path / "index") as engine:
        engine.index([FolderSource(pictures)])
        before = names(engine.search(parse_query("yellow", k=30)))
    with open_toy(tmp_path / "index") as engine:
        assert names(engine.search(parse_query("yellow", k=30))) == before


def test_a_lost_text_index_is_made_again(tmp_path, pictures):
    import shutil

    with open_toy(tmp_path / "index") as engine:
        engine.index([FolderSource(pictures)])
    shutil.rmtree(tmp_path / "index" / "text")
    with open_toy(tmp_path / "index") as engine:
        assert names(engine.search(Query(match=TextMatch("yellow"), k=3)))


def test_an_encoder_without_words_degrades(tmp_path, pictures):
    with open_toy(tmp_path / "index", ToyEncoder(has_text=False)) as engine:
        engine.index([FolderSource(pictures)])
        result = engine.search(parse_query("red", k=3))
        assert names(result)[0].startswith("red")
        assert result.degraded == ("vector: this index's encoder knows no words",)


def test_a_path_that_fails_leaves_a_degraded_answer(engine, monkeypatch):
    def fail(*_, **__):
        raise StoreError("the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(engine.stores.texts, "search", fail)
        result = engine.search(parse_query("red", k=3))
    assert result.degraded == ("text: store: the disk is gone",)
    assert all(name.startswith("red") for name in names(result))
    with monkeypatch.context() as broken:
        broken.setattr(engine.stores.vectors, "search", fail)
        result = engine.search(parse_query("red", k=3))
    assert result.degraded == ("vector: store: the disk is gone",)
    assert all(name.startswith("red") for name in names(result))


def test_a_path_that_is_late_leaves_a_degraded_answer(engine, monkeypatch):
    hold = threading.Event()
    search = engine.stores.vectors.search

    def late(*given, **named):
        assert hold.wait(30)
        return search(*given, **named)

    monkeypatch.setattr(engine.stores.vectors, "search", late)
    result = engine.search(Query(**{**_fields(parse_query("red", k=3)), "deadline_ms": 200.0}))
    hold.set()
    assert result.degraded == ("vector: late",)
    assert all(name.startswith("red") for name in names(result))


def test_a_stopped_run_goes_on(tmp_path):
    folder = tmp_path / "pictures"
    fill_folder(folder, 300)
    with open_toy(tmp_path / "index") as engine:
        options = IngestOptions()
        report = engine.index(
            [FolderSource(folder)], options,
            lambda progress: options.stop.set() if progress.added >= 64 else None,
        )  # fmt: skip
        assert report.is_interrupted
        assert 64 <= report.added < 300
        rest = engine.index([FolderSource(folder)])
        assert rest.known == report.added
        assert len(engine) == 300


def test_files_named_one_by_one(tmp_path):
    paths = fill_folder(tmp_path / "pictures", 3)
    with open_toy(tmp_path / "index") as engine:
        report = engine.index([FilesSource([str(path) for path in paths[:2]])])
        assert report.added == 2


def test_more_like_these_and_less_like_those(engine):
    first = engine.search(Query(texts=(TextPart("red"),), k=5))
    wanted = engine.search(Query(texts=(TextPart("blue"),), k=1)).hits[0].record.id
    refused = first.hits[0].record.id
    judged = Query(texts=(TextPart("red"),), more=(wanted[:12],), less=(refused,), k=30)
    found = [hit.record.id for hit in engine.search(judged).hits]
    assert refused not in found
    assert found.index(wanted) < 15
    alone = engine.search(Query(more=(wanted,), k=3))
    assert alone.hits[0].record.id == wanted
    with pytest.raises(NotFoundError):
        engine.search(Query(texts=(TextPart("red"),), more=("0" * 32,)))


def test_hits_that_repeat_themselves_less(engine):
    plain = engine.search(Query(texts=(TextPart("red"),), k=5))
    spread = engine.search(Query(texts=(TextPart("red"),), k=5, diversity=0.9, is_explained=True))
    assert names(spread)[0] == names(plain)[0]
    assert len({name[:3] for name in names(spread)}) > len({name[:3] for name in names(plain)})
    assert "diversify" in spread.timings_ms


def test_pages_go_on_behind_the_ranking(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "LEAST_CANDIDATES", 6)
    monkeypatch.setattr(candidates, "OVERFETCH", 1)
    query = parse_query("1:red", k=4)
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = engine.search(Query(**{**_fields(query), "cursor": cursor}))
        assert [hit.score for hit in page.hits] == sorted(
            (hit.score for hit in page.hits), reverse=True
        )
        seen += names(page)
        cursor, pages = page.next, pages + 1
        engine.add([SourceItem(Source(f"x{pages}"), "bytes", data=picture("red", 500 + pages))])
    assert len(seen) == len(set(seen)) == 30
