"""Measure what finding parts of words in pictures costs the text index: bytes and time.

    python bench/text_parts.py --captions coco-val2017-captions.jsonl.gz

Documents are captions drawn two at a time with a seed, as text read from pictures. The same texts
as captions, of which no parts are kept, stand beside: what differs is the field of parts.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import text as scaffold
from material import commit

from lookalike.adapters.text_tantivy import TantivyTextIndex
from lookalike.domain.queries import TextMatch
from lookalike.ports.text import TextDocument

LENGTHS = (2, 3, 5, 8, 16, 40)
K = 20


def fill(folder: Path, texts: list[str], field: str) -> tuple[TantivyTextIndex, dict[str, Any]]:
    index = TantivyTextIndex.open(folder, is_writer=True)

    def add() -> None:
        for begin in range(0, len(texts), scaffold.BATCH):
            part = texts[begin : begin + scaffold.BATCH]
            index.add([TextDocument(begin + at, **{field: text}) for at, text in enumerate(part)])
        index.commit(len(texts))

    fill_s = scaffold.timed(add) / 1e3
    return index, {
        "field": field,
        "documents_per_s": round(len(texts) / fill_s),
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
    }


def parts(texts: list[str], length: int, count: int, chance: random.Random) -> list[str]:
    """Return pieces of texts that begin and end anywhere but at a space."""
    found: list[str] = []
    while len(found) < count:
        text = chance.choice(texts).lower()
        begin = chance.randrange(max(1, len(text) - length))
        piece = text[begin : begin + length]
        if len(piece) == length and piece[0].isalpha() and piece[-1].isalpha():
            found.append(piece)
    return found


def measure(index: TantivyTextIndex, texts: list[str], queries: int, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    result: dict[str, Any] = {}
    for length in LENGTHS:
        asked = [TextMatch(ocr_phrases=(p,)) for p in parts(texts, length, queries, chance)]
        times = [scaffold.timed(lambda m=match: index.search(m, k=K)) for match in asked]
        hits = [int((index.search(match, k=1000).rows >= 0).sum()) for match in asked]
        result[f"{length}_signs"] = scaffold.spread(times) | {
            "median_hits": sorted(hits)[len(hits) // 2]
        }
    return result


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--captions", type=Path, required=True, help="COCO captions, JSONL gzip")
    options.add_argument("--size", type=int, default=100_000)
    options.add_argument("--queries", type=int, default=100)
    options.add_argument("--seed", type=int, default=27)
    options.add_argument("--out", type=Path, default=scaffold.RESULTS / "text_parts.json")
    chosen = options.parse_args()
    captions = scaffold.read_captions(chosen.captions)
    texts = list(scaffold.make_corpus(captions, chosen.size, 1, chosen.seed).texts)
    report: dict[str, Any] = {
        "machine": scaffold.machine(),
        "commit": commit(),
        "seed": chosen.seed,
        "documents": chosen.size,
        "queries": chosen.queries,
        "k": K,
        "mean_signs": round(sum(map(len, texts)) / len(texts), 1),
        "fills": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        for field in ("caption", "ocr_text"):
            index, filled = fill(Path(folder) / field, texts, field)
            report["fills"].append(filled)
            if field == "ocr_text":
                report["part_searches"] = measure(index, texts, chosen.queries, chosen.seed)
            index.close()
    chosen.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
