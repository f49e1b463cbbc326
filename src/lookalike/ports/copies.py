"""The port of copy ledgers: which images are one picture, why, and what a person decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from lookalike.domain.arrays import RowArray


@dataclass(frozen=True, slots=True)
class CopyMember:
    """One image of a copy group.

    The canonical image of a group has no link; every other is linked to the member `via` for a
    `reason` (`domain.copies`) with a `score` in [0, 1]. `group` is the row of the member that
    came first, and never changes while the group lives.
    """

    row: int
    group: int
    is_canonical: bool = False
    via: int = -1
    reason: str = ""
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class CopyDecision:
    """What a person said of two images; `first` < `second`, so that a pair stands once."""

    first: int
    second: int
    verdict: Literal["same", "different"]
    decided: float = 0.0


@dataclass(frozen=True, slots=True)
class CopyStep:
    """One undoable act of a person: `kind` is split, merge or keep, with what was there before.

    `rows` are the images it spoke of, and `kept` the canonical image it chose, or -1.
    """

    number: int
    kind: Literal["split", "merge", "keep"]
    rows: tuple[int, ...]
    kept: int = -1
    at: float = 0.0


class CopyLedger(Protocol):
    """Copy groups, the decisions of people, and how far the log has been placed.

    Promises (tests/contract/test_copy_ledger.py): an image is in one group at most; a group has
    two members at least and exactly one canonical; rows of removed images are in none; what was
    written is durable when the call returns; decisions outlive the groups.
    """

    @property
    def seq(self) -> int:
        """The catalog's seq up to which images were placed; 0 where no log is followed."""
        ...

    def groups_of(self, rows: RowArray) -> RowArray:
        """Return the group of each of `(n,)` rows, -1 where an image is in none."""
        ...

    def members(self, groups: Sequence[int]) -> Mapping[int, Sequence[CopyMember]]:
        """Return the members of groups, the canonical image first, then by falling score."""
        ...

    def all_groups(self) -> Iterator[Sequence[CopyMember]]:
        """Yield every group."""
        ...

    def counts(self) -> tuple[int, int]:
        """Return how many groups there are and how many images they hold."""
        ...

    def replace(
        self, rows: Sequence[int], members: Sequence[CopyMember], *, seq: int | None = None
    ) -> None:
        """Take the rows out of their groups and put the members in, in one step.

        `rows` holds every member's row. A group left with one image ends. `seq` states how far
        the log has been placed.
        """
        ...

    def decisions(self, rows: Sequence[int]) -> Sequence[CopyDecision]:
        """Return every decision that speaks of one of the rows."""
        ...

    def kept(self, rows: Sequence[int]) -> frozenset[int]:
        """Return those of the rows that a person chose as canonical."""
        ...

    def decide(
        self,
        step: CopyStep,
        decisions: Sequence[CopyDecision],
    ) -> None:
        """Write a person's act: its decisions replace earlier ones of the same pairs."""
        ...

    def adopt(self, decisions: Sequence[CopyDecision], kept: Sequence[int]) -> None:
        """Take over decisions of another index, of pairs of which nothing was decided here.

        It is no act that `undo` takes back.
        """
        ...

    def undo(self) -> CopyStep | None:
        """Take back the last act that still stands and return it; its decisions are as before."""
        ...

    def steps(self, *, limit: int = 100) -> Sequence[CopyStep]:
        """Return the acts that still stand, the latest first."""
        ...
