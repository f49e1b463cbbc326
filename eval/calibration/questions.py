"""Queries of which half have no answer, over photographs whose things are known.

Every query is asked twice: of all photographs, and of those without any answer to it.

- `word`: a thing of Flickr8k's captions, a label of COCO or a class of ImageNet: the answers are
  photographs that show it. Where that is not known, they are left out both times;
- `caption`: a caption of Flickr8k or COCO: its photograph is the answer. For the empty query the
  whole dataset goes, since other photographs of it may answer as well;
- `picture`: a photograph of COCO: those that show the label of its largest object;
- `mixed`: a photograph of A, and the word B: photographs of both.

`coverage` is the share of the query's content words that stand beside a photograph: of every other
photograph of Flickr8k and COCO captions 2 to 5 are known, of the rest nothing.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "composition"))
from material import Photographs

from lookalike.ranking.composing import Parts, compose

KINDS = ("word", "caption", "picture", "mixed")
SEED = 0
BACKGROUND = 256
CUT = 10
LEAST = 2
MOST_MIXED = 200
MOST_CAPTIONS = 238
_STOP = frozenset(
    re.findall(
        r"[a-z]+",
        "a an the in on at of and is are with to his her its their by from into over up down out "
        "as for while who which that this there it he she they one two three four some another "
        "other be being has have through near next front behind",
    )
)


@dataclass(frozen=True)
class Asked:
    """One query of one corpus: its best photographs by cosine and by words, and what is known.

    `cosines`, `is_right`, `coverage` and `vectors` are theirs; `sample` holds vectors of the
    corpus that answer nothing. `size` is that of the corpus, `right` counts its right answers.
    """

    kind: str
    name: str
    has_answer: bool
    vector: np.ndarray
    cosines: np.ndarray
    vectors: np.ndarray
    is_right: np.ndarray
    coverage: np.ndarray
    sample: np.ndarray
    size: int
    right: int

    @property
    def is_held_out(self) -> bool:
        return zlib.crc32(f"{self.kind} {self.name}".encode()) % 2 == 1


def ask_all(found: dict[str, Photographs], texts) -> list[Asked]:
    """Return every query, asked twice."""
    corpus = Corpus.of(found)
    asked = []
    for kind, name, vector, is_right, with_it, without, words in _queries(corpus, texts):
        rng = np.random.default_rng(SEED)
        sample = corpus.vectors[rng.permutation(np.flatnonzero(with_it & without))[:BACKGROUND]]
        for has_answer in (True, False):
            rows = np.flatnonzero(with_it if has_answer else with_it & without)
            cosines = corpus.vectors[rows] @ vector
            share = np.array([len(words & corpus.said[row]) for row in rows]) / max(1, len(words))
            by_words = np.lexsort((-cosines, -share))[:CUT]
            best = np.union1d(
                np.argsort(-cosines, kind="stable")[:CUT], by_words[share[by_words] > 0]
            )
            best, coverage = rows[best], share[best]
            asked.append(
                Asked(
                    kind, name, has_answer, vector, corpus.vectors[best] @ vector,
                    corpus.vectors[best], is_right[best] & has_answer, coverage, sample,
                    len(rows), int(is_right[rows].sum()) * has_answer,
                )
            )  # fmt: skip
    return asked


@dataclass(frozen=True)
class Corpus:
    """All photographs: where each dataset lies, the words beside them, and all they may say."""

    parts: dict[str, Photographs]
    at: dict[str, slice]
    vectors: np.ndarray
    said: list[set[str]]
    every_word: list[set[str]]

    @classmethod
    def of(cls, found):
        begin, at = 0, {}
        for name, photos in found.items():
            at[name] = slice(begin, begin + len(photos.vectors))
            begin += len(photos.vectors)
        captions = [one for photos in found.values() for one in photos.captions]
        said = [
            set(content(" ".join(one[1:]))) if n % 2 else set() for n, one in enumerate(captions)
        ]
        every = [set(content(" ".join(one))) for one in captions]
        vectors = np.concatenate([photos.vectors for photos in found.values()])
        return cls(found, at, vectors, said, every)

    def mask(self, name: str, values=True) -> np.ndarray:
        """Return a mask over all photographs that holds values in one dataset, False elsewhere."""
        whole = np.zeros(len(self.vectors), dtype=bool)
        whole[self.at[name]] = values
        return whole

    def says(self, word: str) -> np.ndarray:
        """Tell which photographs' captions may say a thing."""
        last = word.rsplit(maxsplit=1)[-1]
        forms = {last, last + "s", last + "es"}
        return np.array([bool(forms & one) for one in self.every_word])


