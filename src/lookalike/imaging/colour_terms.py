"""Which of the eleven basic colour terms a colour is called by.

The regions are stated in the hue, chroma and lightness of CIELAB, after the naming
experiments of Berlin and Kay (1969) and Boynton and Olson (1987): the foci are theirs, and
the borders were set against half of the names of the xkcd colour survey (CC0); the other
half and the CSS names measure them (eval/colour/).
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.domain.images import COLOR_NAMES

_BoolArray: TypeAlias = NDArray[np.bool_]
_FloatArray: TypeAlias = NDArray[np.float32]

_FOCUS: Final = {
    "red": (15, 60), "orange": (15, 60), "yellow": (15, 60), "green": (8, 40), "blue": (8, 45),
    "purple": (8, 40), "pink": (10, 45), "brown": (6, 30),
}  # fmt: skip
"""The chroma from which a term of colour begins to be said, and that from which it is plain."""

_LEAST_TYPICAL: Final = 0.02

_INDEX: Final = {name: i for i, name in enumerate(COLOR_NAMES)}


def name_colours(lab: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return for each CIELAB colour, `(n, 3)`, its index into `COLOR_NAMES`, `(n,)` uint8."""
    lightness = lab[:, 0]
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    rules = [
        *_achromatic(lightness, chroma, hue),
        *_warm(lightness, chroma, hue),
        *_cool(lightness, chroma, hue),
    ]
    conditions = [condition for _, condition in rules]
    choices = [np.uint8(_INDEX[name]) for name, _ in rules]
    return np.select(conditions, choices, default=np.uint8(_INDEX["grey"])).astype(np.uint8)


def typicality(lab: NDArray[np.float32], terms: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how plainly each colour is its term, `(n,)` in [0.02, 1].

    A hint of yellow on a wall in lamplight is yellow by the borders, but nobody says so.
    """
    lightness, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    result = np.ones(len(lab), dtype=np.float32)
    spans = {name: (chroma - low) / (full - low) for name, (low, full) in _FOCUS.items()}
    spans["black"] = (30 - lightness) / 18
    spans["white"] = (lightness - 80) / 14
    spans["grey"] = 1 - chroma / 14
    for name, value in spans.items():
        is_term = terms == _INDEX[name]
        result[is_term] = np.clip(value[is_term], _LEAST_TYPICAL, 1)
    return result


def _achromatic(
    lightness: _FloatArray, chroma: _FloatArray, hue: _FloatArray
) -> list[tuple[str, _BoolArray]]:
    """Black, white and grey; warm tints read as white sooner than cold ones."""
    is_yellowish = (hue > 60) & (hue < 130)
    white_chroma = np.where(is_yellowish, 14.0, 6.0)
    is_bluish = (hue > 200) & (hue < 310)
    blue_chroma = np.where(lightness > 75, 8.0, 12.5)
    is_rosy = (hue >= 296) | (hue < 26)
    warm_chroma = np.where(is_yellowish, 12.0, 9.0)
    grey_chroma = np.where(is_bluish, blue_chroma, np.where(is_rosy, 13.0, warm_chroma))
    return [
        ("black", (lightness < np.where(chroma > 25, 3, 7)) | ((lightness < 20) & (chroma < 10))),
        ("white", (lightness > 85.5) & (chroma < white_chroma)),
        ("grey", chroma < grey_chroma),
    ]


def _warm(
    lightness: _FloatArray, chroma: _FloatArray, hue: _FloatArray
) -> list[tuple[str, _BoolArray]]:
    """Pink, red, orange, brown and yellow: hues from 345° over 0° to 106°."""
    is_rose = (hue >= 345) | (hue < 26)
    is_scarlet = (hue >= 26) & (hue < 46)
    is_amber = (hue >= 46) & (hue < 76)
    is_gold = (hue >= 76) & (hue < 106)
    return [
        ("red", is_rose & (lightness < 50) & (chroma > 26) & ((hue >= 10) & (hue < 26))),
        ("red", is_rose & (lightness < 54) & (chroma > 58) & ((hue >= 5) & (hue < 26))),
        ("purple", is_rose & (lightness < 36) & ((hue >= 345) | (hue < 5))),
        ("brown", is_rose & (lightness < 40) & (hue >= 5)),
        ("pink", is_rose),
        ("red", is_scarlet & (chroma > np.where(hue < 32, 30, 47)) & (lightness < 56)),
        ("red", is_scarlet & (hue < 36) & (chroma > 70)),
        ("orange", is_scarlet & (hue > 36) & (chroma > 44) & (lightness > 54)),
        ("brown", is_scarlet & (lightness < 58)),
        ("pink", is_scarlet & (lightness >= 58) & (chroma < 62)),
        ("orange", is_scarlet),
        ("orange", is_amber & (hue < 60) & (chroma > 54) & (lightness > 44)),
        ("orange", is_amber & (hue < 60) & (chroma > 46) & (lightness > 50)),
        ("orange", is_amber & (hue >= 60) & (chroma > 58) & (lightness > 48)),
        ("brown", is_amber & (lightness < 78)),
        ("pink", is_amber & (hue < 58)),
        ("orange", is_amber & (chroma > 34)),
        ("brown", is_amber),
        ("yellow", is_gold & (lightness > 60) & (chroma > 48)),
        ("yellow", is_gold & (lightness > 86)),
        ("green", is_gold & (hue > 99) & (lightness < 70)),
        ("brown", is_gold),
    ]


def _cool(
    lightness: _FloatArray, chroma: _FloatArray, hue: _FloatArray
) -> list[tuple[str, _BoolArray]]:
    """Green, blue, purple, and the pinks beside purple: hues from 106° to 345°."""
    is_violet = (hue >= 296) & (hue < 345)
    is_pure_blue = (hue < 308) & (chroma > 85) & (lightness < 50)
    is_navy = (hue < 308) & (lightness < 24)
    return [
        ("yellow", (hue >= 106) & (hue < 112) & (lightness > 88) & (chroma > 30)),
        ("green", (hue >= 106) & (hue < 190)),
        ("blue", (hue >= 190) & (hue < 296)),
        ("blue", is_violet & (is_pure_blue | is_navy)),
        ("pink", is_violet & (hue > 324) & (lightness > 54)),
        ("purple", is_violet),
    ]
