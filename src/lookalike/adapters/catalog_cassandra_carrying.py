"""Carries plans out, in an order that a retry mends from wherever it was cut short.

1. images are listed for the sites they come to, then gain: new facts, sources added or told anew
   (compare-and-set, an image at a time)
2. uris are led to their images, and remember which image they have left (compare-and-set);
   what is derived from them is written
3. images lose: a source, or everything with the last one (compare-and-set); what is derived from
   them is written
4. uris forget which image they have left (compare-and-set)

What is derived in steps 2 and 3 is written for all that the batch names, changed or not: a retry
then writes what the first try did not come to.

A uri is led to an image only when no other still has to let go of it, which is why step 2
remembers and step 4 forgets.
"""

from __future__ import annotations

import secrets
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra_client import Call
from lookalike.adapters.catalog_cassandra_derived import image_calls, site_calls, uri_calls
from lookalike.adapters.catalog_cassandra_errors import translated
from lookalike.adapters.catalog_cassandra_mapping import fact_values, id_prefix, source_values
from lookalike.adapters.catalog_values import pack_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lookalike.adapters.catalog_cassandra_client import CassandraClient
    from lookalike.adapters.catalog_cassandra_derived import Marks, Part
    from lookalike.adapters.catalog_cassandra_planning import ImageState, Plan, Scene, UriState

PIECE_SOURCES: Final = 100
PIECE_BYTES: Final = 2 << 20
MOST_PARTS: Final = 200_000
ALL: Final = "all"
REASONS: Final = "reasons"
COPIES: Final = b"copies"
COPY_GROUPS: Final = b"copy_groups"
"""Images in copy groups, and canonical ones: each group has one."""

_STAMP_BITS: Final = 63
_NO_FACTS: Final = (None,) * (len(cql.FACT_COLUMNS) - 1)

Changed = tuple["ImageState", "ImageState"]
ChangedUri = tuple["UriState", "UriState"]


@dataclass(frozen=True, slots=True)
class Effect:
    """What one compare-and-set brings about: counts, and for an image its entry in the log."""

    counts: Mapping[tuple[str, bytes], int]
    row: int = -1
    change: tuple[bool, bytes] | None = None


