"""What an import is checked by: counts, records, vectors and answers beside the archive's."""

from __future__ import annotations

import random
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.domain.errors import ArchiveMismatchError
from lookalike.domain.images import DetectedObject
from lookalike.engine.exporting import read_halves
from lookalike.engine.import_merging import SAME_MOMENT_S, is_same_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.domain.arrays import FloatMatrix, HalfMatrix
    from lookalike.domain.images import ImageId, ImageRecord, OcrWord
    from lookalike.engine.stores import Stores
    from lookalike.ports.archive import ArchiveReader
    from lookalike.ports.catalog import Catalog

SAMPLED: Final = 50
"""Images whose records and vectors are compared one by one."""

QUERIES: Final = 20
TOP: Final = 10
SEED: Final = 7

LEAST_COSINE: Final = 0.999
LEAST_OVERLAP: Final = 0.9
"""Of the exact neighbours, so many must be found: an index above some size is approximate."""

TIE: Final = 1e-3
"""Cosines this near are equal: vectors are kept in half precision."""

SAME_SHARE: Final = 1e-4
"""Boxes this near are equal."""

LEAST_KEPT: Final = 100
"""Of objects and words, every store keeps as many."""

PATIENCE_S: Final = (0.0, 1.0, 2.0, 4.0)
"""A cluster may show what was written after a moment."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """An image of the sample, as the archive has it."""

    record: ImageRecord
    half: HalfMatrix
    is_added: bool


class Sample:
    """Some images of an archive, spread at random; the same ones each time."""

    def __init__(self, images: int) -> None:
        """Choose positions among so many images."""
        dice = random.Random(SEED)  # noqa: S311 - no secret
        self._chosen = frozenset(dice.sample(range(images), min(SAMPLED, images)))
        self.images: list[Sampled] = []

    def offer(self, record: ImageRecord, half: HalfMatrix, *, is_added: bool) -> None:
        """Keep an image if it was chosen."""
        if record.row in self._chosen:
            self.images.append(Sampled(record, half, is_added))


@dataclass(slots=True)
class Kept:
    """What an import remembers for its checks: a sample, and what rightly did not come in.

    `replaced` images have lost their last place to another image that was seen there later.
    `missing_sources` counts those that were seen later elsewhere, or whose image is blocked.
    """

    sample: Sample
    replaced: set[ImageId] = field(default_factory=set["ImageId"])
    missing_sources: int = 0


@dataclass(frozen=True, slots=True)
class Verification:
    """What the comparison found.

    `images_missing` counts images that should be in the index and are not. `records_differing`
    counts sampled images whose facts or sources differ. `vectors_equal` are equal bit for bit.
    `overlap_at_10` is the share of the exact ten nearest images in the archive that a search of
    the index finds too, over `queries` stored vectors.
    """

    images_missing: int
    sources_missing: int
    failures_missing: int
    records_compared: int
    records_differing: int
    vectors_equal: int
    least_cosine: float
    queries: int
    overlap_at_10: float

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as an object."""
        return asdict(self) | {
            "least_cosine": round(self.least_cosine, 6),
            "overlap_at_10": round(self.overlap_at_10, 4),
        }


def verify(stores: Stores, archive: ArchiveReader, kept: Kept) -> Verification:
    """Compare an index with the archive that was imported into it.

    Raises:
        ArchiveMismatchError: it does not hold what it should, or does not find it.
    """
    sample = kept.sample.images
    images, sources = _count_missing(stores.catalog, archive, kept.replaced)
    found = _records_of(stores.catalog, [one.record.id for one in sample])
    sample = [one for one in sample if one.record.id in found or one.record.id not in kept.replaced]
    differing = [one for one in sample if not _is_equal(one, found.get(one.record.id))]
    halves = read_halves(stores, list(found.values()))
    cosines = [_cosine(one.half, halves.get(one.record.id)) for one in sample]
    queries = [one.half for one in sample[:QUERIES]]
    verification = Verification(
        images_missing=images,
        sources_missing=max(0, sources - kept.missing_sources),
        failures_missing=_count_missing_failures(stores.catalog, archive),
        records_compared=len(sample),
        records_differing=len(differing),
        vectors_equal=sum(_is_bitwise(one.half, halves.get(one.record.id)) for one in sample),
        least_cosine=min(cosines, default=1.0),
        queries=len(queries),
        overlap_at_10=_overlap(stores, archive, queries),
    )
    is_differing = any(one.is_added for one in differing)
    _demand(verification, is_quiet=archive.manifest.facts.is_quiet, is_differing=is_differing)
    return verification


def _demand(found: Verification, *, is_quiet: bool, is_differing: bool) -> None:
    faults: list[str] = []
    if is_quiet and (found.images_missing or found.sources_missing or found.failures_missing):
        faults.append(
            f"{found.images_missing} images, {found.sources_missing} sources and "
            f"{found.failures_missing} failures are missing"
        )
    if is_differing:
        faults.append(f"{found.records_differing} of {found.records_compared} records differ")
    if found.least_cosine < LEAST_COSINE:
        faults.append(f"a vector differs (cosine {found.least_cosine:.4f})")
    if found.overlap_at_10 < LEAST_OVERLAP:
        faults.append(
            f"{found.queries} searches found {found.overlap_at_10:.2f} of the nearest images"
        )
    if faults:
        raise ArchiveMismatchError(
            "the index is not what was exported: " + "; ".join(faults),
            hint="run the import again, which goes on; else look with doctor",
        )


