"""What models see in pictures, from the run that looks to the answers that show it."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from lookalike.adapters.source_folder import FolderSource
from lookalike.domain.errors import CursorError
from lookalike.domain.queries import ImagePart, Query, TextPart
from lookalike.domain.query_language import parse_query
from lookalike.engine.cluster_writer import ClusterWriter
from lookalike.engine.engine import Engine
from lookalike.engine.ingest import IngestOptions
from lookalike.engine.parts import EngineParts
from lookalike.engine.repair import repair
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.manifest import Manifest, SpaceEntry, read_manifest, write_manifest
from tests.cluster_fakes import open_stores
from tests.toy import COLOURS, DIM, ToyEncoder
from tests.toy_seeing import ToyDetector, ToyOcr

COUNT = 2
"""Pictures of each colour."""


def written(folder):
    """Fill a folder with pictures of each colour; the yellow ones bear writing."""
    folder.mkdir()
    for colour in ("red", "blue", "green", "yellow", "black"):
        for number in range(COUNT):
            image = Image.new("RGB", (480, 360), COLOURS[colour])
            draw = ImageDraw.Draw(image)
            if colour == "yellow":
                font = ImageFont.load_default(size=56)
                draw.text((40, 60 + 40 * number), "NO PARKING", fill=(0, 0, 0), font=font)
            else:
                draw.rectangle((10 + 90 * number, 20, 60 + 90 * number, 60), fill=(128, 128, 128))
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            (folder / f"{number}-{colour}.png").write_bytes(buffer.getvalue())
    return folder


def seeing(engine, detector=None):
    engine._parts = replace(engine._parts, detector=detector or ToyDetector(), ocr=ToyOcr())
    return engine


def folder_engine(root):
    if not (root / "index.toml").exists():
        root.mkdir()
        write_manifest(root, Manifest(SpaceEntry("toy", DIM), NO_FEATURES))
    settings = Settings(decoders=1, threads=1)
    manifest = read_manifest(root)
    return seeing(assemble(root, manifest, ToyEncoder(), options=OpenOptions(), settings=settings))


def cluster_engine(root):
    stores = open_stores(root, DIM)
    return seeing(
        Engine(
            EngineParts(
                location="memory", index_id="m", reader=stores, open_writer=None,
                writer=ClusterWriter(stores, models={"vector": "toy"}),
                encoder=ToyEncoder(), fetcher=None, bytes_used=lambda: 0, decode_workers=1,
            )
        )
    )  # fmt: skip


@pytest.fixture(params=[folder_engine, cluster_engine], ids=["folder", "cluster"])
def engine(request, tmp_path):
    with request.param(tmp_path / "index") as engine:
        yield engine


@pytest.fixture
def filled(engine, tmp_path):
    report = engine.index([FolderSource(written(tmp_path / "pictures"))])
    assert (report.added, report.failed) == (5 * COUNT, {})
    return engine


def names(result):
    return sorted(
        hit.record.location.rsplit("-", 1)[-1].removesuffix(".png") for hit in result.hits
    )


def asked(engine, text, k=20):
    return engine.search(parse_query(text, k=k))


def test_a_record_holds_what_was_seen_and_by_whom(filled):
    (hit, *_) = asked(filled, "has:car").hits
    record = filled.record(hit.record.id)
    assert [found.label for found in record.objects] == ["dog", "car"]
    assert record.models["objects"] == "toy-detector-1"
    assert record.models["words"] == "toy-ocr"
    (sign, *_) = asked(filled, 'text:"no parking"').hits
    assert filled.record(sign.record.id).ocr_text == "NO PARKING"


def test_filters_count_what_was_seen(filled):
    assert names(asked(filled, "has:cat")) == ["red"] * COUNT
    assert names(asked(filled, "has:dog>=2")) == ["blue"] * COUNT
    assert names(asked(filled, "has:animal has:vehicle")) == ["green"] * COUNT
    assert names(asked(filled, "-has:animal")) == ["black"] * COUNT
    assert names(asked(filled, "text:parking")) == ["yellow"] * COUNT
    assert names(asked(filled, "text:o-park")) == names(asked(filled, 'text:"o park"'))


def test_hits_carry_the_objects_that_were_asked_for(filled):
    for hit in asked(filled, "has:dog has:car").hits:
        assert [one.found.label for one in hit.objects] == ["dog", "car"]
        assert hit.objects[1].found.box == (0.5, 0.0, 0.5, 0.5)


def test_read_words_come_first_and_the_others_behind(filled):
    result = asked(filled, "images containing two dogs", k=5)
    assert result.reading == ("dog ≥ 2",)
    assert result.reading_met == COUNT
    assert len(result.hits) == 5
    assert names(result)[:0] == []
    first = [hit.record.location for hit in result.hits[:COUNT]]
    assert all(place.endswith("blue.png") for place in first)
    scores = [hit.score for hit in result.hits]
    assert scores == sorted(scores, reverse=True)
    seen = [hit.record.id for hit in result.hits]
    more = filled.search(
        replace(parse_query("images containing two dogs", k=5), cursor=result.next)
    )
    assert {hit.record.id for hit in more.hits}.isdisjoint(seen)
    assert len(more.hits) == 5 * COUNT - 5


def test_a_picture_finds_objects_inside_others(filled):
    filled.catch_up()
    assert len(filled.stores.regions) == COUNT * (1 + 2 + 2 + 1)
    red = next(hit for hit in asked(filled, "has:cat").hits)
    part = ImagePart("id", red.record.id, region=(0.0, 0.0, 1.0, 1.0))
    hit = filled.search(Query(images=(part,), k=3)).hits[0]
    assert hit.parts["region"] > 0.9
    assert [one.found.label for one in hit.objects] == ["cat"]
    assert hit.objects[0].cosine == pytest.approx(hit.parts["region"], abs=1e-6)
    assert filled.status().regions == len(filled.stores.regions)


def test_objects_alone_are_found_the_nearest_first(filled):
    query = replace(parse_query("red", k=COUNT), is_of_objects=True)
    result = filled.search(query)
    near = [hit.parts["region"] for hit in result.hits]
    assert near == sorted(near, reverse=True)
    assert names(result) == ["red"] * COUNT
    more = filled.search(replace(query, k=50, cursor=result.next))
    assert "black" not in names(more), "they hold no object"
    assert result.total == 4 * COUNT
    with pytest.raises(CursorError):
        filled.search(replace(query, is_of_objects=False, cursor=result.next))


def test_a_picture_of_a_query_is_looked_at(filled, tmp_path):
    place = str(tmp_path / "pictures" / "0-yellow.png")
    seen = filled.look(ImagePart("path", place, region=(0.0, 0.0, 0.2, 0.2)))
    assert [found.label for found in seen.objects] == ["bird"]
    assert [word.text for word in seen.words] == ["NO", "PARKING"]
    seen = filled.look(ImagePart("path", place.replace("yellow", "red")))
    assert ([found.label for found in seen.objects], seen.words) == (["cat"], ())


def test_looking_again_replaces_what_was_seen(filled, tmp_path):
    seeing(filled, ToyDetector({"red": ("dog", "bird"), "black": ("cat",)}, version="2"))
    report = filled.index([FolderSource(tmp_path / "pictures")], IngestOptions(is_forced=True))
    assert report.failed == {}
    assert names(asked(filled, "has:cat")) == ["black"] * COUNT
    assert names(asked(filled, "has:bird")) == ["red"] * COUNT
    assert names(asked(filled, "has:dog>=2")) == []
    filled.catch_up()
    assert len(filled.stores.regions) == COUNT * 3
    (hit, *_) = asked(filled, "has:bird").hits
    assert filled.record(hit.record.id).models["objects"] == "toy-detector-2"
    assert names(asked(filled, "text:parking")) == ["yellow"] * COUNT


def test_a_removed_image_takes_its_objects_along(filled):
    filled.catch_up()
    before = len(filled.stores.regions)
    hit = asked(filled, "has:car").hits[0]
    assert filled.search(Query(texts=(TextPart("green"),), k=1)).hits[0].objects
    filled.remove([hit.record.id])
    filled.catch_up()
    assert len(filled.stores.regions) == before - 2
    assert names(asked(filled, "has:car")) == ["green"] * (COUNT - 1)


def test_a_run_may_look_for_nothing(engine, tmp_path):
    options = IngestOptions(is_without_objects=True, is_without_words=True)
    engine.index([FolderSource(written(tmp_path / "pictures"))], options)
    assert len(engine.stores.regions) == 0
    assert asked(engine, "has:cat").hits == []
    record = next(iter(engine.stores.catalog.all_records()))
    assert set(record.models) & {"objects", "words"} == set()


def test_a_folder_holds_it_all_when_it_is_opened_again(tmp_path):
    root, pictures = tmp_path / "index", written(tmp_path / "pictures")
    with folder_engine(root) as engine:
        engine.index([FolderSource(pictures)])
        seeing(engine, ToyDetector({"red": ("dog",)}, version="2"))
        engine.index([FolderSource(pictures)], IngestOptions(is_forced=True))
    with folder_engine(root) as again:
        assert names(asked(again, "has:dog")) == ["red"] * COUNT
        assert len(again.stores.regions) == COUNT
        vector = ToyEncoder().encode_texts(["red"])
        hits = again.stores.regions.search(vector, k=5)
        assert len(hits.rows) == COUNT
        assert (hits.scores > 0.8).all()
        found = again.search(Query(texts=(TextPart("red"),), k=1)).hits[0]
        assert [one.found.label for one in found.objects] == ["dog"]


def test_lost_regions_of_a_cluster_are_mended_from_its_blobs(tmp_path):
    with cluster_engine(tmp_path / "index") as engine:
        engine.index([FolderSource(written(tmp_path / "pictures"))])
        regions = engine.stores.regions
        before = len(regions)
        rows = np.asarray([one.row for one in engine.stores.catalog.all_records()], np.int64)
        regions.remove(rows)
        assert len(regions) == 0
        repair(engine.stores, after=None)
        assert len(regions) == before
        assert names(asked(engine, "has:dog>=2")) == ["blue"] * COUNT
