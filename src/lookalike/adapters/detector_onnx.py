"""The detector that runs a bundle's ONNX file with ONNX Runtime on the CPU."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.bundle_session import open_session, runtime_failures
from lookalike.adapters.detector_heads import Asked, Candidates, read_candidates
from lookalike.adapters.detector_letterbox import Letterbox, letterbox
from lookalike.adapters.detector_overlaps import drop_overlapping
from lookalike.domain.errors import BundleError, MissingFileError, UnsupportedInputError
from lookalike.domain.images import DetectedObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnxruntime as ort
    from numpy.typing import NDArray

    from lookalike.domain.arrays import FloatMatrix, Pixels
    from lookalike.domain.bundle import Bundle, DetectorModel

MOST_OBJECTS: Final = 100
"""Objects of one picture at the most, the surest first; COCO's annotations hold to the same."""

_TYPES: Final = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}


class OnnxDetector:
    """Finds objects with a bundle's detector, which is loaded with the first picture.

    Thread-safe: loading is guarded by a lock, and an ONNX Runtime session may be run from several
    threads at once. `threads` is how many threads one call uses (0 leaves the choice to ONNX
    Runtime). `min_score` takes the place of the one that the bundle states.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 0, min_score: float | None = None) -> None:
        if bundle.detector is None:
            raise UnsupportedInputError(
                f"the bundle {bundle.name!r} has no detector",
                hint="choose a bundle of the kind detector: lookalike models list",
            )
        stated = bundle.detector
        self._bundle = bundle
        self._model = stated if min_score is None else replace(stated, min_score=min_score)
        self._threads = threads
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        """What tells this detector's answers from another's: files, settings, lowest score."""
        return replace(self._bundle, detector=self._model).fingerprint

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label it can give.

        Raises:
            MissingFileError: the file of labels is not there.
            BundleError: it holds no text, or a label twice.
        """
        with self._lock:
            return self._labels

    @property
    def side(self) -> int:
        """The longer side beyond which a larger picture shows it nothing more, in pixels."""
        return self._model.size

    def detect(self, pictures: Sequence[Pixels]) -> list[tuple[DetectedObject, ...]]:
        """Find objects in n upright `(height, width, 3)` uint8 RGB pictures of any sizes.

        Raises:
            MissingFileError: a file of the model is missing.
            BundleError: a file cannot be run, or gives something else than it should.
            ValueError: a picture has another shape or type.
        """
        for picture in pictures:
            _check(picture)
        if not pictures:
            return []
        network = self._network
        answers: list[tuple[DetectedObject, ...]] = [()] * len(pictures)
        waiting: dict[tuple[int, ...], list[tuple[int, Letterbox]]] = {}
        for at, picture in enumerate(pictures):
            boxed = letterbox(picture, network.model)
            alike = waiting.setdefault(boxed.canvas.shape, [])
            alike.append((at, boxed))
            if len(alike) == network.batch:
                self._answer(network, alike, answers)
                alike.clear()
        for alike in waiting.values():
            self._answer(network, alike, answers)
        return answers

    def _answer(
        self,
        network: _Network,
        alike: list[tuple[int, Letterbox]],
        answers: list[tuple[DetectedObject, ...]],
    ) -> None:
        """Look at pictures on canvases of one size and put what is found in its place."""
        if not alike:
            return
        outputs = network.run([boxed.canvas for _, boxed in alike])
        model, labels = network.model, self.labels
        for (at, boxed), output in zip(alike, outputs, strict=True):
            height, width = boxed.canvas.shape[:2]
            asked = Asked(len(labels), (height, width), model.min_score)
            found = read_candidates(model.architecture, output, asked)
            if model.architecture != "yolov10":
                found = drop_overlapping(found, nms_iou=model.nms_iou)
            answers[at] = _objects(found, boxed, labels)

    @property
    def _network(self) -> _Network:
        with self._lock:
            return self._loaded

    @cached_property
    def _loaded(self) -> _Network:
        session = open_session(self._bundle, self._model.model, threads=self._threads)
        return _Network.around(session, self._model)

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        return read_labels(self._bundle, self._model.labels)


