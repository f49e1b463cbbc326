"""A sealed segment that is open: ranks its cells for a query and scans their codes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from lookalike.adapters.vectors_cells import Cells
from lookalike.adapters.vectors_codes import (
    BLOCK_ROWS,
    ID_BLOCK_BYTES,
    ResidualCoder,
    unpack_blocks,
)
from lookalike.adapters.vectors_codes_file import CodedRows, CodesFile, read_codes_file
from lookalike.adapters.vectors_native import CellGraph, ListLayout, ListScan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lookalike.adapters.vectors_probing import Probing, Sieve
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray

_FLOOR: Final = np.float32(-4.0)
"""Below every cosine: what padding adds."""
_WIDER: Final = 4
"""So many times as many cells are ranked when too few rows were let through in them."""
_PART_BLOCKS: Final = 1 << 15


class CodeIndex:
    """The open codes of a segment; safe to search from several threads.

    Codes only choose candidates; their scores are estimates. `sizes` says how many codes each
    of the `(cells,)` cells has.
    """

    def __init__(self, file: CodesFile, graph: CellGraph, scan: ListScan) -> None:
        """Use `open`."""
        self._file = file
        self._graph = graph
        self._scan = scan
        self.coder = ResidualCoder(file.arrays["projection"], file.arrays["codebook"])
        self._norms = file.arrays["norms"]
        self.sizes = file.arrays["sizes"].astype(np.int64)
        self._ids, self._first_ids = file.ids()

    @classmethod
    def open(cls, path: str) -> CodeIndex:
        """Map a segment's file; `RuntimeError` or `ValueError` for one that is not whole."""
        file = read_codes_file(path)
        graph = CellGraph.open(path)
        if len(graph) != len(file.arrays["norms"]):
            raise ValueError("cells and lists differ in number")
        table = file.list_table()
        layout = ListLayout(path, file.bytes, table, file.arrays["codebook"])
        return cls(file, graph, ListScan(layout))

    @property
    def path(self) -> str:
        """Where the file stands."""
        return self._file.path

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return len(self._graph)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._file.dim

    @property
    def norms(self) -> FloatMatrix:
        """Squared lengths of the `(cells,)` centroids."""
        return self._norms

    def figure(self, name: str) -> float:
        """Return what the training wrote down."""
        return self._file.figures[name]

    def __len__(self) -> int:
        """Return how many vectors are coded."""
        return self._file.count

    def centroids(self) -> FloatMatrix:
        """Return the `(cells, dim)` centroids."""
        return self._graph.centroids()

    def to_cells(self) -> Cells:
        """Return the cells as a build wants them."""
        arrays = self._file.arrays
        return Cells(self.centroids(), arrays["uppers"], arrays["starts"])

    def to_graph(self) -> CellGraph:
        """Return the graph over the cells."""
        return self._graph

    def rank(
        self, queries: FloatMatrix, probing: Probing, *, threads: int = 1
    ) -> tuple[RowArray, FloatMatrix]:
        """Return the `(n, probes)` cells likeliest to hold neighbours and their cosines' bias.

        The likelihood `<q, c> + spread (1 - |c|²)` falls with the distance of c from
        `q / (2 spread)`: one Euclidean graph serves every kind of query.
        """
        scale = np.float32(0.5 / probing.spread)
        probes = min(probing.probes, self.cells)
        scaled = np.ascontiguousarray(queries * scale)
        distances, cells = self._graph.nearest(
            scaled, probes, effort=probing.effort, threads=threads
        )
        lengths = np.vecdot(scaled, scaled)[:, None]
        products = (lengths + self._norms[cells] - distances) / (2 * scale)
        return cells, np.where(cells >= 0, products, _FLOOR).astype(np.float32)

    def search(
        self,
        queries: FloatMatrix,
        probing: Probing,
        *,
        count: int,
        sieve: Sieve | None = None,
        threads: int = 1,
    ) -> RowArray:
        """Return `(n, count)` candidate rows, likeliest first, padded with -1."""
        if sieve is None or sieve.in_cells is None:
            cells, products = self.rank(queries, probing, threads=threads)
        else:
            cells, products = self._rank_until(
                queries, probing, sieve.in_cells, sieve.wanted, threads
            )
        bits = None if sieve is None else sieve.bits
        return self.scan(queries, cells, products, count=count, bits=bits, threads=threads)

    def _rank_until(
        self,
        queries: FloatMatrix,
        probing: Probing,
        in_cells: Callable[[RowArray], RowArray],
        wanted: int,
        threads: int,
    ) -> tuple[RowArray, FloatMatrix]:
        """Rank as `rank` does, as many cells for each query as hold `wanted` rows let through."""
        wide = probing
        while True:
            cells, products = self.rank(queries, wide, threads=threads)
            held = np.where(cells >= 0, in_cells(cells.ravel()).reshape(cells.shape), 0)
            seen = np.cumsum(held, axis=1)
            if wide.probes >= self.cells or (seen[:, -1] >= wanted).all():
                break
            wide = replace(wide, probes=_WIDER * wide.probes, effort=_WIDER * wide.effort)
        is_needed = (seen - held < wanted) & (held > 0)
        width = max(1, int(np.flatnonzero(is_needed.any(axis=0)).max(initial=0)) + 1)
        return np.where(is_needed, cells, -1)[:, :width], products[:, :width]

    def scan(
        self,
        queries: FloatMatrix,
        cells: RowArray,
        products: FloatMatrix,
        *,
        count: int,
        bits: NDArray[np.uint8] | None = None,
        threads: int = 1,
    ) -> RowArray:
        """Return the best `(n, count)` rows of the cells that `rank` returned, padded with -1."""
        projected = self.coder.project(queries)
        return self._scan.search(
            projected, cells, products, count=count, bits=bits, threads=threads
        )[1]

    def count_in(self, cells: RowArray, mask: BoolMask) -> RowArray:
        """Return how many codes of each of `(n,)` cells are of rows in `(rows,)` `mask`."""
        sizes = self.sizes[cells]
        starts = np.cumsum(sizes) - sizes
        places = np.arange(int(sizes.sum())) + np.repeat(self._first_ids[cells] - starts, sizes)
        seen = np.concatenate(([0], np.cumsum(mask[self._ids[places]])))
        return seen[starts + sizes] - seen[starts]

    def coded(self) -> CodedRows:
        """Return every code with its row and cell, for a build that takes them over."""
        lists = self._lists()
        code_bytes = self._file.code_bytes
        packed = lists.lines[lists.code_lines()].reshape(-1, code_bytes * BLOCK_ROWS)
        codes = unpack_blocks(packed, code_bytes).reshape(-1, code_bytes)
        is_filled = lists.is_filled()
        return CodedRows(codes[is_filled], lists.rows()[is_filled], lists.owners()[is_filled])

    def owners(self, rows: RowArray) -> RowArray:
        """Return the cell of each of `(n,)` rows, -1 for one that is not coded."""
        asked, back = np.unique(rows, return_inverse=True)
        owners = np.full(len(asked), -1, np.int64)
        for first, lists in self._lists().parts():
            is_asked = lists.is_filled()
            coded = lists.rows()
            is_asked &= np.isin(coded, asked)
            found = lists.owners()[is_asked]
            owners[np.searchsorted(asked, coded[is_asked])] = first + found.astype(np.int64)
        return owners[back].reshape(rows.shape)

    def rows_in(self, cells: RowArray) -> RowArray:
        """Return the coded rows of some cells."""
        is_wanted = np.zeros(self.cells, np.bool_)
        is_wanted[cells] = True
        found = [np.zeros(0, np.int64)]
        for first, lists in self._lists().parts():
            is_there = is_wanted[first + lists.owners()] & lists.is_filled()
            found.append(lists.rows()[is_there])
        return np.concatenate(found)

    def _lists(self) -> _Lists:
        table = self._file.list_table().astype(np.int64)
        blocks = table[:, 1] // BLOCK_ROWS
        of_code, of_row = self._file.code_bytes, ID_BLOCK_BYTES // BLOCK_ROWS
        begin = self._file.lists_at
        end = begin + int(blocks.sum()) * (of_code + of_row) * BLOCK_ROWS
        raw = np.memmap(self._file.path, np.uint8, "r")[begin:end]
        return _Lists(raw.reshape(-1, BLOCK_ROWS), table[:, 0], blocks, of_code, of_row)


