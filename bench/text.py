"""Measure the text index beside SQLite FTS5: same documents, same terms, same queries, one run.

    PYTHONPATH=src python bench/text.py --captions coco-val2017-captions.jsonl.gz

Documents are captions drawn two at a time with a seed. FTS5 gets the terms and stems that
Tantivy's analysis makes, in two columns with the same weights, so both score the same terms.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.adapters.text_schema import DEFAULT_WEIGHTS, Analysis, TextIndexSettings
from lookalike.adapters.text_tantivy import TantivyTextIndex
from lookalike.domain.arrays import BoolMask
from lookalike.domain.filters import Filter
from lookalike.domain.hits import Selection
from lookalike.domain.queries import TextMatch
from lookalike.ports.text import TextDocument

RESULTS = Path(__file__).resolve().parent / "results"

BATCH = 1000
K = 20
SHARES = (0.5, 0.1, 0.01, 0.001)
SMALL_COMMITS = 25


@dataclass(frozen=True, slots=True)
class Corpus:
    texts: Sequence[str]
    extra: Sequence[str]
    queries: Sequence[str]


def read_captions(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [caption.strip() for line in lines for caption in json.loads(line)["captions"]]


def make_corpus(captions: Sequence[str], size: int, queries: int, seed: int) -> Corpus:
    chance = random.Random(seed)
    texts = [" ".join(chance.sample(captions, 2)) for _ in range(size)]
    asked = []
    for caption in chance.sample(captions, queries):
        words = caption.strip(".").split()
        begin = chance.randrange(max(1, len(words) - 4))
        asked.append(" ".join(words[begin : begin + chance.randint(1, 6)]))
    return Corpus(texts, chance.sample(captions, SMALL_COMMITS), asked)


class Tantivy:
    name = "lookalike (Tantivy)"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = TantivyTextIndex.open(folder, is_writer=True)

    def fill(self, texts: Sequence[str]) -> None:
        for begin in range(0, len(texts), BATCH):
            part = texts[begin : begin + BATCH]
            self.index.add([TextDocument(begin + i, caption=text) for i, text in enumerate(part)])
        self.index.commit(len(texts))

    def add_one(self, row: int, text: str) -> None:
        self.index.add([TextDocument(row, caption=text)])
        self.index.commit(row + 1)

    def search(self, words: str, k: int, mask: BoolMask | None) -> list[int]:
        selection = None if mask is None else Selection(Filter(), mask)
        rows = self.index.search(TextMatch(words=words), k=k, selection=selection).rows[0]
        return rows[rows >= 0].tolist()

    def allow(self, mask: BoolMask | None) -> None:
        pass

    def close(self) -> None:
        self.index.close()


class Fts5:
    name = "SQLite FTS5"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.analysis = Analysis()
        exact = DEFAULT_WEIGHTS["caption"] * TextIndexSettings().exact_weight
        self.rank = f"bm25(docs, {exact}, {DEFAULT_WEIGHTS['caption']})"
        self.base = sqlite3.connect(folder / "fts.sqlite")
        self.base.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536;"
            "CREATE VIRTUAL TABLE docs USING fts5(word, stem, content='', tokenize='unicode61');"
            "CREATE TEMP TABLE allowed(row INTEGER PRIMARY KEY);"
        )

    def fill(self, texts: Sequence[str]) -> None:
        self._insert(enumerate(texts))
        self.base.commit()

    def add_one(self, row: int, text: str) -> None:
        self._insert([(row, text)])
        self.base.commit()

    def _insert(self, rows: Any) -> None:
        def columns() -> Iterator[tuple[int, str, str]]:
            for row, text in rows:
                terms = self.analysis.terms(text)
                yield row, " ".join(terms), " ".join(map(self.analysis.stem, terms))

        self.base.executemany("INSERT INTO docs(rowid, word, stem) VALUES (?, ?, ?)", columns())

    def search(self, words: str, k: int, mask: BoolMask | None) -> list[int]:
        asked = " OR ".join(
            f'word:"{term}" OR stem:"{self.analysis.stem(term)}"'
            for term in self.analysis.query_terms(words)
        )
        # The plus keeps SQLite from asking the match once for every allowed row.
        allowed = "" if mask is None else "AND +rowid IN (SELECT row FROM allowed)"
        found = self.base.execute(
            f"SELECT rowid FROM docs WHERE docs MATCH ? {allowed} ORDER BY {self.rank} LIMIT ?",
            (asked, k),
        )
        return [row for (row,) in found]

    def allow(self, mask: BoolMask | None) -> None:
        self.base.execute("DELETE FROM allowed")
        if mask is not None:
            rows = ((row,) for row in np.flatnonzero(mask).tolist())
            self.base.executemany("INSERT INTO allowed VALUES (?)", rows)
        self.base.commit()

    def close(self) -> None:
        self.base.close()


def spread(times_ms: Sequence[float]) -> dict[str, float]:
    return {
        "p50_ms": round(float(np.percentile(times_ms, 50)), 3),
        "p99_ms": round(float(np.percentile(times_ms, 99)), 3),
    }


def timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1e3


def measure(kind: type[Tantivy] | type[Fts5], corpus: Corpus, seed: int) -> dict[str, Any]:
    size = len(corpus.texts)
    with tempfile.TemporaryDirectory() as folder:
        store = kind(Path(folder) / "store")
        fill_s = timed(lambda: store.fill(corpus.texts)) / 1e3
        result: dict[str, Any] = {
            "store": store.name,
            "documents": size,
            "documents_per_s": round(size / fill_s),
            "bytes": sum(path.stat().st_size for path in store.folder.iterdir()),
        }
        searches: dict[str, Any] = {}
        for share in (None, *SHARES):
            mask = None if share is None else np.random.default_rng(seed).random(size) < share
            store.allow(mask)
            times = [timed(lambda q=q, mask=mask: store.search(q, K, mask)) for q in corpus.queries]
            searches["all" if share is None else f"{share:g}"] = spread(times)
        result["search_by_share_allowed"] = searches
        top = [timed(lambda q=q: store.search(q, 1000, None)) for q in corpus.queries]
        result["search_top_1000"] = spread(top)
        result["answers"] = [store.search(query, 10, None) for query in corpus.queries]
        if isinstance(store, Tantivy):
            result |= measure_rest(store.index, corpus, seed)
        commits = [
            timed(lambda i=i, text=text: store.add_one(size + i, text))
            for i, text in enumerate(corpus.extra)
        ]
        result["add_and_commit_one"] = spread(commits)
        store.close()
    return result


def measure_rest(index: TantivyTextIndex, corpus: Corpus, seed: int) -> dict[str, Any]:
    rows = np.random.default_rng(seed).choice(len(corpus.texts), 500, replace=False)
    first_ms = timed(lambda: index.correct("surfbord"))
    phrases = [TextMatch(phrases=(query,)) for query in corpus.queries]
    return {
        "score_500": spread(
            [timed(lambda q=q: index.score(TextMatch(words=q), rows)) for q in corpus.queries]
        ),
        "phrase": spread([timed(lambda p=p: index.search(p, k=K)) for p in phrases]),
        "vocabulary_ms": round(first_ms, 2),
        "correct": spread([timed(lambda: index.correct("moutain surfbord")) for _ in range(50)]),
        "suggest": spread([timed(lambda: index.suggest("s")) for _ in range(50)]),
    }


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_1m": round(os.getloadavg()[0], 1),
    }


def show(results: Sequence[dict[str, Any]]) -> None:
    heads = ["all", *(f"{share:g}" for share in SHARES)]
    print(f"{'store':<20}{'docs':>8}{'docs/s':>8}{'MB':>7}{'commit':>9}", end="")
    print("".join(f"{head + ' p50/p99':>16}" for head in heads) + f"{'top 1000':>16}")
    for result in results:
        searches = [result["search_by_share_allowed"][head] for head in heads]
        cells = [
            f"{s['p50_ms']:.2f}/{s['p99_ms']:.2f}" for s in [*searches, result["search_top_1000"]]
        ]
        print(
            f"{result['store']:<20}{result['documents']:>8}{result['documents_per_s']:>8}"
            f"{result['bytes'] / 1e6:>7.1f}{result['add_and_commit_one']['p50_ms']:>9.1f}"
            + "".join(f"{cell:>16}" for cell in cells)
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--captions", type=Path, required=True, help="COCO captions, JSONL gzip")
    options.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    options.add_argument("--queries", type=int, default=100)
    options.add_argument("--seed", type=int, default=20)
    options.add_argument("--out", type=Path, default=RESULTS / "text.json")
    chosen = options.parse_args()
    captions = read_captions(chosen.captions)
    before = machine()
    results: list[dict[str, Any]] = []
    for size in chosen.sizes:
        corpus = make_corpus(captions, size, chosen.queries, chosen.seed)
        pair = [measure(kind, corpus, chosen.seed) for kind in (Tantivy, Fts5)]
        ours, theirs = (result.pop("answers") for result in pair)
        shared = [len(set(a) & set(b)) / max(len(b), 1) for a, b in zip(ours, theirs, strict=True)]
        pair[0]["shared_with_fts5_at_10"] = round(float(np.mean(shared)), 3)
        results += pair
    show(results)
    report = {
        "machine": before,
        "seed": chosen.seed,
        "queries": chosen.queries,
        "k": K,
        "captions": chosen.captions.name,
        "results": results,
    }
    chosen.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
