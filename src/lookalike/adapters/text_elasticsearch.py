"""The text index over Elasticsearch and OpenSearch: BM25 over weighted fields.

What is added is sent at once, so that an error belongs to the call that caused it; `commit` makes
it visible as the refresh policy says. Choices: docs/adr/0013-text-on-elasticsearch.md.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.adapters.text_elasticsearch_bulk import Write, write_all
from lookalike.adapters.text_elasticsearch_hits import (
    PARTIAL,
    demand_ours,
    fetch_sorted,
    read_seq,
    row_chunks,
    write_seq,
)
from lookalike.adapters.text_elasticsearch_query import (
    ElasticsearchQueries,
    conditions_of,
    narrowed,
    portions,
    terms_query,
)
from lookalike.adapters.text_elasticsearch_schema import (
    IS_TEXT,
    REMOVED,
    ROW,
    TEXT_MARKER,
    filter_fields,
    marker,
    text_fields,
)
from lookalike.adapters.text_elasticsearch_versions import bm25_scale
from lookalike.adapters.text_elasticsearch_words import completions, near_words, rare_terms
from lookalike.adapters.text_hits import padded
from lookalike.adapters.text_schema import Analysis, TextIndexSettings
from lookalike.adapters.text_words import STOP_WORDS
from lookalike.domain.errors import BackendTimeoutError, StoreError
from lookalike.ports.text import Correction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lookalike.adapters.text_elasticsearch_query import Query
    from lookalike.adapters.text_elasticsearch_server import SearchServer
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
    from lookalike.domain.hits import RowHits, Selection
    from lookalike.domain.queries import TextMatch
    from lookalike.ports.text import TextDocument

_WORD: Final = re.compile(r"[^\W\d_]+")
_BEST_FIRST: Final = [{"_score": "desc"}, {ROW: "asc"}]
_OURS: Final[Mapping[str, Any]] = {"term": {IS_TEXT: True}}


class ElasticsearchTextIndex:
    """A `TextIndex` behind one alias; many processes write and read it at once.

    What any of them committed is found by all: `refresh` reads the seq alone.
    """

    def __init__(
        self, server: SearchServer, *, is_writer: bool, settings: TextIndexSettings
    ) -> None:
        self._server = server
        self._alias = server.options.alias
        self._is_writer = is_writer
        self._settings = settings
        self._analysis = Analysis()
        self._queries = ElasticsearchQueries(self._analysis, settings, scale=bm25_scale(server))
        self._is_closed = False
        self._seq = read_seq(server, TEXT_MARKER)
        server.hold()

    @classmethod
    def open(
        cls,
        server: SearchServer,
        *,
        is_writer: bool = True,
        settings: TextIndexSettings | None = None,
    ) -> ElasticsearchTextIndex:
        """Open the index behind the server's alias.

        Raises:
            BackendMissingError: it was not made yet.
            BackendSchemaError: it is foreign, or of another version.
        """
        demand_ours(server)
        return cls(server, is_writer=is_writer, settings=settings or TextIndexSettings())

    def __len__(self) -> int:
        """Return how many rows can be found."""
        found = self._server.call("POST", f"/{self._alias}/_count", {"query": _OURS})
        return int(found["count"])

    @property
    def seq(self) -> int:
        """The highest seq that any writer gave, as of opening, `commit` or `refresh`."""
        return self._seq

    def add(self, documents: Sequence[TextDocument]) -> None:
        """Write documents whole, with what filters ask of them; visible after `commit`."""
        self._demand_writer()
        for document in documents:
            if not 0 <= document.row < 2**63:
                raise StoreError(f"{document.row} is not a row")
        latest = {document.row: document for document in documents}
        self._write(self._write_of(document) for document in latest.values())

    def remove(self, rows: RowArray) -> None:
        """Remove rows; gone after `commit`."""
        self._demand_writer()
        self._write(removals(rows))

    def has(self, rows: RowArray) -> BoolMask:
        """Tell for each of `(n,)` rows whether it can be found."""
        found: list[int] = []
        for chunk in row_chunks(rows):
            query = {"bool": {"filter": [terms_query(ROW, chunk), _OURS]}}
            hits = fetch_sorted(self._server, {"query": query, "sort": [ROW]}, len(chunk))
            found += [row for (row,) in hits]
        return np.isin(rows, np.asarray(found, np.int64))

    def commit(self, seq: int) -> None:
        """Make everything so far visible as the refresh policy says, and remember the seq."""
        self._demand_writer()
        if seq > self._seq:
            write_seq(self._server, TEXT_MARKER, marker(seq, is_text=True))
            self._seq = seq
        if self._server.options.refresh == "true":
            self._server.call("POST", f"/{self._alias}/_refresh")

    def refresh(self) -> None:
        """See up to which seq others have committed."""
        self._seq = read_seq(self._server, TEXT_MARKER)

    def search(self, match: TextMatch, *, k: int, selection: Selection | None = None) -> RowHits:
        """Return the best k rows as `(1, k)`; k hits come back whenever k selected rows match."""
        query = self._queries.compile(match) if match and k > 0 else None
        if query is None:
            return padded(np.empty(0, np.int64), np.empty(0, np.float32), max(k, 0))
        rows, scores = self._best(match, narrowed(query, conditions_of(selection)), k)
        return padded(rows, scores, k)

    def score(self, match: TextMatch, rows: RowArray) -> FloatMatrix:
        """Return `(n,)` scores of the rows, equal to `search`'s; 0 where a row does not match."""
        return self._scores(match, self._queries.compile(match) if match else None, rows)

    def score_fields(self, match: TextMatch, rows: RowArray, fields: Sequence[str]) -> FloatMatrix:
        """Return `(n, f)` what the words of a match score in each field alone, 0 for nothing."""
        scored = np.zeros((rows.size, len(fields)), np.float32)
        for at, name in enumerate(fields):
            query = self._queries.compile_field(match, name)
            scored[:, at] = self._scores(match, query, rows)
        return scored

    def _scores(self, match: TextMatch, query: Query | None, rows: RowArray) -> FloatMatrix:
        scored = np.zeros(rows.size, np.float32)
        if query is None:
            return scored
        known: dict[int, float] = {}
        for chunk in row_chunks(rows):
            among = narrowed(query, [terms_query(ROW, chunk)])
            found, scores = self._best(match, among, len(chunk))
            known.update(zip(found.tolist(), scores.tolist(), strict=True))
        scored[:] = [known.get(row, 0.0) for row in rows.tolist()]
        return scored

    def correct(self, words: str) -> Sequence[Correction]:
        """Return corrections of misspelt words from the index's own vocabulary."""
        terms: dict[str, str] = {}
        for word in _WORD.findall(words):
            analysed = self._analysis.terms(word)
            if len(analysed) == 1 and not self._is_familiar(analysed[0]):
                terms.setdefault(word, analysed[0])
        rare = rare_terms(self._server, self._analysis, list(terms.values()))
        near = near_words(self._server, list(rare), self._settings.known_words)
        nearest = {
            term: vocabulary.nearest(term, frequency=rare[term])
            for term, vocabulary in near.items()
        }
        return tuple(
            Correction(word, replacement)
            for word, term in terms.items()
            if (replacement := nearest.get(term))
        )

    def suggest(self, prefix: str, *, limit: int = 8) -> Sequence[str]:
        """Return frequent terms of the index that begin with `prefix`.

        Of several words the last one is completed, and the ones before it are kept.
        """
        head, _, last = prefix.rpartition(" ")
        terms = self._analysis.terms(last)
        if len(terms) != 1 or limit < 1:
            return ()
        kept = f"{head} " if head else ""
        return tuple(kept + word for word in completions(self._server, terms[0], limit))

    def matched_terms(self, match: TextMatch, rows: RowArray) -> Sequence[tuple[str, ...]]:
        """Return, for each of `(n,)` rows, `field:term` for each query term that it holds."""
        named = self._queries.named(match) if match else {}
        held: dict[int, set[str]] = {int(row): set() for row in rows}
        for chunk in row_chunks(rows):
            for queries in portions(named):
                for row, names in self._named_hits(queries, chunk):
                    held[row].update(names)
        return [tuple(name for name in named if name in held[int(row)]) for row in rows]

    def optimize(self) -> None:
        """Drop what was removed from the segments; the server may go on after this returns."""
        self._demand_writer()
        self._forget_removals()
        try:
            self._server.call(
                "POST", f"/{self._alias}/_forcemerge", params={"only_expunge_deletes": "true"}
            )
        except BackendTimeoutError:
            return  # a merge goes on when nobody waits for it

    def close(self) -> None:
        """Let the connections go."""
        if not self._is_closed:
            self._is_closed = True
            self._server.release()

    def _demand_writer(self) -> None:
        if not self._is_writer:
            raise StoreError("this text index is open for reading only")

    def _write(self, writes: Iterator[Write]) -> None:
        is_waiting = self._server.options.refresh == "wait_for"
        write_all(self._server, writes, refresh="wait_for" if is_waiting else "false")

    def _write_of(self, document: TextDocument) -> Write:
        fields = filter_fields(document.row, document.terms)
        return Write.index(str(document.row), fields | text_fields(document, self._analysis))

    def _best(self, match: TextMatch, query: Query, k: int) -> tuple[RowArray, FloatMatrix]:
        params = {"preference": _preference(match)}
        if self._server.options.global_statistics:
            params["search_type"] = "dfs_query_then_fetch"
        body = {"query": query, "sort": _BEST_FIRST}
        found = fetch_sorted(self._server, body, k, params)
        rows = np.array([row for _, row in found], np.int64)
        return rows, np.array([score for score, _ in found], np.float32)

    def _is_familiar(self, term: str) -> bool:
        return term in STOP_WORDS or term in self._settings.known_words

    def _named_hits(
        self, queries: Mapping[str, Query], rows: list[int]
    ) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that some of the queries match, and the names of those."""
        should = [{"bool": {"must": [query], "_name": name}} for name, query in queries.items()]
        among = {"filter": [terms_query(ROW, rows)], "should": should, "minimum_should_match": 1}
        answer = self._server.call(
            "POST",
            f"/{self._alias}/_search",
            {
                "query": {"bool": among},
                "sort": [ROW],
                "size": len(rows),
                "track_total_hits": False,
                "stored_fields": "_none_",
            },
            params={**PARTIAL, "filter_path": "hits.hits.sort,hits.hits.matched_queries"},
        )
        for hit in answer.get("hits", {}).get("hits", []):
            yield hit["sort"][0], hit.get("matched_queries", [])

    def _forget_removals(self) -> None:
        """Delete the notes of removals, unless a rebuild still has to take them over."""
        is_rebuilding = self._server.call(
            "GET", f"/_alias/{rebuild_alias(self._alias)}", allowed=(404,)
        )
        if is_rebuilding is not None:
            return
        body = {"query": {"exists": {"field": REMOVED}}, "sort": [REMOVED]}
        noted = fetch_sorted(self._server, body, 100_000)
        write_all(self._server, (Write.delete(note_id(row)) for (row,) in noted))


def removals(rows: RowArray) -> Iterator[Write]:
    """Yield what removes rows: the deletion, and a note of it for a rebuild under way."""
    for row in np.unique(rows[rows >= 0]).tolist():
        yield Write.delete(str(row))
        yield Write.index(note_id(row), {REMOVED: row})


def note_id(row: int) -> str:
    """Return the id of the note that a row was removed."""
    return f"removed-{row}"


def rebuild_alias(alias: str) -> str:
    """Return the alias of the index that a rebuild fills."""
    return f"{alias}-next"


def _preference(match: TextMatch) -> str:
    """Let the same copies of the shards answer the same query: their statistics differ a little."""
    return f"q{zlib.crc32(repr(match).encode('utf-8', 'replace')):08x}"
