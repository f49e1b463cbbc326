"""Measure what a page costs by how deep it lies, while another thread adds and removes images.

    python bench/deep_pages.py --images 20000 --page 100

The index is a folder of ready vectors (896 numbers); a query by picture is paged to 10,000 results.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from lookalike.adapters.source_embeddings import EmbeddingsSource
from lookalike.domain.queries import ImagePart, Query
from lookalike.evaluation.reports import describe_machine
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.evaluation import commit_of
from lookalike.wiring.manifest import Manifest, SpaceEntry, read_manifest, write_manifest

DIM = 896
WRITTEN = 20


def embeddings(folder: Path, count: int, seed: int) -> EmbeddingsSource:
    (folder / "img_emb").mkdir(parents=True)
    vectors = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float16)
    np.save(folder / "img_emb/img_emb_0.npy", vectors)
    return EmbeddingsSource(folder)


def write(engine, root: Path, ids: list[str], is_done: threading.Event, written: list[int]) -> None:
    """Add some images and remove some, again and again."""
    number = 0
    while not is_done.is_set():
        number += 1
        engine.index([embeddings(root / f"more{number}", WRITTEN, number)])
        engine.remove([ids.pop() for _ in range(WRITTEN // 2)])
        written[0] += WRITTEN
        is_done.wait(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--page", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("bench/results/deep_pages.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lookalike-bench-") as scratch:
        root = Path(scratch) / "index"
        root.mkdir()
        write_manifest(root, Manifest(SpaceEntry("ready", DIM), NO_FEATURES))
        settings = Settings(decoders=1, threads=1)
        with assemble(
            root, read_manifest(root), None, options=OpenOptions(), settings=settings
        ) as engine:
            engine.index([embeddings(Path(scratch) / "first", options.images, 0)])
            ids = [one.id for one in engine.stores.catalog.all_records()]
            np.random.default_rng(1).shuffle(ids)
            asked = ids.pop(0)
            is_done, written = threading.Event(), [0]
            writer = threading.Thread(
                target=write, args=(engine, Path(scratch), ids, is_done, written)
            )
            writer.start()
            pages = page_through(engine, Query(images=(ImagePart("id", asked),), k=options.page))
            is_done.set()
            writer.join()
    given = [image for page in pages for image in page["ids"]]
    result = {
        "date": datetime.now(UTC).date().isoformat(), "commit": commit_of(), "seed": 0,
        "machine": asdict(describe_machine()), "images": options.images, "page": options.page,
        "results": len(given), "twice": len(given) - len(set(given)), "added_meanwhile": written[0],
        "cursor_bytes": max(page["cursor"] for page in pages),
        "by_depth": [
            {"from": at * 1000, "median_ms": median(pages, at, "ms"),
             "deep_ms": median(pages, at, "deep")}
            for at in range(len(given) // 1000)
        ],
        "first_page_ms": round(pages[0]["ms"], 1),
    }  # fmt: skip
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


def page_through(engine, query) -> list[dict]:
    pages, cursor = [], None
    while not pages or cursor:
        began = time.perf_counter()
        answer = engine.search(replace(query, cursor=cursor))
        cursor = answer.next
        pages.append({
            "ms": (time.perf_counter() - began) * 1000.0,
            "deep": answer.timings_ms.get("deep", 0.0), "cursor": len(cursor or ""),
            "ids": [hit.record.id for hit in answer.hits],
        })  # fmt: skip
    return pages


def median(pages, thousand: int, name: str) -> float:
    count = 0
    values = []
    for page in pages:
        if count // 1000 == thousand:
            values.append(page[name])
        count += len(page["ids"])
    return round(float(np.median(values)), 1) if values else 0.0


if __name__ == "__main__":
    main()
