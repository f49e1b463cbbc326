"""Text read by RapidOCR: PP-OCR's models, which come inside its package, on ONNX Runtime.

Its stages are called one by one rather than all at once, for three reasons: lines are found on
a small copy and read off a large one (finding costs by the pixel, reading does not), the time
can be bounded between the stages, and words get their place from where their characters were
read (its own words have boxes too, but lines that mix scripts fall apart into characters, and
scores go astray).
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.adapters.ocr_layout import Piece, Points, words_in_order
from lookalike.adapters.ocr_words import THINNEST, bounded, checked_picture, fitted
from lookalike.domain.errors import OcrError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from lookalike.domain.arrays import BoolMask, Pixels
    from lookalike.domain.images import OcrWord

SIDE: Final = 1600
"""The longer side that lines are read at, in pixels."""

FIND_SIDE: Final = 960
"""The longer side that lines are found at, in pixels."""

FINE_SIDE: Final = 1280
"""The longer side that they are found at when most turn out to be small."""

_SMALL_LINES: Final = 18
_SMALLEST_SIDE: Final = 480
_LEAST_SCORE: Final = 0.6
_MOST_LINES: Final = 600
_AT_ONCE: Final = 6
_STANDING: Final = 1.5
_TURNED_SCORE: Final = 0.9
_ROLES: Final = ("det", "cls", "rec")
_LOADING_ERRORS: Final = ("Fail", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented")
_HINT: Final = "pip install --force-reinstall rapidocr opencv-python-headless"


class RapidOcr:
    """Reads Chinese, Japanese and the languages in Latin letters.

    Thread-safe: the models are loaded once, on the first call, and keep no state between
    calls. `threads` is how many threads one call uses (0 leaves the choice to ONNX Runtime),
    `timeout_s` how long it may take, looked at between the stages and every few lines.
    """

    def __init__(
        self,
        *,
        threads: int = 0,
        timeout_s: float = 60.0,
        side: int = SIDE,
        find_side: int = FIND_SIDE,
        models: Path | None = None,
    ) -> None:
        self._threads = threads
        self._timeout_s = timeout_s
        self._side = side
        self._find_side = min(find_side, side)
        self._models = models
        self._lock = threading.Lock()
        self._engine: Any = None

    @property
    def fingerprint(self) -> str:
        """The package's version, which fixes its models, and the sides."""
        try:
            number = version("rapidocr")
        except PackageNotFoundError:
            number = "missing"
        return f"rapidocr-{number}-{self._find_side}-{FINE_SIDE}-{self._side}"

    @property
    def side(self) -> int:
        """The longer side beyond which more pixels do not help, in pixels."""
        return self._side

    def read(self, picture: Pixels) -> tuple[OcrWord, ...]:
        """Read an upright `(height, width, 3)` uint8 RGB picture.

        Raises:
            OcrError: RapidOCR or its models are missing or fail, or took too long.
            ValueError: the picture has another shape or type.
        """
        large = fitted(checked_picture(picture), least=_SMALLEST_SIDE, most=self._side)
        if min(large.shape[:2]) < THINNEST:
            return ()
        ends_at = time.monotonic() + self._timeout_s
        engine = self._loaded()
        quads = self._found(engine, large)
        height, width = large.shape[:2]
        pieces = list(_read(engine, _bgr(large), quads, ends_at))
        return bounded(words_in_order(pieces, (width, height)))

    def _found(self, engine: Any, large: Pixels) -> Points:
        """Return the corners of lines on `large`, looked for twice where letters are small."""
        quads = np.empty((0, 4, 2))
        for side in (self._find_side, min(FINE_SIDE, self._side)):
            small = fitted(large, least=1, most=side)
            quads = _find(engine, _bgr(small))
            thickness = _thickness(_upright(quads))
            scale = large.shape[1] / small.shape[1], large.shape[0] / small.shape[0]
            quads *= np.array(scale)
            if max(scale) == 1 or not len(quads) or np.median(thickness) >= _SMALL_LINES:
                break
        return quads

    def _loaded(self) -> Any:
        with self._lock:
            if self._engine is None:
                self._engine = _load(self._models, self._threads)
            return self._engine


def _load(models: Path | None, threads: int) -> Any:
    """Return the engine, with the files of its models named, so that it never fetches any."""
    files = _model_files(models)
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise OcrError(f"RapidOCR cannot be loaded: {error}", hint=_HINT) from error
    settings: dict[str, object] = {
        "Global.log_level": "critical",
        "Global.return_word_box": True,
        "Global.max_side_len": 1 << 20,
        "Det.limit_type": "max",
        "Det.limit_side_len": 1 << 20,
        "Det.max_candidates": _MOST_LINES,
        "Rec.rec_batch_num": _AT_ONCE,
        "Cls.cls_thresh": _TURNED_SCORE,
        "EngineConfig.onnxruntime.intra_op_num_threads": threads or -1,
    }
    settings |= {f"{role.title()}.model_path": str(path) for role, path in files.items()}
    return RapidOCR(params=settings)


