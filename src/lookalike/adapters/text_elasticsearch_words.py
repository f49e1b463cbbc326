"""Corrections and completions from what a cluster knows, without reading its vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters.text_elasticsearch_query import any_of
from lookalike.adapters.text_elasticsearch_schema import TAUGHT_FIELDS, WORDS
from lookalike.adapters.text_elasticsearch_server import Request, encoded_lines
from lookalike.adapters.text_schema import FIELDS, Analysis, stem_field
from lookalike.adapters.text_vocabulary import MOST_RARE, SHORTEST_CORRECTED, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.adapters.text_elasticsearch_server import SearchServer

NEAR_WORDS: Final = 20
"""Near words that each field proposes for one that is not known."""

MOST_PROBED: Final = 32
"""Words of a query that are looked up; a pasted page is not corrected to its end."""

SAMPLED_DOCUMENTS: Final = 2000
"""Documents of each shard whose words are counted for a completion."""

SHORT_PREFIX: Final = 3
"""A shorter prefix is counted among any documents: its frequent words are in every sample."""


def rare_terms(server: SearchServer, analysis: Analysis, terms: Sequence[str]) -> dict[str, int]:
    """Return those of the terms that few documents hold or none, with how many.

    A document holds a term as written or by its stem.
    """
    probed = list(dict.fromkeys(terms))[:MOST_PROBED]
    if not probed:
        return {}
    lines: list[dict[str, Any]] = []
    for term in probed:
        written = [{"term": {name: term}} for name in FIELDS]
        stems = [{"term": {stem_field(name): analysis.stem(term)}} for name in FIELDS]
        query = any_of([*written, *stems])
        lines += [
            {},
            {
                "query": query,
                "size": 0,
                "track_total_hits": MOST_RARE + 1,
            },
        ]
    path = f"/{server.options.alias}/_msearch"
    answer = server.send(Request("POST", path, {}, encoded_lines(lines), is_lines=True))
    counts = {
        term: int(found["hits"]["total"]["value"])
        for term, found in zip(probed, answer["responses"], strict=True)
        if "error" not in found
    }
    return {term: count for term, count in counts.items() if count <= MOST_RARE}


def near_words(
    server: SearchServer, terms: Sequence[str], taught: frozenset[str]
) -> dict[str, Vocabulary]:
    """Return the words of the index near to each term, with their document frequencies."""
    asked = [term for term in terms if len(term) >= SHORTEST_CORRECTED and term.isascii()]
    if not asked:
        return {}
    suggest = {
        f"{name}:{term}": {
            "text": term,
            "term": {
                "field": name,
                "analyzer": "whitespace",
                "suggest_mode": "always",
                "prefix_length": 0,
                "min_word_length": SHORTEST_CORRECTED - 1,
                "size": NEAR_WORDS,
            },
        }
        for term in asked
        for name in TAUGHT_FIELDS
    }
    answer = server.call(
        "POST", f"/{server.options.alias}/_search", {"size": 0, "suggest": suggest}
    )
    found: dict[str, Vocabulary] = {}
    for term in asked:
        frequencies: dict[str, int] = {}
        for name in TAUGHT_FIELDS:
            for entry in answer["suggest"][f"{name}:{term}"]:
                for option in entry["options"]:
                    word = option["text"]
                    frequencies[word] = frequencies.get(word, 0) + option["freq"]
        found[term] = Vocabulary(frequencies, taught=taught)
    return found


def completions(server: SearchServer, prefix: str, limit: int) -> list[str]:
    """Return the most frequent words that begin with a prefix, ties by alphabet.

    A prefix is letters, digits and marks alone, so that it is no syntax in `include`.
    """
    counted = {
        "field": WORDS,
        "include": f"{prefix}.*",
        "size": limit,
        "execution_hint": "map",
        "order": [{"_count": "desc"}, {"_key": "asc"}],
    }
    query: dict[str, Any] = {"exists": {"field": WORDS}}
    if len(prefix) >= SHORT_PREFIX:
        query = {"prefix": {WORDS: prefix}}
    sampled = {
        "sampler": {"shard_size": SAMPLED_DOCUMENTS},
        "aggs": {"words": {"terms": counted}},
    }
    body = {"size": 0, "query": query, "track_total_hits": False, "aggs": {"sampled": sampled}}
    answer = server.call(
        "POST",
        f"/{server.options.alias}/_search",
        body,
        params={"filter_path": "aggregations.sampled.words.buckets.key"},
    )
    words = answer.get("aggregations", {}).get("sampled", {}).get("words", {})
    return [bucket["key"] for bucket in words.get("buckets", [])]
