"""Pictures listed in a table: CSV, TSV, JSON Lines (each also gzipped) or Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import stat as stat_bits
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

from lookalike.domain import reasons
from lookalike.domain.errors import ImageError, MissingExtraError, SourceError
from lookalike.domain.images import Source
from lookalike.domain.source_rows import (
    RowTarget,
    fold_row,
    has_target_column,
    join_captions,
    row_of_json,
    source_of_row,
    stamp_texts,
    target_of_row,
)
from lookalike.domain.sources import (
    TABLE_SUFFIXES,
    archive_uri,
    file_fingerprint,
    has_suffix,
    is_url,
    uri_of_path,
)
from lookalike.ports.source import SourceItem, error_item

if TYPE_CHECKING:
    from types import ModuleType

_FIELD_CHARACTERS: Final = 1 << 24
_LINE_BYTES: Final = 1 << 26
_HEADER_CHARACTERS: Final = 1 << 20
_CUT_SHORT: Final = (EOFError, OSError, zlib.error)
_PARQUET_ROWS: Final = 256
_PARQUET_SUFFIXES: Final = (".parquet", ".pq")
_JSON_SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
_HINT: Final = "a table needs a column `path` (or file, filepath, image_path, image) or `url`"

_Row: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row stands: its number (lines count from 1, Parquet's rows from 0) and its word."""

    number: int
    word: str = "line"


class _ParquetFile(Protocol):
    """What is used of `pyarrow.parquet.ParquetFile`, which has no types of its own."""

    metadata: Any
    schema_arrow: Any

    def iter_batches(self, *, batch_size: int) -> Iterator[Any]: ...
    def close(self) -> None: ...


