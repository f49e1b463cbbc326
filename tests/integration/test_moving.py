"""Moving an index: exported and imported, it holds and answers the same."""

import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from lookalike.adapters.archive_columns import schema_of
from lookalike.adapters.source_embeddings import EmbeddingsSource
from lookalike.adapters.source_folder import FolderSource
from lookalike.domain.errors import (
    ArchiveCorruptError,
    ArchiveError,
    ArchiveMismatchError,
    EncoderMismatchError,
    StoreError,
    UnknownModelError,
)
from lookalike.domain.filters import Filter, HasObject, one_of
from lookalike.domain.images import DetectedObject, OcrWord, Source, image_id
from lookalike.domain.queries import ImagePart, Query, TextMatch
from lookalike.domain.query_language import parse_query
from lookalike.engine import exporting, importing
from lookalike.engine.exporting import ExportOptions
from lookalike.engine.import_checks import Sample
from lookalike.engine.importing import ImportOptions
from lookalike.engine.looking import Seen
from lookalike.engine.writer import WriteBatch
from lookalike.ports.catalog import Failure
from lookalike.ports.copies import CopyDecision, CopyMember, CopyStep
from lookalike.ports.source import SourceItem
from lookalike.settings import Settings
from lookalike.wiring.embedded import OpenOptions, open_index
from lookalike.wiring.moving import export_index, import_index, open_export, target_options
from tests.conftest import ROOT
from tests.integration.test_engine import open_toy
from tests.processes import Death
from tests.toy import COLOURS, DIM, ToyEncoder, fill_folder, picture

COUNT = 60


