"""A detector of a few kilobytes: every square of 32 pixels that is purely red, green or blue.

It is a real bundle of an ONNX file and labels, in each of the designs that are read. The one of
YOLOX takes any number of pictures of any multiple of 32 pixels; the others take 64 × 64.
"""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 64
CELL = 32
LABELS = ("red", "green", "blue")
_MANIFEST = """format = 1
name = "tiny-detector"
version = "1.0.0"
kind = "detector"

[detector]
model = "detector.onnx"
labels = "labels.txt"
architecture = "{architecture}"
size = {size}
{settings}

[files]
{files}

[[licence]]
part = "everything"
licence = "CC0-1.0"
"""
_RECTANGLES = 'placement = "corner"\ncanvas = "rectangle"\nmax_batch = 3'


def make_detector(folder, *, architecture="yolox", batch="n", settings=_RECTANGLES):
    """Write the bundle into a folder and return it; `batch` is how many pictures it takes."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = _grid_graph(batch) if architecture == "yolox" else _flat_graph(architecture, batch)
    _save(graph, folder / "detector.onnx")
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    names = ("detector.onnx", "labels.txt")
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    files = "\n".join(f'"{name}" = "{digest}"' for name, digest in hashes.items())
    manifest = _MANIFEST.format(
        architecture=architecture, size=SIZE, settings=settings, files=files
    )
    (folder / "bundle.toml").write_text(manifest, encoding="utf-8")
    return folder


def _stored(name, values):
    return numpy_helper.from_array(np.asarray(values), name)


PURITY = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32)


def _grid_graph(batch):
    """YOLOX: a cell's box is the cell itself; only those of stride 32 say that there is one."""
    nodes, parts = [], []
    stored = [
        _stored("flat", np.array([0, 3, -1], np.int64)),
        _stored("zero", np.float32(0)),
        _stored("one", np.float32(1)),
        _stored("middle", np.array([0.5, 0.5, 0, 0], np.float32).reshape(1, 4, 1)),
        _stored("purity", PURITY),
    ]
    for stride in (8, 16, 32):
        made = {key: f"{key}{stride}" for key in ("tiles", "colours", "any", "none", "box", "obj")}
        nodes += [
            helper.make_node(
                "AveragePool", ["pixels"], [made["tiles"]],
                kernel_shape=[stride, stride], strides=[stride, stride],
            ),
            helper.make_node("Reshape", [made["tiles"], "flat"], [made["colours"]]),
            helper.make_node("ReduceMean", [made["colours"]], [made["any"]], axes=[1]),
            helper.make_node("Mul", [made["any"], "zero"], [made["none"]]),
            helper.make_node("Add", [made["none"], "middle"], [made["box"]]),
            helper.make_node(
                "Add", [made["none"], "one" if stride == CELL else "zero"], [made["obj"]]
            ),
        ]  # fmt: skip
        parts.append([made["colours"], made["box"], made["obj"]])
    nodes += [
        helper.make_node("Concat", list(found), [name], axis=2)
        for found, name in zip(zip(*parts, strict=True), ("c", "b", "o"), strict=True)
    ]
    nodes += [
        helper.make_node("Transpose", ["c"], ["ct"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["ct", "purity"], ["raw"]),
        helper.make_node("Clip", ["raw", "zero", "one"], ["scores"]),
        helper.make_node("Concat", ["b", "o"], ["bo"], axis=1),
        helper.make_node("Transpose", ["bo"], ["bot"], perm=[0, 2, 1]),
        helper.make_node("Concat", ["bot", "scores"], ["output"], axis=2),
    ]
    return _graph(nodes, stored, [batch, 3, "height", "width"], [batch, "cells", 8])


def _flat_graph(architecture, batch):
    """The other designs, for four cells of a picture of 64 × 64 pixels."""
    y, x = np.mgrid[:2, :2].reshape(2, 1, -1) * CELL
    middles = np.concatenate([x + 16, y + 16, np.full((2, 4), CELL)]).T
    corners = np.concatenate([x, y, x + CELL, y + CELL]).T
    boxes = corners if architecture == "yolov10" else middles
    stored = [
        _stored("flat", np.array([0, 3, 4], np.int64)),
        _stored("zero", np.float32(0)),
        _stored("one", np.float32(1)),
        _stored("boxes", boxes.astype(np.float32)[None]),
        _stored("purity", PURITY),
    ]
    nodes = [
        helper.make_node(
            "AveragePool", ["pixels"], ["tiles"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]
        ),
        helper.make_node("Reshape", ["tiles", "flat"], ["colours"]),
        helper.make_node("Transpose", ["colours"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["rows", "purity"], ["raw"]),
        helper.make_node("Clip", ["raw", "zero", "one"], ["scores"]),
        helper.make_node("ReduceMax", ["scores"], ["best"], axes=[2]),
        helper.make_node("Mul", ["best", "zero"], ["none"]),
        helper.make_node("Add", ["none", "boxes"], ["placed"]),
        helper.make_node("Add", ["none", "one"], ["obj"]),
    ]
    if architecture == "yolov5":
        nodes.append(helper.make_node("Concat", ["placed", "obj", "scores"], ["output"], axis=2))
        shape = [batch, 4, 8]
    elif architecture == "yolov8":
        nodes += [
            helper.make_node("Concat", ["placed", "scores"], ["joined"], axis=2),
            helper.make_node("Transpose", ["joined"], ["output"], perm=[0, 2, 1]),
        ]
        shape = [batch, 7, 4]
    else:
        nodes += [
            helper.make_node("ArgMax", ["scores"], ["number"], axis=2),
            helper.make_node("Cast", ["number"], ["class"], to=TensorProto.FLOAT),
            helper.make_node("Concat", ["placed", "best", "class"], ["output"], axis=2),
        ]
        shape = [batch, 4, 6]
    return _graph(nodes, stored, [batch, 3, SIZE, SIZE], shape)


def _graph(nodes, stored, taken, given):
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, taken)
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, given)
    return helper.make_graph(nodes, "detector", [pixels], [output], stored)


def _save(graph, path):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
