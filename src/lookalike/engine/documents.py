"""From a record to the words under which it is found."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from lookalike.domain.answers import is_url, printable
from lookalike.domain.objects import words_for
from lookalike.ports.text import TextDocument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lookalike.domain.images import ImageRecord

PATH_PARTS: Final = 3
"""File name and the folders above it whose names are searched."""

MOST_TEXT: Final = 100_000
"""Characters of one field that are indexed."""


def document_of(record: ImageRecord) -> TextDocument:
    """Return the text document of a record: every source's words, each kind in its field."""
    sources = record.sources
    return TextDocument(
        row=record.row,
        alt_text=_joined(source.alt_text for source in sources),
        caption=_joined([*(source.caption for source in sources), record.facts.embedded_text]),
        title=_joined([*(source.title for source in sources), record.facts.embedded_title]),
        page_text=_joined(source.page_text for source in sources),
        ocr_text=printable(record.ocr_text)[:MOST_TEXT],
        labels=_labels(record),
        colors=" ".join(record.facts.color_tags),
        keywords=_joined(record.facts.keywords),
        creator=_joined([record.facts.creator]),
        path=_joined(path_words(source.uri) for source in sources),
    )


def _labels(record: ImageRecord) -> str:
    """Return every word for the objects once: how many there are is for filters to ask."""
    labels = dict.fromkeys(found.label for found in record.objects)
    words = dict.fromkeys(word for label in labels for word in words_for(label))
    return printable(" ".join(words))[:MOST_TEXT]


def path_words(uri: str) -> str:
    """Return the part of a uri whose words say something of the picture."""
    path = unquote(urlsplit(uri).path) if is_url(uri) else uri
    return "/".join(PurePosixPath(path.replace("\\", "/")).parts[-PATH_PARTS:]).lstrip("/")


def _joined(texts: Iterable[str]) -> str:
    distinct = dict.fromkeys(text for text in texts if text)
    return printable("\n".join(distinct))[:MOST_TEXT]
