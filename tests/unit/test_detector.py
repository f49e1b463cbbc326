"""Reading raw outputs, letterboxes, overlapping boxes, and the bundles of detectors."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.adapters.bundle_files import PACKAGED, load_bundle, load_encoder_bundle, verify
from lookalike.adapters.detector_heads import Asked, Candidates, read_candidates
from lookalike.adapters.detector_letterbox import letterbox
from lookalike.adapters.detector_onnx import MOST_OBJECTS, OnnxDetector
from lookalike.adapters.detector_overlaps import MOST_CANDIDATES, drop_overlapping
from lookalike.domain.bundle import DetectorModel
from lookalike.domain.errors import BundleError, UnsupportedInputError
from tests.tiny_detector import make_detector

SQUARE = DetectorModel("m", "l", "yolov8", 64)
RECTANGLE = DetectorModel("m", "l", "yolox", 64, placement="corner", canvas="rectangle")
ASKED = Asked(labels=2, canvas=(64, 64), min_score=0.5)


def edit(folder, old, new):
    path = folder / "bundle.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


class TestHeads:
    def test_yolox_places_cells_by_their_grid(self):
        output = np.zeros((64 + 16 + 4, 7), np.float32)
        # The cell in row 1, column 0 of the coarsest grid: as wide as its stride, twice as high.
        output[64 + 16 + 2] = [0.5, 0.5, 0.0, np.log(2), 0.9, 0.2, 1.0]
        # One of the finest grid, in row 2, column 3, too doubtful on either count.
        output[2 * 8 + 3] = [0.0, 0.0, 0.0, 0.0, 0.6, 0.6, 0.6]
        found = read_candidates("yolox", output, ASKED)
        np.testing.assert_allclose(found.boxes, [[0, 16, 32, 80]], atol=1e-4)
        np.testing.assert_allclose(found.scores, [0.9])
        assert found.classes.tolist() == [1]

    def test_yolox_takes_canvases_that_are_no_squares(self):
        output = np.zeros((4 * 12 + 2 * 6 + 1 * 3, 7), np.float32)
        output[-1] = [0, 0, 0, 0, 1, 1, 0]
        found = read_candidates("yolox", output, Asked(2, (32, 96), 0.5))
        np.testing.assert_allclose(found.boxes, [[48, -16, 80, 16]])

    def test_yolov5_multiplies_objectness_and_yolov8_has_none(self):
        five = np.array([[10, 20, 4, 8, 0.5, 0.9, 0.1], [10, 20, 4, 8, 0.9, 0.9, 0.9]], np.float32)
        found = read_candidates("yolov5", five, ASKED)
        np.testing.assert_allclose(found.boxes, [[8, 16, 12, 24]] * 2)
        np.testing.assert_allclose(found.scores, [0.81, 0.81])
        eight = np.delete(five, 4, axis=1).T
        found = read_candidates("yolov8", np.ascontiguousarray(eight), ASKED)
        np.testing.assert_allclose(found.scores, [0.9, 0.9, 0.9])

    def test_yolov10_gives_finished_objects(self):
        output = np.array(
            [[1, 2, 3, 4, 0.9, 1], [1, 2, 3, 4, 0.1, 0], [1, 2, 3, 4, 0.9, 7], [0, 0, 0, 0, 0, -1]],
            np.float32,
        )
        found = read_candidates("yolov10", output, ASKED)
        np.testing.assert_allclose(found.boxes, [[1, 2, 3, 4]])
        assert found.classes.tolist() == [1]

    @pytest.mark.parametrize("head", ["yolox", "yolov5", "yolov8", "yolov10"])
    def test_an_output_of_another_shape_is_a_typed_error(self, head):
        with pytest.raises(BundleError, match=head):
            read_candidates(head, np.zeros((9, 11), np.float32), ASKED)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38])
    @pytest.mark.parametrize("head", ["yolox", "yolov5", "yolov8", "yolov10"])
    def test_numbers_out_of_bounds_harm_nothing(self, head, value):
        shapes = {"yolox": (84, 7), "yolov5": (5, 7), "yolov8": (6, 5), "yolov10": (5, 6)}
        output = np.full(shapes[head], value, np.float32)
        found = drop_overlapping(read_candidates(head, output, ASKED), nms_iou=0.5)
        assert np.isfinite(found.boxes).all()
        assert np.isfinite(found.scores).all()


class TestLetterbox:
    @given(st.integers(1, 700), st.integers(1, 700), st.sampled_from([SQUARE, RECTANGLE]))
    def test_the_whole_picture_comes_back_as_fractions(self, height, width, model):
        boxed = letterbox(np.zeros((height, width, 3), np.uint8), model)
        left, top, inner_width, inner_height = boxed.inner
        corners = [[left, top, left + inner_width, top + inner_height]]
        np.testing.assert_allclose(
            boxed.to_fractions(np.array(corners, np.float32)), [[0, 0, 1, 1]]
        )
        assert max(inner_width, inner_height) == model.size
        assert all(side % 32 == 0 and side <= model.size for side in boxed.canvas.shape[:2])
        assert (boxed.canvas == model.pad).any(axis=2).sum() == (
            boxed.canvas.shape[0] * boxed.canvas.shape[1] - inner_width * inner_height
        )

    def test_a_rectangle_is_no_larger_than_it_must_be(self):
        wide = np.zeros((20, 64, 3), np.uint8)
        assert letterbox(wide, RECTANGLE).canvas.shape == (32, 64, 3)
        assert letterbox(wide, SQUARE).canvas.shape == (64, 64, 3)

    def test_boxes_are_cut_to_the_picture(self):
        boxed = letterbox(np.zeros((32, 64, 3), np.uint8), SQUARE)
        fractions = boxed.to_fractions(np.array([[-9, -9, 32, 32]], np.float32))
        np.testing.assert_allclose(fractions, [[0, 0, 0.5, 0.5]])

    def test_a_picture_of_the_right_size_is_not_resized(self):
        picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
        np.testing.assert_array_equal(letterbox(picture, SQUARE).canvas, picture)


class TestOverlaps:
    def candidates(self, boxes, scores, classes):
        return Candidates(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(scores, np.float32),
            np.array(classes, np.int64),
        )

    def test_the_surest_of_one_class_stays(self):
        boxes = [[0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10], [50, 0, 60, 10]]
        found = drop_overlapping(
            self.candidates(boxes, [0.5, 0.9, 0.4, 0.3], [0, 0, 1, 0]), nms_iou=0.5
        )
        assert found.scores.tolist() == pytest.approx([0.9, 0.4, 0.3])
        assert found.classes.tolist() == [0, 1, 0]

    def test_what_a_dropped_box_overlaps_may_stay(self):
        boxes = [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]
        found = drop_overlapping(self.candidates(boxes, [0.9, 0.8, 0.7], [0, 0, 0]), nms_iou=0.4)
        assert found.scores.tolist() == pytest.approx([0.9, 0.7])

    def test_nothing_and_boxes_without_area(self):
        nothing = drop_overlapping(self.candidates([], [], []), nms_iou=0.5)
        assert len(nothing.scores) == 0
        points = self.candidates([[5, 5, 5, 5]] * 2, [0.9, 0.8], [0, 0])
        assert len(drop_overlapping(points, nms_iou=0.5).scores) == 2

    def test_only_so_many_are_compared(self):
        count = MOST_CANDIDATES + 500
        boxes = np.arange(count)[:, None] * 20.0 + np.array([0, 0, 10, 10])
        found = drop_overlapping(
            self.candidates(boxes, np.linspace(0.9, 0.1, count), np.zeros(count)), nms_iou=0.5
        )
        assert len(found.scores) == MOST_CANDIDATES


class TestBundles:
    def test_the_packaged_one_is_as_stated(self):
        bundle = load_bundle("yolox-nano")
        assert bundle.kind == "detector"
        assert {report.state for report in verify(bundle)} == {"ok"}
        assert bundle.licence == "Apache-2.0"
        assert "Megvii" in bundle.licences[0].note
        assert all(len(source.sha256) == 64 for source in bundle.sources)

    def test_stated_quality_is_the_measured_one(self):
        measured = PACKAGED.parents[2] / "eval" / "objects" / "objects.json"
        if not measured.is_file():
            pytest.skip("eval/objects is not beside the package")
        report = json.loads(measured.read_text())
        bundle = load_bundle("yolox-nano")
        assert dict(bundle.quality) == pytest.approx(report["quality"])
        assert bundle.fingerprint == report["fingerprint"]

    def test_settings_that_are_left_out_are_those_of_yolo(self, tmp_path):
        bundle = load_bundle(make_detector(tmp_path / "d", architecture="yolov8", settings=""))
        model = bundle.detector
        assert (model.channels, model.pixel_scale, model.canvas) == ("rgb", 1 / 255, "square")
        assert (model.placement, model.pad, model.min_score) == ("centre", 114, 0.25)

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            ('architecture = "yolox"', 'architecture = "rcnn"', "architecture"),
            ("size = 64", "size = 65", "size"),
            ("size = 64", "size = 0", "size"),
            ("max_batch = 3", "max_batch = 0", "max_batch"),
            ("max_batch = 3", "min_score = 1.5", "min_score"),
            ("max_batch = 3", "nms_iou = -1", "nms_iou"),
            ("max_batch = 3", "pad = 256", "pad"),
            ("max_batch = 3", 'channels = "hsv"', "channels"),
            ('canvas = "rectangle"', 'canvas = "round"', "canvas"),
            ('labels = "labels.txt"', 'labels = "names.txt"', "names.txt"),
        ],
    )
    def test_a_wrong_setting_is_named(self, tmp_path, old, new, named):
        folder = make_detector(tmp_path / "d")
        edit(folder, old, new)
        with pytest.raises(BundleError, match=named):
            load_bundle(folder)

    @pytest.mark.parametrize("text", ["", "red\n\nblue\n", "red\nRed\nblue\n", b"\xff\xfe"])
    def test_labels_that_cannot_be_read_are_a_typed_error(self, tmp_path, text):
        folder = make_detector(tmp_path / "d")
        (folder / "labels.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(BundleError, match=r"labels\.txt"):
            OnnxDetector(load_bundle(folder)).detect([np.zeros((64, 64, 3), np.uint8)])

    def test_too_few_labels_are_a_typed_error(self, tmp_path):
        folder = make_detector(tmp_path / "d")
        (folder / "labels.txt").write_text("red\ngreen\n")
        with pytest.raises(BundleError, match="shape"):
            OnnxDetector(load_bundle(folder)).detect([np.zeros((64, 64, 3), np.uint8)])

    def test_a_wrong_size_is_a_typed_error(self, tmp_path):
        folder = make_detector(tmp_path / "d", architecture="yolov5", settings="")
        edit(folder, "size = 64", "size = 96")
        with pytest.raises(BundleError, match="64 × 64"):
            OnnxDetector(load_bundle(folder)).detect([np.zeros((64, 64, 3), np.uint8)])

    def test_a_bundle_of_another_kind_is_a_typed_error(self):
        with pytest.raises(UnsupportedInputError, match="no detector"):
            OnnxDetector(load_bundle("lite"))

    def test_a_detector_is_no_encoder(self):
        with pytest.raises(UnsupportedInputError, match="is a detector"):
            load_encoder_bundle("yolox-nano")
        assert load_encoder_bundle("lite").dim == 896

    def test_only_so_many_objects_are_kept(self, tmp_path):
        folder = make_detector(tmp_path / "d")
        edit(folder, "size = 64", "size = 512")
        picture = np.zeros((512, 512, 3), np.uint8)
        picture[..., 2] = 255
        found = OnnxDetector(load_bundle(folder)).detect([picture])[0]
        assert len(found) == MOST_OBJECTS
        assert {one.label for one in found} == {"blue"}
