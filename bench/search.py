"""Measure a running server: words, pictures and filters, alone and four at once.

    python bench/search.py [--sizes 10000 100000] [--captions FILE] [--photos FOLDER]

The index holds ready vectors of the packaged encoder with two captions each. `lookalike serve`
runs over loopback; every query is new to it. SQLite FTS5 for words, and hnswlib, usearch and
exact NumPy for vectors, stand beside on the same data in the same run, called in process.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import material
import numpy as np

from lookalike.evaluation.reports import Table
from lookalike.settings import Settings
from lookalike.wiring.embedded import OpenOptions, open_index

K = 20
SHARES = {"50 %": 5000, "10 %": 9000, "1 %": 9900, "0.1 %": 9990}
"""The share of the images that a filter `min_width` lets through."""

Ask = Callable[[http.client.HTTPConnection], dict[str, Any]]


def by_words(words: str, **filters: Any) -> Ask:
    path = "/v1/search?" + urlencode({"q": words, "k": K, **filters})

    def ask(server: http.client.HTTPConnection) -> dict[str, Any]:
        server.request("GET", path)
        return _read(server)

    return ask


def by_picture(data: bytes, **filters: Any) -> Ask:
    body, headers = material.form(data)
    path = "/v1/search/image?" + urlencode({"k": K, **filters})

    def ask(server: http.client.HTTPConnection) -> dict[str, Any]:
        server.request("POST", path, body=body, headers=headers)
        return _read(server)

    return ask


def _read(server: http.client.HTTPConnection) -> dict[str, Any]:
    response = server.getresponse()
    body = response.read()
    if response.status != 200:
        raise SystemExit(f"the server answered {response.status}: {body[:300]!r}")
    answer: dict[str, Any] = json.loads(body)
    if answer["degraded"]:
        print("degraded:", answer["degraded"])
    return answer


def measure(address: str, pid: int, asks: Sequence[Ask], clients: int) -> dict[str, Any]:
    """Ask everything, `clients` at once; return what a client waits, and what each stage took."""
    host = address.removeprefix("http://")

    def work(part: Sequence[Ask]) -> list[tuple[float, dict[str, float], int]]:
        server = http.client.HTTPConnection(host, timeout=30)
        found = []
        for ask in part:
            began = time.perf_counter()
            answer = ask(server)
            took = 1e3 * (time.perf_counter() - began)
            found.append((took, answer["timings_ms"], len(answer["hits"])))
        server.close()
        return found

    cpu, began = material.process_usage(pid)[0], time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        parts = [asks[client::clients] for client in range(clients)]
        done = [one for part in threads.map(work, parts) for one in part]
    seconds = time.perf_counter() - began
    cpu = material.process_usage(pid)[0] - cpu
    names = sorted({name for _, stages, _ in done for name in stages})
    return {
        **material.spread([took for took, _, _ in done]),
        "queries": len(done),
        "per_s": len(done) / seconds,
        "cpu_ms": 1e3 * cpu / len(done),
        "hits": sum(hits for _, _, hits in done) / len(done),
        "stages_p50_ms": {
            name: float(np.median([stages.get(name, 0.0) for _, stages, _ in done]))
            for name in names
        },
        "load": os.getloadavg()[0],
    }


class Questions:
    """Words and pictures that are never asked twice."""

    def __init__(self, options: Any) -> None:
        captions = material.read_captions(options.captions)
        self._words = iter(captions[len(captions) // 2 :])
        self._photographs = material.read_photographs(options.photos, 300, seed=material.SEED + 1)
        self._noise = np.random.default_rng(material.SEED)
        self._pictures = 0

    def words(self, count: int) -> list[str]:
        return [next(self._words).rstrip(" .") for _ in range(count)]

    def pictures(self, count: int) -> list[bytes]:
        from PIL import Image

        found = []
        for _ in range(count):
            photograph = self._photographs[self._pictures % len(self._photographs)]
            self._pictures += 1
            pixels = np.array(photograph.resize((500, 375)))
            pixels[:8, :8] = self._noise.integers(0, 255, 3)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
            found.append(buffer.getvalue())
        return found


def measure_server(index: Path, options: Any, ask: Questions) -> list[dict[str, Any]]:
    """Ask one server for everything."""
    lines: list[dict[str, Any]] = []
    count, few = options.queries, max(20, options.queries // 4)
    with material.serving(index) as (address, pid):
        for _ in range(2):  # pages of the index and both towers come into memory
            measure(address, pid, [by_words(w) for w in ask.words(30)], 2)
            measure(address, pid, [by_picture(p) for p in ask.pictures(10)], 2)

        def add(name: str, asks: Sequence[Ask], clients: int) -> None:
            found = measure(address, pid, asks, clients)
            lines.append({"what": name, "clients": clients, **found})
            stages = "  ".join(f"{k} {v:.1f}" for k, v in found["stages_p50_ms"].items())
            print(
                f"{index.stem} {name:16} clients {clients}: p50 {found['p50_ms']:6.1f} "
                f"p99 {found['p99_ms']:6.1f} ms, {found['per_s']:5.1f} a second, "
                f"cpu {found['cpu_ms']:.1f} ms; {stages}; load {found['load']:.1f}",
                flush=True,
            )

        for clients in (1, 4):
            add("words", [by_words(w) for w in ask.words(count * clients)], clients)
            add("picture", [by_picture(p) for p in ask.pictures(count * clients // 2)], clients)
        for share, width in SHARES.items():
            add(f"words, {share}", [by_words(w, min_width=width) for w in ask.words(few)], 1)
            add(
                f"picture, {share}",
                [by_picture(p, min_width=width) for p in ask.pictures(few // 2)],
                1,
            )
        resident = material.process_usage(pid)[1]
    for line in lines:
        line["server_bytes"] = resident
    return lines


def measure_peers(index: Path, ask: Questions, count: int) -> list[dict[str, Any]]:
    """Measure the parts alone: FTS5 over the same captions, graphs and NumPy over the vectors."""
    with open_index(index, OpenOptions(), Settings(threads=1)) as engine:
        rows = engine.stores.catalog.state().rows
        vectors = np.concatenate(
            [
                engine.stores.vectors.fetch(np.arange(at, min(at + 10_000, rows)))
                for at in range(0, rows, 10_000)
            ]
        )
        captions = [
            record.sources[0].caption if record else ""
            for at in range(0, rows, 1000)
            for record in engine.stores.catalog.records(list(range(at, min(at + 1000, rows))))
        ]
        words = ask.words(count)
        queries = engine.encoder.encode_texts(words)
        ours = [
            _timed("ours: BM25", words, lambda w: engine.stores.texts.search(_match(w), k=200)),
            _timed(
                "ours: vectors",
                queries,
                lambda q: engine.stores.vectors.search(q[None], k=200, query_kind="text"),
            ),
            _timed("ours: text encoder", words, lambda w: engine.encoder.encode_texts([w])),
        ]
    return [*ours, *_fts5(captions, words), *_graphs(vectors, queries)]


def _match(words: str) -> Any:
    from lookalike.domain.queries import TextMatch

    return TextMatch(words=words)


def _timed(
    name: str, queries: Sequence[Any], search: Callable[[Any], Any], **facts: Any
) -> dict[str, Any]:
    for query in queries[:5]:
        search(query)
    times, cpu = [], time.process_time()
    for query in queries:
        began = time.perf_counter()
        search(query)
        times.append(1e3 * (time.perf_counter() - began))
    cpu_ms = 1e3 * (time.process_time() - cpu) / len(queries)
    found = {"what": name, **material.spread(times), "cpu_ms": cpu_ms, **facts}
    print(f"{name:28} p50 {found['p50_ms']:7.2f}  p99 {found['p99_ms']:7.2f} ms", flush=True)
    return found


def _fts5(captions: Sequence[str], words: Sequence[str]) -> list[dict[str, Any]]:
    base = sqlite3.connect(":memory:")
    base.execute(
        "CREATE VIRTUAL TABLE docs USING fts5(text, content='', tokenize='porter unicode61')"
    )
    began = time.perf_counter()
    base.executemany("INSERT INTO docs(rowid, text) VALUES (?, ?)", enumerate(captions))
    base.commit()
    built = time.perf_counter() - began

    def search(text: str) -> Any:
        terms = {"".join(c for c in word if c.isalnum()) for word in text.lower().split()}
        asked = " OR ".join(f'"{term}"' for term in sorted(terms) if term)
        sql = "SELECT rowid FROM docs WHERE docs MATCH ? ORDER BY rank LIMIT 200"
        return base.execute(sql, (asked,)).fetchall()

    return [_timed("SQLite FTS5", words, search, build_s=built)]


def _graphs(vectors: np.ndarray, queries: np.ndarray) -> list[dict[str, Any]]:
    import hnswlib
    from usearch.index import Index

    def exact(query: np.ndarray) -> np.ndarray:
        scores = vectors @ query
        best = np.argpartition(-scores, 200)[:200]
        return best[np.argsort(-scores[best])]

    found = [_timed("NumPy exact, float32", queries, exact)]
    began = time.perf_counter()
    graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
    graph.init_index(max_elements=len(vectors), ef_construction=100, M=16, random_seed=1)
    graph.add_items(vectors, num_threads=2)
    graph.set_ef(200)
    graph.set_num_threads(1)
    built = time.perf_counter() - began
    found.append(
        _timed("hnswlib M16 ef 200", queries, lambda q: graph.knn_query(q, k=200), build_s=built)
    )
    began = time.perf_counter()
    other = Index(ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=16)
    other.add(np.arange(len(vectors)), vectors, threads=2)
    other.expansion_search = 200
    built = time.perf_counter() - began
    found.append(
        _timed("usearch f16 ef 200", queries, lambda q: other.search(q, 200), build_s=built)
    )
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    material.index_options(options)
    options.add_argument("--queries", type=int, default=200)
    options.add_argument("--no-peers", action="store_true")
    options.add_argument("--out", type=Path, default=material.RESULTS / "search.json")
    chosen = options.parse_args()
    served, peers, built = [], [], []
    for size in chosen.sizes:
        index, facts = material.ready_index(chosen, size)
        ask = Questions(chosen)
        served += [{"images": size, **line} for line in measure_server(index, chosen, ask)]
        if not chosen.no_peers:
            found = measure_peers(index, ask, min(chosen.queries, 100))
            peers += [{"images": size, **line} for line in found]
        built.append(facts)
    report(chosen, served, peers, built)


def report(
    chosen: Any,
    served: list[dict[str, Any]],
    peers: list[dict[str, Any]],
    built: list[dict[str, float]],
) -> None:
    """Write the figures."""
    stages = ("decode", "filter", "encode", "ann", "bm25", "complete", "rank", "records", "total")
    tables = {
        "server": Table(
            ("images", "query", "clients", "p50 ms", "p99 ms", "queries/s", "CPU ms", "load"),
            [
                (s["images"], s["what"], s["clients"], s["p50_ms"], s["p99_ms"], s["per_s"],
                 s["cpu_ms"], s["load"])
                for s in served
            ],
        ),
        "stages": Table(
            ("images", "query", *stages),
            [
                (s["images"], s["what"], *(s["stages_p50_ms"].get(name) for name in stages))
                for s in served if s["clients"] == 1
            ],
        ),
        "parts": Table(
            ("images", "part", "p50 ms", "p99 ms", "CPU ms", "build s"),
            [
                (p["images"], p["what"], p["p50_ms"], p["p99_ms"], p["cpu_ms"], p.get("build_s"))
                for p in peers
            ],
        ),
        "index": Table(
            ("images", "added/s", "CPU ms an image", "optimize s", "bytes an image"),
            [
                (int(b["images"]), b["images_per_s"], b["cpu_ms_per_image"], b["optimize_s"],
                 b["bytes_per_image"])
                for b in built
            ],
        ),
    }  # fmt: skip
    metrics: dict[str, float] = {}
    for line in served:
        if line["clients"] == 1 and "," not in line["what"]:
            key = f"{line['what']}.{line['images']}"
            metrics[f"{key}.p50_ms"], metrics[f"{key}.p99_ms"] = line["p50_ms"], line["p99_ms"]
            metrics[f"{key}.encode_p50_ms"] = line["stages_p50_ms"].get("encode", 0.0)
    for line in served:
        if line["clients"] == 1:
            metrics[f"server_bytes.{line['images']}"] = line["server_bytes"]
    settings = {
        "k": K, "queries": chosen.queries, "photographs": chosen.photos.parent.name,
        "captions": chosen.captions.name if chosen.captions else "made sentences",
    }  # fmt: skip
    material.finish("Search", chosen.out, metrics=metrics, tables=tables, settings=settings)


if __name__ == "__main__":
    main()
