"""Candidates of caption queries over pictures of which half have words beside them.

    python eval/fusion/retrieval.py --data DATA --out CACHE.npz

Pictures are those of DATA/flickr8k's dev split, or of another dataset with captions. Of every
other picture the captions 2 to 5 are its words; of the rest nothing is known but the pixels.
Queries are made of caption 1, in three kinds:

- `text`: the content words of the caption that also stand in the picture's own words;
- `picture`: the whole caption of a picture that has no words;
- `both`: the whole caption of a picture that has words.

The one right answer is the picture (or any picture with the very same caption 1). The engine's
own paths gather the candidates and their features; they are kept, so that rankers are compared
over the same candidates.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike.domain.images import Source
from lookalike.domain.queries import Query, TextMatch, TextPart
from lookalike.evaluation.datasets import load_dataset
from lookalike.ports.source import SourceItem
from lookalike.settings.features import NO_FEATURES
from lookalike.telemetry.stages import StageTimer
from lookalike.wiring.embedded import OpenOptions, open_index
from lookalike.wiring.evaluation import ids_by_file

SEED = 7
K = 20
KINDS = ("text", "picture", "both")
FEATURES = ("bm25", "cosine")
STOP = frozenset(
    re.findall(
        r"[a-z]+",
        "a an the in on at of and is are with to his her its their by from into over up down out "
        "as for while who which that this there it he she they one two three four some another "
        "other be being has have through near next front behind",
    )
)


@dataclass(frozen=True)
class Candidates:
    """One query: its kind, the picture it is about, and the features of what was found.

    `features` maps a name to `(n,)` float32; `is_right` is `(n,)` bool; `right` counts the right
    answers of the whole index, found or not.
    """

    text: str
    kind: str
    picture: int
    rows: np.ndarray
    features: dict[str, np.ndarray]
    is_right: np.ndarray
    right: int


def main() -> None:
    """Retrieve and write the cache."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", default="flickr8k")
    parser.add_argument("--split", default="dev", help='"" for a dataset without splits')
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    found = retrieve(options.data / options.dataset, options.split or None)
    save(found, options.out)
    for kind in KINDS:
        of_kind = [one for one in found if one.kind == kind]
        reached = np.mean([one.is_right.any() for one in of_kind])
        print(f"{kind}: {len(of_kind)} queries, right answer among candidates {reached:.3f}")


class HalfWorded:
    """The dataset's pictures under numbers; those of `worded` with captions 2 to 5 as words."""

    name = "half worded"
    prefix = None

    def __init__(self, dataset, worded) -> None:
        self._dataset = dataset
        self._worded = worded

    def count(self):
        """Return how many pictures there are."""
        return len(self._dataset.images)

    def items(self):
        """Yield each picture under its number."""
        for number, image in enumerate(self._dataset.images):
            words = "\n".join(image.captions[1:]) if number in self._worded else ""
            yield SourceItem(Source(f"/{number}", caption=words), "path", path=image.path)


def retrieve(folder: Path, split: str | None) -> list[Candidates]:
    """Index the pictures and gather the candidates of every query."""
    dataset = load_dataset(folder, split=split)
    numbers = [at for at, image in enumerate(dataset.images) if image.captions]
    worded = set(random.Random(SEED).sample(numbers, len(numbers) // 2))
    with tempfile.TemporaryDirectory(prefix="lookalike-eval-") as scratch:
        asked = OpenOptions(is_creating=True, features=NO_FEATURES)
        with open_index(Path(scratch) / "index", asked) as engine:
            engine.index([HalfWorded(dataset, worded)])
            engine.catch_up()
            ids = ids_by_file(engine, dataset)
            rows = engine.stores.catalog.rows_of(list(ids.values()))
            row_of = [rows[ids[image.file]] for image in dataset.images]
            return [
                _candidates(engine, text, kind, number, _right(dataset, row_of, number))
                for text, kind, number in queries_of(dataset, worded)
            ]


def queries_of(dataset, worded):
    """Yield the words, kind and picture of every query."""
    for number, image in enumerate(dataset.images):
        if not image.captions:
            continue
        caption = image.captions[0].rstrip(" .")
        if number not in worded:
            yield caption, "picture", number
            continue
        yield caption, "both", number
        known = set(_words(" ".join(image.captions[1:])))
        shared = [word for word in _words(caption) if word in known and word not in STOP]
        if shared:
            yield " ".join(dict.fromkeys(shared)), "text", number


def _words(text):
    return re.findall(r"[a-z]+", text.lower())


def _right(dataset, row_of, number):
    caption = dataset.images[number].captions[:1]
    return {row_of[at] for at, other in enumerate(dataset.images) if other.captions[:1] == caption}


def _candidates(engine, text, kind, number, right):
    query = Query(texts=(TextPart(text),), match=TextMatch(text), k=K, deadline_ms=60_000)
    gathered = engine._searcher._gatherer.gather(query, [], None, StageTimer())
    features = {name: gathered.features[name] for name in FEATURES}
    is_right = np.isin(gathered.rows, list(right))
    return Candidates(text, kind, number, gathered.rows, features, is_right, len(right))


def save(found: list[Candidates], path: Path) -> None:
    """Write the candidates of all queries as one file."""
    arrays = {
        "lengths": np.array([len(one.rows) for one in found]),
        "texts": np.array([one.text for one in found]),
        "kinds": np.array([one.kind for one in found]),
        "pictures": np.array([one.picture for one in found]),
        "right": np.array([one.right for one in found]),
        "rows": np.concatenate([one.rows for one in found]),
        "is_right": np.concatenate([one.is_right for one in found]),
        **{name: np.concatenate([one.features[name] for one in found]) for name in FEATURES},
    }
    np.savez_compressed(path, **arrays)


def load(path: Path) -> list[Candidates]:
    """Read what `save` wrote."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    ends = np.cumsum(arrays["lengths"])
    found = []
    for at, end in enumerate(ends):
        cut = slice(int(end - arrays["lengths"][at]), int(end))
        features = {name: arrays[name][cut] for name in FEATURES}
        found.append(
            Candidates(
                str(arrays["texts"][at]), str(arrays["kinds"][at]), int(arrays["pictures"][at]),
                arrays["rows"][cut], features, arrays["is_right"][cut], int(arrays["right"][at]),
            )
        )  # fmt: skip
    return found


if __name__ == "__main__":
    main()
