"""Measure `lookalike search` as a fresh process: wall and CPU seconds, and where they go.

    python bench/cold_start.py [--sizes 1000 10000 100000] [--repeats 7]

Modules are compiled once beforehand, and the index's files are in the page cache, as on the
second search of a day. Bare Python and the libraries alone stand beside: what no engine over
them can go below. Other image search tools load their model from a hub, and do not run here.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import material
import numpy as np

from lookalike.evaluation.reports import Table

LIBRARIES = "import numpy, onnxruntime, tokenizers, faiss, tantivy, sqlite3"
TOWER = """
import sys, numpy as np, onnxruntime as ort, tokenizers
from pathlib import Path
towers = Path(sys.argv[1])
tokenizers.Tokenizer.from_file(str(towers / "tokenizer.json")).encode("a dog on a beach")
ort.InferenceSession(str(towers / "minilm-l6-v2-int8.onnx"))
"""
TOWERS = material.ROOT / "src" / "lookalike" / "bundles" / "towers"
IMPORT_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Return wall and CPU seconds of a process, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command[:4]} ended with {done.returncode}: {done.stderr[-500:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, done.stdout


def repeated(
    name: str, command: list[str], environment: dict[str, str], repeats: int
) -> dict[str, Any]:
    """Run a command once for the caches, then `repeats` times."""
    run(command, environment)
    found = [run(command, environment) for _ in range(repeats)]
    walls, cpus = [wall for wall, _, _ in found], [cpu for _, cpu, _ in found]
    line = {
        "what": name,
        "wall_p50_s": float(np.median(walls)),
        "wall_least_s": min(walls),
        "wall_most_s": max(walls),
        "cpu_p50_s": float(np.median(cpus)),
        "load": os.getloadavg()[0],
        "last": found[-1][2],
    }
    print(
        f"{name:28} wall {line['wall_p50_s']:.2f} s ({min(walls):.2f} to {max(walls):.2f}), "
        f"cpu {line['cpu_p50_s']:.2f} s; load {line['load']:.1f}",
        flush=True,
    )
    return line


def dearest_imports(command: list[str], environment: dict[str, str]) -> list[tuple[str, float]]:
    """Return the packages whose own modules take longest to import, in milliseconds."""
    words = [sys.executable, "-X", "importtime", *command[1:]]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    totals: dict[str, float] = {}
    for own, _, _, name in IMPORT_LINE.findall(done.stderr):
        top = ".".join(name.split(".")[:2]) if name.startswith("lookalike") else name.split(".")[0]
        totals[top] = totals.get(top, 0.0) + int(own) / 1000
    return sorted(totals.items(), key=lambda pair: -pair[1])[:12]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    material.index_options(options)
    options.set_defaults(sizes=[1_000, 10_000, 100_000])
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument("--query", default="a dog on a beach")
    options.add_argument("--out", type=Path, default=material.RESULTS / "cold_start.json")
    chosen = options.parse_args()
    folders = {size: material.ready_index(chosen, size)[0] for size in chosen.sizes}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as compiled:  # as installed: modules compiled once
        environment["PYTHONPYCACHEPREFIX"] = compiled
        python = sys.executable
        for name, command in {
            "python, nothing": [python, "-c", "pass"],
            "python, NumPy": [python, "-c", "import numpy"],
            "python, the libraries": [python, "-c", LIBRARIES],
            "python, text tower": [python, "-c", TOWER, str(TOWERS)],
        }.items():
            lines.append(repeated(name, command, environment, chosen.repeats))
        for size, folder in folders.items():
            words = ["search", chosen.query, "--json", "-i", str(folder)]
            command = [python, "-m", "lookalike", *words]
            line = repeated(f"search, {size:,} images", command, environment, chosen.repeats)
            line["images"] = size
            line["inside_ms"] = json.loads(line["last"])["timings_ms"]
            lines.append(line)
        imports = dearest_imports(command, environment)
    metrics = {
        f"search.{line['images']}.{key}": line[key]
        for line in lines if "images" in line
        for key in ("wall_p50_s", "wall_least_s", "cpu_p50_s")
    }  # fmt: skip
    tables = {
        "processes": Table(
            ("process", "wall p50 s", "wall least s", "wall most s", "CPU s", "load"),
            [
                (line["what"], line["wall_p50_s"], line["wall_least_s"], line["wall_most_s"],
                 line["cpu_p50_s"], line["load"])
                for line in lines
            ],
        ),
        "inside": Table(
            ("images", "encode ms", "ann ms", "bm25 ms", "records ms", "total ms"),
            [
                (line["images"],
                 *(line["inside_ms"].get(k) for k in ("encode", "ann", "bm25", "records", "total")))
                for line in lines if "images" in line
            ],
        ),
        "imports": Table(("package", "own ms"), imports),
    }  # fmt: skip
    settings = {"query": chosen.query, "repeats": chosen.repeats}
    material.finish("Cold start", chosen.out, metrics=metrics, tables=tables, settings=settings)


if __name__ == "__main__":
    main()
