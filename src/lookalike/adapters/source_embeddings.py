"""A clip-retrieval folder: ready embeddings in `img_emb/*.npy`, what they show in `metadata/`.

The layout is that of `clip-retrieval inference`: `img_emb/img_emb_0.npy` beside
`metadata/metadata_0.parquet`, row by row.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from lookalike.domain import reasons
from lookalike.domain.arrays import BoolMask, FloatMatrix
from lookalike.domain.errors import MissingExtraError, SourceError
from lookalike.domain.source_rows import fold_row, source_of_row
from lookalike.domain.sources import (
    archive_uri,
    file_fingerprint,
    is_url,
    natural_key,
    uri_of_path,
)
from lookalike.ports.source import SourceItem, error_item

_BLOCK_ROWS: Final = 4096
_LEAST_NORM: Final = 1e-6
_DTYPES: Final = (np.float16, np.float32, np.float64)
_COLUMNS: Final = frozenset((
    "image_path", "url", "caption", "title", "alt_text", "page_url", "licence", "license",
    "width", "height", "original_width", "original_height", "taken", "date",
))  # fmt: skip
_HINT: Final = "a clip-retrieval folder holds img_emb/img_emb_0.npy and metadata/metadata_0.parquet"

_Row: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of vectors, `(rows, dim)`, and its metadata file if there is one."""

    npy: Path
    metadata: Path | None
    rows: int
    dim: int


class EmbeddingsSource:
    """Ready image vectors with their metadata, as `vector` items.

    A vector comes as `(1, dim)` float32 of unit norm; one that is zero or not finite is an error
    item. `path` is set too when `image_path` names a file that is there (relative ones are tried
    from the folder and from the one above it). The uri is that path, else the URL, else
    `img_emb_0.npy#row`.

    Raises, from `items`, `count` and `dim`, before any item is yielded:
        SourceError: no vectors, files that are damaged, of several widths, or whose row counts
            differ from their metadata's.
        MissingExtraError: metadata is Parquet and pyarrow is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        self._name = os.fspath(folder)
        self._root = Path(os.path.abspath(os.path.expanduser(self._name)))

    @classmethod
    def accepts(cls, text: str) -> bool:
        """Tell whether the text names a folder that holds `img_emb/` with .npy files."""
        if is_url(text):
            return False
        return any(Path(os.path.expanduser(text)).glob("img_emb/*.npy"))

    @property
    def name(self) -> str:
        """What the user named."""
        return self._name

    @property
    def prefix(self) -> str | None:
        """None: the pictures may be anywhere."""
        return None

    @property
    def dim(self) -> int:
        """The width of the vectors, to compare with the index's encoder before indexing."""
        return self._parts()[0].dim

    def count(self) -> int | None:
        """Return how many vectors there are."""
        return sum(part.rows for part in self._parts())

    def items(self) -> Iterator[SourceItem]:
        """Yield the vectors file by file in natural order, each file in blocks."""
        for part in self._parts():
            yield from self._part_items(part)

    def _parts(self) -> tuple[_Part, ...]:
        found = sorted(self._root.glob("img_emb/*.npy"), key=lambda path: natural_key(path.name))
        parts = tuple(self._part(path) for path in found)
        if not parts:
            raise SourceError(f"there are no vectors in {self._name}", hint=_HINT)
        widths = sorted({part.dim for part in parts})
        if len(widths) > 1:
            raise SourceError(
                f"the vectors in {self._name} have several widths: {', '.join(map(str, widths))}",
                hint="index the output of one encoder at a time",
            )
        return parts

    def _part(self, npy: Path) -> _Part:
        vectors = _open_vectors(npy)
        rows, dim = vectors.shape
        number = re.search(r"(\d+)\.npy$", npy.name)
        name = f"metadata_{number[1]}.parquet" if number else "metadata.parquet"
        metadata = self._root / "metadata" / name
        if not metadata.exists():
            return _Part(npy, None, rows, dim)
        with closing(_open_parquet(metadata)) as table:
            described = int(table.metadata.num_rows)
        if described != rows:
            raise SourceError(
                f"{npy.name} holds {rows:,} vectors, but {name} describes {described:,}",
                hint="the two files are not of one run; make them again together",
            )
        return _Part(npy, metadata, rows, dim)

    def _part_items(self, part: _Part) -> Iterator[SourceItem]:
        vectors = _open_vectors(part.npy)
        fingerprint = file_fingerprint(os.stat(part.npy))
        blocks = _metadata_blocks(part)
        for start in range(0, part.rows, _BLOCK_ROWS):
            unit, is_usable = _unit_rows(vectors[start : start + _BLOCK_ROWS])
            rows = next(blocks)
            for at, row in enumerate(rows):
                number = start + at
                uri, path = self._place(part, number, row)
                if not is_usable[at]:
                    detail = f"row {number} of {part.npy.name} is zero or not finite"
                    yield error_item(uri, reasons.BAD_RECORD, detail)
                    continue
                yield SourceItem(
                    source_of_row(row, uri, fingerprint=fingerprint),
                    "vector",
                    path=path,
                    url=_text(row, "url"),
                    vector=unit[at : at + 1].copy(),
                    width=_size(row, "original_width") or _size(row, "width"),
                    height=_size(row, "original_height") or _size(row, "height"),
                )

    def _place(self, part: _Part, number: int, row: _Row) -> tuple[str, Path | None]:
        named = _text(row, "image_path")
        if named and not is_url(named) and "\0" not in named:
            for folder in (self._root, self._root.parent):
                path = os.path.normpath(folder / named)
                if os.path.isfile(path):
                    return uri_of_path(path), Path(path)
            if os.path.isabs(named):
                return uri_of_path(os.path.normpath(named)), None
        for url in (_text(row, "url"), named):
            if is_url(url):
                return url, None
        return archive_uri(str(part.npy), str(number)), None


