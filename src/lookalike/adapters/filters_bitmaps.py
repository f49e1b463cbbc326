"""Which rows bear which word: Roaring bitmaps by kind of term and term, and their one file.

The file is derived and written whole beside its place, then renamed, so it is the old one or the
new one. It holds a header (JSON: the log's seq, and for each bitmap its term, offset and length)
and then the bitmaps in Roaring's portable form, which are decoded only when asked for.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pyroaring import BitMap

from lookalike.domain.objects import counts_of
from lookalike.domain.shades import shades_borne

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lookalike.domain.images import ImageRecord

MAGIC: Final = b"LKBITMAP"
FORMAT: Final = 2
"""1 held no colours by value; a file of another format is made anew from the log."""

_PREFIX_BYTES: Final = len(MAGIC) + 12

_Key: TypeAlias = tuple[str, int]

Term: TypeAlias = tuple[str, str, int]
"""Kind (`site`, `licence`, `label`, `shade`, `count`, `set`), word, for labels the least count."""


class Bitmaps:
    """Rows by term; not safe for threads, its owner holds a lock."""

    def __init__(self) -> None:
        self._maps: dict[str, dict[_Key, BitMap | bytes]] = {}

    def get(self, term: Term) -> BitMap:
        """Return the rows of a term, empty for an unknown one; not to be changed."""
        return self._decoded(term[0], term[1:]) or BitMap()

    def put(self, term: Term, packed: bytes) -> None:
        """Set the rows of a term in Roaring's portable form, to be decoded when asked for."""
        self._maps.setdefault(term[0], {})[term[1:]] = packed

    def add(self, term: Term, rows: BitMap) -> None:
        """Give a term to rows."""
        known = self._decoded(term[0], term[1:])
        if known is None:
            self._maps.setdefault(term[0], {})[term[1:]] = rows.copy()
        else:
            known.update(rows)

    def drop(self, term: Term, rows: BitMap) -> None:
        """Take a term from rows."""
        known = self._decoded(term[0], term[1:])
        if known is not None and known.intersect(rows):
            known.difference_update(rows)

    def drop_all(self, kinds: Sequence[str], rows: BitMap) -> None:
        """Take all terms of some kinds from rows; looks at each bitmap, so call it in batches."""
        for kind in kinds:
            table = self._maps.get(kind, {})
            empty: list[_Key] = []
            for key, packed in table.items():
                known = BitMap.deserialize(packed) if isinstance(packed, bytes) else packed
                if not known.intersect(rows):
                    continue
                table[key] = known - rows
                if known.issubset(rows):
                    empty.append(key)
            for key in empty:
                del table[key]

    def words(self, kind: str) -> Iterable[str]:
        """Return the words of a kind, each once, in order."""
        return sorted({word for word, _ in self._maps.get(kind, {})})

    def save(self, path: Path, *, seq: int) -> None:
        """Write everything with the seq it is complete to; durable and whole when it returns."""
        bodies = {
            (kind, *key): rows if isinstance(rows, bytes) else rows.serialize()
            for kind, table in self._maps.items()
            for key, rows in table.items()
        }
        terms = [[*term, len(body)] for term, body in bodies.items()]
        header = json.dumps({"seq": seq, "terms": terms}).encode()
        body = header + b"".join(bodies.values())
        fixed = FORMAT.to_bytes(4, "little") + len(header).to_bytes(4, "little")
        beside = path.with_name(path.name + ".new")
        with beside.open("wb") as file:
            file.write(MAGIC + fixed + zlib.crc32(body).to_bytes(4, "little") + body)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)

    def _decoded(self, kind: str, key: _Key) -> BitMap | None:
        table = self._maps.get(kind, {})
        found = table.get(key)
        if isinstance(found, bytes):
            found = table[key] = BitMap.deserialize(found)
        return found


def load_bitmaps(path: Path) -> tuple[Bitmaps, int]:
    """Return the saved bitmaps and their seq; what is missing or damaged starts anew at 0."""
    try:
        data = path.read_bytes()
        return _parsed(data)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return Bitmaps(), 0


def _parsed(data: bytes) -> tuple[Bitmaps, int]:
    fixed = data[len(MAGIC) : _PREFIX_BYTES]
    version, length, crc = (int.from_bytes(fixed[at : at + 4], "little") for at in (0, 4, 8))
    body = data[_PREFIX_BYTES:]
    if not data.startswith(MAGIC) or version != FORMAT or zlib.crc32(body) != crc:
        raise ValueError("not a whole file of bitmaps of this format")
    header: dict[str, Any] = json.loads(body[:length])
    bitmaps, at = Bitmaps(), length
    for kind, word, least, size in header["terms"]:
        bitmaps.put((kind, word, least), body[at : at + size])
        at += size
    return bitmaps, int(header["seq"])


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable, where the system has such a thing."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def terms_of(record: ImageRecord) -> set[Term]:
    """Return the terms of a record: a site with every domain above it, an object per count."""
    terms: set[Term] = {("licence", licence, 0) for licence in record.licences}
    for site in record.sites:
        labels = site.split(".")
        terms.update(("site", ".".join(labels[at:]), 0) for at in range(len(labels)))
    terms.update(("shade", cell, 0) for cell in shades_borne(record.facts.palette))
    for label, count in counts_of(record.objects).items():
        terms.update(("label", label, least) for least in range(1, count + 1))
    return terms


def count_of(terms: set[Term]) -> Term:
    """Return the term that says how many terms a row bears."""
    return ("count", "", len(terms))
