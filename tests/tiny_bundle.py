"""A model bundle of a few kilobytes, so that whole processes run in a fraction of a second.

Its space is the toy encoder's (tests/toy.py): a picture is the mean colours of its 4 × 4 tiles, a
text the colour that its words name. It is a real bundle of ONNX files, read as any other.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.toy import COLOURS, DIM, TILES

SIZE = 16
_UNKNOWN = "[UNK]"
_MANIFEST = """format = 1
name = "tiny"
version = "1.0.0"
kind = "dual"
dim = {dim}

[image]
stages = ["image.onnx"]
size = {size}
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]

[text]
stages = ["text.onnx"]
tokenizer = "tokenizer.json"
context_length = 16

[files]
{files}

[[licence]]
part = "everything"
licence = "CC0-1.0"
"""


def make_bundle(folder, *, seed=0):
    """Write the bundle into a folder and return it; another seed has another fingerprint."""
    folder.mkdir(parents=True, exist_ok=True)
    _save(_image_graph(seed), folder / "image.onnx")
    _save(_text_graph(), folder / "text.onnx")
    vocabulary = {word: number for number, word in enumerate([_UNKNOWN, *COLOURS])}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": _UNKNOWN},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    names = ("image.onnx", "text.onnx", "tokenizer.json")
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    files = "\n".join(f'"{name}" = "{digest}"' for name, digest in hashes.items())
    manifest = _MANIFEST.format(dim=DIM, size=SIZE, files=files)
    (folder / "bundle.toml").write_text(manifest, encoding="utf-8")
    return folder


def _image_graph(seed):
    """Mean colours of the tiles, in the order (channel, row, column)."""
    side = SIZE // TILES
    nodes = [
        helper.make_node(
            "AveragePool", ["pixels"], ["tiles"], kernel_shape=[side, side], strides=[side, side]
        ),
        helper.make_node("Flatten", ["tiles"], ["flat"]),
        helper.make_node("Add", ["flat", "nudge"], ["embedding"]),
    ]
    nudge = numpy_helper.from_array(np.full(DIM, 1e-3 * (1 + seed), np.float32), "nudge")
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIM])
    return helper.make_graph(nodes, "image", [pixels], [embedding], [nudge])


def _text_graph():
    """The mean colour of a text's words, on every tile; a word that names none is grey."""
    grey = [(128, 128, 128)]
    colours = np.array([*grey, *COLOURS.values()], np.float32) / 127.5 - 1.0
    table = np.repeat(colours, TILES * TILES, axis=1)
    table[0] = 1e-3
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("ReduceSum", ["words", "axes"], ["embedding"], keepdims=0),
    ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "length"])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIM])
    stored = [numpy_helper.from_array(table, "table"), axes]
    return helper.make_graph(nodes, "text", [ids], [embedding], stored)


def _save(graph, path):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
