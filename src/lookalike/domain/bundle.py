"""What a model bundle is: files, preprocessing, towers, licence, fingerprint.

A bundle is a folder of ONNX files with a description (docs/models.md). The
dataclasses here only describe one; opening its files is for the adapters.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

BundleKind = Literal["dual", "image", "text", "detector"]
ResizeMode = Literal["squash", "shortest_edge_center_crop"]
Interpolation = Literal["bilinear", "bicubic"]
ImageInput = Literal["float32_nchw", "uint8_nhwc"]
Padding = Literal["longest", "context"]
DetectorHead = Literal["yolox", "yolov5", "yolov8", "yolov10"]
Channels = Literal["rgb", "bgr"]
Placement = Literal["corner", "centre"]
Canvas = Literal["square", "rectangle"]
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a picture becomes the `(size, size, 3)` RGB uint8 array a tower takes.

    `squash` resizes both sides to `size`; `shortest_edge_center_crop` resizes
    the shorter side to `size` and cuts the centre square (CLIP's recipe).
    Normalised values are `(pixel / 255 - mean) / std`, done by the encoder.
    """

    size: int
    resize: ResizeMode = "squash"
    interpolation: Interpolation = "bilinear"
    mean: Triple = (0.5, 0.5, 0.5)
    std: Triple = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file of a bundle; `path` is relative to the bundle's folder.

    `sha256` is empty where a foreign folder states none.
    """

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ImageTower:
    """ONNX stages run in turn, the first on pixels, each next on the last's output.

    `uint8_nhwc` graphs normalise by themselves; for `float32_nchw` ones the
    encoder normalises. `output` names the last stage's output (its first when
    empty).
    """

    stages: tuple[str, ...]
    preprocess: Preprocess
    input: ImageInput = "float32_nchw"
    output: str = ""
    max_batch: int = 32


@dataclass(frozen=True, slots=True)
class TextTower:
    """ONNX stages run in turn, the first on token ids.

    `context_length` counts special tokens; longer texts are cut. Padding is to
    the batch's longest text, or always to the context length (CLIP's way).
    """

    stages: tuple[str, ...]
    tokenizer: str
    context_length: int
    padding: Padding = "longest"
    pad_id: int = 0
    output: str = ""
    max_batch: int = 64


@dataclass(frozen=True, slots=True)
class DetectorModel:
    """An object detector: one ONNX file, its labels (a line each), how pictures are given to it.

    A picture is resized until its longer side is `size`, and laid on a canvas of the grey `pad`:
    a `square` one, or a `rectangle` that is no larger than it must be (sides are multiples of
    32). Values are `pixel * pixel_scale`. `architecture` says what the output means. Objects
    below `min_score` are left out; of two with one label the surer one stays where they share
    more than `nms_iou` (intersection over union).
    """

    model: str
    labels: str
    architecture: DetectorHead
    size: int
    channels: Channels = "rgb"
    pixel_scale: float = 1 / 255
    pad: int = 114
    placement: Placement = "centre"
    canvas: Canvas = "square"
    min_score: float = 0.25
    nms_iou: float = 0.65
    max_batch: int = 8


@dataclass(frozen=True, slots=True)
class LicencePart:
    """Which licence covers which part of a bundle, and any note that goes with it."""

    part: str
    licence: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a part came from: a registry package's file, or a description."""

    part: str
    package: str
    file: str = ""
    sha256: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model bundle: everything that is known of it without opening a model."""

    name: str
    version: str
    kind: BundleKind
    dim: int
    root: Path
    files: tuple[BundleFile, ...]
    image: ImageTower | None = None
    text: TextTower | None = None
    detector: DetectorModel | None = None
    similarity_scale: float = 100.0
    licences: tuple[LicencePart, ...] = ()
    sources: tuple[Source, ...] = ()
    quality: tuple[tuple[str, float], ...] = ()
    languages: tuple[str, ...] = ()
    """The languages (ISO 639) whose texts it knows, `mul` for many; none where that is not said."""

    fingerprint: str = field(init=False)
    """32 hex digits; the same vectors or objects come out of bundles with the same one."""

    def __post_init__(self) -> None:
        """Derive the fingerprint from the files and settings that make vectors."""
        object.__setattr__(self, "fingerprint", self._fingerprint())

    @property
    def licence(self) -> str:
        """All licences, each once, in the order stated, joined as SPDX does."""
        stated = (name for part in self.licences for name in part.licence.split(" AND "))
        return " AND ".join(dict.fromkeys(stated))

    def path(self, relative: str) -> Path:
        """Give the place on disk of one of the bundle's files."""
        return (self.root / relative).resolve()

    def _fingerprint(self) -> str:
        """Hash what shapes a vector: file contents and settings, never paths."""
        names = {file.path: file.sha256 or file.path for file in self.files}

        def named(paths: tuple[str, ...]) -> list[str]:
            return [names.get(path, path) for path in paths]

        parts: dict[str, object] = {"dim": self.dim, "kind": self.kind}
        if self.image is not None:
            image = asdict(self.image) | {"stages": named(self.image.stages)}
            del image["max_batch"]
            parts["image"] = image
        if self.text is not None:
            text = asdict(self.text) | {"stages": named(self.text.stages)}
            text["tokenizer"] = names.get(self.text.tokenizer, self.text.tokenizer)
            del text["max_batch"]
            parts["text"] = text
        if self.detector is not None:
            model, labels = named((self.detector.model, self.detector.labels))
            detector = asdict(self.detector) | {"model": model, "labels": labels}
            del detector["max_batch"]
            parts["detector"] = detector
        canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]
