"""Read a web page into the pictures it shows and what it says of them, on lxml.

The page is taken in as a stream of events (`_PageEvents`), so that no tree is built and the time
is linear in its bytes: an element nested 100,000 deep or with 100,000 attributes costs no more
than others (docs/adr/0022-page-context.md has the figures).
"""

from __future__ import annotations

import codecs
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from lookalike.adapters.source_pages_events import PageEvents
from lookalike.domain.pages import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_PAGE_BYTES: Final = 8 << 20
"""Bytes of a page that are read; what follows is left."""

_REFERENCE: Final = re.compile(
    r"\saria-(?:describedby|labelledby)\s*=\s*[\"']?([^\"'<>]{1,400})", re.I
)
_MOST_IDS: Final = 10_000
_CHUNK: Final = 1 << 16
_PRESCAN: Final = 4096
_META_CHARSET: Final = re.compile(
    rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([a-zA-Z0-9_:.-]+)", re.I
)
_XML_CHARSET: Final = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([a-zA-Z0-9_:.-]+)")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LATIN: Final = frozenset(("iso8859-1", "ascii", "latin-1", "iso-8859-1", "us-ascii"))
_UNMARKED: Final = frozenset(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7"))


def read_page(body: bytes, url: str, *, charset: str = "", headers: Sequence[str] = ()) -> Page:
    """Return what a page says; nothing that its bytes hold raises.

    Args:
        body: the page; at most `MOST_PAGE_BYTES` of it are read.
        url: its address, against which others are resolved (after `<base>`).
        charset: what its Content-Type states; a byte order mark wins, `<meta>` comes after it.
        headers: its `X-Robots-Tag` headers.
    """
    import lxml.etree as lxml_etree

    etree = cast("Any", lxml_etree)
    text = decode_page(body[:MOST_PAGE_BYTES], charset).replace("\0", "\N{REPLACEMENT CHARACTER}")
    raw = text.encode("utf-8", "replace")
    ids = (name for match in _REFERENCE.finditer(text) for name in match[1].split()[:4])
    events = PageEvents(url, headers, frozenset(islice(ids, _MOST_IDS)))
    parser = etree.HTMLParser(target=events, encoding="utf-8", huge_tree=True)
    try:
        for at in range(0, len(raw), _CHUNK):
            parser.feed(raw[at : at + _CHUNK])
        parser.close()
    except etree.LxmlError:  # what was read up to here stands
        pass
    return events.page()


def decode_page(body: bytes, charset: str = "") -> str:
    """Return the text of a page: by its mark, the header's charset, its `<meta>`, or by looking.

    A charset that is not known, or that the page contradicts by not being UTF-16, is passed over.
    Without any the page is UTF-8 where that fits, else Windows-1252.
    """
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    head = body[:_PRESCAN]
    stated = _META_CHARSET.search(head) or _XML_CHARSET.search(head)
    inside = stated[1].decode("ascii") if stated else ""
    for name in (_known_charset(charset), _known_charset(inside)):
        if name == "cp1252" and _is_utf8(body):
            break
        if name and not (name in _UNMARKED and b"<" in head and b"\0" not in head):
            return body.decode(name, "replace")
    return body.decode("utf-8" if _is_utf8(body) else "cp1252", "replace")


def _known_charset(label: str) -> str:
    """Return Python's name of a text encoding, or an empty string where there is none."""
    try:
        found = codecs.lookup(label.strip(" \"'")[:40])
        "".encode(found.name)  # refuses codecs such as hex and zlib, which make no text
    except (LookupError, ValueError, UnicodeError):
        return ""
    return "cp1252" if found.name in _LATIN else found.name


def _is_utf8(body: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(body)  # a cut last character is no fault
    except UnicodeDecodeError:
        return False
    return True
