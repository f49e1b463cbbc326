"""What a training has found so far, so that a build that was killed goes on from there."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.vectors_matrix import store_error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lookalike.domain.arrays import FloatMatrix

_RECORD: Final = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Appends `(n, dim)` arrays to a file that counts only for the same `key`.

    The file is a line of JSON, then records: rows, CRC-32, float32 numbers. A record that a
    crash cut short ends it.
    """

    path: Path
    key: Mapping[str, int]

    @property
    def dim(self) -> int:
        """Length of a row."""
        return self.key["dim"]

    def arrays(self) -> list[FloatMatrix]:
        """Return what an earlier run appended under this key; otherwise start anew.

        Raises our error for a file that cannot be written.
        """
        line = (json.dumps(dict(self.key), sort_keys=True) + "\n").encode()
        try:
            data = self.path.read_bytes() if self.path.exists() else b""
            found: list[FloatMatrix] = []
            end = len(line)
            if data.startswith(line):
                while (record := self._record(data, end)) is not None:
                    found.append(record)
                    end += _RECORD.size + record.nbytes
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(data[:end] if found else line)
        except OSError as error:
            raise store_error(error, self.path.name) from error
        return found

    def append(self, rows: FloatMatrix) -> None:
        """Add an array; raises our error when the disk is full."""
        data = rows.astype("<f4").tobytes()
        try:
            with self.path.open("ab") as file:
                file.write(_RECORD.pack(len(rows), zlib.crc32(data)) + data)
        except OSError as error:
            raise store_error(error, self.path.name) from error

    def clear(self) -> None:
        """Forget it: the build is done."""
        self.path.unlink(missing_ok=True)

    def _record(self, data: bytes, begin: int) -> FloatMatrix | None:
        if begin + _RECORD.size > len(data):
            return None
        rows, checksum = _RECORD.unpack_from(data, begin)
        begin += _RECORD.size
        part = data[begin : begin + 4 * rows * self.dim]
        if len(part) < 4 * rows * self.dim or zlib.crc32(part) != checksum:
            return None
        return np.frombuffer(part, "<f4").reshape(rows, self.dim).astype(np.float32)
