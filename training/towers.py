"""Write the two towers as ONNX, from the weights that registry packages carry.

    python towers.py WEIGHTS OUT

WEIGHTS is what fetch.py made. Needs numpy and onnx, not torch. The image tower
is EfficientNet-Lite2 (Tan and Le 2019; Lite: no squeeze-and-excitation, ReLU6)
with batch norm folded into its convolutions and normalisation inside the graph;
the text tower is MiniLM-L6-v2 (Wang et al. 2020; sentence-transformers) with
its int8 weights as published, mean-pooled and normalised.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from checkpoint import read_checkpoint
from graph import Graph
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

Arrays = dict[str, NDArray[Any]]

SIZE = 260
PIXEL_MEAN = 127.0
PIXEL_STD = 128.0
BATCH_NORM_EPSILON = 1e-3
# blocks and first stride of each stage, at Lite2's depth factor of 1.2
STAGES = ((1, 1), (3, 2), (3, 2), (4, 2), (4, 1), (5, 2), (1, 1))
# Stages whose last block is pooled too, where it is widest: the depthwise output.
POOLED_STAGES = (4, 5, 6)
FEATURES, CLASSES = 1280, 1000
IMAGE_FEATURES = FEATURES + CLASSES + 720 + 1248 + 1248

HEADS = 12
HIDDEN = 384
LAYERS = 6
LAYER_NORM_EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class Conv:
    """One convolution of the image tower: where its weights are, and its shape."""

    weight: str
    norm: str
    stride: int = 1
    depthwise: bool = False
    relu6: bool = True


def _fold(arrays: Arrays, conv: Conv) -> tuple[NDArray[Any], NDArray[Any]]:
    """Fold a batch norm into its convolution: kernel and bias."""
    variance = arrays[f"{conv.norm}.running_var"].astype(np.float64)
    scale = arrays[f"{conv.norm}.weight"] / np.sqrt(variance + BATCH_NORM_EPSILON)
    bias = arrays[f"{conv.norm}.bias"] - arrays[f"{conv.norm}.running_mean"] * scale
    kernel = arrays[f"{conv.weight}.weight"] * scale[:, None, None, None]
    return kernel.astype(np.float32), bias.astype(np.float32)


class ImageGraph:
    """Lays EfficientNet-Lite convolutions one after another, keeping the side length."""

    def __init__(self, arrays: Arrays, half: bool) -> None:
        self.graph = Graph("efficientnet-lite2")
        self._arrays = arrays
        self._half = half
        self._side = SIZE
        self.widest = ""
        self._zero = self.graph.weight(np.array(0, np.float32))
        self._six = self.graph.weight(np.array(6, np.float32))

    def stored(self, values: NDArray[Any]) -> str:
        """Store a weight in the chosen precision."""
        return self.graph.half(values) if self._half else self.graph.weight(values)

    def conv(self, x: str, conv: Conv) -> str:
        """Append a convolution with TensorFlow's SAME padding, and ReLU6."""
        kernel, bias = _fold(self._arrays, conv)
        k = kernel.shape[-1]
        out = -(-self._side // conv.stride)
        pad = max((out - 1) * conv.stride + k - self._side, 0)
        before, after = pad // 2, pad - pad // 2
        self._side = out
        y = self.graph.add(
            "Conv", x, self.stored(kernel), self.graph.weight(bias),
            kernel_shape=[k, k], strides=[conv.stride] * 2, pads=[before, before, after, after],
            group=kernel.shape[0] if conv.depthwise else 1,
        )  # fmt: skip
        return self.graph.add("Clip", y, self._zero, self._six) if conv.relu6 else y

    def pool(self, x: str) -> str:
        """Average over all places: `(n, c, h, w)` to `(n, c)`."""
        return self.graph.add("Flatten", self.graph.add("GlobalAveragePool", x))

    def block(self, x: str, index: int, stride: int) -> str:
        """Append an inverted residual block."""
        name = f"_blocks.{index}"
        y = x
        if f"{name}._expand_conv.weight" in self._arrays:
            y = self.conv(y, Conv(f"{name}._expand_conv", f"{name}._bn0"))
        y = self.conv(y, Conv(f"{name}._depthwise_conv", f"{name}._bn1", stride, depthwise=True))
        self.widest = y
        y = self.conv(y, Conv(f"{name}._project_conv", f"{name}._bn2", relu6=False))
        first = self._arrays.get(f"{name}._expand_conv.weight", None)
        width = self._arrays[f"{name}._project_conv.weight"].shape[0]
        same = first is not None and first.shape[1] == width and stride == 1
        return self.graph.add("Add", y, x) if same else y


def image_tower(arrays: Arrays, out: Path, *, half: bool = True) -> None:
    """Write the image tower: uint8 `(n, 260, 260, 3)` RGB to `(n, 5496)`.

    The output is 1,280 pooled features, 1,000 ImageNet logits, and the pooled
    widest activations of stages 5, 6 and 7 (720 + 1,248 + 1,248), which keep
    what the classifier's last layers throw away.
    """
    net = ImageGraph(arrays, half)
    graph = net.graph
    pixels = graph.input("pixels", TensorProto.UINT8, ["n", SIZE, SIZE, 3])
    x = graph.add("Transpose", pixels, perm=[0, 3, 1, 2])
    x = graph.add("Cast", x, to=TensorProto.FLOAT)
    x = graph.add("Sub", x, graph.weight(np.array(PIXEL_MEAN, np.float32)))
    x = graph.add("Mul", x, graph.weight(np.array(1 / PIXEL_STD, np.float32)))
    x = net.conv(x, Conv("_conv_stem", "_bn0", stride=2))
    index, pooled = 0, list[str]()
    for stage, (repeats, first_stride) in enumerate(STAGES):
        for repeat in range(repeats):
            x = net.block(x, index, first_stride if repeat == 0 else 1)
            index += 1
        if stage in POOLED_STAGES:
            pooled.append(net.pool(net.widest))
    features = net.pool(net.conv(x, Conv("_conv_head", "_bn1")))
    weight = net.stored(arrays["_fc.weight"])
    logits = graph.add("Gemm", features, weight, graph.weight(arrays["_fc.bias"]), transB=1)
    graph.add("Concat", features, logits, *pooled, axis=1, output="features")
    graph.save(out, {"features": ["n", IMAGE_FEATURES]})


@dataclass(frozen=True, slots=True)
class Linear:
    """An int8 weight `(in, out)`, a scale for each output, and a bias."""

    weight: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]


