"""What an export takes along of an index's regions, copy groups and decisions, bit for bit."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.errors import StoreError
from lookalike.domain.regions import NUMBER_BITS
from lookalike.engine.vector_blobs import regions_key
from lookalike.ports.archive import ArchivedCopy, ArchivedDecision, ArchivedRegions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lookalike.domain.arrays import HalfMatrix
    from lookalike.domain.images import ImageId, ImageRecord
    from lookalike.engine.stores import Stores
    from lookalike.ports.archive import ArchiveWriter
    from lookalike.ports.copies import CopyMember

GROUPS: Final = 64
"""Copy groups whose images are looked up at once."""


def read_regions(stores: Stores, records: Sequence[ImageRecord]) -> list[ArchivedRegions]:
    """Return the regions of each image as they are stored.

    A cluster keeps them in blobs; one that is lost there comes from the region index.
    """
    nothing = ArchivedRegions((), np.zeros((0, stores.vectors.dim), "<f2"))
    wanted = [record for record in records if record.objects]
    kept = {} if stores.is_dense or not wanted else _kept(stores, [one.id for one in wanted])
    missing = [record for record in wanted if record.id not in kept]
    is_there = stores.regions.has(np.asarray([one.row for one in missing], dtype=np.int64))
    found: dict[ImageId, ArchivedRegions] = dict(kept)
    for record, there in zip(missing, is_there.tolist(), strict=True):
        if there:
            found[record.id] = _fetched(stores, record)
    return [found.get(record.id, nothing) for record in records]


def decisions_of(stores: Stores, records: Sequence[ImageRecord]) -> list[ArchivedDecision]:
    """Return what people decided of some images; of a pair, with the first one of it alone."""
    ids = {int(record.row): record.id for record in records}
    decisions = [one for one in stores.copies.decisions(list(ids)) if one.first in ids]
    others = _ids_of(stores, {one.second for one in decisions} - ids.keys()) | ids
    said = [
        ArchivedDecision(ids[one.first], others[one.second], one.verdict, one.decided)
        for one in decisions
        if one.second in others
    ]
    kept = sorted(stores.copies.kept(list(ids)))
    return said + [ArchivedDecision(ids[row], "", "keep") for row in kept]


def put_copies(stores: Stores, archive: ArchiveWriter, end: int) -> None:
    """Write every copy group of images that stand below a row."""
    groups = stores.copies.all_groups()
    while some := list(islice(groups, GROUPS)):
        rows = {one.row for members in some for one in members if one.row < end}
        ids = _ids_of(stores, rows)
        for members in some:
            known = [one for one in members if one.row in ids]
            if len(known) > 1:
                archive.put_copies(_archived(known, ids))


def _archived(members: Sequence[CopyMember], ids: Mapping[int, ImageId]) -> list[ArchivedCopy]:
    head = members[0]
    group = ids[head.group if any(one.row == head.group for one in members) else head.row]
    return [
        ArchivedCopy(
            ids[one.row], group, one.is_canonical, ids.get(one.via, ""), one.reason, one.score
        )
        for one in members
    ]


def _ids_of(stores: Stores, rows: Iterable[int]) -> dict[int, ImageId]:
    """Return the ids of live images that have been seen somewhere."""
    records = stores.catalog.records(sorted(rows))
    return {int(one.row): one.id for one in records if one is not None and one.sources}


def _kept(stores: Stores, images: Sequence[ImageId]) -> dict[ImageId, ArchivedRegions]:
    keys = {regions_key(stores.space, image): image for image in images}
    dim = stores.vectors.dim
    found: dict[ImageId, ArchivedRegions] = {}
    for key, data in stores.blobs.get_many(list(keys)).items():
        count = data[0] if data else 0
        if count and len(data) == 1 + count + 2 * dim * count:
            halves: HalfMatrix = np.frombuffer(data, "<f2", offset=1 + count).reshape(count, dim)
            found[keys[key]] = ArchivedRegions(tuple(data[1 : 1 + count]), halves)
    return found


def _fetched(stores: Stores, record: ImageRecord) -> ArchivedRegions:
    """Return what the region index holds of an image; not every object has a region."""
    vectors: list[HalfMatrix] = []
    numbers: list[int] = []
    for number in range(min(len(record.objects), 1 << NUMBER_BITS)):
        try:
            vectors.append(stores.regions.fetch(record.row, [number]).astype("<f2"))
        except StoreError:
            continue
        numbers.append(number)
    empty = np.zeros((0, stores.vectors.dim), "<f2")
    return ArchivedRegions(tuple(numbers), np.concatenate([empty, *vectors]))
