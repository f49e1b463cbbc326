"""Index the sample photographs, search them by words, by filters and by picture, show the hits.

Run by `make demo`. Everything it makes is in `.demo/`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageEnhance
from rich.console import Console

from lookalike.cli.output import print_result, write_sheet
from lookalike.domain.queries import ImagePart, Query
from lookalike.domain.query_language import parse_query
from lookalike.wiring.embedded import open_index

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples" / "samples.jsonl"
OUT = ROOT / ".demo"
INDEX = OUT / "samples.index"
SHEET = OUT / "hits.png"
WORDS = "two men riding horses on the beach"
FILTERED = "mountains color:blue aspect:wide licence:open"
COMMAND = [sys.executable, "-m", "lookalike"]


def main() -> int:
    """Do it all, and return the exit code."""
    out = Console(highlight=False)
    began = time.monotonic()
    OUT.mkdir(exist_ok=True)
    shutil.rmtree(INDEX, ignore_errors=True)
    out.rule("index the sample photographs")
    out.print(f"$ lookalike index {SAMPLES.relative_to(ROOT)} --index {INDEX.relative_to(ROOT)}")
    done = subprocess.run([*COMMAND, "index", str(SAMPLES), "--index", str(INDEX)], check=False)
    if done.returncode not in {0, 1}:
        return done.returncode
    original = sample_to_alter()
    altered = alter(original, OUT / "altered.jpg")
    asked = [
        ("words", WORDS, parse_query(WORDS, k=6)),
        ("words with filters", FILTERED, parse_query(FILTERED, k=6)),
        (
            "an altered copy of a photograph",
            f"similar {altered.relative_to(ROOT)}",
            Query(source=altered.name, images=(ImagePart("path", str(altered)),), k=6),
        ),
    ]
    sections = []
    with open_index(INDEX) as engine:
        for title, words, query in asked:
            out.rule(f"{title}: {words}")
            result = engine.search(replace(query, source=words))
            print_result(result, is_explained=False)
            sections.append((f"{title}: {words}", result))
        first = sections[-1][1].hits[0].record.location
        verdict = "found" if Path(first) == original else "NOT found"
        out.print(f"the copy was made of {original.relative_to(ROOT)}: {verdict}")
        write_sheet(engine, sections, SHEET)
    out.rule("done")
    out.print(f"{time.monotonic() - began:.0f} s from the first photograph to the last hit")
    out.print(f"contact sheet of the hits: {SHEET.relative_to(ROOT)}")
    out.print(
        "open the page: [bold].venv/bin/lookalike serve "
        f"--index {INDEX.relative_to(ROOT)}[/bold], then http://127.0.0.1:8080"
    )
    return 0 if all(result.hits for _, result in sections) and verdict == "found" else 1


def sample_to_alter() -> Path:
    """Return the photograph in the middle of the list."""
    lines = SAMPLES.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[len(lines) // 2])
    return SAMPLES.parent / row.get("path", row.get("file"))


def alter(photograph: Path, altered: Path) -> Path:
    """Write a cropped, darkened, smaller and hard-pressed copy of a photograph."""
    with Image.open(photograph) as image:
        width, height = image.size
        box = (width // 12, height // 12, width - width // 16, height - height // 16)
        copy = image.convert("RGB").crop(box).resize((width // 2, height // 2))
    ImageEnhance.Brightness(copy).enhance(0.8).save(altered, quality=40)
    return altered


if __name__ == "__main__":
    raise SystemExit(main())
