"""Read the records of WARC files, on fastwarc: bounded, and as far as a damaged file can be read.

Transfer and content encodings are undone here with bounds of our own, since an archive keeps
whatever a server sent.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import Message
from typing import IO, TYPE_CHECKING, Any, Final, cast

from lookalike.domain import reasons
from lookalike.domain.errors import ImageError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_HEADER: Final = 1 << 16
_CHUNK: Final = 1 << 20
_MOST_RESUMES: Final = 200
_GZIP: Final = b"\x1f\x8b\x08"
_PLAIN: Final = b"\nWARC/1."
_END_OF_HEADER: Final = re.compile(rb"\r?\n\r?\n")
_STATUS: Final = re.compile(rb"HTTP/[0-9.]+\s+([0-9]{3})")
_CHUNK_SIZE: Final = re.compile(rb"\s*([0-9a-fA-F]{1,8})[^\r\n]{0,1000}\r?\n")
_BROKEN: Final = (OSError, EOFError, ValueError, RuntimeError)


@dataclass(frozen=True, slots=True)
class RecordHead:
    """What the headers of a record say; `status` is 200 where there is no HTTP."""

    kind: str
    url: str
    date: str
    digest: str
    status: int
    media: str
    charset: str
    location: str
    robots: tuple[str, ...]
    encodings: tuple[str, ...]
    is_chunked: bool
    is_cut: bool


@dataclass(frozen=True, slots=True)
class WarcRecord:
    """A record: its number in the archive, its head, and its body where that was wanted.

    `error` is reason and detail where the wanted body cannot be had.
    """

    number: int
    head: RecordHead
    body: bytes = b""
    error: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Damage:
    """Tells that a part of an archive could not be read."""

    reason: str
    detail: str


def read_records(
    file: IO[bytes], wants: Callable[[int, RecordHead], bool], *, max_bytes: int
) -> Iterator[WarcRecord | Damage]:
    """Yield the responses, resources and revisits of an archive, and last what was damaged.

    A body is read where `wants` says so. After a damaged record reading goes on at the next
    one that can be found.
    """
    cursor = _Cursor(file)
    damaged, first = 0, ""
    while True:
        try:
            for number, record in cursor.records():
                read, is_short = _read(number, record, wants, max_bytes)
                cursor.is_cut = cursor.is_cut or is_short
                yield read
            break
        except _BROKEN as error:
            damaged += 1
            first = first or f"{type(error).__name__}: {error}"[:200]
            if damaged >= _MOST_RESUMES or not cursor.skip():
                break
    if damaged:
        detail = f"{first} (after {cursor.count} records; {damaged} damaged places)"
        yield Damage(reasons.CORRUPT, detail)
    elif cursor.is_cut or cursor.ends_inside_member():
        yield Damage(reasons.TRUNCATED, f"it ends inside a record (after {cursor.count})")
    elif cursor.count == 0:
        yield Damage(reasons.EMPTY if not cursor.has_bytes else reasons.CORRUPT, "no record in it")


class _Cursor:
    """Where in an archive reading is, and how it goes on after damage."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._at = 0
        head = file.read(4)
        self._mark = _GZIP if head.startswith(_GZIP[:2]) else _PLAIN
        self.has_bytes = bool(head)
        self.count = 0
        self.is_cut = False

    def records(self) -> Iterator[tuple[int, Any]]:
        """Yield the records from here on, numbered through the archive."""
        try:
            from fastwarc.warc import ArchiveIterator, WarcRecordType
        except ImportError as error:
            raise MissingExtraError("reading WARC files", extra="warc") from error
        kinds = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.revisit
        begin = self._at
        self._file.seek(begin)
        for record in ArchiveIterator(
            cast("Any", self._file), record_types=kinds, parse_http=False
        ):
            self._at = begin + record.stream_pos
            self.count += 1
            yield self.count, record

    def ends_inside_member(self) -> bool:
        """Tell whether the last gzip member of the archive is cut, so that nothing came of it."""
        if self._mark is _PLAIN or not self.count:
            return False
        self._file.seek(self._at)
        unpack = zlib.decompressobj(31)
        held = self._file.read(_CHUNK)
        is_begun = False
        while held:
            try:
                unpack.decompress(held, _CHUNK)
            except zlib.error:
                return False  # what pads the file, or a member that has been read
            is_begun = not unpack.eof
            held = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
            unpack = zlib.decompressobj(31) if unpack.eof else unpack
            held = held or self._file.read(_CHUNK)
        return is_begun

    def skip(self) -> bool:
        """Go to where the next record may begin; return False at the end."""
        at = self._at + 1
        self._file.seek(at)
        held = b""
        while chunk := self._file.read(_CHUNK):
            held += chunk
            found = held.find(self._mark)
            if found >= 0:
                self._at = at + found + (self._mark is _PLAIN)
                return True
            at += max(0, len(held) - len(self._mark))
            held = held[-len(self._mark) :]
        return False


