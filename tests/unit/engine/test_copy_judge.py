"""The cascade on real photographs: copies are found, others are not, nothing crashes it."""

import io
import random
import threading
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFilter

from lookalike.domain.copies import judge
from lookalike.domain.errors import UnknownNameError
from lookalike.engine.copy_judge import CandidatePair, CopyJudge
from lookalike.imaging.examine import ExaminePlan, examine

SAMPLES = Path(__file__).parents[3] / "samples/images"
NAMES = ("big-ben.jpg", "chocolate-hills-overview.jpg", "bridalveil-fall-and-valley.jpg")


def to_jpeg(image, quality=85):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def captioned(image):
    out = image.copy()
    draw = ImageDraw.Draw(out)
    for row in range(2):
        y = image.height * (0.05 + 0.8 * row)
        draw.text((10, y), "one does not simply", fill="white", stroke_fill="black", stroke_width=2)
    return out


def centre(image, share):
    width, height = image.size
    margin = (1 - share) / 2
    return image.crop(
        (
            round(width * margin),
            round(height * margin),
            round(width * (1 - margin)),
            round(height * (1 - margin)),
        )
    )


def framed(image):
    out = Image.new("RGB", (image.width + 60, image.height + 60), (255, 255, 255))
    out.paste(image, (30, 30))
    return out


