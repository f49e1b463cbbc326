"""Saved web pages: `page.html` with its pictures beside it in `page_files/`."""

from __future__ import annotations

import os
import stat as stat_bits
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from lookalike.adapters.source_folder import FolderSource
from lookalike.adapters.source_pages_html import MOST_PAGE_BYTES, read_page
from lookalike.domain import reasons
from lookalike.domain.errors import SourceError
from lookalike.domain.images import merged_source
from lookalike.domain.pages import ImageMention, Page, Sighting, sources_of_sightings
from lookalike.domain.source_rows import stamp_texts
from lookalike.domain.sources import file_fingerprint, has_suffix, is_url, uri_of_path
from lookalike.ports.source import SourceItem, error_item

PAGE_SUFFIXES: Final = (".html", ".htm", ".xhtml")

_COMPANIONS: Final = ("_files", ".files", "-files", "_fichiers", "-Dateien", "_archivos")
"""What browsers put behind a page's name to name the folder of its pictures."""

_PAGES_KEPT: Final = 8


class SavedPageSource:
    """The pictures of one saved page, with what the page says of them.

    A picture that was saved with the page is read from disk, but only from within the page's
    own folder; of the others the best file is a URL, which whoever takes the item fetches. A
    page that asks robots not to index it, or its pictures, gives one `opted-out` error item.

    Raises, from `items`:
        SourceError: the page cannot be read.
    """

    def __init__(self, file: str | Path, *, is_opt_out_honoured: bool = True) -> None:
        self._name = os.fspath(file)
        self._path = os.path.abspath(os.path.expanduser(self._name))
        self._is_honouring = is_opt_out_honoured
        self.skipped: Counter[str] = Counter()
        """What the page shows that is no picture of content, counted by cause."""

    @classmethod
    def accepts(cls, text: str) -> bool:
        """Tell whether the text names a file that ends in .html, .htm or .xhtml."""
        is_page = not is_url(text) and has_suffix(text, PAGE_SUFFIXES)
        return is_page and os.path.isfile(os.path.expanduser(text))

    @property
    def name(self) -> str:
        """What the user named."""
        return self._name

    @property
    def prefix(self) -> str | None:
        """None: a page covers no folder."""
        return None

    def count(self) -> int | None:
        """Return None: pictures are only known once the page is read."""
        return None

    def items(self) -> Iterator[SourceItem]:
        """Yield the page's pictures in its order, each file or URL once."""
        try:
            page = read_saved_page(self._path)
        except OSError as error:
            raise SourceError(
                f"cannot read the page {self._name}: {error.strerror}",
                hint="check the name, and that the file may be read",
            ) from error
        self.skipped = Counter(page.skipped)
        if self._is_honouring and not page.rules.may_take_images:
            detail = "the page asks robots not to index its pictures"
            yield error_item(uri_of_path(self._path), reasons.OPTED_OUT, detail)
            return
        seen = set[str]()
        for mention in page.mentions:
            item = self._item(page, mention)
            if item.source.uri not in seen:
                seen.add(item.source.uri)
                yield item

    def _item(self, page: Page, mention: ImageMention) -> SourceItem:
        folder = os.path.dirname(self._path)
        sightings = (Sighting(page.origin, page.title, mention),)
        problem = (reasons.VANISHED, "the page's folder does not hold it")
        first = ""
        for path in filter(None, map(path_of_address, mention.addresses)):
            first = first or path
            try:
                stat = os.stat(path)
            except (OSError, ValueError):
                continue
            if not _is_inside(path, folder):
                problem = (reasons.BLOCKED_ADDRESS, "a file outside the page's folder")
            elif stat_bits.S_ISREG(stat.st_mode):
                source = sources_of_sightings(
                    "", sightings, uri=uri_of_path(path), fingerprint=file_fingerprint(stat)
                )[0]
                return SourceItem(source, "path", path=Path(path))
        for address in mention.addresses:
            if url := _remote(address, folder, page.origin):
                return SourceItem(sources_of_sightings(url, sightings)[0], "url", url=url)
        return error_item(uri_of_path(first or self._path), *problem)


