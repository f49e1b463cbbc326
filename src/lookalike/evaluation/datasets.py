"""Datasets of labelled photographs: a folder with `images/` and `labels.jsonl`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lookalike.domain.errors import SourceError, UnknownNameError, suggest_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

LABELS: Final = "labels.jsonl"
_KNOWN: Final = frozenset({"file", "captions", "split", "label", "labels", "boxes", "boxes_from"})


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """An annotated object; `box` is x, y, width, height as fractions of the picture."""

    label: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One photograph and what is known of it.

    `file` is relative to the dataset's folder and names the image in qrels. `label` is its one
    class, `labels` are the classes seen in it. Where `is_fully_annotated`, an absent label means
    that nothing of that class is to be seen.
    """

    file: str
    path: Path
    captions: tuple[str, ...] = ()
    split: str = ""
    label: str = ""
    labels: frozenset[str] = frozenset()
    boxes: tuple[LabelledBox, ...] = ()
    is_fully_annotated: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled photographs in the order of their file."""

    name: str
    root: Path
    images: Sequence[LabelledImage]

    @property
    def captions(self) -> dict[str, str]:
        """Every caption by its id, which is the image's file, `#` and a number."""
        return {
            f"{image.file}#{i}": caption
            for image in self.images
            for i, caption in enumerate(image.captions)
        }

    def caption_qrels(self) -> dict[str, dict[str, int]]:
        """Return qrels for text→image: each caption's one relevant image."""
        return {
            f"{image.file}#{i}": {image.file: 1}
            for image in self.images
            for i in range(len(image.captions))
        }

    def image_qrels(self) -> dict[str, dict[str, int]]:
        """Return qrels for image→text: each image's relevant captions."""
        return {
            image.file: {f"{image.file}#{i}": 1 for i in range(len(image.captions))}
            for image in self.images
            if image.captions
        }

    def class_qrels(self) -> dict[str, dict[str, int]]:
        """Return qrels for class words: the images that bear each label."""
        qrels: dict[str, dict[str, int]] = {}
        for image in self.images:
            for label in sorted(image.labels | ({image.label} - {""})):
                qrels.setdefault(label, {})[image.file] = 1
        return qrels


def load_dataset(folder: Path, *, split: str | None = None, limit: int | None = None) -> Dataset:
    """Read a dataset, or one split of it, or its first images.

    Raises:
        SourceError: there is no such dataset, or a line of its labels cannot be used.
        UnknownNameError: no image is in that split.
    """
    labels = folder / LABELS
    if not labels.is_file():
        hint = f"a dataset is a folder with images/ and {LABELS} (docs/evaluation.md)"
        raise SourceError(f"there is no {LABELS} in {folder}", hint=hint)
    images = list(_read(labels, folder))
    if not images:
        raise SourceError(f"{labels} has no lines", hint="each line labels one image")
    if split is not None:
        splits = {image.split for image in images} - {""}
        images = [image for image in images if image.split == split]
        if not images:
            hint = suggest_names(split, splits) if splits else "this dataset has no splits"
            raise UnknownNameError(f"{folder} has no split {split}", hint=hint)
    return Dataset(folder.resolve().name, folder, tuple(images[:limit]))


def _read(labels: Path, folder: Path) -> Iterator[LabelledImage]:
    for number, line in enumerate(labels.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            image = _parse(json.loads(line), folder)
        except (KeyError, TypeError, ValueError) as error:
            detail = f"{type(error).__name__}: {error}"
            raise SourceError(
                f"{labels}:{number} cannot be used ({detail})",
                hint='each line is an object such as {"file": "images/a.jpg", "captions": []}',
            ) from error
        yield image


def _parse(row: Mapping[str, Any], folder: Path) -> LabelledImage:
    file = str(row["file"])
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{file} lies outside the dataset")
    boxes = tuple(_parse_box(box) for box in row.get("boxes") or ())
    return LabelledImage(
        file=file,
        path=path,
        captions=tuple(str(caption) for caption in row.get("captions") or ()),
        split=str(row.get("split") or ""),
        label=str(row.get("label") or ""),
        labels=frozenset(str(label) for label in row.get("labels") or ())
        | {box.label for box in boxes},
        boxes=boxes,
        is_fully_annotated=bool(row.get("boxes_from")),
        extra={key: value for key, value in row.items() if key not in _KNOWN},
    )


def _parse_box(row: Mapping[str, Any]) -> LabelledBox:
    x, y, width, height = (float(side) for side in row["box"])
    return LabelledBox(str(row["label"]), (x, y, width, height))
