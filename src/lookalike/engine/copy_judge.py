"""The cascade over candidate pairs: cheap evidence first, keypoints only where they may tell."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from lookalike.domain.copies import (
    LEAST_COSINE,
    MOST_BITS,
    PairEvidence,
    Verdict,
    is_settled,
    judge,
    nearest_turn,
    strictness_named,
)
from lookalike.domain.images import ImageFacts, ImageId
from lookalike.imaging.geometry import align, match_whole
from lookalike.imaging.geometry_views import (
    KeypointFinder,
    Keypoints,
    View,
    read_view,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lookalike.domain.copies import Strictness
    from lookalike.domain.images import ImageRecord

KEPT: Final = 256
"""Pictures whose views and keypoints are kept: some 0.4 MB each."""

THREADS: Final = 2


@dataclass(frozen=True, slots=True)
class CandidatePair:
    """Two images that may be one picture, and the cosine of their vectors where it is known."""

    first: ImageFacts
    second: ImageFacts
    cosine: float | None = None

    @classmethod
    def of(cls, first: ImageRecord, second: ImageRecord, cosine: float | None) -> CandidatePair:
        """Return the pair of two records."""
        return cls(first.facts, second.facts, cosine)


class CopyJudge:
    """Judges pairs of images by their facts and, where need be, by their thumbnails.

    `thumbnail` returns the bytes of an image's thumbnail or None; bytes that cannot be read count
    as None, and a pair without pixels is judged by hashes and embedding alone. What `thumbnail`
    raises goes to the caller. Thread-safe. The same pairs get the same verdicts in any order.
    """

    def __init__(
        self,
        thumbnail: Callable[[ImageId], bytes | None],
        strictness: str = "balanced",
        *,
        threads: int = THREADS,
        kept: int = KEPT,
    ) -> None:
        """Choose how strict to be, how many pairs to look at at once and how much to keep.

        Raises:
            UnknownNameError: no such strictness.
        """
        self._strictness: Strictness = strictness_named(strictness)
        self._looks = _Looks(thumbnail, kept)
        self._threads = threads

    def judge(self, pairs: Sequence[CandidatePair]) -> list[Verdict]:
        """Return a verdict for every pair, in their order."""
        return [judge(found, self._strictness) for found in self.evidence(pairs)]

    def evidence_of_picture(
        self,
        facts: ImageFacts,
        thumbnail: bytes,
        candidates: Sequence[tuple[ImageFacts, float | None]],
    ) -> list[PairEvidence]:
        """Return what was measured of a picture that is not stored and candidates of copies of it.

        Args:
            facts: what is read off the picture.
            thumbnail: a small version of it, as bytes of a file.
            candidates: facts of stored images, and the cosine of each with the picture.
        """
        query = _Look(read_view(thumbnail))
        pairs = [CandidatePair(facts, other, cosine) for other, cosine in candidates]
        return self._evidence(pairs, query)

    def evidence(self, pairs: Sequence[CandidatePair]) -> list[PairEvidence]:
        """Return what was measured of every pair, as far as it had to be."""
        return self._evidence(pairs, None)

    def measure_all(self, pairs: Sequence[CandidatePair]) -> list[PairEvidence]:
        """Return all that can be measured of every pair, which is what models are fitted on."""
        return self._evidence(pairs, None, is_thorough=True)

    def _evidence(
        self, pairs: Sequence[CandidatePair], query: _Look | None, *, is_thorough: bool = False
    ) -> list[PairEvidence]:
        measure = partial(self._measure, query=query, is_thorough=is_thorough)
        if len(pairs) < 2 or self._threads < 2:
            return [measure(pair) for pair in pairs]
        with ThreadPoolExecutor(self._threads, thread_name_prefix="copies") as pool:
            return list(pool.map(measure, pairs))

    def _measure(
        self, pair: CandidatePair, *, query: _Look | None, is_thorough: bool
    ) -> PairEvidence:
        first, second = pair.first, pair.second
        if first.id == second.id:
            return PairEvidence(is_same_bytes=True, hash_distance=0)
        bits, turn = nearest_turn(first.phash, second.phash)
        evidence = PairEvidence(
            hash_distance=bits,
            hash_turn=turn,
            hash_quality=min(first.phash_quality, second.phash_quality),
            cosine=pair.cosine,
            scale=max(second.width, second.height) / max(first.width, first.height, 1),
        )
        if not is_thorough and _is_hopeless(evidence):
            return evidence
        one = query or self._looks.of(first.id)
        other = self._looks.of(second.id)
        if one.view is None or other.view is None:
            return evidence
        evidence = replace(evidence, whole=match_whole(one.view, other.view))
        if not is_thorough and is_settled(evidence, self._strictness):
            return evidence
        points = one.keypoints(self._looks.finder), other.keypoints(self._looks.finder)
        overlap = align((one.view, points[0]), (other.view, points[1]))
        return replace(evidence, overlap=overlap)


def _is_hopeless(evidence: PairEvidence) -> bool:
    """Tell whether neither hashes nor embedding leave a chance that is worth looking at pixels."""
    is_far = evidence.cosine is not None and evidence.cosine < LEAST_COSINE
    return is_far and evidence.hash_distance > MOST_BITS


class _Look:
    """A picture's view, and its keypoints once they were asked for."""

    def __init__(self, view: View | None) -> None:
        self.view = view
        self._lock = threading.Lock()
        self._keypoints: Keypoints | None = None

    def keypoints(self, finder: KeypointFinder) -> Keypoints:
        with self._lock:
            if self._keypoints is None:
                assert self.view is not None
                self._keypoints = finder.find(self.view)
            return self._keypoints


class _Looks:
    """The views of the images last looked at; the one longest unused goes first."""

    def __init__(self, thumbnail: Callable[[ImageId], bytes | None], kept: int) -> None:
        self.finder = KeypointFinder()
        self._thumbnail = thumbnail
        self._kept = max(kept, 1)
        self._lock = threading.Lock()
        self._looks: OrderedDict[ImageId, _Look] = OrderedDict()

    def of(self, image: ImageId) -> _Look:
        with self._lock:
            if (known := self._looks.get(image)) is not None:
                self._looks.move_to_end(image)
                return known
        data = self._thumbnail(image)
        look = _Look(None if data is None else read_view(data))
        with self._lock:
            look = self._looks.setdefault(image, look)
            while len(self._looks) > self._kept:
                self._looks.popitem(last=False)
        return look
