"""Pictures named by URL: one, or a text file of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from lookalike.domain import reasons
from lookalike.domain.errors import SourceError
from lookalike.domain.source_rows import clean_text, source_of_row
from lookalike.domain.sources import archive_uri, has_suffix, is_url
from lookalike.ports.source import SourceItem, error_item

LIST_SUFFIXES: Final = (".txt", ".urls", ".lst", ".list")
_LINE_BYTES: Final = 1 << 20


class UrlSource:
    """A single URL; it is fetched by whoever takes the item."""

    def __init__(self, url: str) -> None:
        self._url = url.strip()

    @classmethod
    def accepts(cls, text: str) -> bool:
        """Tell whether the text is an http or https URL."""
        return is_url(text.strip())

    @property
    def name(self) -> str:
        """The URL."""
        return self._url

    @property
    def prefix(self) -> str | None:
        """None: one URL covers nothing else."""
        return None

    def count(self) -> int | None:
        """Return 1."""
        return 1

    def items(self) -> Iterator[SourceItem]:
        """Yield the URL."""
        yield SourceItem(source_of_row({}, self._url), "url", url=self._url)


class UrlListSource:
    """A text file with a URL a line, and after a tab, if there is one, a caption.

    Empty lines and lines that begin with `#` are passed over. A line that is not an http or https
    URL is an error item with its number.

    Raises, from `items` and `count`:
        SourceError: the file cannot be read.
    """

    def __init__(self, file: str | Path) -> None:
        self._name = os.fspath(file)
        self._path = os.path.abspath(os.path.expanduser(self._name))

    @classmethod
    def accepts(cls, text: str) -> bool:
        """Tell whether the text names a file ending in .txt, .urls, .lst or .list."""
        is_list = not is_url(text) and has_suffix(text, LIST_SUFFIXES)
        return is_list and not os.path.isdir(os.path.expanduser(text))

    @property
    def name(self) -> str:
        """What the user named."""
        return self._name

    @property
    def prefix(self) -> str | None:
        """None: the list covers no site whole."""
        return None

    def count(self) -> int | None:
        """Count the lines that are neither empty nor comments."""
        return sum(1 for _ in self._lines())

    def items(self) -> Iterator[SourceItem]:
        """Yield the URLs in the file's order."""
        for number, line in self._lines():
            url, _, caption = line.partition("\t")
            url = url.strip()
            if not is_url(url) or any(character.isspace() for character in url):
                uri = archive_uri(self._path, f"line-{number}")
                detail = f"line {number}: not an http or https URL: {url[:80]!r}"
                yield error_item(uri, reasons.BAD_RECORD, detail)
                continue
            source = source_of_row({}, url, fallback={"caption": clean_text(caption)})
            yield SourceItem(source, "url", url=url)

    def _lines(self) -> Iterator[tuple[int, str]]:
        with self._open() as file:
            number = 0
            while raw := file.readline(_LINE_BYTES):
                number += 1
                line = raw.decode("utf-8", "replace").removeprefix("\ufeff").strip()
                if line and not line.startswith("#"):
                    yield number, line

    def _open(self) -> IO[bytes]:
        try:
            return open(self._path, "rb")
        except OSError as error:
            raise SourceError(
                f"cannot read the list of URLs {self._name}: {error.strerror}",
                hint="check the name, and that the file may be read",
            ) from error
