"""The models and thresholds of the copy judge, written by eval/copies; do not edit."""

from __future__ import annotations

from typing import Final

MODELS: Final[dict[str, dict[str, float]]] = {
    "hash": {
        "bits": -7.1214,
        "turned": -1.1303,
        "cosine": 0.0,
        "cosine4": 4.0236,
        "bias": 3.8603,
    },
    "whole": {
        "bits": -3.3019,
        "cosine": 2.2244,
        "correlation": 3.8561,
        "agreeing": 2.6663,
        "agreeing2": 1.1033,
        "middle": 4.291,
        "middle4": 1.1679,
        "low": 2.4876,
        "high": 0.6492,
        "textured": -0.3478,
        "bias": -4.4614,
    },
    "overlap": {
        "cosine": 0.0,
        "inliers": 2.6157,
        "inlier_share": 3.469,
        "larger_share": 0.0873,
        "smaller_share": 4.5796,
        "squeeze": -0.7072,
        "agreeing": 1.0726,
        "agreeing2": 2.0191,
        "middle": 0.0,
        "middle4": 0.4192,
        "low": 3.0528,
        "high": 2.0968,
        "textured": -0.3549,
        "bias": -10.5641,
    },
}

THRESHOLDS: Final[dict[str, dict[str, float]]] = {
    "strict": {
        "bytes": 1.0,
        "hash": 0.9095,
        "whole": 0.9,
        "overlap": 0.9,
    },
    "balanced": {
        "bytes": 1.0,
        "hash": 0.8537,
        "whole": 0.5,
        "overlap": 0.5,
    },
    "lenient": {
        "bytes": 1.0,
        "hash": 0.8025,
        "whole": 0.25,
        "overlap": 0.25,
    },
}
