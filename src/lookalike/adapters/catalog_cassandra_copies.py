"""Copy groups and the decisions of people in the tables of a Cassandra catalog.

Groups are written by `catalog_cassandra_grouping`. An act of a person is one line of `copy_steps`
that holds what was there before it and what it decides; the decisions and the kept images follow
from it. A line that says `doing` or `undoing` was cut short, and is carried through before the
next act.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra_carrying import ALL, COPIES, COPY_GROUPS
from lookalike.adapters.catalog_cassandra_client import Call
from lookalike.adapters.catalog_cassandra_grouping import members_of, read_groups
from lookalike.adapters.catalog_cassandra_listing import all_lines
from lookalike.adapters.catalog_groups import check_decisions, check_members
from lookalike.domain.errors import BackendTimeoutError
from lookalike.ports.copies import CopyDecision, CopyMember, CopyStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from lookalike.adapters.catalog_cassandra_client import CassandraClient
    from lookalike.adapters.catalog_cassandra_writing import CatalogWriter
    from lookalike.domain.arrays import RowArray

TOGETHER: Final = 64
ATTEMPTS: Final = 8

_DOING: Final = "doing"
_DONE: Final = "done"
_UNDOING: Final = "undoing"

_Pairs = dict[tuple[int, int], "tuple[bool, float] | None"]
"""What is decided of pairs: whether they are the same, and when; None for nothing."""


class CassandraCopyLedger:
    """`ports.copies.CopyLedger` of a Cassandra catalog; `CassandraCatalog.copies` gives it.

    Rows are hashes of ids: decisions hold for an image that was removed and has come back.
    """

    def __init__(
        self, client: CassandraClient, require_writer: Callable[[], CatalogWriter]
    ) -> None:
        self._client = client
        self._require_writer = require_writer

    @property
    def seq(self) -> int:
        """Zero: each image is placed by whoever writes it, and no log is followed."""
        return 0

    def groups_of(self, rows: RowArray) -> RowArray:
        """Return the group of each of `(n,)` rows, -1 where an image is in none."""
        wanted = np.asarray(rows, dtype=np.int64).tolist()
        distinct = list(dict.fromkeys(wanted))
        found = self._client.wave([Call(cql.READ_COPY_GROUP, (row,)) for row in distinct])
        groups = {
            row: group
            for lines in found
            for row, is_live, group in lines
            if is_live and group is not None
        }
        return np.asarray([groups.get(row, -1) for row in wanted], dtype=np.int64)

    def members(self, groups: Sequence[int]) -> Mapping[int, Sequence[CopyMember]]:
        """Return the members of groups, the canonical image first, then by falling score.

        What another writer has half written shows as it will be when it is mended.
        """
        found, _, _ = read_groups(self._client, (int(group) for group in groups if group >= 0))
        whole = {group: members_of(placed) for group, placed in found.items()}
        return {group: members for group, members in whole.items() if members}

    def all_groups(self) -> Iterator[Sequence[CopyMember]]:
        """Yield every group, in the order of the ring."""
        self._client.require_open()
        lines = all_lines(self._client, cql.LIST_COPY_GROUPS)
        while some := [group for (group,) in islice(lines, TOGETHER)]:
            yield from self.members(some).values()

    def counts(self) -> tuple[int, int]:
        """Return how many groups there are and how many images they hold.

        As exact as the counts of the catalog's state.
        """
        counts = {line[0]: line[1] for line in self._client.run(cql.READ_TALLIES, ALL)}
        return max(0, counts.get(COPY_GROUPS, 0)), max(0, counts.get(COPIES, 0))

    def replace(
        self,
        rows: Sequence[int],
        members: Sequence[CopyMember],
        *,
        seq: int | None = None,  # noqa: ARG002 - no log is followed
    ) -> None:
        """Take the rows out of their groups and put the members in, image by image.

        A call that fails may have done part of it; the same call again does the rest.
        """
        check_members(rows, members)
        self._require_writer().regroup(rows, members)

    def decisions(self, rows: Sequence[int]) -> Sequence[CopyDecision]:
        """Return every decision that speaks of one of the rows."""
        wanted = dict.fromkeys(int(row) for row in rows)
        found: dict[tuple[int, int], CopyDecision] = {}
        for lines in self._client.wave([Call(cql.READ_DECISIONS, (row,)) for row in wanted]):
            for row, other, is_copy, decided in lines:
                pair = (min(row, other), max(row, other))
                verdict = "same" if is_copy else "different"
                found[pair] = CopyDecision(*pair, verdict, decided)
        return [found[pair] for pair in sorted(found)]

    def kept(self, rows: Sequence[int]) -> frozenset[int]:
        """Return those of the rows that a person chose as canonical."""
        wanted = dict.fromkeys(int(row) for row in rows)
        found = self._client.wave([Call(cql.READ_KEPT, (row,)) for row in wanted])
        return frozenset(row for lines in found for (row,) in lines)

    def decide(self, step: CopyStep, decisions: Sequence[CopyDecision]) -> None:
        """Write a person's act; a number that is taken already gives way to the next one."""
        check_decisions(decisions)
        self._require_writer()
        after: _Pairs = {
            (int(one.first), int(one.second)): (one.verdict == "same", float(one.decided))
            for one in decisions
        }
        told = {*map(int, step.rows), int(step.kept)} if step.kept >= 0 else set[int]()
        for _ in range(ATTEMPTS):
            last = self._settled()
            number = max(int(step.number), last + 1)
            before = self._decided(after)
            kept = sorted(self.kept(sorted(told)))
            what = {
                "step": _plain(step) | {"number": number},
                "before": _listed(before), "after": _listed(after),
                "told": sorted(told), "kept_before": kept,
            }  # fmt: skip
            data = json.dumps(what).encode("ascii")
            if self._swap(Call(cql.PUT_STEP, (number, _DOING, data))):
                self._carry(number, _DOING, what)
                return
        raise self._contended()

    def adopt(self, decisions: Sequence[CopyDecision], kept: Sequence[int]) -> None:
        """Take over decisions of another index, of pairs of which nothing was decided here."""
        check_decisions(decisions)
        self._require_writer()
        given: _Pairs = {
            (one.first, one.second): (one.verdict == "same", float(one.decided))
            for one in decisions
        }
        known = self._decided(given)
        self._write({pair: said for pair, said in given.items() if known[pair] is None})
        self._client.wave([Call(cql.PUT_KEPT, (int(row),)) for row in kept])

    def undo(self) -> CopyStep | None:
        """Take back the last act that still stands and return it; its decisions are as before."""
        self._require_writer()
        for _ in range(ATTEMPTS):
            if not self._settled():
                return None
            ((number, stage, data),) = self._client.run(cql.READ_STEPS, 1)
            if stage == _DONE and self._swap(Call(cql.STAGE_STEP, (_UNDOING, number, _DONE))):
                what = json.loads(data)
                self._carry(number, _UNDOING, what)
                return _step_of(what)
        raise self._contended()

    def steps(self, *, limit: int = 100) -> Sequence[CopyStep]:
        """Return the acts that still stand, the latest first."""
        if limit <= 0:
            return []
        lines = self._client.run(cql.READ_STEPS, limit + 1)
        return [_step_of(json.loads(data)) for _, stage, data in lines if stage != _UNDOING][:limit]

    def _settled(self) -> int:
        """Carry through what was cut short; return the number of the last act, or 0."""
        for _ in range(ATTEMPTS):
            lines = self._client.run(cql.READ_STEPS, 1)
            if not lines:
                return 0
            number, stage, data = lines[0]
            if stage == _DONE:
                return number
            self._carry(number, stage, json.loads(data))
        raise self._contended()

    def _carry(self, number: int, stage: str, what: Mapping[str, Any]) -> None:
        """Write what follows from an act, or from its undoing; safe to repeat."""
        step, is_undone = what["step"], stage == _UNDOING
        self._write(_pairs(what["before" if is_undone else "after"]))
        kept: list[int] = what["kept_before"] if is_undone else [step["kept"]]
        if told := what["told"]:
            dropped = [row for row in told if row not in kept]
            self._client.wave([Call(cql.DROP_KEPT, (row,)) for row in dropped])
            self._client.wave([Call(cql.PUT_KEPT, (row,)) for row in kept])
        if is_undone:
            self._swap(Call(cql.DROP_STEP, (number, _UNDOING)))
        else:
            self._swap(Call(cql.STAGE_STEP, (_DONE, number, _DOING)))

    def _write(self, pairs: _Pairs) -> None:
        """Write what is decided of pairs, under both of their images."""
        calls: list[Call] = []
        for (first, second), said in pairs.items():
            for row, other in ((first, second), (second, first)):
                if said is None:
                    calls.append(Call(cql.DROP_DECISION, (row, other)))
                else:
                    calls.append(Call(cql.PUT_DECISION, (row, other, *said)))
        self._client.wave(calls)

    def _decided(self, pairs: Iterable[tuple[int, int]]) -> _Pairs:
        found = self.decisions([first for first, _ in pairs])
        known = {(one.first, one.second): (one.verdict == "same", one.decided) for one in found}
        return {pair: known.get(pair) for pair in pairs}

    def _swap(self, call: Call) -> bool:
        """Run a compare-and-set; one that finds done what it would do has done it, too.

        The driver sends it again where no answer came.
        """
        (line,) = self._client.wave([call])[0]
        wanted = call.values[2] if call.statement is cql.PUT_STEP else call.values[0]
        return bool(line[0]) or line[-1] == wanted

    def _contended(self) -> BackendTimeoutError:
        return BackendTimeoutError(
            self._client.options.name, "others decide on copies at the same time", hint="try again"
        )


def _listed(pairs: _Pairs) -> list[list[Any]]:
    return [[*pair, *(said or (None, 0.0))] for pair, said in pairs.items()]


def _pairs(values: Sequence[Sequence[Any]]) -> _Pairs:
    return {
        (first, second): None if is_copy is None else (is_copy, decided)
        for first, second, is_copy, decided in values
    }


def _plain(step: CopyStep) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "rows": [int(row) for row in step.rows],
        "kept": int(step.kept),
        "at": float(step.at),
    }


def _step_of(what: Mapping[str, Any]) -> CopyStep:
    step = what["step"]
    return CopyStep(step["number"], step["kind"], tuple(step["rows"]), step["kept"], step["at"])
