"""Originals, their copies and what an index would know of each: facts, vectors, thumbnails."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import transforms
from PIL import Image

from lookalike.adapters.bundle_files import load_bundle
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.domain.images import ImageFacts
from lookalike.evaluation.reports import describe_machine
from lookalike.imaging.examine import ExaminePlan, examine
from lookalike.wiring.evaluation import commit_of

BATCH = 64
NEAR = 0.8
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Picture:
    """One file: `original` is the name of the picture it is a copy of, or its own."""

    name: str
    original: str
    transform: str
    data: bytes
    facts: ImageFacts
    thumbnail: bytes


@dataclass(frozen=True)
class Material:
    """An index of pictures and the copies that are sought in it, with their vectors."""

    index: Sequence[Picture]
    vectors: np.ndarray
    copies: Sequence[Picture]
    copy_vectors: np.ndarray
    hard: frozenset[str]


def circumstances() -> dict:
    """Return where, when and of which revision something was measured."""
    return {
        "machine": asdict(describe_machine()),
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "commit": commit_of(),
        "seed": 0,
    }


class Reader:
    """Reads pictures as ingest does; vectors are kept in a folder between runs."""

    def __init__(self, data: Path, cache: Path) -> None:
        self.data, self.cache = data, cache
        self.encoder = OnnxEncoder(load_bundle("lite"), threads=2)
        self.plan = ExaminePlan(preprocess=self.encoder.preprocess)

    def file(self, name: str) -> bytes:
        return (self.data / name).read_bytes()

    def read(
        self, named: Iterator[tuple[str, str, str, bytes]]
    ) -> tuple[list[Picture], np.ndarray]:
        """Return pictures and `(n, dim)` vectors."""
        pictures, vectors, waiting = [], [], []
        for name, original, transform, data in named:
            examined = examine(data, plan=self.plan)
            pictures.append(
                Picture(name, original, transform, data, examined.facts, examined.thumbnail)
            )
            waiting.append((examined.facts.id, examined.pixels))
            if len(waiting) == BATCH:
                vectors.append(self._encode(waiting))
                waiting = []
        if waiting:
            vectors.append(self._encode(waiting))
        return pictures, np.concatenate(vectors)

    def _encode(self, waiting: list) -> np.ndarray:
        key = hashlib.sha256("".join(name for name, _ in waiting).encode()).hexdigest()[:24]
        path = self.cache / f"{self.encoder.bundle.name}-{key}.npy"
        if not path.is_file():
            self.cache.mkdir(parents=True, exist_ok=True)
            np.save(path, self.encoder.encode_images(np.stack([pixels for _, pixels in waiting])))
        return np.load(path)


def is_reported(name: str) -> bool:
    """Tell which half a picture of dev is in, by the hash of its name."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def known_copies() -> set[frozenset[str]]:
    """Return the pairs of Flickr8k that are one photograph, found by looking."""
    pairs = json.loads((HERE / "same.json").read_text())["pairs"]
    return {frozenset(pair) for pair in pairs}


def look_alikes(
    reader: Reader, splits: Sequence[str], near: float
) -> list[tuple[Picture, Picture, float]]:
    """Return pairs of photographs of those splits that lie near each other, with their cosines.

    Nearly all are shots of one scene. The first of each pair is of the first split; where two
    splits are named, the second may be of either.
    """
    lines = (reader.data / "labels.jsonl").read_text().splitlines()
    rows = [(row["file"], row["split"]) for row in map(json.loads, lines)]
    files = [sorted(file for file, split in rows if split == wanted) for wanted in splits]
    names = [name for group in files for name in group]
    pictures, vectors = reader.read((name, name, "", reader.file(name)) for name in names)
    firsts = len(files[0])
    cosines = np.triu(vectors[:firsts] @ vectors.T, 1)
    return [
        (pictures[a], pictures[b], float(cosines[a, b])) for a, b in np.argwhere(cosines > near)
    ]


def build(reader: Reader, split: str, originals: int, indexed: int) -> Material:
    """Take an index of one split, and copies of some of its pictures by every transform.

    Half of the originals are drawn from pictures that have a look-alike, so that bursts are
    well represented. Of dev only originals of the reported half are taken.
    """
    lines = (reader.data / "labels.jsonl").read_text().splitlines()
    files = sorted(row["file"] for row in map(json.loads, lines) if row["split"] == split)
    # Bursts have neighbouring names (they are numbered by the site), so runs are kept whole.
    start = random.Random(split).randrange(max(len(files) - indexed, 0) + 1)
    files = files[start : start + indexed]
    index, vectors = reader.read((name, name, "", reader.file(name)) for name in files)
    near = vectors @ vectors.T
    np.fill_diagonal(near, -1)
    rng = random.Random(0)
    allowed = [i for i, name in enumerate(files) if split != "dev" or is_reported(name)]
    rng.shuffle(allowed)
    hard = [i for i in allowed if near[i].max() > NEAR][: originals // 2]
    easy = [i for i in allowed if near[i].max() <= NEAR][: originals - len(hard)]
    copies, copy_vectors = reader.read(_copies(reader, [files[i] for i in hard + easy], split))
    return Material(index, vectors, copies, copy_vectors, frozenset(files[i] for i in hard))


def _copies(
    reader: Reader, names: Sequence[str], split: str
) -> Iterator[tuple[str, str, str, bytes]]:
    beside = _strangers(reader, split)
    for number, name in enumerate(names):
        image = Image.open(io.BytesIO(reader.file(name))).convert("RGB")
        other = Image.open(io.BytesIO(reader.file(beside[number]))).convert("RGB")
        for transform in transforms.NAMES:
            copy = transforms.copy_of(transform, image, name, other)
            yield f"{name}:{transform}", name, transform, copy


def _strangers(reader: Reader, split: str) -> list[str]:
    """Return pictures of the other split, to stand in collages: no index holds them."""
    lines = (reader.data / "labels.jsonl").read_text().splitlines()
    files = sorted(row["file"] for row in map(json.loads, lines) if row["split"] != split)
    random.Random(1).shuffle(files)
    return files
