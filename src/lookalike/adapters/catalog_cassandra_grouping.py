"""Writes copy groups: each image's membership by compare-and-set, mended until nothing is odd.

The partition of an image in `images` says which group it is in; `copy_groups` lists where members
may be found, is written first, and may list images that have left. Members that two writers put at
once, or that one was killed amid, may make a group that cannot be (two canonical images, or one
member): readers see it mended, and whoever writes to the group next mends it for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra_carrying import ALL, COPIES, COPY_GROUPS, Effect
from lookalike.adapters.catalog_cassandra_client import Call
from lookalike.adapters.catalog_cassandra_planning import ImageState, Scene
from lookalike.adapters.catalog_groups import mended
from lookalike.adapters.catalog_values import pack_key, unpack_key
from lookalike.domain.errors import BackendTimeoutError
from lookalike.ports.copies import CopyMember

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lookalike.adapters.catalog_cassandra_carrying import Carrier
    from lookalike.adapters.catalog_cassandra_client import CassandraClient

ATTEMPTS: Final = 12
STALE_MICROS: Final = 600_000_000
"""A listing that is younger may be of a member about to come."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An image as a copy group sees it: `member` is None where it is in none."""

    row: int
    id: bytes
    version: int
    stamp: int
    member: CopyMember | None


def read_placed(client: CassandraClient, rows: Iterable[int]) -> dict[int, Placed]:
    """Return the live images among the rows, each with its place in a group."""
    wanted = list(dict.fromkeys(int(row) for row in rows))
    found = client.wave([Call(cql.READ_COPY, (row,)) for row in wanted])
    placed: dict[int, Placed] = {}
    for row, lines in zip(wanted, found, strict=True):
        if lines and lines[0][2]:
            _, key, _, version, stamp, *values = lines[0]
            placed[row] = Placed(row, key, version, stamp, _member_of(row, values))
    return placed


def read_groups(
    client: CassandraClient, groups: Iterable[int]
) -> tuple[dict[int, list[Placed]], list[tuple[int, int, int]], dict[int, Placed]]:
    """Return the images of groups as they stand, and what is listed without being there.

    The latest change stands first in a group. A stale listing is a group, a row, and when it was
    listed. The images of such rows come last, with all others that were read.
    """
    wanted = list(dict.fromkeys(groups))
    lines = client.wave([Call(cql.READ_COPY_ROWS, (group,)) for group in wanted])
    placed = read_placed(client, (row for of in lines for row, _ in of))
    found: dict[int, list[Placed]] = {}
    stale: list[tuple[int, int, int]] = []
    for group, of in zip(wanted, lines, strict=True):
        inside = found.setdefault(group, [])
        for row, listed in of:
            one = placed.get(row)
            if one is not None and one.member is not None and one.member.group == group:
                inside.append(one)
            else:
                stale.append((group, row, listed))
        inside.sort(key=lambda one: (-one.version, one.row))
    return found, stale, placed


def members_of(placed: Sequence[Placed]) -> list[CopyMember]:
    """Return the members of a group as they must be."""
    return mended([one.member for one in placed if one.member is not None])


def odd_groups(client: CassandraClient, groups: Sequence[int]) -> list[int]:
    """Return those of the groups that cannot be as they stand."""
    found, _, _ = read_groups(client, groups)
    return [
        group
        for group, placed in found.items()
        if {one.member for one in placed} != set(members_of(placed))
    ]


