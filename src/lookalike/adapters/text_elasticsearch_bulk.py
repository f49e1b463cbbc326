"""Writing many documents: requests of bounded size, and each document's answer looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from lookalike.adapters.text_elasticsearch_errors import Refusal
from lookalike.adapters.text_elasticsearch_server import Request, encoded
from lookalike.domain.errors import BackendSchemaError, BackendTimeoutError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lookalike.adapters.text_elasticsearch_server import SearchServer

CONFLICT_TRIES: Final = 5
TOO_LARGE: Final = 413


@dataclass(frozen=True, slots=True)
class Write:
    """One document to write or delete.

    `index` replaces it whole, `highest` unless a higher version is there; `merge` changes some
    fields and makes it where it is missing; `change` passes over one that is missing, as `delete`
    does.
    """

    id: str
    kind: Literal["index", "highest", "merge", "change", "delete"]
    lines: bytes

    @classmethod
    def index(cls, id: str, fields: Mapping[str, Any]) -> Write:
        """Replace a document."""
        return cls(id, "index", _lines({"index": {"_id": id}}, fields))

    @classmethod
    def highest(cls, id: str, fields: Mapping[str, Any], *, version: int) -> Write:
        """Replace a document unless it is there in a higher version."""
        head = {"_id": id, "version": version, "version_type": "external_gte"}
        return cls(id, "highest", _lines({"index": head}, fields))

    @classmethod
    def merge(cls, id: str, fields: Mapping[str, Any], *, is_making: bool) -> Write:
        """Change some fields of a document."""
        head = {"update": {"_id": id, "retry_on_conflict": CONFLICT_TRIES}}
        lines = _lines(head, {"doc": fields, "doc_as_upsert": is_making})
        return cls(id, "merge" if is_making else "change", lines)

    @classmethod
    def delete(cls, id: str) -> Write:
        """Delete a document."""
        return cls(id, "delete", encoded({"delete": {"_id": id}}) + b"\n")


def write_all(server: SearchServer, writes: Iterable[Write], *, refresh: str = "false") -> None:
    """Write documents, those the server has no time for again, all within the deadline.

    Raises:
        StoreError: a document is refused, which is named; others may have been written.
        BackendError: the server fails as a whole.
    """
    deadline = server.now() + server.options.write_timeout_s
    for chunk in _chunks(writes, server.options.bulk_docs, server.options.bulk_bytes):
        waiting, tries = chunk, 0
        while waiting:
            tries += 1
            waiting, refusal = _send(server, waiting, refresh, deadline)
            if waiting and not server.wait(tries, deadline):
                raise refusal.error(server.name)


def _send(
    server: SearchServer, writes: list[Write], refresh: str, deadline: float
) -> tuple[list[Write], Refusal]:
    """Return the writes that may succeed when tried again, and why the last one did not."""
    left_s = deadline - server.now()
    if left_s <= 0:
        raise BackendTimeoutError(server.name, "the documents were not written in time")
    request = Request(
        "POST",
        f"/{server.options.alias}/_bulk",
        {"require_alias": "true", "refresh": refresh},
        b"".join(write.lines for write in writes),
        is_lines=True,
    )
    left_s = min(left_s, server.options.request_timeout_s)
    answer = server.send(request, allowed=(TOO_LARGE,), timeout_s=left_s)
    if answer is None:
        return _halved(server, writes, refresh, deadline)
    again: list[Write] = []
    last = Refusal(0, "", "")
    if not answer["errors"]:
        return again, last
    for write, item in zip(writes, answer["items"], strict=True):
        (content,) = item.values()
        if content["status"] < 400 or _is_passed_over(write, content):
            continue
        last = Refusal.of(content["status"], content)
        if not last.is_transient:
            raise _refused(server, write, last)
        again.append(write)
    return again, last


def _refused(server: SearchServer, write: Write, refusal: Refusal) -> StoreError:
    error = refusal.error(server.name)
    if refusal.status != 400 or isinstance(error, BackendSchemaError):
        return error
    return StoreError(f"{server.name}: the document of row {write.id} is refused: {refusal.reason}")


def _halved(
    server: SearchServer, writes: list[Write], refresh: str, deadline: float
) -> tuple[list[Write], Refusal]:
    """Send what was too large at once in two parts."""
    if len(writes) == 1:
        raise StoreError(
            f"{server.name}: the document of row {writes[0].id} is too large"
            f" ({len(writes[0].lines)} bytes)",
            hint="raise http.max_content_length of the server, or shorten the texts",
        )
    half = len(writes) // 2
    first, refusal = _send(server, writes[:half], refresh, deadline)
    second, later = _send(server, writes[half:], refresh, deadline)
    return first + second, later if second else refusal


def _is_passed_over(write: Write, content: Mapping[str, Any]) -> bool:
    if write.kind == "highest":
        return content["status"] == 409
    if content["status"] != 404:
        return False
    if write.kind == "delete":
        return content.get("result") == "not_found"
    kind = (content.get("error") or {}).get("type", "")
    return write.kind == "change" and kind == "document_missing_exception"


def _lines(head: Mapping[str, Any], body: Mapping[str, Any]) -> bytes:
    return encoded(head) + b"\n" + encoded(body) + b"\n"


def _chunks(writes: Iterable[Write], most: int, most_bytes: int) -> Iterator[list[Write]]:
    chunk: list[Write] = []
    size = 0
    for write in writes:
        if chunk and (len(chunk) >= most or size + len(write.lines) > most_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(write)
        size += len(write.lines)
    if chunk:
        yield chunk