def _count_missing(
    catalog: Catalog, archive: ArchiveReader, replaced: set[ImageId]
) -> tuple[int, int]:
    """Count images that should be there, and sources that are not with their image."""
    images = sources = 0
    for some in archive.uris():
        if some.ids:
            present = catalog.rows_of(some.ids)
            gone = [one for one in some.ids if one not in present and one not in replaced]
            images += len(gone) - len(catalog.blocked(gone))
        if some.uris:
            states = catalog.source_states([uri for _, uri in some.uris])
            sources += sum(
                (state := states.get(uri)) is None or state.image != image
                for image, uri in some.uris
            )
    return images, sources


def _count_missing_failures(catalog: Catalog, archive: ArchiveReader) -> int:
    missing = 0
    for failures in archive.failures():
        states = catalog.source_states([one.uri for one in failures])
        missing += sum(one.uri not in states for one in failures)
    return missing


def _records_of(catalog: Catalog, ids: Sequence[ImageId]) -> dict[ImageId, ImageRecord]:
    rows = catalog.rows_of(ids)
    records = catalog.records(list(rows.values()))
    return {record.id: record for record in records if record is not None}


def _is_equal(sampled: Sampled, theirs: ImageRecord | None) -> bool:
    """Tell whether facts agree, and each source is there as it was or as it was seen since.

    An image that was added brought its models and times; one that was known kept its own.
    """
    ours = sampled.record
    if theirs is None or theirs.facts != ours.facts:
        return False
    if sampled.is_added and not (
        _is_seen(ours.objects, theirs.objects) and _is_seen(ours.words, theirs.words)
    ):
        return False
    if sampled.is_added:
        is_later = theirs.first_seen - ours.first_seen > SAME_MOMENT_S
        is_earlier = ours.last_seen - theirs.last_seen > SAME_MOMENT_S
        if is_later or is_earlier or dict(theirs.models) != dict(ours.models):
            return False
    places = {source.uri: source for source in theirs.sources}
    for source in ours.sources:
        place = places.get(source.uri)
        if place is None:
            continue  # counted among the missing ones, unless another image is there since
        if place.seen - source.seen < SAME_MOMENT_S and not is_same_source(source, place):
            return False
    return True


def _is_seen(
    ours: Sequence[DetectedObject | OcrWord], theirs: Sequence[DetectedObject | OcrWord]
) -> bool:
    """Tell whether an index kept what was seen: a store keeps ten-thousandths, and so many."""
    if len(theirs) != len(ours) and len(theirs) < min(len(ours), LEAST_KEPT):
        return False
    return all(
        _name(one) == _name(other)
        and np.allclose((one.score, *one.box), (other.score, *other.box), atol=SAME_SHARE)
        for one, other in zip(ours, theirs, strict=False)
    )


def _name(one: DetectedObject | OcrWord) -> str:
    return one.label if isinstance(one, DetectedObject) else one.text


def _cosine(ours: HalfMatrix, theirs: HalfMatrix | None) -> float:
    if theirs is None:
        return 0.0
    first, second = ours.astype(np.float64), theirs.astype(np.float64)
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def _is_bitwise(ours: HalfMatrix, theirs: HalfMatrix | None) -> bool:
    return theirs is not None and ours.astype("<f2").tobytes() == theirs.astype("<f2").tobytes()


def _overlap(stores: Stores, archive: ArchiveReader, halves: Sequence[HalfMatrix]) -> float:
    """Return the share of the exact neighbours in the archive that the index finds too."""
    if not halves:
        return 1.0
    queries = np.stack(halves).astype(np.float32)
    nearest = _nearest(archive, queries)
    overlap = 0.0
    for wait_s in PATIENCE_S[: 1 if stores.is_dense else None]:
        time.sleep(wait_s)
        overlap = _found_share(stores, queries, nearest)
        if overlap >= LEAST_OVERLAP:
            break
    return overlap


def _nearest(archive: ArchiveReader, queries: FloatMatrix) -> list[dict[ImageId, float]]:
    """Return the exact ten nearest images of each query with their cosines, by brute force."""
    best: list[dict[ImageId, float]] = [{} for _ in queries]
    for ids, halves in archive.vectors():
        scores = queries @ halves.astype(np.float32).T
        for top, line in zip(best, scores, strict=True):
            for at in np.argsort(-line)[:TOP].tolist():
                top[ids[at]] = float(line[at])
            for image in sorted(top, key=top.__getitem__, reverse=True)[TOP:]:
                del top[image]
    return best


def _found_share(
    stores: Stores, queries: FloatMatrix, nearest: Sequence[dict[ImageId, float]]
) -> float:
    """Return the share of neighbours that are hit, or as far away as the last hit.

    An index that held images before may find nearer ones; ties may fall either way.
    """
    rows = stores.catalog.rows_of(list({image for top in nearest for image in top}))
    hits = stores.vectors.search(queries, k=TOP)
    wanted = found = 0
    for top, hit_rows, scores in zip(nearest, hits.rows, hits.scores, strict=True):
        hit, last = set(hit_rows.tolist()), float(scores[-1])
        present = {image: score for image, score in top.items() if image in rows}
        wanted += len(present)
        found += sum(rows[image] in hit or score <= last + TIE for image, score in present.items())
    return found / wanted if wanted else 1.0
