"""The tables of a Cassandra catalog, each made for one question, and the statements over them.

Two tables hold the truth and are written by compare-and-set alone: `images` (a partition for
each row: what the picture is, and each source it was seen at) and `uris` (to which image a uri
leads, or why it was refused). Each has a `version`, hybrid microseconds that rise with every
change, and a `stamp`, a random number that names the write.

All others are derived. What they hold of an image or a uri is written with its version as the
timestamp, so that of two writers the later change stays, in whatever order they arrive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = 2
MARK: Final = "lookalike catalog"
"""Stands in `about` and tells our keyspace from another's."""

SCHEMA_NAME: Final = "schema"
SEQ_NAME: Final = "seq"
URI_PARTS_NAME: Final = "uri_parts"

FACT_COLUMNS: Final[Mapping[str, str]] = {
    "id": "blob", "width": "bigint", "height": "bigint", "bytes": "bigint", "format": "blob",
    "frames": "bigint", "kind": "blob", "flags": "int", "taken": "double", "palette": "blob",
    "color_tags": "blob", "phash": "bigint", "phash_quality": "double", "licence": "blob",
    "embedded_text": "blob", "models": "blob", "embedded": "blob", "objects": "blob",
    "words": "blob",
}  # fmt: skip
COPY_COLUMNS: Final[Mapping[str, str]] = {
    "copy_group": "bigint", "is_canonical": "boolean", "copy_via": "bigint",
    "copy_reason": "blob", "copy_score": "double",
}  # fmt: skip
"""Which copy group an image is in, and why; `copy_groups` lists where to look for members."""

SOURCE_COLUMNS: Final[Mapping[str, str]] = {
    "number": "bigint", "uri": "blob", "fingerprint": "blob", "page_url": "blob", "site": "blob",
    "title": "blob", "alt_text": "blob", "caption": "blob", "page_text": "blob",
    "licence_stated": "blob", "taken_stated": "double", "seen": "double", "is_vanished": "boolean",
}  # fmt: skip
URI_COLUMNS: Final[Mapping[str, str]] = {
    "row": "bigint", "reason": "blob", "fingerprint": "blob", "number": "bigint",
    "is_vanished": "boolean", "former": "bigint",
}  # fmt: skip

_STATE: Final[Mapping[str, str]] = {
    "is_live": "boolean", "version": "bigint", "stamp": "bigint",
    "first_seen": "double", "last_seen": "double",
}  # fmt: skip
_BY_HOUR: Final = (
    "compaction = {'class': 'TimeWindowCompactionStrategy',"
    " 'compaction_window_unit': 'HOURS', 'compaction_window_size': 12}"
)


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its columns with their types, its primary key, and how it is kept."""

    columns: Mapping[str, str]
    key: str
    options: str = ""


def _static(columns: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{kind} static" for name, kind in columns.items()}


TABLES: Final[Mapping[str, Table]] = {
    "about": Table({"name": "text", "number": "bigint", "words": "text"}, "name"),
    "images": Table(
        {"row": "bigint", "key": "blob"}
        | _static(_STATE)
        | _static(FACT_COLUMNS)
        | _static(COPY_COLUMNS)
        | dict(SOURCE_COLUMNS),
        "row, key",
    ),
    "uris": Table(
        {"key": "blob", "version": "bigint", "stamp": "bigint"} | dict(URI_COLUMNS), "key"
    ),
    "ids": Table(
        {"prefix": "blob", "id": "blob", "row": "bigint", "is_blocked": "boolean"}, "prefix, id"
    ),
    "blocked_ids": Table({"part": "int", "id": "blob"}, "part, id"),
    "uris_in_order": Table(
        {"part": "int", "head": "blob", "key": "blob", "whole": "blob", "is_vanished": "boolean"},
        "part, head, key",
    ),
    "images_by_site": Table(
        {"site": "blob", "day": "int", "shard": "int", "row": "bigint"}, "(site, day, shard), row"
    ),
    "failures": Table(
        {
            "day": "int", "shard": "int", "number": "bigint", "key": "blob", "uri": "blob",
            "reason": "blob", "detail": "blob", "fingerprint": "blob", "seen": "double",
        },
        "(day, shard), number, key",
        "CLUSTERING ORDER BY (number DESC, key ASC)",
    ),
    "changes": Table(
        {"bucket": "bigint", "seq": "bigint", "row": "bigint", "is_removal": "boolean",
         "id": "blob"},
        "bucket, seq, row",
        _BY_HOUR,
    ),
    "parts": Table({"owner": "blob", "part": "blob"}, "owner, part"),
    "tallies": Table({"owner": "text", "name": "blob", "amount": "counter"}, "owner, name"),
    "commits_open": Table(
        {"part": "int", "writer": "uuid", "began": "double", "rows": "list<bigint>"}, "part, writer"
    ),
    "copy_groups": Table(
        {"copy_group": "bigint", "row": "bigint", "listed": "bigint"}, "copy_group, row"
    ),
    "copy_decisions": Table(
        {"row": "bigint", "other": "bigint", "is_copy": "boolean", "decided": "double"},
        "row, other",
    ),
    "copy_kept": Table({"row": "bigint"}, "row"),
    "copy_steps": Table(
        {"part": "int", "number": "bigint", "stage": "text", "what": "blob"},
        "part, number",
        "CLUSTERING ORDER BY (number DESC)",
    ),
    "clicks": Table(
        {"day": "int", "shard": "int", "at": "double", "query_id": "text", "row": "bigint",
         "position": "int", "action": "text", "query": "blob"},
        "(day, shard), at, query_id, row",
        _BY_HOUR,
    ),
    "click_days": Table({"query_id": "text", "day": "int", "at": "double"}, "query_id"),
    "click_answers": Table(
        {"day": "int", "shard": "int", "query_id": "text", "at": "double", "data": "blob"},
        "(day, shard), query_id",
    ),
    "click_choices": Table(
        {"day": "int", "shard": "int", "query_id": "text", "position": "int", "image": "text",
         "at": "double"},
        "(day, shard), query_id, position",
    ),
}  # fmt: skip
"""Partitions stay small: an image, 4 hex digits of ids, a 16th of a site's day, ten minutes of log.

