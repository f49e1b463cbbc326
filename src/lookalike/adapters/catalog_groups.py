"""What every copy ledger does alike: what members may be written, and how a group must look."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lookalike.domain.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.ports.copies import CopyDecision, CopyMember

_HINT = "report a bug"


def check_members(rows: Sequence[int], members: Sequence[CopyMember]) -> None:
    """Refuse members that cannot be put in the place of rows.

    Raises:
        StoreError: one is not among the rows, or stands twice, or its group is no row.
    """
    known = {int(row) for row in rows}
    for member in members:
        if member.row not in known or member.group < 0:
            raise StoreError(
                f"row {member.row} cannot come into the copy group {member.group}", hint=_HINT
            )
        known.discard(member.row)


def check_decisions(decisions: Sequence[CopyDecision]) -> None:
    """Refuse decisions that speak of no pair.

    Raises:
        StoreError: the rows are not in order, or the verdict is unknown.
    """
    for one in decisions:
        if one.first >= one.second or one.verdict not in {"same", "different"}:
            raise StoreError(
                f"{one.verdict!r} of the rows {one.first} and {one.second} is no decision",
                hint=_HINT,
            )


def mended(members: Sequence[CopyMember]) -> list[CopyMember]:
    """Return a group as it must be: none for one member, else one canonical and whole links.

    Of several canonical images the first given one stays. Where there is none, the member with
    the best link takes its place. Links through images that have left lead to the canonical one.
    The canonical image stands first, then the others by falling score.
    """
    if len(members) < 2:
        return []
    order = sorted(members, key=lambda one: (-one.score, one.row))
    chosen = next((one for one in members if one.is_canonical), order[0])
    rows = {one.row for one in members}
    head = replace(chosen, is_canonical=True, via=-1, reason="", score=1.0)
    rest = [
        replace(
            one,
            is_canonical=False,
            via=one.via if one.via in rows and one.via != one.row else head.row,
        )
        for one in order
        if one.row != head.row
    ]
    return [head, *rest]
