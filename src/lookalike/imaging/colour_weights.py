"""The weights of the colour terms, written by eval/colour/fit.py; do not edit."""

from __future__ import annotations

from typing import Final

WEIGHTS: Final = (
    (0.833, 0.521, 2.112),  # black
    (0.685, 0.000, 3.370),  # white
    (0.625, 0.350, 0.825),  # grey
    (0.178, 1.486, 3.941),  # red
    (0.424, 0.931, 3.759),  # orange
    (0.000, 1.300, 2.791),  # yellow
    (0.007, 1.712, 1.929),  # green
    (0.313, 1.238, 2.645),  # blue
    (0.852, 0.842, 4.478),  # purple
    (0.958, 0.786, 5.479),  # pink
    (0.000, 0.919, 0.840),  # brown
)
"""For each of `COLOR_NAMES`: the weights of `colour.term_inputs`, and the bias."""