Text is held as blobs, for it may hold what Cassandra's `text` refuses (a file name that is not
UTF-8). `key` is a hash of a uri. `parts` lists the partitions of another table that hold anything.
"""

RETIRED_TABLES: Final = frozenset({"copy_group_of"})
RETIRED_COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "copy_groups": {"is_canonical": "boolean", "reason": "text", "score": "double"},
    "copy_decisions": {"decided_by": "text"},
}
"""What the first version made and never wrote to; `init-cluster` takes it away."""


def create_table(name: str, keyspace: str) -> str:
    """Return the statement that makes a table."""
    table = TABLES[name]
    columns = ", ".join(f"{column} {kind}" for column, kind in table.columns.items())
    options = f" WITH {table.options}" if table.options else ""
    inside = f"{columns}, PRIMARY KEY ({table.key})"
    return f"CREATE TABLE IF NOT EXISTS {keyspace}.{name} ({inside}){options}"


Kind = Literal["read", "write", "swap", "count"]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that is prepared once; `swap` is a compare-and-set, `count` moves a counter.

    `@` stands for the keyspace before the name of a table.
    """

    cql: str
    kind: Kind = "read"
    page_rows: int = field(default=0)


def _names(columns: Mapping[str, str]) -> str:
    return ", ".join(columns)


def _marks(columns: Mapping[str, str]) -> str:
    return ", ".join(f"{column} = ?" for column in columns)


_SOURCE_INSERT: Final = (
    f"INSERT INTO @images (row, key, {_names(SOURCE_COLUMNS)})"  # noqa: S608 - constants
    f" VALUES (?, ?, {', '.join('?' * len(SOURCE_COLUMNS))})"
)
STATE_COLUMNS: Final = ("id", *_STATE, "copy_group", "is_canonical")

READ_IMAGE: Final = Statement(
    f"SELECT row, {_names(_STATE)}, {_names(FACT_COLUMNS)}, copy_group, key,"  # noqa: S608
    f" {_names(SOURCE_COLUMNS)}"
    " FROM @images WHERE row = ?"
)
READ_SOURCES: Final = Statement(
    f"SELECT {', '.join(STATE_COLUMNS)}, key, {_names(SOURCE_COLUMNS)}"  # noqa: S608
    " FROM @images WHERE row = ?"
)
READ_SOURCES_PAGE: Final = Statement(f"{READ_SOURCES.cql} LIMIT ?")
READ_SOURCE: Final = Statement(
    f"SELECT key, {_names(SOURCE_COLUMNS)} FROM @images WHERE row = ? AND key = ?"  # noqa: S608
)
READ_FACTS: Final = Statement(
    f"SELECT DISTINCT row, stamp, {_names(FACT_COLUMNS)} FROM @images WHERE row = ?"  # noqa: S608
)
READ_COPY: Final = Statement(
    f"SELECT DISTINCT row, id, is_live, version, stamp, {_names(COPY_COLUMNS)}"  # noqa: S608
    " FROM @images WHERE row = ?"
)
READ_COPY_GROUP: Final = Statement(
    "SELECT DISTINCT row, is_live, copy_group FROM @images WHERE row = ?"
)
READ_IS_LIVE: Final = Statement("SELECT DISTINCT row, id, is_live FROM @images WHERE row = ?")
READ_SITES: Final = Statement("SELECT row, id, is_live, site FROM @images WHERE row = ?")
LIST_IMAGES: Final = Statement(
    READ_IMAGE.cql.replace("row = ?", "token(row) > ? AND token(row) <= ?")
)
LIST_STATES: Final = Statement(
    "SELECT DISTINCT row, is_live, phash, phash_quality FROM @images"
    " WHERE token(row) > ? AND token(row) <= ?"
)
SAMPLE_STATES: Final = Statement(
    "SELECT DISTINCT row, is_live FROM @images WHERE token(row) > ? AND token(row) <= ?",
    page_rows=100,
)
LIST_COUNTS: Final = Statement(
    "SELECT row, is_live, key, is_vanished, copy_group, is_canonical FROM @images"
    " WHERE token(row) > ? AND token(row) <= ?"
)
LIST_REASONS: Final = Statement("SELECT reason FROM @uris WHERE token(key) > ? AND token(key) <= ?")

