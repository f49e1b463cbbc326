"""Both deployments see alike: objects, words in pictures, regions, and groups of copies."""

import io
from dataclasses import replace

import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps

from lookalike.adapters.bundle_files import load_bundle
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.domain.images import Source, image_id
from lookalike.domain.queries import ImagePart, Query
from lookalike.domain.query_language import parse_query
from lookalike.ports.source import SourceItem
from lookalike.ranking.rrf import ReciprocalRankFusion
from lookalike.settings import Settings
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.manifest import Manifest, SpaceEntry, write_manifest
from tests import real_cluster
from tests.photographs import names, sample

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(300)]

STEADY = ReciprocalRankFusion(rrf_k=60.0)
"""Orders alike where two cosines nearly tie; the usual constant makes much of who is first."""

COPIED = ("coco-041888.jpg", "taj-mahal.jpg", "coco-125870.jpg", "great-wall.jpg")
QUERIES = (
    "has:person", "has:person>=2", "has:person -has:car", "has:animal", "has:vehicle",
    "two people", "a person and a car", "images containing dogs", "photo of a cat", "penguin",
    "umbrella", 'text:"no parking"', "text:parking", "text:park", "-text:parking street",
    "open late", "person type:photo", "color:blue has:person",
)  # fmt: skip

LANGUAGE = (
    "taj mahal", '"taj mahal"', '"great wall" -small', "wall -mirrored", '-"great wall" person',
    '2:wall 0.5:"at night"', "-0.3:people street", "great + wall - people", "mosntain wall",
    "color:blue", "color:#000080~20", "color:#8b0000~20", "-color:#ffffff~10 wall",
    "color:red,#0000ff~25", "type:photo", "-type:clipart,lineart", "licence:cc", "licence:cc0",
    "licence:commercial", "licence:modify", "licence:modification", "-licence:cc", "size:small",
    "size:medium,large", "aspect:wide", "aspect:tall,square", "width:>600", "height:..480",
    "pixels:>0.1mp", "bytes:<60k", "date:2018", "date:2017-08..2018-03", "since:2018 until:2018",
    "seen:2023", "site:example.net", "-site:museum.test wall", "wall licence:open color:blue,grey",
    'text:"parking" color:#000080~20 -has:person', "has:person licence:cc date:>2017",
)  # fmt: skip
"""Every construct of the query language at least once."""

SITES = ("example.org", "photos.example.org", "example.net", "museum.test")
LICENCES = ("cc0", "cc-by-4.0", "cc-by-nc-nd-2.0", "all-rights-reserved", "unknown")


def source_of(name, at):
    """Return where a picture comes from, with words for most, and a licence, site and date."""
    words = name.rpartition(".")[0].replace("-", " ")
    return Source(
        f"https://{SITES[at % 4]}/{at}.jpg", site=SITES[at % 4], caption=words if at % 4 else "",
        alt_text="" if at % 4 else words, licence=LICENCES[at % 5], taken=1.5e9 + at * 5e5,
        seen=1.7e9 + at,
    )  # fmt: skip


def encoded(image, **options):
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", **options)
    return buffer.getvalue()


def sign(words, colour):
    image = Image.new("RGB", (640, 420), colour)
    font = ImageFont.load_default(size=84)
    ImageDraw.Draw(image).text((50, 150), words, fill="white", font=font)
    return encoded(image, quality=92)


