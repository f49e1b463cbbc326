"""The sets that colour tags are fitted on and measured on, each in two halves.

- named: names of the xkcd survey and of CSS, one colour each (`named_colours.json`);
- composed: things of known colour over grounds (`composed.py`); the first half has colours of one
  half of xkcd's names over Flickr8k's train split, the second the other half's over dev;
- looked at: 200 photographs and paintings labelled by looking (`looked_at.json`), halved by the
  hash of the file's name;
- captioned: Flickr8k, where two captions or more name a colour. A caption is silent on most
  colours of its photograph, so this measures recall alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from composed import NEUTRAL, SIDE, compose
from PIL import Image

from lookalike.domain.images import COLOR_NAMES
from lookalike.imaging.decode import decode
from lookalike.imaging.examine import ExaminePlan, colour_sample
from lookalike.imaging.thumbnails import shrink

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

GREY_WORDS = {"gray": "grey"}
CAPTIONED_TRAIN = 2000


@dataclass(frozen=True)
class Labelled:
    """Samples `(n, 48, 48, 3)` and truth `(n, 11)`: 1 shown, 0 absent, -1 unknown."""

    samples: np.ndarray
    truth: np.ndarray
    notes: tuple[str, ...] = ()


def sample_of(data: bytes) -> np.ndarray:
    """Return the pixels that tags are read off, as `examine` makes them."""
    plan = ExaminePlan()
    picture = decode(data, limits=plan.limits, shrink_to=plan.decode_side)
    return colour_sample(shrink(picture.pixels, plan.thumbnail_side))


def named_rows(folder: Path) -> dict[str, list[list[str]]]:
    """Return the named colours: xkcd's two halves and CSS's."""
    rows = json.loads((folder / "named_colours.json").read_text())["colours"]
    xkcd = [row for row in rows if row[3] == "xkcd"]
    order = np.random.default_rng(0).permutation(len(xkcd))
    return {
        "chosen": [xkcd[i] for i in order[::2]],
        "held": [xkcd[i] for i in order[1::2]],
        "css": [row for row in rows if row[3] == "css"],
    }


def composed(folder: Path, data: Path, half: str, count: int) -> Labelled:
    """Compose `count` pictures; CSS lends the neutral colours, of which xkcd has few."""
    rows = named_rows(folder)
    colours = rows[half] + [row for row in rows["css"] if row[2] in NEUTRAL]
    split = "train" if half == "chosen" else "dev"
    paths = [data / "flickr8k" / row["file"] for row in _captioned(data, split)][:600]
    rng = np.random.default_rng(1 if half == "chosen" else 2)
    samples, truth, notes = [], [], []
    for i in range(count):
        photograph = Image.open(paths[i % len(paths)]).convert("RGB").resize((SIDE, SIDE))
        made = compose(rng, photograph, [(row[1], row[2]) for row in colours])
        buffer = io.BytesIO()
        made.image.save(buffer, "JPEG", quality=85)
        samples.append(sample_of(buffer.getvalue()))
        truth.append(made.truth)
        notes.append(f"{made.light}|{made.ground}|{made.share:.3f}")
    return Labelled(np.array(samples), np.array(truth), tuple(notes))


def looked_at(folder: Path, data: Path, half: str) -> Labelled:
    """Return the pictures labelled by looking whose names fall into a half."""
    rows = json.loads((folder / "looked_at.json").read_text())["pictures"]
    wanted = 0 if half == "chosen" else 1
    rows = [row for row in rows if hashlib.sha256(row[0].encode()).digest()[0] % 2 == wanted]
    samples, truth = [], []
    for name, shown, arguable in rows:
        corpus, file = name.split("/")
        samples.append(sample_of((data / corpus / "images" / file).read_bytes()))
        known = dict.fromkeys(arguable.split(), -1) | dict.fromkeys(shown.split(), 1)
        truth.append([known.get(term, 0) for term in COLOR_NAMES])
    return Labelled(np.array(samples), np.array(truth), tuple(row[0] for row in rows))


def captioned(data: Path, half: str) -> Labelled:
    """Return photographs and how many captions name each term (in place of the truth)."""
    rows = list(_captioned(data, "train" if half == "chosen" else "dev"))
    random.Random(0).shuffle(rows)
    rows = rows[:CAPTIONED_TRAIN]
    samples = [sample_of((data / "flickr8k" / row["file"]).read_bytes()) for row in rows]
    counts = []
    for row in rows:
        words = Counter(
            word
            for caption in row["captions"]
            for word in {GREY_WORDS.get(w, w) for w in re.findall("[a-z]+", caption.lower())}
        )
        counts.append([words[term] for term in COLOR_NAMES])
    return Labelled(np.array(samples), np.array(counts))


def _captioned(data: Path, split: str) -> Iterable[dict[str, object]]:
    lines = (data / "flickr8k/labels.jsonl").read_text().splitlines()
    return (row for row in map(json.loads, lines) if row["split"] == split)