@dataclass(slots=True)
class Owed:
    """What compare-and-sets have brought about and is still to be logged and counted.

    `doubts` are those whose answer never came, by the key of the partition, with the stamp they
    would have left: when the partition is read again, the stamp tells. `rows` are those that
    the commits since the last settled one may have changed, as the mark in `commits_open` says.
    """

    changes: dict[int, tuple[bool, bytes]] = field(default_factory=dict[int, tuple[bool, bytes]])
    counts: Counter[tuple[str, bytes]] = field(default_factory=Counter[tuple[str, bytes]])
    doubts: dict[int | bytes, tuple[int, Effect]] = field(
        default_factory=dict["int | bytes", "tuple[int, Effect]"]
    )
    rows: dict[int, None] = field(default_factory=dict[int, None])
    is_open: bool = False
    is_unsure: bool = False

    def take(self, effect: Effect) -> None:
        """Owe what a compare-and-set that was applied has brought about."""
        for name, amount in effect.counts.items():
            self.counts[name] += amount
        if effect.change is not None:
            self.changes[effect.row] = effect.change

    def resolve(self, scene: Scene) -> None:
        """Learn from what was read whether doubtful compare-and-sets were applied."""
        stamps: dict[int | bytes, int | None] = {
            row: image.stamp for row, image in scene.images.items()
        }
        stamps |= {key: uri.stamp for key, uri in scene.uris.items()}
        for key in self.doubts.keys() & stamps.keys():
            stamp, effect = self.doubts.pop(key)
            if stamps[key] == stamp:
                self.take(effect)

    @property
    def is_settled(self) -> bool:
        """Whether it is known what every write has done."""
        return not self.is_unsure and not self.doubts


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one compare-and-set changes of an image, and by how much its live sources."""

    further: Sequence[Call] = ()
    alive: int = 0
    has_facts: bool = False

    def call(self, image: ImageState, mark: tuple[int, int], stamp: int | None) -> Call:
        """Return the compare-and-set that replaces a stamp by a mark."""
        seen = (image.first_seen, image.last_seen)
        if not self.has_facts:
            values = (*mark, *seen, image.row, stamp)
            return Call(cql.PUT_STATE, values, self.further, mark[1])
        facts = (image.id, *_NO_FACTS) if image.new is None else fact_values(image.new)
        values = (image.is_live, *mark, *seen, *facts, image.row, stamp)
        return Call(cql.PUT_FACTS, values, self.further, mark[1])


class Carrier:
    """Carries the plans of one writer out; `owed` gathers what they bring about."""

    def __init__(
        self,
        client: CassandraClient,
        *,
        clock: Callable[[], float],
        tick: Callable[[], int],
        uri_parts: int,
    ) -> None:
        self.name = uuid.uuid4()
        self.owed = Owed()
        self._client = client
        self._clock = clock
        self._tick = tick
        self._uri_parts = uri_parts
        self._parts: set[Part] = set()

    def carry(self, plan: Plan) -> bool:
        """Carry a plan out; False when another writer was there, and all has to be read again.

        Raises:
            BackendError: a write failed or its outcome is not known; a retry mends.
        """
        images, uris = list(plan.changed_images()), list(plan.changed_uris())
        if images or uris or plan.scene.unsettled():
            self.open_mark(after.row for _, after in images)
        self.derive(*site_calls(plan, self._tick))
        going = _Carrying(self, plan)
        if not (going.gain(images) and going.lead(uris)):
            return False
        self.derive(*uri_calls(plan, going.uris, self._uri_parts))
        if not going.lose(images):
            return False
        self.derive(*image_calls(plan, going.images))
        if self._was_blocked(images):
            return False
        going.let_go()
        return True

    def derive(self, calls: Sequence[Call], parts: Iterable[Part], ttl: int = 0) -> None:
        """Write what is derived, after listing the partitions it goes to."""
        new = [part for part in parts if part not in self._parts]
        self._client.wave([Call(cql.PUT_PART, (*part, ttl)) for part in new])
        if len(self._parts) > MOST_PARTS:
            self._parts.clear()
        self._parts.update(new)
        self._client.wave(calls)

    def swap(self, calls: Sequence[Call]) -> list[bool | BaseException]:
        """Run compare-and-sets; each is applied, or not, or its outcome is an error."""
        done: list[bool | BaseException] = []
        for call, outcome in zip(calls, self._client.attempt(calls), strict=True):
            if isinstance(outcome, BaseException):
                done.append(outcome)
            else:
                line = outcome[0]
                done.append(bool(line[0]) or (len(line) > 1 and line[-1] == call.stamp))
        return done

    def require_known(self, outcomes: Iterable[object]) -> None:
        """Raise the first error among outcomes."""
        for one in outcomes:
            if isinstance(one, BaseException):
                raise translated(one, self._client.options.name) from one

    def settle(self, key: int | bytes, stamp: int, outcome: object, effect: Effect) -> bool:
        """Owe what a compare-and-set has brought about, or doubt it; True when it was applied."""
        if isinstance(outcome, BaseException):
            self.owed.doubts[key] = (stamp, effect)
        elif outcome:
            self.owed.take(effect)
        return outcome is True

    def mark_of(self, version: int) -> tuple[int, int]:
        """Return a version above one, and a stamp that no other write has."""
        return max(version + 1, self._tick()), secrets.randbits(_STAMP_BITS)

    def open_mark(self, rows: Iterable[int]) -> None:
        """Note that a commit is under way, and which rows it may change."""
        self.owed.rows |= dict.fromkeys(rows)
        self.owed.is_open = True
        self._client.run(cql.PUT_OPEN, self.name, self._clock(), list(self.owed.rows))

    def _was_blocked(self, images: Sequence[Changed]) -> bool:
        """Tell whether an image was blocked while it was put.

        Whoever blocks states it before looking for the image, whoever puts looks after putting:
        one of both sees the other.
        """
        new = [after.id for before, after in images if after.is_live and not before.is_live]
        calls = [Call(cql.READ_ID, (id_prefix(key), key)) for key in new]
        return any(line[2] for lines in self._client.wave(calls) for line in lines)


class _Carrying:
    """One plan under way; knows the version and the stamp that each partition has by now."""

    def __init__(self, carrier: Carrier, plan: Plan) -> None:
        scene = plan.scene
        self._carrier = carrier
        self._plan = plan
        self._leaving = {uri.key for uri in scene.uris.values() if uri.former is not None}
        self.images: dict[int, Marks] = {
            row: (image.version, image.stamp) for row, image in scene.images.items()
        }
        self.uris: dict[bytes, Marks] = {
            key: (uri.version, uri.stamp) for key, uri in scene.uris.items()
        }

    def gain(self, images: Sequence[Changed]) -> bool:
        """Give images their facts and sources."""
        return self._swap_images([(*pair, _gains(*pair)) for pair in images])

    def lose(self, images: Sequence[Changed]) -> bool:
        """Take sources from images, and images away."""
        return self._swap_images([(*pair, _losses(*pair)) for pair in images])

    def lead(self, uris: Sequence[ChangedUri]) -> bool:
        """Lead uris to their images, or to a refusal, or to nothing."""
        calls: list[Call] = []
        marks: list[tuple[int, int]] = []
        for before, after in uris:
            version, stamp = self.uris[after.key]
            marks.append(self._carrier.mark_of(version))
            calls.append(_uri_call(after, marks[-1], self._former(before, after), stamp))
        done = self._carrier.swap(calls)
        for (before, after), mark, outcome in zip(uris, marks, done, strict=True):
            if self._carrier.settle(after.key, mark[1], outcome, _uri_effect(before, after)):
                self.uris[after.key] = mark
                if self._former(before, after) is not None:
                    self._leaving.add(after.key)
        self._carrier.require_known(done)
        return all(done)

    def let_go(self) -> None:
        """Let uris forget which image they have left.

        One that has changed in between was seen to by whoever changed it.
        """
        calls: list[Call] = []
        for key in self._leaving:
            version, stamp = self.uris[key]
            calls.append(
                _uri_call(self._plan.uris[key], self._carrier.mark_of(version), None, stamp)
            )
        self._carrier.require_known(self._carrier.swap(calls))

    def _swap_images(self, images: Sequence[tuple[ImageState, ImageState, list[_Piece]]]) -> bool:
        """Change images piece by piece, the same piece of all images at once."""
        for at in range(max((len(pieces) for _, _, pieces in images), default=0)):
            due = [(before, after, of[at]) for before, after, of in images if at < len(of)]
            marks = [self._carrier.mark_of(self.images[after.row][0]) for _, after, _ in due]
            done = self._carrier.swap(
                [
                    piece.call(after, mark, self.images[after.row][1])
                    for (_, after, piece), mark in zip(due, marks, strict=True)
                ]
            )
            for (before, after, piece), mark, outcome in zip(due, marks, done, strict=True):
                effect = self._image_effect(before, after, piece)
                if self._carrier.settle(after.row, mark[1], outcome, effect):
                    self.images[after.row] = mark
            self._carrier.require_known(done)
            if not all(done):
                return False
        return True

    def _former(self, before: UriState, after: UriState) -> int | None:
        """Return the image that a uri leaves, if it has to let go of it."""
        if before.row is None or before.row == after.row:
            return None
        return before.row if self._plan.scene.images[before.row].is_live else None

    def _image_effect(self, before: ImageState, after: ImageState, piece: _Piece) -> Effect:
        counts = {(ALL, b"sources"): piece.alive}
        if piece.has_facts:
            was_removed = before.is_stated and not before.is_live
            counts[ALL, b"images"] = after.is_live - before.is_live
            counts[ALL, b"removed"] = (not after.is_live) - was_removed
            if not after.is_live:
                counts[ALL, COPIES] = -(before.copy_group is not None)
                counts[ALL, COPY_GROUPS] = -before.is_canonical
        is_removal = self._plan.touched.get(after.row)
        change = None if is_removal is None else (is_removal, after.id)
        return Effect(counts, after.row, change)


def _uri_effect(before: UriState, after: UriState) -> Effect:
    counts: Counter[tuple[str, bytes]] = Counter()
    for uri, amount in ((before, -1), (after, 1)):
        if uri.reason is not None:
            counts[ALL, b"failures"] += amount
            counts[REASONS, pack_key(uri.reason)] += amount
    return Effect(counts)


def _gains(before: ImageState, after: ImageState) -> list[_Piece]:
    """Return what an image gains, in pieces that are not too large for one write."""
    if not after.is_live:
        return []
    seen = (before.first_seen, before.last_seen) != (after.first_seen, after.last_seen)
    pieces: list[_Piece] = []
    further: list[Call] = []
    alive = size = 0
    for key, stored in after.sources.items():
        old = before.sources.get(key)
        if old == stored:
            continue
        values = source_values(stored.number, stored.source)
        further.append(Call(cql.PUT_SOURCE, (after.row, key, *values)))
        alive += (not stored.source.is_vanished) - (old is not None and not old.source.is_vanished)
        size += sum(len(value) for value in values if isinstance(value, bytes))
        if len(further) == PIECE_SOURCES or size > PIECE_BYTES:
            pieces.append(_Piece(further, alive, not pieces and after.new is not None))
            further, alive, size = [], 0, 0
    if further or (not pieces and (seen or after.new is not None)):
        pieces.append(_Piece(further, alive, not pieces and after.new is not None))
    return pieces


def _losses(before: ImageState, after: ImageState) -> list[_Piece]:
    """Return what an image loses, in pieces; one that goes loses all at once."""
    if not after.is_live:
        if before.is_stated and not before.is_live:
            return []
        statements = (cql.DROP_SOURCES, cql.DROP_COPY) if before.is_live else ()
        drop = [Call(statement, (after.row,)) for statement in statements]
        return [_Piece(drop, -_alive(before, before.sources), has_facts=True)]
    gone = [key for key in before.sources if key not in after.sources]
    some = (gone[at : at + PIECE_SOURCES] for at in range(0, len(gone), PIECE_SOURCES))
    return [
        _Piece([Call(cql.DROP_SOURCE, (after.row, key)) for key in keys], -_alive(before, keys))
        for keys in some
    ]


def _alive(image: ImageState, keys: Iterable[bytes]) -> int:
    return sum(not image.sources[key].source.is_vanished for key in keys)


def _uri_call(uri: UriState, mark: tuple[int, int], former: int | None, stamp: int | None) -> Call:
    """Return the compare-and-set for a uri; one of which nothing is known goes within a day."""
    reason = None if uri.reason is None else pack_key(uri.reason)
    said = (uri.row, reason, pack_key(uri.fingerprint), uri.number, uri.is_vanished, former)
    is_gone = not uri.is_known and former is None
    return Call(
        cql.FORGET_URI if is_gone else cql.PUT_URI, (*mark, *said, uri.key, stamp), (), mark[1]
    )
