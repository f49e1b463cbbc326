"""The methods a user would pick instead: pHash, PDQ, and imagededup's four hashes.

imagededup asks for torch, though its hashes need none. `pip install --no-deps imagededup` with
`scikit-learn`, `PyWavelets`, `scipy` and `tqdm` is enough here: the modules that would import
torch and matplotlib are left empty.
"""

from __future__ import annotations

import io
import sys
import time
import types
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

Hash = Callable[[bytes], np.ndarray]


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _phash(data: bytes) -> np.ndarray:
    import imagehash

    return imagehash.phash(Image.open(io.BytesIO(data))).hash.ravel()


def _pdq(data: bytes) -> np.ndarray:
    import pdqhash

    return pdqhash.compute(_pixels(data))[0].astype(bool)


def _pdq_turns(data: bytes) -> np.ndarray:
    import pdqhash

    return np.stack(pdqhash.compute_dihedral(_pixels(data))[0]).astype(bool)


def _imagededup() -> dict[str, Hash]:
    for name, attribute in (
        ("imagededup.methods.cnn", "CNN"),
        ("imagededup.utils.models", "CustomModel"),
        ("imagededup.utils.plotter", "plot_duplicates"),
    ):
        module = types.ModuleType(name)
        setattr(module, attribute, None)
        sys.modules.setdefault(name, module)
    try:
        from imagededup.methods import hashing
    except ImportError:
        return {}

    def hasher(kind: str) -> Hash:
        method = getattr(hashing, kind)(verbose=False)

        def compute(data: bytes) -> np.ndarray:
            text = method.encode_image(image_array=_pixels(data))
            return np.array([int(bit) for bit in f"{int(text, 16):064b}"], dtype=bool)

        return compute

    return {f"imagededup {kind}": hasher(kind) for kind in ("PHash", "DHash", "AHash", "WHash")}


def methods() -> dict[str, tuple[Hash, int]]:
    """Return each method's hash and the distance that its makers recommend."""
    found: dict[str, tuple[Hash, int]] = {
        "pHash alone": (_phash, 10),
        "PDQ": (_pdq, 31),
        "PDQ in eight turns": (_pdq_turns, 31),
    }
    found |= {name: (method, 10) for name, method in _imagededup().items()}
    return found


def distances(
    method: Hash, copies: Sequence[bytes], index: Sequence[bytes]
) -> tuple[np.ndarray, float]:
    """Return `(copies, index)` bits apart, and milliseconds a hash."""
    start = time.process_time()
    ours = [np.atleast_2d(method(data)) for data in copies]
    spent_ms = (time.process_time() - start) * 1000 / len(copies)
    theirs = np.stack([np.atleast_2d(method(data))[0] for data in index]).astype(np.float32) * 2 - 1
    bits = theirs.shape[1]
    rows = [
        ((bits - (turns.astype(np.float32) * 2 - 1) @ theirs.T) / 2).min(axis=0) for turns in ours
    ]
    return np.rint(np.stack(rows)).astype(int), spent_ms
