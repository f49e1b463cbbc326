"""A segment that is a graph over its rows (HNSW): quicker than cells of codes, and larger.

The vectors themselves stay in the matrix, so that a graph costs its links only, and its scores are
exact. What `Probing` calls cells are single rows here: `probes` is how many a search keeps in view.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.vectors_cost import (
    NEIGHBOURS,
    measure_row_costs,
    nearest_rows,
    search_us,
    surely,
)
from lookalike.adapters.vectors_exact import ExactScanner
from lookalike.adapters.vectors_graph_native import RowGraph, RowGraphBuilder
from lookalike.adapters.vectors_matrix import write_atomically
from lookalike.adapters.vectors_probing import Probing, Sieve
from lookalike.adapters.vectors_tuning import Costs, Tuning, no_narrower

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.adapters.vectors_matrix import HalfMatrix, SegmentRows
    from lookalike.adapters.vectors_settings import VectorSettings
    from lookalike.domain.arrays import FloatMatrix, RowArray

_BLOCK: Final = 4_096
_WIDER: Final = 4
"""So many times as many rows are kept in view when too few of them were let through."""
_ROWS_OF_A_STEP: Final = 16
"""An exact scan looks at so many rows in the time that one more row in view costs."""
_STEP: Final = 2**0.25
_LEAST_VIEW: Final = 16
_MOST_VIEW: Final = 4_096
_COSTED: Final = (64, 256)
_COST_QUERIES: Final = 30


class GraphIndex:
    """The open graph of a segment; safe to search from several threads."""

    def __init__(self, path: str, graph: RowGraph, halves: HalfMatrix, begin: int) -> None:
        """Use `open`."""
        self.path = path
        self._graph = graph
        self._halves = halves
        self.begin = begin
        self._scanner = ExactScanner(numpy_rows=0)

    @classmethod
    def open(cls, path: str, halves: HalfMatrix, begin: int) -> GraphIndex:
        """Map a graph over `(rows, dim)` vectors, the first of which is row `begin`.

        Raises:
            ValueError: the graph is over other vectors.
            RuntimeError: the file is not whole.
        """
        return cls(path, RowGraph.open(path, halves), halves, begin)

    @property
    def cells(self) -> int:
        """How many rows there are to look at."""
        return len(self._graph)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._halves.shape[1]

    def __len__(self) -> int:
        """Return how many rows are joined, hidden ones too: the way to others leads over them."""
        return len(self._graph)

    def search(
        self,
        queries: FloatMatrix,
        probing: Probing,
        *,
        count: int,
        sieve: Sieve | None = None,
        threads: int = 1,
    ) -> RowArray:
        """Return `(n, count)` rows, nearest first, padded with -1.

        Under a filter rows are kept in view until `wanted` of them were let through, as many as
        a search without a filter sees; where that would take longer than to look at every row
        let through, that is done.
        """
        if sieve is None:
            found = self._graph.nearest(queries, count, effort=probing.probes, threads=threads)
        else:
            wanted = max(count, sieve.wanted)
            found = self._nearest_of(queries, probing, sieve.bits, wanted, threads)[:, :count]
        return np.where(found >= 0, found + self.begin, -1)

    def _nearest_of(
        self,
        queries: FloatMatrix,
        probing: Probing,
        bits: NDArray[np.uint8],
        wanted: int,
        threads: int,
    ) -> RowArray:
        effort = probing.probes
        found = self._graph.nearest(queries, wanted, effort=effort, bits=bits, threads=threads)
        short = np.flatnonzero(found[:, -1] < 0)
        while len(short):
            effort *= _WIDER
            if effort * _ROWS_OF_A_STEP > int(np.bitwise_count(bits).sum()):
                found[short] = self._every(queries[short], bits, wanted)
                break
            found[short] = self._graph.nearest(
                queries[short], wanted, effort=effort, bits=bits, threads=threads
            )
            short = short[found[short, -1] < 0]
        return found

    def _every(self, queries: FloatMatrix, bits: NDArray[np.uint8], wanted: int) -> RowArray:
        mask = np.unpackbits(bits, count=len(self), bitorder="little").view(np.bool_)
        best = self._scanner.best(self._halves, queries, k=wanted, mask=mask).rows
        return np.pad(best, ((0, 0), (0, wanted - best.shape[1])), constant_values=-1)


def build_graph(
    part: SegmentRows, settings: VectorSettings, path: Path, parents: Sequence[GraphIndex] = ()
) -> GraphIndex:
    """Write a graph over all rows, and open it.

    It goes on from the graph that has the first half of the rows or more, when one of `parents`,
    segments that this one replaces, has. Raises `DiskFullError` when there is no room.
    """
    builder = RowGraphBuilder(
        part.halves.shape[1],
        links=settings.graph_links,
        effort=settings.graph_effort,
        threads=settings.threads,
        seed=settings.seed,
    )
    begin, rows = 0, len(part.live)
    for parent in parents:
        if parent.begin == part.begin and 2 * len(parent) >= rows:
            begin = len(parent)
            builder.go_on_from(parent.path, _blocks(part, 0, begin))
    for vectors in _blocks(part, begin, rows):
        builder.add(vectors)
    write_atomically(path, builder.to_bytes().data)
    return GraphIndex.open(str(path), part.halves, part.begin)


def _blocks(part: SegmentRows, begin: int, end: int) -> Iterator[FloatMatrix]:
    for first in range(begin, end, _BLOCK):
        yield part.wide(np.arange(first, min(first + _BLOCK, end)))


def tune_graph(
    graph: GraphIndex, part: SegmentRows, text_queries: FloatMatrix, settings: VectorSettings
) -> tuple[Mapping[str, Tuning], Costs]:
    """Find the fewest rows in view that reach the target recalls.

    Image queries are stored rows moved a third of the way to others, which held-out pictures are
    a little easier than; without text queries to measure with, texts keep four times as many in
    view.
    """
    live = np.flatnonzero(part.live)
    generator = np.random.default_rng(settings.seed + 1)
    count = min(len(live), settings.tuning_queries)
    some = part.wide(np.sort(generator.choice(live, count, replace=False)))
    others = part.wide(generator.choice(live, count))
    moved = 2 * some + others
    moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), np.float32(1e-6))
    costs = _costs(graph, part, some)
    image = _tuned(graph, part, moved, settings.target_recall("image", len(live)), settings)
    texts = text_queries[: settings.tuning_queries]
    if len(texts):
        text = _tuned(graph, part, texts, settings.target_recall("text", len(live)), settings)
    else:
        text = replace(image, probes=min(4 * image.probes, len(graph)), recall=None)
    return {"image": no_narrower(image, text), "text": text}, costs


def _tuned(
    graph: GraphIndex,
    part: SegmentRows,
    queries: FloatMatrix,
    target: float,
    settings: VectorSettings,
) -> Tuning:
    k = min(NEIGHBOURS, int(np.count_nonzero(part.live)))
    truth = nearest_rows(part, part.live, queries, k, threads=settings.threads).rows
    view, sieve = float(_LEAST_VIEW), None
    if not part.live.all():
        sieve = Sieve(np.packbits(part.live, bitorder="little"))
    while True:
        probes = len(graph) if target >= 1 else min(round(view), len(graph))
        found = graph.search(
            queries, Probing(probes, 0.5), count=k, sieve=sieve, threads=settings.threads
        )
        recalls = np.asarray(
            [len(np.intersect1d(a, b)) / k for a, b in zip(found, truth, strict=True)]
        )
        if surely(recalls) >= target or probes >= min(len(graph), _MOST_VIEW):
            return Tuning(probes, NEIGHBOURS, round(float(np.mean(recalls)), 4))
        view *= _STEP


def _costs(graph: GraphIndex, part: SegmentRows, queries: FloatMatrix) -> Costs:
    some = queries[:_COST_QUERIES]
    few, many = (search_us(graph, some, Probing(view, 0.5), count=NEIGHBOURS) for view in _COSTED)
    step = (many - few) / (_COSTED[1] - _COSTED[0])
    rerank, row = measure_row_costs(part, some)
    return Costs(max(round(step, 3), 0.01), rerank, row)
