"""Groups of copies out of links between pairs, and which image stands for each.

Links join groups by union-find, the surest first, and never join two images that a person called
different, whatever lies between them. The outcome depends on the links, not on their order.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

BY_A_PERSON: Final = "said by a person"
LEAST_SHOWN: Final = 0.55
"""Two parts that each show more of one picture than this share pixels; smaller ones may not."""


@dataclass(frozen=True, slots=True)
class CopyLink:
    """Two images judged to be one picture.

    `larger` is the row of the one that shows more, or -1, and `shown` the share of it that the
    other has; `is_bordered` says that the rest of it is a mere border.
    """

    first: int
    second: int
    reason: str
    score: float
    larger: int = -1
    shown: float = 1.0
    is_bordered: bool = False

    @property
    def container(self) -> int:
        """The row of a picture that may hold others too (a collage, a page), or -1."""
        return -1 if self.is_bordered or self.shown >= LEAST_SHOWN else self.larger


@dataclass(frozen=True, slots=True)
class PersonSaid:
    """A person's word on a pair; of two that contradict each other the later one holds."""

    first: int
    second: int
    is_same: bool
    decided: float = 0.0


@dataclass(frozen=True, slots=True)
class CopyTraits:
    """What choosing a canonical image asks of each; `seen` is when it was first seen."""

    pixels: int
    bytes: int = 0
    seen: float = 0.0


@dataclass(frozen=True, slots=True)
class GroupMember:
    """An image of a group and the link it hangs by; the canonical image has none (`via` -1)."""

    row: int
    via: int = -1
    reason: str = ""
    score: float = 1.0


@dataclass(slots=True)
class _Unions:
    """Union-find whose sets may be kept apart from each other."""

    parents: dict[int, int] = field(default_factory=dict[int, int])
    sizes: dict[int, int] = field(default_factory=dict[int, int])
    apart: dict[int, set[int]] = field(default_factory=dict[int, set[int]])

    def root(self, row: int) -> int:
        """Return the representative of a row's set."""
        parents = self.parents
        top = parents.setdefault(row, row)
        while top != parents[top]:
            top = parents[top]
        while row != top:
            parents[row], row = top, parents[row]
        return top

    def separate(self, first: int, second: int) -> None:
        """Keep two sets apart, unless they are one already."""
        one, other = self.root(first), self.root(second)
        if one != other:
            self.apart.setdefault(one, set()).add(other)
            self.apart.setdefault(other, set()).add(one)

    def join(self, first: int, second: int) -> bool:
        """Make one set of two; say False where they must stay apart."""
        one, other = self.root(first), self.root(second)
        if one == other:
            return True
        if other in self.apart.get(one, ()):
            return False
        if (self.sizes.get(one, 1), -one) < (self.sizes.get(other, 1), -other):
            one, other = other, one
        self.parents[other] = one
        self.sizes[one] = self.sizes.get(one, 1) + self.sizes.pop(other, 1)
        for enemy in self.apart.pop(other, ()):
            self.apart[enemy].discard(other)
            self.apart[enemy].add(one)
            self.apart.setdefault(one, set()).add(enemy)
        return True


def join_links(
    links: Iterable[CopyLink],
    said: Iterable[PersonSaid] = (),
    standing: Iterable[Sequence[int]] = (),
) -> list[list[int]]:
    """Return groups of two images or more, each sorted, in the order of their first rows.

    A person's word comes first, the latest before earlier ones; then groups that stand already
    (`standing`); then links, the surest first. A picture that holds others (a collage) joins the
    group of one of them only, so that it does not make one picture of what it holds.
    """
    unions = _Unions()
    for word in sorted(said, key=lambda w: (-w.decided, min(w.first, w.second), w.first, w.second)):
        if word.is_same:
            unions.join(word.first, word.second)
        else:
            unions.separate(word.first, word.second)
    for group in sorted(sorted(group) for group in standing):
        for row in group[1:]:
            unions.join(group[0], row)
    holding: set[int] = set()
    for link in sorted(links, key=_surest_first):
        if unions.root(link.first) == unions.root(link.second):
            continue
        if link.container in holding:
            continue
        if unions.join(link.first, link.second) and link.container >= 0:
            holding.add(link.container)
    groups: dict[int, list[int]] = defaultdict(list)
    for row in sorted(unions.parents):
        groups[unions.root(row)].append(row)
    return sorted(group for group in groups.values() if len(group) > 1)


def _surest_first(link: CopyLink) -> tuple[bool, float, int, int, str]:
    """Order links: those of whole pictures, then by score, then by rows."""
    low, high = sorted((link.first, link.second))
    return link.container >= 0, -link.score, low, high, link.reason


def choose_canonical(
    group: Collection[int],
    traits: Mapping[int, CopyTraits],
    links: Iterable[CopyLink] = (),
    kept: Collection[int] = (),
) -> int:
    """Return the row that stands for a group.

    What a person kept comes first; then a picture without a border or strangers around it; then
    the most pixels, the uncropped before the cropped, the least compressed (bytes a pixel), the
    earliest, the lowest row.
    """
    wrapped: set[int] = set()
    cropped: set[int] = set()
    for link in links:
        if link.larger < 0 or not {link.first, link.second} <= set(group):
            continue
        if link.is_bordered or link.container >= 0:
            wrapped.add(link.larger)
        else:
            cropped.add(link.second if link.larger == link.first else link.first)

    def key(row: int) -> tuple[bool, bool, int, bool, float, float, int]:
        found = traits[row]
        density = found.bytes / max(found.pixels, 1)
        is_plain = row not in wrapped
        return row in kept, is_plain, found.pixels, row not in cropped, density, -found.seen, -row

    return max(group, key=key)


def hang(canonical: int, group: Collection[int], links: Iterable[CopyLink]) -> list[GroupMember]:
    """Hang every image of a group under its canonical one by the surest links.

    A spanning tree grown from the canonical image (Prim 1957). Images that only a person's word
    joined hang straight under it.

    Returns:
        The canonical image first, then by falling score and rising row.
    """
    beside: dict[int, list[CopyLink]] = defaultdict(list)
    for link in links:
        if link.first in group and link.second in group:
            beside[link.first].append(link)
            beside[link.second].append(link)
    members = {canonical: GroupMember(canonical)}
    open_links = [(link, canonical) for link in beside[canonical]]
    waiting = set(group) - {canonical}
    while waiting:
        open_links = [(link, at) for link, at in open_links if _far_end(link, at) in waiting]
        if open_links:
            link, via = min(open_links, key=lambda pair: (-pair[0].score, _far_end(*pair), pair[1]))
            row = _far_end(link, via)
            members[row] = GroupMember(row, via, link.reason, link.score)
        else:
            row = min(waiting)
            members[row] = GroupMember(row, canonical, BY_A_PERSON, 1.0)
        waiting.discard(row)
        open_links += [(link, row) for link in beside[row]]
    return sorted(members.values(), key=lambda m: (m.row != canonical, -m.score, m.row))


def _far_end(link: CopyLink, near: int) -> int:
    return link.second if link.first == near else link.first
