"""A fusion model: one weight for each named feature of a candidate, and its file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from lookalike.domain.errors import FusionModelError

FORMAT: Final = 1
KIND: Final = "lookalike fusion model"
OBJECTIVES: Final = ("pairwise", "pointwise")

FEATURES: Final[Mapping[str, str]] = {
    "rrf": "the reciprocal rank fusion of the query's paths, the order before anything was learned",
    "bm25_log": "log(1 + BM25)",
    "bm25_share": "BM25 as a share of the query's best",
    "bm25_lead": "that share, times how far the best stands above the mean of the ten behind it",
    "bm25_rank": "1 / log2(1 + rank by BM25), 0 where no word matched",
    "matched": "1 where a word matched",
    "label_share": "what the labels of objects add to BM25, as a share of the query's best",
    "ocr_share": "what the text read in the picture adds, likewise",
    "colour_share": "what the names of colours add, likewise",
    "recency": "how late an image was added among the candidates: 0 the first, 1 the last",
    "cosine": "the cosine with the query",
    "cosine_gap": "the cosine less the query's best",
    "cosine_z": "the cosine in standard deviations from the mean of the candidates",
    "cosine_rank": "1 / log2(1 + rank by cosine)",
    "region": "the cosine of the nearest object with the query",
    "region_gap": "the region's cosine less the query's best",
    "region_seen": "1 where an object is near",
}
"""What a model may weigh, by name; a value is NaN where its path did not see the candidate."""

LEAST_SCALE: Final = 1e-6
MOST_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class FusionModel:
    """A linear model over standardised features.

    The score is the sum over features of weight · (value − centre) / scale, and the intercept; a
    NaN adds nothing. `propensities` are those of positions from 1 on that the clicks were
    corrected with; `facts` say what it was learned from and how it was judged.
    """

    features: tuple[str, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float = 0.0
    objective: str = "pairwise"
    l2: float = 0.0
    version: int = 0
    parent: int = 0
    created: float = 0.0
    propensities: tuple[float, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def name(self) -> str:
        """What names this version."""
        return f"fusion-{self.version:06d}"

    def shares(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `(n, f)` what each feature adds to the score, of `(n, f)` values."""
        standard = (values - np.asarray(self.centres)) / np.asarray(self.scales)
        return np.nan_to_num(standard, nan=0.0, posinf=0.0, neginf=0.0) * np.asarray(self.weights)

    def score(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `(n,)` sums of the shares and the intercept."""
        return self.shares(values).sum(axis=1) + self.intercept

    def to_json(self) -> dict[str, Any]:
        """Return what the file holds."""
        return {
            "kind": KIND,
            "format": FORMAT,
            "version": self.version,
            "parent": self.parent,
            "created": self.created,
            "objective": self.objective,
            "l2": self.l2,
            "intercept": self.intercept,
            "features": {
                name: {"weight": weight, "centre": centre, "scale": scale}
                for name, weight, centre, scale in zip(
                    self.features, self.weights, self.centres, self.scales, strict=True
                )
            },
            "propensities": list(self.propensities),
            "facts": dict(self.facts),
        }


def render_model(model: FusionModel) -> bytes:
    """Return the bytes of a model's file."""
    return (json.dumps(model.to_json(), indent=1, allow_nan=False) + "\n").encode()


def parse_model(data: bytes, where: str) -> FusionModel:
    """Read a model's file; `where` names it in errors.

    Raises:
        FusionModelError: it is damaged, something else, of a newer version, or weighs what this
            version does not know.
    """
    table = _table(data, where)
    if table.get("kind") != KIND:
        raise FusionModelError(f"{where} is no fusion model", hint=_HINT)
    version = table.get("format")
    if not isinstance(version, int) or version > FORMAT:
        raise FusionModelError(
            f"{where} has format {version}; this version reads up to {FORMAT}",
            hint="install a newer Lookalike",
        )
    try:
        model = _model(table)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FusionModelError(f"{where} is damaged: {error!r}", hint=_HINT) from error
    unknown = [name for name in model.features if name not in FEATURES]
    if unknown:
        raise FusionModelError(f"{where} weighs {', '.join(unknown)}, not known here", hint=_HINT)
    return model


_HINT: Final = "go back to another with: lookalike learn --rollback"


def _table(data: bytes, where: str) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise FusionModelError(f"{where} is too large for a fusion model", hint=_HINT)
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FusionModelError(f"{where} is damaged: it is no JSON", hint=_HINT) from error
    if not isinstance(values, dict):
        raise FusionModelError(f"{where} is no fusion model", hint=_HINT)
    return cast("dict[str, Any]", values)


def _model(table: Mapping[str, Any]) -> FusionModel:
    features: Mapping[str, Mapping[str, float]] = table["features"]
    model = FusionModel(
        features=tuple(features),
        centres=_numbers(one["centre"] for one in features.values()),
        scales=_numbers(one["scale"] for one in features.values()),
        weights=_numbers(one["weight"] for one in features.values()),
        intercept=_number(table["intercept"]),
        objective=str(table["objective"]),
        l2=_number(table["l2"]),
        version=int(table["version"]),
        parent=int(table["parent"]),
        created=_number(table["created"]),
        propensities=_numbers(table["propensities"]),
        facts=dict(table["facts"]),
    )
    if not model.features or min(model.scales) < LEAST_SCALE:
        raise ValueError("no features, or a scale of 0")
    if model.objective not in OBJECTIVES or model.version < 1 or model.parent < 0:
        raise ValueError("an objective or a version that there is none of")
    if not all(0 < one <= 1 for one in model.propensities):
        raise ValueError("a propensity outside of (0, 1]")
    return model


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _numbers(values: Any) -> tuple[float, ...]:
    listed: Sequence[object] = list(values)
    return tuple(_number(one) for one in listed)
