"""Reading an archive that may come from anywhere: nothing in it is believed before it is checked.

Paths are made from chunk numbers and ids, never taken from a file. Sizes are compared before
anything is read, and no Python object is ever loaded.
"""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.adapters.archive_columns import (
    failure_of,
    id_of,
    import_pyarrow,
    record_of,
    schema_of,
    source_of,
    uri_of,
)
from lookalike.adapters.archive_files import (
    COPY_HINT,
    PARTIAL_NAME,
    check_file,
    map_halves,
    open_regular,
    read_blob,
    reading_errors,
)
from lookalike.adapters.archive_lines import (
    copy_of,
    decision_of,
    groups_of,
    region_number,
)
from lookalike.domain.archives import MANIFEST_NAME, UNIT_SLACK, kind_of, manifest_of_json
from lookalike.domain.errors import ArchiveCorruptError, ArchiveMissingError
from lookalike.ports.archive import ArchivedImages, ArchivedRegions, ArchivedUris

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lookalike.domain.archives import ArchivedFile, ArchiveManifest
    from lookalike.domain.arrays import HalfMatrix
    from lookalike.domain.images import ImageId, ImageRecord
    from lookalike.ports.archive import ArchivedCopy, ArchivedDecision, BlobHashes, BlobKind
    from lookalike.ports.catalog import Failure

BATCH_ROWS: Final = 256
MOST_MANIFEST_BYTES: Final = 1 << 30
MOST_TABLE_BYTES: Final = 1 << 32
"""A table that says it is larger than this once unpacked is refused."""


