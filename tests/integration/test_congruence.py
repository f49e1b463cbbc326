"""Both deployments answer alike: the same thousand photographs, two hundred questions."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from lookalike.adapters.bundle_files import load_bundle
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.domain.filters import ASPECTS, SIZES, TYPES, Between, Filter, OneOf
from lookalike.domain.images import COLOR_NAMES, Source
from lookalike.domain.queries import ImagePart, Query
from lookalike.domain.query_language import parse_query
from lookalike.ports.source import SourceItem
from lookalike.ranking.rrf import ReciprocalRankFusion
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.manifest import Manifest, SpaceEntry, write_manifest
from tests import real_cluster

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
IMAGES = 1000
QUERIES = 200
K = 20
SITES = ("example.org", "photos.example.org", "example.net", "museum.test")
LICENCES = ("unknown", "cc0", "cc-by-4.0", "cc-by-nc-2.0", "all-rights-reserved")
TOLERANCE = 0.012
"""Of a fused score: two ranks at the head of both paths, which near-equal cosines may swap."""


class Remembering:
    """An encoder that encodes each picture once, for both deployments."""

    def __init__(self, encoder):
        self._encoder, self._seen = encoder, {}

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def encode_images(self, pixels):
        keys = [one.tobytes() for one in pixels]
        fresh = [at for at, key in enumerate(keys) if hash(key) not in self._seen]
        if fresh:
            for at, vector in zip(fresh, self._encoder.encode_images(pixels[fresh]), strict=True):
                self._seen[hash(keys[at])] = vector
        return np.stack([self._seen[hash(key)] for key in keys])


def photographs():
    """Return (bytes, caption) of a thousand: the data's photographs, else the samples cut anew."""
    found = []
    for folder in (DATA / "coco", DATA / "open-licensed", DATA / "flickr8k", ROOT / "samples"):
        labels = folder / "labels.jsonl"
        labels = labels if labels.exists() else folder / "samples.jsonl"
        if not labels.exists():
            continue
        for line in labels.read_text(encoding="utf-8").splitlines():
            label = json.loads(line)
            said = [*label.get("captions", ()), label.get("alt_text"), label.get("title"), ""]
            caption = next(one for one in said if one is not None)
            path = folder / (label.get("file") or label["path"])
            if path.is_file():
                found.append((path, caption))
    found = [(path.read_bytes(), caption) for path, caption in found[:IMAGES]]
    return found + [cut(found[n % len(found)], n) for n in range(IMAGES - len(found))]


