"""Whether two pictures are the same picture, why, and how surely.

The evidence of a pair comes in stages, the cheap ones first: the bytes, the perceptual hashes and
the embedding, the whole of one picture laid on the other, an overlap found by keypoints. Each
stage has a logistic model over a few measurements with plain meanings, fitted by eval/copies on
copies made by transforms and on bursts of shots of one scene; its probability is the score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from lookalike.domain.copy_weights import MODELS, THRESHOLDS
from lookalike.domain.errors import UnknownNameError, suggest_names

if TYPE_CHECKING:
    from collections.abc import Mapping

Strictness: TypeAlias = Literal["strict", "balanced", "lenient"]
Stage: TypeAlias = Literal["bytes", "hash", "whole", "overlap"]

STRICTNESSES: Final[tuple[Strictness, ...]] = ("strict", "balanced", "lenient")
TURNS: Final = 8
MIRRORED: Final = 4
"""Turns 0 to 3 are quarter turns against the clock; 4 to 7 the same after mirroring."""

LEAST_COSINE: Final = 0.3
MOST_BITS: Final = 20
"""Below this cosine and beyond so many bits no pair is looked at more closely."""

LEAST_QUALITY: Final = 0.2
"""Hashes of a lower quality say nothing."""

_ODD_ACROSS: Final = 0x5555_5555_5555_5555
_ODD_DOWN: Final = 0x00FF_00FF_00FF_00FF
_SWAPS: Final = (
    (7, 0x00AA_00AA_00AA_00AA),
    (14, 0x0000_CCCC_0000_CCCC),
    (28, 0x0000_0000_F0F0_F0F0),
)

_RECOLOURED: Final = 14.0
_LIGHTENED: Final = 18.0
_WHOLE: Final = 0.97
_COVERED: Final = 0.93
_BORDER: Final = 5.0
_TILTED: Final = 1.0
_SQUEEZED: Final = 1.06


@dataclass(frozen=True, slots=True)
class Likeness:
    """How well two laid-over pictures agree where both show something.

    `agreeing` is the share of small windows that correlate well, weighed by their texture,
    `middle` the weighed median of their correlations, `low` their lowest tenth and `high` their
    upper quarter; `textured` is the share of windows that have any texture. `recolouring` is the
    mean difference of chroma, and `lightening` how much lighter the second is, both of 255.
    """

    agreeing: float
    middle: float
    low: float
    high: float
    textured: float
    recolouring: float = 0.0
    lightening: float = 0.0


@dataclass(frozen=True, slots=True)
class WholeMatch:
    """The whole of one picture laid on the whole of the other in its best turn.

    `turn` is what is done to the first; `correlation`, in [-1, 1], is that of both squashed to a
    small square.
    """

    turn: int
    correlation: float
    likeness: Likeness


@dataclass(frozen=True, slots=True)
class Overlap:
    """One picture laid over the other by their keypoints.

    `inliers` of `matches` keypoints land on their partners; `of_first` and `of_second` are the
    shares of each picture that the other shows; `angle` is in degrees against the clock, `scale`
    the second's size over the first's, `squeeze` at least 1; `rest` is the spread of grey
    outside the overlap, on the picture that shows more.
    """

    inliers: int
    matches: int
    of_first: float
    of_second: float
    angle: float
    scale: float
    squeeze: float
    is_mirrored: bool
    rest: float
    likeness: Likeness


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """What was measured of two pictures; later stages are None where they were not needed.

    `hash_distance` is the least over the eight turns of the first, and `hash_turn` that turn;
    `hash_quality` is the lower of the two. `scale` is the second's side over the first's.
    """

    is_same_bytes: bool = False
    hash_distance: int = 64
    hash_turn: int = 0
    hash_quality: float = 0.0
    cosine: float | None = None
    scale: float = 1.0
    whole: WholeMatch | None = None
    overlap: Overlap | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a pair is one picture, why, and how surely.

    `score` in [0, 1] is the probability that the deciding stage gives. `larger` is 0 or 1, the
    one of the two that shows more, or -1; `shown` is the share of it that the other has, and
    `is_bordered` says that the rest of it is a mere border.
    """

    is_copy: bool
    reason: str
    score: float
    stage: Stage
    larger: Literal[-1, 0, 1] = -1
    shown: float = 1.0
    is_bordered: bool = False


