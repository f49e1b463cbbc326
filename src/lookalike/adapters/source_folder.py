"""Pictures of a folder, of a glob and of named files.

A folder's uris are `os.path.abspath` of what the user named joined with the names below it, not
resolved through links: the user finds them again, and a link that is turned to another disk keeps
its uris. Real folders are listed before linked ones, so a picture reached both ways has its real
path first, and each folder (device and inode) is listed once, so nothing loops.
"""

from __future__ import annotations

import errno
import os
import stat as stat_bits
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from lookalike.domain import reasons
from lookalike.domain.errors import ImageError, SourceError
from lookalike.domain.images import Source
from lookalike.domain.source_rows import clean_text, row_of_json, source_of_row
from lookalike.domain.sources import (
    IMAGE_SUFFIXES,
    GlobPattern,
    expand_braces,
    file_fingerprint,
    is_glob,
    is_url,
    suffix_of,
    uri_of_path,
)
from lookalike.imaging.formats import sniff
from lookalike.ports.source import SourceItem, error_item

SKIPPED_FOLDERS: Final = frozenset(
    ("@eaDir", "__MACOSX", "$RECYCLE.BIN", "#recycle", "System Volume Information", "lost+found")
)
_INDEX_FILES: Final = frozenset(("index.toml", "catalog.sqlite"))
_SIDECAR_BYTES: Final = 1 << 20
_SNIFFED_BYTES: Final = 64
_COUNT_BUDGET_S: Final = 2.0

_Inode: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Listing:
    """One folder's files in name order, and every name it holds; `parts` are below the root."""

    parts: tuple[str, ...]
    files: tuple[os.DirEntry[str], ...]
    names: frozenset[str]


class _Walk:
    """Lists a tree folder by folder, depth first and in name order, linked folders last."""

    def __init__(
        self, root: str, *, skip: Collection[Path], may_enter: Callable[[Sequence[str]], bool]
    ) -> None:
        self._root = root
        self._may_enter = may_enter
        self._seen = _inodes(str(path) for path in skip) | _inodes(_ancestors(root))
        self._linked: deque[tuple[str, ...]] = deque()
        self.skipped: Counter[str] = Counter()

    def listings(self) -> Iterator[_Listing | SourceItem]:
        """Yield each folder's listing, or an error item whose uri ends in a slash."""
        stack: list[tuple[str, ...]] = [()]
        while stack or self._linked:
            parts = stack.pop() if stack else self._linked.popleft()
            path = os.path.join(self._root, *parts)
            try:
                if (inode := _inode(os.stat(path))) in self._seen:
                    self.skipped["already-listed"] += 1
                    continue
                self._seen.add(inode)
                with os.scandir(path) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError as error:
                if not parts:
                    raise _unreadable_root(path, error) from error
                yield error_item(f"{uri_of_path(path)}/", reasons.UNREADABLE, _why(error))
                continue
            names = frozenset(entry.name for entry in entries)
            if names >= _INDEX_FILES:
                self.skipped["index-folder"] += 1
                continue
            below, files = self._sort_out(parts, entries)
            yield _Listing(parts, files, names)
            stack.extend(reversed(below))

    def _sort_out(
        self, parts: tuple[str, ...], entries: Sequence[os.DirEntry[str]]
    ) -> tuple[list[tuple[str, ...]], tuple[os.DirEntry[str], ...]]:
        """Return the real folders below and the files; remember the linked folders."""
        below: list[tuple[str, ...]] = []
        files: list[os.DirEntry[str]] = []
        for entry in entries:
            if entry.name.startswith("."):
                self.skipped["hidden"] += 1
            elif not _is_folder(entry):
                files.append(entry)
            elif entry.name in SKIPPED_FOLDERS:
                self.skipped["system-folder"] += 1
            elif self._may_enter(path := (*parts, entry.name)):
                (self._linked if entry.is_symlink() else below).append(path)
        return below, tuple(files)


