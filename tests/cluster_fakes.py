"""A cluster without servers: rows are hashes and filters are compiled, as in the real one.

The catalog is SQLite behind hashed rows and the words are Tantivy's, so that what they promise
is the real thing; vectors and filters are dicts that follow `domain.filter_terms.meets`. `Broken`
makes any store fail at its n-th call.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from lookalike.adapters.blobs_obstore import ObstoreBlobStore
from lookalike.adapters.catalog_sqlite import SqliteCatalog
from lookalike.adapters.hashes_vectors import DIM as HASH_DIM
from lookalike.adapters.hashes_vectors import VectorHashIndex
from lookalike.adapters.regions_vectors import VectorRegionIndex
from lookalike.adapters.text_tantivy import TantivyTextIndex
from lookalike.domain.errors import BackendTimeoutError, StoreError
from lookalike.domain.filter_terms import clauses_of, meets
from lookalike.domain.hits import NO_ROW, RowHits, Selection
from lookalike.domain.images import Row, hashed_row
from lookalike.engine.stores import Stores
from lookalike.ports.filters import Listing, Place
from lookalike.ports.vectors import VectorStats


class HashedCatalog:
    """A SQLite catalog whose images are known by hashed rows."""

    def __init__(self, catalog):
        self._catalog = catalog
        self._ids = {}
        self.copies = HashedCopies(catalog, self._dense)

    def __getattr__(self, name):
        return getattr(self._catalog, name)

    def close(self):
        """Stay open: a test looks at what an engine has left."""

    def _dense(self, rows):
        ids = [self._ids.get(int(row)) for row in rows]
        found = self._catalog.rows_of([image for image in ids if image])
        return [found.get(image, -1) for image in ids]

    def commit(self, batch):
        first = self._catalog.state().rows
        known = self._catalog.rows_of([image.facts.id for image in batch.images])
        fresh = {one.facts.id: one for one in batch.images if one.facts.id not in known}
        for image in fresh:
            self._ids[hashed_row(image)] = image
        images = [replace(one, row=Row(first + at)) for at, one in enumerate(fresh.values())]
        rows = first + len(images) if images else None
        return self._catalog.commit(replace(batch, images=images, rows=rows))

    def rows_of(self, ids):
        return {image: hashed_row(image) for image in self._catalog.rows_of(ids)}

    def records(self, rows):
        found = self._catalog.records(self._dense(rows))
        return [one and replace(one, row=hashed_row(one.id)) for one in found]

    def all_records(self, *, first_row=0):
        for one in self._catalog.all_records():
            yield replace(one, row=hashed_row(one.id))

    def sample_rows(self, count):
        records = self._catalog.records(self._catalog.sample_rows(count))
        return [hashed_row(one.id) for one in records if one]

    def remove(self, ids, *, is_blocked=False):
        there = self.rows_of(ids)
        self._catalog.remove(ids, is_blocked=is_blocked)
        return list(there.values())

    def changes(self, *, after, limit=10_000):
        found = self._catalog.changes(after=after, limit=limit)
        return [replace(one, row=hashed_row(one.id)) for one in found]


class HashedCopies:
    """The ledger of a `HashedCatalog`; the numbers of groups are left as they are given."""

    def __init__(self, catalog, dense):
        self._catalog = catalog
        self._ledger = catalog.copies
        self._dense = dense

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    def _row(self, row):
        return self._dense([row])[0] if row >= 0 else -1

    def _hashed(self, row):
        (record,) = self._catalog.records([row])
        return hashed_row(record.id) if record else -1

    def _members(self, members):
        return [
            replace(one, row=self._hashed(one.row), via=self._hashed(one.via)) for one in members
        ]

    def _step(self, step, row_of):
        if step is None:
            return None
        kept = row_of(step.kept) if step.kept >= 0 else -1
        return replace(step, rows=tuple(map(row_of, step.rows)), kept=kept)

    def _pair(self, one, row_of):
        first, second = sorted((row_of(one.first), row_of(one.second)))
        return replace(one, first=first, second=second)

    def groups_of(self, rows):
        return self._ledger.groups_of(np.array(self._dense(rows.tolist()), np.int64))

    def members(self, groups):
        found = self._ledger.members(groups)
        return {group: self._members(members) for group, members in found.items()}

    def all_groups(self):
        yield from map(self._members, self._ledger.all_groups())

    def replace(self, rows, members, *, seq=None):
        dense = [replace(one, row=self._row(one.row), via=self._row(one.via)) for one in members]
        live = [one for one in dense if one.row >= 0]
        self._ledger.replace([row for row in map(self._row, rows) if row >= 0], live, seq=seq)

    def decisions(self, rows):
        return [self._pair(one, self._hashed) for one in self._ledger.decisions(self._dense(rows))]

    def kept(self, rows):
        return frozenset(map(self._hashed, self._ledger.kept(self._dense(rows))))

    def decide(self, step, decisions):
        pairs = [self._pair(one, self._row) for one in decisions]
        self._ledger.decide(self._step(step, self._row), pairs)

    def adopt(self, decisions, kept):
        pairs = [self._pair(one, self._row) for one in decisions]
        self._ledger.adopt(pairs, [self._row(row) for row in kept])

    def undo(self):
        return self._step(self._ledger.undo(), self._hashed)

    def steps(self, *, limit=100):
        return [self._step(one, self._hashed) for one in self._ledger.steps(limit=limit)]


@dataclass
class MemoryVectors:
    """Vectors and terms by row, searched exactly."""

    dim: int
    vectors: dict = field(default_factory=dict)
    terms: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.vectors)

    def add(self, rows, vectors, terms=None):
        for at, row in enumerate(rows.tolist()):
            self.vectors[row] = vectors[at].copy()
            self.terms[row] = terms[at] if terms is not None else None

    def update(self, rows, terms):
        self.terms.update(
            (row, of) for row, of in zip(rows.tolist(), terms, strict=True) if row in self.vectors
        )

    def has(self, rows):
        return np.array([row in self.vectors for row in np.asarray(rows).tolist()], np.bool_)

    def remove(self, rows):
        for row in rows.tolist():
            self.vectors.pop(row, None)

    def flush(self):
        pass

    def refresh(self, rows):
        pass

    def search(self, queries, *, k, selection=None, query_kind="image"):
        clauses = clauses_of(selection.filter) if selection else ()
        rows = sorted(
            row
            for row in self.vectors
            if not clauses or (self.terms[row] is not None and meets(self.terms[row], clauses))
        )
        found = np.full((len(queries), k), NO_ROW, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        if rows:
            cosines = queries @ np.stack([self.vectors[row] for row in rows]).T
            order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
            found[:, : order.shape[1]] = np.asarray(rows)[order]
            scores[:, : order.shape[1]] = np.take_along_axis(cosines, order, axis=1)
        return RowHits(found, scores)

    def fetch(self, rows):
        missing = [row for row in rows.tolist() if row not in self.vectors]
        if missing:
            raise StoreError(f"row {missing[0]} is not in the vector index")
        return np.array([self.vectors[row] for row in rows.tolist()], np.float32).reshape(
            -1, self.dim
        )

    def stats(self):
        return VectorStats("memory", self.dim, len(self), 0, 0)

    def maybe_seal(self):
        return False

    def calibrate(self, text_queries):
        pass

    def warm(self):
        pass

    def optimize(self):
        pass

    def close(self):
        pass


class MemoryTexts:
    """Tantivy, with filters compiled from the documents' terms."""

    def __init__(self, folder):
        self._index = TantivyTextIndex.open(folder, is_writer=True)
        self.terms = {}

    def __getattr__(self, name):
        return getattr(self._index, name)

    def __len__(self):
        return len(self._index)

    def close(self):
        """Stay open: a test looks at what an engine has left."""

    def add(self, documents):
        self.terms.update((one.row, one.terms) for one in documents)
        self._index.add(documents)

    def remove(self, rows):
        for row in rows.tolist():
            self.terms.pop(row, None)
        self._index.remove(rows)

    def commit(self, seq):
        self._index.commit(max(seq, self._index.seq))

    def search(self, match, *, k, selection=None):
        found = self._index.search(match, k=k if selection is None else max(k, len(self) + 1))
        if selection is None:
            return found
        allowed = set(self.selected(selection))
        keep = [at for at, row in enumerate(found.rows[0].tolist()) if row in allowed][:k]
        rows, scores = np.full((1, k), NO_ROW, np.int64), np.full((1, k), -np.inf, np.float32)
        rows[0, : len(keep)] = found.rows[0, keep]
        scores[0, : len(keep)] = found.scores[0, keep]
        return RowHits(rows, scores)

    def selected(self, selection):
        clauses = clauses_of(selection.filter)
        return [row for row, terms in self.terms.items() if terms and meets(terms, clauses)]


