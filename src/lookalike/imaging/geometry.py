"""Lay one picture over another and see whether they are the same pixels.

Two ways to lay them: the whole of one on the whole of the other, in the eight turns of a square,
which is quick and stands up to blur; or by keypoints and RANSAC (Fischler and Bolles 1981), which
finds crops, tilts, borders, collages. Either way it is the agreement of the pixels afterwards, by
correlation within small windows, that tells a copy from another shot of the same scene.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.domain.copies import MIRRORED, Likeness, Overlap, WholeMatch
from lookalike.imaging.geometry_views import (
    CHROMA_STEP,
    SIGNATURE_SIDE,
    Grey,
    Keypoints,
    View,
    load_opencv,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

Affine: TypeAlias = NDArray[np.float64]
"""`(2, 3)` float64: takes places of the first picture to places of the second."""

RATIO: Final = 0.85
REACH: Final = 3.0
"""How far, in pixels of a view, a keypoint may land from its partner."""

LEAST_INLIERS: Final = 5
_ROUNDS: Final = 2000
_MOST_SQUEEZE: Final = 3.0
_MOST_SCALE: Final = 8.0
_WINDOW: Final = 13
_SMOOTH: Final = 1.2
_TEXTURE: Final = 3.0
_AGREES: Final = 0.75
_WHOLE_SIDE: Final = 160
_LEAST_WINDOWS: Final = 30


def turned(array: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Return `(h, w)` or `(h, w, c)` mirrored and turned as `domain.copies.TURNS` says."""
    return np.rot90(array[:, ::-1] if turn >= MIRRORED else array, turn % MIRRORED)


def signature_turns(first: View, second: View) -> NDArray[np.float32]:
    """Return the correlation of the signatures for each of the eight turns of the first."""
    square = first.signature.reshape(SIGNATURE_SIDE, SIGNATURE_SIDE)
    plain = [np.rot90(square, k).ravel() for k in range(MIRRORED)]
    flipped = [np.rot90(square[:, ::-1], k).ravel() for k in range(MIRRORED)]
    return np.stack(plain + flipped) @ second.signature


