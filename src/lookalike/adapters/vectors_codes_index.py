"""A sealed segment that is open: ranks its cells for a query and scans their codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

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
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray

_FLOOR: Final = np.float32(-4.0)
"""Below every cosine: what padding adds."""


@dataclass(frozen=True, slots=True)
class Probing:
    """Which cells a search looks into.

    `spread` says how much a cell's spread speaks for it, beside its centroid's closeness: 0.5
    ranks cells by distance, less of it more by inner product; queries that lie among the
    stored vectors want much of it, texts, far from all of them, little. `effort` is how many
    cells a graph keeps in view, 0 for all.
    """

    probes: int
    spread: float
    effort: int = 0


class CodeIndex:
    """The open codes of a segment; safe to search from several threads.

    Codes only choose candidates; their scores are estimates.
    """

    def __init__(self, file: CodesFile, graph: CellGraph, scan: ListScan) -> None:
        """Use `open`."""
        self._file = file
        self._graph = graph
        self._scan = scan
        self.coder = ResidualCoder(file.arrays["projection"], file.arrays["codebook"])
        self._norms = file.arrays["norms"]

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
    def cells(self) -> int:
        """How many cells there are."""
        return len(self._graph)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._file.dim

    @property
    def sizes(self) -> RowArray:
        """How many codes each of the `(cells,)` cells has."""
        return self._file.arrays["sizes"].astype(np.int64)

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
        mask: BoolMask | None = None,
        threads: int = 1,
    ) -> RowArray:
        """Return `(n, count)` candidate rows, likeliest first, padded with -1."""
        cells, products = self.rank(queries, probing, threads=threads)
        return self.scan(queries, cells, products, count=count, mask=mask, threads=threads)

    def scan(
        self,
        queries: FloatMatrix,
        cells: RowArray,
        products: FloatMatrix,
        *,
        count: int,
        mask: BoolMask | None = None,
        threads: int = 1,
    ) -> RowArray:
        """Return the best `(n, count)` rows of the cells that `rank` returned, padded with -1."""
        projected = self.coder.project(queries)
        return self._scan.search(
            projected, cells, products, count=count, mask=mask, threads=threads
        )[1]

    def coded(self) -> CodedRows:
        """Return every code with its row and cell, for a build that takes them over."""
        table = self._file.list_table().astype(np.int64)
        blocks = table[:, 1] // BLOCK_ROWS
        code_block = self._file.code_bytes * BLOCK_ROWS
        raw = np.memmap(self._file.path, np.uint8, "r")
        begin = self._file.lists_at
        units = raw[begin : begin + int(blocks.sum()) * (code_block + ID_BLOCK_BYTES)]
        lines = units.reshape(-1, BLOCK_ROWS)
        of_code, of_row = code_block // BLOCK_ROWS, ID_BLOCK_BYTES // BLOCK_ROWS
        starts = np.cumsum(blocks) - blocks
        bases = np.repeat(starts * (of_code + of_row), blocks)
        within = np.arange(int(blocks.sum())) - np.repeat(starts, blocks)
        code_lines = (bases + within * of_code)[:, None] + np.arange(of_code)
        codes = unpack_blocks(
            lines[code_lines].reshape(-1, code_block), self._file.code_bytes
        ).reshape(-1, self._file.code_bytes)
        row_lines = (bases + np.repeat(blocks, blocks) * of_code + within * of_row)[:, None]
        rows = lines[row_lines + np.arange(of_row)].reshape(-1).view("<i8")
        owners = np.repeat(np.arange(self.cells, dtype=np.int32), table[:, 1])
        inside = np.arange(len(rows)) - np.repeat(starts * BLOCK_ROWS, table[:, 1])
        is_filled = inside < np.repeat(table[:, 0], table[:, 1])
        return CodedRows(codes[is_filled], rows[is_filled], owners[is_filled])

    def owners(self, rows: RowArray) -> RowArray:
        """Return the cell of each of `(n,)` coded rows, -1 for one that is not coded."""
        coded = self.coded()
        order = np.argsort(coded.rows)
        places = np.minimum(np.searchsorted(coded.rows, rows, sorter=order), len(order) - 1)
        found = order[places]
        return np.where(coded.rows[found] == rows, coded.owners[found], -1).astype(np.int64)
