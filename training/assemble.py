"""Put the shipped bundles together: towers once, heads beside each description.

    python assemble.py WEIGHTS TOWERS CACHE HEADS.npz BUNDLES [--quality FOLDER]

BUNDLES becomes `towers/`, `lite/` and `lite-conse/`, as docs/models.md
describes them. `--quality` names the folder of measure.py's JSON, whose
figures go into each bundle.toml.
"""

import argparse
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import conse
import datasets
import numpy as np
from conse import Conse, Matrix
from fetch import WEIGHTS
from graph import Graph
from heads import LIMIT, apply
from manifest import manifest
from onnx import TensorProto
from towers import CLASSES, FEATURES, IMAGE_FEATURES

VERSION = "1.0.0"
TEXT_FEATURES = 384
CONSE_SHARE = 0.7
"""Weight of the ConSE cosine beside the heads' cosine, 1."""


@dataclass(frozen=True, slots=True)
class Dual:
    """The two weights of a space's parts, so that a sum of squares is 1."""

    heads: float
    conse: float


def shares() -> Dual:
    """Give the factors that make one unit vector of two."""
    total = 1 + CONSE_SHARE
    return Dual(float(np.sqrt(1 / total)), float(np.sqrt(CONSE_SHARE / total)))


def _small(graph: Graph, values: Matrix) -> str:
    """Store a matrix as int8 with a scale for each column."""
    scale = np.abs(values).max(0, keepdims=True) / 127
    stored = graph.weight(np.round(values / scale).astype(np.int8))
    return graph.add("Mul", graph.add("Cast", stored, to=TensorProto.FLOAT), graph.weight(scale))


def _unit(graph: Graph, x: str) -> str:
    return graph.add("LpNormalization", x, axis=-1, p=2)


def _head(graph: Graph, x: str, heads: dict[str, Matrix], side: str) -> str:
    """Append a trained head."""
    w = {name: heads[f"{side}.{name}"].astype(np.float32) for name in "WbAaB"}
    # Standardising stays apart: folded in, a nearly constant input would have a
    # weight so large that int8 left nothing of the others in its column.
    x = graph.add("Sub", x, graph.weight(heads[f"{side}.mean"].astype(np.float32)))
    x = graph.add("Mul", x, graph.weight(heads[f"{side}.scale"].astype(np.float32)))
    ends = [graph.weight(np.array(end, np.float32)) for end in (-LIMIT, LIMIT)]
    x = graph.add("Clip", x, *ends)
    hidden = graph.add("MatMul", x, _small(graph, w["A"]))
    hidden = graph.add("Relu", graph.add("Add", hidden, graph.weight(w["a"])))
    out = graph.add("MatMul", x, _small(graph, w["W"]))
    out = graph.add("Add", out, graph.weight(w["b"]))
    return _unit(graph, graph.add("Add", out, graph.add("MatMul", hidden, _small(graph, w["B"]))))


def _image_conse(graph: Graph, x: str, space: Conse) -> str:
    """Append ConSE: the top classes' raised logits times the class vectors."""
    logits = graph.add(
        "Slice", x, graph.ints(FEATURES), graph.ints(FEATURES + CLASSES), graph.ints(1)
    )
    cool = graph.weight(np.array(1 / conse.TEMPERATURE, np.float32))
    chances = graph.add("Softmax", graph.add("Mul", logits, cool), axis=-1)
    top = graph.top(chances, conse.TOP)
    floor = graph.add("ReduceMin", top, graph.ints(1), keepdims=1)
    kept = graph.add("GreaterOrEqual", chances, floor)
    chances = graph.add("Where", kept, chances, graph.weight(np.array(0, np.float32)))
    return _unit(graph, graph.add("MatMul", chances, graph.half(space.classes)))


def _text_conse(graph: Graph, x: str, space: Conse) -> str:
    return _unit(graph, graph.add("Sub", x, graph.weight(space.text_origin)))


