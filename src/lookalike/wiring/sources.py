"""Which source a word on the command line means, and watching folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from lookalike.adapters.source_embeddings import EmbeddingsSource
from lookalike.adapters.source_folder import FilesSource, FolderSource, GlobSource
from lookalike.adapters.source_pages import PagedFolderSource, SavedPageSource
from lookalike.adapters.source_shards import ShardSource
from lookalike.adapters.source_table import TableSource
from lookalike.adapters.source_urls import UrlListSource, UrlSource
from lookalike.adapters.source_warc import WarcSource
from lookalike.adapters.source_watch import watch_folder
from lookalike.domain import reasons
from lookalike.domain.errors import SourceError, UsageError
from lookalike.ports.source import error_item
from lookalike.settings import load_settings

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from lookalike.ports.source import PictureSource, SourceItem
    from lookalike.settings import Settings


class _Kind(Protocol):
    def __call__(self, text: str, /) -> PictureSource: ...

    def accepts(self, text: str) -> bool: ...


_KINDS: Final[tuple[_Kind, ...]] = (
    UrlSource,
    TableSource,
    ShardSource,
    EmbeddingsSource,
)
"""Tried in this order, before folders, lists, files and patterns (docs/sources.md)."""


def open_sources(
    names: Sequence[str],
    index: str | os.PathLike[str],
    settings: Settings | None = None,
) -> list[PictureSource]:
    """Return the source that each name means; the index's own folder is left out of every listing.

    WARC files that are named one after the other are one source, so that the pictures of one
    get the words of pages in another.

    Raises:
        SourceError: a name means nothing that is there.
        UsageError: the index itself was named.
    """
    skip = (Path(index).expanduser().absolute(),)
    is_honouring = (settings or load_settings()).is_opt_out_honoured
    opened: list[PictureSource] = []
    archives: list[str] = []
    for name in (*names, None):
        if name is not None and WarcSource.accepts(name):
            archives.append(name)
            continue
        if archives:
            opened.append(WarcSource(*archives, is_opt_out_honoured=is_honouring))
            archives = []
        if name is not None:
            opened.append(_open(name, skip, is_honouring=is_honouring))
    return opened


def ready_dim(sources: Sequence[PictureSource]) -> int | None:
    """Return the width of the ready vectors that the sources bring, or None for plain pictures."""
    widths = {source.dim for source in sources if isinstance(source, EmbeddingsSource)}
    is_mixed = any(not isinstance(source, EmbeddingsSource) for source in sources)
    if not widths:
        return None
    if len(widths) > 1 or is_mixed:
        raise UsageError(
            "ready vectors of one width go into an index alone",
            hint="index pictures and vectors, or vectors of two encoders, in separate runs",
        )
    return widths.pop()


def watch_sources(
    names: Sequence[str], index: str | os.PathLike[str], stop: threading.Event
) -> Iterator[list[PictureSource]]:
    """Yield what to index each time that something in the named folders changes."""
    folders = list(names)
    require_folders(folders)
    skip = (Path(index).expanduser().absolute(),)
    is_honouring = load_settings().is_opt_out_honoured
    for batch in watch_folder(folders, stop, skip=skip):
        if batch.is_rescan_due:
            yield [_folder(folder, skip, is_honouring=is_honouring) for folder in folders]
            continue
        sources: list[PictureSource] = []
        if batch.changed:
            sources.append(FilesSource(batch.changed, name="changed files"))
        if batch.deleted:
            sources.append(_Gone(batch.deleted))
        if sources:
            yield sources


def require_folders(names: Sequence[str]) -> None:
    """Raise `UsageError` unless every name is a folder, which alone can be watched."""
    for name in names:
        if not FolderSource.accepts(name):
            hint = "only folders can be watched: leave --watch out for other sources"
            raise UsageError(f"{name} is no folder", hint=hint)


class _Gone:
    """Uris whose files were deleted while they were watched."""

    def __init__(self, uris: Sequence[str]) -> None:
        self._uris = uris

    @property
    def name(self) -> str:
        """A fixed name."""
        return "deleted files"

    @property
    def prefix(self) -> str | None:
        """No uri is covered whole."""
        return None

    def count(self) -> int | None:
        """How many there are."""
        return len(self._uris)

    def items(self) -> Iterator[SourceItem]:
        """Yield each as vanished."""
        for uri in self._uris:
            yield error_item(uri, reasons.VANISHED, "deleted")


def _folder(name: str, skip: tuple[Path, ...], *, is_honouring: bool) -> PictureSource:
    return PagedFolderSource(FolderSource(name, skip=skip), is_opt_out_honoured=is_honouring)


def _open(name: str, skip: tuple[Path, ...], *, is_honouring: bool) -> PictureSource:
    if Path(name).expanduser().absolute() in skip:
        raise UsageError(f"{name} is the index itself", hint="name the pictures' folder")
    for kind in _KINDS:
        if kind.accepts(name):
            return kind(name)
    if FolderSource.accepts(name):
        return _folder(name, skip, is_honouring=is_honouring)
    if SavedPageSource.accepts(name):
        return SavedPageSource(name, is_opt_out_honoured=is_honouring)
    if UrlListSource.accepts(name):
        return UrlListSource(name)
    if FilesSource.accepts(name):
        return FilesSource([name], name=name)
    if GlobSource.accepts(name):
        return GlobSource(name, skip=skip)
    raise SourceError(
        f"there is no {name}",
        hint="name a folder, a file, a quoted pattern, a table, an archive, a page or a URL",
    )