def _queries(corpus, texts) -> Iterator[tuple]:
    rng = np.random.default_rng(SEED)
    flickr, coco, named = (corpus.parts[n] for n in ("flickr8k", "coco", "imagenet-sample"))
    for thing, known in sorted(flickr.things.items()):
        if (known == 1).sum() >= LEAST:
            right = corpus.mask("flickr8k", known == 1)
            yield (
                "word",
                thing,
                texts[thing],
                right,
                corpus.mask("flickr8k", known >= 0),
                ~right,
                {thing},
            )
    for label, known in sorted(coco.things.items()):
        if (known == 1).sum() >= LEAST:
            right = corpus.mask("coco", known == 1)
            near = corpus.mask("coco", known >= 0) | (corpus.mask("flickr8k") & ~corpus.says(label))
            yield "word", label, texts[label], right, near, ~right, set(content(label))
    labels = np.array(named.labels)
    for label in sorted(set(named.labels)):
        right = corpus.mask("imagenet-sample", labels == label)
        known = right | ~(corpus.says(label) & ~corpus.mask("imagenet-sample"))
        yield "word", label, texts[label], right, known, ~right, set(content(label))
    for name in ("flickr8k", "coco"):
        photos = corpus.parts[name]
        numbers = [n for n, captions in enumerate(photos.captions) if captions]
        for number in rng.permutation(numbers)[:MOST_CAPTIONS].tolist():
            text = photos.captions[number][0]
            right = corpus.mask(name, np.arange(len(photos.captions)) == number)
            every = np.ones(len(right), dtype=bool)
            yield (
                "caption",
                f"{name} {number}",
                texts[text],
                right,
                every,
                ~corpus.mask(name),
                set(content(text)),
            )
    yield from _pictures(corpus, coco)
    for name in ("flickr8k", "coco"):
        yield from _mixed(corpus, name, texts, rng)


def _pictures(corpus, photos) -> Iterator[tuple]:
    label_of = {}
    for number, label in photos.boxes:  # the largest comes first
        label_of.setdefault(number, label)
    for number, label in label_of.items():
        known = photos.things[label]
        is_other = np.arange(len(known)) != number
        if ((known == 1) & is_other).sum() >= LEAST:
            right = corpus.mask("coco", (known == 1) & is_other)
            near = corpus.mask("coco", (known >= 0) & is_other)
            near |= corpus.mask("flickr8k") & ~corpus.says(label)
            yield "picture", f"coco {number}", photos.vectors[number], right, near, ~right, set()


def _mixed(corpus, name, texts, rng) -> Iterator[tuple]:
    photos = corpus.parts[name]
    things = sorted(photos.things)
    pairs = [(a, b) for a in things for b in things if a != b]
    rng.shuffle(pairs)
    count = 0
    for a, b in pairs:
        has_a, has_b = photos.things[a], photos.things[b]
        is_right = (has_a == 1) & (has_b == 1)
        alone = np.flatnonzero((has_a == 1) & (has_b == 0))
        if is_right.sum() < LEAST or not len(alone):
            continue
        number = int(rng.choice(alone))
        is_other = np.arange(len(has_a)) != number
        parts = Parts(words=[(texts[b], 1.0)], pictures=[(photos.vectors[number], 1.0)])
        vector = compose(parts)
        right = corpus.mask(name, is_right & is_other)
        known = corpus.mask(name, (has_a >= 0) & (has_b >= 0) & is_other)
        yield "mixed", f"{name} {number} {b}", vector, right, known, ~right, {b}
        count += 1
        if count == MOST_MIXED:
            break


def content(text: str) -> list[str]:
    """Return the content words of a text."""
    return [word for word in re.findall(r"[a-z]+", text.lower()) if word not in _STOP]
