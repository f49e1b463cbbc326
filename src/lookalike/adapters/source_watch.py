"""Watch folders and tell, in quiet moments, which pictures are new, changed or gone."""

from __future__ import annotations

import os
import stat as stat_bits
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from watchfiles import Change, watch

from lookalike.domain.errors import SourceError
from lookalike.domain.sources import IMAGE_SUFFIXES, suffix_of, uri_of_path

SETTLE_S: Final = 1.0
_SIDECAR_SUFFIXES: Final = frozenset((".txt", ".json"))
_POLL_MS: Final = 200


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """What happened to pictures since the last batch.

    `changed` holds files that are new or differ and are written to their end; `deleted` holds
    uris that are gone. `is_rescan_due` says that whole folders came, went or were renamed, so the
    watched folders should be listed again (which is cheap).
    """

    changed: tuple[Path, ...] = ()
    deleted: tuple[str, ...] = ()
    is_rescan_due: bool = False


@dataclass(slots=True)
class _Pending:
    """Files that have changed, until their size and mtime stay the same for `settle_s`."""

    roots: Sequence[str]
    settle_s: float
    clock: Callable[[], float]
    changed: dict[str, tuple[tuple[int, int], float]] = field(
        default_factory=dict[str, tuple[tuple[int, int], float]]
    )
    deleted: set[str] = field(default_factory=set[str])
    is_rescan_due: bool = False

    def note(self, change: Change, path: str) -> None:
        """Take in one event; events of folders and of other files than pictures are sorted out."""
        if self._is_hidden(path):
            return
        suffix = suffix_of(os.path.basename(path))
        if change is Change.deleted:
            self._note_deleted(path, suffix)
        elif os.path.isdir(path):
            self.is_rescan_due = self.is_rescan_due or change is Change.added
        elif suffix in IMAGE_SUFFIXES:
            self.deleted.discard(path)
            self.changed[path] = (_state(path), self.clock())
        elif suffix in _SIDECAR_SUFFIXES:
            self._note_pictures_of(path)

    def take(self) -> WatchBatch:
        """Return what has settled, and keep the rest."""
        now = self.clock()
        settled: list[str] = []
        for path, (state, since) in list(self.changed.items()):
            current = _state(path)
            if current != state:
                self.changed[path] = (current, now)
            elif now - since >= self.settle_s:
                del self.changed[path]
                if current != _GONE:
                    settled.append(path)
        deleted = sorted(path for path in self.deleted if not os.path.lexists(path))
        batch = WatchBatch(
            changed=tuple(Path(path) for path in sorted(settled)),
            deleted=tuple(uri_of_path(path) for path in deleted),
            is_rescan_due=self.is_rescan_due,
        )
        self.deleted.clear()
        self.is_rescan_due = False
        return batch

    def _is_hidden(self, path: str) -> bool:
        """Tell whether a name below the watched folder begins with a dot."""
        below = min((path.removeprefix(root) for root in self.roots), key=len)
        return "/." in below.replace(os.sep, "/")

    def _note_deleted(self, path: str, suffix: str) -> None:
        self.changed.pop(path, None)
        if suffix in IMAGE_SUFFIXES:
            self.deleted.add(path)
        elif suffix in _SIDECAR_SUFFIXES:
            self._note_pictures_of(path)
        else:
            self.is_rescan_due = True  # perhaps a folder: its pictures make no events of their own

    def _note_pictures_of(self, sidecar: str) -> None:
        stem = os.path.splitext(sidecar)[0]
        for suffix in (".jpg", ".jpeg", ".png", ".webp"):
            if os.path.exists(path := stem + suffix):
                self.changed[path] = (_state(path), self.clock())


_GONE: Final = (-1, -1)


def watch_folder(
    paths: Sequence[str | Path],
    stop: threading.Event,
    *,
    skip: Collection[Path] = (),
    settle_s: float = SETTLE_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[WatchBatch]:
    """Yield batches of changes below the folders until `stop` is set.

    The first batch only says that a rescan is due: from then on events are kept, so whoever lists
    the folders upon it misses nothing. A file counts as written when its size and mtime have not
    changed for `settle_s` seconds, so a picture that is still being copied is not taken half-way.

    Raises:
        SourceError: a folder is not there, or the system can watch no more folders.
    """
    roots = [os.path.abspath(os.path.expanduser(os.fspath(path))) for path in paths]
    skipped = tuple(os.path.abspath(path) + os.sep for path in skip)
    # Events are only kept once the first call below has begun to watch.
    pending = _Pending(roots, settle_s, clock, is_rescan_due=True)
    for root in roots:
        if not os.path.isdir(root):
            raise SourceError(f"cannot watch {root}: it is not a folder")
    try:
        for changes in watch(
            *roots,
            watch_filter=None,
            step=50,
            rust_timeout=_POLL_MS,
            yield_on_timeout=True,
            stop_event=stop,
            raise_interrupt=True,
            ignore_permission_denied=True,
        ):
            for change, path in sorted(changes):
                if not path.startswith(skipped):
                    pending.note(change, path)
            batch = pending.take()
            if batch != WatchBatch():
                yield batch
    except OSError as error:
        raise SourceError(
            f"watching stopped: {error}",
            hint="raise fs.inotify.max_user_watches, or index without --watch",
        ) from error


def _state(path: str) -> tuple[int, int]:
    """Return a regular file's size and mtime in ns, or `_GONE`."""
    try:
        stat = os.stat(path)
    except OSError:
        return _GONE
    return (stat.st_size, stat.st_mtime_ns) if stat_bits.S_ISREG(stat.st_mode) else _GONE
