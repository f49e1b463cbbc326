"""Copies as people ask for them: of one image, of a picture, by group; and what they decide."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from lookalike.domain.answers import record_json
from lookalike.domain.errors import NotFoundError, UsageError
from lookalike.engine.copy_placing import CopyPlacer
from lookalike.ports.copies import CopyDecision, CopyStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from lookalike.domain.arrays import FloatMatrix
    from lookalike.domain.images import ImageFacts, ImageId, ImageRecord
    from lookalike.domain.queries import ImagePart
    from lookalike.engine.hash_follower import CurrentHashes
    from lookalike.engine.stores import Stores
    from lookalike.engine.writer import IndexWriter
    from lookalike.ports.copies import CopyMember

MOST_NEIGHBOURS: Final = 20
"""Nearest vectors looked at for the copies of one picture (eval/copies/copies.json)."""


@dataclass(frozen=True, slots=True)
class FoundCopy:
    """An image that is the same picture as another: why, how surely, and what was measured.

    `cosine` and `hash_distance` (the least of the eight turns) are None where a person said so.
    """

    record: ImageRecord
    reason: str
    score: float
    cosine: float | None = None
    hash_distance: int | None = None


@dataclass(frozen=True, slots=True)
class CopyGroup:
    """One picture in several files, the one that stands for it first, each with its reason."""

    number: int
    members: Sequence[tuple[ImageRecord, CopyMember]]

    def to_json(self) -> dict[str, Any]:
        """Return the image that stands for the group, and each with what it copies and why."""
        ids = {member.row: record.id for record, member in self.members}
        return {
            "canonical": next(record.id for record, one in self.members if one.is_canonical),
            "members": [
                {
                    "record": record_json(record),
                    "copy_of": ids.get(member.via),
                    "reason": member.reason,
                    "score": round(member.score, 4),
                }
                for record, member in self.members
            ],
        }


class CopySearch:
    """Finds copies in the stores of an index, and lists its groups."""

    def __init__(self, stores: Stores, placer: CopyPlacer) -> None:
        """Keep the stores, and the placer that is as strict as wanted."""
        self._stores = stores
        self._placer = placer

    def of(self, image: ImageId) -> Sequence[FoundCopy]:
        """Return the copies of one image, the surest first; what people decided holds."""
        row = self._stores.catalog.rows_of([image]).get(image)
        record = self._stores.catalog.records([row])[0] if row is not None else None
        if row is None or record is None:
            raise NotFoundError(f"no image {image} in this index")
        pairs = self._placer.candidates([record], neighbours=MOST_NEIGHBOURS)
        others = sorted({one for pair in pairs for one in pair} - {row})
        said = {
            one.second if one.first == row else one.first: one.verdict
            for one in self._stores.copies.decisions([row])
        }
        known = self._records([*others, *said])
        asked = [
            (other, pairs.get((min(row, other), max(row, other))))
            for other in others
            if other in known and other not in said
        ]
        from lookalike.engine.copy_judge import CandidatePair

        judged = self._placer.judged(
            [CandidatePair.of(record, known[other], cosine) for other, cosine in asked]
        )
        found = [
            FoundCopy(known[other], verdict.reason, verdict.score, cosine, evidence.hash_distance)
            for (other, cosine), (evidence, verdict) in zip(asked, judged, strict=True)
            if verdict.is_copy
        ]
        found += [
            FoundCopy(known[other], "said by a person", 1.0)
            for other, verdict in said.items()
            if verdict == "same" and other in known
        ]
        return _sorted(found)

    def of_picture(
        self, facts: ImageFacts, vector: FloatMatrix | None, thumbnail: bytes
    ) -> Sequence[FoundCopy]:
        """Return the copies of a picture that is not stored, the surest first.

        `facts` and `thumbnail` are what `imaging.examine` says of it, `vector` is `(dim,)`.
        """
        pairs = self._placer.near(facts, vector, neighbours=MOST_NEIGHBOURS)
        known = self._records(sorted(pairs))
        asked = [(row, cosine) for row, cosine in sorted(pairs.items()) if row in known]
        judged = self._placer.judged_picture(
            facts, thumbnail, [(known[row].facts, cosine) for row, cosine in asked]
        )
        return _sorted(
            [
                FoundCopy(known[row], verdict.reason, verdict.score, cosine, found.hash_distance)
                for (row, cosine), (found, verdict) in zip(asked, judged, strict=True)
                if verdict.is_copy
            ]
        )

    def group_of(self, image: ImageId) -> CopyGroup | None:
        """Return the group an image stands in, or None."""
        row = self._stores.catalog.rows_of([image]).get(image)
        if row is None:
            raise NotFoundError(f"no image {image} in this index")
        group = int(self._stores.copies.groups_of(np.asarray([row], dtype=np.int64))[0])
        if group < 0:
            return None
        return self._group(self._stores.copies.members([group])[group])

    def groups(self) -> Iterator[CopyGroup]:
        """Yield every group of the index."""
        for members in self._stores.copies.all_groups():
            if (group := self._group(members)) is not None:
                yield group

    def _group(self, members: Sequence[CopyMember]) -> CopyGroup | None:
        records = self._records([member.row for member in members])
        shown = [(records[one.row], one) for one in members if one.row in records]
        return CopyGroup(members[0].group, shown) if len(shown) > 1 else None

    def _records(self, rows: Sequence[int]) -> dict[int, ImageRecord]:
        found = self._stores.catalog.records(list(rows))
        return {int(record.row): record for record in found if record is not None}


@dataclass(frozen=True, slots=True)
class CopyTools:
    """What copies are found with.

    `strictness` is the index's own, `off` where nothing is placed; `examined` reads a picture
    that is not stored: its facts, its `(dim,)` vector and a thumbnail of it.
    """

    stores: Stores
    hashes: CurrentHashes | None
    strictness: str
    resolve: Callable[[str], ImageId]
    writing: Callable[[], AbstractContextManager[IndexWriter]]
    examined: Callable[[ImagePart], tuple[ImageFacts, FloatMatrix | None, bytes]]
    clock: Callable[[], float]


class Copies:
    """Copies of one index: found, listed, regrouped, and decided on by people.

    A decision holds whatever is measured, and can be taken back.
    """

    def __init__(self, tools: CopyTools) -> None:
        """Keep the tools."""
        self._tools = tools
        self._own = "balanced" if tools.strictness == "off" else tools.strictness
        self._searches: dict[str, CopySearch] = {}

    def of(self, reference: str, *, strictness: str | None = None) -> Sequence[FoundCopy]:
        """Return the copies of one image, the surest first."""
        return self._search(strictness).of(self._tools.resolve(reference))

    def of_picture(self, part: ImagePart, *, strictness: str | None = None) -> Sequence[FoundCopy]:
        """Return the copies of a picture of a query, the surest first."""
        if part.kind == "id":
            return self.of(part.reference, strictness=strictness)
        return self._search(strictness).of_picture(*self._tools.examined(part))

    def group_of(self, reference: str) -> CopyGroup | None:
        """Return the group that an image stands in, or None."""
        return self._search(None).group_of(self._tools.resolve(reference))

    def groups(self) -> Iterator[CopyGroup]:
        """Yield every group of the index."""
        return self._search(None).groups()

    def regroup(
        self, *, strictness: str | None = None, on_progress: Callable[[int], None] | None = None
    ) -> int:
        """Judge the whole index anew; return how many pairs are copies."""
        with self._tools.writing() as writer:
            return self._placer(writer.stores, strictness).regroup(on_progress)

    def merge(self, references: Sequence[str]) -> None:
        """Say that images are one picture."""
        with self._tools.writing() as writer:
            rows = self._rows(writer.stores, references, least=2)
            self._decide(writer.stores, "same", rows, list(combinations(sorted(rows), 2)))

    def split(self, references: Sequence[str]) -> None:
        """Say that images are different pictures; of one, that its whole group is another."""
        with self._tools.writing() as writer:
            rows = self._rows(writer.stores, references, least=1)
            pairs = list(combinations(sorted(rows), 2))
            if len(rows) == 1:
                others = set(_members_of(writer.stores, rows[0])) - set(rows)
                if not others:
                    raise UsageError(f"image {references[0]} has no copies to split it from")
                pairs = [(min(rows[0], other), max(rows[0], other)) for other in sorted(others)]
                rows = [*rows, *sorted(others)]
            self._decide(writer.stores, "different", rows, pairs)

    def keep(self, reference: str) -> None:
        """Choose the image that stands for its group."""
        with self._tools.writing() as writer:
            (row,) = self._rows(writer.stores, [reference], least=1)
            members = _members_of(writer.stores, row)
            if not members:
                raise UsageError(f"image {reference} is in no group of copies")
            step = CopyStep(0, "keep", tuple(members), kept=row, at=self._tools.clock())
            writer.stores.copies.decide(step, [])
            self._placer(writer.stores, None).rejoin(members)

    def undo(self) -> CopyStep | None:
        """Take back the last act that still stands and return it, or None."""
        with self._tools.writing() as writer:
            step = writer.stores.copies.undo()
            if step is not None:
                self._placer(writer.stores, None).rejoin(step.rows)
            return step

    def _search(self, strictness: str | None) -> CopySearch:
        """Return what finds copies; each strictness keeps the pictures that it looked at last."""
        chosen = strictness or self._own
        if chosen not in self._searches:
            placer = self._placer(self._tools.stores, chosen)
            self._searches[chosen] = CopySearch(self._tools.stores, placer)
        return self._searches[chosen]

    def _placer(self, stores: Stores, strictness: str | None) -> CopyPlacer:
        return CopyPlacer(stores, self._tools.hashes, strictness or self._own)

    def _decide(
        self,
        stores: Stores,
        verdict: Literal["same", "different"],
        rows: Sequence[int],
        pairs: Sequence[tuple[int, int]],
    ) -> None:
        now = self._tools.clock()
        kind = "merge" if verdict == "same" else "split"
        step = CopyStep(0, kind, tuple(sorted(rows)), at=now)
        stores.copies.decide(step, [CopyDecision(a, b, verdict, now) for a, b in pairs])
        self._placer(stores, None).rejoin(rows)

    def _rows(self, stores: Stores, references: Sequence[str], *, least: int) -> list[int]:
        wanted = list(dict.fromkeys(self._tools.resolve(one) for one in references))
        found = stores.catalog.rows_of(wanted)
        for image in wanted:
            if image not in found:
                raise NotFoundError(f"no image {image} in this index")
        if len(wanted) < least:
            raise UsageError(f"{least} images or more are needed", hint="name their ids")
        return [int(found[image]) for image in wanted]


def make_placer(stores: Stores, hashes: CurrentHashes | None, strictness: str) -> CopyPlacer | None:
    """Return what places new images among their copies, None where that is `off`."""
    return None if strictness == "off" else CopyPlacer(stores, hashes, strictness)


def _members_of(stores: Stores, row: int) -> list[int]:
    """Return the rows of an image's group, its own among them; none of an image in no group."""
    group = int(stores.copies.groups_of(np.asarray([row], dtype=np.int64))[0])
    if group < 0:
        return []
    return [one.row for one in stores.copies.members([group]).get(group, ())]


def _sorted(found: Sequence[FoundCopy]) -> list[FoundCopy]:
    return sorted(found, key=lambda one: (-one.score, -(one.cosine or 1.0), one.record.id))
