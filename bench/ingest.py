"""Measure ingest end to end beside the bare encoder on ready tensors, with the same threads.

    python bench/ingest.py [--images 400] [--photos FOLDER]

Each case runs in a process of its own: the encoder alone, the whole engine over a folder of
JPEG files, and the encoder alone again. CPU milliseconds an image stand beside images a second:
they hold where the machine is shared. Memory is read while growing numbers of images go in.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import material
import numpy as np

from lookalike.adapters.source_folder import FolderSource
from lookalike.engine.reports import IngestProgress
from lookalike.evaluation.reports import Table
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, open_index

BATCH = 64


def bare(encoder: Any, pixels: np.ndarray, count: int) -> dict[str, float]:
    """Encode ready tensors in the batches of ingest."""
    encoder.encode_images(pixels[:8])
    began, cpu, done = time.perf_counter(), time.process_time(), 0
    while done < count:
        encoder.encode_images(pixels[:BATCH])
        done += len(pixels[:BATCH])
    wall, used = time.perf_counter() - began, time.process_time() - cpu
    return {"images_per_s": done / wall, "cpu_ms": 1e3 * used / done}


class Watcher(threading.Thread):
    """Reads the memory and the CPU time of this process and its decoders while a run goes on."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = self.peak_children = 0
        self.children_cpu: dict[int, float] = {}
        self.over = threading.Event()

    def run(self) -> None:
        own = os.getpid()
        while not self.over.wait(0.1):
            self.peak = max(self.peak, material.process_usage(own)[1])
            total = 0
            for child in material.children_of(own):
                cpu, resident = material.process_usage(child)
                self.children_cpu[child] = max(cpu, self.children_cpu.get(child, 0.0))
                total += resident
            self.peak_children = max(self.peak_children, total)


def whole(folder: Path, threads: int, decoders: int) -> dict[str, Any]:
    """Index a folder into a new index."""
    settings = Settings(threads=threads, decoders=decoders)
    with tempfile.TemporaryDirectory() as work:
        target = Path(work) / "bench.index"
        with open_index(
            target, OpenOptions(encoder="lite", is_creating=True, features=NO_FEATURES), settings
        ) as engine:
            side = engine.encoder.preprocess.size  # the model is loaded before the clock runs
            engine.encoder.encode_images(np.zeros((1, side, side, 3), np.uint8))
            watcher = Watcher()
            watcher.start()
            cpu = time.process_time()
            steps: list[IngestProgress] = []
            report = engine.index([FolderSource(folder)], on_progress=steps.append)
            used = time.process_time() - cpu
            time.sleep(0.3)
            watcher.over.set()
            watcher.join()
    children = sum(watcher.children_cpu.values())
    return {
        "images": report.added,
        "images_per_s": report.images_per_s,
        "seconds": report.seconds,
        "steady_per_s": steady_rate(steps),
        "cpu_ms": 1e3 * (used + children) / max(report.added, 1),
        "parent_cpu_ms": 1e3 * used / max(report.added, 1),
        "decoders_cpu_ms": 1e3 * children / max(report.added, 1),
        "stage_ms": {k: 1e3 * v / max(report.added, 1) for k, v in report.stage_seconds.items()},
        "parent_bytes": watcher.peak,
        "decoders_bytes": watcher.peak_children,
    }


def steady_rate(steps: list[IngestProgress]) -> float:
    """Return images a second between the first batch and the last: neither start nor end."""
    first, *_, last = [step for step in steps if step.added >= BATCH] or [steps[0], steps[-1]]
    seconds = last.seconds - first.seconds
    return (last.added - first.added) / seconds if seconds else 0.0


def run_case(case: dict[str, Any]) -> dict[str, Any]:
    """Run one case in this process."""
    photographs = material.read_photographs(Path(case["photos"]), 120)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "pictures"
        size = material.SIZES.get(case["size"])
        material.write_photographs(folder, case["images"], size, photographs=photographs)
        encoder = material.make_encoder(case["threads"])
        pixels = material.model_pixels(photographs[:BATCH], encoder.preprocess.size)
        del photographs  # what is measured is the engine's memory
        count = case["bare"]
        before = bare(encoder, pixels, count) if count else None
        load = os.getloadavg()[0]
        found = whole(folder, case["threads"], case["decoders"])
        after = bare(encoder, pixels, count) if count else None
    result = {**case, **found, "load": load}
    if before and after:
        result["bare_per_s"] = (before["images_per_s"] + after["images_per_s"]) / 2
        result["bare_cpu_ms"] = (before["cpu_ms"] + after["cpu_ms"]) / 2
        result["ratio"] = result["images_per_s"] / result["bare_per_s"]
        result["steady_ratio"] = result["steady_per_s"] / result["bare_per_s"]
        result["cpu_ratio"] = result["bare_cpu_ms"] / result["cpu_ms"]
    return result


