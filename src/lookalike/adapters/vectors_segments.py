"""The folder of sealed segments: files of codes and the manifest that says which count.

Segments are derived from the matrix: whatever is wrong with them, their rows are scanned
exactly until they are sealed again. The manifest is replaced as a whole, after the files
it names are durable; files it does not name are leftovers.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

import numpy as np

from lookalike.adapters.vectors_codes_index import CodeIndex
from lookalike.adapters.vectors_graph import GraphIndex
from lookalike.adapters.vectors_matrix import (
    MATRIX_FILE,
    map_matrix,
    store_error,
    write_atomically,
)
from lookalike.adapters.vectors_tuning import Costs, Tuning
from lookalike.domain.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.adapters.vectors_matrix import HalfMatrix
    from lookalike.adapters.vectors_settings import QueryKind, VectorSettings
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray

_FORMAT: Final = 2
_MANIFEST: Final = "manifest.json"
_QUERIES: Final = "text_queries.f16"
_SUFFIX: Final = ".faiss"

SegmentIndex: TypeAlias = CodeIndex | GraphIndex
SegmentKind: TypeAlias = Literal["cells", "graph"]

_USUAL_COSTS: Final = Costs(probe_us=1.0, rerank_us=0.3, row_us=0.25)


@dataclass(frozen=True, slots=True)
class Segment:
    """A sealed file over the rows `[begin, end)`, `hidden` of which could not be found then.

    Cells have no codes of these; a graph leads over them. In a graph every row counts as a cell.
    """

    file: str
    begin: int
    end: int
    cells: int
    hidden: int
    bytes: int
    tunings: Mapping[str, Tuning]
    costs: Costs = _USUAL_COSTS
    kind: SegmentKind = "cells"

    @property
    def rows(self) -> int:
        """How many rows the segment covers."""
        return self.end - self.begin

    def tuning(self, kind: QueryKind) -> Tuning:
        """Return how to search for a kind of query."""
        return self.tunings[kind]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The segments that count, in rising and disjoint ranges."""

    generation: int = 0
    segments: tuple[Segment, ...] = ()

    @property
    def kind(self) -> str:
        """How most is searched: `flat`, `ivf` or `hnsw`."""
        largest = max(self.segments, key=lambda segment: segment.rows, default=None)
        if largest is None:
            return "flat"
        return "hnsw" if largest.kind == "graph" else "ivf"

    def gaps(self, rows: int) -> list[tuple[int, int]]:
        """Return the `[begin, end)` ranges below `rows` that no segment covers."""
        gaps: list[tuple[int, int]] = []
        begin = 0
        for segment in self.segments:
            if segment.begin > begin:
                gaps.append((begin, segment.begin))
            begin = segment.end
        if begin < rows:
            gaps.append((begin, rows))
        return gaps

    def within(self, rows: int) -> Manifest:
        """Return the manifest without the segments that reach beyond `rows`."""
        kept = tuple(segment for segment in self.segments if segment.end <= rows)
        return Manifest(self.generation, kept)

    def recalls(self, rows: int) -> dict[str, float]:
        """Return `ann_recall@10` by kind of query, where every segment's was measured.

        Rows in no segment are scanned exactly and count as 1.
        """
        recalls: dict[str, float] = {}
        for kind in ("image", "text"):
            measured = [(s.rows, s.tunings[kind].recall) for s in self.segments]
            missed = [(1 - recall) * count for count, recall in measured if recall is not None]
            if len(missed) == len(measured):
                recalls[kind] = round(1 - sum(missed) / max(rows, 1), 4)
        return recalls

    def without(self, begin: int, end: int) -> Manifest:
        """Return the next generation, without the segments that touch `[begin, end)`."""
        kept = tuple(s for s in self.segments if s.end <= begin or s.begin >= end)
        return Manifest(self.generation + 1, kept)

    def erasable(self, removed: BoolMask) -> RowArray:
        """Return the removed rows that nothing needs: in a graph, ways to others lead over them."""
        is_due = removed.copy()
        for segment in self.segments:
            if segment.kind == "graph":
                is_due[segment.begin : segment.end] = False
        return np.flatnonzero(is_due)

    def replaced_by(self, new: Segment) -> Manifest:
        """Return the next generation, in which `new` stands for all that it covers."""
        kept = self.without(new.begin, new.end)
        ordered = tuple(sorted((*kept.segments, new), key=lambda segment: segment.begin))
        return Manifest(kept.generation, ordered)


def plan_seal(manifest: Manifest, rows: int, settings: VectorSettings) -> tuple[int, int] | None:
    """Return the range of rows worth sealing now, or None.

    A new segment takes over earlier ones less than twice its size, so that sizes at least
    double from one to the next and there are few of them.
    """
    gaps = manifest.gaps(rows)
    if rows <= settings.exact_rows or not gaps:
        return None
    begin = gaps[0][0]
    if rows - begin <= settings.seal_rows:
        return None
    before = [segment for segment in manifest.segments if segment.end <= begin]
    for segment in reversed(before):
        if segment.rows >= 2 * (rows - begin):
            break
        begin = segment.begin
    return begin, rows


