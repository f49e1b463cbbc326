"""Measure corrections, completion and the judge of languages.

    python eval/spelling/spelling.py --data ../shared/data

The index's vocabulary is that of COCO's captions; queries are the words of Flickr8k's, which
nobody corrected: some of their "right" words are misspelt, so that `right_words.changed` is too
high rather than too low. Typos are drawn: one slip, in a fifth of them two.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import random
import statistics
import time
from collections import Counter
from pathlib import Path

from lookalike.adapters.text_lexicon import EnglishLexicon
from lookalike.adapters.text_schema import Analysis
from lookalike.adapters.text_vocabulary import _BESIDE, MOST_RARE, Vocabulary
from lookalike.domain.languages import foreign_language
from lookalike.domain.objects import known_words

HERE = Path(__file__).parent
TYPOS = 4000
LARGE = 100_000
TIMED = 200
LEAST = 4
CAPTIONS = 20_000


class Speller:
    """Corrects single words as an index and its engine do."""

    def __init__(
        self, frequencies: Counter[str], analysis: Analysis, lexicon: EnglishLexicon | None
    ):
        self.analysis, self.lexicon, self.frequencies = analysis, lexicon, frequencies
        self.vocabulary = Vocabulary(frequencies, taught=known_words())
        self.stems = Counter()
        for word, count in frequencies.items():
            self.stems[analysis.stem(word)] += count

    def is_known(self, word: str) -> bool:
        by_index = max(self.frequencies[word], self.stems[self.analysis.stem(word)]) > MOST_RARE
        is_english = self.lexicon is not None and self.lexicon.knows(word)
        return by_index or is_english or word in known_words()

    def corrected(self, word: str) -> str | None:
        if self.is_known(word):
            return None
        frequency = max(self.frequencies[word], self.stems[self.analysis.stem(word)])
        return self.vocabulary.nearest(word, frequency=frequency)


def slip(word: str, rng: random.Random) -> str:
    """Return a word with one slip of a typist."""
    kind = rng.choice(["swap", "drop", "double", "insert", "beside", "beside"])
    at = rng.randrange(len(word))
    if kind == "swap" and len(word) > 1:
        at = rng.randrange(len(word) - 1)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == "drop":
        return word[:at] + word[at + 1 :]
    if kind == "double":
        return word[:at] + word[at] + word[at:]
    key = rng.choice(_BESIDE.get(word[at], word[at]))
    return word[:at] + key + word[at + (kind == "beside") :]


def typos(speller: Speller, running: list[str], seed: int) -> dict[str, float]:
    """Return the shares of misspelt words put right, made another, and left."""
    rng = random.Random(seed)
    counts = Counter()
    for _ in range(TYPOS):
        meant = rng.choice(running)
        typed = slip(meant, rng)
        typed = slip(typed, rng) if rng.random() < 0.2 else typed
        if typed == meant:
            continue
        found = speller.corrected(typed)
        counts["n"] += 1
        counts["real_words"] += speller.is_known(typed)
        if found is None:
            counts["left"] += 1
        elif speller.analysis.stem(found) == speller.analysis.stem(meant):
            counts["right"] += 1
        else:
            counts["wrong"] += 1
    total = counts["n"]
    names = ("right", "wrong", "left", "real_words")
    return {"n": total} | {name: round(counts[name] / total, 4) for name in names}


def right_words(speller: Speller, words: Counter[str]) -> dict[str, object]:
    """Return how many words that were written are changed."""
    changed = {word: found for word in words if (found := speller.corrected(word))}
    return {
        "distinct": len(words),
        "distinct_changed": len(changed),
        "changed": round(sum(words[word] for word in changed) / sum(words.values()), 5),
        "some": dict(sorted(changed.items(), key=lambda one: -words[one[0]])[:40]),
    }


def timed(lexicon_stems: list[str], seed: int) -> dict[str, object]:
    """Return the milliseconds of a correction and a completion among 100,000 words."""
    rng = random.Random(seed)
    words = list(lexicon_stems)
    endings = ("s", "ing", "ed", "er", "ness", "ly")
    large = dict.fromkeys(words)
    while len(large) < LARGE:
        large[rng.choice(words) + rng.choice(endings)] = None
    frequencies = {word: 2 + int(rng.paretovariate(1)) for word in large}
    began = time.perf_counter()
    vocabulary = Vocabulary(frequencies)
    built = time.perf_counter() - began
    asked = [word for word in rng.sample(list(large), 3 * TIMED) if len(word) >= 5][:TIMED]
    correcting, completing = [], []
    for word in asked:
        typed = slip(word, rng)
        began = time.perf_counter()
        vocabulary.nearest(typed)
        correcting.append(time.perf_counter() - began)
        prefix = word[: rng.randint(1, 4)]
        began = time.perf_counter()
        vocabulary.completions(prefix, limit=8)
        completing.append(time.perf_counter() - began)

    def ms(values: list[float], share: float) -> float:
        return round(sorted(values)[int(share * (len(values) - 1))] * 1e3, 2)

    return {
        "words": len(frequencies), "build": round(built * 1e3, 1),
        "correction_p50": ms(correcting, 0.5), "correction_p99": ms(correcting, 0.99),
        "completion_p50": ms(completing, 0.5), "completion_p99": ms(completing, 0.99),
    }  # fmt: skip


def languages(captions: list[str], lexicon: EnglishLexicon, seed: int) -> dict[str, object]:
    """Return false alarms on English, and how many foreign queries are told."""
    rng = random.Random(seed)
    short = []
    for caption in captions:
        words = caption.split()
        length = rng.randint(1, 4)
        at = rng.randrange(max(1, len(words) - length + 1))
        short.append(" ".join(words[at : at + length]))
    foreign = json.loads((HERE / "foreign_queries.json").read_text(encoding="utf-8"))["queries"]
    told = [(language, text, foreign_language(text, lexicon.knows)) for language, text in foreign]
    return {
        "captions": len(captions),
        "false_alarms_captions": sum(bool(foreign_language(c, lexicon.knows)) for c in captions),
        "false_alarms_short": sum(bool(foreign_language(one, lexicon.knows)) for one in short),
        "foreign": len(foreign),
        "told": round(statistics.mean(found is not None for *_, found in told), 3),
        "told_rightly": round(statistics.mean(found == wanted for wanted, _, found in told), 3),
        "missed": [text for _, text, found in told if found is None],
    }


def main() -> None:
    """Measure and write spelling.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    analysis, lexicon = Analysis(), EnglishLexicon()
    frequencies: Counter[str] = Counter()
    with gzip.open(given.data / "text" / "coco-val2017-captions.jsonl.gz", "rt") as file:
        for line in file:
            frequencies.update(set(analysis.terms(" ".join(json.loads(line)["captions"]))))
    captions = []
    for line in (given.data / "flickr8k" / "labels.jsonl").read_text("utf-8").splitlines():
        captions += json.loads(line)["captions"]
    words = Counter(
        word
        for caption in captions
        for word in analysis.terms(caption)
        if word.isascii() and word.isalpha() and len(word) >= LEAST
    )
    running = [word for word in words.elements() if frequencies[word] > MOST_RARE]
    with_lexicon = Speller(frequencies, analysis, lexicon)
    without = Speller(frequencies, analysis, None)
    from lookalike.adapters.text_lexicon import _stems

    stems = sorted(one for one in _stems() if len(one) >= LEAST)
    report = {
        "machine": platform.machine(),
        "seed": given.seed,
        "vocabulary": len(frequencies),
        "typos": typos(with_lexicon, running, given.seed),
        "typos_without_lexicon": typos(without, running, given.seed),
        "right_words": right_words(with_lexicon, words),
        "right_words_without_lexicon": right_words(without, words),
        "milliseconds": timed(stems, given.seed),
        "languages": languages(captions[:CAPTIONS], lexicon, given.seed),
        "note": "weights were chosen on other draws of typos over the same captions",
    }
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    (HERE / "spelling.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