class ParquetArchiveReader:
    """`ports.archive.ArchiveReader` over one folder."""

    def __init__(self, root: Path, manifest: ArchiveManifest) -> None:
        self._root = root
        self._manifest = manifest

    @classmethod
    def open(cls, folder: Path) -> ParquetArchiveReader:
        """Open a finished archive; only its manifest is read.

        Raises:
            ArchiveMissingError: there is none, or it was not finished.
            ArchiveFormatError: a newer version wrote it.
            ArchiveCorruptError: its manifest cannot be read.
            MissingExtraError: pyarrow is not installed.
        """
        import_pyarrow()
        path = folder / MANIFEST_NAME
        if not path.exists():
            if (folder / PARTIAL_NAME).exists():
                raise ArchiveMissingError(
                    f"the export in {folder} was not finished", hint="run the export again"
                )
            raise ArchiveMissingError(
                f"there is no export in {folder}", hint=f"name a folder that holds {MANIFEST_NAME}"
            )
        with reading_errors(MANIFEST_NAME), open_regular(path) as file:
            data = file.read(MOST_MANIFEST_BYTES + 1)
        try:
            if len(data) > MOST_MANIFEST_BYTES:
                raise ValueError("it is too large")
            values = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ArchiveCorruptError(
                f"{MANIFEST_NAME} cannot be read: {error}", hint=COPY_HINT
            ) from error
        return cls(folder, manifest_of_json(values))

    @property
    def manifest(self) -> ArchiveManifest:
        """What the archive says of itself."""
        return self._manifest

    def check(self) -> None:
        """Compare every listed file's size, hash, rows and columns with the manifest."""
        for file in self._manifest.files:
            check_file(self._root, file)
            if file.name.endswith(".npy"):
                map_halves(self._root, file, self._manifest.facts.space.dim)
            else:
                with closing(self._open(file)):
                    pass

    def images(self) -> Iterator[ArchivedImages]:
        """Yield every image in the archive's order, some hundreds at a time."""
        position = 0
        for number, (file, sources, vectors) in enumerate(self._chunks()):
            grouped = _Grouped(self._rows(sources), sources.name)
            regions = self._regions(number)
            halves = map_halves(self._root, vectors, self._manifest.facts.space.dim)
            begin = 0
            for batch in self._batches(file):
                made = [
                    self._record(row, position + at, grouped, file.name)
                    for at, row in enumerate(batch)
                ]
                some = _checked(halves[begin : begin + len(batch)], vectors.name, begin)
                records = [record for record, _ in made]
                found = [regions.of(record) for record in records] if regions else ()
                yield ArchivedImages(records, some, [one for _, one in made], found)
                position += len(batch)
                begin += len(batch)
            grouped.demand_end()
            if regions:
                regions.demand_end()

    def uris(self) -> Iterator[ArchivedUris]:
        """Yield ids and uris alone, in the same order."""
        columns = ("image", "uri", "odd_texts")
        for file, sources, _ in self._chunks():
            for rows in self._batches(file, ("id",)):
                with _row_errors(file.name):
                    ids = [id_of(row["id"]) for row in rows]
                yield ArchivedUris(ids, ())
            for rows in self._batches(sources, columns):
                with _row_errors(sources.name):
                    uris = [(id_of(row["image"]), uri_of(row)) for row in rows]
                yield ArchivedUris((), uris)

    def vectors(self) -> Iterator[tuple[Sequence[ImageId], HalfMatrix]]:
        """Yield ids with their `(n, dim)` fp16 vectors alone, in the same order."""
        for file, _, vectors in self._chunks():
            halves = map_halves(self._root, vectors, self._manifest.facts.space.dim)
            begin = 0
            for rows in self._batches(file, ("id",)):
                with _row_errors(file.name):
                    ids = [id_of(row["id"]) for row in rows]
                yield ids, np.asarray(halves[begin : begin + len(ids)])
                begin += len(ids)

    def copies(self) -> Iterator[Sequence[ArchivedCopy]]:
        """Yield every copy group."""
        lines = self._lines("copies", copy_of)
        yield from groups_of(member for members in lines for member in members)

    def decisions(self) -> Iterator[Sequence[ArchivedDecision]]:
        """Yield every decision, some hundreds at a time."""
        yield from self._lines("decisions", decision_of)

    def failures(self) -> Iterator[Sequence[Failure]]:
        """Yield every failure, the oldest first."""
        yield from self._lines("failures", failure_of)

    def blocked(self) -> Iterator[Sequence[ImageId]]:
        """Yield every id that may not come back."""
        yield from self._lines("blocked", lambda row: id_of(row["id"]))

    def blobs(self, kind: BlobKind, hashes: Mapping[ImageId, str]) -> Mapping[ImageId, bytes]:
        """Return pictures of images, each checked against its SHA-256."""
        return {
            image: read_blob(self._root, kind, image, sha256) for image, sha256 in hashes.items()
        }

    def _chunks(self) -> Iterator[tuple[ArchivedFile, ArchivedFile, ArchivedFile]]:
        kinds = ("images", "sources", "vectors")
        return zip(*(self._manifest.chunk(kind) for kind in kinds), strict=True)

    def _regions(self, number: int) -> _Regions | None:
        """Return the regions of a chunk; the first version has none."""
        files = [self._manifest.chunk(kind) for kind in ("regions", "region_vectors")]
        if not all(files):
            return None
        rows, vectors = (some[number] for some in files)
        halves = map_halves(self._root, vectors, self._manifest.facts.space.dim)
        return _Regions(_Grouped(self._rows(rows), rows.name, region_number), halves, vectors.name)

    def _record(
        self, row: Mapping[str, Any], position: int, grouped: _Grouped, name: str
    ) -> tuple[Any, BlobHashes]:
        sources = grouped.of(row["id"])
        with _row_errors(name, position):
            if not sources:
                raise ValueError("the image has no source")
            return record_of(row, position, sources)

    def _lines(
        self, kind: str, make: Callable[[Mapping[str, Any]], Any]
    ) -> Iterator[Sequence[Any]]:
        for file in self._manifest.chunk(kind):
            for rows in self._batches(file):
                with _row_errors(file.name):
                    made = [make(row) for row in rows]
                yield made

    def _rows(self, file: ArchivedFile) -> Iterator[Mapping[str, Any]]:
        for rows in self._batches(file):
            yield from rows

    def _batches(
        self, file: ArchivedFile, columns: Sequence[str] = ()
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield rows as dicts, their columns as documented; foreign columns are passed over."""
        pa = import_pyarrow()
        schema = schema_of(kind_of(file), self._manifest.version)
        wanted = list(columns) or schema.names
        left = file.rows
        with closing(self._open(file)) as table:
            batches = table.iter_batches(batch_size=BATCH_ROWS, columns=wanted)
            while True:
                try:
                    batch = next(batches, None)
                    rows = None if batch is None else _conformed(batch, schema, wanted)
                except (pa.ArrowException, OSError, ValueError) as error:
                    raise _damaged(file.name, error) from error
                if rows is None:
                    break
                left -= len(rows)
                yield rows
        if left:
            raise _damaged(file.name, "it holds another number of rows than it says")

    def _open(self, file: ArchivedFile) -> Any:
        """Open a table and compare what it says of itself with the manifest."""
        pa = import_pyarrow()
        from pyarrow import parquet

        with reading_errors(file.name):
            open_regular(self._root / file.name).close()
        try:
            table = parquet.ParquetFile(self._root / file.name)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(file.name, error) from error
        try:
            _check_table(table, file, self._manifest.version)
        except BaseException:
            table.close()
            raise
        return table


class _Grouped:
    """Lines (sources) in the order of their images, handed out image by image."""

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        name: str,
        make: Callable[[Mapping[str, Any]], Any] = source_of,
    ) -> None:
        self._rows = iter(rows)
        self._name = name
        self._make = make
        self._next = next(self._rows, None)

    def of(self, image: object) -> list[Any]:
        """Return the lines that come next, as long as they are of this image."""
        found: list[Any] = []
        while self._next is not None and self._next["image"] == image:
            with _row_errors(self._name):
                found.append(self._make(self._next))
            self._next = next(self._rows, None)
        return found

    def demand_end(self) -> None:
        """Demand that no line is left over."""
        if self._next is not None:
            raise _damaged(
                self._name, f"{str(self._next['image'])[:40]!r} is no image of its chunk, or twice"
            )


class _Regions:
    """The regions of a chunk with their vectors, handed out image by image."""

    def __init__(self, grouped: _Grouped, halves: HalfMatrix, name: str) -> None:
        self._grouped = grouped
        self._halves = halves
        self._name = name
        self._at = 0

    def of(self, record: ImageRecord) -> ArchivedRegions:
        """Return the regions of an image."""
        numbers = tuple(self._grouped.of(record.id))
        begin, self._at = self._at, self._at + len(numbers)
        if len(set(numbers)) < len(numbers) or any(at >= len(record.objects) for at in numbers):
            raise _damaged(self._name, f"{record.id} has regions of no objects, or twice")
        return ArchivedRegions(numbers, _checked(self._halves[begin : self._at], self._name, begin))

    def demand_end(self) -> None:
        """Demand that no region is left over."""
        self._grouped.demand_end()


def _check_table(table: Any, file: ArchivedFile, version: int) -> None:
    metadata = table.metadata
    if metadata.num_rows != file.rows:
        raise _damaged(
            file.name, f"it holds {metadata.num_rows} rows, the manifest says {file.rows}"
        )
    groups = (metadata.row_group(at) for at in range(metadata.num_row_groups))
    if sum(max(0, group.total_byte_size) for group in groups) > MOST_TABLE_BYTES:
        raise _damaged(file.name, f"it unpacks to over {MOST_TABLE_BYTES >> 30} GiB")
    missing = set(schema_of(kind_of(file), version).names) - set(table.schema_arrow.names)
    if missing:
        raise _damaged(file.name, f"it lacks the columns {', '.join(sorted(missing))}")


def _conformed(batch: Any, schema: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a batch, its columns brought to the documented types."""
    pa = import_pyarrow()
    columns: list[Any] = []
    for name in names:
        field, column = schema.field(name), batch.column(name)
        if column.type != field.type:
            column = column.cast(field.type)
        if column.null_count and not field.nullable:
            raise ValueError(f"the column {name} has nulls")
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=list(names)).to_pylist()


def _checked(halves: HalfMatrix, name: str, begin: int) -> HalfMatrix:
    """Return vectors in memory, or refuse those that are not of unit norm."""
    some = np.array(halves, dtype="<f2")
    norms = np.linalg.norm(some.astype(np.float32), axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1.0) <= UNIT_SLACK))
    if len(wrong):
        raise _damaged(name, f"the vector in row {begin + wrong[0]} is not of unit norm")
    return some


@contextmanager
def _row_errors(name: str, position: int | None = None) -> Generator[None]:
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        where = "" if position is None else f"row {position} of the archive: "
        raise _damaged(name, f"{where}{error}") from error


def _damaged(name: str, error: object) -> ArchiveCorruptError:
    return ArchiveCorruptError(f"{name} cannot be read: {error}"[:400], hint=COPY_HINT)
