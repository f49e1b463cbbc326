"""Short codes of what is left of a vector when its cell's centroid is taken away.

A cosine is `<q, x> = <q, c> + <q, x - c>`. The first term is known exactly once the cells are
ranked; only the second is approximated: projected on the residuals' principal directions,
turned at random, and cut into pairs of numbers of 4 bits (product quantization: Jégou, Douze
and Schmid, PAMI 2011; scanned in registers: André, Kermarrec and Le Scouarnec, VLDB 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from lookalike.adapters.vectors_native import encode_pairs, train_pairs

if TYPE_CHECKING:
    from lookalike.domain.arrays import FloatMatrix

BLOCK_ROWS: Final = 32
"""Codes are scanned so many at a time; a cell's list is padded to a multiple."""
ID_BLOCK_BYTES: Final = 8 * BLOCK_ROWS
MOST_DIMS: Final = 128
"""Residuals are projected on so many directions: 32 bytes a code."""
_LANES: Final = np.asarray([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])


@dataclass(frozen=True, slots=True)
class ResidualCoder:
    """Codes residuals; `projection` is `(dims, dim)`, `codebook` `(dims / 2, 16, 2)`, float32."""

    projection: FloatMatrix
    codebook: FloatMatrix

    @classmethod
    def train(cls, residuals: FloatMatrix, *, seed: int, threads: int) -> ResidualCoder:
        """Find directions and codebooks on `(n, dim)` residuals, n at least 1."""
        dim = residuals.shape[1]
        kept = min(dim, MOST_DIMS)
        dims = 4 * -(-kept // 4)
        _, directions = np.linalg.eigh(residuals.T @ residuals)
        turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((dims, dims)))
        projection = (turn[:, :kept] @ directions.T[::-1][:kept]).astype(np.float32)
        codebook = train_pairs(residuals @ projection.T, threads=threads)
        return cls(projection, codebook)

    @property
    def code_bytes(self) -> int:
        """Bytes of a code."""
        return len(self.projection) // 4

    def project(self, vectors: FloatMatrix) -> FloatMatrix:
        """Return `(n, dims)` projections of `(n, dim)` vectors."""
        return np.ascontiguousarray(vectors @ self.projection.T)

    def encode(self, residuals: FloatMatrix, *, threads: int) -> NDArray[np.uint8]:
        """Return the `(n, code_bytes)` codes of `(n, dim)` residuals."""
        return encode_pairs(self.project(residuals), self.codebook, threads=threads)


def pack_blocks(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return `(blocks, 32, code_bytes)` codes in Faiss's fast-scan order, as many bytes a block.

    Thirty-two codes lie transposed: for each pair of subquantizers 32 bytes, whose low halves
    belong to the first sixteen codes and whose high halves to the others.
    """
    halves = [
        half[:, :, _LANES] | (half[:, :, _LANES + 16] << 4)
        for half in ((codes & 15).transpose(0, 2, 1), (codes >> 4).transpose(0, 2, 1))
    ]
    packed = np.concatenate(halves, axis=2)
    return packed.reshape(len(codes), BLOCK_ROWS * codes.shape[2]).astype(np.uint8, copy=False)


def unpack_blocks(packed: NDArray[np.uint8], code_bytes: int) -> NDArray[np.uint8]:
    """Return what `pack_blocks` was given."""
    lines = packed.reshape(len(packed), code_bytes, 2, 16)
    codes = np.empty((len(lines), code_bytes, 2, 32), np.uint8)
    codes[..., _LANES] = lines & 15
    codes[..., _LANES + 16] = lines >> 4
    both = codes[:, :, 0] | (codes[:, :, 1] << 4)
    return both.transpose(0, 2, 1).astype(np.uint8, copy=False)