class MemoryFilters:
    """Filters over the terms of a `MemoryTexts`."""

    seq = 0

    def __init__(self, texts):
        self._texts = texts

    def select(self, filter_):
        return Selection(filter_)

    def listing(self, selection, *, k, after=None):
        terms = self._texts.terms
        places = sorted(
            ((terms[row].numbers["seen"], row) for row in self._texts.selected(selection)),
            reverse=True,
        )
        rest = [one for one in places if after is None or one < (after.seen, after.row)]
        page = rest[:k]
        last = Place(*page[-1]) if len(rest) > k else None
        return Listing(np.array([row for _, row in page], np.int64), len(places), last)

    def close(self):
        pass


@dataclass
class Broken:
    """Any store, failing at calls that `is_due` picks by a running number."""

    store: object
    is_due: Callable[[str], bool]

    def __getattr__(self, name):
        found = getattr(self.store, name)
        if not callable(found):
            return found

        def call(*args, **kwargs):
            if name != "close" and self.is_due(name):
                raise BackendTimeoutError("memory", f"{name} was cut off")
            return found(*args, **kwargs)

        return call

    def __len__(self):
        return len(self.store)


def open_stores(folder, dim, *, space="toy"):
    """Return a fresh cluster of stores; text and catalog stand in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog = SqliteCatalog.open(folder / "catalog.sqlite", is_writer=True, clock=lambda: 1e9)
    texts = MemoryTexts(folder / "text")
    return Stores(
        HashedCatalog(catalog), MemoryFilters(texts), texts, MemoryVectors(dim),
        VectorRegionIndex(MemoryVectors(dim)),
        ObstoreBlobStore("memory:///"), space, is_dense=False,
        hashes=VectorHashIndex(MemoryVectors(HASH_DIM)),
    )  # fmt: skip
