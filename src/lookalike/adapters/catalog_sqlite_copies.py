"""Copy groups and the decisions of people, in the tables of a SQLite catalog.

Each act is one transaction of the catalog. Decisions are kept by the ids of images, for an image
that is removed and comes back has another row. A row that was taken out of its group stays in
`copies` with the group -1, so that readers learn from `changed` what they have to read anew.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from lookalike.adapters.catalog_groups import check_decisions, check_members, mended
from lookalike.ports.copies import CopyDecision, CopyMember, CopyStep

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from lookalike.domain.arrays import RowArray

CHUNK: Final = 400

_OUT: Final = -1
_COLUMNS: Final = "row, copy_group, is_canonical, via, reason, score"
_PUT: Final = f"INSERT OR REPLACE INTO copies({_COLUMNS}, changed) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_DECIDED: Final = (
    "SELECT a.row, b.row, verdict, decided FROM copy_decisions"
    " JOIN images a ON a.id = first JOIN images b ON b.id = second"
)


class CopyTransaction:
    """The steps of one act; the caller begins and ends the SQLite transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._version = 0

    def leave(self, row: int) -> None:
        """Take a row out of its group, which gets another canonical image or ends."""
        group = self._group_of(row)
        if group is not None:
            self._put(CopyMember(row, _OUT))
            self._mend({group})

    def replace(self, rows: Sequence[int], members: Sequence[CopyMember], seq: int | None) -> None:
        """Take rows out of their groups and put members in; rows of no image stay out."""
        groups = {group for row in rows if (group := self._group_of(row)) is not None}
        groups |= {member.group for member in members}
        live = [one for one in members if self._id_of(one.row) is not None]
        going = {int(row) for row in rows} - {one.row for one in live}
        for row in sorted(going):
            if self._group_of(row) is not None:
                self._put(CopyMember(row, _OUT))
        for one in live:
            self._put(one)
        self._mend(groups)
        if seq is not None:
            self._execute("UPDATE state SET placed = ? WHERE placed <> ?", (seq, seq))

    def decide(self, step: CopyStep, decisions: Sequence[CopyDecision]) -> None:
        """Write an act with what was there before it."""
        images = [key for row in step.rows if (key := self._id_of(row)) is not None]
        kept = self._id_of(step.kept) if step.kept >= 0 else None
        told = set[bytes]() if kept is None else {*images, kept}
        before = {"decisions": self._state(decisions), "kept": self._unkeep(told)}
        if kept is not None:
            self._execute("INSERT INTO copy_kept VALUES (?)", (kept,))
        (last,) = self._execute("SELECT ifnull(max(number), 0) FROM copy_steps").fetchone()
        number = max(int(step.number), last + 1)
        self._execute(
            "INSERT INTO copy_steps VALUES (?, ?, ?, ?, ?, ?)",
            (number, step.kind, b"".join(images), kept, float(step.at), json.dumps(before)),
        )

    def adopt(self, decisions: Sequence[CopyDecision], kept: Sequence[int]) -> None:
        """Write decisions of another index, of pairs of which nothing was decided."""
        fresh = [one for one in decisions if self._decided(one)[2:] == (None, 0.0)]
        self._state(fresh)
        for row in kept:
            key = self._id_of(row)
            if key is not None:
                self._execute("INSERT OR IGNORE INTO copy_kept VALUES (?)", (key,))

    def undo(self) -> CopyStep | None:
        """Take the last act back and return it; images that are gone are left out of it."""
        found = self._execute("SELECT * FROM copy_steps ORDER BY number DESC LIMIT 1").fetchone()
        if found is None:
            return None
        number, _, images, kept, _, before = found
        was: dict[str, Any] = json.loads(before)
        for first, second, verdict, decided in was["decisions"]:
            self._write(bytes.fromhex(first), bytes.fromhex(second), verdict, decided)
        if kept is not None:
            self._unkeep({kept, *_pieces(images)})
        for key in was["kept"]:
            self._execute("INSERT OR IGNORE INTO copy_kept VALUES (?)", (bytes.fromhex(key),))
        self._execute("DELETE FROM copy_steps WHERE number = ?", (number,))
        return _step_of(found, self._execute)

    def _mend(self, groups: set[int]) -> None:
        for group in sorted(groups):
            found = self._execute(
                f"SELECT {_COLUMNS} FROM copies WHERE copy_group = ? ORDER BY changed DESC, row",  # noqa: S608
                (group,),
            )
            members = [_member_of(values) for values in found.fetchall()]
            whole = {one.row: one for one in mended(members)}
            for one in members:
                wanted = whole.get(one.row, CopyMember(one.row, _OUT))
                if wanted != one:
                    self._put(wanted)

    def _put(self, member: CopyMember) -> None:
        if not self._version:
            self._execute("UPDATE state SET regrouped = regrouped + 1")
            (self._version,) = self._execute("SELECT regrouped FROM state").fetchone()
        values = (
            int(member.row), int(member.group), bool(member.is_canonical), int(member.via),
            member.reason, float(member.score), self._version,
        )  # fmt: skip
        self._execute(_PUT, values)

    def _group_of(self, row: int) -> int | None:
        found = self._execute(
            "SELECT copy_group FROM copies WHERE row = ? AND copy_group >= 0", (int(row),)
        ).fetchone()
        return None if found is None else int(found[0])

    def _id_of(self, row: int) -> bytes | None:
        found = self._execute("SELECT id FROM images WHERE row = ?", (int(row),)).fetchone()
        return None if found is None else bytes(found[0])

    def _state(self, decisions: Sequence[CopyDecision]) -> list[tuple[str, str, str | None, float]]:
        """Write decisions and return what was decided of their pairs before."""
        before: list[tuple[str, str, str | None, float]] = []
        for one in decisions:
            first, second, verdict, decided = self._decided(one)
            if first and second:
                before.append((first.hex(), second.hex(), verdict, decided))
                self._write(first, second, one.verdict, float(one.decided))
        return before[::-1]

    def _decided(self, one: CopyDecision) -> tuple[bytes, bytes, str | None, float]:
        """Return the ids of a pair, empty for images that are gone, and what was decided."""
        first, second = sorted((self._id_of(one.first) or b"", self._id_of(one.second) or b""))
        found = self._execute(
            "SELECT verdict, decided FROM copy_decisions WHERE first = ? AND second = ?",
            (first, second),
        ).fetchone()
        verdict, decided = found or (None, 0.0)
        return first, second, verdict, decided

    def _write(self, first: bytes, second: bytes, verdict: str | None, decided: float) -> None:
        if verdict is None:
            self._execute(
                "DELETE FROM copy_decisions WHERE first = ? AND second = ?", (first, second)
            )
            return
        self._execute(
            "INSERT OR REPLACE INTO copy_decisions VALUES (?, ?, ?, ?)",
            (first, second, verdict, decided),
        )

    def _unkeep(self, images: set[bytes]) -> list[str]:
        """Let images be kept no longer, and return which of them were."""
        return [
            key.hex()
            for key in sorted(images)
            if self._execute("DELETE FROM copy_kept WHERE id = ?", (key,)).rowcount
        ]