def match_whole(first: View, second: View) -> WholeMatch:
    """Lay the whole of the first on the whole of the second, in the turn that fits best."""
    cv2 = load_opencv()
    correlations = signature_turns(first, second)
    turn = int(correlations.argmax())
    size = (_WHOLE_SIDE, _WHOLE_SIDE)
    one = cv2.resize(
        np.ascontiguousarray(turned(first.grey, turn)), size, interpolation=cv2.INTER_AREA
    )
    other = cv2.resize(second.grey, size, interpolation=cv2.INTER_AREA)
    little = (_WHOLE_SIDE // CHROMA_STEP, _WHOLE_SIDE // CHROMA_STEP)
    chromas = [
        cv2.resize(np.ascontiguousarray(chroma), little, interpolation=cv2.INTER_AREA)
        for chroma in (turned(first.chroma, turn), second.chroma)
    ]
    likeness = compare(one, other, None, chromas)
    return WholeMatch(turn, float(correlations[turn]), likeness)


def mirrored_descriptors(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what SIFT would say of the same places in the mirrored picture, `(n, 128)`.

    A descriptor is 4 rows by 4 columns of 8 directions in the frame of its keypoint; a mirror
    swaps the rows across that frame's axis and runs the directions backwards.
    """
    cells = descriptors.reshape(-1, 4, 4, 8)
    backwards = np.array([0, 7, 6, 5, 4, 3, 2, 1])
    return cells[:, ::-1, :, backwards].reshape(-1, 128)


def align(
    first: tuple[View, Keypoints], second: tuple[View, Keypoints], *, mirror: bool = True
) -> Overlap | None:
    """Lay the first picture over the second by keypoints; None where too few agree.

    Args:
        first: a view and its keypoints.
        second: the other's.
        mirror: try the mirrored first picture too.
    """
    (view, points), (other, partners) = first, second
    if min(len(points), len(partners)) < LEAST_INLIERS:
        return None
    best: tuple[int, int, Affine] | None = None
    for flipped in (False, True) if mirror else (False,):
        described = mirrored_descriptors(points.descriptors) if flipped else points.descriptors
        ours, theirs = _partners(described, partners.descriptors)
        found = _fit(points.places[ours], partners.places[theirs], is_mirrored=flipped)
        if found is not None and (best is None or found[0] > best[0]):
            best = (found[0], len(ours), found[1])
    if best is None:
        return None
    return _overlap(view, other, best)


def _partners(
    ours: NDArray[np.float32], theirs: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return pairs of keypoints by Lowe's ratio test; each of theirs has one partner at most."""
    cv2 = load_opencv()
    # NumPy's product would start threads of its own, which costs more than it saves.
    products = cv2.gemm(np.ascontiguousarray(ours), theirs, 1.0, None, 0.0, flags=cv2.GEMM_2_T)
    nearest = products.argmax(axis=1)
    rows = np.arange(len(ours))
    best = products[rows, nearest].copy()
    products[rows, nearest] = -1.0
    second = products.max(axis=1)
    distances = np.sqrt(np.maximum(2 - 2 * best, 0)), np.sqrt(np.maximum(2 - 2 * second, 1e-9))
    passes = np.flatnonzero(distances[0] < RATIO * distances[1])
    order = passes[np.lexsort((passes, -best[passes]))]
    _, firsts = np.unique(nearest[order], return_index=True)
    kept = order[np.sort(firsts)]
    return kept, nearest[kept]


def _fit(
    places: NDArray[np.float32], partners: NDArray[np.float32], *, is_mirrored: bool
) -> tuple[int, Affine] | None:
    """Return how many keypoints one affine map carries to their partners, and the map."""
    if len(places) < LEAST_INLIERS:
        return None
    cv2 = load_opencv()
    matrix, inside = cv2.estimateAffine2D(
        places, partners, method=cv2.RANSAC, ransacReprojThreshold=REACH, maxIters=_ROUNDS
    )
    if matrix is None or inside is None or not np.isfinite(matrix).all():
        return None
    inliers = int(inside.sum())
    large, small = np.linalg.svd(matrix[:, :2], compute_uv=False).tolist()
    is_sane = small > 1 / _MOST_SCALE and large < _MOST_SCALE and large < _MOST_SQUEEZE * small
    turns_over = float(np.linalg.det(matrix[:, :2])) < 0
    if inliers < LEAST_INLIERS or not is_sane or turns_over != is_mirrored:
        return None
    return inliers, matrix


def _overlap(first: View, second: View, best: tuple[int, int, Affine]) -> Overlap | None:
    inliers, matches, matrix = best
    large, small = np.linalg.svd(matrix[:, :2], compute_uv=False).tolist()
    is_mirrored = float(np.linalg.det(matrix[:, :2])) < 0
    scale = float(np.sqrt(large * small))
    of_first, of_second = _shares(first.grey, second.grey, matrix)
    if min(of_first, of_second) <= 0.01:
        return None
    views = (first, second)
    if scale > 1:  # always shrink: what one picture lacks cannot be compared
        matrix = np.vstack((matrix, (0, 0, 1)))
        matrix = np.linalg.inv(matrix)[:2]
        views = (second, first)
    likeness = _laid_over(*views, matrix)
    if likeness is None:
        return None
    # With y downwards, a turn against the clock has a negative sine.
    column = best[2][:, 0] if not is_mirrored else -best[2][:, 0]
    return Overlap(
        inliers=inliers,
        matches=matches,
        of_first=of_first,
        of_second=of_second,
        angle=float(np.degrees(np.arctan2(-column[1], column[0]))),
        scale=scale,
        squeeze=large / small,
        is_mirrored=is_mirrored,
        rest=_rest(first, second, best[2], is_first=of_first < of_second),
        likeness=likeness,
    )


def _shares(first: Grey, second: Grey, matrix: Affine) -> tuple[float, float]:
    """Return which share of each picture lies inside the other."""
    cv2 = load_opencv()
    (h1, w1), (h2, w2) = first.shape, second.shape
    corners = np.array([(0, 0), (w1, 0), (w1, h1), (0, h1)], dtype=np.float64)
    moved = (corners @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    frame = np.array([(0, 0), (w2, 0), (w2, h2), (0, h2)], dtype=np.float32)
    shared, _ = cv2.intersectConvexConvex(moved, frame)
    area = abs(float(np.linalg.det(matrix[:, :2])))
    return min(1.0, shared / max(area * h1 * w1, 1e-6)), min(1.0, shared / (h2 * w2))


def _laid_over(first: View, second: View, matrix: Affine) -> Likeness | None:
    """Warp the first picture, which is the larger one, onto the second and compare them."""
    cv2 = load_opencv()
    height, width = second.grey.shape
    scale = np.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    grey = first.grey
    if scale < 0.8:
        grey = cv2.GaussianBlur(grey, (0, 0), float(0.5 / scale))
    warped = cv2.warpAffine(grey, matrix, (width, height), flags=cv2.INTER_LINEAR)
    ones = np.full(grey.shape, 255, dtype=np.uint8)
    inside = cv2.warpAffine(ones, matrix, (width, height), flags=cv2.INTER_NEAREST) > 0
    little = matrix.copy()
    little[:, 2] /= CHROMA_STEP
    size = (second.chroma.shape[1], second.chroma.shape[0])
    chroma = cv2.warpAffine(first.chroma, little, size, flags=cv2.INTER_LINEAR)
    if np.count_nonzero(inside) < _WINDOW * _WINDOW * 2:
        return None
    return compare(warped, second.grey, inside, (chroma, second.chroma))


def _rest(first: View, second: View, matrix: Affine, *, is_first: bool) -> float:
    """Return the spread of grey outside the overlap: little for a border of one colour.

    It is taken on the first picture or else the second, and a little away from the seam.
    """
    cv2 = load_opencv()
    if is_first:
        matrix = np.linalg.inv(np.vstack((matrix, (0, 0, 1))))[:2]
        first, second = second, first
    (height, width), grey = first.grey.shape, second.grey
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float64)
    moved = np.rint(corners @ matrix[:, :2].T + matrix[:, 2]).astype(np.int32)
    mask = cv2.fillConvexPoly(np.zeros(grey.shape, np.uint8), moved, 1)
    outside = grey[cv2.dilate(mask, np.ones((5, 5), np.uint8)) == 0]
    return float(outside.std()) if len(outside) > grey.size // 50 else 0.0


def compare(
    first: Grey,
    second: Grey,
    inside: NDArray[np.bool_] | None,
    chromas: Sequence[NDArray[np.uint8]] | None = None,
) -> Likeness:
    """Compare two pictures of one size by correlation within windows of 13 pixels.

    Args:
        first: `(h, w)` uint8.
        second: the same shape.
        inside: where both show something; all of it where None.
        chromas: the chroma of both at a smaller size, to tell recolouring.
    """
    cv2 = load_opencv()
    one = cv2.GaussianBlur(first, (0, 0), _SMOOTH).astype(np.float32)
    other = cv2.GaussianBlur(second, (0, 0), _SMOOTH).astype(np.float32)
    window = (_WINDOW, _WINDOW)
    mean_one, mean_other = cv2.boxFilter(one, -1, window), cv2.boxFilter(other, -1, window)
    var_one = np.maximum(cv2.boxFilter(one * one, -1, window) - mean_one * mean_one, 0)
    var_other = np.maximum(cv2.boxFilter(other * other, -1, window) - mean_other * mean_other, 0)
    both = cv2.boxFilter(one * other, -1, window) - mean_one * mean_other
    usable = np.ones(first.shape, bool) if inside is None else _eroded(inside)
    step = _WINDOW // 3
    picked = np.zeros_like(usable)
    picked[step::step, step::step] = True
    picked &= usable
    noise = _TEXTURE * _TEXTURE
    variances = np.maximum(var_one, var_other)[picked]
    correlation = (both / np.sqrt((var_one + 1) * (var_other + 1)))[picked]
    weights = np.where(variances > noise, np.minimum(np.sqrt(variances), 40), 0)
    lightening = float((mean_other - mean_one)[picked].mean()) if picked.any() else 0.0
    recolouring = _recolouring(chromas, inside)
    textured = float((weights > 0).mean()) if picked.any() else 0.0
    if np.count_nonzero(weights) < _LEAST_WINDOWS:
        return Likeness(0.0, 0.0, 0.0, 0.0, textured, recolouring, lightening)
    order = np.argsort(correlation, kind="stable")
    heaped = np.cumsum(weights[order]) / weights.sum()
    at = np.minimum(np.searchsorted(heaped, (0.1, 0.5, 0.75)), len(order) - 1)
    low, middle, high = correlation[order[at]].tolist()
    agreeing = weights[correlation > _AGREES].sum() / weights.sum()
    return Likeness(float(agreeing), middle, low, high, textured, recolouring, lightening)


def _eroded(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leave out windows that, with the smoothing, reach over the edge of the overlap."""
    cv2 = load_opencv()
    reach = _WINDOW + 2 * round(3 * _SMOOTH)
    kernel = np.ones((reach, reach), np.uint8)
    return cv2.erode(inside.astype(np.uint8), kernel, borderValue=1) > 0


def _recolouring(
    chromas: Sequence[NDArray[np.uint8]] | None, inside: NDArray[np.bool_] | None
) -> float:
    if chromas is None:
        return 0.0
    differences = np.abs(chromas[0].astype(np.int16) - chromas[1]).sum(axis=-1)
    if inside is not None:
        height, width = differences.shape
        mask = inside[::CHROMA_STEP, ::CHROMA_STEP][:height, :width]
        differences = differences[: mask.shape[0], : mask.shape[1]][mask]
    return float(differences.mean()) if differences.size else 0.0