def _join(graph: Graph, head: str, known: str) -> None:
    both = shares()
    parts = [
        graph.add("Mul", part, graph.weight(np.array(share, np.float32)))
        for part, share in ((head, both.heads), (known, both.conse))
    ]
    graph.add("Concat", *parts, axis=-1, output="embedding")


def write_heads(folder: Path, space: Conse, heads: dict[str, Matrix] | None) -> int:
    """Write `image-head.onnx` and `text-head.onnx`; give the dimension."""
    dim = TEXT_FEATURES + (0 if heads is None else heads["image.b"].shape[0])
    for side, width in (("image", IMAGE_FEATURES), ("text", TEXT_FEATURES)):
        graph = Graph(f"{folder.name}-{side}-head")
        x = graph.input("features", TensorProto.FLOAT, ["n", width])
        known = _image_conse(graph, x, space) if side == "image" else _text_conse(graph, x, space)
        if heads is None:
            graph.add("Identity", known, output="embedding")
        else:
            _join(graph, _head(graph, x, heads, side), known)
        graph.save(folder / f"{side}-head.onnx", {"embedding": ["n", dim]})
    return dim


def similarity_scale(image: Matrix, text: Matrix) -> float:
    """Fit the factor that makes cosines into logits: least symmetric InfoNCE.

    `image` is `(n, dim)`, `text` the first caption of each, `(n, dim)`.
    """
    cosines = image @ text.T

    def loss(scale: float) -> float:
        logits = scale * cosines
        ways = [np.log(np.exp(side - side.max(1, keepdims=True)).sum(1)) + side.max(1)
                for side in (logits, logits.T)]  # fmt: skip
        return float(sum(way.mean() for way in ways) - 2 * np.diag(logits).mean())

    return float(min(np.arange(4.0, 101.0), key=loss))


def fitted_scale(cache: Path, space: Conse, heads: dict[str, Matrix] | None) -> float:
    """Fit the similarity scale on Flickr8k's dev photographs."""
    images = np.load(cache / "image-dev-0.npy").astype(np.float32)
    texts = np.load(cache / "text-dev.npy")[:: datasets.CAPTIONS].astype(np.float32)
    known = space.images(images[:, FEATURES : FEATURES + CLASSES]), space.texts(texts)
    if heads is None:
        return similarity_scale(*known)
    both = shares()
    found = apply(heads, "image", images), apply(heads, "text", texts)
    return similarity_scale(
        *(
            np.concatenate([both.heads * head, both.conse * part], 1)
            for head, part in zip(found, known, strict=True)
        )
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _quality(folder: Path | None, name: str) -> dict[str, float]:
    path = folder / f"{name}.json" if folder else None
    return json.loads(path.read_text())["quality"] if path and path.is_file() else {}


def main() -> None:
    """Write all that ships under bundles/."""
    parser = argparse.ArgumentParser(description="Put the packaged bundles together.")
    for name in ("weights", "towers", "cache", "heads", "bundles"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--quality", type=Path)
    given = parser.parse_args()
    common = given.bundles / "towers"
    common.mkdir(parents=True, exist_ok=True)
    shared = ["efficientnet-lite2.onnx", "minilm-l6-v2-int8.onnx"]
    for name in shared:
        shutil.copyfile(given.towers / name, common / name)
    shutil.copyfile(given.weights / "tokenizer.json", common / "tokenizer.json")
    space = conse.from_cache(given.cache)
    for name, heads in (("lite", dict(np.load(given.heads))), ("lite-conse", None)):
        folder = given.bundles / name
        folder.mkdir(exist_ok=True)
        dim = write_heads(folder, space, heads)
        places = [f"../towers/{part}" for part in (*shared, "tokenizer.json")]
        hashes = {place: _sha256(folder / place) for place in places} | {
            part: _sha256(folder / part) for part in ("image-head.onnx", "text-head.onnx")
        }
        text = manifest(
            name=name,
            version=VERSION,
            dim=dim,
            scale=fitted_scale(given.cache, space, heads),
            hashes=hashes,
            weights=WEIGHTS,
            quality=_quality(given.quality, name),
        )
        (folder / "bundle.toml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