class PagedFolderSource:
    """A folder in which pictures that were saved with a page carry the page's words.

    Such a picture lies in `page_files/` beside `page.html`. It is the user's own file, so it is
    indexed whatever the page asks of robots; but a page that does not want its pictures indexed
    lends them no words.
    """

    def __init__(self, folder: FolderSource, *, is_opt_out_honoured: bool = True) -> None:
        self._folder = folder
        self._is_honouring = is_opt_out_honoured
        self._pages: OrderedDict[str, Mapping[str, Sighting]] = OrderedDict()

    @property
    def name(self) -> str:
        """What the user named."""
        return self._folder.name

    @property
    def prefix(self) -> str | None:
        """The folder's uri with a slash behind it."""
        return self._folder.prefix

    @property
    def skipped(self) -> Counter[str]:
        """What the last listing passed over, counted by cause."""
        return self._folder.skipped

    def count(self) -> int | None:
        """Count the pictures, or return None when that takes too long."""
        return self._folder.count()

    def items(self) -> Iterator[SourceItem]:
        """Yield every picture of the folder."""
        self._pages.clear()
        for item in self._folder.items():
            yield self._with_words(item)

    def _with_words(self, item: SourceItem) -> SourceItem:
        path = os.fspath(item.path) if item.path is not None else ""
        page = _page_beside(path)
        if not page:
            return item
        if page not in self._pages:
            self._pages[page] = self._sightings(page)
            if len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        sighting = self._pages[page].get(path)
        if sighting is None:
            return item
        said = sources_of_sightings("", (sighting,), uri=item.source.uri)[0]
        source = merged_source(replace(said, fingerprint=""), item.source)
        return replace(item, source=stamp_texts(replace(source, site=source.site or said.site)))

    def _sightings(self, path: str) -> Mapping[str, Sighting]:
        """Return what a page says, by the path of each file it shows; nothing if unreadable."""
        try:
            page = read_saved_page(path)
        except OSError:
            return {}
        if self._is_honouring and not page.rules.may_take_images:
            return {}
        said: dict[str, Sighting] = {}
        for mention in page.mentions:
            for file in filter(None, map(path_of_address, mention.addresses)):
                said.setdefault(file, Sighting(page.origin, page.title, mention))
        return said


def read_saved_page(path: str) -> Page:
    """Read a page from disk; its relative addresses become `file:` ones.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        body = file.read(MOST_PAGE_BYTES)
    return read_page(body, Path(path).as_uri())


def path_of_address(address: str) -> str:
    """Return the path of a `file:` address of this machine, or an empty string."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"}:
        return ""
    path = unquote(parts.path, errors="surrogateescape")
    return "" if "\0" in path else os.path.normpath(path)


def _is_inside(path: str, folder: str) -> bool:
    root = os.path.realpath(folder)
    return os.path.realpath(path).startswith(root.rstrip(os.sep) + os.sep)


def _remote(address: str, folder: str, origin: str) -> str:
    """Return the URL of an address; a relative one is taken from where the page was saved."""
    if is_url(address):
        return address
    path = path_of_address(address)
    if not (origin and path.startswith(folder.rstrip(os.sep) + os.sep)):
        return ""
    below = os.path.relpath(path, folder)
    is_companion = any(part.endswith(_COMPANIONS) for part in below.split(os.sep)[:-1])
    return "" if is_companion else urljoin(origin, below)


def _page_beside(path: str) -> str:
    """Return the saved page whose companion folder holds a picture, or an empty string."""
    folder = os.path.dirname(path)
    for _ in range(3):  # browsers put everything at one level; a site's copy may nest
        for companion in _COMPANIONS:
            if folder.endswith(companion):
                for suffix in PAGE_SUFFIXES:
                    page = folder[: -len(companion)] + suffix
                    if os.path.isfile(page):
                        return page
        folder = os.path.dirname(folder)
    return ""