PUT_FACTS: Final = Statement(
    f"UPDATE @images SET {_marks(_STATE)}, {_marks(FACT_COLUMNS)} WHERE row = ? IF stamp = ?",  # noqa: S608
    "swap",
)
PUT_STATE: Final = Statement(
    "UPDATE @images SET version = ?, stamp = ?, first_seen = ?, last_seen = ?"
    " WHERE row = ? IF stamp = ?",
    "swap",
)
PUT_COPY: Final = Statement(
    f"UPDATE @images SET version = ?, stamp = ?, {_marks(COPY_COLUMNS)}"  # noqa: S608
    " WHERE row = ? IF stamp = ?",
    "swap",
)
DROP_COPY: Final = Statement(f"DELETE {_names(COPY_COLUMNS)} FROM @images WHERE row = ?", "write")
PUT_SOURCE: Final = Statement(_SOURCE_INSERT, "write")
DROP_SOURCE: Final = Statement("DELETE FROM @images WHERE row = ? AND key = ?", "write")
DROP_SOURCES: Final = Statement("DELETE FROM @images WHERE row = ? AND key >= 0x", "write")

READ_URI: Final = Statement(
    f"SELECT key, version, stamp, {_names(URI_COLUMNS)} FROM @uris WHERE key = ?"  # noqa: S608
)
PUT_URI: Final = Statement(
    f"UPDATE @uris SET version = ?, stamp = ?, {_marks(URI_COLUMNS)}"  # noqa: S608
    " WHERE key = ? IF stamp = ?",
    "swap",
)
FORGOTTEN_S: Final = 86_400
"""A uri that nothing is known of keeps its version for a day, so that no older write comes back."""

FORGET_URI: Final = Statement(
    PUT_URI.cql.replace("UPDATE @uris", f"UPDATE @uris USING TTL {FORGOTTEN_S}"), "swap"
)

READ_ID: Final = Statement("SELECT id, row, is_blocked FROM @ids WHERE prefix = ? AND id = ?")
READ_IDS: Final = Statement("SELECT id, row FROM @ids WHERE prefix = ? AND id >= ? AND id <= ?")
PUT_ID: Final = Statement(
    "UPDATE @ids USING TIMESTAMP ? SET row = ? WHERE prefix = ? AND id = ?", "write"
)
DROP_ID: Final = Statement(
    "DELETE row FROM @ids USING TIMESTAMP ? WHERE prefix = ? AND id = ?", "write"
)
BLOCK_ID: Final = Statement(
    "UPDATE @ids SET is_blocked = true WHERE prefix = ? AND id = ?", "write"
)
PUT_BLOCKED: Final = Statement("INSERT INTO @blocked_ids (part, id) VALUES (?, ?)", "write")
READ_BLOCKED: Final = Statement("SELECT id FROM @blocked_ids WHERE part = ?")

READ_URIS: Final = Statement(
    "SELECT head, whole, is_vanished FROM @uris_in_order WHERE part = ? AND head >= ? AND head < ?"
)
PUT_IN_ORDER: Final = Statement(
    "UPDATE @uris_in_order USING TIMESTAMP ? SET whole = ?, is_vanished = ?"
    " WHERE part = ? AND head = ? AND key = ?",
    "write",
)
DROP_IN_ORDER: Final = Statement(
    "DELETE FROM @uris_in_order USING TIMESTAMP ? WHERE part = ? AND head = ? AND key = ?", "write"
)

