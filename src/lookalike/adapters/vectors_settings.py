"""What an operator may turn on the embedded vector index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

QueryKind: TypeAlias = Literal["image", "text"]
Engine: TypeAlias = Literal["cells", "graph", "exact"]
"""How sealed rows are searched: cells of short codes, a graph over the rows, or each of them."""


@dataclass(frozen=True, slots=True)
class VectorSettings:
    """Sizes and targets of `FaissVectorIndex`; the defaults are measured (ADR 0004, 0029, 0038).

    Up to `exact_rows` rows, or as many rows let through by a filter, are scanned exactly:
    0.07 µs a row of 896 dimensions unfiltered, 0.25 µs filtered. A tail longer than
    `seal_rows` is sealed into a segment. `import_rows` is how many rows NumPy scans (0.5 µs
    each) before importing Faiss (0.1 to 0.3 s) pays. Segments of `many_rows` or more aim lower,
    at about half the time; for pictures still above the 0.97 that is wanted of pictures from
    elsewhere, since tuning has none of these to ask. There is a cell for `rows_per_cell` rows, but
    no more than `cells_per_root` times the square root of the rows: ranking more costs more than
    scanning larger ones. `graph_links` and `graph_effort` are how
    many rows each is joined to, and how many are looked at to choose them.
    """

    engine: Engine = "cells"
    exact_rows: int = 30_000
    seal_rows: int = 20_000
    image_recall: float = 0.99
    text_recall: float = 0.97
    many_rows: int = 500_000
    many_image_recall: float = 0.98
    many_text_recall: float = 0.95
    import_rows: int = 200_000
    rows_per_cell: int = 64
    cells_per_root: int = 16
    max_cells: int = 262_144
    points_per_cell: int = 20
    training_rows: int = 100_000
    tuning_queries: int = 400
    graph_links: int = 16
    graph_effort: int = 80
    threads: int = 1
    seed: int = 20

    @classmethod
    def of_engine(cls, engine: Engine, *, threads: int = 1) -> VectorSettings:
        """Return the settings for an engine; a graph pays from fewer rows on than cells do."""
        if engine == "graph":
            return cls(engine=engine, exact_rows=2_000, seal_rows=5_000, threads=threads)
        return cls(engine=engine, threads=threads)

    def target_recall(self, kind: QueryKind, rows: int) -> float:
        """Return the `ann_recall@10` that tuning aims at for a kind of query among `rows` rows."""
        usual, eased = {
            "image": (self.image_recall, self.many_image_recall),
            "text": (self.text_recall, self.many_text_recall),
        }[kind]
        return usual if rows < self.many_rows or usual >= 1 else min(usual, eased)