class TableSource:
    """The pictures a table lists, with what it says of them.

    Columns (any case): `path` (also file, filepath, filename, image_path, image) or `url`, and
    any of alt_text, caption or captions, title, page_text, page_url, licence or licence_id,
    taken, tags, author. Relative paths are relative to the table. Rows of the same picture that
    follow each other are one item with all their captions. A Parquet column of bytes (`jpg`, or
    `image` as Hugging Face writes it) is a picture by itself. A bad row is an error item with
    its number; the run goes on.

    Raises, from `items`:
        SourceError: the table cannot be opened or has no column that says where pictures are.
        MissingExtraError: Parquet without pyarrow.
    """

    def __init__(self, table: str | Path) -> None:
        self._name = os.fspath(table)
        self._path = os.path.abspath(os.path.expanduser(self._name))
        self._folder = os.path.dirname(self._path)
        self._fingerprint = ""

    @classmethod
    def accepts(cls, text: str) -> bool:
        """Tell whether the text names a file with a table's suffix."""
        is_table = not is_url(text) and has_suffix(text, TABLE_SUFFIXES)
        return is_table and not os.path.isdir(os.path.expanduser(text))

    @property
    def name(self) -> str:
        """What the user named."""
        return self._name

    @property
    def prefix(self) -> str | None:
        """None: rows may name files anywhere."""
        return None

    def count(self) -> int | None:
        """Return Parquet's row count, or the lines of a plain JSON Lines file, or None."""
        if has_suffix(self._path, _PARQUET_SUFFIXES):
            with closing(self._open_parquet()) as table:
                return int(table.metadata.num_rows)
        if has_suffix(self._path, (".jsonl", ".ndjson")):
            with self._open() as file:
                return sum(1 for line in _lines(file) if line.strip())
        return None

    def items(self) -> Iterator[SourceItem]:
        """Yield the rows' pictures in the table's order."""
        try:
            self._fingerprint = file_fingerprint(os.stat(self._path))
        except OSError as error:
            raise _cannot_open(self._name, error) from error
        if has_suffix(self._path, _PARQUET_SUFFIXES):
            rows = self._parquet_rows()
        elif has_suffix(self._path, _JSON_SUFFIXES):
            rows = self._json_rows()
        else:
            rows = self._csv_rows()
        return _merge_runs(self._item(place, row) for place, row in rows)

    def _item(self, place: _Place, row: _Row | ImageError) -> SourceItem:
        place_uri = archive_uri(self._path, f"{place.word}-{place.number}")
        try:
            if isinstance(row, ImageError):
                raise row
            target = target_of_row(row)
        except ImageError as error:
            return error_item(place_uri, error.reason, f"{place.word} {place.number}: {error}")
        if target.data:
            return self._data_item(place_uri, row, target.data)
        if target.path:
            return self._path_item(place, row, target)
        return SourceItem(source_of_row(row, target.url), "url", url=target.url)

    def _data_item(self, place_uri: str, row: _Row, data: bytes) -> SourceItem:
        key = row.get("key")
        uri = archive_uri(self._path, key) if isinstance(key, str) and key else place_uri
        source = source_of_row(row, uri, fingerprint=self._fingerprint)
        return SourceItem(source, "data", data=data)

    def _path_item(self, place: _Place, row: _Row, target: RowTarget) -> SourceItem:
        path = os.path.normpath(os.path.join(self._folder, os.path.expanduser(target.path)))
        uri, where = uri_of_path(path), f"{place.word} {place.number}"
        try:
            stat = os.stat(path)
        except FileNotFoundError:
            return error_item(uri, reasons.VANISHED, f"{where}: no such file")
        except (OSError, ValueError) as error:  # a ValueError is a name no file can have
            uri = archive_uri(self._path, f"{place.word}-{place.number}")
            return error_item(uri, reasons.UNREADABLE, f"{where}: {error}"[:300])
        if not stat_bits.S_ISREG(stat.st_mode):
            return error_item(uri, reasons.NOT_AN_IMAGE, f"{where}: not a regular file")
        source = source_of_row(row, uri, fingerprint=file_fingerprint(stat))
        return SourceItem(source, "path", path=Path(path))

    def _csv_rows(self) -> Iterator[tuple[_Place, _Row | ImageError]]:
        """Read CSV or TSV; the delimiter is told from the header."""
        # The limit is one for the whole process; it is only ever raised.
        csv.field_size_limit(max(csv.field_size_limit(), _FIELD_CHARACTERS))
        with self._open() as file, self._decoded(file) as text:
            header = text.readline(_HEADER_CHARACTERS)
            reader = csv.reader(text, delimiter=_delimiter(header), strict=True)
            names = next(csv.reader([header], delimiter=_delimiter(header)), [])
            if not has_target_column(names):
                raise SourceError(f"{self._name} has no column for its pictures", hint=_HINT)
            while True:
                place = _Place(reader.line_num + 2)
                try:
                    values = next(reader)
                except StopIteration:
                    return
                except (csv.Error, UnicodeError) as error:
                    yield place, ImageError(reasons.BAD_RECORD, f"not CSV: {error}")
                    continue
                except _CUT_SHORT as error:
                    yield place, ImageError(reasons.BAD_RECORD, f"the table ends here: {error}")
                    return
                if values:
                    if len(values) > len(names):  # a last column with unquoted delimiters
                        rest = reader.dialect.delimiter.join(values[len(names) - 1 :])
                        values = [*values[: len(names) - 1], rest]
                    yield place, fold_row(dict(zip(names, values, strict=False)))

    def _json_rows(self) -> Iterator[tuple[_Place, _Row | ImageError]]:
        with self._open() as file:
            lines = enumerate(_lines(file), start=1)
            while True:
                try:
                    number, line = next(lines)
                except StopIteration:
                    return
                except _CUT_SHORT as error:
                    detail = f"the table ends here: {error}"
                    yield _Place(0, "rest"), ImageError(reasons.BAD_RECORD, detail)
                    return
                line = line.removeprefix(b"\xef\xbb\xbf").strip()
                if line:
                    yield _Place(number), _parse_json(line)

    def _parquet_rows(self) -> Iterator[tuple[_Place, _Row | ImageError]]:
        pyarrow = _import_pyarrow()
        with closing(self._open_parquet()) as table:
            if not has_target_column(table.schema_arrow.names):
                raise SourceError(f"{self._name} has no column for its pictures", hint=_HINT)
            number = 0
            try:
                for batch in table.iter_batches(batch_size=_PARQUET_ROWS):
                    for row in cast("Sequence[Mapping[str, object]]", batch.to_pylist()):
                        yield _Place(number, "row"), fold_row(row)
                        number += 1
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                detail = f"the table ends here: {error}"[:300]
                yield _Place(number, "row"), ImageError(reasons.BAD_RECORD, detail)

    def _open_parquet(self) -> _ParquetFile:
        pyarrow = _import_pyarrow()
        from pyarrow import parquet

        try:
            return cast("_ParquetFile", parquet.ParquetFile(self._path, memory_map=True))
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise _cannot_open(self._name, error) from error

    def _open(self) -> IO[bytes]:
        try:
            if self._path.lower().endswith(".gz"):
                return cast("IO[bytes]", gzip.open(self._path, "rb"))
            return open(self._path, "rb")
        except OSError as error:
            raise _cannot_open(self._name, error) from error

    def _decoded(self, file: IO[bytes]) -> io.TextIOWrapper:
        """Read text as its byte order mark says, else UTF-8; other bytes survive as in paths."""
        try:
            mark = file.read(2)
            file.seek(0)
        except _CUT_SHORT as error:
            raise _cannot_open(self._name, error) from error
        encoding = "utf-16" if mark in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
        errors = "replace" if encoding == "utf-16" else "surrogateescape"
        return io.TextIOWrapper(file, encoding=encoding, errors=errors, newline="")


def _merge_runs(items: Iterator[SourceItem]) -> Iterator[SourceItem]:
    """Join neighbouring rows of one picture, as tables with a row per caption have them."""
    held: SourceItem | None = None
    for item in items:
        if held is None:
            held = item
        elif item.kind == held.kind in {"path", "url"} and item.source.uri == held.source.uri:
            held = replace(held, source=_merge(held.source, item.source))
        else:
            yield held
            held = item
    if held is not None:
        yield held


def _merge(first: Source, second: Source) -> Source:
    merged = replace(
        first,
        title=first.title or second.title,
        alt_text=join_captions(first.alt_text, second.alt_text),
        caption=join_captions(first.caption, second.caption),
    )
    return stamp_texts(merged)


def _parse_json(line: bytes) -> _Row | ImageError:
    try:
        return row_of_json(line)
    except ImageError as error:
        return error


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines, an over-long one cut into pieces that will not parse."""
    while line := file.readline(_LINE_BYTES):
        yield line


def _delimiter(header: str) -> str:
    """Return the delimiter that the header holds most often outside quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(",\t;|", key=bare.count)


def _cannot_open(name: str, error: Exception) -> SourceError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SourceError(f"cannot read the table {name}: {why}"[:300], hint=_HINT)


def _import_pyarrow() -> ModuleType:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtraError("reading Parquet", extra="parquet") from error
    return cast("ModuleType", pa)
