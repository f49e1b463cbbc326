"""The port of the catalog: the truth about images, sources and what was acknowledged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.domain.arrays import RowArray
from lookalike.domain.images import (
    DetectedObject,
    ImageFacts,
    ImageId,
    ImageRecord,
    OcrWord,
    Row,
    Source,
)
from lookalike.ports.copies import CopyLedger


@dataclass(frozen=True, slots=True)
class CatalogState:
    """Where the catalog stands.

    `seq` is the last of the log: it rises with each commit that changes an image. `rows` is
    how many rows are valid in every file that is appended to, each either a live image's or
    removed; `regions` is the same for the files of regions. Counts are of live images and of
    sources that have not vanished.
    """

    seq: int
    rows: int
    images: int
    sources: int
    removed: int
    failures: int
    regions: int = 0


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image first seen, with the row its vector and columns were written at.

    `first_seen` and `last_seen` are set where an image comes from another index with the times
    it was seen there; its sources only widen them. Else its sources alone tell.
    """

    row: Row
    facts: ImageFacts
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    first_seen: float | None = None
    last_seen: float | None = None
    objects: tuple[DetectedObject, ...] = ()
    words: tuple[OcrWord, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What models find anew in an image that is known; `models` are added to what filled it.

    None leaves objects or words as they are, and `facts` too.
    """

    image: ImageId
    objects: tuple[DetectedObject, ...] | None = None
    words: tuple[OcrWord, ...] | None = None
    facts: ImageFacts | None = None
    models: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Failure:
    """A source that was refused, with a name of `domain.reasons`."""

    uri: str
    reason: str
    detail: str = ""
    fingerprint: str = ""
    seen: float = 0.0


@dataclass(frozen=True, slots=True)
class SourceState:
    """What is remembered of a source: its fingerprint, and its image or its failure.

    The fingerprint of a vanished source is empty, so that it is read again when it returns.
    """

    uri: str
    fingerprint: str
    image: ImageId | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything that one commit states, at once or not at all.

    `sources` pairs the image with a place it was seen; a uri that belonged to another image
    moves, and an image left without sources is removed. `vanished` uris are marked and keep
    their image; `forgotten` ones are dropped, and so is an image that had no other.
    `readings` replace what is known of images that are there; unknown ones are passed over.
    `rows` and `regions` are the valid lengths after it.
    """

    images: Sequence[NewImage] = ()
    sources: Sequence[tuple[ImageId, Source]] = ()
    failures: Sequence[Failure] = ()
    vanished: Sequence[str] = ()
    forgotten: Sequence[str] = ()
    rows: int | None = None
    readings: Sequence[Reading] = ()
    regions: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log: derived stores replay these to catch up."""

    seq: int
    op: Literal["put", "remove"]
    row: Row
    id: ImageId


class Catalog(Protocol):
    """Images, their sources, failures, decisions and the log.

    A commit is durable when it returns. Readers in other processes see it at their next call.
    """

    @property
    def copies(self) -> CopyLedger:
        """The copy groups of these images, and what people decided of them."""
        ...

    def state(self) -> CatalogState:
        """Return where the catalog stands now; cheap enough for every query."""
        ...

    def commit(self, batch: Batch) -> int:
        """State a batch and return its seq. Known images and sources are merged, not doubled."""
        ...

    def remove(self, ids: Sequence[ImageId], *, is_blocked: bool = False) -> Sequence[Row]:
        """Remove images (unknown ones are passed over) and return their rows.

        With `is_blocked` the ids may never come back.
        """
        ...

    def blocked(self, ids: Sequence[ImageId]) -> frozenset[ImageId]:
        """Return those of the ids that may not come back."""
        ...

    def all_blocked(self) -> Iterator[ImageId]:
        """Yield every id that may not come back, in an order of the store's own."""
        ...

    def rows_of(self, ids: Sequence[ImageId]) -> Mapping[ImageId, Row]:
        """Return the rows of the live images among the ids."""
        ...

    def records(self, rows: Sequence[int]) -> Sequence[ImageRecord | None]:
        """Return the records of the rows in their order, None where no live image is."""
        ...

    def all_records(self, *, first_row: int = 0) -> Iterator[ImageRecord]:
        """Yield every live record from a row on; commits go on meanwhile.

        In row order where rows are dense, else in an order of the store's own.
        """
        ...

    def sample_rows(self, count: int) -> Sequence[Row]:
        """Return at most so many live rows, spread evenly; the same ones while nothing changes."""
        ...

    def ids_with_prefix(self, prefix: str, *, limit: int = 10) -> Sequence[ImageId]:
        """Return live images whose id begins with some hex digits, in order of their ids."""
        ...

    def phashes(self) -> tuple[RowArray, NDArray[np.uint64], NDArray[np.float32]]:
        """Return rows, perceptual hashes and their qualities of every live image, by row."""
        ...

    def source_states(self, uris: Sequence[str]) -> Mapping[str, SourceState]:
        """Return what is remembered of those of the uris that are known."""
        ...

    def uris_under(self, prefix: str, *, has_vanished: bool = False) -> Iterator[str]:
        """Yield the uris that begin with `prefix`, refused ones too, vanished ones on demand."""
        ...

    def ids_of_site(self, site: str) -> Sequence[ImageId]:
        """Return the live images seen on a site or on a sub-domain of it."""
        ...

    def changes(self, *, after: int, limit: int = 10_000) -> Sequence[Change]:
        """Return the log after a seq, in order; only the last change of a row matters."""
        ...

    def failures(self, *, limit: int = 1000) -> Sequence[Failure]:
        """Return remembered failures, newest first."""
        ...

    def all_failures(self) -> Iterator[Failure]:
        """Yield every remembered failure, the oldest first where the store knows an order."""
        ...

    def failure_counts(self) -> Mapping[str, int]:
        """Return how many sources are refused under each reason."""
        ...

    def removed_rows(self) -> Sequence[int]:
        """Return every row that is removed, in order."""
        ...

    def close(self) -> None:
        """Release the files."""
        ...
