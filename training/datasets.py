"""Read the data that training and measuring take: photographs, captions, class names."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CAPTIONS = 5


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph with what is known of it; `is_annotated` when labels are complete."""

    path: Path
    captions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    is_annotated: bool = False


def rows(path: Path) -> Iterator[dict[str, object]]:
    """Read a file of one JSON object a line, plain or gzipped."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def flickr8k(folder: Path, *, train: bool) -> list[Photo]:
    """Read Flickr8k's training photographs, or the others (dev)."""
    return [
        Photo(folder / str(row["file"]), tuple(row["captions"][:CAPTIONS]))  # type: ignore[index]
        for row in rows(folder / "labels.jsonl")
        if (row["split"] == "train") == train
    ]


def coco(folder: Path) -> list[Photo]:
    """Read the COCO photographs; labels are complete where boxes were given."""
    return [
        Photo(
            folder / str(row["file"]),
            tuple(row["captions"]),  # type: ignore[arg-type]
            tuple(row.get("labels") or ()),  # type: ignore[arg-type]
            bool(row.get("boxes_from")),
        )
        for row in rows(folder / "labels.jsonl")
    ]


def imagenet_sample(folder: Path) -> list[Photo]:
    """Read photographs with one ImageNet class name each."""
    return [
        Photo(folder / str(row["file"]), labels=(str(row["label"]),))
        for row in rows(folder / "labels.jsonl")
    ]


def coco_texts(path: Path, photographs: Path) -> list[str]:
    """Read COCO captions (text only), without those of photographs we measure on."""
    held = {row["coco_id"] for row in rows(photographs / "labels.jsonl")}
    found = (row["captions"] for row in rows(path) if row["coco_id"] not in held)
    return [caption for captions in found for caption in captions]  # type: ignore[attr-defined]


def class_texts(weights: Path) -> tuple[list[str], ...]:
    """Give four ways to write each of the 1,000 ImageNet classes, in logit order.

    All its names, its first name, `a photo of a …`, and the name with its
    WordNet definition.
    """
    lemmas = _table(weights / "imagenet_synset_to_lemma.txt")
    meanings = _table(weights / "imagenet_synset_to_definition.txt")
    synsets = (weights / "imagenet_synsets.txt").read_text().split()
    names = [lemmas[synset] for synset in synsets]
    firsts = [name.split(", ")[0] for name in names]
    return (
        names,
        firsts,
        [f"a photo of a {first}" for first in firsts],
        [f"{first}: {meanings[synset]}" for first, synset in zip(firsts, synsets, strict=True)],
    )


def _table(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines)  # type: ignore[misc]


def targets(photos: list[Photo]) -> NDArray[np.int64]:
    """Give the photo's position for each caption, captions in order."""
    return np.repeat(np.arange(len(photos)), [len(photo.captions) for photo in photos])
