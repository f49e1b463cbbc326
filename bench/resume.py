"""Index a folder while the indexer is killed again and again, and check that nothing is lost.

`python bench/resume.py --folder PICTURES --kills 3`: starts `lookalike index`, kills it with
SIGKILL after so many pictures, starts it again, and at the end compares what is in the index with
what an undisturbed listing of the folder holds. Prints a table and writes
`bench/results/resume.json`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lookalike.evaluation.reports import Report, Table, describe_machine, render_text, write_report
from lookalike.wiring.embedded import open_index
from lookalike.wiring.sources import open_sources

HERE = Path(__file__).resolve().parent
PLAIN = ("--no-objects", "--no-ocr", "--copies", "off")
"""What is looked for takes most of a run's time, and is measured by features.py."""

COMMAND = [sys.executable, "-m", "lookalike"]


def main() -> int:
    """Run it, and return 0 when nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=HERE.parent / "samples")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "resume.json")
    parser.add_argument("--keep", type=Path, help="keep the index in this folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lookalike-bench-") as scratch:
        index = Path(scratch) / "index"
        rows = run(asked.folder, index, asked.kills)
        lost, doubled, metrics = compare(asked.folder, index)
        if asked.keep:
            shutil.copytree(index, asked.keep)
    metrics |= {"lost": lost, "doubled": doubled}
    report = Report(
        name="index, killed and resumed",
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        commit=revision(),
        seed=0,
        machine=describe_machine(),
        metrics=metrics,
        tables={"runs": Table(("run", "ended", "seconds", "images after it", "peak MB"), rows)},
        settings={"kills": asked.kills, "load": os.getloadavg()[0]},
    )
    write_report(report, asked.out)
    print(render_text(report.tables["runs"]))
    print(json.dumps(report.metrics))
    return 0 if not lost and not doubled else 1


def run(folder: Path, index: Path, kills: int) -> list[tuple[str, str, float, int, float]]:
    """Start the indexer until it ends by itself, killing it the first times."""
    total = sum(source.count() or 0 for source in open_sources([str(folder)], index))
    rows = []
    for number in range(kills + 1):
        began = time.monotonic()
        child = subprocess.Popen(
            [*COMMAND, "index", str(folder), "--index", str(index), *PLAIN, "--json"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        goal = total * (number + 1) // (kills + 1) if number < kills else None
        peak = watch(child, index, goal)
        out, _ = child.communicate()
        ended = "killed" if child.returncode < 0 else f"exit {child.returncode}"
        rows.append((f"{number + 1}", ended, time.monotonic() - began, images(index), peak))
        if child.returncode >= 0:
            print(out.strip())
            break
    return rows


def watch(child: subprocess.Popen[str], index: Path, goal: int | None) -> float:
    """Kill the child once the index holds `goal` images; return its peak memory in MB."""
    peak = 0.0
    while child.poll() is None:
        peak = max(peak, resident_mb(child.pid))
        if goal is not None and images(index) >= goal:
            child.kill()
            return peak
        time.sleep(0.2)
    return peak


def resident_mb(pid: int) -> float:
    """Return a process's resident memory and that of its children."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return own + sum(resident_mb(int(one)) for one in children)


def images(index: Path) -> int:
    """Return how many images are acknowledged."""
    import sqlite3

    try:
        with sqlite3.connect(f"file:{index / 'catalog.sqlite'}?mode=ro", uri=True) as catalog:
            return int(catalog.execute("SELECT images FROM state").fetchone()[0])
    except sqlite3.Error:
        return 0


def compare(folder: Path, index: Path) -> tuple[int, int, dict[str, float]]:
    """Return how many listed pictures are in neither list, how many in two, and counts."""
    uris = [item.source.uri for source in open_sources([str(folder)], index)
            for item in source.items()]  # fmt: skip
    with open_index(index) as engine:
        catalog = engine.stores.catalog
        known = {}
        for at in range(0, len(uris), 500):
            known |= catalog.source_states(uris[at : at + 500])
        lost = sum(uri not in known for uri in uris)
        ids = [record.id for record in catalog.all_records()]
        status = engine.status()
    counts = {
        "listed": len(uris),
        "images": status.images,
        "sources": status.sources,
        "refused": sum(status.failures.values()),
        "index_bytes_an_image": status.bytes / max(1, status.images),
    }
    return lost, len(ids) - len(set(ids)), counts


def revision() -> str:
    """Return the revision of the working copy."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=HERE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
