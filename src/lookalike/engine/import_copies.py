"""Copy groups and decisions of an archive, written into an index that may know better.

What people decided in the index stays. A group of the archive comes in where the index has put its
images together with no others: then nothing of the index's own is torn apart, and what it placed
by itself while the images came in gives way.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.images import ImageId
from lookalike.ports.copies import CopyDecision, CopyMember

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lookalike.engine.stores import Stores
    from lookalike.ports.archive import ArchivedCopy, ArchivedDecision, ArchiveReader

GROUPS: Final = 64
"""Copy groups whose images are looked up at once."""


def take_decisions(stores: Stores, archive: ArchiveReader) -> None:
    """Take over what people decided of images that are here."""
    for decisions in archive.decisions():
        ids = [one.image for one in decisions] + [_id(one.other) for one in decisions if one.other]
        rows = stores.catalog.rows_of(list(dict.fromkeys(ids)))
        kept = [rows[one.image] for one in decisions if one.verdict == "keep" and one.image in rows]
        pairs = [pair for one in decisions if (pair := _decision(one, rows)) is not None]
        if pairs or kept:
            stores.copies.adopt(pairs, kept)


def take_copies(stores: Stores, archive: ArchiveReader) -> tuple[int, int]:
    """Take over copy groups; return how many are here then, and how many were passed over."""
    taken = passed = 0
    groups = iter(archive.copies())
    while some := list(islice(groups, GROUPS)):
        rows = stores.catalog.rows_of([one.image for group in some for one in group])
        for group in some:
            members = _members(group, rows)
            if len(members) < 2 or not _is_free(stores, members):
                passed += 1
                continue
            _put(stores, members)
            taken += 1
    return taken, passed


def _members(group: Sequence[ArchivedCopy], rows: Mapping[ImageId, int]) -> list[CopyMember]:
    """Return the members that are here, under the rows they have here."""
    here = [one for one in group if one.image in rows]
    if len({one.image for one in here}) < len(here):
        return []
    number = rows.get(group[0].group, min((rows[one.image] for one in here), default=0))
    return [
        CopyMember(
            rows[one.image], number, one.is_canonical, rows.get(_id(one.via), -1), one.reason,
            one.score,
        )
        for one in here
    ]  # fmt: skip


def _is_free(stores: Stores, members: Sequence[CopyMember]) -> bool:
    """Tell whether the images are in no group here, or only in groups with one another.

    The number must be nobody else's either.
    """
    ours = {one.row for one in members}
    groups = stores.copies.groups_of(np.asarray(sorted(ours), dtype=np.int64))
    touched = {*groups[groups >= 0].tolist(), members[0].group}
    there = stores.copies.members(sorted(touched))
    return all(one.row in ours for group in there.values() for one in group)


def _put(stores: Stores, members: Sequence[CopyMember]) -> None:
    """Write a group unless it stands here already as it is."""
    group = members[0].group
    known = {one.row: one for one in stores.copies.members([group]).get(group, ())}
    if known != {one.row: one for one in members}:
        stores.copies.replace([one.row for one in members], members)


def _decision(one: ArchivedDecision, rows: Mapping[ImageId, int]) -> CopyDecision | None:
    first, second = rows.get(one.image), rows.get(_id(one.other))
    if one.verdict == "keep" or first is None or second is None:
        return None
    return CopyDecision(min(first, second), max(first, second), one.verdict, one.decided)


def _id(text: str) -> ImageId:
    return ImageId(text)
