"""The port of archives: a whole index outside of any store, to be kept or moved.

What an archive holds and how is described in docs/export-format.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from lookalike.domain.archives import ArchiveFacts, ArchiveManifest
from lookalike.domain.arrays import HalfMatrix
from lookalike.domain.images import ImageId, ImageRecord
from lookalike.ports.catalog import Failure

BlobKind: TypeAlias = Literal["thumbnails", "originals"]


@dataclass(frozen=True, slots=True)
class BlobHashes:
    """SHA-256 of the pictures that an archive holds of an image, empty for one it lacks."""

    thumbnail: str = ""
    original: str = ""


@dataclass(frozen=True, slots=True)
class ArchivedImages:
    """Some images of an archive: n records, `(n, dim)` fp16 vectors, and their pictures' hashes.

    The rows of the records are positions in the archive and mean nothing elsewhere. `regions` are
    n, or none where the archive knows of no regions.
    """

    records: Sequence[ImageRecord]
    halves: HalfMatrix = field(repr=False)
    hashes: Sequence[BlobHashes] = field(repr=False)
    regions: Sequence[ArchivedRegions] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class ArchivedRegions:
    """The regions of one image: n `numbers` among its objects, `(n, dim)` fp16 vectors."""

    numbers: tuple[int, ...]
    halves: HalfMatrix = field(repr=False)


@dataclass(frozen=True, slots=True)
class ArchivedCopy:
    """One image of a copy group, as `ports.copies.CopyMember` by ids.

    `group` is the id of a member; `via` is empty for the canonical image.
    """

    image: ImageId
    group: ImageId
    is_canonical: bool
    via: str
    reason: str
    score: float


@dataclass(frozen=True, slots=True)
class ArchivedDecision:
    """What a person said of two images, or of one that is to be canonical (`other` is empty)."""

    image: ImageId
    other: str
    verdict: Literal["same", "different", "keep"]
    decided: float = 0.0


@dataclass(frozen=True, slots=True)
class ArchivedUris:
    """The ids of some images of an archive, and their sources' uris with the image of each."""

    ids: Sequence[ImageId]
    uris: Sequence[tuple[ImageId, str]]


class ArchiveWriter(Protocol):
    """Writes an archive; one that was not finished is never taken for a whole one.

    Errors are `DiskFullError`, `ArchiveError` and `StoreError`.
    """

    def put_blobs(self, kind: BlobKind, blobs: Mapping[ImageId, bytes]) -> None:
        """Write pictures of images, whose records follow."""
        ...

    def put_images(
        self,
        records: Sequence[ImageRecord],
        halves: HalfMatrix,
        regions: Sequence[ArchivedRegions] = (),
    ) -> None:
        """Write n images with `(n, dim)` fp16 vectors and the regions of each, or of none."""
        ...

    def put_copies(self, members: Sequence[ArchivedCopy]) -> None:
        """Write one copy group, whole."""
        ...

    def put_decisions(self, decisions: Sequence[ArchivedDecision]) -> None:
        """Write what people have decided."""
        ...

    def put_failures(self, failures: Sequence[Failure]) -> None:
        """Write failures."""
        ...

    def put_blocked(self, ids: Sequence[ImageId]) -> None:
        """Write ids that may not come back."""
        ...

    def finish(self, facts: ArchiveFacts) -> ArchiveManifest:
        """Make everything durable, then the manifest that says so."""
        ...

    def close(self) -> None:
        """Let go; an archive that is not finished stays recognisable as such."""
        ...


class ArchiveReader(Protocol):
    """Reads an archive; whatever stands in its files, only ours errors escape: `ArchiveError`."""

    @property
    def manifest(self) -> ArchiveManifest:
        """What the archive says of itself."""
        ...

    def check(self) -> None:
        """Compare every listed file's size, hash, rows and columns with the manifest.

        Raises:
            ArchiveCorruptError: one is missing or differs; nothing of it should be used.
        """
        ...

    def images(self) -> Iterator[ArchivedImages]:
        """Yield every image in the archive's order, some hundreds at a time."""
        ...

    def uris(self) -> Iterator[ArchivedUris]:
        """Yield ids and uris alone, in the same order."""
        ...

    def vectors(self) -> Iterator[tuple[Sequence[ImageId], HalfMatrix]]:
        """Yield ids with their `(n, dim)` fp16 vectors alone, in the same order."""
        ...

    def copies(self) -> Iterator[Sequence[ArchivedCopy]]:
        """Yield every copy group."""
        ...

    def decisions(self) -> Iterator[Sequence[ArchivedDecision]]:
        """Yield every decision, some thousands at a time."""
        ...

    def failures(self) -> Iterator[Sequence[Failure]]:
        """Yield every failure, the oldest first."""
        ...

    def blocked(self) -> Iterator[Sequence[ImageId]]:
        """Yield every id that may not come back."""
        ...

    def blobs(self, kind: BlobKind, hashes: Mapping[ImageId, str]) -> Mapping[ImageId, bytes]:
        """Return pictures of images, each checked against its SHA-256.

        Raises:
            ArchiveCorruptError: one is missing or differs.
        """
        ...