class Regrouper:
    """Puts images into copy groups for one writer, whose carrier owes what that brings about."""

    def __init__(self, client: CassandraClient, carrier: Carrier, tick: Callable[[], int]) -> None:
        self._client = client
        self._carrier = carrier
        self._tick = tick

    def replace(self, rows: Sequence[int], members: Sequence[CopyMember]) -> None:
        """Take rows out of their groups and put members in; rows of no live image stay out.

        Raises:
            BackendTimeoutError: other writers regroup the same images all the time.
        """
        self._settle([int(row) for row in rows], {one.row: one for one in members}, set())

    def mend(self, groups: Iterable[int]) -> None:
        """Give groups one canonical image, and end those of one image.

        Raises:
            BackendTimeoutError: other writers regroup the same images all the time.
        """
        if wanted := set(groups):
            self._settle([], {}, wanted)

    def _settle(
        self, rows: Sequence[int], given: Mapping[int, CopyMember], groups: set[int]
    ) -> None:
        """Put rows where they are given, then mend what that or another writer has left."""
        groups |= {one.group for one in given.values()}
        is_put = not rows
        for _ in range(ATTEMPTS):
            placed = read_placed(self._client, rows)
            groups |= {one.member.group for one in placed.values() if one.member is not None}
            found, stale, read = read_groups(self._client, sorted(groups))
            placed |= {one.row: one for of in found.values() for one in of}
            self._resolve([*rows, *(row for _, row, _ in stale), *placed], read | placed)
            if is_put:  # of two canonical images, the one that was chosen last
                latest = sorted(placed.values(), key=lambda one: (-one.version, one.row))
                after = {one.row: one.member for one in latest}
            else:
                after = {row: given.get(row) for row in rows if row in placed}
                after |= {row: one.member for row, one in placed.items() if row not in after}
            wanted = _mended(after, groups)
            changes = {row: to for row, to in wanted.items() if to != placed[row].member}
            if not changes:
                self._unlist(stale)
                return
            is_put = self._put(placed, changes) or is_put
        raise BackendTimeoutError(
            self._client.options.name,
            f"other writers regrouped the same images {ATTEMPTS} times in a row",
            hint="try again",
        )

    def _resolve(self, rows: Iterable[int], placed: Mapping[int, Placed]) -> None:
        """Learn from images that were read what doubtful writes have done to them."""
        stamps = {row: placed[row].stamp if row in placed else None for row in rows}
        states = {row: ImageState(row, stamp=stamp) for row, stamp in stamps.items()}
        self._carrier.owed.resolve(Scene(images=states))

    def _put(self, placed: Mapping[int, Placed], changes: Mapping[int, CopyMember | None]) -> bool:
        """List what comes to groups, then change each image; False when one was changed since."""
        self._carrier.open_mark(changes)
        listed = self._tick()
        self._client.wave(
            [
                Call(cql.PUT_COPY_ROW, (to.group, row, listed, listed))
                for row, to in changes.items()
                if to is not None
            ]
        )
        # A canonical image comes last: a group that is cut short has none rather than two.
        order = sorted(changes, key=lambda row: (_is_head(changes[row]), row))
        marks = [self._carrier.mark_of(placed[row].version) for row in order]
        done = self._carrier.swap(
            [
                Call(
                    cql.PUT_COPY,
                    (*mark, *_values(changes[row]), row, placed[row].stamp),
                    (),
                    mark[1],
                )
                for row, mark in zip(order, marks, strict=True)
            ]
        )
        for row, mark, outcome in zip(order, marks, done, strict=True):
            effect = _effect(row, placed[row].member, changes[row])
            self._carrier.settle(row, mark[1], outcome, effect)
        self._carrier.require_known(done)
        return all(done)

    def _unlist(self, stale: Sequence[tuple[int, int, int]]) -> None:
        """Drop old listings of images that are not there."""
        before = self._tick() - STALE_MICROS
        self._client.wave(
            [
                Call(cql.DROP_COPY_ROW, (listed, group, row))
                for group, row, listed in stale
                if listed < before
            ]
        )


def _mended(
    after: Mapping[int, CopyMember | None], groups: Iterable[int]
) -> dict[int, CopyMember | None]:
    """Return where each image is to be, so that every group can be."""
    wanted: dict[int, CopyMember | None] = dict.fromkeys(after)
    for group in groups:
        inside = [one for one in after.values() if one is not None and one.group == group]
        wanted |= {one.row: one for one in mended(inside)}
    return wanted


def _is_head(member: CopyMember | None) -> bool:
    return member is not None and member.is_canonical


def _effect(row: int, before: CopyMember | None, after: CopyMember | None) -> Effect:
    images = (after is not None) - (before is not None)
    heads = _is_head(after) - _is_head(before)
    return Effect({(ALL, COPIES): images, (ALL, COPY_GROUPS): heads}, row)


def _values(member: CopyMember | None) -> tuple[Any, ...]:
    """Return the values of `COPY_COLUMNS`."""
    if member is None:
        return (None,) * len(cql.COPY_COLUMNS)
    reason, score = pack_key(member.reason), float(member.score)
    return int(member.group), bool(member.is_canonical), int(member.via), reason, score


def _member_of(row: int, values: Sequence[Any]) -> CopyMember | None:
    group, is_canonical, via, reason, score = values
    if group is None:
        return None
    return CopyMember(row, group, bool(is_canonical), via, unpack_key(reason), score)
