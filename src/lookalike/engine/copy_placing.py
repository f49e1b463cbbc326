"""Placing images in copy groups: new ones at once, or the whole index anew.

Candidates come from the perceptual hashes in all eight turns, and from the nearest vectors; the
judge looks at each pair; what it calls copies is joined with the groups there are, under what
people decided.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.copies import LEAST_QUALITY, hash_turns, judge, strictness_named
from lookalike.domain.copy_groups import (
    CopyLink,
    CopyTraits,
    PersonSaid,
    choose_canonical,
    hang,
    join_links,
)
from lookalike.domain.hits import NO_ROW
from lookalike.domain.images import ImageFacts
from lookalike.engine.originals import thumbnail_key
from lookalike.ports.copies import CopyMember

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lookalike.domain.arrays import FloatMatrix
    from lookalike.domain.copies import PairEvidence, Strictness, Verdict
    from lookalike.domain.images import ImageRecord
    from lookalike.engine.copy_judge import CandidatePair, CopyJudge
    from lookalike.engine.hash_follower import CurrentHashes
    from lookalike.engine.stores import Stores

NEIGHBOURS: Final = 12
FIRST_NEIGHBOURS: Final = 6
"""Nearest vectors looked at for each image when the whole index is judged, and when it is added.

eval/copies/copies.json has what lies among so many: of an image that is added, all but collages,
and turned pictures, which hashes find. A pair costs some 16 ms of a core.
"""

LEAST_COSINE: Final = 0.5
HASH_RADIUS: Final = 10
MOST_BY_HASH: Final = 24
CHUNK: Final = 64


@dataclass(slots=True)
class _Pairs:
    """Pairs of rows that may be copies, each once, with their cosines where they are known."""

    cosines: dict[tuple[int, int], float | None] = field(
        default_factory=dict[tuple[int, int], "float | None"]
    )

    def add(self, one: int, other: int, cosine: float | None = None) -> None:
        """Note a pair; a cosine that is known stays known."""
        if one != other:
            key = (min(one, other), max(one, other))
            known = self.cosines.get(key)
            self.cosines[key] = known if cosine is None else cosine


class CopyPlacer:
    """Finds the copies of images and keeps the ledger's groups; one at a time writes."""

    def __init__(
        self, stores: Stores, hashes: CurrentHashes | None, strictness: str = "balanced"
    ) -> None:
        """Keep the stores; without `hashes`, candidates come from the vectors alone.

        Raises:
            UnknownNameError: no such strictness.
        """
        self._stores = stores
        self._hashes = hashes
        self._strictness: Strictness = strictness_named(strictness)
        self._made: CopyJudge | None = None

    @property
    def _judge(self) -> CopyJudge:
        """The judge, made when a pair is first looked at: it loads what lays pictures over."""
        if self._made is None:
            from lookalike.engine.copy_judge import CopyJudge

            blobs = self._stores.blobs
            self._made = CopyJudge(lambda image: blobs.get(thumbnail_key(image)), self._strictness)
        return self._made

    def place(self, rows: Sequence[int]) -> None:
        """Place images that are new or changed among their copies."""
        for begin in range(0, len(rows), CHUNK):
            records = self._records(rows[begin : begin + CHUNK])
            links = self.links(list(records.values()), neighbours=FIRST_NEIGHBOURS)
            self._join(set(records), links)

    def regroup(self, on_progress: Callable[[int], None] | None = None) -> int:
        """Judge the whole index anew and replace every group; decisions of people stand."""
        stores = self._stores
        seq = stores.catalog.state().seq if stores.is_dense else None
        links: dict[tuple[int, int], CopyLink] = {}
        done = 0
        for records in _chunks(stores.catalog.all_records()):
            for link in self.links(records):
                links[link.first, link.second] = link
            done += len(records)
            if on_progress is not None:
                on_progress(done)
        standing = [member.row for group in stores.copies.all_groups() for member in group]
        self._regrouped({*standing, *(row for pair in links for row in pair)}, links.values())
        if seq is not None:
            stores.copies.replace((), (), seq=seq)
        return len(links)

    def links(
        self, records: Sequence[ImageRecord], *, neighbours: int = NEIGHBOURS
    ) -> list[CopyLink]:
        """Return the links of some images to any others that the judge calls copies."""
        pairs = self.candidates(records, neighbours=neighbours)
        known = {int(record.row): record for record in records}
        wanted = {row for pair in pairs for row in pair} - known.keys()
        known |= self._records(sorted(wanted))
        told = [
            (pair, cosine)
            for pair, cosine in sorted(pairs.items())
            if pair[0] in known and pair[1] in known
        ]
        if not told:
            return []
        from lookalike.engine.copy_judge import CandidatePair

        judged = self.judged(
            [CandidatePair.of(known[one], known[other], cosine) for (one, other), cosine in told]
        )
        return [
            _link_from(pair, verdict)
            for (pair, _), (_, verdict) in zip(told, judged, strict=True)
            if verdict.is_copy
        ]

    def judged(self, pairs: Sequence[CandidatePair]) -> Sequence[tuple[PairEvidence, Verdict]]:
        """Return what was measured of each pair, and the verdict."""
        evidence = self._judge.evidence(pairs)
        return [(found, judge(found, self._strictness)) for found in evidence]

    def rejoin(self, rows: Sequence[int]) -> None:
        """Form the groups around some images anew, as after a person's word on them."""
        ledger = self._stores.copies
        links: dict[tuple[int, int], CopyLink] = {}
        everyone: set[int] = set()
        fresh = set(rows) | {
            row for one in ledger.decisions(sorted(rows)) for row in (one.first, one.second)
        }
        while fresh:
            array = np.asarray(sorted(fresh), dtype=np.int64)
            groups = sorted({group for group in ledger.groups_of(array).tolist() if group >= 0})
            members = {one.row for group in ledger.members(groups).values() for one in group}
            records = self._records(sorted((fresh | members) - everyone))
            everyone |= fresh | members
            for link in self.links(list(records.values())):
                links[link.first, link.second] = link
            fresh = {row for pair in links for row in pair} - everyone
        self._regrouped(everyone, links.values())

    def candidates(
        self, records: Sequence[ImageRecord], *, neighbours: int
    ) -> dict[tuple[int, int], float | None]:
        """Return pairs that may be copies, the lower row first, with their cosines."""
        pairs = _Pairs()
        telling = [one for one in records if one.facts.phash_quality >= LEAST_QUALITY]
        for record, rows in zip(telling, self._by_hash(telling), strict=True):
            for row in rows:
                pairs.add(record.row, row)
        vectors = self._stores.vectors
        rows = np.asarray([record.row for record in records], dtype=np.int64)
        rows = rows[vectors.has(rows)]
        for row, near in zip(
            rows.tolist(), self._by_vector(vectors.fetch(rows), neighbours), strict=True
        ):
            for other, cosine in near.items():
                pairs.add(row, other, cosine)
        self._fill_in(pairs)
        return pairs.cosines

    def near(
        self, facts: ImageFacts, vector: FloatMatrix | None, *, neighbours: int
    ) -> dict[int, float | None]:
        """Return rows that may be copies of a picture that is not stored, with their cosines."""
        found: dict[int, float | None] = {}
        if facts.phash_quality >= LEAST_QUALITY:
            found = dict.fromkeys(self._by_hash([facts])[0])
        if vector is None:
            return found
        found |= self._by_vector(vector[None, :], neighbours)[0]
        missing = np.asarray([row for row, cosine in found.items() if cosine is None], np.int64)
        missing = missing[self._stores.vectors.has(missing)] if len(missing) else missing
        if len(missing):
            cosines = self._stores.vectors.fetch(missing) @ vector
            found |= dict(zip(missing.tolist(), cosines.tolist(), strict=True))
        return found

    def judged_picture(
        self,
        facts: ImageFacts,
        thumbnail: bytes,
        candidates: Sequence[tuple[ImageFacts, float | None]],
    ) -> Sequence[tuple[PairEvidence, Verdict]]:
        """Judge a picture that is not stored against stored ones, with their cosines."""
        evidence = self._judge.evidence_of_picture(facts, thumbnail, candidates)
        return [(found, judge(found, self._strictness)) for found in evidence]

    def _by_hash(self, pictures: Sequence[ImageRecord] | Sequence[ImageFacts]) -> list[list[int]]:
        """Return the rows whose hashes are near to each picture's in any of its eight turns."""
        facts = [one if isinstance(one, ImageFacts) else one.facts for one in pictures]
        if self._hashes is None or not facts:
            return [[] for _ in facts]
        turned = np.asarray([hash_turns(one.phash) for one in facts], np.uint64)
        answers = self._hashes.caught_up().within(
            turned.ravel(), radius=HASH_RADIUS, most=MOST_BY_HASH
        )
        turns = turned.shape[1]
        return [
            list(
                dict.fromkeys(
                    row
                    for answer in answers[at * turns : (at + 1) * turns]
                    for row in answer.rows.tolist()
                )
            )
            for at in range(len(facts))
        ]

    def _by_vector(self, vectors: FloatMatrix, neighbours: int) -> list[dict[int, float]]:
        """Return the nearest rows of each of `(n, dim)` vectors that are near enough."""
        if not len(vectors):
            return []
        hits = self._stores.vectors.search(vectors, k=neighbours + 1)
        return [
            {
                row: score
                for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
                if row != NO_ROW and score >= LEAST_COSINE
            }
            for rows, scores in zip(hits.rows, hits.scores, strict=True)
        ]

    def _fill_in(self, pairs: _Pairs) -> None:
        """Compute the cosines that no search gave."""
        missing = [pair for pair, cosine in pairs.cosines.items() if cosine is None]
        if not missing:
            return
        array = np.asarray(sorted({row for pair in missing for row in pair}), dtype=np.int64)
        array = array[self._stores.vectors.has(array)]
        fetched = self._stores.vectors.fetch(array)
        by_row = dict(zip(array.tolist(), fetched, strict=True))
        for one, other in missing:
            if one in by_row and other in by_row:
                pairs.cosines[one, other] = float(by_row[one] @ by_row[other])

    def _join(self, rows: set[int], links: Sequence[CopyLink]) -> None:
        """Join links with the groups there are; images without a link stay where they are."""
        touched = {row for link in links for row in (link.first, link.second)}
        if not touched:
            return
        ledger = self._stores.copies
        array = np.asarray(sorted(touched | rows), dtype=np.int64)
        groups = sorted({group for group in ledger.groups_of(array).tolist() if group >= 0})
        standing = [list(members) for members in ledger.members(groups).values()]
        old = [_link_of(member) for members in standing for member in members if member.via >= 0]
        everyone = touched | {member.row for members in standing for member in members}
        self._regrouped(
            everyone,
            [*old, *links],
            standing=[[member.row for member in members] for members in standing],
        )

    def _regrouped(
        self,
        rows: set[int],
        links: Iterable[CopyLink],
        *,
        standing: Sequence[Sequence[int]] = (),
    ) -> None:
        """Write the groups that links make of some images, in the place of what they were in."""
        ledger = self._stores.copies
        everyone = sorted(rows)
        said = [
            PersonSaid(one.first, one.second, one.verdict == "same", one.decided)
            for one in ledger.decisions(everyone)
        ]
        joined = list(links)
        groups = join_links(joined, said, standing)
        everyone = sorted({*everyone, *(row for group in groups for row in group)})
        kept = ledger.kept(everyone)
        records = self._records([row for group in groups for row in group])
        between: dict[int, list[CopyLink]] = defaultdict(list)
        group_of = {row: at for at, group in enumerate(groups) for row in group}
        for link in joined:
            at = group_of.get(link.first)
            if at is not None and at == group_of.get(link.second):
                between[at].append(link)
        members: list[CopyMember] = []
        for at, group in enumerate(groups):
            live = [row for row in group if row in records]
            if len(live) < 2:
                continue
            traits = {row: _traits(records[row]) for row in live}
            canonical = choose_canonical(live, traits, between[at], kept)
            hung = hang(canonical, live, between[at])
            name = self._number(live, set(everyone))
            members += [
                CopyMember(one.row, name, one.row == canonical, one.via, one.reason, one.score)
                for one in hung
            ]
        ledger.replace(everyone, members)

    def _number(self, rows: Sequence[int], everyone: set[int]) -> int:
        """Return the number of a group: its first row that is no other group's number."""
        others = self._stores.copies.members(sorted(rows))
        taken = {
            group
            for group, members in others.items()
            if any(member.row not in everyone for member in members)
        }
        return next((row for row in sorted(rows) if row not in taken), min(rows))

    def _records(self, rows: Sequence[int]) -> dict[int, ImageRecord]:
        found = self._stores.catalog.records(list(rows))
        return {int(record.row): record for record in found if record is not None}


def _link_from(pair: tuple[int, int], verdict: Verdict) -> CopyLink:
    larger = pair[verdict.larger] if verdict.larger >= 0 else -1
    return CopyLink(
        *pair, verdict.reason, verdict.score, larger, verdict.shown, verdict.is_bordered
    )


def _link_of(member: CopyMember) -> CopyLink:
    return CopyLink(member.row, member.via, member.reason, member.score)


def _traits(record: ImageRecord) -> CopyTraits:
    facts = record.facts
    return CopyTraits(facts.width * facts.height, facts.bytes, record.first_seen)


def _chunks(records: Iterator[ImageRecord]) -> Iterator[list[ImageRecord]]:
    chunk: list[ImageRecord] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