def in_process(case: dict[str, Any]) -> dict[str, Any]:
    """Run one case in a process of its own, so that its memory is its own too."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(run.stdout.splitlines()[-1])
    stages = "  ".join(f"{k} {v:.1f}" for k, v in result["stage_ms"].items())
    print(
        f"{case['size']:8} threads {case['threads']} decoders {case['decoders']} "
        f"images {result['images']:6}: {result['images_per_s']:6.1f} a second, "
        f"bare {result.get('bare_per_s', 0):6.1f}, ratio {result.get('ratio', 0):.2f}, "
        f"steady {result.get('steady_ratio', 0):.2f}; "
        f"cpu {result['cpu_ms']:.1f} ms (bare {result.get('bare_cpu_ms', 0):.1f}, "
        f"decoders {result['decoders_cpu_ms']:.1f}); {stages}; "
        f"{result['parent_bytes'] / 1e6:.0f} + {result['decoders_bytes'] / 1e6:.0f} MB; "
        f"load {result['load']:.1f}",
        flush=True,
    )
    return result


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=400)
    options.add_argument("--photos", type=Path, default=material.SAMPLES, help="a folder of JPEGs")
    options.add_argument("--sizes", nargs="+", default=[*material.SIZES, "mixed"])
    options.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options.add_argument("--decoders", type=int, nargs="+", default=[2])
    options.add_argument("--repeats", type=int, default=1, help="the best of so many runs counts")
    options.add_argument("--growth", type=int, nargs="*", default=[500, 2000], help="for memory")
    options.add_argument("--out", type=Path, default=material.RESULTS / "ingest.json")
    options.add_argument("--case", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.case:
        print(json.dumps(run_case(json.loads(chosen.case))))
        return
    common = {"photos": str(chosen.photos), "images": chosen.images, "bare": chosen.images // 3}
    cases = [
        common | {"size": size, "threads": threads, "decoders": decoders}
        for size in chosen.sizes
        for threads in chosen.threads
        for decoders in chosen.decoders
    ]
    runs = [
        max((in_process(case) for _ in range(chosen.repeats)), key=lambda found: found["ratio"])
        for case in cases
    ]
    plain = {"size": "224x224", "threads": max(chosen.threads), "decoders": 2, "bare": 0}
    growth = [in_process(common | plain | {"images": count}) for count in chosen.growth]
    report(chosen, runs, growth)


def report(chosen: Any, runs: list[dict[str, Any]], growth: list[dict[str, Any]]) -> None:
    """Write the figures."""
    stages = sorted({name for run in runs for name in run["stage_ms"]})
    speed = Table(
        ("pictures", "encoder threads", "images/s", "bare encoder/s", "ratio", "ratio after start",
         "CPU ms an image", "of which decoders", "bare encoder CPU ms", "load"),
        [
            (run["size"], run["threads"], run["images_per_s"], run["bare_per_s"], run["ratio"],
             run["steady_ratio"], run["cpu_ms"], run["decoders_cpu_ms"], run["bare_cpu_ms"],
             run["load"])
            for run in runs
        ],
    )  # fmt: skip
    by_stage = Table(
        ("pictures", "encoder threads", *(f"{name} ms" for name in stages)),
        [
            (run["size"], run["threads"], *(run["stage_ms"].get(name) for name in stages))
            for run in runs
        ],
    )
    memory = Table(
        ("images", "engine MB", "decoders MB"),
        [
            (run["images"], run["parent_bytes"] // 10**6, run["decoders_bytes"] // 10**6)
            for run in growth
        ],
    )
    metrics = {f"ratio.{r['size']}.{r['threads']}threads": r["ratio"] for r in runs}
    metrics |= {f"steady_ratio.{r['size']}.{r['threads']}threads": r["steady_ratio"] for r in runs}
    metrics |= {f"cpu_ratio.{r['size']}.{r['threads']}threads": r["cpu_ratio"] for r in runs}
    metrics |= {f"images_per_s.{r['size']}.{r['threads']}threads": r["images_per_s"] for r in runs}
    settings = {
        "images": chosen.images,
        "photographs": chosen.photos.parent.name,
        "batch": BATCH,
        "decoders": chosen.decoders,
    }
    tables = {"speed": speed, "stages": by_stage, "memory": memory}
    material.finish("Ingest", chosen.out, metrics=metrics, tables=tables, settings=settings)


if __name__ == "__main__":
    main()