def pictures():
    """Return pictures by name: photographs, four edits of some of them, and signs."""
    found = {name: sample(name) for name in names()[::6]} | {name: sample(name) for name in COPIED}
    for name in COPIED:
        with Image.open(io.BytesIO(sample(name))) as image:
            whole = image.convert("RGB")
        width, height = whole.size
        cut = (width // 12, height // 12, width - width // 12, height - height // 12)
        found |= {
            f"small-{name}": encoded(whole.resize((width // 2, height // 2)), quality=70),
            f"mirrored-{name}": encoded(ImageOps.mirror(whole), quality=50),
            f"turned-{name}": encoded(whole.transpose(Image.Transpose.ROTATE_90), quality=50),
            f"cut-{name}": encoded(whole.crop(cut), quality=50),
        }
    signs = {"no-parking": ("NO PARKING", "navy"), "late": ("OPEN LATE", "darkred")}
    return found | {f"{name}.jpg": sign(*how) for name, how in signs.items()}


@pytest.fixture(scope="module")
def shown():
    return pictures()


@pytest.fixture(scope="module")
def pair(tmp_path_factory, shown):
    """Return both engines, with everything on, filled alike."""
    folder = tmp_path_factory.mktemp("congruence-seen")
    config = real_cluster.write_config(folder, encoder="lite")
    bundle = load_bundle("lite")
    encoder = OnnxEncoder(bundle, threads=2)
    space = SpaceEntry("lite", bundle.dim, "lite", bundle.fingerprint)
    real_cluster.make(config, space)
    root = folder / "index"
    root.mkdir()
    manifest = Manifest(space)
    write_manifest(root, manifest)
    chosen = Settings(decoders=1, threads=2)
    items = [
        SourceItem(source_of(name, at), "data", data=data)
        for at, (name, data) in enumerate(shown.items())
    ]
    with (
        assemble(root, manifest, encoder, options=OpenOptions(), settings=chosen) as embedded,
        real_cluster.opened(config, encoder) as cluster,
    ):
        for engine in (embedded, cluster):
            for at in range(0, len(items), 32):
                assert all(one.id for one in engine.add(items[at : at + 32], is_keeping=False))
            engine.optimize()
            engine.use_ranker(STEADY)
        server, alias = cluster.stores.texts._server, cluster.stores.texts._alias
        server.call("POST", f"/{alias}/_forcemerge", params={"max_num_segments": "1"})
        yield embedded, cluster


def groups(engine):
    """Return each group of copies as the id that stands for it, and all of its ids."""
    return {
        (group.members[0][0].id, frozenset(record.id for record, _ in group.members))
        for group in engine.copies.groups()
    }


@pytest.fixture(scope="module")
def grouped(pair):
    """Return the ids of each image's group of copies."""
    return {image: members for _, members in groups(pair[0]) for image in members}


def test_the_same_things_are_seen(pair):
    ours, theirs = ({one.id: one for one in engine.stores.catalog.all_records()} for engine in pair)
    assert ours.keys() == theirs.keys()
    for image, one in ours.items():
        other = theirs[image]
        assert (one.facts, one.objects, one.words) == (other.facts, other.objects, other.words)
    assert sum(len(one.objects) for one in ours.values()) > 30
    assert sum(bool(one.words) for one in ours.values()) >= 2
    assert pair[0].status().regions == pair[1].status().regions > 25


@pytest.mark.parametrize("words", [*QUERIES, *LANGUAGE])
def test_words_are_answered_alike(pair, grouped, words):
    query = replace(parse_query(words, k=15), deadline_ms=20_000)
    is_listing = not (query.texts or query.match)
    if is_listing:  # its order is each deployment's own
        query = replace(query, k=500)
    ours, theirs = (engine.search(query) for engine in pair)
    assert (ours.degraded, theirs.degraded) == ((), ())
    assert ours.reading == theirs.reading
    assert ours.hits or words in QUERIES
    assert ours.no_good_match == theirs.no_good_match
    if is_listing:
        assert {hit.record.id for hit in ours.hits} == {hit.record.id for hit in theirs.hits}
    assert_alike(ours.hits, theirs.hits, grouped)


def assert_alike(ours, theirs, grouped):
    """The same hits but for near ties, at the page's edge or of copies, with the same boxes.

    What was replaced counts in BM25 until it is merged away, so that copies may change places.
    """
    assert len(ours) == len(theirs)
    others = {hit.record.id: hit for hit in theirs}
    shown_groups = {grouped.get(hit.record.id) for hit in theirs if hit.copies}
    for hit in ours:
        if (other := others.get(hit.record.id)) is None:
            if hit.copies and grouped.get(hit.record.id) in shown_groups:
                continue
            assert hit.score - ours[-1].score <= 0.012
            continue
        assert hit.copies == other.copies
        assert hit.score == pytest.approx(other.score, abs=0.012)
        for part in hit.parts.keys() & other.parts.keys() & {"cosine", "region"}:
            assert hit.parts[part] == pytest.approx(other.parts[part], abs=2e-3)


def test_pictures_beside_words_are_answered_alike(pair, grouped, shown):
    first, second = (image_id(shown[name]) for name in COPIED[:2])
    for words in (f"img:{first} 2:night", f"img:{first} + people - img:{second}"):
        query = replace(parse_query(words, k=15), deadline_ms=20_000)
        ours, theirs = (engine.search(query) for engine in pair)
        assert_alike(ours.hits, theirs.hits, grouped)
    judged = Query(more=(first,), less=(second,), k=15, deadline_ms=20_000)
    ours, theirs = (engine.search(judged) for engine in pair)
    assert_alike(ours.hits, theirs.hits, grouped)


def test_a_region_finds_the_same_objects(pair, grouped, shown):
    record = next(one for one in pair[0].stores.catalog.all_records() if one.objects)
    data = next(data for data in shown.values() if image_id(data) == record.id)
    part = ImagePart("data", data=data, region=record.objects[0].box)
    for is_of_objects in (False, True):
        query = Query(images=(part,), k=10, is_of_objects=is_of_objects, deadline_ms=20_000)
        ours, theirs = (engine.search(query) for engine in pair)
        assert_alike(ours.hits, theirs.hits, grouped)
        assert ours.hits[0].record.id == theirs.hits[0].record.id


def test_copies_are_grouped_and_decided_on_alike(pair, shown):
    embedded, cluster = pair
    assert groups(embedded) == groups(cluster)
    grouped = {image for _, members in groups(embedded) for image in members}
    for name in COPIED:
        for edit in ("", "small-", "mirrored-", "turned-", "cut-"):
            assert image_id(shown[edit + name]) in grouped, f"{edit}{name}"
    first, second = (image_id(shown[name]) for name in COPIED[:2])
    steps = (
        lambda copies: copies.merge([first, second]),
        lambda copies: copies.keep(second),
        lambda copies: copies.split([image_id(shown[f"small-{COPIED[2]}"])]),
        lambda copies: copies.undo(),
        lambda copies: copies.undo(),
        lambda copies: copies.undo(),
        lambda copies: copies.regroup(),
    )
    before = groups(embedded)
    for step in steps:
        for engine in pair:
            step(engine.copies)
        assert groups(embedded) == groups(cluster)
    assert groups(embedded) == before


def test_copies_of_a_new_picture_are_found_alike(pair, shown):
    with Image.open(io.BytesIO(shown[COPIED[3]])) as image:
        brighter = encoded(image.point(lambda value: min(255, value * 5 // 4)), quality=45)
    found = [
        [one.record.id for one in engine.copies.of_picture(ImagePart("data", data=brighter))]
        for engine in pair
    ]
    assert set(found[0]) == set(found[1])
    assert image_id(shown[COPIED[3]]) in found[0]