def _linears(model: onnx.ModelProto, arrays: Arrays) -> list[Linear]:
    """Read the linear layers in the order the published graph applies them."""
    readers = {node.input[0]: node for node in model.graph.node if node.op_type == "Add"}
    readers |= {node.input[1]: node for node in model.graph.node if node.op_type == "Add"}
    found: list[Linear] = []
    for node in model.graph.node:
        if node.op_type == "MatMul" and f"{node.input[1]}_q" in arrays:
            name, after = node.input[1], readers[node.output[0]]
            bias = next(arrays[side] for side in after.input if side in arrays)
            found.append(Linear(arrays[f"{name}_q"], arrays[f"{name}_scale"], bias))
    if len(found) != LAYERS * 6:
        raise ValueError(f"expected {LAYERS * 6} linear layers, found {len(found)}")
    return found


def _join(parts: list[Linear]) -> Linear:
    """Put linear layers of one input side by side."""
    return Linear(
        np.concatenate([part.weight for part in parts], 1),
        np.concatenate([part.scale for part in parts], 1),
        np.concatenate([part.bias for part in parts]),
    )


class TextGraph:
    """Lays the parts of a BERT encoder, weights kept int8."""

    def __init__(self, arrays: Arrays) -> None:
        self.graph = Graph("minilm-l6-v2")
        self._arrays = arrays

    def linear(self, x: str, linear: Linear) -> str:
        """Append `x @ (weight * scale) + bias`."""
        graph = self.graph
        weight = graph.add("Cast", graph.weight(linear.weight), to=TensorProto.FLOAT)
        weight = graph.add("Mul", weight, graph.weight(linear.scale))
        return graph.add("Add", graph.add("MatMul", x, weight), graph.weight(linear.bias))

    def norm(self, x: str, name: str) -> str:
        """Append a layer norm."""
        scale = self.graph.weight(self._arrays[f"{name}.weight"])
        bias = self.graph.weight(self._arrays[f"{name}.bias"])
        return self.graph.add(
            "LayerNormalization", x, scale, bias, axis=-1, epsilon=LAYER_NORM_EPSILON
        )

    def rows(self, name: str, ids: str) -> str:
        """Look rows up in an int8 table, and only then turn them into floats."""
        table = self.graph.weight(self._arrays[f"{name}.weight_q"])
        scale = self.graph.weight(self._arrays[f"{name}.weight_scale"])
        rows = self.graph.add("Cast", self.graph.add("Gather", table, ids), to=TensorProto.FLOAT)
        return self.graph.add("Mul", rows, self.graph.add("Gather", scale, ids))

    def heads(self, x: str, *perm: int) -> str:
        """Split `(n, t, 384)` into heads, ordered as `perm` says."""
        shape = self.graph.ints(0, 0, HEADS, HIDDEN // HEADS)
        return self.graph.add("Transpose", self.graph.add("Reshape", x, shape), perm=list(perm))

    def attention(self, x: str, mask: str, linears: list[Linear]) -> str:
        """Append multi-head attention; `mask` is 0 or a large negative number."""
        graph = self.graph
        joint = self.linear(x, _join(linears[:3]))
        parts = [f"{joint}_{part}" for part in "qkv"]
        sizes = graph.ints(HIDDEN, HIDDEN, HIDDEN)
        graph.split(joint, sizes, parts)
        query, key = self.heads(parts[0], 0, 2, 1, 3), self.heads(parts[1], 0, 2, 3, 1)
        root = graph.weight(np.array((HIDDEN // HEADS) ** -0.5, np.float32))
        scores = graph.add("Mul", graph.add("MatMul", query, key), root)
        weights = graph.add("Softmax", graph.add("Add", scores, mask), axis=-1)
        mixed = graph.add("MatMul", weights, self.heads(parts[2], 0, 2, 1, 3))
        mixed = graph.add("Transpose", mixed, perm=[0, 2, 1, 3])
        return self.linear(graph.add("Reshape", mixed, graph.ints(0, 0, HIDDEN)), linears[3])


def text_tower(model: onnx.ModelProto, out: Path) -> None:
    """Write the text tower: token ids and mask `(n, t)` to `(n, 384)`, unit norm."""
    arrays: Arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    linears = _linears(model, arrays)
    net = TextGraph(arrays)
    graph = net.graph
    ids = graph.input("input_ids", TensorProto.INT64, ["n", "t"])
    mask = graph.add(
        "Cast", graph.input("attention_mask", TensorProto.INT64, ["n", "t"]), to=TensorProto.FLOAT
    )
    one = graph.weight(np.array(1, np.float32))
    hidden = graph.add("Sub", one, graph.add("Unsqueeze", mask, graph.ints(1, 2)))
    hidden = graph.add("Mul", hidden, graph.weight(np.array(-1e9, np.float32)))
    length = graph.add("Squeeze", graph.add("Shape", ids, start=1, end=2), graph.ints(0))
    zero, step = graph.weight(np.array(0, np.int64)), graph.weight(np.array(1, np.int64))
    positions = graph.add("Range", zero, length, step)
    x = graph.add(
        "Add",
        net.rows("inner.embeddings.word_embeddings", ids),
        net.rows("inner.embeddings.position_embeddings", positions),
    )
    kind = arrays["inner.embeddings.token_type_embeddings.weight"][0]
    x = net.norm(graph.add("Add", x, graph.weight(kind)), "inner.embeddings.LayerNorm")
    for layer in range(LAYERS):
        name, parts = f"inner.encoder.layer.{layer}", linears[layer * 6 : layer * 6 + 6]
        y = net.attention(x, hidden, parts)
        x = net.norm(graph.add("Add", x, y), f"{name}.attention.output.LayerNorm")
        y = net.linear(graph.add("Gelu", net.linear(x, parts[4])), parts[5])
        x = net.norm(graph.add("Add", x, y), f"{name}.output.LayerNorm")
    # The mean over real tokens has the sum's direction, so normalising it suffices.
    total = graph.add("Mul", x, graph.add("Unsqueeze", mask, graph.ints(2)))
    total = graph.add("ReduceSum", total, graph.ints(1), keepdims=0)
    graph.add("LpNormalization", total, axis=-1, p=2, output="features")
    graph.save(out, {"features": ["n", HIDDEN]})


def main() -> None:
    """Write both towers."""
    parser = argparse.ArgumentParser(description="Write the towers as ONNX.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    (checkpoint,) = arguments.weights.glob("efficientnet-lite2-*.pth")
    image_tower(read_checkpoint(checkpoint), arguments.out / "efficientnet-lite2.onnx")
    text_tower(
        onnx.load(arguments.weights / "minilm-l6-v2-int8.onnx"),
        arguments.out / "minilm-l6-v2-int8.onnx",
    )


if __name__ == "__main__":
    main()
