"""Writing an archive: Parquet tables, .npy vectors and picture files in one folder.

`export.partial` is there from the first moment, and `export.json` comes last: a folder without
the latter is no export. A second run over an unfinished export clears it and starts anew, for
the index has moved on meanwhile.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.adapters.archive_columns import (
    failure_row,
    image_row,
    import_pyarrow,
    schema_of,
    source_row,
)
from lookalike.adapters.archive_files import (
    PARTIAL_NAME,
    PARTIAL_TEXT,
    blob_path,
    is_own,
    pack_halves,
    sync_folder,
    write_file,
    writing_errors,
)
from lookalike.adapters.archive_lines import copy_row, decision_row, region_rows
from lookalike.domain.archives import (
    MANIFEST_NAME,
    VECTOR_KINDS,
    ArchiveCounts,
    ArchivedFile,
    ArchiveManifest,
    chunk_name,
)
from lookalike.domain.errors import ArchiveError, UsageError
from lookalike.ports.archive import BlobHashes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lookalike.domain.archives import ArchivedSpace, ArchiveFacts
    from lookalike.domain.arrays import HalfMatrix
    from lookalike.domain.images import ImageId, ImageRecord
    from lookalike.ports.archive import (
        ArchivedCopy,
        ArchivedDecision,
        ArchivedRegions,
        BlobKind,
    )
    from lookalike.ports.catalog import Failure

CHUNK_ROWS: Final = 5000
"""Images of one chunk."""

CHUNK_CHARACTERS: Final = 64 * 1024 * 1024
"""A chunk with so much text ends early, so that memory stays bounded."""

CHUNK_LINES: Final = 100_000
"""Failures, or blocked ids, of one file."""


class ParquetArchiveWriter:
    """`ports.archive.ArchiveWriter` in one folder."""

    def __init__(self, root: Path, space: ArchivedSpace, marker: int) -> None:
        self._root = root
        self._space = space
        self._marker = marker
        self._files: dict[str, list[ArchivedFile]] = {}
        self._counts = dict.fromkeys(ArchiveCounts.__dataclass_fields__, 0)
        self._hashes: dict[BlobKind, dict[ImageId, str]] = {"thumbnails": {}, "originals": {}}
        self._folders: set[Path] = set()
        self._images: list[dict[str, Any]] = []
        self._sources: list[dict[str, Any]] = []
        self._halves: list[HalfMatrix] = []
        self._regions: list[dict[str, Any]] = []
        self._region_halves: list[HalfMatrix] = []
        self._characters = 0
        self._lines: dict[str, list[dict[str, Any]]] = {
            kind: [] for kind in ("copies", "decisions", "failures", "blocked")
        }

    @classmethod
    def create(cls, folder: Path, space: ArchivedSpace) -> ParquetArchiveWriter:
        """Begin an archive in a new folder, or anew in that of an unfinished export.

        Raises:
            UsageError: the folder holds something else, or a finished export.
            ArchiveError: another export is at work there, or nothing can be written.
            MissingExtraError: pyarrow is not installed.
        """
        import_pyarrow()
        with writing_errors(folder):
            if folder.exists() and not folder.is_dir():
                raise UsageError(f"{folder} is a file", hint="name a new folder for the export")
            folder.mkdir(parents=True, exist_ok=True)
            names = {entry.name for entry in folder.iterdir()}
            _check_names(folder, names)
            marker = _take_marker(folder / PARTIAL_NAME)
            try:
                for name in names - {PARTIAL_NAME}:
                    _clear(folder / name)
                os.ftruncate(marker, 0)
                os.write(marker, PARTIAL_TEXT)
                os.fsync(marker)
            except BaseException:
                os.close(marker)
                raise
        return cls(folder, space, marker)

    def put_blobs(self, kind: BlobKind, blobs: Mapping[ImageId, bytes]) -> None:
        """Write pictures of images, whose records follow."""
        for image, data in blobs.items():
            path = blob_path(self._root, kind, image)
            with writing_errors(path):
                if path.parent not in self._folders:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    self._folders.add(path.parent)
                path.write_bytes(data)
            self._hashes[kind][image] = hashlib.sha256(data).hexdigest()

    def put_images(
        self,
        records: Sequence[ImageRecord],
        halves: HalfMatrix,
        regions: Sequence[ArchivedRegions] = (),
    ) -> None:
        """Write n images with `(n, dim)` fp16 vectors and the regions of each, or of none."""
        if halves.shape != (len(records), self._space.dim):
            raise ArchiveError(
                f"vectors of shape {halves.shape} for {len(records)} images of "
                f"{self._space.dim} numbers",
                hint="report a bug",
            )
        for at, (record, half) in enumerate(zip(records, halves, strict=True)):
            hashes = BlobHashes(
                self._hashes["thumbnails"].pop(record.id, ""),
                self._hashes["originals"].pop(record.id, ""),
            )
            self._images.append(image_row(record, hashes))
            self._sources += (source_row(record.id, source) for source in record.sources)
            self._halves.append(half[None])
            if regions and regions[at].numbers:
                self._regions += region_rows(record.id, regions[at].numbers)
                self._region_halves.append(regions[at].halves)
                self._counts["regions"] += len(regions[at].numbers)
            self._count(record, hashes)
            if len(self._images) >= CHUNK_ROWS or self._characters >= CHUNK_CHARACTERS:
                self._end_chunk()

    def put_copies(self, members: Sequence[ArchivedCopy]) -> None:
        """Write one copy group, whole."""
        self._counts["copy_groups"] += 1
        self._put_lines("copies", map(copy_row, members))

    def put_decisions(self, decisions: Sequence[ArchivedDecision]) -> None:
        """Write what people have decided."""
        self._put_lines("decisions", map(decision_row, decisions))

    def put_failures(self, failures: Sequence[Failure]) -> None:
        """Write failures."""
        self._put_lines("failures", map(failure_row, failures))

    def put_blocked(self, ids: Sequence[ImageId]) -> None:
        """Write ids that may not come back."""
        self._put_lines("blocked", ({"id": image} for image in ids))

    def finish(self, facts: ArchiveFacts) -> ArchiveManifest:
        """Make everything durable, then the manifest that says so."""
        self._end_chunk()
        for kind in self._lines:
            self._end_lines(kind)
        files = (file for kind in sorted(self._files) for file in self._files[kind])
        manifest = ArchiveManifest(facts, ArchiveCounts(**self._counts), tuple(files))
        self._sync()
        text = json.dumps(manifest.to_json(), indent=1) + "\n"
        temporary = self._root / f".{MANIFEST_NAME}.tmp"
        write_file(temporary, text.encode("ascii"))
        with writing_errors(self._root):
            temporary.replace(self._root / MANIFEST_NAME)
            sync_folder(self._root)
            (self._root / PARTIAL_NAME).unlink(missing_ok=True)
        self.close()
        return manifest

    def close(self) -> None:
        """Let go; an archive that is not finished stays recognisable as such."""
        if self._marker >= 0:
            os.close(self._marker)
            self._marker = -1

    def _count(self, record: ImageRecord, hashes: BlobHashes) -> None:
        vanished = sum(source.is_vanished for source in record.sources)
        self._counts["images"] += 1
        self._counts["sources"] += len(record.sources) - vanished
        self._counts["vanished_sources"] += vanished
        self._counts["thumbnails"] += bool(hashes.thumbnail)
        self._counts["originals"] += bool(hashes.original)
        self._characters += len(record.facts.embedded_text) + 50 * len(record.words)
        self._characters += sum(
            len(one.uri) + len(one.title) + len(one.alt_text) + len(one.caption)
            + len(one.page_text) for one in record.sources
        )  # fmt: skip

    def _end_chunk(self) -> None:
        if not self._images:
            return
        images, sources = self._images, self._sources
        halves = np.concatenate(self._halves)
        regions, none = self._regions, np.zeros((0, self._space.dim), "<f2")
        region_halves = np.concatenate([none, *self._region_halves])
        self._regions, self._region_halves = [], []
        self._images, self._sources, self._halves, self._characters = [], [], [], 0
        self._write("vectors", pack_halves(halves), len(halves))
        self._write("region_vectors", pack_halves(region_halves), len(regions))
        self._write("regions", _parquet("regions", regions), len(regions))
        self._write("sources", _parquet("sources", sources), len(sources))
        self._write("images", _parquet("images", images), len(images))

    def _put_lines(self, kind: str, rows: Iterable[dict[str, Any]]) -> None:
        waiting = self._lines[kind]
        before = len(waiting)
        waiting += rows
        self._counts[kind] += len(waiting) - before
        if len(waiting) >= CHUNK_LINES:
            self._end_lines(kind)

    def _end_lines(self, kind: str) -> None:
        if rows := self._lines[kind]:
            self._write(kind, _parquet(kind, rows), len(rows))
            rows.clear()

    def _write(self, kind: str, data: bytes, rows: int) -> None:
        listed = self._files.setdefault(kind, [])
        name = chunk_name(kind, len(listed), self._space)
        path = self._root / name
        with writing_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        listed.append(ArchivedFile(name, rows, len(data), write_file(path, data)))

    def _sync(self) -> None:
        """Make the picture files and all names durable; a sync for each file would cost more."""
        if self._folders and hasattr(os, "sync"):
            os.sync()
        elif "vectors" in self._files:
            for kind in VECTOR_KINDS:
                sync_folder(self._root / self._space.folder(kind))
                sync_folder(self._root / kind)


def _check_names(folder: Path, names: set[str]) -> None:
    if MANIFEST_NAME in names:
        raise UsageError(
            f"{folder} holds a finished export", hint="name a new folder, or delete that one first"
        )
    if names and (PARTIAL_NAME not in names or not all(map(is_own, names))):
        raise UsageError(
            f"{folder} is not empty and is no unfinished export", hint="name a new folder"
        )


def _take_marker(path: Path) -> int:
    """Open the mark of an unfinished export, and hold it against other processes."""
    marker = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        import fcntl

        fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows: nothing keeps two exports apart but the person who starts them
        return marker
    except OSError as error:
        os.close(marker)
        raise ArchiveError(
            f"another export is at work in {path.parent}", hint="wait for it, or name a new folder"
        ) from error
    return marker


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _parquet(kind: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    pa = import_pyarrow()
    from pyarrow import parquet

    buffer = io.BytesIO()
    try:
        table = pa.Table.from_pylist(rows, schema=schema_of(kind))
        parquet.write_table(table, buffer, compression="zstd")
    except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
        raise ArchiveError(
            f"a value of the index does not fit the export's {kind}: {error}"[:300],
            hint="report a bug",
        ) from error
    return buffer.getvalue()
