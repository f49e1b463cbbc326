"""Measure colours by value: who has the colour by every pixel, and who is found by the cells.

    python eval/colour/by_value.py --data ../shared/data

The truth is CIEDE2000 on the pixels of a picture (96 x 96 of them, read to 6 bits a channel): a
picture has a colour when at least `truth_share` of it lies within the tolerance. Colours are drawn
half from the pixels of the pictures, the colourful ones more often, half from names of the xkcd
survey. Palettes and cells of other sizes stand beside those in use.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.domain import shades
from lookalike.domain.shades import difference, lab_of
from lookalike.imaging import colour
from lookalike.imaging.decode import decode
from lookalike.imaging.examine import ExaminePlan, colour_sample
from lookalike.imaging.thumbnails import shrink

HERE = Path(__file__).parent
FOLDERS = ("coco", "flickr8k", "open-licensed", "imagenet-sample")
OF_EACH = 150
COLOURS = 40
SIDE = 96
TRUTH_SHARE = 0.05
TOLERANCES = (6, 10, 15, 20, 30)
PALETTES = {"6 colours": (6, 12.0, 0.015), "16 colours": (16, 8.0, 0.01), "24": (24, 6.0, 0.005)}
CELLS = (6.0, 8.0, 10.0)
SHARES = (0.02, 0.03, 0.04)
CHOSEN = ("16 colours", 8.0, 0.03)


def pictures(data: Path, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the samples that palettes are read off, and the pixels that are the truth."""
    plan = ExaminePlan()
    samples, pixels = [], []
    for folder in FOLDERS:
        paths = sorted(path for path in (data / folder / "images").rglob("*") if path.is_file())
        for at in rng.choice(len(paths), min(OF_EACH, len(paths)), replace=False):
            picture = decode(paths[at].read_bytes(), limits=plan.limits, shrink_to=plan.decode_side)
            small = shrink(picture.pixels, plan.thumbnail_side)
            samples.append(colour_sample(small))
            resized = small.convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
            pixels.append(np.asarray(resized).reshape(-1, 3))
    return samples, np.stack(pixels)


def asked(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the colours that are asked for, `(n, 3)` sRGB."""
    flat = pixels.reshape(-1, 3)
    some = flat[rng.integers(0, len(flat), 4000)]
    lab = lab_of(some.astype(float))
    weights = np.hypot(lab[:, 1], lab[:, 2]) + 3
    drawn = some[rng.choice(len(some), COLOURS, replace=False, p=weights / weights.sum())]
    rows = json.loads((HERE / "named_colours.json").read_text())["colours"]
    named = [row[1] for row in rows if row[3] == "xkcd"]
    chosen = [named[at] for at in rng.choice(len(named), COLOURS, replace=False)]
    return np.array(
        [*drawn.tolist(), *([int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in chosen)]
    )


def truths(pixels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return which picture has which colour at which tolerance, `(pictures, colours, 5)` bool."""
    level = np.arange(64) * 4 + 1.5
    grid = np.stack(np.meshgrid(level, level, level, indexing="ij"), -1).reshape(-1, 3)
    lab = lab_of(grid)
    coarse = pixels.astype(np.int64) >> 2
    codes = (coarse[..., 0] << 12) | (coarse[..., 1] << 6) | coarse[..., 2]
    found = np.zeros((len(pixels), len(colours), len(TOLERANCES)), bool)
    for at, one in enumerate(colours):
        distances = difference(lab_of(one[None].astype(float)), lab)[codes]
        for column, tolerance in enumerate(TOLERANCES):
            found[:, at, column] = (distances <= tolerance).mean(axis=1) >= TRUTH_SHARE
    return found


def measured(
    samples: list[np.ndarray], colours: np.ndarray, true: np.ndarray, way: tuple[str, float, float]
) -> dict[str, object]:
    """Return precision, recall and terms a picture of one way to make cells."""
    palette, shades.CELL, shades.LEAST_SHARE = way  # pyright: ignore[reportConstantRedefinition]
    colour.PALETTE_SIZE, colour._MERGE_DISTANCE, colour._MIN_WEIGHT = PALETTES[palette]
    shades._gamut.cache_clear()
    shades.shades_near.cache_clear()
    borne = [shades.shades_borne(colour.read_colours(sample).palette) for sample in samples]
    rows: dict[str, object] = {}
    asked_cells = []
    for column, tolerance in enumerate(TOLERANCES):
        near = [
            shades.shades_near("#{:02x}{:02x}{:02x}~{}".format(*one, tolerance)) for one in colours
        ]
        asked_cells.append(float(np.mean([len(cells) for cells in near])))
        said = np.array([[bool(has & cells) for cells in near] for has in borne])
        right = (said & true[..., column]).sum()
        rows[f"within {tolerance}"] = {
            "precision": round(float(right / max(said.sum(), 1)), 3),
            "recall": round(float(right / max(true[..., column].sum(), 1)), 3),
            "share_found": round(float(said.mean()), 3),
            "cells_asked": round(asked_cells[-1], 1),
        }
    return {
        "palette": palette, "cell": way[1], "least_share": way[2],
        "terms_a_picture": round(float(np.mean([len(has) for has in borne])), 1), **rows,
    }  # fmt: skip


def main() -> None:
    """Measure and write by_value.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    halves = {}
    for name, seed in (("chosen_on", given.seed + 1), ("held_out", given.seed)):
        rng = np.random.default_rng(seed)
        samples, pixels = pictures(given.data, rng)
        colours = asked(pixels, rng)
        halves[name] = (samples, colours, truths(pixels, colours))
    ways = [(p, c, s) for p in PALETTES for c in CELLS for s in SHARES]
    report = {
        "machine": platform.machine(),
        "seed": given.seed,
        "pictures": len(halves["held_out"][0]),
        "colours": len(halves["held_out"][1]),
        "truth_share": TRUTH_SHARE,
        "held_out": measured(*halves["held_out"], CHOSEN),
        "ways_chosen_among": [measured(*halves["chosen_on"], way) for way in ways],
        "note": "the draws differ by seed; some photographs are in both",
    }
    (HERE / "by_value.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