class FolderSource:
    """Every picture under a folder.

    Listed are names with a picture's suffix, and files without any suffix whose first bytes are
    a picture's; the rest is counted in `skipped`. Hidden files and folders, folders of systems,
    any Lookalike index and the folders in `skip` are passed over. A caption beside a picture
    (`photo.txt`) and its metadata (`photo.json`) are read; other text files are not.

    Raises, from `items`:
        SourceError: the folder itself cannot be listed.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        skip: Collection[Path] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = os.fspath(folder)
        self._root = os.path.abspath(os.path.expanduser(self._name))
        self._skip = tuple(skip)
        self._clock = clock
        self.skipped: Counter[str] = Counter()
        """What the last listing passed over, counted by cause."""

    @classmethod
    def accepts(cls, text: str) -> bool:
        """Tell whether the text names a folder."""
        return not is_url(text) and os.path.isdir(os.path.expanduser(text))

    @property
    def name(self) -> str:
        """What the user named."""
        return self._name

    @property
    def prefix(self) -> str | None:
        """The folder's uri with a slash behind it."""
        return uri_of_path(self._root).rstrip("/") + "/"

    def count(self) -> int | None:
        """Count the names with a picture's suffix, or return None when two seconds do not do."""
        until = self._clock() + _COUNT_BUDGET_S
        total = 0
        for listing in self._walk().listings():
            if isinstance(listing, _Listing):
                total += sum(suffix_of(e.name) in IMAGE_SUFFIXES for e in listing.files)
            if self._clock() > until:
                return None
        return total

    def items(self) -> Iterator[SourceItem]:
        """Yield every picture; an unreadable folder is one error item, its uri ending in `/`."""
        walk = self._walk()
        self.skipped = walk.skipped
        for listing in walk.listings():
            if isinstance(listing, SourceItem):
                yield listing
            else:
                folder = os.path.join(self._root, *listing.parts)
                yield from _listed_items(folder, listing.files, listing.names, self.skipped)

    def _walk(self) -> _Walk:
        return _Walk(self._root, skip=self._skip, may_enter=lambda _: True)


class GlobSource:
    """The pictures that a pattern such as `~/pics/**/*.{jpg,png}` means, quoted from the shell.

    `*`, `?` and `[…]` match within one name, `**` any number of folders, `{a,b}` and `{01..12}`
    are expanded first. Hidden names need a pattern that begins with a dot.
    """

    def __init__(self, pattern: str, *, skip: Collection[Path] = ()) -> None:
        self._name = pattern
        self._skip = tuple(skip)
        self.skipped: Counter[str] = Counter()

    @classmethod
    def accepts(cls, text: str) -> bool:
        """Tell whether the text holds a wildcard or braces and is not itself a file's name."""
        return not is_url(text) and is_glob(text) and not os.path.lexists(os.path.expanduser(text))

    @property
    def name(self) -> str:
        """The pattern."""
        return self._name

    @property
    def prefix(self) -> str | None:
        """None: a pattern covers no folder whole."""
        return None

    def count(self) -> int | None:
        """Return None."""
        return None

    def items(self) -> Iterator[SourceItem]:
        """Yield every picture that the pattern means, those of each brace alternative in turn."""
        self.skipped = Counter()
        for text in expand_braces(self._name):
            pattern = GlobPattern.parse(text)
            if not any(is_glob(segment) for segment in pattern.segments):
                yield _named_item(os.path.join(pattern.root, *pattern.segments))
                continue
            yield from self._matches(pattern)

    def _matches(self, pattern: GlobPattern) -> Iterator[SourceItem]:
        root = os.path.abspath(pattern.root)
        walk = _Walk(root, skip=self._skip, may_enter=pattern.may_hold)
        for listing in walk.listings():
            if isinstance(listing, SourceItem):
                yield listing
                continue
            meant = [e for e in listing.files if pattern.matches((*listing.parts, e.name))]
            folder = os.path.join(root, *listing.parts)
            yield from _listed_items(folder, meant, listing.names, self.skipped)
        self.skipped.update(walk.skipped)


class FilesSource:
    """Pictures that are named one by one, whatever their suffix."""

    def __init__(self, paths: Sequence[str | Path], *, name: str = "") -> None:
        self._paths = tuple(paths)
        self._name = name or (os.fspath(paths[0]) if paths else "no files")

    @classmethod
    def accepts(cls, text: str) -> bool:
        """Tell whether the text names a file."""
        return not is_url(text) and os.path.isfile(os.path.expanduser(text))

    @property
    def name(self) -> str:
        """What the user named, or the first file."""
        return self._name

    @property
    def prefix(self) -> str | None:
        """None: files cover no folder."""
        return None

    def count(self) -> int | None:
        """Return how many files are named."""
        return len(self._paths)

    def items(self) -> Iterator[SourceItem]:
        """Yield the files in the order they are named."""
        for path in self._paths:
            yield _named_item(os.fspath(path))


