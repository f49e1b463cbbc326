"""Measure the colour terms: on named colours, on patches with a ground, on photographs.

    python eval/colour/colour.py --data ../shared/data

A caption is silent on most colours of its photograph, so on photographs only recall is
measured (of the colours that two captions or more name), beside the share of all
photographs that bear the tag; precision is measured where the truth is known.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from lookalike.domain.images import COLOR_NAMES
from lookalike.imaging.colour import read_colours, srgb_to_lab
from lookalike.imaging.colour_terms import name_colours
from lookalike.imaging.examine import ExaminePlan, examine

HERE = Path(__file__).parent
NOTE = (
    "the shares from which a term is said were chosen while looking at these photographs "
    "and 2,500 of the train split, so this is no held-out figure"
)
GREY_WORDS = {"gray": "grey"}


def rates(pairs: list[tuple[str, set[str]]]) -> dict[str, object]:
    """Precision and recall a term; a pair is the true term and the terms said."""
    terms = {}
    for term in COLOR_NAMES:
        true = [said for wanted, said in pairs if wanted == term]
        said = [wanted for wanted, given in pairs if term in given]
        hits = sum(term in given for given in true)
        terms[term] = {
            "n": len(true),
            "recall": round(hits / len(true), 3) if true else None,
            "precision": round(sum(w == term for w in said) / len(said), 3) if said else None,
        }
    right = sum(wanted in said for wanted, said in pairs)
    return {"accuracy": round(right / len(pairs), 4), "n": len(pairs), "terms": terms}


def rgb(hexadecimal: str) -> list[int]:
    return [int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5)]


def named(rows: list[list[str]]) -> dict[str, object]:
    lab = srgb_to_lab(np.array([rgb(row[1]) for row in rows]))
    said = [{COLOR_NAMES[i]} for i in name_colours(lab)]
    return rates([(row[2], names) for row, names in zip(rows, said, strict=True)])


def patches(rows: list[list[str]]) -> dict[str, object]:
    """A third of the picture in the colour, shaded from light to dark, on a neutral ground."""
    pairs = []
    for i, (_, code, term, _) in enumerate(rows):
        ground = (245, 128, 20)[i % 3]
        if {245: "white", 128: "grey", 20: "black"}[ground] == term:
            continue
        shade = np.linspace(0.92, 1.0, 48)[:, None, None]
        patch = np.broadcast_to(np.array(rgb(code)) * shade, (48, 48, 3)).astype(np.uint8)
        image = Image.new("RGB", (84, 84), (ground,) * 3)
        image.paste(Image.fromarray(patch), (18, 18))
        blurred = image.filter(ImageFilter.GaussianBlur(1)).resize((48, 48))
        tags = set(read_colours(np.asarray(blurred)).tags)
        neutral = {"white", "grey", "black"} - {term}
        pairs.append((term, tags - neutral if tags - neutral else tags))
    return rates(pairs)


def photographs(data: Path, split: str) -> dict[str, object]:
    plan = ExaminePlan()
    lines = (data / "flickr8k/labels.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == split]
    tagged, wanted, found, once = (Counter[str]() for _ in range(4))
    for row in rows:
        tags = examine((data / "flickr8k" / row["file"]).read_bytes(), plan=plan).facts.color_tags
        words = Counter(
            word
            for caption in row["captions"]
            for word in {GREY_WORDS.get(w, w) for w in re.findall("[a-z]+", caption.lower())}
            if word in COLOR_NAMES
        )
        for term in tags:
            tagged[term] += 1
            once[term] += words[term] > 0
        for term, count in words.items():
            if count >= 2:
                wanted[term] += 1
                found[term] += term in tags
    return {
        term: {
            "named_by_two_captions": wanted[term],
            "recall": round(found[term] / max(wanted[term], 1), 3),
            "tagged_share": round(tagged[term] / len(rows), 3),
            "tagged_and_named_by_any_caption": round(once[term] / max(tagged[term], 1), 3),
        }
        for term in COLOR_NAMES
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    rows = json.loads((HERE / "named_colours.json").read_text())["colours"]
    xkcd = [row for row in rows if row[3] == "xkcd"]
    order = np.random.default_rng(0).permutation(len(xkcd))
    chosen, held = [xkcd[i] for i in order[::2]], [xkcd[i] for i in order[1::2]]
    css = [row for row in rows if row[3] == "css"]
    result = {
        "machine": platform.machine(),
        "seed": 0,
        "note_on_flickr8k_dev": NOTE,
        "xkcd_half_borders_were_set_against": named(chosen),
        "xkcd_other_half": named(held),
        "css_names": named(css),
        "patches_on_neutral_ground": patches(held + css),
        "flickr8k_dev": photographs(options.data, "dev"),
    }
    (HERE / "colour.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
