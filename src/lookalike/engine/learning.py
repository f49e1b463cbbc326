"""Learning the order of an index from its click log: fit, judge, keep, and promote if better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lookalike.domain.errors import FusionModelError
from lookalike.domain.fusion import FEATURES
from lookalike.domain.fusion_learning import Learned, LearningOptions, learn
from lookalike.engine.learning_models import RRF

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lookalike.domain.clicks import Session
    from lookalike.domain.fusion import FusionModel
    from lookalike.engine.learning_models import FusionVersions


@dataclass(frozen=True, slots=True)
class LearningReport:
    """What came of a run: the judged model (version 0 where it was not kept), and the choice."""

    learned: Learned
    model: FusionModel
    in_use_before: str
    is_promoted: bool

    def to_json(self) -> dict[str, Any]:
        """Return the report as an object."""
        names = zip(self.model.features, self.model.weights, strict=True)
        return {
            "version": self.model.version or None,
            "promoted": self.is_promoted,
            "is_better": self.learned.is_better,
            "before": self.in_use_before,
            "objective": self.model.objective,
            "l2": self.model.l2,
            "weights": {name: round(weight, 6) for name, weight in names},
            "propensities": [round(one, 4) for one in self.model.propensities],
            **self.learned.facts(),
        }


def learn_from(
    sessions: Iterable[Session],
    versions: FusionVersions,
    *,
    seed: int = 0,
    is_dry: bool = False,
) -> LearningReport:
    """Learn, keep the model as the next version, and promote it if the held-out answers say so.

    `is_dry` keeps and promotes nothing.

    Raises:
        TooFewClicksError: there is too little to learn from.
        StoreError: the model cannot be kept.
    """
    try:
        current = versions.current()
    except FusionModelError:  # RRF orders then, so that is what to beat
        current = None
    options = LearningOptions(tuple(FEATURES), seed=seed)
    found = learn(list(sessions), options, current=current)
    before = current.name if current is not None else "rrf"
    parent = current.version if current is not None else RRF
    model = replace(found.model, parent=parent, facts=found.facts())
    if is_dry:
        return LearningReport(found, model, before, is_promoted=False)
    model = versions.add(model)
    if found.is_better:
        versions.use(model.version)
    return LearningReport(found, model, before, is_promoted=found.is_better)


def list_versions(versions: FusionVersions) -> list[dict[str, Any]]:
    """Return every version as an object, RRF first; one that cannot be read says why."""
    try:
        chosen, problem = versions.choice().version, ""
    except FusionModelError as error:
        chosen, problem = RRF, error.message
    listed: list[dict[str, Any]] = [
        {"version": "rrf", "in_use": chosen == RRF, "problem": problem or None}
    ]
    for number in versions.numbers():
        line: dict[str, Any] = {"version": number, "in_use": number == chosen}
        try:
            model = versions.load(number)
        except FusionModelError as error:
            listed.append(line | {"problem": error.message})
            continue
        listed.append(
            line
            | {
                "created": model.created,
                "parent": model.parent or "rrf",
                "objective": model.objective,
                "counts": model.facts.get("counts", {}),
                "differences": model.facts.get("differences", {}),
                "problem": None,
            }
        )
    return listed
