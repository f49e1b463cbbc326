"""What an index holds of the images that are being imported, and which of their sources are news.

Of a place (a uri) that both sides know, the side that saw it later is right; at the same moment,
what is said first stays, and a place that has vanished stays so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.images import merged_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.domain.images import ImageId, ImageRecord, Source
    from lookalike.engine.stores import Stores

SAME_MOMENT_S: Final = 0.002
"""Two times this near are one: a store may keep milliseconds."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The sources of one image that are to be written, and how many stand there already."""

    wanted: Sequence[Source]
    same: int


class Held:
    """What stands in the index of some images, and of the places where they were seen."""

    def __init__(self, stores: Stores, records: Sequence[ImageRecord]) -> None:
        """Look everything up at once."""
        catalog = stores.catalog
        ids = [record.id for record in records]
        uris = [source.uri for record in records for source in record.sources]
        states = catalog.source_states(uris)
        owners = [state.image for state in states.values() if state.image is not None]
        rows = catalog.rows_of(list(dict.fromkeys([*ids, *owners])))
        found = catalog.records(list(rows.values()))
        self._records = {
            image: record
            for image, record in zip(rows, found, strict=True)
            if record is not None and record.id == image
        }
        self._places = {
            source.uri: (image, source)
            for image, record in self._records.items()
            for source in record.sources
        }
        self.moved_from: set[ImageId] = set()
        self.blocked = catalog.blocked(ids)
        self.whole = _whole(
            stores, [self._records[image] for image in ids if image in self._records]
        )

    def take(self, record: ImageRecord) -> Judged:
        """Return which sources of an image are news, and count on them from now on."""
        wanted: list[Source] = []
        same = 0
        for source in record.sources:
            place = self._places.get(source.uri)
            if place is None or _is_news(record.id, source, *place):
                wanted.append(source)
                if place is not None and place[0] != record.id:
                    self.moved_from.add(place[0])
                self._places[source.uri] = (record.id, source)
            elif place[0] == record.id and is_same_source(source, place[1]):
                same += 1
        return Judged(wanted, same)

    def sources_of(self, image: ImageId) -> Sequence[Source]:
        """Return one source that the index knows of an image, if it knows any."""
        known = self._records.get(image)
        return known.sources[:1] if known is not None else ()


def is_same_source(source: Source, held: Source) -> bool:
    """Tell whether a sighting says nothing that is not held, of the same moment."""
    told = merged_source(held, replace(source, seen=held.seen))
    return told == held and _is_same_moment(source, held)


def _is_same_moment(source: Source, held: Source) -> bool:
    return abs(source.seen - held.seen) < SAME_MOMENT_S


def _is_news(image: ImageId, source: Source, owner: ImageId, held: Source) -> bool:
    if not _is_same_moment(source, held):
        return source.seen > held.seen
    is_gone = held.is_vanished and not source.is_vanished
    return owner == image and not is_gone and not is_same_source(source, held)


def _whole(stores: Stores, records: Sequence[ImageRecord]) -> set[ImageId]:
    """Return those that are complete: in a cluster, a vector or words may have been cut off."""
    if stores.is_dense or not records:
        return {record.id for record in records}
    rows = np.asarray([record.row for record in records], dtype=np.int64)
    is_there = stores.vectors.has(rows) & stores.texts.has(rows)
    return {record.id for record, there in zip(records, is_there, strict=True) if there}
