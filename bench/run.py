"""Run every measurement, each writing its JSON to bench/results.

    python bench/run.py [--only ingest search] [--captions FILE] [--photos FOLDER] [--images 400]

Without options everything is made from the sample photographs and made sentences, in about a
quarter of an hour on two cores; the cluster, where its servers run (`make services`), takes as
long again. The load of the machine stands in each file: figures from a busy machine are worth
little, and `--wait` waits (up to ten minutes a program) until it is quiet.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cluster_places
import material

QUIET = 1.0
MOST_WAIT_S = 600.0


def write_captions(folder: Path) -> Path:
    """Write made sentences in the form of a captions file, for the programs that need one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "made-sentences.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for text in material.read_captions(None):
            file.write(json.dumps({"captions": [text]}) + "\n")
    return path


def wait_until_quiet() -> None:
    """Wait until less than one process has run on average over the last minute."""
    began = time.monotonic()
    while os.getloadavg()[0] > QUIET and time.monotonic() - began < MOST_WAIT_S:
        time.sleep(5)


def programs(chosen: argparse.Namespace) -> dict[str, list[str]]:
    """Return the options of each program."""
    photos = ["--photos", str(chosen.photos)]
    given = ["--captions", str(chosen.captions)] if chosen.captions else []
    indexed = [*photos, *given, "--work", str(chosen.work)]
    captions = chosen.captions or write_captions(chosen.work)
    return {
        "decode": [],
        "text": ["--captions", str(captions)],
        "vectors": [],
        "ingest": [*photos, "--images", str(chosen.images)],
        "features": photos,
        "hashes": ["--sizes", "100000", "1000000"],
        "search": indexed,
        "cold_start": indexed,
        "freshness": [],
        "resume": [],
        "cluster": [*indexed, "--ingest", str(chosen.images + chosen.images // 2)],
    }


def lacking(name: str) -> str:
    """Return what a program needs and does not find, or nothing."""
    missing = cluster_places.missing_servers() if name == "cluster" else []
    return f"it needs {', '.join(missing)} (SERVICES_JIT=full make services)" if missing else ""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    material.index_options(options)
    options.add_argument("--images", type=int, default=400, help="pictures of an ingest run")
    options.add_argument("--only", nargs="+", help="some of the programs, by name")
    options.add_argument("--wait", action="store_true", help="wait for a quiet machine")
    chosen = options.parse_args()
    known = programs(chosen)
    names = chosen.only or list(known)
    if unknown := set(names) - set(known):
        options.error(f"no program {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    failed = []
    for name in names:
        if why := lacking(name):
            print(f"── bench/{name}.py is left out: {why}", flush=True)
            continue
        if chosen.wait:
            wait_until_quiet()
        print(f"── bench/{name}.py, load {os.getloadavg()[0]:.1f}", flush=True)
        out = ["--out", str(material.RESULTS / f"{name}.json")]
        program = Path(__file__).with_name(f"{name}.py")
        done = subprocess.run([sys.executable, str(program), *known[name], *out], check=False)
        failed += [name] if done.returncode else []
    print(f"failed: {', '.join(failed)}" if failed else "every measurement is written")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
