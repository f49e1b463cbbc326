"""How large a thumbnail must be: the judge's recall by the thumbnail's side, on whole photographs.

    python eval/copies/sides.py --data ../shared/data/open-licensed

Every pair has the same middling cosine, so that only the pixels speak.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import transforms
from material import circumstances
from PIL import Image

from lookalike.engine.copy_judge import CandidatePair, CopyJudge
from lookalike.imaging.examine import Examined, ExaminePlan, examine

HERE = Path(__file__).parent
SIDES = (96, 128, 192, 256, 320)
NAMES = ("crop 40 %", "crop 40 % of each side", "screenshot of a page", "collage of two")
LONGEST = 1200
STRANGERS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--originals", type=int, default=30)
    options = parser.parse_args()
    paths = sorted((options.data / "images").iterdir())
    random.Random(0).shuffle(paths)
    images = []
    for path in paths[: options.originals]:
        image = Image.open(path).convert("RGB")
        image.thumbnail((LONGEST, LONGEST))
        images.append(image)
    table = {}
    for side in SIDES:
        plan = ExaminePlan(thumbnail_side=side, shrink_to=LONGEST)
        own = [examine(transforms.jpeg(image), plan=plan) for image in images]
        table[side] = {name: measure(name, images, own, plan) for name in NAMES}
        print(side, json.dumps(table[side]))
    report = {
        **circumstances(),
        "originals": len(images),
        "recall_and_wrong_by_side": table,
    }
    (HERE / "sides.json").write_text(json.dumps(report, indent=1) + "\n")


def measure(name: str, images: list, own: list[Examined], plan: ExaminePlan) -> dict[str, float]:
    copies = [
        examine(transforms.copy_of(name, image, str(i), images[(i + 1) % len(images)]), plan=plan)
        for i, image in enumerate(images)
    ]
    thumbnails = {found.facts.id: found.thumbnail for found in (*own, *copies)}
    judge = CopyJudge(thumbnails.get, "balanced")
    true = judge.judge(
        [CandidatePair(c.facts, o.facts, 0.7) for c, o in zip(copies, own, strict=True)]
    )
    other = own[STRANGERS:] + own[:STRANGERS]
    false = judge.judge(
        [CandidatePair(c.facts, o.facts, 0.7) for c, o in zip(copies, other, strict=True)]
    )
    return {
        "recall": round(sum(v.is_copy for v in true) / len(true), 3),
        "wrong": sum(v.is_copy for v in false),
    }


if __name__ == "__main__":
    main()
