"""Colours by value: `#ff8800` with a tolerance, and the cells of CIELAB that stand for them.

A picture bears the cell of each colour of its palette that fills enough of it; a colour that is
asked for stands for every cell within the tolerance. So the same few words answer it in every
store. Choices and figures: docs/adr/0032-colours-by-value.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from lookalike.domain.errors import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from lookalike.domain.images import PaletteColour

    _Floats: TypeAlias = NDArray[np.floating]

CELL: Final = 8.0
"""The side of a cell in each coordinate of CIELAB."""

LEAST_SHARE: Final = 0.03
"""Of a picture that a colour of its palette fills, for the picture to be found by it."""

USUAL_TOLERANCE: Final = 15.0
MOST_TOLERANCE: Final = 50.0
"""In units of CIEDE2000; beyond it nearly every picture has the colour."""

SIGN: Final = "#"
_VALUE: Final = re.compile(r"#(?P<digits>[^~]*)(?:~(?P<tolerance>.*))?", re.DOTALL)
_TOLERANCE: Final = re.compile(r"\d{1,3}(?:\.\d{1,3})?", re.ASCII)
_DIGITS: Final = frozenset("0123456789abcdef")

_TO_XYZ: Final = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE_D65: Final = (0.95047, 1.0, 1.08883)
_GAMUT_STEP: Final = 5
_HALF_SPAN: Final = 32
_SPAN: Final = 2 * _HALF_SPAN
"""No coordinate of a cell lies further from 0 than half of it."""

_FAR: Final = 25.0**7


@dataclass(frozen=True, slots=True)
class Shade:
    """A colour in sRGB, 0 to 255, and how far from it others may lie (CIEDE2000)."""

    rgb: tuple[int, int, int]
    tolerance: float = USUAL_TOLERANCE

    def __str__(self) -> str:
        """Return the one form in which a filter holds it: `#ff8800~15`."""
        red, green, blue = self.rgb
        return f"{SIGN}{red:02x}{green:02x}{blue:02x}~{self.tolerance:g}"


def is_shade(value: str) -> bool:
    """Tell whether the value of `color:` names a colour by value."""
    return value.startswith(SIGN)


def parse_shade(text: str) -> Shade:
    """Return the colour that `#ff8800`, `#f80` or either with a tolerance (`~20`) names.

    >>> str(parse_shade("#F80~20"))
    '#ff8800~20'
    """
    found = _VALUE.fullmatch(text.strip().lower())
    if found is None:
        raise _refused(text, "is no colour", f"write color:#ff8800 or color:#ff8800~{_usual()}")
    digits, tolerance = found["digits"], found["tolerance"]
    odd = next((one for one in digits if one not in _DIGITS), None)
    if odd is not None:
        raise _refused(SIGN + digits, f"is no colour: {odd!r} is no hexadecimal digit", _FORM)
    if len(digits) not in {3, 6}:
        raise _refused(SIGN + digits, "is no colour: it has 3 or 6 digits", _FORM)
    if len(digits) == 3:
        digits = "".join(one + one for one in digits)
    red, green, blue = (int(digits[at : at + 2], 16) for at in (0, 2, 4))
    return Shade(
        (red, green, blue), USUAL_TOLERANCE if tolerance is None else _tolerance(tolerance)
    )


_FORM: Final = "write it as #ff8800 or #f80"


def _usual() -> str:
    return f"{USUAL_TOLERANCE:g}"


def _tolerance(text: str) -> float:
    value = float(text) if _TOLERANCE.fullmatch(text) else 0.0
    if not 0 < value <= MOST_TOLERANCE:
        raise _refused(
            f"~{text}", "is no tolerance",
            f"it is a number up to {MOST_TOLERANCE:g}; {_usual()} where none is given",
        )  # fmt: skip
    return value


def _refused(culprit: str, what: str, hint: str) -> FilterError:
    error = FilterError(f"{culprit} {what}", hint=hint)
    error.culprit = culprit
    return error


def shades_borne(palette: Iterable[PaletteColour]) -> frozenset[str]:
    """Return the cells of a palette's colours that fill enough of the picture.

    Colours of one cell count together, so that it does not matter how finely they were told apart.
    """
    shares: dict[str, float] = {}
    for colour in palette:
        cell = _name(*(round(value / CELL) for value in colour.lab))
        shares[cell] = shares.get(cell, 0.0) + colour.weight
    return frozenset(cell for cell, share in shares.items() if share >= LEAST_SHARE)


@lru_cache(maxsize=256)
def shades_near(value: str) -> frozenset[str]:
    """Return the cells within the tolerance of a colour such as `#ff8800~15`, and its own."""
    shade = parse_shade(value)
    wanted = lab_of(np.asarray([shade.rgb], dtype=np.float64))
    cells = _gamut()
    is_near = difference(wanted, cells * CELL) <= shade.tolerance
    own = np.rint(wanted / CELL).astype(np.int64)
    return frozenset(_name(*cell) for cell in (*own.tolist(), *cells[is_near].tolist()))


def _name(light: int, a: int, b: int) -> str:
    return f"{light}.{a}.{b}"


@lru_cache(maxsize=1)
def _gamut() -> NDArray[np.int64]:
    """Return the cells that hold a colour of sRGB, `(n, 3)`."""
    level = np.arange(0, 256, _GAMUT_STEP, dtype=np.float64)
    colours = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1).reshape(-1, 3)
    cells = np.rint(lab_of(colours) / CELL).astype(np.int64) + _HALF_SPAN
    codes = np.unique((cells[:, 0] * _SPAN + cells[:, 1]) * _SPAN + cells[:, 2])
    return np.stack((codes // _SPAN**2, codes // _SPAN % _SPAN, codes % _SPAN), 1) - _HALF_SPAN


def lab_of(rgb: _Floats) -> _Floats:
    """Convert sRGB in 0 to 255, `(..., 3)`, to CIELAB (D65, 2°), `(..., 3)`.

    IEC 61966-2-1 for the curve and the primaries, CIE 15:2004 for the rest.
    """
    coded = rgb / 255.0
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array(_TO_XYZ).T / np.array(_WHITE_D65)
    curve = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    light = 116 * curve[..., 1] - 16
    a = 500 * (curve[..., 0] - curve[..., 1])
    b = 200 * (curve[..., 1] - curve[..., 2])
    return np.stack((light, a, b), axis=-1)


def difference(left: _Floats, right: _Floats) -> _Floats:
    """Return the CIEDE2000 difference of colours in CIELAB, `(n, 3)` each or one of them `(1, 3)`.

    Source: Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", 2005, eqs. 2 to 22.
    """
    mean_chroma = (np.hypot(left[:, 1], left[:, 2]) + np.hypot(right[:, 1], right[:, 2])) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean_chroma**7 / (mean_chroma**7 + _FAR))
    chroma_1, hue_1 = _polar(left, stretch)
    chroma_2, hue_2 = _polar(right, stretch)
    is_grey = chroma_1 * chroma_2 == 0
    turn = (hue_2 - hue_1 + 180) % 360 - 180
    d_hue = 2 * np.sqrt(chroma_1 * chroma_2) * np.sin(np.radians(np.where(is_grey, 0, turn) / 2))
    is_across = np.abs(hue_1 - hue_2) > 180
    hue = (hue_1 + hue_2) / 2 + np.where(is_across & ~is_grey, 180, 0)
    hue = np.where(is_grey, hue_1 + hue_2, hue) % 360
    light, chroma = (left[:, 0] + right[:, 0]) / 2, (chroma_1 + chroma_2) / 2
    from_middle = (light - 50) ** 2
    by_light = (right[:, 0] - left[:, 0]) / (1 + 0.015 * from_middle / np.sqrt(20 + from_middle))
    by_chroma = (chroma_2 - chroma_1) / (1 + 0.045 * chroma)
    by_hue = d_hue / (1 + 0.015 * chroma * _hue_weight(hue))
    bend = np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + _FAR)) * np.sin(bend)
    return np.sqrt(by_light**2 + by_chroma**2 + by_hue**2 + rotation * by_chroma * by_hue)


def _polar(lab: _Floats, stretch: _Floats) -> tuple[_Floats, _Floats]:
    """Return the adjusted chroma and the hue in degrees."""
    a = lab[:, 1] * stretch
    return np.hypot(a, lab[:, 2]), np.degrees(np.arctan2(lab[:, 2], a)) % 360


def _hue_weight(hue: _Floats) -> _Floats:
    return (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.20 * np.cos(np.radians(4 * hue - 63))
    )