READ_SITE: Final = Statement(
    "SELECT row FROM @images_by_site WHERE site = ? AND day = ? AND shard = ?"
)
PUT_SITE: Final = Statement(
    "INSERT INTO @images_by_site (site, day, shard, row) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
    "write",
)
DROP_SITE: Final = Statement(
    "DELETE FROM @images_by_site USING TIMESTAMP ?"
    " WHERE site = ? AND day = ? AND shard = ? AND row = ?",
    "write",
)

READ_FAILURES: Final = Statement(
    "SELECT number, key, uri, reason, detail, fingerprint, seen FROM @failures"
    " WHERE day = ? AND shard = ?"
)
READ_FAILURES_BACK: Final = Statement(f"{READ_FAILURES.cql} ORDER BY number ASC, key DESC")
PUT_FAILURE: Final = Statement(
    "INSERT INTO @failures (day, shard, number, key, uri, reason, detail, fingerprint, seen)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "write",
)
DROP_FAILURE: Final = Statement(
    "DELETE FROM @failures WHERE day = ? AND shard = ? AND number = ? AND key = ?", "write"
)

READ_CHANGES: Final = Statement(
    "SELECT seq, row, is_removal, id FROM @changes WHERE bucket = ? AND seq > ?"
)
PUT_CHANGE: Final = Statement(
    "INSERT INTO @changes (bucket, seq, row, is_removal, id) VALUES (?, ?, ?, ?, ?) USING TTL ?",
    "write",
)

READ_PARTS: Final = Statement("SELECT part FROM @parts WHERE owner = ? AND part >= ? AND part <= ?")
PUT_PART: Final = Statement("INSERT INTO @parts (owner, part) VALUES (?, ?) USING TTL ?", "write")

READ_TALLIES: Final = Statement("SELECT name, amount FROM @tallies WHERE owner = ?")
COUNT: Final = Statement(
    "UPDATE @tallies SET amount = amount + ? WHERE owner = ? AND name = ?", "count"
)

READ_ABOUT: Final = Statement("SELECT name, number, words FROM @about WHERE name = ?")
PUT_SEQ: Final = Statement(
    f"INSERT INTO @about (name, number) VALUES ('{SEQ_NAME}', ?) USING TIMESTAMP ?",  # noqa: S608
    "write",
)

READ_OPEN: Final = Statement("SELECT writer, began, rows FROM @commits_open WHERE part = 0")
PUT_OPEN: Final = Statement(
    "INSERT INTO @commits_open (part, writer, began, rows) VALUES (0, ?, ?, ?)", "write"
)
DROP_OPEN: Final = Statement("DELETE FROM @commits_open WHERE part = 0 AND writer = ?", "write")

READ_COPY_ROWS: Final = Statement("SELECT row, listed FROM @copy_groups WHERE copy_group = ?")
LIST_COPY_GROUPS: Final = Statement(
    "SELECT DISTINCT copy_group FROM @copy_groups"
    " WHERE token(copy_group) > ? AND token(copy_group) <= ?"
)
PUT_COPY_ROW: Final = Statement(
    "INSERT INTO @copy_groups (copy_group, row, listed) VALUES (?, ?, ?) USING TIMESTAMP ?",
    "write",
)
DROP_COPY_ROW: Final = Statement(
    "DELETE FROM @copy_groups USING TIMESTAMP ? WHERE copy_group = ? AND row = ?", "write"
)

READ_DECISIONS: Final = Statement(
    "SELECT row, other, is_copy, decided FROM @copy_decisions WHERE row = ?"
)
PUT_DECISION: Final = Statement(
    "INSERT INTO @copy_decisions (row, other, is_copy, decided) VALUES (?, ?, ?, ?)", "write"
)
DROP_DECISION: Final = Statement("DELETE FROM @copy_decisions WHERE row = ? AND other = ?", "write")
READ_KEPT: Final = Statement("SELECT row FROM @copy_kept WHERE row = ?")
PUT_KEPT: Final = Statement("INSERT INTO @copy_kept (row) VALUES (?)", "write")
DROP_KEPT: Final = Statement("DELETE FROM @copy_kept WHERE row = ?", "write")
READ_STEPS: Final = Statement("SELECT number, stage, what FROM @copy_steps WHERE part = 0 LIMIT ?")
PUT_STEP: Final = Statement(
    "INSERT INTO @copy_steps (part, number, stage, what) VALUES (0, ?, ?, ?) IF NOT EXISTS", "swap"
)
STAGE_STEP: Final = Statement(
    "UPDATE @copy_steps SET stage = ? WHERE part = 0 AND number = ? IF stage = ?", "swap"
)
DROP_STEP: Final = Statement(
    "DELETE FROM @copy_steps WHERE part = 0 AND number = ? IF stage = ?", "swap"
)