def _read(
    number: int, record: Any, wants: Callable[[int, RecordHead], bool], max_bytes: int
) -> tuple[WarcRecord, bool]:
    """Return a record, and whether the archive ends before it does."""
    start = cast("bytes", record.reader.read(MOST_HEADER))
    head, body_at = _head_of(record, start)
    if record.headers.get("Content-Length") is None:  # its own header is cut
        return WarcRecord(number, replace(head, status=0)), True
    if not wants(number, head):
        held = len(start) + int(record.reader.consume())
        return WarcRecord(number, head), held < record.content_length
    block = start + _read_up_to(record.reader, max_bytes + MOST_HEADER - len(start) + 1)
    if len(block) - body_at > max_bytes:
        error = (reasons.TOO_MANY_BYTES, f"more than {max_bytes:,} bytes")
        return WarcRecord(number, head, error=error), False
    is_short = len(block) < record.content_length
    if is_short or head.is_cut:
        error = (reasons.TRUNCATED, "the record ends too early")
        return WarcRecord(number, head, error=error), is_short
    try:
        return WarcRecord(number, head, decode_body(block[body_at:], head, max_bytes)), False
    except ImageError as error:
        return WarcRecord(number, head, error=(error.reason, error.message)), False


def _read_up_to(reader: Any, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := cast("bytes", reader.read(min(most, _CHUNK)))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _head_of(record: Any, start: bytes) -> tuple[RecordHead, int]:
    """Return what the headers say, and where the body begins in the block."""
    own = record.headers
    url = (own.get("WARC-Target-URI") or "").strip().removeprefix("<").removesuffix(">")
    media = own.get("Content-Type") or ""
    fields, status, at = Message(), 200, 0
    if media.replace(" ", "").lower().startswith("application/http"):
        end = _END_OF_HEADER.search(start)
        at = end.end() if end else len(start)
        status_line, _, rest = start[:at].partition(b"\n")
        matched = _STATUS.match(status_line)
        status = int(matched[1]) if matched else 0
        fields = _fields_of(rest)
        media = fields.get("Content-Type", "")
    typed = Message()
    typed["Content-Type"] = " ".join(media.split()) or "application/octet-stream"
    encodings = fields.get("Content-Encoding", "").lower().replace(" ", "").split(",")
    head = RecordHead(
        kind=(own.get("WARC-Type") or "").strip().lower(),
        url=url,
        date=own.get("WARC-Date") or "",
        digest=own.get("WARC-Payload-Digest") or "",
        status=status,
        media=typed.get_content_type() if media else "",
        charset=str(typed.get_param("charset") or ""),
        location=fields.get("Location", ""),
        robots=tuple(fields.get_all("X-Robots-Tag", [])),
        encodings=tuple(each for each in encodings if each not in {"", "identity"}),
        is_chunked="chunked" in fields.get("Transfer-Encoding", "").lower(),
        is_cut=bool(own.get("WARC-Truncated")),
    )
    return head, at


def _fields_of(raw: bytes) -> Message:
    """Return HTTP's header fields; lines that are none are passed over."""
    fields = Message()
    for line in raw.splitlines()[:500]:
        name, colon, value = line.partition(b":")
        if colon and name.strip():
            fields[name.strip().decode("latin-1")] = value.strip().decode("latin-1")
    return fields


def decode_body(body: bytes, head: RecordHead, max_bytes: int) -> bytes:
    """Return a body without its transfer and content encodings.

    Archivers often undo an encoding and keep its header: what is not chunked, or not packed, is
    taken as it is.

    Raises:
        ImageError: `too-many-bytes`, `truncated`, or `bad-record` for an unknown encoding.
    """
    if head.is_chunked:
        body = _unchunked(body)
    for encoding in reversed(head.encodings):
        body = _unpacked(body, encoding, max_bytes)
    return body


def _unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while match := _CHUNK_SIZE.match(body, at):
        size = int(match[1], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[match.end() : match.end() + size])
        at = match.end() + size
        at += 2 if body[at : at + 2] == b"\r\n" else 1
    if at >= len(body) and parts:
        return b"".join(parts)
    return body


def _unpacked(body: bytes, encoding: str, max_bytes: int) -> bytes:
    if encoding in {"gzip", "x-gzip"}:
        return _inflated(body, 31, max_bytes) if body.startswith(b"\x1f\x8b") else body
    if encoding == "deflate":
        try:
            return _inflated(body, 15, max_bytes)
        except ImageError as error:
            if error.reason != reasons.CORRUPT:
                raise
            return _inflated(body, -15, max_bytes)
    if encoding == "br":
        return _unbrotli(body, max_bytes)
    raise ImageError(reasons.BAD_RECORD, f"Content-Encoding {encoding[:40]!r} is not known")


def _inflated(body: bytes, bits: int, max_bytes: int) -> bytes:
    unpack = zlib.decompressobj(bits)
    try:
        data = unpack.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise ImageError(reasons.CORRUPT, f"packed data is damaged: {error}") from error
    if len(data) > max_bytes:
        raise ImageError(reasons.TOO_MANY_BYTES, f"unpacks to more than {max_bytes:,} bytes")
    if not unpack.eof:
        raise ImageError(reasons.TRUNCATED, "packed data ends too early")
    return data


def _unbrotli(body: bytes, max_bytes: int) -> bytes:
    import brotli

    unpack = brotli.Decompressor()
    out = bytearray()
    try:
        out += unpack.process(body, output_buffer_limit=max_bytes + 1)
        while len(out) <= max_bytes and not unpack.can_accept_more_data():
            out += unpack.process(b"", output_buffer_limit=max_bytes + 1 - len(out))
    except brotli.error as error:
        raise ImageError(reasons.CORRUPT, f"packed data is damaged: {error}") from error
    if len(out) > max_bytes:
        raise ImageError(reasons.TOO_MANY_BYTES, f"unpacks to more than {max_bytes:,} bytes")
    if not unpack.is_finished():
        raise ImageError(reasons.TRUNCATED, "packed data ends too early")
    return bytes(out)
