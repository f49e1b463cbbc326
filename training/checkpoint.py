"""Read a PyTorch checkpoint of plain tensors with the standard library and numpy.

Covers the format before zip archives (torch < 1.6): three pickles (magic,
protocol, system), the object's pickle, the list of storage keys, then each
storage as an int64 count and its raw little-endian elements. Nothing in the
file is executed: the unpickler resolves only the few names listed here.
"""

import collections
import pickle
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x1950A86A20F9469CFC6C
ELEMENT_TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Tensor:
    """A view that is filled in once the storages have been read."""

    def __init__(
        self, storage: tuple[str, np.dtype[Any]], offset: int, shape: Any, strides: Any
    ) -> None:
        self.key, self.dtype = storage
        self.offset, self.shape, self.strides = offset, tuple(shape), tuple(strides)


def _rebuild(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows tensors and ordered dictionaries and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in ELEMENT_TYPES:
            return ELEMENT_TYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint of tensors")

    def persistent_load(self, pid: Any) -> Any:
        _, dtype, key, *_ = pid
        return key, dtype


def _storage(file: BinaryIO, dtype: np.dtype[Any]) -> NDArray[Any]:
    (count,) = struct.unpack("<q", file.read(8))
    return np.frombuffer(file.read(count * dtype.itemsize), dtype=dtype)


def read_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Read a state dictionary: parameter name to array."""
    with path.open("rb") as file:
        if _Unpickler(file).load() != MAGIC:
            raise ValueError(f"{path} is not a PyTorch checkpoint of the pre-zip format")
        _Unpickler(file).load()
        _Unpickler(file).load()
        state = _Unpickler(file).load()
        keys = _Unpickler(file).load()
        dtypes = {tensor.key: tensor.dtype for tensor in state.values()}
        storages = {key: _storage(file, dtypes[key]) for key in keys}
    arrays: dict[str, NDArray[Any]] = {}
    for name, tensor in state.items():
        flat = storages[tensor.key][tensor.offset :]
        strides = tuple(stride * flat.itemsize for stride in tensor.strides)
        view = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)
        arrays[name] = np.ascontiguousarray(view).reshape(tensor.shape)
    return arrays