def fill(engine, folder):
    """Everything an index can hold: copies, odd names, refusals, what vanished, what is blocked."""
    fill_folder(folder, COUNT)
    (folder / "red-0000.txt").write_text("a scarlet door")
    shutil.copy(folder / "red-0000.jpg", folder / "again.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    (folder / "empty.jpg").write_bytes(b"")
    odd = os.fsencode(folder) + b"/gr\xfcn.jpg"
    with open(odd, "wb") as file:
        file.write(picture("green", seed=777))
    shutil.copy(folder / "blue-0002.jpg", folder / "leaves.jpg")
    engine.index([FolderSource(folder)])
    (folder / "leaves.jpg").unlink()
    os.unlink(odd)
    engine.index([FolderSource(folder)])
    page = Source(
        "https://example.org/a.jpg", page_url="https://example.org/", site="example.org",
        title="A \0 \ud83d title", caption="a dusty road", licence="cc-by-4.0", taken=1e9,
    )  # fmt: skip
    engine.add([SourceItem(page, "data", data=picture("pink", seed=900))])
    gone = [image_id((folder / name).read_bytes()) for name in ("black-0004.jpg", "brown-0009.jpg")]
    engine.remove(gone[:1])
    engine.remove(gone[1:], is_blocked=True)
    look(engine)


def look(engine):
    """See objects with regions, and words, in some images; group and decide upon some."""
    records = sorted(engine.stores.catalog.all_records(), key=lambda one: one.id)
    dice = np.random.default_rng(3)
    readings = []
    for at, one in enumerate(records[:20]):
        objects = tuple(
            DetectedObject(label, 0.9, (0.1, 0.2, 0.3, 0.3333)) for label in ("cat", "dog\udcff")
        )
        words = tuple(OcrWord(word, 0.5, (0.1, 0.2, 0.3, 0.4), 1) for word in ("NO", "parking"))
        regions = dice.normal(size=(2, DIM)).astype(np.float32)
        regions /= np.linalg.norm(regions, axis=1, keepdims=True)
        numbers = (0, 1) if at % 2 else (1,)
        seen = Seen(None, objects, words, numbers, regions[: len(numbers)], {"objects": "1"})
        if at % 3 == 0:
            seen = replace(seen, models={"objects": "1", "words": "2"})
        readings.append((replace(one.facts, creator="Ann", keywords=("a", "\udcff")), seen))
    with engine.writing() as writer:
        writer.write(WriteBatch(readings=readings))
        rows = [writer.stores.catalog.rows_of([one.id])[one.id] for one in records]
        group(writer.stores.copies, rows[0:4])
        group(writer.stores.copies, rows[30:32])
        decide(writer.stores.copies, rows)


def group(ledger, rows):
    members = [CopyMember(rows[0], rows[0], is_canonical=True)]
    members += [
        CopyMember(row, rows[0], via=rows[0], reason="phash", score=1 / (2 + at))
        for at, row in enumerate(rows[1:])
    ]
    ledger.replace(rows, members)


def decide(ledger, rows):
    ledger.decide(
        CopyStep(1, "split", tuple(rows[5:8]), rows[6], at=9.0),
        [
            CopyDecision(*sorted(rows[5:7]), "different", 5.0),
            CopyDecision(*sorted(rows[40:42]), "same", 6.0),
        ],
    )


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    root = tmp_path_factory.mktemp("moving")
    with open_toy(root / "index") as engine:
        fill(engine, root / "pictures")
        yield engine


@pytest.fixture(scope="module")
def exported(filled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "x"
    report = export_index(filled, folder)
    assert report.manifest.facts.is_quiet
    assert report.images == len(filled) == COUNT
    return folder


@pytest.fixture
def copied(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "copied")


@pytest.fixture
def target(tmp_path):
    with open_toy(tmp_path / "target") as engine:
        yield engine


def records_of(engine):
    return {
        one.id: replace(one, row=0, copy_group=None) for one in engine.stores.catalog.all_records()
    }


def copies_of(engine):
    """Copy groups and decisions by the ids of images."""
    stores = engine.stores
    ids = {one.row: one.id for one in stores.catalog.all_records()}
    groups = [
        {(ids[m.row], m.is_canonical, ids.get(m.via), m.reason, m.score) for m in members}
        for members in stores.copies.all_groups()
    ]
    decisions = [
        (*sorted((ids[one.first], ids[one.second])), one.verdict, one.decided)
        for one in stores.copies.decisions(list(ids))
    ]
    kept = {ids[row] for row in stores.copies.kept(list(ids))}
    return sorted(groups, key=sorted), sorted(decisions), kept


def regions_of(engine):
    """The fp16 vectors of every region by image and number."""
    found = {}
    for one in engine.stores.catalog.all_records():
        for number in range(len(one.objects)):
            try:
                vector = engine.stores.regions.fetch(one.row, [number])
            except StoreError:
                continue
            found[one.id, number] = vector.astype("<f2").tobytes()
    return found


def answers(engine, queries):
    found = []
    for query in queries:
        result = engine.search(query)
        assert not result.degraded
        hits = [(h.record.id, round(h.parts.get("cosine", 0.0), 3)) for h in result.hits]
        found.append((result.total, sorted(hits, key=lambda hit: (-hit[1], hit[0]))))
    return found


def queries_of(engine):
    ids = sorted(records_of(engine))
    words = [parse_query(colour, k=1000) for colour in COLOURS]
    pictures = [Query(images=(ImagePart("id", image),), k=1000) for image in ids[::6]]
    return [
        *words,
        *pictures,
        *(Query(match=TextMatch(word), k=1000) for word in ("scarlet door", "dusty", "green")),
        *(Query(filter=Filter((one_of("color", name),)), k=1000) for name in list(COLOURS)[:5]),
        Query(filter=Filter((one_of("site", "example.org"),)), k=1000),
        Query(filter=Filter((one_of("licence", "cc-by-4.0"),)), k=1000),
    ]


def assert_same(engine, filled):
    ours, theirs = engine.status().to_json(), filled.status().to_json()
    for name in ("images", "sources", "failures"):
        assert ours[name] == theirs[name]
    assert records_of(engine) == records_of(filled)
    assert copies_of(engine) == copies_of(filled)
    assert regions_of(engine) == regions_of(filled)
    catalog, other = engine.stores.catalog, filled.stores.catalog
    assert list(catalog.all_failures()) == list(other.all_failures())
    assert list(catalog.all_blocked()) == list(other.all_blocked())
    for image in records_of(filled):
        assert engine.thumbnail(image) == filled.thumbnail(image)


def test_an_index_comes_back_the_same(filled, exported, target):
    report = import_index(target, exported)
    assert report.counts["added"] == COUNT
    assert report.verification.to_json() == {
        "images_missing": 0, "sources_missing": 0, "failures_missing": 0, "records_compared": 50,
        "records_differing": 0, "vectors_equal": 50, "least_cosine": 1.0, "queries": 20,
        "overlap_at_10": 1.0,
    }  # fmt: skip
    assert_same(target, filled)
    assert any(source.is_vanished for one in records_of(target).values() for source in one.sources)
    odd = ["\0", "\ud83d", "\ueffc"]
    told = [s.title + s.uri for one in records_of(target).values() for s in one.sources]
    assert all(any(text in one for one in told) for text in odd)
    pink = image_id(picture("pink", seed=900))
    assert target.original(pink)[0] == picture("pink", seed=900)
    queries = queries_of(filled)
    assert len(queries) >= 30
    assert answers(target, queries) == answers(filled, queries)
    for one in filled.stores.catalog.all_records():
        row = target.stores.catalog.rows_of([one.id])[one.id]
        halves = [
            engine.stores.vectors.fetch(np.array([number])).astype("<f2").tobytes()
            for engine, number in ((target, row), (filled, one.row))
        ]
        assert halves[0] == halves[1]


def test_what_was_seen_decided_and_grouped_is_exported(filled, exported, target):
    counts = open_export(exported).manifest.counts
    assert (counts.regions, counts.copy_groups, counts.copies, counts.decisions) == (30, 2, 6, 3)
    assert len(regions_of(filled)) == 30
    groups, decisions, kept = copies_of(filled)
    assert ([len(members) for members in groups], len(decisions), len(kept)) == ([4, 2], 2, 1)
    assert import_index(target, exported).counts["copy_groups"] == 2
    assert len(target.stores.regions) == len(filled.stores.regions)
    found = target.search(Query(filter=Filter((HasObject("cat"),)), k=100))
    assert found.total == 20
    seen = [one for one in records_of(target).values() if one.words]
    assert {one.ocr_text for one in seen} == {"NO parking"}
    assert len(seen) == 7


def test_groups_of_the_index_are_not_torn_apart(filled, exported, target):
    import_index(target, exported)
    ids = sorted(records_of(target))
    with target.writing() as writer:
        rows = [writer.stores.catalog.rows_of([one])[one] for one in ids]
        group(writer.stores.copies, [rows[31], rows[50]])
        writer.stores.copies.replace(rows[:4], [])
        group(writer.stores.copies, rows[1:3])
        writer.stores.copies.decide(
            CopyStep(1, "merge", (rows[5], rows[6])),
            [CopyDecision(*sorted(rows[5:7]), "same", 70.0)],
        )
    assert import_index(target, exported).counts["copy_groups"] == 1
    groups, decisions, _ = copies_of(target)
    theirs = copies_of(filled)
    assert {len(members) for members in groups} == {4, 2}
    assert [members for members in groups if len(members) == 4] == theirs[0][:1]
    assert (*sorted(ids[5:7]), "same", 70.0) in decisions


def test_importing_twice_changes_nothing(exported, target):
    import_index(target, exported)
    before, state = records_of(target), target.stores.catalog.state()
    report = import_index(target, exported)
    assert (report.counts["added"], report.counts["known"]) == (0, COUNT)
    assert report.counts["merged"] == report.counts["failures"] == 0
    assert target.stores.catalog.state() == state
    assert records_of(target) == before


def test_there_and_back_again(filled, exported, target, tmp_path):
    import_index(target, exported)
    export_index(target, tmp_path / "back")
    with open_toy(tmp_path / "third") as third:
        import_index(third, tmp_path / "back")
        assert_same(third, filled)


def test_a_stopped_import_goes_on(filled, exported, target, monkeypatch):
    monkeypatch.setattr("lookalike.adapters.archive_reading.BATCH_ROWS", 16)
    options = ImportOptions()
    done = []

    def stop_later(progress):
        done.append(progress)
        if progress.done >= 32:
            options.stop.set()

    first = import_index(target, exported, options, stop_later)
    assert first.is_interrupted
    assert first.counts["added"] == len(target) == 32
    assert (done[-1].total, first.verification) == (COUNT, None)
    second = import_index(target, exported)
    assert (second.counts["known"], second.counts["added"]) == (32, COUNT - 32)
    assert_same(target, filled)


def test_a_stopped_export_is_none(filled, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "BATCH", 16)
    options = ExportOptions()
    report = export_index(filled, tmp_path / "x", options, lambda progress: options.stop.set())
    assert report.manifest is None
    assert report.to_json()["interrupted"]
    with pytest.raises(ArchiveError, match="not finished"):
        open_export(tmp_path / "x")
    assert export_index(filled, tmp_path / "x").images == COUNT


def test_pictures_can_be_left_out(filled, target, tmp_path):
    report = export_index(
        filled, tmp_path / "x", ExportOptions(has_thumbnails=False, has_originals=False)
    )
    assert not (tmp_path / "x" / "blobs").exists()
    assert report.manifest.counts.thumbnails == report.manifest.counts.originals == 0
    assert import_index(target, tmp_path / "x").counts["added"] == COUNT
    assert records_of(target) == records_of(filled)


def test_an_empty_index_is_moved_too(target, tmp_path):
    export_index(target, tmp_path / "x")
    with open_toy(tmp_path / "other") as other:
        report = import_index(other, tmp_path / "x")
        assert (report.counts["added"], report.verification.overlap_at_10) == (0, 1.0)


# ── Into a filled index ──────────────────────────────────────────────────────────────────


def add(engine, data, uri, **changes):
    (outcome,) = engine.add([SourceItem(Source(uri, **changes), "data", data=data)])
    return outcome


def images_of(engine):
    return {
        image: {source.uri: source for source in record.sources}
        for image, record in records_of(engine).items()
    }


def moved(origin, target, tmp_path):
    export_index(origin, tmp_path / "x")
    return import_index(target, tmp_path / "x")


def test_two_indexes_become_one(target, tmp_path):
    a, b, c = (picture("red", seed=number) for number in (1, 2, 3))
    with open_toy(tmp_path / "origin") as origin:
        add(origin, a, "/x/a", seen=10.0, caption="early")
        add(origin, b, "/x/b", seen=10.0)
        add(origin, b, "/x/b2", seen=11.0)
        add(origin, c, "/x/c", seen=10.0)
        add(target, a, "/x/a", seen=20.0, caption="late")
        add(target, b, "/y/b", seen=5.0)
        add(target, c, "/x/c", seen=4.0, caption="earlier still")
        report = moved(origin, target, tmp_path)
        assert report.counts["known"] == 3
        assert report.counts["superseded"] == 1
        found = images_of(target)
        assert found[image_id(a)]["/x/a"].caption == "late"
        assert set(found[image_id(b)]) == {"/x/b", "/x/b2", "/y/b"}
        assert found[image_id(c)]["/x/c"].seen == 10.0
        assert records_of(target)[image_id(b)].first_seen == 5.0
        state = target.stores.catalog.state()
        assert import_index(target, tmp_path / "x").counts["merged"] == 0
        assert target.stores.catalog.state() == state


def test_the_later_sighting_of_a_place_is_right(target, tmp_path):
    old, new = picture("blue", seed=1), picture("green", seed=2)
    with open_toy(tmp_path / "origin") as origin:
        add(origin, old, "/x/1", seen=10.0)
        add(origin, new, "/x/2", seen=30.0)
        add(target, new, "/x/1", seen=20.0)
        add(target, old, "/x/2", seen=20.0)
        report = moved(origin, target, tmp_path)
        assert report.counts["superseded"] == 1
        found = images_of(target)
        assert set(found) == {image_id(new)}
        assert set(found[image_id(new)]) == {"/x/1", "/x/2"}


def test_what_is_blocked_stays_blocked(target, tmp_path):
    a, b, c = (picture("red", seed=number) for number in (1, 2, 3))
    with open_toy(tmp_path / "origin") as origin:
        add(origin, a, "/x/a")
        add(origin, c, "/x/c")
        origin.remove([image_id(b)], is_blocked=True)
        add(target, b, "/y/b")
        target.remove([image_id(a)], is_blocked=True)
        report = moved(origin, target, tmp_path)
        assert (report.counts["blocked"], report.counts["removed"]) == (1, 1)
        assert set(records_of(target)) == {image_id(c)}
        assert set(target.stores.catalog.all_blocked()) == {image_id(a), image_id(b)}
        assert add(target, b, "/y/again").reason == "blocked"
        assert import_index(target, tmp_path / "x").counts["removed"] == 0


def test_vanished_places_and_refusals_are_merged(target, tmp_path):
    data = picture("red", seed=1)
    with open_toy(tmp_path / "origin") as origin:
        add(origin, data, "/x/a", seen=10.0)
        add(origin, data, "/x/b", seen=10.0)
        for engine, gone in ((origin, "/x/a"), (target, "/x/b")):
            if engine is target:
                add(target, data, "/x/a", seen=10.0)
                add(target, data, "/x/b", seen=10.0)
            with engine.writing() as writer:
                writer.write(WriteBatch(vanished=[gone]))
                reasons = {"/f": "corrupt", "/x/a": "corrupt"} if engine is origin else {}
                wanted = [Failure(uri, why, seen=5.0) for uri, why in reasons.items()]
                writer.write(WriteBatch(failures=[one for one in wanted if one.uri == "/f"]))
        moved(origin, target, tmp_path)
        found = images_of(target)[image_id(data)]
        assert found["/x/a"].is_vanished
        assert found["/x/b"].is_vanished
        assert [one.uri for one in target.stores.catalog.all_failures()] == ["/f"]


def test_a_refusal_takes_no_image_away(target, tmp_path):
    with open_toy(tmp_path / "origin") as origin:
        with origin.writing() as writer:
            writer.write(WriteBatch(failures=[Failure("/x/a", "corrupt", seen=50.0)]))
        add(target, picture("red"), "/x/a", seen=10.0)
        moved(origin, target, tmp_path)
        assert len(target) == 1
        assert list(target.stores.catalog.all_failures()) == []


# ── What does not fit ────────────────────────────────────────────────────────────────────


class OtherEncoder(ToyEncoder):
    def __init__(self):
        super().__init__(has_text=False)


def test_another_encoder_is_refused(exported, tmp_path):
    with open_toy(tmp_path / "other", OtherEncoder()) as other:
        with pytest.raises(EncoderMismatchError, match="made by toy"):
            import_index(other, exported)
        assert len(other) == 0


def test_ready_vectors_move_without_an_encoder(tmp_path):
    embeddings = tmp_path / "embeddings" / "img_emb"
    embeddings.mkdir(parents=True)
    vectors = np.random.default_rng(5).normal(size=(200, 16)).astype(np.float32)
    np.save(embeddings / "img_emb_0.npy", vectors)
    settings = Settings(decoders=1, threads=1, encoder="no such bundle")
    making = OpenOptions(dim=16, is_creating=True)
    with open_index(tmp_path / "a", making, replace(settings, encoder=None)) as engine:
        engine.index([EmbeddingsSource(embeddings.parent)])
        export_index(engine, tmp_path / "x")
        manifest = open_export(tmp_path / "x").manifest
        assert manifest.facts.space.encoder is None
        options, adapted = target_options(tmp_path / "b", manifest, None, settings)
        with open_index(tmp_path / "b", options, adapted) as other:
            report = import_index(other, tmp_path / "x")
            assert report.verification.overlap_at_10 == 1.0
            assert records_of(other) == records_of(engine)
        with open_toy(tmp_path / "toy") as toy, pytest.raises(EncoderMismatchError):
            import_index(toy, tmp_path / "x")


def test_a_new_index_gets_the_encoder_of_the_export(exported, tiny_bundle, tmp_path):
    manifest = open_export(exported).manifest
    with pytest.raises(UnknownModelError) as raised:
        target_options(tmp_path / "new", manifest, None, Settings())
    assert "--encoder" in raised.value.hint
    with pytest.raises(EncoderMismatchError, match="not the one"):
        target_options(tmp_path / "new", manifest, str(tiny_bundle), Settings())
    assert target_options(None, manifest, None, Settings())[0] == OpenOptions()


def test_a_damaged_export_writes_nothing(copied, target):
    path = copied / "sources-00000.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArchiveCorruptError, match="sources-00000"):
        import_index(target, copied)
    assert len(target) == 0
    assert list(target.stores.catalog.all_blocked()) == []


def test_a_damaged_picture_stops_the_import_which_then_goes_on(filled, copied, target, monkeypatch):
    monkeypatch.setattr("lookalike.adapters.archive_reading.BATCH_ROWS", 16)
    image = [one.id for one in filled.stores.catalog.all_records()][40]
    path = copied / "blobs" / "thumbnails" / image[:2] / image
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ArchiveCorruptError, match=image):
        import_index(target, copied)
    assert len(target) == 32
    assert all(target.thumbnail(one) for one in records_of(target))
    path.write_bytes(whole)
    assert import_index(target, copied).counts["known"] == 32
    assert_same(target, filled)


def test_objects_without_regions_come_in_to_a_ten_thousandth(filled, target, tmp_path, monkeypatch):
    catalog = filled.stores.catalog
    cat = DetectedObject("lynx", 1 / 3, (0.1, 0.1, 1 / 7, 0.5))
    listed = [replace(one, objects=(cat,) * 200) for one in catalog.all_records()]
    monkeypatch.setattr(catalog, "all_records", lambda: iter(listed))
    monkeypatch.setattr(filled.stores.regions, "has", lambda rows: np.zeros(len(rows), bool))
    export_index(filled, tmp_path / "x")
    assert import_index(target, tmp_path / "x").verification.records_differing == 0
    assert {len(one.objects) for one in records_of(target).values()} == {100}
    assert next(iter(records_of(target).values())).objects[0].score == 0.3333


def test_a_lost_vector_stops_the_export(filled, tmp_path, monkeypatch):
    vectors = filled.stores.vectors
    monkeypatch.setattr(vectors, "fetch", lambda rows: np.zeros((len(rows), DIM), np.float32))
    with pytest.raises(StoreError, match="missing or damaged"):
        export_index(filled, tmp_path / "x")


def test_an_index_that_changes_meanwhile_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "BATCH", 5)
    with open_toy(tmp_path / "a") as engine:
        for number in range(12):
            add(engine, picture("red", seed=number), f"/x/{number}", seen=1.0)
        late = iter(range(100, 200))

        def meddle(progress):
            add(engine, picture("blue", seed=next(late)), f"/y/{progress.done}", seen=1.0)
            engine.remove([image_id(picture("red", seed=11))])

        report = export_index(engine, tmp_path / "x", None, meddle)
    assert not report.manifest.facts.is_quiet
    with open_toy(tmp_path / "b") as other:
        import_index(other, tmp_path / "x")
        assert len(other) == report.images <= 12


