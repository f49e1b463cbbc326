"""Measure how soon a new image is found after its acknowledgement.

    python bench/freshness.py [--images 20] [--bulk 400]

A server takes pictures one by one (`POST /v1/images`); from the moment its 202 arrives, a search
by a word of the caption and one by the picture itself are asked until each finds the image: by
the same server, and by a second process that has the same index open for reading. Then a bulk
run goes on in one process, and a reader in another asks for what was committed.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import material
import numpy as np
from PIL import Image

from lookalike.domain.queries import ImagePart, Query
from lookalike.domain.query_language import parse_query
from lookalike.evaluation.reports import Table
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, open_index

MOST_S = 10.0


def until(find: Callable[[], bool], began: float) -> float:
    """Return the milliseconds from `began` to the end of the first search that finds."""
    while time.perf_counter() - began < MOST_S:
        if find():
            return 1e3 * (time.perf_counter() - began)
    raise SystemExit(f"not found within {MOST_S:.0f} s of its acknowledgement")


def picture(photograph: Image.Image, seed: int) -> bytes:
    pixels = np.array(photograph)
    pixels[:16, :16] = np.random.default_rng(seed).integers(0, 255, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def ask(host: str, path: str, body: bytes | None, headers: dict[str, str]) -> dict[str, Any]:
    server = http.client.HTTPConnection(host, timeout=30)
    server.request("POST" if body is not None else "GET", path, body=body, headers=headers)
    response = server.getresponse()
    text = response.read()
    server.close()
    if response.status not in {200, 202}:
        raise SystemExit(f"{path}: {response.status}: {text[:200]!r}")
    return json.loads(text)


def post(host: str, data: bytes, caption: str) -> tuple[str, float]:
    """Add a picture; return its id and the moment of the acknowledgement."""
    body, headers = material.form(data)
    edge = headers["Content-Type"].rpartition("=")[2]
    field = f'--{edge}\r\nContent-Disposition: form-data; name="caption"\r\n\r\n{caption}\r\n'
    answer = ask(host, "/v1/images", field.encode() + body, headers)
    return answer["id"], time.perf_counter()


def one_by_one(work: Path, count: int, base: Path | None) -> list[dict[str, Any]]:
    """Add pictures to a server, and look for each from the server and from this process."""
    photographs = material.read_photographs(material.SAMPLES, 60)
    index = base or work / "fresh.index"
    lines: list[dict[str, Any]] = []
    found: dict[str, list[float]] = {}
    acknowledged: list[float] = []
    with material.serving(index) as (address, _):
        host = address.removeprefix("http://")
        with open_index(index, settings=Settings(threads=1)) as reader:
            for number in range(count + 3):
                word = f"zebrafinch{os.getpid()}x{number}"
                data = picture(photographs[number % len(photographs)], number)
                began = time.perf_counter()
                image, acknowledgement = post(host, data, f"a {word} on a wall")
                body, headers = material.form(data)
                ways: dict[str, Callable[[], bool]] = {
                    "server, by words": lambda word=word, image=image: is_first(
                        ask(host, f"/v1/search?q=%22{word}%22&k=5", None, {}), image
                    ),
                    "server, by picture": lambda body=body, headers=headers, image=image: is_first(
                        ask(host, "/v1/search/image?k=5", body, headers), image
                    ),
                    "another process, by words": lambda word=word, image=image: has(
                        reader.search(parse_query(f'"{word}"', k=5)), image
                    ),
                    "another process, by picture": lambda data=data, image=image: has(
                        reader.search(Query(k=5, images=(ImagePart("data", data=data),))), image
                    ),
                }
                results = all_at_once(ways, acknowledgement)
                if number >= 3:  # the first ones load models
                    acknowledged.append(1e3 * (acknowledgement - began))
                    for name, took in results.items():
                        found.setdefault(name, []).append(took)
    lines.append(line("POST /v1/images until its 202", acknowledged))
    lines += [line(f"found by {name}", times) for name, times in found.items()]
    return lines


def all_at_once(ways: dict[str, Callable[[], bool]], began: float) -> dict[str, float]:
    """Return for each way to look the milliseconds until it found, all looking side by side."""
    with ThreadPoolExecutor(len(ways)) as threads:
        flying = {name: threads.submit(until, find, began) for name, find in ways.items()}
    return {name: future.result() for name, future in flying.items()}


def is_first(answer: dict[str, Any], image: str) -> bool:
    return any(hit["id"] == image for hit in answer["hits"])


def has(result: Any, image: str) -> bool:
    return any(hit.record.id == image for hit in result.hits)


def line(name: str, times: list[float]) -> dict[str, Any]:
    found = {"what": name, **material.spread(times), "most_ms": max(times), "count": len(times)}
    print(
        f"{name:46} p50 {found['p50_ms']:7.1f}  p99 {found['p99_ms']:7.1f}  "
        f"most {found['most_ms']:7.1f} ms",
        flush=True,
    )
    return found


def bulk(work: Path, count: int) -> list[dict[str, Any]]:
    """Index a folder in another process, and see when a reader here finds what is committed.

    The catalog is polled; from the moment a poll shows a new image it must be found by its own
    title (a part of its file name) and by its picture.
    """
    folder, index = work / "pictures", work / "bulk.index"
    material.write_photographs(
        folder, count, (224, 224), photographs=material.read_photographs(material.SAMPLES, 60)
    )
    for path in sorted(folder.iterdir()):
        path.rename(path.with_name(f"finch{path.stem}.jpg"))
    with open_index(
        index, OpenOptions(encoder="lite", is_creating=True, features=NO_FEATURES)
    ) as engine:
        engine.search(parse_query("warm", k=1))
    process = subprocess.Popen(
        [sys.executable, "-m", "lookalike", "index", str(folder), "-i", str(index), "--no-objects",
         "--no-ocr", "--json"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    by_words: list[float] = []
    by_picture: list[float] = []
    try:
        with open_index(index, settings=Settings(threads=1)) as reader:
            reader.search(parse_query("warm", k=1))
            catalog, rows = reader.stores.catalog, 0
            while process.poll() is None:
                state = catalog.state()
                began = time.perf_counter()
                if state.rows == rows:
                    time.sleep(0.005)
                    continue
                record = catalog.records([state.rows - 1])[0]
                rows = state.rows
                if record is None:
                    continue
                path = Path(record.sources[0].uri)
                part = ImagePart("data", data=path.read_bytes())
                words = parse_query(f'"{path.stem}"', k=5)
                picture_query = Query(k=5, images=(part,))
                for asked, times in ((words, by_words), (picture_query, by_picture)):
                    times.append(
                        until(lambda q=asked, i=record.id: has(reader.search(q), i), began)
                    )
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    if not by_words:
        raise SystemExit("the bulk run ended before anything was seen: give a larger --bulk")
    return [
        line("bulk run, found by another process, by picture", by_picture),
        line("bulk run, found by another process, by words", by_words),
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=20, help="added one by one")
    options.add_argument("--bulk", type=int, default=400, help="added in one run")
    options.add_argument("--index", type=Path, help="an index that the single images go into")
    options.add_argument("--out", type=Path, default=material.RESULTS / "freshness.json")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as work:
        lines = one_by_one(Path(work), chosen.images, chosen.index)
        lines += bulk(Path(work), chosen.bulk)
    table = Table(
        ("from the acknowledgement", "p50 ms", "p99 ms", "most ms", "images"),
        [(li["what"], li["p50_ms"], li["p99_ms"], li["most_ms"], li["count"]) for li in lines],
    )
    found = [one for one in lines if "found" in one["what"]]
    metrics = {f"{one['what']}.p50_ms": one["p50_ms"] for one in lines}
    metrics["most_ms"] = max(one["most_ms"] for one in found)
    settings = {"images": chosen.images, "bulk": chosen.bulk}
    tables = {"freshness": table}
    material.finish("Freshness", chosen.out, metrics=metrics, tables=tables, settings=settings)


if __name__ == "__main__":
    main()