def _unit_rows(block: NDArray[np.floating[Any]]) -> tuple[FloatMatrix, BoolMask]:
    """Return the rows scaled to unit norm, `(n, dim)` float32, and which of them are usable."""
    wide = np.asarray(block, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    is_usable = np.isfinite(norms) & (norms > _LEAST_NORM)
    norms[~is_usable] = 1.0
    return (wide / norms[:, None]).astype(np.float32), is_usable


def _metadata_blocks(part: _Part) -> Iterator[Sequence[_Row]]:
    """Yield the metadata in blocks of `_BLOCK_ROWS` rows (the last one shorter)."""
    if part.metadata is None:
        for start in range(0, part.rows, _BLOCK_ROWS):
            yield [{}] * min(_BLOCK_ROWS, part.rows - start)
        return
    with closing(_open_parquet(part.metadata)) as table:
        columns = [name for name in table.schema_arrow.names if name.lower() in _COLUMNS]
        held: list[_Row] = []
        try:
            for batch in table.iter_batches(batch_size=_BLOCK_ROWS, columns=columns):
                held.extend(fold_row(row) for row in batch.to_pylist())
                if not columns:
                    held.extend({} for _ in range(batch.num_rows))
                while len(held) >= _BLOCK_ROWS:
                    yield held[:_BLOCK_ROWS]
                    del held[:_BLOCK_ROWS]
        except (OSError, ValueError) as error:  # pyarrow's errors are kinds of these two
            raise _damaged(part.metadata, error) from error
        if held:
            yield held


def _open_vectors(path: Path) -> NDArray[np.floating[Any]]:
    try:
        array = cast("NDArray[Any]", np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error
    if array.ndim != 2 or array.dtype.type not in _DTYPES or array.shape[1] == 0:
        raise SourceError(
            f"{path.name} holds {array.dtype} of shape {array.shape}, not (rows, dim) of floats",
            hint=_HINT,
        )
    return array


def _open_parquet(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("reading clip-retrieval metadata", extra="parquet") from error
    try:
        return parquet.ParquetFile(path, memory_map=True)
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(f"cannot read {path.name}: {error}"[:300], hint=_HINT)


def _text(row: _Row, name: str) -> str:
    value = row.get(name)
    return value.strip() if isinstance(value, str) else ""


def _size(row: _Row, name: str) -> int:
    value = row.get(name)
    if isinstance(value, (int, float)) and math.isfinite(value) and 0 < value < 1e9:
        return int(value)
    return 0
