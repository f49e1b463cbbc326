"""The rows of an archive's tables of regions, copy groups and decisions, read without trust."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters.archive_columns import id_of, shown
from lookalike.domain.regions import NUMBER_BITS
from lookalike.ports.archive import ArchivedCopy, ArchivedDecision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lookalike.domain.images import ImageId

VERDICTS: Final = frozenset({"same", "different", "keep"})
MOST_REASON: Final = 100


def region_rows(image: ImageId, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows of an image's regions."""
    return [{"image": image, "number": int(number)} for number in numbers]


def region_number(row: Mapping[str, Any]) -> int:
    """Return the number of a region among the objects of its image, or raise `ValueError`."""
    number = row["number"]
    if not isinstance(number, int) or not 0 <= number < 1 << NUMBER_BITS:
        raise ValueError(f"{number} is no number of a region")
    return number


def copy_row(member: ArchivedCopy) -> dict[str, Any]:
    """Return the row of an image in a copy group."""
    return {
        "image": member.image,
        "copy_group": member.group,
        "is_canonical": member.is_canonical,
        "via": member.via or None,
        "reason": shown(member.reason),
        "score": float(member.score),
    }


def copy_of(row: Mapping[str, Any]) -> ArchivedCopy:
    """Return the member of a row, or raise `ValueError`."""
    reason = row["reason"]
    if not isinstance(reason, str) or len(reason) > MOST_REASON:
        raise ValueError("a copy states no reason")
    return ArchivedCopy(
        id_of(row["image"]),
        id_of(row["copy_group"]),
        bool(row["is_canonical"]),
        "" if row["via"] is None else id_of(row["via"]),
        reason,
        _finite(row["score"]),
    )


def groups_of(members: Iterable[ArchivedCopy]) -> Iterator[list[ArchivedCopy]]:
    """Yield copy groups of members that stand in the order of their groups."""
    for _, group in groupby(members, key=lambda one: one.group):
        yield list(group)


def decision_row(decision: ArchivedDecision) -> dict[str, Any]:
    """Return the row of a decision."""
    return {
        "image": decision.image,
        "other": decision.other or None,
        "verdict": decision.verdict,
        "decided": float(decision.decided),
    }


def decision_of(row: Mapping[str, Any]) -> ArchivedDecision:
    """Return the decision of a row, or raise `ValueError`."""
    image, verdict = id_of(row["image"]), row["verdict"]
    other = "" if row["other"] is None else id_of(row["other"])
    if verdict not in VERDICTS or other == image or bool(other) == (verdict == "keep"):
        raise ValueError(f"{str(verdict)[:40]!r} is no verdict of {image} and {other or 'nothing'}")
    return ArchivedDecision(image, other, verdict, _finite(row["decided"]))


def _finite(value: object) -> float:
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError(f"{value} is no number")
    return value