class SqliteCopyLedger:
    """`ports.copies.CopyLedger` of a SQLite catalog; `SqliteCatalog.copies` gives it.

    Groups are looked up in sorted arrays in memory, 16 bytes for an image that is in one; they
    take over what has changed since, also from other processes.
    """

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[sqlite3.Connection]],
        writing: Callable[[], AbstractContextManager[CopyTransaction]],
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._lock = threading.Lock()
        self._version = 0
        self._rows = np.empty(0, dtype=np.int64)
        self._groups = np.empty(0, dtype=np.int64)

    @property
    def seq(self) -> int:
        """The catalog's seq up to which images were placed."""
        with self._reading() as connection:
            return int(connection.execute("SELECT placed FROM state").fetchone()[0])

    def groups_of(self, rows: RowArray) -> RowArray:
        """Return the group of each of `(n,)` rows, -1 where an image is in none."""
        known, groups = self._map()
        found = np.full(len(rows), _OUT, dtype=np.int64)
        if len(known):
            at = np.minimum(np.searchsorted(known, rows), len(known) - 1)
            is_known = known[at] == rows
            found[is_known] = groups[at[is_known]]
        return found

    def members(self, groups: Sequence[int]) -> Mapping[int, Sequence[CopyMember]]:
        """Return the members of groups, the canonical image first, then by falling score."""
        wanted = sorted({int(group) for group in groups if group >= 0})
        found: dict[int, list[CopyMember]] = {}
        with self._reading() as connection:
            for at in range(0, len(wanted), CHUNK):
                some = wanted[at : at + CHUNK]
                marks = ",".join("?" * len(some))
                query = (
                    f"SELECT {_COLUMNS} FROM copies WHERE copy_group IN ({marks})"  # noqa: S608
                    " ORDER BY copy_group, is_canonical DESC, score DESC, row"
                )
                for values in connection.execute(query, some):
                    found.setdefault(values[1], []).append(_member_of(values))
        return found

    def all_groups(self) -> Iterator[Sequence[CopyMember]]:
        """Yield every group, in order of their numbers; acts go on meanwhile."""
        query = (
            "SELECT DISTINCT copy_group FROM copies WHERE copy_group >= 0 AND copy_group > ?"
            " ORDER BY copy_group LIMIT ?"
        )
        last = _OUT
        while True:
            with self._reading() as connection:
                some = [row[0] for row in connection.execute(query, (last, CHUNK)).fetchall()]
            if not some:
                return
            yield from self.members(some).values()
            last = some[-1]

    def counts(self) -> tuple[int, int]:
        """Return how many groups there are and how many images they hold."""
        _, groups = self._map()
        return len(np.unique(groups)), len(groups)

    def replace(
        self, rows: Sequence[int], members: Sequence[CopyMember], *, seq: int | None = None
    ) -> None:
        """Take the rows out of their groups and put the members in, in one transaction."""
        check_members(rows, members)
        with self._writing() as transaction:
            transaction.replace(rows, members, seq)

    def decisions(self, rows: Sequence[int]) -> Sequence[CopyDecision]:
        """Return every decision that speaks of one of the rows."""
        found: dict[tuple[int, int], CopyDecision] = {}
        query = f"{_DECIDED} WHERE a.row IN ({{0}}) UNION {_DECIDED} WHERE b.row IN ({{0}})"
        for some, marks, connection in self._chunks(rows):
            for one, other, verdict, decided in connection.execute(
                query.format(marks), [*some, *some]
            ):
                pair = (min(one, other), max(one, other))
                found[pair] = CopyDecision(*pair, verdict, decided)
        return [found[pair] for pair in sorted(found)]

    def kept(self, rows: Sequence[int]) -> frozenset[int]:
        """Return those of the rows that a person chose as canonical."""
        query = "SELECT row FROM images JOIN copy_kept USING (id) WHERE row IN ({0})"
        return frozenset(
            row
            for some, marks, connection in self._chunks(rows)
            for (row,) in connection.execute(query.format(marks), some)
        )

    def decide(self, step: CopyStep, decisions: Sequence[CopyDecision]) -> None:
        """Write a person's act; a number that is taken already gives way to the next one."""
        check_decisions(decisions)
        with self._writing() as transaction:
            transaction.decide(step, decisions)

    def adopt(self, decisions: Sequence[CopyDecision], kept: Sequence[int]) -> None:
        """Take over decisions of another index, of pairs of which nothing was decided here."""
        check_decisions(decisions)
        with self._writing() as transaction:
            transaction.adopt(decisions, kept)

    def undo(self) -> CopyStep | None:
        """Take back the last act that still stands and return it; its decisions are as before."""
        with self._writing() as transaction:
            return transaction.undo()

    def steps(self, *, limit: int = 100) -> Sequence[CopyStep]:
        """Return the acts that still stand, the latest first."""
        query = "SELECT * FROM copy_steps ORDER BY number DESC LIMIT ?"
        with self._reading() as connection:
            found = connection.execute(query, (max(limit, 0),)).fetchall()
            return [_step_of(values, connection.execute) for values in found]

    def _chunks(self, rows: Sequence[int]) -> Iterator[tuple[list[int], str, sqlite3.Connection]]:
        """Yield rows in pieces, with marks for them and a connection."""
        wanted = list(dict.fromkeys(int(row) for row in rows))
        with self._reading() as connection:
            for at in range(0, len(wanted), CHUNK):
                some = wanted[at : at + CHUNK]
                yield some, ",".join("?" * len(some)), connection

    def _map(self) -> tuple[RowArray, RowArray]:
        """Return every row that is in a group, in order, and the groups, as they are now."""
        with self._lock, self._reading() as connection:
            connection.execute("BEGIN")
            (version,) = connection.execute("SELECT regrouped FROM state").fetchone()
            if version != self._version:
                changes = connection.execute(
                    "SELECT row, copy_group FROM copies WHERE changed > ? ORDER BY row",
                    (self._version,),
                ).fetchall()
                self._take(np.array(changes, dtype=np.int64).reshape(-1, 2))
                self._version = version
            return self._rows, self._groups

    def _take(self, changes: RowArray) -> None:
        """Take over the groups of `(n, 2)` rows that have changed."""
        is_same = ~np.isin(self._rows, changes[:, 0])
        now = changes[changes[:, 1] >= 0]
        rows = np.concatenate([self._rows[is_same], now[:, 0]])
        order = np.argsort(rows, kind="stable")
        self._groups = np.concatenate([self._groups[is_same], now[:, 1]])[order]
        self._rows = rows[order]


def _member_of(values: Sequence[Any]) -> CopyMember:
    row, group, is_canonical, via, reason, score = values
    return CopyMember(row, group, bool(is_canonical), via, reason, score)


def _pieces(images: bytes) -> list[bytes]:
    return [images[at : at + 16] for at in range(0, len(images), 16)]


def _step_of(values: Sequence[Any], execute: Callable[..., sqlite3.Cursor]) -> CopyStep:
    """Return a step with the rows that its images have now."""
    number, kind, images, kept, at, _ = values

    def row_of(key: bytes) -> int:
        found = execute("SELECT row FROM images WHERE id = ?", (key,)).fetchone()
        return _OUT if found is None else cast("int", found[0])

    rows = tuple(row for key in _pieces(images) if (row := row_of(key)) >= 0)
    step = CopyStep(number, kind, rows, at=at)
    return step if kept is None else replace(step, kept=row_of(kept))