# ── What the comparison finds ────────────────────────────────────────────────────────────


def test_a_source_that_was_lost_is_found_out(exported, target, monkeypatch):
    monkeypatch.setattr(importing._Import, "_take_failures", lambda self, failures: None)
    with pytest.raises(ArchiveMismatchError, match="2 failures are missing"):
        import_index(target, exported)


def test_wrong_answers_are_found_out(exported, target, monkeypatch):
    search = target.stores.vectors.search
    monkeypatch.setattr(
        target.stores.vectors, "search", lambda queries, *, k: search(-queries, k=k)
    )
    with pytest.raises(ArchiveMismatchError, match="of the nearest images"):
        import_index(target, exported)
    report = import_index(target, exported, ImportOptions(is_verifying=False))
    assert report.verification is None


def test_records_and_vectors_that_differ_are_found_out(exported, target, monkeypatch):
    offer = Sample.offer

    def lying(self, record, half, *, is_added):
        facts = replace(record.facts, width=record.facts.width + 1)
        offer(self, replace(record, facts=facts), np.roll(half, 1), is_added=is_added)

    monkeypatch.setattr(Sample, "offer", lying)
    with pytest.raises(ArchiveMismatchError, match=r"50 of 50 records differ; a vector differs"):
        import_index(target, exported)