def cut(photograph, number):
    """Return another picture made of one: a part of it, under its caption."""
    import io

    from PIL import Image

    data, caption = photograph
    rng = random.Random(number)
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        left, top = rng.randrange(width // 3), rng.randrange(height // 3)
        box = (left, top, left + width // 2, top + height // 2)
        buffer = io.BytesIO()
        image.convert("RGB").crop(box).save(buffer, "JPEG", quality=90)
    return buffer.getvalue(), f"{caption} {number}"


def items():
    rng = random.Random(4)
    for number, (data, caption) in enumerate(photographs()):
        yield SourceItem(
            Source(
                f"https://{rng.choice(SITES)}/{number}.jpg",
                site=rng.choice(SITES),
                caption=caption if number % 4 else "",
                alt_text=caption if number % 4 == 1 else "",
                page_text=f"page of picture {number}" if number % 7 == 0 else "",
                licence=rng.choice(LICENCES),
                taken=1.5e9 + rng.randrange(10**8) if number % 3 else None,
                seen=1.7e9 + number,
            ),
            "data",
            data=data,
        )


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Return both engines, filled alike."""
    folder = tmp_path_factory.mktemp("congruence")
    config = real_cluster.write_config(folder)
    bundle = load_bundle("lite")
    encoder = Remembering(OnnxEncoder(bundle, threads=2))
    space = SpaceEntry("lite", bundle.dim, "lite", bundle.fingerprint)
    real_cluster.make(config, space)
    root = folder / "index"
    root.mkdir()
    manifest = Manifest(space, NO_FEATURES)
    write_manifest(root, manifest)
    chosen = Settings(decoders=2, threads=2)
    with (
        assemble(root, manifest, encoder, options=OpenOptions(), settings=chosen) as embedded,
        real_cluster.opened(config, encoder) as cluster,
    ):
        given_items = list(items())
        for engine in (embedded, cluster):
            for at in range(0, len(given_items), 250):
                assert all(
                    one.id for one in engine.add(given_items[at : at + 250], is_keeping=False)
                )
        cluster.optimize()
        for engine in (embedded, cluster):
            engine.use_ranker(ReciprocalRankFusion(rrf_k=60.0))  # see test_congruence_seen.py
        # Removed documents count in BM25 until they are merged away; a retried batch leaves some.
        server, alias = cluster.stores.texts._server, cluster.stores.texts._alias
        server.call("POST", f"/{alias}/_forcemerge", params={"max_num_segments": "1"})
        yield embedded, cluster


class Questions:
    """Words, captions and ids that queries are made of."""

    def __init__(self, words, captions, ids):
        self.words, self.captions, self.ids = words, captions, ids


@pytest.fixture(scope="module")
def questions(pair):
    """Return words, ids and a way to ask both, that queries are made of."""
    embedded, _ = pair
    records = list(embedded.stores.catalog.all_records())
    captions = [r.sources[0].caption for r in records if r.sources[0].caption]
    words = sorted({word for text in captions for word in text.lower().split() if word.isalpha()})
    return Questions(words, captions, [record.id for record in records])


def one_of(name, values):
    """Return the strategy of a condition on a word field."""
    chosen = st.sets(st.sampled_from(values), min_size=1, max_size=2).map(frozenset)
    return st.builds(OneOf, st.just(name), chosen, st.booleans())


def between(names, lows, highs):
    """Return the strategy of a condition on a number."""
    low, high = (st.none() | st.sampled_from(bounds) for bounds in (lows, highs))
    return st.builds(Between, st.sampled_from(names), low, high, st.booleans())


CONDITIONS = st.one_of(
    one_of("color", COLOR_NAMES),
    one_of("type", TYPES),
    one_of("aspect", ASPECTS),
    one_of("size", SIZES),
    one_of("site", SITES),
    one_of("licence", [*LICENCES, "cc", "open", "commercial", "cc-by"]),
    between(
        ["width", "height", "pixels", "bytes"], [200, 320, 10_000, 60_000],
        [400, 640, 50_000, 200_000],
    ),
    between(["taken"], [1.52e9, 1.55e9], [1.58e9, 1.7e9]),
)  # fmt: skip
FILTERS = st.lists(CONDITIONS, max_size=3).map(lambda conditions: Filter(tuple(conditions)))


KINDS = ("words", "caption", "phrase", "without", "picture", "both")
PICKS = st.lists(st.integers(0, 10**6), min_size=6, max_size=6)
"""Numbers that pick words, captions and pictures out of what was indexed."""


def made_query(questions, kind, picks, filter_):
    """Return words, a caption, a phrase, a refusal, a stored picture, or a mix of them."""
    words, captions, ids = questions.words, questions.captions, questions.ids
    some = " ".join(words[pick % len(words)] for pick in picks[: 1 + picks[5] % 3])
    caption = captions[picks[3] % len(captions)].replace('"', "")
    text = {
        "caption": caption,
        "phrase": f'"{" ".join(caption.split()[:2])}"',
        "without": f"{some} -{words[picks[4] % len(words)]}",
        "picture": "",
    }.get(kind, some)
    query = parse_query(" ".join(word for word in text.split() if ":" not in word) or some, k=K)
    is_picture = kind in {"picture", "both"}
    images = (ImagePart("id", ids[picks[4] % len(ids)]),) if is_picture else ()
    if kind == "picture":
        query = Query(k=K)
    return replace(
        query, source=text, images=images, filter=filter_, k=K, deadline_ms=20_000
    )  # fmt: skip


def every_id(engine, filter_):
    """Return all ids that a filter alone selects, over all pages."""
    ids, cursor = [], None
    while True:
        page = engine.search(Query(filter=filter_, k=1000, cursor=cursor))
        ids += [hit.record.id for hit in page.hits]
        if page.next is None:
            assert len(ids) == page.total
            return ids
        cursor = page.next


def test_the_same_images_stand_in_both(pair):
    embedded, cluster = pair
    ours = {one.id: one for one in embedded.stores.catalog.all_records()}
    theirs = {one.id: one for one in cluster.stores.catalog.all_records()}
    assert ours.keys() == theirs.keys()
    for image, one in ours.items():
        other = theirs[image]
        assert (one.facts, one.sources, one.first_seen) == (
            other.facts, other.sources, other.first_seen
        )  # fmt: skip
    assert len(embedded) == len(cluster)


@seed(20)
@settings(max_examples=QUERIES, deadline=None, database=None, phases=[Phase.generate])
@given(kind=st.sampled_from(KINDS), picks=PICKS, filter_=FILTERS)
def test_both_answer_alike(pair, questions, kind, picks, filter_):
    embedded, cluster = pair
    query = made_query(questions, kind, picks, filter_)
    selected = None
    if filter_:
        selected = [every_id(engine, filter_) for engine in pair]
        assert sorted(selected[0]) == sorted(selected[1])
        assert len(set(selected[1])) == len(selected[1])
    ours, theirs = embedded.search(query), cluster.search(query)
    assert not ours.degraded
    assert not theirs.degraded
    assert_alike(ours, theirs)
    if selected:
        assert {hit.record.id for hit in theirs.hits} <= set(selected[0])


def assert_alike(ours, theirs):
    """The same hits in the same order, but for neighbours whose scores nearly tie."""
    assert len(ours.hits) == len(theirs.hits)
    mine = {hit.record.id: hit for hit in ours.hits}
    others = {hit.record.id: hit for hit in theirs.hits}
    for image in mine.keys() & others.keys():
        one, other = mine[image].parts, others[image].parts
        assert one.keys() == other.keys()
        if "cosine" in one:
            assert one["cosine"] == pytest.approx(other["cosine"], abs=2e-3)
        if "bm25" in one:
            assert one["bm25"] == pytest.approx(other["bm25"], rel=5e-3, abs=1e-3)
    for hits, rest in ((ours.hits, others), (theirs.hits, mine)):
        for hit in hits:
            if hit.record.id not in rest:  # then it lies at the edge of the page
                assert hit.score - hits[-1].score <= TOLERANCE
    common = [hit.record.id for hit in ours.hits if hit.record.id in others]
    ranked = sorted(common, key=lambda image: -others[image].score)
    for image, other in zip(common, ranked, strict=True):
        assert abs(others[image].score - others[other].score) <= TOLERANCE


def test_most_answers_are_equal_to_the_letter(pair, questions):
    """The tolerance above is not used up: nearly all pages hold the same hits in one order."""
    embedded, cluster = pair
    captions, ids = questions.captions, questions.ids
    rng = random.Random(7)
    queries = [parse_query(rng.choice(captions).replace('"', ""), k=K) for _ in range(25)]
    queries += [Query(images=(ImagePart("id", rng.choice(ids)),), k=K) for _ in range(25)]
    overlaps = []
    for query in queries:
        ours = [hit.record.id for hit in embedded.search(query).hits]
        theirs = [hit.record.id for hit in cluster.search(query).hits]
        overlaps.append(len(set(ours) & set(theirs)) / K)
    assert np.mean(overlaps) >= 0.98