def strictness_named(name: str) -> Strictness:
    """Return the strictness of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in STRICTNESSES:
        raise UnknownNameError(
            f"there is no strictness {name!r}", hint=suggest_names(name, STRICTNESSES)
        )
    return name


def judge(evidence: PairEvidence, strictness: Strictness) -> Verdict:
    """Judge a pair by all that is known of it: the stage that speaks loudest for it decides."""
    if evidence.is_same_bytes:
        return Verdict(True, "same bytes", 1.0, "bytes")
    thresholds = THRESHOLDS[strictness]
    best: Stage = "hash"
    scores = stage_scores(evidence)
    for stage in scores:
        if scores[stage] - thresholds[stage] >= scores[best] - thresholds[best]:
            best = stage
    score = round(scores[best], 4)
    if scores[best] < thresholds[best]:
        return Verdict(False, "different pictures", score, best)
    reason, overlap = explain(evidence, best), evidence.overlap
    if best != "overlap" or overlap is None or _shown(overlap) >= _WHOLE:
        return Verdict(True, reason, score, best)
    return Verdict(
        is_copy=True,
        reason=reason,
        score=score,
        stage=best,
        larger=0 if overlap.of_first < overlap.of_second else 1,
        shown=round(_shown(overlap), 4),
        is_bordered=overlap.rest < _BORDER,
    )


def _shown(overlap: Overlap) -> float:
    """Return which share of the picture that shows more the other one has."""
    return min(overlap.of_first, overlap.of_second)


def is_settled(evidence: PairEvidence, strictness: Strictness) -> bool:
    """Tell whether what is known says yes so surely that later stages need not be asked."""
    if evidence.is_same_bytes:
        return True
    sure = THRESHOLDS["strict"]
    scores = stage_scores(evidence)
    return any(scores[stage] >= max(sure[stage], THRESHOLDS[strictness][stage]) for stage in scores)


def stage_scores(evidence: PairEvidence) -> dict[Stage, float]:
    """Return the probability of a copy by each stage that there is evidence of.

    Hashes are no longer asked once the pixels themselves have been looked at.
    """
    scores: dict[Stage, float] = {"hash": _probability("hash", hash_features(evidence))}
    if evidence.whole is not None:
        scores["hash"] = 0.0
        scores["whole"] = _probability("whole", whole_features(evidence))
    if evidence.overlap is not None:
        scores["overlap"] = _probability("overlap", overlap_features(evidence))
    return scores


def hash_turns(bits: int) -> tuple[int, ...]:
    """Return what a pHash would be, nearly, of the picture in each of its eight turns.

    A mirror changes the sign of the odd frequencies across, and a quarter turn swaps the two
    directions too. That the hash compares with the median, not with nought, costs a few bits.
    """
    turns: list[int] = []
    for is_mirrored in (False, True):
        turned = bits ^ _ODD_ACROSS if is_mirrored else bits
        for _ in range(MIRRORED):
            turns.append(turned)
            turned = _transposed(turned) ^ _ODD_DOWN
    return tuple(turns)


def _transposed(bits: int) -> int:
    """Swap rows and columns of an 8 by 8 square of bits ("Hacker's Delight", 7-3)."""
    for shift, mask in _SWAPS:
        moved = (bits ^ bits >> shift) & mask
        bits ^= moved ^ moved << shift
    return bits


def nearest_turn(first: int, second: int) -> tuple[int, int]:
    """Return the least distance in bits over the turns of the first hash, and that turn."""
    distances = [(hashed ^ second).bit_count() for hashed in hash_turns(first)]
    return min(distances), distances.index(min(distances))


def hash_features(evidence: PairEvidence) -> dict[str, float]:
    """Return the measurements of the first stage."""
    trusted = evidence.hash_quality >= LEAST_QUALITY
    distance = evidence.hash_distance if trusted else 32
    return {
        "bits": distance / 32,
        "turned": float(evidence.hash_turn != 0),
        "cosine": _cosine(evidence),
        "cosine4": _cosine(evidence) ** 4,
    }


def whole_features(evidence: PairEvidence) -> dict[str, float]:
    """Return the measurements of the whole of one picture laid on the other."""
    whole = evidence.whole
    if whole is None:
        return {}
    return {
        "bits": evidence.hash_distance / 32 if evidence.hash_quality >= LEAST_QUALITY else 1.0,
        "cosine": _cosine(evidence),
        "correlation": whole.correlation,
        **_likeness_features(whole.likeness),
    }


def overlap_features(evidence: PairEvidence) -> dict[str, float]:
    """Return the measurements of an overlap."""
    overlap = evidence.overlap
    if overlap is None:
        return {}
    return {
        "cosine": _cosine(evidence),
        "inliers": math.log1p(overlap.inliers) / 6,
        "inlier_share": overlap.inliers / max(overlap.matches, 1),
        "larger_share": max(overlap.of_first, overlap.of_second),
        "smaller_share": min(overlap.of_first, overlap.of_second),
        "squeeze": math.log(overlap.squeeze),
        **_likeness_features(overlap.likeness),
    }


def _likeness_features(likeness: Likeness) -> dict[str, float]:
    return {
        "agreeing": likeness.agreeing,
        "agreeing2": likeness.agreeing**2,
        "middle": likeness.middle,
        "middle4": max(likeness.middle, 0.0) ** 4,
        "low": likeness.low,
        "high": 10 * max(likeness.high - 0.9, 0.0),
        "textured": likeness.textured,
    }


def _cosine(evidence: PairEvidence) -> float:
    """Return the cosine; half of the way where no embedding is at hand."""
    return 0.5 if evidence.cosine is None else max(0.0, min(1.0, evidence.cosine))


def _probability(stage: Stage, features: Mapping[str, float]) -> float:
    weights = MODELS[stage]
    total = weights["bias"] + sum(weights[name] * value for name, value in features.items())
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, total))))


def explain(evidence: PairEvidence, stage: Stage) -> str:
    """Say in a few words what was done to the picture, as far as the evidence shows."""
    if stage == "hash":
        words = _turn_words(evidence.hash_turn)
        words.append(f"hashes {evidence.hash_distance} bits apart")
        return _sentence(words)
    words: list[str] = []
    overlap, whole = evidence.overlap, evidence.whole
    if stage == "overlap" and overlap is not None:
        words += _move_words(overlap) + _share_words(overlap)
        likeness = overlap.likeness
    elif whole is not None:
        words += _turn_words(whole.turn)
        likeness = whole.likeness
    else:
        return _sentence([])
    if likeness.recolouring > _RECOLOURED:
        words.append("recoloured")
    elif abs(likeness.lightening) > _LIGHTENED:
        words.append("lightened" if likeness.lightening > 0 else "darkened")
    if likeness.agreeing < _COVERED:
        words.append("partly covered")
    if not words and not 0.95 < evidence.scale < 1.05:
        words.append("resized")
    return _sentence(words or ["encoded anew"])


def _sentence(words: list[str]) -> str:
    return ", ".join(["same picture", *words])


def _turn_words(turn: int) -> list[str]:
    words = ["mirrored"] if turn >= MIRRORED else []
    quarter = turn % MIRRORED
    return [*words, f"turned by {90 * min(quarter, 4 - quarter)}°"] if quarter else words


def _move_words(overlap: Overlap) -> list[str]:
    words = ["mirrored"] if overlap.is_mirrored else []
    if abs(overlap.angle) >= _TILTED:
        words.append(f"turned by {abs(round(overlap.angle))}°")
    if overlap.squeeze > _SQUEEZED:
        words.append("squeezed")
    return words


def _share_words(overlap: Overlap) -> list[str]:
    """Say which share of the picture that shows more the other one is."""
    shown = _shown(overlap)
    if shown >= _WHOLE:
        return []
    percent = f"{round(100 * shown)} %"
    if max(overlap.of_first, overlap.of_second) < _WHOLE - 0.05:
        return [f"{percent} in common"]
    if overlap.rest < _BORDER:
        return ["with a border"]
    return [f"cropped to {percent}"]
