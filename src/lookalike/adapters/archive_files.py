"""The files of an archive: where they lie, how they are written and looked at without trust."""

from __future__ import annotations

import ast
import errno
import hashlib
import io
import os
import re
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.errors import ArchiveCorruptError, ArchiveError, DiskFullError
from lookalike.domain.images import image_id

if TYPE_CHECKING:
    from collections.abc import Generator

    from lookalike.domain.archives import ArchivedFile
    from lookalike.domain.arrays import HalfMatrix
    from lookalike.domain.images import ImageId
    from lookalike.ports.archive import BlobKind

PARTIAL_NAME: Final = "export.partial"
PARTIAL_TEXT: Final = (
    b"This Lookalike export is not finished: run it again, or delete the folder.\n"
)

MOST_BLOB_BYTES: Final = {"thumbnails": 1 << 24, "originals": 1 << 30}
"""A picture file that is larger is not one that an export wrote."""

COPY_HINT: Final = "copy the export again, or make it anew"

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_OWN: Final = re.compile(
    r"export\.(json|partial)|\.export\.json\.tmp|vectors|region_vectors|blobs"
    r"|(images|sources|regions|copies|decisions|failures|blocked)-\d{5,}\.parquet"
)
_MOST_HEADER_BYTES: Final = 10_000
_BAD_HEADER: Final = (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError)


def is_own(name: str) -> bool:
    """Tell whether an export writes a file or folder of that name at its top."""
    return _OWN.fullmatch(name) is not None


def blob_path(root: Path, kind: BlobKind, image: ImageId) -> Path:
    """Return where a picture of an image lies; ids are hex digits, so nothing leads outside."""
    return root / "blobs" / kind / image[:2] / image


@contextmanager
def writing_errors(path: Path) -> Generator[None]:
    """Turn the system's errors while writing into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(
                f"no space is left for {path}", hint="free some space, then run the export again"
            ) from error
        raise ArchiveError(
            f"cannot write {path}: {error.strerror or error}",
            hint="check the folder, its rights and its disk",
        ) from error


@contextmanager
def reading_errors(name: str) -> Generator[None]:
    """Turn the system's errors while reading into ours."""
    try:
        yield
    except FileNotFoundError as error:
        raise ArchiveCorruptError(f"the export lacks {name}", hint=COPY_HINT) from error
    except OSError as error:
        reason = error.strerror or error
        raise ArchiveCorruptError(f"cannot read {name}: {reason}", hint=COPY_HINT) from error


def write_file(path: Path, data: bytes | memoryview) -> str:
    """Write a file durably and return its SHA-256."""
    with writing_errors(path), path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    if os.name == "nt":
        return
    with writing_errors(folder):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file to read; what is no regular file (a pipe, a device) is refused."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(handle, "rb")


def check_file(root: Path, listed: ArchivedFile) -> None:
    """Compare a file's size and SHA-256 with what the manifest says of it."""
    with reading_errors(listed.name), open_regular(root / listed.name) as file:
        size = os.fstat(file.fileno()).st_size
        if size != listed.bytes:
            raise ArchiveCorruptError(
                f"{listed.name} has {size} bytes, the manifest says {listed.bytes}", hint=COPY_HINT
            )
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != listed.sha256:
        raise ArchiveCorruptError(
            f"{listed.name} has the SHA-256 {found[:12]}…, the manifest says {listed.sha256[:12]}…",
            hint=COPY_HINT,
        )


def read_blob(root: Path, kind: BlobKind, image: ImageId, sha256: str) -> bytes:
    """Return a picture, checked against its SHA-256."""
    path = blob_path(root, kind, image)
    name = path.relative_to(root).as_posix()
    with reading_errors(name), open_regular(path) as file:
        data = file.read(MOST_BLOB_BYTES[kind] + 1)
    is_too_large = len(data) > MOST_BLOB_BYTES[kind]
    if is_too_large or hashlib.sha256(data).hexdigest() != sha256 or not _is_of(image, data, kind):
        raise ArchiveCorruptError(f"{name} is not what was exported", hint=COPY_HINT)
    return data


def _is_of(image: ImageId, data: bytes, kind: BlobKind) -> bool:
    """Tell whether an original is the picture that its id names."""
    return kind == "thumbnails" or image_id(data) == image


def pack_halves(halves: HalfMatrix) -> bytes:
    """Return `(n, dim)` fp16 as the bytes of a .npy file, little-endian."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(halves, "<f2"), allow_pickle=False)
    return buffer.getvalue()


def map_halves(root: Path, listed: ArchivedFile, dim: int) -> HalfMatrix:
    """Map the vectors of a chunk; nothing in the file is executed, nor its size believed."""
    name = listed.name
    if not listed.rows:
        return np.zeros((0, dim), np.float16)
    with reading_errors(name), open_regular(root / name) as file:
        try:
            shape, offset = _header_of(file)
        except _BAD_HEADER as error:
            raise ArchiveCorruptError(
                f"{name} is no .npy file of fp16: {error}"[:300], hint=COPY_HINT
            ) from error
        size = os.fstat(file.fileno()).st_size
        if shape != (listed.rows, dim) or size != offset + 2 * listed.rows * dim:
            raise ArchiveCorruptError(
                f"{name} holds {size} bytes of shape {shape}"[:300]
                + f", not ({listed.rows}, {dim}) of fp16",
                hint=COPY_HINT,
            )
        return np.memmap(file, np.dtype("<f2"), "r", offset, (listed.rows, dim))


def _header_of(file: io.BufferedReader) -> tuple[object, int]:
    """Return the shape that a .npy file states and where its numbers begin.

    numpy's own reader multiplies what a header says before it compares it with the file.
    """
    head = file.read(10)
    if head[:6] != b"\x93NUMPY" or head[6:8] not in {b"\1\0", b"\2\0", b"\3\0"}:
        raise ValueError("it does not begin as one")
    length = head[8:] if head[6] == 1 else head[8:] + file.read(2)
    size = int.from_bytes(length, "little")
    if not 0 < size <= _MOST_HEADER_BYTES:
        raise ValueError("its header is too long")
    values = ast.literal_eval(file.read(size).decode("latin-1"))
    if values["descr"] != "<f2" or values["fortran_order"] is not False:
        raise ValueError("it holds other numbers, or columns first")
    return values["shape"], file.tell()