@dataclass(frozen=True, slots=True)
class _Network:
    """A session, what it takes, and how many pictures at once."""

    session: ort.InferenceSession
    model: DetectorModel
    dtype: type[np.generic]
    batch: int
    is_padded: bool

    @classmethod
    def around(cls, session: ort.InferenceSession, model: DetectorModel) -> _Network:
        """Read off a graph what it takes; one made for a single size gets square canvases."""
        given = session.get_inputs()[0]
        shape = list(given.shape)
        dtype = _TYPES.get(given.type)
        if dtype is None or len(shape) != 4:
            raise BundleError(
                f"{model.model} takes {given.type} of shape {shape}, not (n, 3, height, width)",
                hint="export the detector with pictures as float32, channels first",
            )
        count, _, height, width = shape
        if isinstance(height, int) and isinstance(width, int):
            if (height, width) != (model.size, model.size):
                raise BundleError(
                    f"{model.model} takes {width} × {height} pixels, its bundle says {model.size}",
                    hint="correct size in bundle.toml",
                )
            model = replace(model, canvas="square")
        is_padded = isinstance(count, int)
        return cls(session, model, dtype, count if is_padded else model.max_batch, is_padded)

    def run(self, canvases: list[Pixels]) -> NDArray[np.float32]:
        """Give the first output, `(n, rows, columns)`, for at most `batch` canvases."""
        try:
            (output, *_) = self.session.run(None, {self._name: self._feed(canvases)})
        except runtime_failures() as error:
            raise BundleError(
                f"the detector could not be run: {error}",
                hint="check the bundle's size and files: lookalike models verify",
            ) from error
        found = np.asarray(output, np.float32)
        if found.ndim != 3 or len(found) < len(canvases):
            raise BundleError(
                f"the detector gives an output of shape {found.shape}, not (n, rows, columns)",
                hint="correct architecture in bundle.toml, or export the detector anew",
            )
        return found[: len(canvases)]

    @property
    def _name(self) -> str:
        return str(self.session.get_inputs()[0].name)

    def _feed(self, canvases: list[Pixels]) -> NDArray[np.generic]:
        """Make `(n, 3, height, width)`; a graph made for n pictures gets black ones to fill up."""
        stacked = np.stack(canvases)
        if self.model.channels == "bgr":
            stacked = stacked[..., ::-1]
        planes = stacked.transpose(0, 3, 1, 2)
        if self.is_padded and len(planes) < self.batch:
            planes = np.pad(planes, ((0, self.batch - len(planes)), *[(0, 0)] * 3))
        if self.dtype is np.uint8:
            return np.ascontiguousarray(planes)
        values = planes.astype(np.float32, order="C")
        if self.model.pixel_scale != 1.0:
            values *= np.float32(self.model.pixel_scale)
        return values.astype(self.dtype, copy=False)


def read_labels(bundle: Bundle, relative: str) -> tuple[str, ...]:
    """Read a file of labels, one a line.

    Raises:
        MissingFileError: the file is not there.
        BundleError: it holds no text, or a label twice.
    """
    path = bundle.path(relative)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise MissingFileError(
            f"the bundle {bundle.name!r} names {path.name}, which is not there",
            hint="install or fetch the bundle again",
        ) from error
    except UnicodeDecodeError as error:
        raise BundleError(
            f"{path.name} of the bundle {bundle.name!r} is no text in UTF-8",
            hint="write one label a line",
        ) from error
    labels = tuple(line.strip().lower() for line in lines)
    if not labels or "" in labels or len(set(labels)) < len(labels):
        raise BundleError(
            f"{path.name} of the bundle {bundle.name!r} has no labels, an empty one, or one twice",
            hint="write one label a line, in the order of the model's classes",
        )
    return labels


def _check(picture: Pixels) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(
            f"a picture must be (height, width, 3) uint8, not {picture.shape} {picture.dtype}"
        )
    if not picture.size:
        raise ValueError(f"a picture must have pixels, not the shape {picture.shape}")


def _objects(
    found: Candidates, boxed: Letterbox, labels: tuple[str, ...]
) -> tuple[DetectedObject, ...]:
    """Name what was found; what lies wholly on the grey around the picture is dropped."""
    fractions: FloatMatrix = boxed.to_fractions(found.boxes)
    objects: list[DetectedObject] = []
    for box, score, number in zip(fractions, found.scores, found.classes, strict=True):
        x1, y1, x2, y2 = (float(side) for side in box)
        if x2 > x1 and y2 > y1:
            label = labels[int(number)]
            inside = (x1, y1, min(x2 - x1, 1 - x1), min(y2 - y1, 1 - y1))
            objects.append(DetectedObject(label, min(float(score), 1.0), inside))
    objects.sort(key=lambda one: (-one.score, one.label, one.box))
    return tuple(objects[:MOST_OBJECTS])
