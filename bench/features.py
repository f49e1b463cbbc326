"""What each feature costs while pictures are indexed: images a second, and where the time goes.

    python bench/features.py [--images 120] [--photos FOLDER]

One folder of photographs is indexed anew with nothing but the encoder, with each feature added to
it, and with all of them. Each run is a process of its own, on the cores the machine has.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import material

from lookalike.adapters.source_folder import FolderSource
from lookalike.evaluation.reports import Table
from lookalike.settings.features import NO_FEATURES, Features
from lookalike.wiring.embedded import OpenOptions, open_index

CASES = {
    "encoder alone": NO_FEATURES,
    "with objects and regions": Features(objects=True, ocr="off", copies="off"),
    "with text": Features(objects=False, ocr="rapidocr", copies="off"),
    "with copies": Features(objects=False, ocr="off", copies="balanced"),
    "everything": Features(),
}


def run_case(name: str, folder: Path) -> dict[str, Any]:
    """Index a folder into a new index under one choice of features."""
    with tempfile.TemporaryDirectory() as work:
        options = OpenOptions(encoder="lite", is_creating=True, features=CASES[name])
        with open_index(Path(work) / "bench.index", options) as engine:
            cpu = time.process_time()
            report = engine.index([FolderSource(folder)])
            used = time.process_time() - cpu
            engine.catch_up()
            status = engine.status()
            records = list(engine.stores.catalog.all_records())
    return {
        "case": name,
        "images": report.added,
        "images_per_s": report.images_per_s,
        "cpu_ms": 1e3 * used / max(report.added, 1),
        "stage_ms": {
            stage: 1e3 * seconds / max(report.added, 1)
            for stage, seconds in report.stage_seconds.items()
        },
        "regions": status.regions,
        "copy_groups": status.copy_groups,
        "read": sum(bool(one.words) for one in records),
        "load": os.getloadavg()[0],
    }


def in_process(name: str, folder: Path) -> dict[str, Any]:
    """Run a case in a process of its own."""
    command = [sys.executable, __file__, "--case", name, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=120)
    options.add_argument("--photos", type=Path, default=material.SAMPLES, help="a folder of JPEGs")
    options.add_argument("--out", type=Path, default=material.RESULTS / "features.json")
    options.add_argument("--case", help=argparse.SUPPRESS)
    options.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.case:
        print(json.dumps(run_case(chosen.case, chosen.folder)))
        return
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "pictures"
        folder.mkdir()
        pictures = sorted(path for path in chosen.photos.iterdir() if path.is_file())
        for path in pictures[: chosen.images]:
            (folder / path.name).symlink_to(path.resolve())
        runs = [in_process(name, folder) for name in CASES]
    report(chosen, runs)


def report(chosen: Any, runs: list[dict[str, Any]]) -> None:
    """Write the figures."""
    bare = runs[0]["images_per_s"]
    speed = Table(
        ("what is looked for", "images/s", "of the encoder alone", "CPU ms an image", "regions",
         "pictures with text", "copy groups", "load"),
        [
            (run["case"], run["images_per_s"], run["images_per_s"] / bare, run["cpu_ms"],
             run["regions"], run["read"], run["copy_groups"], run["load"])
            for run in runs
        ],
    )  # fmt: skip
    stages = sorted({name for run in runs for name in run["stage_ms"]})
    by_stage = Table(
        ("what is looked for", *(f"{name} ms" for name in stages)),
        [(run["case"], *(run["stage_ms"].get(name) for name in stages)) for run in runs],
    )
    metrics = {f"images_per_s.{run['case']}": run["images_per_s"] for run in runs}
    metrics |= {f"cpu_ms.{run['case']}": run["cpu_ms"] for run in runs}
    settings = {"images": runs[0]["images"], "photographs": chosen.photos.parent.name}
    tables = {"speed": speed, "stages": by_stage}
    material.finish("Features", chosen.out, metrics=metrics, tables=tables, settings=settings)


if __name__ == "__main__":
    main()