def _model_files(folder: Path | None) -> dict[str, Path]:
    """Return the one model of each role that stands in the package's folder."""
    if folder is None:
        spec = find_spec("rapidocr")
        if spec is None or spec.origin is None:
            raise OcrError("RapidOCR is not installed", hint="pip install rapidocr")
        folder = Path(spec.origin).parent / "models"
    found: dict[str, Path] = {}
    for role in _ROLES:
        files = sorted(folder.glob(f"*_{role}_*.onnx"))
        if len(files) != 1:
            names = ", ".join(file.name for file in files) or "none"
            raise OcrError(
                f"one model of the kind {role!r} has to stand in {folder}, there is: {names}",
                hint=_HINT,
            )
        found[role] = files[0]
    return found


def _bgr(picture: Pixels) -> Pixels:
    return np.ascontiguousarray(picture[:, :, ::-1])


def _find(engine: Any, picture: Pixels) -> Points:
    """Return the corners of lines `(n, 4, 2)` in pixels: top left, clockwise."""
    from rapidocr.main import RapidOCRError

    steps: dict[str, dict[str, float]] = {}
    with _our_errors():
        try:
            _, found = engine.detect_and_crop(picture, steps)
        except RapidOCRError:  # its way of saying that there is nothing
            return np.empty((0, 4, 2))
    # Flat pictures are padded before lines are looked for.
    padding = steps["padding_1"]
    shift = np.array((padding["left"], padding["top"]))
    quads: Points = np.asarray(found.boxes, np.float64) - shift
    return np.clip(quads, 0, np.array(picture.shape[1::-1], np.float64))


def _read(engine: Any, picture: Pixels, quads: Points, ends_at: float) -> Iterator[Piece]:
    """Yield what is read off each quad, similar lengths together, until it is too late."""
    corners = _upright(quads)
    lengths = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
    thickness = _thickness(corners)
    order = np.argsort(lengths / np.maximum(thickness, 1), kind="stable")
    order = order[np.minimum(lengths, thickness)[order] >= 1]
    scale = np.array(picture.shape[1::-1], np.float64)
    for first in range(0, len(order), _AT_ONCE):
        if time.monotonic() > ends_at:
            raise OcrError(
                f"reading {len(order)} lines took longer than it may",
                hint="allow more time, or give a smaller picture",
            )
        chosen = order[first : first + _AT_ONCE]
        with _our_errors():
            crops = engine.crop_text_regions(picture, quads[chosen].astype(np.float32))
            turned, classes = engine.cls_and_rotate(crops)
            lines = engine.recognize_txt(turned)
        for at, row in enumerate(chosen):
            text, score, places = lines.txts[at], lines.scores[at], lines.word_results[at]
            if score < _LEAST_SCORE or not text.strip():
                continue
            label, sureness = classes.cls_res[at]
            is_turned = "180" in label and sureness > _TURNED_SCORE
            quad = np.roll(corners[row], 2, axis=0) if is_turned else corners[row]
            yield Piece(text, float(score), quad / scale, _centres(places))


def _upright(quads: Points) -> Points:
    """Return the quads with the corner first where reading starts.

    A line much taller than wide is turned to the left before it is read, as RapidOCR does.
    """
    width = np.maximum(_distance(quads, 0, 1), _distance(quads, 2, 3)).astype(int)
    height = np.maximum(_distance(quads, 0, 3), _distance(quads, 1, 2)).astype(int)
    standing: BoolMask = height >= _STANDING * np.maximum(width, 1)
    return np.where(standing[:, None, None], np.roll(quads, -1, axis=1), quads)


def _thickness(quads: Points) -> Points:
    return np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)


def _distance(quads: Points, one: int, other: int) -> Points:
    return np.linalg.norm(quads[:, one] - quads[:, other], axis=1)


def _centres(places: Any) -> list[float]:
    """Return where the middle of each character is, in [0, 1]; it was read off columns."""
    columns = [column for word in places.word_cols for column in word]
    return [min((column + 0.5) / places.line_txt_len, 1.0) for column in columns]


@contextmanager
def _our_errors() -> Generator[None]:
    """Let what the stages raise, and loading their models, leave as our error."""
    import cv2
    from rapidocr.inference_engine.onnxruntime.main import ONNXRuntimeError

    try:
        yield
    except (ONNXRuntimeError, cv2.error, *_loading_errors()) as error:
        reason = str(error).strip().splitlines()[-1:] or ["no reason given"]
        raise OcrError(f"RapidOCR failed: {reason[0]}", hint=_HINT) from error


def _loading_errors() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises for a file that is no model, or one it cannot run."""
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    found = (getattr(state, name, None) for name in _LOADING_ERRORS)
    return tuple(kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception))