@dataclass(frozen=True, slots=True)
class _Lists:
    """The mapped lists as `(n, 32)` bytes; `sizes` and `blocks` are `(cells,)`.

    A block of 32 has `of_code` lines of codes; after those of its list come `of_row` of rows.
    """

    lines: NDArray[np.uint8]
    sizes: RowArray
    blocks: RowArray
    of_code: int
    of_row: int

    def code_lines(self) -> RowArray:
        bases, within = self._places()
        return (bases + within * self.of_code)[:, None] + np.arange(self.of_code)

    def rows(self) -> RowArray:
        bases, within = self._places()
        behind = np.repeat(self.blocks, self.blocks) * self.of_code
        lines = (bases + behind + within * self.of_row)[:, None] + np.arange(self.of_row)
        return self.lines[lines].reshape(-1).view("<i8").astype(np.int64, copy=False)

    def owners(self) -> NDArray[np.int32]:
        cells = np.arange(len(self.sizes), dtype=np.int32)
        return np.repeat(cells, self.blocks * BLOCK_ROWS)

    def is_filled(self) -> BoolMask:
        """Tell which places hold a code; a list's last block is padded."""
        room = self.blocks * BLOCK_ROWS
        inside = np.arange(int(room.sum())) - np.repeat(np.cumsum(room) - room, room)
        return inside < np.repeat(self.sizes, room)

    def parts(self) -> Iterator[tuple[int, _Lists]]:
        """Yield the lists of some cells at a time, and which cell is the first of them."""
        ends = np.cumsum(self.blocks)
        first = 0
        while first < len(self.sizes):
            begin = int(ends[first] - self.blocks[first])
            last = max(first + 1, int(np.searchsorted(ends, begin + _PART_BLOCKS)))
            span = slice(first, last)
            lines = slice(
                begin * (self.of_code + self.of_row),
                int(ends[last - 1]) * (self.of_code + self.of_row),
            )
            yield (
                first,
                _Lists(
                    self.lines[lines],
                    self.sizes[span],
                    self.blocks[span],
                    self.of_code,
                    self.of_row,
                ),
            )
            first = last

    def _places(self) -> tuple[RowArray, RowArray]:
        """Return for each block its list's first line and its place in the list."""
        starts = np.cumsum(self.blocks) - self.blocks
        bases = np.repeat(starts * (self.of_code + self.of_row), self.blocks)
        return bases, np.arange(int(self.blocks.sum())) - np.repeat(starts, self.blocks)