@dataclass(slots=True)
class SegmentFolder:
    """Reads and writes `segments/`; opened codes are kept by file name."""

    folder: Path
    dim: int
    _opened: dict[str, SegmentIndex | None] = field(
        default_factory=dict[str, "SegmentIndex | None"]
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def signature(self) -> tuple[int, int]:
        """Return what changes whenever the manifest is replaced."""
        try:
            status = (self.folder / _MANIFEST).stat()
        except OSError:
            return (0, 0)
        return (status.st_mtime_ns, status.st_ino)

    def read(self) -> Manifest:
        """Return the manifest with the segments whose files are whole; garbage counts as none."""
        try:
            manifest = _parse((self.folder / _MANIFEST).read_bytes(), self.dim)
        except (OSError, ValueError, KeyError, TypeError):
            return Manifest()
        whole = tuple(segment for segment in manifest.segments if self._is_whole(segment))
        return Manifest(manifest.generation, whole)

    def write(self, manifest: Manifest) -> None:
        """Replace the manifest, then delete the files that it no longer names."""
        document = {
            "format": _FORMAT,
            "dim": self.dim,
            "generation": manifest.generation,
            "segments": [asdict(segment) for segment in manifest.segments],
        }
        data = (json.dumps(document, indent=1) + "\n").encode()
        write_atomically(self._made() / _MANIFEST, data)
        self.sweep(manifest)

    def path(self, name: str) -> Path:
        """Return where to write a file of codes, durable before any manifest names it."""
        return self._made() / f"{name}{_SUFFIX}"

    def sweep(self, manifest: Manifest) -> None:
        """Delete leftovers; a file that cannot be deleted now is left for the next time."""
        self.forget(manifest)
        named = {segment.file for segment in manifest.segments}
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            is_leftover = path.suffix == _SUFFIX and path.name not in named
            if is_leftover or path.suffix == ".tmp":
                with contextlib.suppress(OSError):
                    path.unlink()

    def forget(self, manifest: Manifest) -> None:
        """Let go of opened codes that the manifest does not name."""
        named = {segment.file for segment in manifest.segments}
        with self._lock:
            self._opened = {name: codes for name, codes in self._opened.items() if name in named}

    def codes(self, segment: Segment) -> SegmentIndex | None:
        """Open a segment's codes once; None when the file cannot be used."""
        with self._lock:
            if segment.file not in self._opened:
                self._opened[segment.file] = self._open(segment)
            return self._opened[segment.file]

    def save_text_queries(self, queries: FloatMatrix) -> None:
        """Keep `(n, dim)` vectors of real text queries to tune with."""
        write_atomically(self._made() / _QUERIES, queries.astype("<f2").tobytes())

    def text_queries(self) -> FloatMatrix:
        """Return the text queries kept, `(0, dim)` when there are none."""
        try:
            halves = np.frombuffer((self.folder / _QUERIES).read_bytes(), "<f2")
        except (OSError, ValueError):
            return np.zeros((0, self.dim), np.float32)
        if len(halves) % self.dim:
            return np.zeros((0, self.dim), np.float32)
        return halves.reshape(-1, self.dim).astype(np.float32)

    def _made(self) -> Path:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise store_error(error, self.folder.name) from error
        return self.folder

    def _is_whole(self, segment: Segment) -> bool:
        try:
            return (self.folder / segment.file).stat().st_size == segment.bytes
        except OSError:
            return False

    def _open(self, segment: Segment) -> SegmentIndex | None:
        path = str(self.folder / segment.file)
        try:
            if segment.kind == "graph":
                return GraphIndex.open(path, self._vectors(segment), segment.begin)
            codes = CodeIndex.open(path)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError, StoreError):
            return None
        is_ours = codes.dim == self.dim and len(codes) == segment.rows - segment.hidden
        return codes if is_ours else None

    def _vectors(self, segment: Segment) -> HalfMatrix:
        path = self.folder.parent / MATRIX_FILE
        mapped = map_matrix(path, dim=self.dim, rows=segment.end, is_scattered=True)
        return mapped[segment.begin :]


def _parse(data: bytes, dim: int) -> Manifest:
    document = cast("dict[str, object]", json.loads(data))
    if document["format"] != _FORMAT or document["dim"] != dim:
        raise ValueError("a manifest of another format or space")
    segments = tuple(
        _parse_segment(entry) for entry in cast("list[dict[str, object]]", document["segments"])
    )
    ends = [0, *(segment.end for segment in segments)]
    if any(s.begin < end or s.end <= s.begin for s, end in zip(segments, ends, strict=False)):
        raise ValueError("segments overlap")
    return Manifest(_number(document, "generation"), segments)


def _parse_segment(entry: Mapping[str, object]) -> Segment:
    file = entry["file"]
    if not isinstance(file, str) or "/" in file or not file.endswith(_SUFFIX):
        raise ValueError("not a name of a segment")
    tunings = cast("dict[str, dict[str, object]]", entry["tunings"])
    costs = cast("dict[str, object]", entry["costs"])
    return Segment(
        file=file,
        begin=_number(entry, "begin"),
        end=_number(entry, "end"),
        cells=_number(entry, "cells"),
        hidden=_number(entry, "hidden"),
        bytes=_number(entry, "bytes"),
        tunings={kind: _parse_tuning(tunings[kind]) for kind in ("image", "text")},
        costs=Costs(
            _figure(costs, "probe_us"), _figure(costs, "rerank_us"), _figure(costs, "row_us")
        ),
        kind="graph" if entry.get("kind") == "graph" else "cells",
    )


def _parse_tuning(entry: Mapping[str, object]) -> Tuning:
    recall = entry["recall"]
    if not isinstance(recall, float | int | None):
        raise TypeError("a recall is a number")
    return Tuning(
        _number(entry, "probes"),
        _number(entry, "rerank"),
        recall,
        spread=_figure(entry, "spread"),
        effort=_number(entry, "effort"),
    )


def _number(entry: Mapping[str, object], name: str) -> int:
    value = entry[name]
    if not isinstance(value, int):
        raise TypeError(f"{name} is a whole number")
    return value


def _figure(entry: Mapping[str, object], name: str) -> float:
    value = entry[name]
    if not isinstance(value, float | int) or value <= 0:
        raise TypeError(f"{name} is a positive number")
    return float(value)
