"""The text index over Tantivy: BM25 over weighted fields in one folder.

The seq is a field of one marker document, written in the same commit as the data, so it is
neither ahead of nor behind it. Measurements and choices: docs/adr/0006-text-index.md.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.text_errors import corrupt, store_errors
from lookalike.adapters.text_hits import best_first, is_allowed, mask_of, padded
from lookalike.adapters.text_mirror import drop_with, is_read_only, mirror
from lookalike.adapters.text_query import QueryCompiler
from lookalike.adapters.text_schema import (
    BLANK,
    FIELDS,
    MARKER_ROW,
    ROW,
    SEQ,
    Analysis,
    TextIndexSettings,
    build_document,
    build_marker,
    build_schema,
    stem_field,
)
from lookalike.adapters.text_vocabulary import MOST_RARE, Vocabulary
from lookalike.adapters.text_words import STOP_WORDS
from lookalike.domain.errors import IndexMissingError, StoreError
from lookalike.ports.text import Correction, TextDocument

if TYPE_CHECKING:
    import tantivy

    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
    from lookalike.domain.hits import RowHits, Selection
    from lookalike.domain.queries import TextMatch

SELECTIVE_ROWS: Final = 1000
"""Up to so many selected rows the filter may be part of the query; above, hits are filtered."""

ROW_COST: Final = 10
"""How many fetched hits cost as much as one row that is part of a query (bench/text.py)."""

LEAST_FETCHED: Final = 64
FETCH_GROWTH: Final = 8
FRESH_VOCABULARY_ROWS: Final = 20_000
"""Below so many rows the vocabulary follows every commit; above, every hundredth of the rows."""

_WORD: Final = re.compile(r"[^\W\d_]+")
_META: Final = "meta.json"


@dataclass(frozen=True, slots=True)
class _View:
    """One commit as a reader sees it."""

    searcher: tantivy.Searcher
    count: int
    seq: int
    top_row: int


class TantivyTextIndex:
    """A `TextIndex` in a folder; readers see commits after `refresh`.

    After a write fails, what was not committed is gone: every further write raises
    `StoreError` until `refresh` is called and the log is applied again from `seq`.
    """

    def __init__(self, folder: Path, *, is_writer: bool, settings: TextIndexSettings) -> None:
        import tantivy

        self._folder = folder
        self._is_writer = is_writer
        self._settings = settings
        self._analysis = Analysis()
        schema = build_schema()
        self._index = tantivy.Index(schema, str(folder))
        self._index.config_reader("manual")
        self._analysis.register(self._index)
        self._compiler = QueryCompiler(self._index.schema, self._analysis, settings)
        self._writer: tantivy.IndexWriter | None = None
        self._pending: set[int] = set()
        self._is_changed = False
        self._is_broken = False
        self._words_lock = threading.Lock()
        self._words: tuple[_View, Vocabulary] | None = None
        self._view = self._read_view()

    @classmethod
    def open(
        cls, folder: Path, *, is_writer: bool, settings: TextIndexSettings | None = None
    ) -> TantivyTextIndex:
        """Open the index in a folder; a writer makes it where there is none.

        Raises `IndexMissingError` for a reader where there is none, and `IndexCorruptError`
        for one that cannot be read or was written with another analysis: `wipe` it and build
        it again from the catalog.
        """
        settings = settings or TextIndexSettings()
        if not (folder / _META).exists():
            if not is_writer:
                raise IndexMissingError(f"there is no text index in {folder}")
            if folder.exists() and any(folder.glob("*.idx")):
                raise corrupt(folder, f"{_META} is missing")
        with store_errors(folder, is_opening=True):
            if not is_writer and is_read_only(folder):
                index = cls(place := mirror(folder), is_writer=False, settings=settings)
                drop_with(index, place)
                return index
            folder.mkdir(parents=True, exist_ok=True)
            return cls(folder, is_writer=is_writer, settings=settings)

    @staticmethod
    def wipe(folder: Path) -> None:
        """Delete a text index, whatever state it is in; no writer may have it open."""
        with store_errors(folder):
            if folder.exists():
                shutil.rmtree(folder)

    def __len__(self) -> int:
        """Return how many rows can be found."""
        return self._view.count

    @property
    def seq(self) -> int:
        """The log's seq up to which this index is complete; 0 before the first commit."""
        return self._view.seq

    def add(self, documents: Sequence[TextDocument]) -> None:
        """Add or replace documents; visible and durable after `commit`."""
        for document in documents:
            if not 0 <= document.row < 2**63:
                raise StoreError(f"{document.row} is not a row")
        latest = {document.row: document for document in documents}
        with self._writing() as writer:
            top = self._view.top_row
            self._delete(writer, [row for row in latest if row <= top or row in self._pending])
            for document in latest.values():
                writer.add_document(build_document(document, self._analysis))
            self._pending.update(latest)

    def remove(self, rows: RowArray) -> None:
        """Remove rows; gone after `commit`."""
        with self._writing() as writer:
            self._delete(writer, np.unique(rows[rows >= 0]).tolist())

    def has(self, rows: RowArray) -> BoolMask:
        """Tell for each of `(n,)` rows whether it can be found."""
        wanted = np.unique(rows[rows >= 0])
        if not wanted.size:
            return np.zeros(rows.shape, np.bool_)
        with store_errors(self._folder):
            found, _ = self._fetch(self._compiler.any_of(wanted.tolist()), wanted.size)
        return np.isin(rows, found)

    def commit(self, seq: int) -> None:
        """Make everything so far durable and visible, and remember the log's seq."""
        if seq == self._view.seq and not self._is_changed and not self._is_broken:
            return
        with self._writing() as writer:
            self._delete(writer, [MARKER_ROW])
            writer.add_document(build_marker(seq))
            writer.commit()
            self._pending.clear()
            self._is_changed = False
            self._see()

    def refresh(self) -> None:
        """See what another process committed; after a failed write, start from the last commit."""
        with store_errors(self._folder):
            if self._is_broken:
                self._writer = None
                self._pending.clear()
                self._is_changed = self._is_broken = False
            self._see()

    def search(self, match: TextMatch, *, k: int, selection: Selection | None = None) -> RowHits:
        """Return the best k rows as `(1, k)`; k hits come back whenever k selected rows match."""
        query = self._compiler.compile(match) if match and k > 0 else None
        if query is None or (selection is not None and selection.count == 0):
            return padded(np.empty(0, np.int64), np.empty(0, np.float32), max(k, 0))
        mask = mask_of(selection)
        with store_errors(self._folder):
            rows, scores = self._best(query, k, mask)
        return padded(rows, scores, k)

    def score(self, match: TextMatch, rows: RowArray) -> FloatMatrix:
        """Return `(n,)` scores of the rows, equal to `search`'s; 0 where a row does not match."""
        return self._scores(self._compiler.compile(match) if match else None, rows)

    def score_fields(self, match: TextMatch, rows: RowArray, fields: Sequence[str]) -> FloatMatrix:
        """Return `(n, f)` what the words of a match score in each field alone, 0 for nothing."""
        scored = np.zeros((rows.size, len(fields)), np.float32)
        for at, name in enumerate(fields):
            scored[:, at] = self._scores(self._compiler.compile_field(match, name), rows)
        return scored

    def _scores(self, query: tantivy.Query | None, rows: RowArray) -> FloatMatrix:
        scored = np.zeros(rows.size, np.float32)
        distinct = np.unique(rows[rows >= 0])
        if query is None or distinct.size == 0:
            return scored
        with store_errors(self._folder):
            if distinct.size <= SELECTIVE_ROWS:
                query = self._compiler.among(query, distinct.tolist())
                found, scores = self._fetch(query, distinct.size)
            else:
                found, scores = self._fetch(query, self._view.count + 1)
        if found.size == 0:
            return scored
        order = np.argsort(found)
        found, scores = found[order], scores[order]
        places = np.minimum(np.searchsorted(found, rows), found.size - 1)
        is_found = found[places] == rows
        scored[is_found] = scores[places[is_found]]
        return scored

    def correct(self, words: str) -> Sequence[Correction]:
        """Return corrections of misspelt words from the index's own vocabulary."""
        corrections: dict[str, Correction] = {}
        with store_errors(self._folder):
            for word in _WORD.findall(words):
                terms = self._analysis.terms(word)
                if len(terms) != 1 or word in corrections:
                    continue
                frequency = self._frequency(terms[0])
                if frequency > MOST_RARE:
                    continue
                if replacement := self._vocabulary().nearest(terms[0], frequency=frequency):
                    corrections[word] = Correction(word, replacement)
        return tuple(corrections.values())

    def suggest(self, prefix: str, *, limit: int = 8) -> Sequence[str]:
        """Return frequent terms of the index that begin with `prefix`.

        Of several words the last one is completed, and the ones before it are kept.
        """
        head, _, last = prefix.rpartition(" ")
        terms = self._analysis.terms(last)
        if len(terms) != 1 or limit < 1:
            return ()
        kept = f"{head} " if head else ""
        with store_errors(self._folder):
            words = self._vocabulary().completions(terms[0], limit=limit)
        return tuple(kept + word for word in words)

    def matched_terms(self, match: TextMatch, rows: RowArray) -> Sequence[tuple[str, ...]]:
        """Return, for each of `(n,)` rows, `field:term` for each query term that it holds.

        One search a term and field over all the rows, whatever their number.
        """
        wanted = [int(row) for row in rows if row >= 0]
        held: dict[int, list[str]] = {int(row): [] for row in rows}
        if match and wanted:
            with store_errors(self._folder):
                among, doc_freq = self._compiler.scoreless(wanted), self._view.searcher.doc_freq
                for name, query in self._compiler.explained(match, doc_freq):
                    found, _ = self._fetch(self._compiler.narrowed(query, among), len(wanted))
                    for row in found.tolist():
                        held[row].append(name)
        return [tuple(held[int(row)]) for row in rows]

    def optimize(self) -> None:
        """Wait for the merges that Tantivy's log merge policy finds due, and free their files."""
        if self._is_changed:
            raise StoreError("there are uncommitted changes", hint="commit before optimize")
        with self._writing() as writer:
            writer.commit()  # makes the merge policy look at the segments
            self._writer = None
            writer.wait_merging_threads()
        with self._writing() as writer:
            writer.garbage_collect_files()
            self._is_changed = False
            self._see()

    def close(self) -> None:
        """Release files and locks; what was not committed is dropped."""
        self._writer = None
        self._words = None

    def _delete(self, writer: tantivy.IndexWriter, rows: Sequence[int]) -> None:
        # Tantivy's deletion by term does nothing, and says nothing, on unsigned fields.
        for begin in range(0, len(rows), SELECTIVE_ROWS):
            some = rows[begin : begin + SELECTIVE_ROWS]
            writer.delete_documents_by_query(self._compiler.any_of(some))

    def _best(
        self, query: tantivy.Query, k: int, mask: BoolMask | None
    ) -> tuple[RowArray, FloatMatrix]:
        total = self._view.count + 1
        allowed = total if mask is None else int(np.count_nonzero(mask))
        limit = max(LEAST_FETCHED, k + 1, int(1.25 * k * total / allowed))
        if mask is not None and allowed <= min(SELECTIVE_ROWS, limit // ROW_COST):
            query = self._compiler.among(query, np.flatnonzero(mask).tolist())
            rows, scores = self._fetch(query, allowed)
            return best_first(rows, scores, k)
        while True:
            limit = min(limit, total)
            rows, scores = self._fetch(query, limit)
            worst = scores[-1] if scores.size else np.float32(0)
            is_all = rows.size < limit or limit == total
            if mask is not None:
                is_kept = is_allowed(mask, rows)
                rows, scores = rows[is_kept], scores[is_kept]
            if is_all or (rows.size >= k and scores[k - 1] > worst):
                return best_first(rows, scores, k)
            limit *= FETCH_GROWTH

    def _fetch(self, query: tantivy.Query, limit: int) -> tuple[RowArray, FloatMatrix]:
        searcher = self._view.searcher
        hits = searcher.search(query, limit, count=False).hits
        rows = searcher.fast_field_values(ROW, [address for _, address in hits])
        scores = [score for score, _ in hits]
        return np.array(rows, np.int64), np.array(scores, np.float32)

    def _frequency(self, term: str) -> int:
        """Return how many documents hold a term or its stem, at least; many for a known word."""
        if term in STOP_WORDS or term in self._settings.known_words:
            return MOST_RARE + 1
        searcher, stem = self._view.searcher, self._analysis.stem(term)
        return max(
            max(searcher.doc_freq(name, term), searcher.doc_freq(stem_field(name), stem))
            for name in FIELDS
        )

    def _vocabulary(self) -> Vocabulary:
        view = self._view
        with self._words_lock:
            if self._words is None or not _is_fresh(self._words[0], view):
                self._words = (view, _read_vocabulary(view.searcher, self._settings.known_words))
            return self._words[1]

    def _see(self) -> None:
        self._index.reload()
        self._view = self._read_view()

    def _read_view(self) -> _View:
        import tantivy

        searcher = self._index.searcher()
        if searcher.num_docs == 0:
            return _View(searcher, 0, 0, -1)
        marker = tantivy.Query.term_query(self._index.schema, ROW, MARKER_ROW)
        found = [address for _, address in searcher.search(marker, 1, count=False).hits]
        seq = searcher.fast_field_values(SEQ, found)[0] if found else None
        if seq is None:
            raise corrupt(self._folder, "it does not say up to which seq it is complete")
        last = searcher.search(tantivy.Query.all_query(), 2, count=False, order_by_field=ROW).hits
        rows = searcher.fast_field_values(ROW, [address for _, address in last])
        top = max((int(row) for row in rows if row is not None and row != MARKER_ROW), default=-1)
        return _View(searcher, searcher.num_docs - 1, int(seq), top)

    @contextmanager
    def _writing(self) -> Generator[tantivy.IndexWriter]:
        if not self._is_writer:
            raise StoreError("this text index is open for reading only")
        if self._is_broken:
            raise StoreError(
                "a write to the text index failed before",
                hint="refresh, then apply the log again from its seq",
            )
        with store_errors(self._folder):
            if self._writer is None:
                heap = self._settings.heap_bytes
                self._writer = self._index.writer(heap, self._settings.threads)
            self._is_changed = True
            self._is_broken = True
            yield self._writer
            self._is_broken = False


def _read_vocabulary(searcher: tantivy.Searcher, taught: frozenset[str]) -> Vocabulary:
    frequencies: dict[str, int] = {}
    for name in FIELDS:
        if name != "path":  # file names are no words to teach
            for term, count in searcher.terms_with_prefix(name, ""):
                if term != BLANK:
                    frequencies[term] = frequencies.get(term, 0) + count
    return Vocabulary(frequencies, taught=taught)


def _is_fresh(of: _View, now: _View) -> bool:
    if of is now:
        return True
    is_large = now.count >= FRESH_VOCABULARY_ROWS
    return is_large and abs(now.count - of.count) * 100 < now.count
