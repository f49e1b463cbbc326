"""The models and thresholds of the copy judge, written by eval/copies; do not edit."""

from __future__ import annotations

from typing import Final

MODELS: Final[dict[str, dict[str, float]]] = {
    "hash": {
        "bits": -20.0,
        "turned": 0.0,
        "cosine": 6.0,
        "cosine4": 0.0,
        "bias": -7.0,
    },
    "whole": {
        "bits": -20.0,
        "cosine": 6.0,
        "correlation": 0.0,
        "agreeing": 12.0,
        "agreeing2": 0.0,
        "middle": 0.0,
        "middle4": 0.0,
        "low": 0.0,
        "high": 0.0,
        "textured": 0.0,
        "bias": -7.0,
    },
    "overlap": {
        "cosine": 6.0,
        "inliers": 0.0,
        "inlier_share": 0.0,
        "larger_share": 0.0,
        "smaller_share": 0.0,
        "squeeze": 0.0,
        "agreeing": 12.0,
        "agreeing2": 0.0,
        "middle": 0.0,
        "middle4": 0.0,
        "low": 0.0,
        "high": 0.0,
        "textured": 0.0,
        "bias": -7.0,
    },
}

THRESHOLDS: Final[dict[str, dict[str, float]]] = {
    "strict": {
        "bytes": 1.0,
        "hash": 0.5,
        "whole": 0.5,
        "overlap": 0.5,
    },
    "balanced": {
        "bytes": 1.0,
        "hash": 0.5,
        "whole": 0.5,
        "overlap": 0.5,
    },
    "lenient": {
        "bytes": 1.0,
        "hash": 0.5,
        "whole": 0.5,
        "overlap": 0.5,
    },
}
