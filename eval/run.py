"""Measure retrieval on the datasets of a folder: `python eval/run.py DATA`.

Writes `eval/flickr8k-dev.json`, `eval/coco.json` and `eval/imagenet-sample.json`, each for those
datasets that are there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lookalike.evaluation.reports import render_text, write_report
from lookalike.wiring.evaluation import measure

HERE = Path(__file__).resolve().parent
DATASETS = (
    ("flickr8k", "dev", "flickr8k-dev"),
    ("coco", None, "coco"),
    ("imagenet-sample", None, "imagenet-sample"),
)


def main() -> int:
    """Measure each dataset that is there, and return how many are missing."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    data = Path(sys.argv[1])
    missing = 0
    for name, split, out in DATASETS:
        if not (data / name / "labels.jsonl").is_file():
            print(f"{name}: not in {data}, left out")
            missing += 1
            continue
        report = measure(data / name, split=split)
        write_report(report, HERE / f"{out}.json")
        print(f"\n{out}\n{render_text(report.tables['retrieval'])}")
    return 1 if missing == len(DATASETS) else 0


if __name__ == "__main__":
    raise SystemExit(main())
