"""Put pieces of lines into reading order, and split them into words.

A reader finds pieces: what stands on one line without a wide gap. Pieces are looked at in a
frame turned with the text, so that a page that lies on its side or hangs askew reads as well
as an upright one. Columns are told by the white space between them (the recursive cuts of
Nagy and Seth 1984), but only where both sides hold running text: the prices of a receipt
stay on the lines of what they are for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.domain.images import OcrWord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Points: TypeAlias = NDArray[np.float64]

_COLUMN_PIECES: Final = 3
_COLUMN_WIDTH: Final = 6.0
_DEEPEST: Final = 40


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of one line without a wide gap.

    `quad` are its corners `(4, 2)` as fractions of the picture's width and height, as one who
    reads it names them: top left, top right, bottom right, bottom left. `centres` holds, for
    each character but white space, where along the piece its middle is, in [0, 1], rising.
    """

    text: str
    score: float
    quad: Points
    centres: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A piece in the frame of the text: from `start` to `end` along it, `level` down it."""

    piece: Piece
    start: float
    end: float
    level: float
    height: float


def words_in_order(pieces: Sequence[Piece], size: tuple[int, int]) -> Iterator[OcrWord]:
    """Yield the words of `pieces` in reading order; `size` is the picture's width and height."""
    for number, line in enumerate(_lines(_placed(pieces, size))):
        for placed in line:
            yield from _split(placed.piece, number)


def _placed(pieces: Sequence[Piece], size: tuple[int, int]) -> list[_Placed]:
    """Return the pieces in a frame of pixels turned by the direction most of the text has."""
    if not pieces:
        return []
    quads = np.stack([piece.quad for piece in pieces]) * np.array(size, np.float64)
    starts, ends = (quads[:, 0] + quads[:, 3]) / 2, (quads[:, 1] + quads[:, 2]) / 2
    along = _main_direction(ends - starts)
    down = np.array((-along[1], along[0]))
    flat = np.stack((starts @ along, ends @ along))
    levels = (starts + ends) @ down / 2
    heights = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)
    rows = zip(pieces, flat.min(axis=0), flat.max(axis=0), levels, heights, strict=True)
    return [
        _Placed(piece, float(start), float(end), float(level), max(float(height), 1e-6))
        for piece, start, end, level, height in rows
    ]


def _main_direction(directions: Points) -> Points:
    """Return the unit vector that most of the text's length runs along."""
    lengths = np.linalg.norm(directions, axis=1)
    sectors = np.round(np.arctan2(directions[:, 1], directions[:, 0]) / (np.pi / 2)).astype(int) % 4
    best = np.bincount(sectors, weights=lengths, minlength=4).argmax()
    total = directions[sectors == best].sum(axis=0)
    norm = float(np.linalg.norm(total))
    return total / norm if norm > 0 else np.array((1.0, 0.0))


def _lines(placed: list[_Placed]) -> Iterator[list[_Placed]]:
    for block in _blocks(placed, _DEEPEST):
        yield from _rows(block)


def _blocks(placed: list[_Placed], depth: int) -> Iterator[list[_Placed]]:
    """Cut between columns, else at the widest level gap, and so on inside of both parts."""
    if len(placed) < 2 * _COLUMN_PIECES or depth == 0:
        yield placed
        return
    parts = _cut_columns(placed) or _cut_level(placed)
    if parts is None:
        yield placed
        return
    for part in parts:
        yield from _blocks(part, depth - 1)


def _cut_columns(placed: list[_Placed]) -> tuple[list[_Placed], list[_Placed]] | None:
    """Return the parts left and right of the leftmost gap with running text on both sides."""
    ordered = sorted(placed, key=lambda p: p.start)
    height = float(np.median([p.height for p in placed]))
    reach = ordered[0].end
    for i, piece in enumerate(ordered):
        parts = ordered[:i], ordered[i:]
        if piece.start - reach > height and all(_is_running(part, height) for part in parts):
            return parts
        reach = max(reach, piece.end)
    return None


def _is_running(part: list[_Placed], height: float) -> bool:
    if len(part) < _COLUMN_PIECES:
        return False
    return float(np.median([p.end - p.start for p in part])) > _COLUMN_WIDTH * height


def _cut_level(placed: list[_Placed]) -> tuple[list[_Placed], list[_Placed]] | None:
    """Return the parts above and below the widest gap, if one is wider than a line's height."""
    ordered = sorted(placed, key=lambda p: p.level - p.height / 2)
    height = float(np.median([p.height for p in placed]))
    best, widest = 0, height / 2
    reach = ordered[0].level + ordered[0].height / 2
    for i, piece in enumerate(ordered):
        gap = piece.level - piece.height / 2 - reach
        if gap > widest:
            best, widest = i, gap
        reach = max(reach, piece.level + piece.height / 2)
    return (ordered[:best], ordered[best:]) if best else None


def _rows(block: list[_Placed]) -> Iterator[list[_Placed]]:
    """Yield the lines of a block from the top, the pieces of each from its start."""
    row: list[_Placed] = []
    for piece in sorted(block, key=lambda p: (p.level, p.start)):
        if row and not _is_level(row, piece):
            yield sorted(row, key=lambda p: p.start)
            row = []
        row.append(piece)
    if row:
        yield sorted(row, key=lambda p: p.start)


def _is_level(row: list[_Placed], piece: _Placed) -> bool:
    """Tell whether a piece goes on a line: at its level, of about its size, and beside it."""
    level = float(np.mean([p.level for p in row]))
    near = all(
        abs(piece.level - level) < 0.5 * min(piece.height, other.height)
        and max(piece.height, other.height) < 2.5 * min(piece.height, other.height)
        for other in row
    )
    half = (piece.end - piece.start) / 2
    return near and all(
        min(piece.end, other.end) - max(piece.start, other.start)
        < min(half, (other.end - other.start) / 2)
        for other in row
    )


def _split(piece: Piece, line: int) -> Iterator[OcrWord]:
    """Yield the words of a piece, each in the box around its share of the piece.

    A word reaches half way to its neighbours' characters, at most half a character's usual
    step beyond its own outer ones. With no centres, or too few, characters are taken as
    equally wide.
    """
    words = piece.text.split()
    count = sum(map(len, words))
    centres = np.asarray(piece.centres, np.float64)
    if len(centres) != count:
        places = [i for i, char in enumerate(piece.text) if not char.isspace()]
        centres = (np.array(places) + 0.5) / max(len(piece.text), 1)
    half = float(np.median(np.diff(centres))) / 2 if count > 1 else 0.5
    at = 0
    for word in words:
        first, last = at, at + len(word) - 1
        at += len(word)
        left, right = centres[first] - half, centres[last] + half
        if first > 0:
            left = max(left, (centres[first - 1] + centres[first]) / 2)
        if last + 1 < count:
            right = min(right, (centres[last] + centres[last + 1]) / 2)
        yield OcrWord(word, piece.score, _box(piece.quad, max(left, 0.0), min(right, 1.0)), line)


def _box(quad: Points, left: float, right: float) -> tuple[float, float, float, float]:
    """Return the upright box around the part of a quad between two shares of its length."""
    top, bottom = quad[1] - quad[0], quad[2] - quad[3]
    corners = np.stack(
        (
            quad[0] + top * left,
            quad[0] + top * right,
            quad[3] + bottom * left,
            quad[3] + bottom * right,
        )
    )
    (x, y), (x_end, y_end) = corners.min(axis=0), corners.max(axis=0)
    return float(x), float(y), float(x_end - x), float(y_end - y)