# ── The document ─────────────────────────────────────────────────────────────────────────

DOCUMENT = (ROOT / "docs" / "export-format.md").read_text(encoding="utf-8")


def test_the_example_of_the_document_runs(copied, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    copied.rename(copied.parent / "backup")
    monkeypatch.chdir(copied.parent)
    exec(compile(code, "docs/export-format.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert lines[1].startswith("1.000 ")


@pytest.mark.parametrize(
    "kind", ["images", "sources", "regions", "copies", "decisions", "failures", "blocked"]
)
def test_every_column_is_described(kind):
    begin = "### failures, blocked" if kind in {"failures", "blocked"} else f"### {kind}"
    section = DOCUMENT.partition(begin + "\n")[2].partition("\n###")[0]
    described = set(re.findall(r"`(\w+)`", section))
    assert set(schema_of(kind).names) <= described


def test_everything_in_the_manifest_is_described(exported):
    manifest = json.loads((exported / "export.json").read_text())
    section = DOCUMENT.partition("## `export.json`")[2].partition("## Columns")[0]
    described = set(re.findall(r"`(\w+)`", section))
    names = {*manifest, *manifest["space"], *manifest["space"]["encoder"], *manifest["holds"]}
    assert names | {*manifest["counts"], *manifest["files"][0]} <= described


# ── The commands ─────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def index(commands, tiny_bundle, tmp_path_factory):
    root = tmp_path_factory.mktemp("commands")
    fill_folder(root / "pictures", 40)
    done = commands.run(
        "index", root / "pictures", "--index", root / "index", "--encoder", tiny_bundle, "--json"
    )
    assert done.code == 0, done.err
    return root / "index"


def ids_of(folder):
    with open_index(folder, settings=Settings(decoders=1, threads=1)) as engine:
        return set(records_of(engine))


def test_the_commands_move_an_index(commands, tiny_bundle, index, tmp_path):
    done = commands.run("export", tmp_path / "x", "--index", index, "--json")
    assert done.code == 0, done.err
    assert done.json["counts"]["images"] == done.json["images"] == 40
    assert {"images_per_s", "seconds", "bytes", "files"} <= set(done.json)
    again = commands.run("export", tmp_path / "x", "--index", index, "--json")
    assert (again.code, again.json["error"]["code"]) == (2, "usage")
    unknown = commands.run("import", tmp_path / "x", "--index", tmp_path / "new", "--json")
    assert (unknown.code, unknown.json["error"]["code"]) == (3, "unknown_model")
    assert not (tmp_path / "new").exists()
    argv = ("import", tmp_path / "x", "--index", tmp_path / "new", "--encoder", tiny_bundle)
    done = commands.run(*argv, "--json")
    assert done.code == 0, done.err
    assert (done.json["added"], done.json["exported"]["images"]) == (40, 40)
    assert done.json["verification"]["overlap_at_10"] == 1.0
    told = commands.run(*argv)
    assert "40 known" in told.out
    assert "0 missing" in told.out
    missing = commands.run("import", tmp_path / "nowhere", "--index", tmp_path / "new", "--json")
    assert (missing.code, missing.json["error"]["code"]) == (3, "archive_missing")
    assert ids_of(tmp_path / "new") == ids_of(index)


WRITER = "lookalike.adapters.archive_parquet:ParquetArchiveWriter"
EXPORTING = [
    Death(f"{WRITER}.create", "after"),
    Death(f"{WRITER}.put_blobs", "after", 2),
    Death("lookalike.adapters.archive_parquet:write_file", "after", 4),
    Death(f"{WRITER}._sync", "after"),
    Death("lookalike.adapters.archive_parquet:sync_folder", "before"),
]  # fmt: skip


@pytest.mark.crash
@pytest.mark.parametrize("death", EXPORTING, ids=lambda one: f"{one.when}-{one.target}-{one.call}")
def test_an_export_killed_in_the_middle(commands, tiny_bundle, index, tmp_path, death):
    values = {
        "lookalike.engine.exporting:BATCH": 8,
        "lookalike.adapters.archive_parquet:CHUNK_ROWS": 10,
    }
    argv = ("export", tmp_path / "x", "--index", index, "--json")
    killed = commands.run(*argv, deaths=(death,), values=values)
    assert killed.code == -9, killed.err
    is_finished = (tmp_path / "x" / "export.json").exists()
    assert is_finished == (death.target.endswith("sync_folder"))
    if not is_finished:
        refused = commands.run("import", tmp_path / "x", "--index", tmp_path / "no", "--json")
        assert (refused.code, refused.json["error"]["code"]) == (3, "archive_missing")
        done = commands.run(*argv)
        assert done.code == 0, done.err
    done = commands.run(
        "import", tmp_path / "x", "--index", tmp_path / "new", "--encoder", tiny_bundle, "--json"
    )
    assert done.code == 0, done.err
    assert ids_of(tmp_path / "new") == ids_of(index)


@pytest.fixture(scope="module")
def small(commands, index):
    """The export of a small index."""
    folder = index.parent / "x"
    done = commands.run("export", folder, "--index", index, "--json")
    assert done.code == 0, done.err
    return folder


IMPORTING = [
    Death("lookalike.wiring.embedded:write_manifest", "after"),
    Death("lookalike.engine.writer:Writer.write", "after", 2),
    Death("lookalike.adapters.vectors_faiss:FaissVectorIndex.add", "after", 3),
    Death("lookalike.adapters.blobs_obstore:ObstoreBlobStore.put_many", "after", 3),
    Death("lookalike.adapters.catalog_sqlite:SqliteCatalog.commit", "after", 4),
    Death("lookalike.adapters.text_tantivy:TantivyTextIndex.commit", "before", 2),
]


@pytest.mark.crash
@pytest.mark.parametrize("death", IMPORTING, ids=lambda one: f"{one.when}-{one.target}-{one.call}")
def test_an_import_killed_in_the_middle(commands, tiny_bundle, index, small, tmp_path, death):
    values = {"lookalike.adapters.archive_reading:BATCH_ROWS": 8}
    argv = (
        "import", small, "--index", tmp_path / "new", "--encoder", tiny_bundle, "--json",
    )  # fmt: skip
    killed = commands.run(*argv, deaths=(death,), values=values)
    assert killed.code == -9, killed.err
    before = len(ids_of(tmp_path / "new"))
    done = commands.run(*argv, values=values)
    assert done.code == 0, done.err
    assert (done.json["known"], done.json["added"]) == (before, 40 - before)
    assert done.json["verification"]["records_differing"] == 0
    assert ids_of(tmp_path / "new") == ids_of(index)
    status = commands.run("status", "--index", tmp_path / "new", "--json").json
    assert (status["images"], status["sources"], status["up_to_date"]) == (40, 40, True)


def test_the_python_interface(index, tmp_path):
    import lookalike

    with lookalike.open(index) as ix:
        assert ix.export(tmp_path / "x", thumbnails=False).images == 40
        assert json.loads((tmp_path / "x" / "export.json").read_text())["holds"] == {
            "thumbnails": False, "originals": True,
        }  # fmt: skip
        assert ix.import_(tmp_path / "x", verify=False).counts["known"] == 40
