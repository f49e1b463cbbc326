"""Pictures in tar archives: WebDataset shards as img2dataset writes them, or any tar of pictures.

Members are read in place, in the archive's order; nothing is extracted, so names such as
`../../etc/passwd` are only text.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from lookalike.adapters.source_archives import archives_named, names_in
from lookalike.domain import reasons
from lookalike.domain.errors import ImageError, SourceError
from lookalike.domain.source_rows import clean_text, row_of_json, source_of_row
from lookalike.domain.sources import (
    IMAGE_SUFFIXES,
    TAR_SUFFIXES,
    archive_uri,
    file_fingerprint,
    has_suffix,
    is_url,
    suffix_of,
    uri_of_path,
)
from lookalike.ports.source import SourceItem, error_item

MAX_MEMBER_BYTES: Final = 128 << 20
_TEXT_BYTES: Final = 1 << 20
_MOST_GROUPED: Final = 16
_BLOCK: Final = 512
_BROKEN: Final = (
    tarfile.TarError,
    EOFError,
    OSError,
    zlib.error,
    ValueError,
    OverflowError,
    RecursionError,  # a chain of long-name headers, each read inside the last
)


@dataclass(slots=True)
class _Group:
    """The members that share a key: `000012.jpg`, `000012.txt`, `000012.json`."""

    key: str = ""
    pictures: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    caption: str = ""
    row: dict[str, object] = field(default_factory=dict[str, object])
    errors: list[SourceItem] = field(default_factory=list[SourceItem])


class ShardSource:
    """The pictures of one tar, of a folder of tars or of a pattern such as `{00000..00012}.tar`.

    A picture's uri is `/absolute/shard.tar#member`. `.txt` and `.json` members with the same key
    say what it shows. A shard that is cut or damaged gives what came before and one error item
    with the shard's own uri; a missing shard of a pattern is an error item too.

    Raises, from `items`:
        SourceError: there is no shard at all.
    """

    def __init__(self, shards: str | Path, *, max_member_bytes: int = MAX_MEMBER_BYTES) -> None:
        self._name = os.fspath(shards)
        self._max_bytes = max_member_bytes

    @classmethod
    def accepts(cls, text: str) -> bool:
        """Tell whether the text names tars by suffix, or a folder that holds tars but no pictures.

        img2dataset's own output folder, with its Parquet files and statistics, is one.
        """
        if is_url(text):
            return False
        path = os.path.expanduser(text)
        if not os.path.isdir(path):
            return has_suffix(text, TAR_SUFFIXES)
        names = names_in(path)
        has_pictures = any(suffix_of(name) in IMAGE_SUFFIXES for name in names)
        return not has_pictures and any(has_suffix(name, TAR_SUFFIXES) for name in names)

    @property
    def name(self) -> str:
        """What the user named."""
        return self._name

    @property
    def prefix(self) -> str | None:
        """None: archives come and go one by one."""
        return None

    def count(self) -> int | None:
        """Return None: members are only known once read."""
        return None

    def items(self) -> Iterator[SourceItem]:
        """Yield the pictures shard by shard, in the order of their members."""
        shards = archives_named(self._name, TAR_SUFFIXES)
        first = next(shards, None)
        if first is None:
            raise SourceError(
                f"there is no tar archive in {self._name}",
                hint="name a .tar, a folder of them or a pattern such as {00000..00012}.tar",
            )
        yield from self._shard_items(first)
        for shard in shards:
            yield from self._shard_items(shard)

    def _shard_items(self, shard: str) -> Iterator[SourceItem]:
        shard_uri = uri_of_path(shard)
        try:
            fingerprint = file_fingerprint(os.stat(shard))
            opened = _open_shard(shard)
        except FileNotFoundError:
            yield error_item(shard_uri, reasons.VANISHED, "no such shard")
            return
        except OSError as error:
            yield error_item(shard_uri, reasons.UNREADABLE, error.strerror or str(error))
            return
        read = 0
        with opened as file:
            groups = self._groups(shard, _BoundedFile(file, self._max_bytes + _TEXT_BYTES))
            while True:
                try:
                    group = next(groups)
                except StopIteration:
                    return
                except _BROKEN as error:
                    detail = f"{type(error).__name__}: {error} (after {read} pictures)"
                    yield error_item(shard_uri, _reason_of(error), detail[:300])
                    return
                read += len(group.pictures)
                yield from _group_items(shard, fingerprint, group)

    def _groups(self, shard: str, file: _BoundedFile) -> Iterator[_Group]:
        """Gather neighbouring members by key; a group that grows too large comes in parts.

        What was gathered before a damaged member is yielded before its error is raised.
        """
        group, held = _Group(), 0
        with tarfile.open(
            fileobj=cast("IO[bytes]", file), mode="r:", encoding="utf-8", errors="surrogateescape"
        ) as tar:
            try:
                while (member := tar.next()) is not None:
                    cast("Any", tar).members.clear()  # tarfile would keep every header it has seen
                    key = _key_of(member.name)
                    is_full = len(group.pictures) >= _MOST_GROUPED or held > self._max_bytes
                    if key != group.key or is_full:
                        yield group
                        group, held = _Group(key), 0
                    if member.isreg():
                        held += self._gather(shard, tar, member, group)
                if file.last_read.strip(b"\0") or len(file.last_read) < _BLOCK:
                    raise tarfile.ReadError("truncated: no end-of-archive mark")
            except _BROKEN:
                yield group
                raise
        yield group

    def _gather(
        self, shard: str, tar: tarfile.TarFile, member: tarfile.TarInfo, group: _Group
    ) -> int:
        """Read a member that is wanted into its group; return how many bytes that holds."""
        name = os.path.basename(member.name)
        suffix = suffix_of(name)
        is_picture = suffix in IMAGE_SUFFIXES
        if name.startswith(".") or not (is_picture or suffix in {".txt", ".json"}):
            return 0
        if member.size > (self._max_bytes if is_picture else _TEXT_BYTES):
            if is_picture:
                detail = f"a member of {member.size:,} bytes; the bound is {self._max_bytes:,}"
                uri = archive_uri(shard, member.name)
                group.errors.append(error_item(uri, reasons.TOO_MANY_BYTES, detail))
            return 0
        opened = tar.extractfile(member)
        data = opened.read() if opened else b""
        if is_picture:
            group.pictures.append((member.name, data))
        elif suffix == ".txt":
            group.caption = clean_text(data.decode("utf-8-sig", "replace"))
        else:
            group.row = _row_or_nothing(data)
        return len(data)


class _BoundedFile:
    """A file that never reads more at once than a member may hold, whatever a header claims."""

    def __init__(self, file: IO[bytes], most_bytes: int) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self.last_read = b""
        """What the last call of `read` returned, to see how the archive ends."""

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self._most_bytes:
            raise tarfile.ReadError(f"a header asks for {size:,} bytes")
        self.last_read = self._file.read(size)
        return self.last_read

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _group_items(shard: str, fingerprint: str, group: _Group) -> Iterator[SourceItem]:
    for member, data in group.pictures:
        uri = archive_uri(shard, member)
        fallback = {"caption": group.caption}
        source = source_of_row(group.row, uri, fallback=fallback, fingerprint=fingerprint)
        yield SourceItem(source, "data", data=data)
    yield from group.errors


def _key_of(member: str) -> str:
    """Return a member's path up to the first dot of its name, as WebDataset groups by."""
    folder, name = os.path.split(member)
    return os.path.join(folder, name.partition(".")[0])


def _row_or_nothing(data: bytes) -> dict[str, object]:
    """A picture is not refused because its metadata cannot be read."""
    try:
        return row_of_json(data)
    except ImageError:
        return {}


def _open_shard(path: str) -> IO[bytes]:
    """Open a tar, through gzip when its first bytes say so."""
    with open(path, "rb") as file:
        is_gzipped = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path, "rb")) if is_gzipped else open(path, "rb")


def _reason_of(error: BaseException) -> str:
    text = str(error)
    if text == "empty file":
        return reasons.EMPTY
    is_cut = isinstance(error, EOFError) or "unexpected end" in text or "truncated" in text
    return reasons.TRUNCATED if is_cut else reasons.CORRUPT
