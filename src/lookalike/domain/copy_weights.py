"""The models and thresholds of the copy judge, written by eval/copies; do not edit."""

from __future__ import annotations

from typing import Final

MODELS: Final[dict[str, dict[str, float]]] = {
    "hash": {
        "bits": -7.3388,
        "turned": -1.1992,
        "cosine": 0.0,
        "cosine4": 3.2684,
        "bias": 4.1649,
    },
    "whole": {
        "bits": -3.3696,
        "cosine": 1.9933,
        "correlation": 3.7733,
        "agreeing": 2.7621,
        "agreeing2": 1.1489,
        "middle": 4.4037,
        "middle4": 1.2142,
        "low": 2.539,
        "high": 0.6542,
        "textured": -0.314,
        "bias": -4.3665,
    },
    "overlap": {
        "cosine": 0.0,
        "inliers": 2.8515,
        "inlier_share": 5.0943,
        "larger_share": 2.6445,
        "smaller_share": 2.0447,
        "squeeze": 0.0,
        "agreeing": 0.0,
        "agreeing2": 1.0726,
        "middle": 0.0,
        "middle4": 0.0,
        "low": 4.0781,
        "high": 1.8465,
        "textured": -0.3749,
        "bias": -12.6533,
    },
}

THRESHOLDS: Final[dict[str, dict[str, float]]] = {
    "strict": {
        "bytes": 1.0,
        "hash": 0.9505,
        "whole": 0.95,
        "overlap": 0.9694,
    },
    "balanced": {
        "bytes": 1.0,
        "hash": 0.9235,
        "whole": 0.8,
        "overlap": 0.8,
    },
    "lenient": {
        "bytes": 1.0,
        "hash": 0.8451,
        "whole": 0.5,
        "overlap": 0.5,
    },
}
