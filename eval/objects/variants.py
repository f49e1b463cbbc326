"""Compare other sizes, number formats and mirrored second looks with the shipped detector.

    python eval/objects/variants.py --data DATA [--only NAME]

Every variant is a bundle in a temporary folder, read by the product's own detector. Activations
of the int8 files are calibrated on photographs of the even half; judge by the odd half.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from objects import FLOOR, stored
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from photographs import Found, Photograph, ask_all, halves, mean_precision, photographs

from lookalike.adapters.bundle_files import load_bundle
from lookalike.adapters.detector_heads import Candidates
from lookalike.adapters.detector_letterbox import letterbox
from lookalike.adapters.detector_onnx import OnnxDetector
from lookalike.adapters.detector_overlaps import drop_overlapping
from lookalike.domain.bundle import Bundle
from lookalike.domain.images import DetectedObject
from lookalike.evaluation.reports import Table, describe_machine, render_text
from lookalike.wiring.evaluation import commit_of

HERE = Path(__file__).parent
CALIBRATED_ON = 48


class Calibration(CalibrationDataReader):
    """Canvases of photographs of the even half."""

    def __init__(self, photos: Sequence[Photograph], bundle: Bundle) -> None:
        model = replace(bundle.detector, canvas="square")
        self._feeds: Iterator[dict[str, np.ndarray]] = (
            {"images": letterbox(photos[n].pixels, model).canvas[..., ::-1]
             .transpose(2, 0, 1)[None].astype(np.float32)}
            for n in halves(photos)["even"][:CALIBRATED_ON]
        )  # fmt: skip

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def to_half(source: Path, target: Path) -> None:
    """Store the weights as 16-bit floats; the arithmetic stays in 32."""
    model = onnx.load(source)
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size > 64:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + ".half"))
            casts.append(helper.make_node("Cast", [name + ".half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, target)


def to_int8(source: Path, target: Path, photos, bundle: Bundle, *, is_head_spared: bool) -> None:
    """Quantise convolutions, by channel; the head's last ones stay as they are when spared."""
    model = onnx.version_converter.convert_version(onnx.load(source), 13)
    for node in model.graph.node:
        node.name = node.name or node.output[0]
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / "named.onnx"
        onnx.save(model, named)
        quantize_static(
            named, target, Calibration(photos, bundle), quant_format=QuantFormat.QDQ,
            per_channel=True, reduce_range=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, op_types_to_quantize=["Conv"],
            nodes_to_exclude=last_convolutions(model) if is_head_spared else [],
            calibrate_method=CalibrationMethod.MinMax,
        )  # fmt: skip


def last_convolutions(model: onnx.ModelProto) -> list[str]:
    """Name the convolutions whose values become boxes and scores."""
    makers = {name: node for node in model.graph.node for name in node.output}
    waiting = [node.input[0] for node in model.graph.node if node.op_type == "Reshape"]
    last = []
    while waiting:
        node = makers[waiting.pop()]
        if node.op_type == "Conv":
            last.append(node.name)
        else:
            waiting += [name for name in node.input if name in makers]
    return last


def both_ways(detector: OnnxDetector, pictures: Sequence[np.ndarray], nms_iou: float) -> Found:
    """Look at each picture and its mirror image, and keep the surest of both."""
    labels = list(detector.labels)
    answers = []
    mirrored = detector.detect([np.ascontiguousarray(one[:, ::-1]) for one in pictures])
    for plain, other in zip(detector.detect(pictures), mirrored, strict=True):
        turned = [
            replace(one, box=(max(1 - one.box[0] - one.box[2], 0.0), *one.box[1:])) for one in other
        ]
        every = [*plain, *turned]
        boxes = np.array([one.box for one in every], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        found = drop_overlapping(
            Candidates(
                boxes,
                np.array([one.score for one in every], np.float32),
                np.array([labels.index(one.label) for one in every], np.int64),
            ),
            nms_iou=nms_iou,
        )
        answers.append(
            tuple(
                DetectedObject(labels[c], float(s), (x, y, right - x, bottom - y))
                for (x, y, right, bottom), s, c in zip(
                    found.boxes.tolist(), found.scores, found.classes, strict=True
                )
            )
        )
    return answers


def bundles(photos, shipped: Bundle, folder: Path) -> dict[str, Bundle]:
    """Name the variants that are bundles."""
    model = shipped.detector
    assert model is not None
    source = shipped.path(model.model)
    made = {"shipped": shipped, "square canvas": _with(shipped, canvas="square")}
    made |= {f"{size} pixels": _with(shipped, size=size) for size in (320, 352, 448, 512, 640)}
    made |= {f"NMS at {iou}": _with(shipped, nms_iou=iou) for iou in (0.4, 0.65)}
    writers = {
        "fp16 weights": lambda target: to_half(source, target),
        "int8": lambda target: to_int8(source, target, photos, shipped, is_head_spared=False),
        "int8 but the last": lambda target: to_int8(
            source, target, photos, shipped, is_head_spared=True
        ),
    }
    for name, write in writers.items():
        place = folder / name.replace(" ", "-")
        place.mkdir()
        shutil.copy(shipped.path(model.labels), place)
        write(place / model.model)
        made[name] = replace(shipped, root=place)
    return made


def _with(bundle: Bundle, **changes) -> Bundle:
    return replace(bundle, detector=replace(bundle.detector, **changes))


def row(photos, name: str, bundle: Bundle, *, is_mirrored: bool = False) -> tuple:
    """Measure one variant: quality on both halves, CPU time, bytes."""
    groups, pictures = halves(photos), [photo.pixels for photo in photos]
    detector = OnnxDetector(bundle, threads=1, min_score=FLOOR)
    labels = detector.labels
    detector.detect(pictures[:8])
    begun = time.process_time()
    if is_mirrored:
        found = both_ways(detector, pictures, bundle.detector.nms_iou)
    else:
        found = detector.detect(pictures)
    cpu_ms = 1000 * (time.process_time() - begun) / len(pictures)
    sure = stored(found, bundle.detector.min_score)
    cells: list[float] = []
    for group in ("even", "odd"):
        chosen = groups[group]
        one = ask_all(photos, sure, chosen, labels).rates()
        cells += [mean_precision(photos, found, labels, chosen)["map_50"]]
        cells += [one["precision"], one["recall"], one["f1"]]
    size = bundle.path(bundle.detector.model).stat().st_size
    return (name, *cells, round(cpu_ms, 1), round(size / 1e6, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--detector", default="yolox-nano")
    parser.add_argument("--out", type=Path, default=HERE / "variants.json")
    options = parser.parse_args()
    photos = photographs(options.data / "coco")
    shipped = load_bundle(options.detector)
    with tempfile.TemporaryDirectory() as folder:
        made = bundles(photos, shipped, Path(folder))
        rows = [row(photos, name, bundle) for name, bundle in made.items()]
        rows.append(row(photos, "mirrored second look", shipped, is_mirrored=True))
    columns = ["variant"]
    columns += [f"{half}: {x}" for half in ("even", "odd") for x in ("mAP@0.5", "P", "R", "F1")]
    table = Table((*columns, "CPU ms", "MB"), rows)
    result = {
        "what": "variants of the packaged detector; P, R and F1 are those of `has:` queries",
        "note": "CPU ms with doubtful guesses kept for mAP, so a little above the shipped speed",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit_of(),
        "seed": 0,
        "machine": asdict(describe_machine()),
        "load_average": round(os.getloadavg()[0], 1),
        "variants": asdict(table),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(render_text(table))


if __name__ == "__main__":
    main()