def _listed_items(
    folder: str,
    entries: Sequence[os.DirEntry[str]],
    names: frozenset[str],
    skipped: Counter[str],
) -> Iterator[SourceItem]:
    uri_folder = uri_of_path(folder).rstrip("/")
    for entry in entries:
        suffix = suffix_of(entry.name)
        if suffix not in IMAGE_SUFFIXES and (suffix or not _is_bare_picture(entry)):
            skipped["not-a-picture"] += 1
            continue
        uri = f"{uri_folder}/{uri_of_path(entry.name)}"
        try:
            stat = entry.stat()
        except OSError as error:
            yield error_item(uri, *_stat_failure(error))
            continue
        yield _file_item(entry.path, uri, stat, _sidecars(entry.path, names, skipped))


def _named_item(text: str) -> SourceItem:
    path = os.path.abspath(os.path.expanduser(text))
    uri = uri_of_path(path)
    try:
        stat = os.stat(path)
    except OSError as error:
        return error_item(uri, *_stat_failure(error))
    stem = os.path.splitext(os.path.basename(path))[0]
    folder = os.path.dirname(path)
    beside = (f"{stem}{suffix}" for suffix in (".txt", ".json"))
    names = frozenset(name for name in beside if os.path.exists(os.path.join(folder, name)))
    return _file_item(path, uri, stat, _sidecars(path, names, Counter()))


def _file_item(
    path: str, uri: str, stat: os.stat_result, said: tuple[Mapping[str, object], str] | None
) -> SourceItem:
    if not stat_bits.S_ISREG(stat.st_mode):
        return error_item(uri, reasons.NOT_AN_IMAGE, "not a regular file")
    fingerprint = file_fingerprint(stat)
    if said is None:
        return SourceItem(Source(uri=uri, fingerprint=fingerprint), "path", path=Path(path))
    row, caption = said
    source = source_of_row(row, uri, fallback={"caption": caption}, fingerprint=fingerprint)
    return SourceItem(source, "path", path=Path(path))


def _sidecars(
    path: str, names: frozenset[str], skipped: Counter[str]
) -> tuple[Mapping[str, object], str] | None:
    """Read `photo.json` and `photo.txt` beside a picture (img2dataset's `files` layout)."""
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0]
    row: Mapping[str, object] = {}
    caption = ""
    if f"{stem}.txt" in names:
        raw = _read_sidecar(os.path.join(folder, f"{stem}.txt"), skipped)
        caption = clean_text(raw.decode("utf-8-sig", "replace"))
    if f"{stem}.json" in names:
        raw = _read_sidecar(os.path.join(folder, f"{stem}.json"), skipped)
        try:
            row = row_of_json(raw or b"{}")
        except ImageError:
            skipped["bad-sidecar"] += 1
    return (row, caption) if row or caption else None


def _read_sidecar(path: str, skipped: Counter[str]) -> bytes:
    """Return a sidecar's bytes, empty when it is no regular file, too long or unreadable."""
    try:
        stat = os.stat(path)
        if not stat_bits.S_ISREG(stat.st_mode) or stat.st_size > _SIDECAR_BYTES:
            skipped["bad-sidecar"] += 1
            return b""
        with open(path, "rb") as file:
            return file.read(_SIDECAR_BYTES)
    except OSError:
        skipped["bad-sidecar"] += 1
        return b""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself is reported as a file
        return False


def _is_bare_picture(entry: os.DirEntry[str]) -> bool:
    """Tell by its first bytes whether a file without a suffix is a picture."""
    try:
        if not entry.is_file():
            return False
        with open(entry.path, "rb") as file:
            sniff(file.read(_SNIFFED_BYTES))
    except (OSError, ImageError):
        return False
    return True


def _stat_failure(error: OSError) -> tuple[str, str]:
    reason = reasons.VANISHED if error.errno == errno.ENOENT else reasons.UNREADABLE
    return reason, _why(error)


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _unreadable_root(path: str, error: OSError) -> SourceError:
    return SourceError(
        f"cannot list the folder {uri_of_path(path)}: {_why(error)}",
        hint="check that it exists, is mounted and may be read",
    )


def _inode(stat: os.stat_result) -> _Inode:
    return stat.st_dev, stat.st_ino


def _inodes(paths: Iterator[str]) -> set[_Inode]:
    return {_inode(os.stat(path)) for path in paths if os.path.exists(path)}


def _ancestors(root: str) -> Iterator[str]:
    """Yield the real folders above the root: a link to one of them would list the root again."""
    path = os.path.realpath(root)
    while (above := os.path.dirname(path)) != path:
        path = above
        yield path
