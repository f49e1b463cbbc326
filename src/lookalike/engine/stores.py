"""The stores of one open index, and the work of keeping the derived ones complete."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.engine.documents import document_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.domain.images import ImageRecord
    from lookalike.ports.blobs import BlobStore
    from lookalike.ports.catalog import Catalog
    from lookalike.ports.copies import CopyLedger
    from lookalike.ports.filters import FilterIndex
    from lookalike.ports.hashes import HashStore
    from lookalike.ports.regions import RegionIndex
    from lookalike.ports.text import TextIndex
    from lookalike.ports.vectors import VectorIndex

REPLAY_CHUNK: Final = 2000


@dataclass(slots=True)
class Stores:
    """One set of open stores; `space` names the vectors that are searched.

    `visible_rows` is how far a reader has brought all its stores: each may run ahead of the
    others for a moment, so that rows beyond it are left out of answers. `is_dense` tells rows
    that count up from rows that are hashes; the latter are all visible at once. `hashes` are the
    perceptual hashes of a cluster; those of a folder are followed in memory.
    """

    catalog: Catalog
    filters: FilterIndex
    texts: TextIndex
    vectors: VectorIndex
    regions: RegionIndex
    blobs: BlobStore
    space: str
    visible_rows: int = 0
    is_dense: bool = True
    hashes: HashStore | None = None

    @property
    def copies(self) -> CopyLedger:
        """The copy groups of the images, which the catalog keeps."""
        return self.catalog.copies

    def close(self) -> None:
        """Close every store, the catalog last; one that fails keeps no other open."""
        with ExitStack() as closing:
            for store in (self.catalog, self.filters, self.texts, self.vectors, self.regions):
                closing.callback(store.close)
            if self.hashes is not None:
                closing.callback(self.hashes.close)


def replay(
    catalog: Catalog,
    *,
    after: int,
    on_put: Callable[[list[ImageRecord]], None],
    on_remove: Callable[[np.ndarray], None],
) -> int:
    """Hand the last state of each row that the log names after a seq; return the seq reached."""
    reached = after
    while True:
        changes = catalog.changes(after=reached, limit=REPLAY_CHUNK)
        if not changes:
            return reached
        last = {change.row: change.op for change in changes}
        put = [row for row, op in last.items() if op == "put"]
        records = [record for record in catalog.records(put) if record is not None]
        alive = {record.row for record in records}
        gone = [row for row in last if row not in alive]
        if records:
            on_put(records)
        if gone:
            on_remove(np.asarray(gone, dtype=np.int64))
        reached = changes[-1].seq


def put_rows(catalog: Catalog, *, after: int) -> set[int]:
    """Return the rows that the log names after a seq and that are there still."""
    rows: set[int] = set()
    while changes := catalog.changes(after=after, limit=REPLAY_CHUNK):
        for change in changes:
            (rows.add if change.op == "put" else rows.discard)(int(change.row))
        after = changes[-1].seq
    return rows


def replay_texts(stores: Stores) -> int:
    """Bring the text index up to the catalog, without committing it; return the seq reached."""
    return replay(
        stores.catalog,
        after=stores.texts.seq,
        on_put=lambda records: stores.texts.add([document_of(record) for record in records]),
        on_remove=stores.texts.remove,
    )
