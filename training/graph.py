"""A small builder of ONNX graphs: nodes, weights and a checked file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 9


class Graph:
    """Collects nodes and weights; every method gives the name of its result."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, kind: int, shape: Sequence[int | str]) -> str:
        """Declare an input of ONNX element type `kind`; strings are free axes."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def weight(self, values: NDArray[Any]) -> str:
        """Store an array as it is."""
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def half(self, values: NDArray[Any]) -> str:
        """Store float16, computed with as float32 (folded when a session loads)."""
        stored = self.weight(values.astype(np.float16))
        return self.add("Cast", stored, to=TensorProto.FLOAT)

    def ints(self, *values: int) -> str:
        """Store a vector of int64."""
        return self.weight(np.array(values, np.int64))

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node with one output."""
        output = output or f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def split(self, x: str, sizes: str, outputs: Sequence[str], axis: int = -1) -> None:
        """Append a split into named parts."""
        self._nodes.append(helper.make_node("Split", [x, sizes], list(outputs), axis=axis))

    def top(self, x: str, count: int) -> str:
        """Append the `count` largest values of the last axis."""
        name = f"v{len(self._nodes)}"
        node = helper.make_node("TopK", [x, self.ints(count)], [name, f"{name}_places"], axis=-1)
        self._nodes.append(node)
        return name

    def save(self, path: Path, outputs: dict[str, Sequence[int | str]]) -> None:
        """Check and write the model; `outputs` are float32, name to shape."""
        declared = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ]
        graph = helper.make_graph(self._nodes, self._name, self._inputs, declared, self._weights)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="lookalike-training",
        )
        onnx.checker.check_model(model, full_check=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString(deterministic=True))
