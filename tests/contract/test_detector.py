"""What every detector promises (ports/detector.py), kept by each design that can be loaded."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.adapters.bundle_files import load_bundle
from lookalike.adapters.detector_onnx import OnnxDetector
from lookalike.domain.errors import BundleError, MissingFileError
from tests.tiny_detector import LABELS, make_detector

SAMPLES = Path(__file__).parents[2] / "samples" / "images"
TOLERANCE = 1e-4
SHAPES = [(64, 64), (48, 96), (200, 31), (1, 1), (1, 300), (300, 1), (640, 480)]


@pytest.fixture(
    scope="module",
    params=["yolox-nano", "tiny", "tiny-one-at-a-time", "yolov5", "yolov8", "yolov10"],
)
def detector(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    match request.param:
        case "yolox-nano":
            bundle = load_bundle("yolox-nano")
        case "tiny":
            bundle = load_bundle(make_detector(folder))
        case "tiny-one-at-a-time":
            bundle = load_bundle(make_detector(folder, batch=1))
        case design:
            bundle = load_bundle(make_detector(folder, architecture=design, batch=2, settings=""))
    return OnnxDetector(bundle, threads=1)


@pytest.fixture(scope="module")
def pictures():
    """Squares of pure colours, and a real photograph at several shapes."""
    rng = np.random.default_rng(0)
    photograph = Image.open(SAMPLES / "coco-007281.jpg").convert("RGB")
    made = []
    for number, (height, width) in enumerate(SHAPES):
        if number % 2:
            made.append(np.asarray(photograph.resize((width, height))))
            continue
        blocks = np.eye(3, dtype=np.uint8)[rng.integers(0, 3, (2, 2))] * 255
        grown = blocks.repeat(-(-height // 2), 0).repeat(-(-width // 2), 1)
        made.append(np.ascontiguousarray(grown[:height, :width]))
    return made


def check_alike(one, two):
    """Compare two answers for one picture up to rounding."""
    assert [found.label for found in one] == [found.label for found in two]
    for left, right in zip(one, two, strict=True):
        assert left.score == pytest.approx(right.score, abs=TOLERANCE)
        assert left.box == pytest.approx(right.box, abs=TOLERANCE)


def test_something_is_found(detector, pictures):
    assert any(detector.detect(pictures))


def test_objects_are_in_bounds_and_in_order(detector, pictures):
    for objects in detector.detect(pictures):
        keys = [(-found.score, found.label, found.box) for found in objects]
        assert keys == sorted(keys)
        for found in objects:
            x, y, width, height = found.box
            assert found.label in detector.labels
            assert 0 < found.score <= 1
            assert x >= 0
            assert y >= 0
            assert width > 0
            assert height > 0
            assert x + width <= 1
            assert y + height <= 1


def test_answers_come_in_the_order_given(detector, pictures):
    forth, back = detector.detect(pictures), detector.detect(pictures[::-1])
    assert len(forth) == len(pictures)
    for one, two in zip(forth, reversed(back), strict=True):
        check_alike(one, two)


def test_a_batch_gives_what_its_members_give_alone(detector, pictures):
    many = pictures * 4
    together = detector.detect(many)
    alone = [detector.detect([picture])[0] for picture in pictures]
    for number, found in enumerate(together):
        check_alike(found, alone[number % len(pictures)])


def test_arguments_are_not_changed(detector, pictures):
    given = [picture.copy() for picture in pictures]
    for picture in given:
        picture.flags.writeable = False
    detector.detect(given)
    for picture, before in zip(given, pictures, strict=True):
        np.testing.assert_array_equal(picture, before)


def test_nothing_gives_nothing(detector):
    assert detector.detect([]) == []


def test_threads_may_share_a_detector(detector, pictures):
    expected = detector.detect(pictures)
    with ThreadPoolExecutor(4) as pool:
        for answers in pool.map(lambda _: detector.detect(pictures), range(4)):
            for one, two in zip(answers, expected, strict=True):
                check_alike(one, two)


def test_strided_pictures_are_taken(detector, pictures):
    mirrored = pictures[0][:, ::-1]
    check_alike(detector.detect([mirrored])[0], detector.detect([mirrored.copy()])[0])


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((1, 64, 64, 3), np.uint8),
        np.zeros((0, 64, 3), np.uint8),
    ],
    ids=["grey", "alpha", "floats", "batch", "empty"],
)
def test_other_arrays_are_refused(detector, wrong):
    with pytest.raises(ValueError, match="a picture must"):
        detector.detect([wrong])


def test_side_and_fingerprint(detector):
    assert detector.side >= 32
    assert len(detector.fingerprint) == 32
    assert len(set(detector.labels)) == len(detector.labels)


@pytest.mark.parametrize("missing", ["detector.onnx", "labels.txt"])
def test_nothing_is_loaded_before_the_first_call(tmp_path, missing):
    folder = make_detector(tmp_path / "tiny")
    detector = OnnxDetector(load_bundle(folder))
    (folder / missing).unlink()
    with pytest.raises(MissingFileError, match=missing):
        detector.detect([np.zeros((64, 64, 3), np.uint8)])


def test_a_file_that_is_no_model_is_a_typed_error(tmp_path):
    folder = make_detector(tmp_path / "tiny")
    detector = OnnxDetector(load_bundle(folder))
    (folder / "detector.onnx").write_bytes(b"not a model")
    with pytest.raises(BundleError, match=r"detector\.onnx"):
        detector.detect([np.zeros((64, 64, 3), np.uint8)])


@pytest.mark.parametrize("design", ["yolox", "yolov5", "yolov8", "yolov10"])
def test_each_design_finds_each_colour_where_it_is(tmp_path, design):
    detector = OnnxDetector(load_bundle(make_detector(tmp_path / "tiny", architecture=design)))
    picture = np.full((64, 64, 3), 200, np.uint8)
    picture[:32, 32:] = (255, 0, 0)
    picture[32:, :32] = (0, 0, 255)
    found = detector.detect([picture])[0]
    assert {one.label: one.box for one in found} == {
        "red": (0.5, 0.0, 0.5, 0.5),
        "blue": (0.0, 0.5, 0.5, 0.5),
    }
    assert detector.labels == LABELS


@pytest.fixture(scope="module")
def packaged():
    return OnnxDetector(load_bundle("yolox-nano"), threads=1)


class TestPackaged:
    @pytest.mark.parametrize(
        ("file", "label", "count"),
        [
            ("coco-000285.jpg", "bear", 1),
            ("coco-000785.jpg", "person", 1),
            ("coco-001993.jpg", "bed", 1),
            ("coco-007281.jpg", "horse", 2),
        ],
    )
    def test_it_knows_what_is_on_a_photograph(self, packaged, file, label, count):
        picture = np.asarray(Image.open(SAMPLES / file).convert("RGB"))
        found = packaged.detect([picture])[0]
        assert Counter(one.label for one in found)[label] >= count
        assert max(found, key=lambda one: one.box[2] * one.box[3]).score > 0.25

    def test_it_knows_cocos_labels(self, packaged):
        assert len(packaged.labels) == 80
        assert packaged.labels[0] == "person"
        assert packaged.labels[-1] == "toothbrush"

    def test_a_plain_picture_holds_nothing(self, packaged):
        assert packaged.detect([np.full((300, 400, 3), 90, np.uint8)]) == [()]

    def test_a_lower_bound_finds_more_and_is_told_apart(self, packaged):
        eager = OnnxDetector(load_bundle("yolox-nano"), threads=1, min_score=0.05)
        picture = np.asarray(Image.open(SAMPLES / "coco-007281.jpg").convert("RGB"))
        few, many = packaged.detect([picture])[0], eager.detect([picture])[0]
        assert set(few) <= set(many)
        assert len(many) > len(few)
        assert eager.fingerprint != packaged.fingerprint