COPIES = {
    "jpeg": (lambda image: Image.open(io.BytesIO(to_jpeg(image, 30))), "encoded anew"),
    "quarter": (lambda image: image.resize((image.width // 4, image.height // 4)), "resized"),
    "crop": (lambda image: centre(image, 0.75), "cropped to 56 %"),
    "border": (framed, "with a border"),
    "caption": (captioned, "same picture"),
    "grey": (lambda image: image.convert("L").convert("RGB"), "recoloured"),
    "blur": (lambda image: image.filter(ImageFilter.GaussianBlur(2)), "same picture"),
    "mirror": (lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "mirrored"),
    "turn": (lambda image: image.transpose(Image.Transpose.ROTATE_90), "turned by 90°"),
    "tilt": (lambda image: image.rotate(6, Image.Resampling.BICUBIC), "turned by 6°"),
}


class Shelf:
    """Facts and thumbnails by name, with every reading of a thumbnail counted."""

    def __init__(self):
        self.facts, self.thumbnails, self.reads = {}, {}, []

    def put(self, name, image):
        found = examine(to_jpeg(image), plan=ExaminePlan())
        self.facts[name] = found.facts
        self.thumbnails[found.facts.id] = found.thumbnail
        return found.facts

    def thumbnail(self, image):
        self.reads.append(image)
        return self.thumbnails.get(image)


@pytest.fixture(scope="module")
def originals():
    loaded = {}
    for name in NAMES:
        image = Image.open(SAMPLES / name).convert("RGB")
        image.thumbnail((400, 400))
        loaded[name] = image
    return loaded


@pytest.fixture(scope="module")
def full(originals):
    shelf = Shelf()
    for name, image in originals.items():
        shelf.put(name, image)
    return shelf


@pytest.fixture
def shelf(full):
    own = Shelf()
    own.facts, own.thumbnails = dict(full.facts), dict(full.thumbnails)
    return own


@pytest.mark.parametrize("change", COPIES)
def test_a_copy_is_told_with_what_was_done_to_it(shelf, originals, change):
    apply, words = COPIES[change]
    copies = [
        (name, shelf.put(f"{change} {name}", apply(image))) for name, image in originals.items()
    ]
    judge = CopyJudge(shelf.thumbnail, "balanced")
    verdicts = judge.judge([CandidatePair(copy, shelf.facts[name], 0.85) for name, copy in copies])
    assert [verdict.is_copy for verdict in verdicts] == [True, True, True]
    assert sum(words in verdict.reason for verdict in verdicts) >= 2, verdicts


def test_other_pictures_are_no_copies(shelf):
    pairs = [
        CandidatePair(shelf.facts[one], shelf.facts[other], 0.8)
        for one in NAMES
        for other in NAMES
        if one != other
    ]
    verdicts = CopyJudge(shelf.thumbnail, "lenient").judge(pairs)
    assert not any(verdict.is_copy for verdict in verdicts)
    assert {verdict.reason for verdict in verdicts} == {"different pictures"}


def test_the_same_image_is_the_same_bytes_and_nothing_is_read(shelf):
    facts = shelf.facts[NAMES[0]]
    (verdict,) = CopyJudge(shelf.thumbnail, "strict").judge([CandidatePair(facts, facts)])
    assert verdict.reason == "same bytes"
    assert shelf.reads == []


def test_a_hopeless_pair_is_not_looked_at(shelf):
    pair = CandidatePair(shelf.facts[NAMES[0]], shelf.facts[NAMES[1]], 0.05)
    assert not CopyJudge(shelf.thumbnail).judge([pair])[0].is_copy
    assert shelf.reads == []


def test_verdicts_do_not_depend_on_order_threads_or_memory(shelf, originals):
    crops = [shelf.put(f"crop {name}", centre(originals[name], 0.7)) for name in NAMES[:2]]
    pairs = [CandidatePair(crop, shelf.facts[name], 0.7) for crop in crops for name in NAMES]
    expected = CopyJudge(shelf.thumbnail, threads=1).judge(pairs)
    order = list(range(len(pairs)))
    random.Random(3).shuffle(order)
    shuffled = CopyJudge(shelf.thumbnail, threads=3, kept=2).judge([pairs[n] for n in order])
    assert [shuffled[order.index(n)] for n in range(len(pairs))] == expected


def test_a_thumbnail_is_read_once_for_many_candidates(shelf, originals):
    crop = shelf.put("crop", centre(originals[NAMES[0]], 0.7))
    judge = CopyJudge(shelf.thumbnail, threads=1)
    judge.judge([CandidatePair(crop, shelf.facts[name], 0.7) for name in NAMES])
    judge.judge([CandidatePair(crop, shelf.facts[name], 0.7) for name in NAMES])
    assert sorted(shelf.reads) == sorted({crop.id, *(shelf.facts[n].id for n in NAMES)})


def test_no_more_is_kept_than_was_allowed(shelf):
    judge = CopyJudge(shelf.thumbnail, threads=1, kept=2)
    pair = CandidatePair(shelf.facts[NAMES[0]], shelf.facts[NAMES[1]], 0.7)
    judge.judge([pair, CandidatePair(shelf.facts[NAMES[2]], shelf.facts[NAMES[1]], 0.7)])
    shelf.reads.clear()
    judge.judge([pair])
    assert shelf.facts[NAMES[0]].id in shelf.reads


@pytest.mark.parametrize("data", [None, b"", b"junk", b"\xff\xd8\xff\xe0" + b"\0" * 200])
def test_missing_and_broken_thumbnails_leave_hashes_and_embedding(shelf, originals, data):
    copy = shelf.put("copy", originals[NAMES[0]].resize((300, 300)))
    shelf.thumbnails[copy.id] = data
    judge = CopyJudge(shelf.thumbnail, "balanced")
    near, far = judge.judge(
        [
            CandidatePair(copy, shelf.facts[NAMES[0]], 0.985),
            CandidatePair(copy, shelf.facts[NAMES[1]], 0.5),
        ]
    )
    assert near.is_copy
    assert near.stage == "hash"
    assert not far.is_copy


def test_what_a_store_raises_goes_to_the_caller(shelf):
    def broken(_):
        raise ConnectionError("no store")

    pair = CandidatePair(shelf.facts[NAMES[0]], shelf.facts[NAMES[1]], 0.7)
    with pytest.raises(ConnectionError):
        CopyJudge(broken).judge([pair, pair])


def test_a_query_picture_that_is_not_stored_is_judged_alike(shelf, originals):
    buffer = io.BytesIO()
    centre(originals[NAMES[1]], 0.8).save(buffer, "PNG")
    crop = examine(buffer.getvalue(), plan=ExaminePlan())
    candidates = [(shelf.facts[name], 0.8) for name in NAMES]
    judging = CopyJudge(shelf.thumbnail, "balanced")
    found = judging.evidence_of_picture(crop.facts, crop.thumbnail, candidates)
    verdicts = [judge(one, "balanced") for one in found]
    assert [verdict.is_copy for verdict in verdicts] == [False, True, False]
    assert "cropped to 64 %" in verdicts[1].reason
    (unread, *_) = judging.evidence_of_picture(crop.facts, b"no picture", candidates)
    assert not judge(unread, "balanced").is_copy
    assert judging.evidence_of_picture(crop.facts, crop.thumbnail, []) == []
    facts, thumbnail = shelf.facts[NAMES[0]], shelf.thumbnail(shelf.facts[NAMES[0]].id)
    (same, _, _) = judging.evidence_of_picture(facts, thumbnail, candidates)
    assert same.is_same_bytes


def test_several_threads_may_share_one_judge(shelf, originals):
    crops = [shelf.put(f"crop {name}", centre(image, 0.8)) for name, image in originals.items()]
    pairs = [CandidatePair(crop, shelf.facts[n], 0.8) for crop, n in zip(crops, NAMES, strict=True)]
    judge = CopyJudge(shelf.thumbnail, kept=2)
    expected = judge.judge(pairs)
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(judge.judge(pairs))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 2


def test_an_unknown_strictness_is_refused_at_once(shelf):
    with pytest.raises(UnknownNameError):
        CopyJudge(shelf.thumbnail, "harsh")
