"""Measure the colour terms on the second half of each set of `sets.py`.

    python eval/colour/colour.py --data ../shared/data

On photographs labelled by looking, `precision` counts what is plainly absent as wrong, and
`precision_strict` also what people may differ about; the truth lies between the two.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import sets
from composed import LEAST_SHARE
from PIL import Image, ImageFilter

from lookalike.domain.images import COLOR_NAMES
from lookalike.imaging.colour import read_colours, srgb_to_lab
from lookalike.imaging.colour_terms import name_colours

HERE = Path(__file__).parent
NOTE = (
    "the weights saw none of the second halves, but the form of the inputs and what a border is "
    "set to maximise were chosen with figures on them in view, so these are not blind; purple, "
    "pink, orange and yellow have few photographs"
)
SMALL, LARGE = 0.05, 0.15


def share(part: float, whole: float) -> float | None:
    return round(float(part) / float(whole), 3) if whole else None


def rates(pairs: list[tuple[str, set[str]]]) -> dict[str, object]:
    """Precision and recall a term; a pair is the true term and the terms said."""
    terms = {}
    for term in COLOR_NAMES:
        true = [said for wanted, said in pairs if wanted == term]
        said = [wanted for wanted, given in pairs if term in given]
        hits = sum(term in given for given in true)
        terms[term] = {
            "n": len(true),
            "recall": share(hits, len(true)),
            "precision": share(sum(w == term for w in said), len(said)),
        }
    right = sum(wanted in said for wanted, said in pairs)
    return {"accuracy": share(right, len(pairs)), "n": len(pairs), "terms": terms}


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


def tagged(labelled: sets.Labelled) -> np.ndarray:
    """Return which terms are said of each sample, `(n, 11)`."""
    said = [set(read_colours(sample).tags) for sample in labelled.samples]
    return np.array([[term in tags for term in COLOR_NAMES] for tags in said])


def looked_at(labelled: sets.Labelled) -> dict[str, object]:
    said, truth = tagged(labelled), labelled.truth
    terms = {}
    for i, term in enumerate(COLOR_NAMES):
        hits = int((said[:, i] & (truth[:, i] == 1)).sum())
        wrong = int((said[:, i] & (truth[:, i] == 0)).sum())
        terms[term] = {
            "shown": int((truth[:, i] == 1).sum()),
            "said": int(said[:, i].sum()),
            "recall": share(hits, (truth[:, i] == 1).sum()),
            "precision": share(hits, hits + wrong),
            "precision_strict": share(hits, said[:, i].sum()),
        }
    return {"pictures": len(truth), "terms": terms}


def composed(labelled: sets.Labelled) -> dict[str, object]:
    said, truth = tagged(labelled), labelled.truth
    covered = np.array([float(note.split("|")[2]) for note in labelled.notes])
    is_neutral = np.array([note.startswith("neutral") for note in labelled.notes])
    terms = {}
    for i, term in enumerate(COLOR_NAMES):
        shown, known = truth[:, i] == 1, truth[:, i] != -1
        here = said[:, i] & known & is_neutral

        def recall(least: float, most: float, i: int = i, shown: np.ndarray = shown) -> object:
            part = shown & (covered >= least) & (covered < most)
            return share(said[part, i].sum(), part.sum())

        terms[term] = {
            "shown": int(shown.sum()),
            "recall": share(said[shown, i].sum(), shown.sum()),
            "recall_of_2_to_5_percent": recall(0, SMALL),
            "recall_of_5_to_15_percent": recall(SMALL, LARGE),
            "recall_of_15_percent_and_more": recall(LARGE, 1.1),
            "precision": share((said[:, i] & shown).sum(), (said[:, i] & known).sum()),
            "precision_in_neutral_light": share((here & shown).sum(), here.sum()),
        }
    return {"pictures": len(truth), "least_share": LEAST_SHARE, "terms": terms}


def captioned(labelled: sets.Labelled) -> dict[str, object]:
    said, counts = tagged(labelled), labelled.truth
    return {
        term: {
            "named_by_two_captions": int((counts[:, i] >= 2).sum()),
            "recall": share(said[counts[:, i] >= 2, i].sum(), (counts[:, i] >= 2).sum()),
            "tagged_share": share(said[:, i].sum(), len(said)),
            "tagged_and_named_by_any_caption": share(
                (said[:, i] & (counts[:, i] > 0)).sum(), said[:, i].sum()
            ),
        }
        for i, term in enumerate(COLOR_NAMES)
    }


def milliseconds(labelled: sets.Labelled) -> float:
    """Return the median time of reading the colours of one sample."""
    times = []
    for sample in labelled.samples[:300]:
        start = time.perf_counter()
        read_colours(sample)
        times.append(time.perf_counter() - start)
    return round(float(np.median(times)) * 1000, 3)


def table(result: dict[str, dict[str, dict[str, dict[str, float]]]]) -> str:
    lines = [
        "term     looked at: n  recall  prec. strict"
        " | composed: recall prec. neutral | captions: recall"
    ]
    for term in COLOR_NAMES:
        a = result["looked_at_held"]["terms"][term]
        b = result["composed_held"]["terms"][term]
        c = result["flickr8k_dev"][term]
        lines.append(
            f"{term:8} {a['shown']:12} {a['recall']!s:>7} {a['precision']!s:>6}"
            f" {a['precision_strict']!s:>6} | {b['recall']!s:>15} {b['precision']!s:>6}"
            f" {b['precision_in_neutral_light']!s:>7}"
            f" | {c['recall']!s:>10}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--composed", type=int, default=1200)
    options = parser.parse_args()
    rows = sets.named_rows(HERE)
    chosen, held = (
        sets.looked_at(HERE, options.data, "chosen"),
        sets.looked_at(HERE, options.data, "held"),
    )
    result = {
        "machine": platform.machine(),
        "seed": 0,
        "note": NOTE,
        "milliseconds_a_picture": milliseconds(held),
        "looked_at_held": looked_at(held),
        "composed_held": composed(sets.composed(HERE, options.data, "held", options.composed)),
        "flickr8k_dev": captioned(sets.captioned(options.data, "held")),
        "xkcd_other_half": named(rows["held"]),
        "css_names": named(rows["css"]),
        "patches_on_neutral_ground": patches(rows["held"] + rows["css"]),
        "halves_chosen_on": {
            "looked_at": looked_at(chosen),
            "xkcd": named(rows["chosen"]),
        },
    }
    (HERE / "colour.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["looked_at_held"], indent=1))
    print(table(result))


if __name__ == "__main__":
    main()
