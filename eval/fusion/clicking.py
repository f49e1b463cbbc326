"""Simulated users: what they look at and click, when which images are right is known.

- position-based: position k is looked at with chance k^-bias, whatever stands there;
- cascade: users look from the top down, and after each click go on with chance `CASCADE_ON`,
  after each image without a click with chance (k / (k + 1))^bias;
- noisy: position-based, with many clicks on wrong images and fewer on right ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lookalike.domain.clicks import Click, Session, Shown, Swap
from lookalike.domain.clicks_propensity import TOP, usual_propensities
from lookalike.domain.fusion import FEATURES
from lookalike.ranking.fusion_features import derive_features, mixed_order
from lookalike.ranking.rrf import ReciprocalRankFusion

NAMES = tuple(FEATURES)
SHOWN = 40
CASCADE_ON = 0.2
MOST_ANSWERS = 200_000


@dataclass(frozen=True)
class Users:
    """How users click: `right` and `wrong` are the chances of a click on what is looked at."""

    model: str = "position"
    bias: float = 1.0
    right: float = 0.9
    wrong: float = 0.05

    def clicks(self, is_right: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """Return `(n,)` which positions are clicked."""
        count = len(is_right)
        positions = np.arange(1, count + 1)
        wants = draw.random(count) < np.where(is_right, self.right, self.wrong)
        if self.model == "position":
            return wants & (draw.random(count) < positions**-self.bias)
        clicked = np.zeros(count, dtype=bool)
        for at in range(count):
            clicked[at] = wants[at]
            on = (positions[at] / (positions[at] + 1)) ** self.bias
            if draw.random() >= on * (CASCADE_ON if wants[at] else 1.0):
                break
        return clicked


USERS = {
    "position-based": Users(),
    "cascade": Users(model="cascade"),
    "noisy": Users(right=0.7, wrong=0.2),
}


@dataclass(frozen=True)
class Asked:
    """A query's candidates with what is derived of them, in the order that is shown."""

    number: int
    kind: str
    values: np.ndarray
    is_right: np.ndarray
    right: int
    raw: dict[str, np.ndarray]


def prepare(found) -> list[Asked]:
    """Derive every query's features once, and order its candidates as RRF does."""
    asked = []
    for number, one in enumerate(found):
        scores = ReciprocalRankFusion().score(one.features)
        order = np.lexsort((one.rows, -scores))
        values = derive_features(one.features)[order]
        raw = {name: values[order] for name, values in one.features.items()}
        asked.append(Asked(number, one.kind, values, one.is_right[order], one.right, raw))
    return asked


def simulate(
    asked: list[Asked],
    users: Users,
    *,
    wanted: int,
    swap_share: float,
    seed: int,
    model=None,
    mixed_share=0.0,
) -> list[Session]:
    """Ask queries at random until so many clicks have fallen.

    Every answer shows the first by RRF, or by a fusion model; some the mixed order.
    """
    draw = np.random.default_rng(seed)
    usual = usual_propensities().at(np.arange(1, SHOWN + 1)).astype(np.float32)
    sessions: list[Session] = []
    orders = [_orders(one, model) for one in asked]
    clicks = 0
    while clicks < wanted and len(sessions) < MOST_ANSWERS:
        at = draw.integers(len(asked))
        one, (both, places) = asked[at], orders[at]
        count = min(SHOWN, len(one.is_right))
        order = both[int(draw.random() < mixed_share)][:count].copy()
        swap = None
        if draw.random() < swap_share and count >= TOP:
            low, high = sorted(draw.choice(TOP, 2, replace=False).tolist())
            swap = Swap(low + 1, high + 1, bool(draw.random() < 0.5))
            if swap.is_swapped:
                order[[low, high]] = order[[high, low]]
        is_clicked = users.clicks(one.is_right[order], draw)
        name = f"{seed:016x}{len(sessions):016x}"
        images = tuple(f"{place:032x}" for place in order)
        shown = Shown(
            query_id=name, at=0.0, text_hash=str(one.number), images=images, features=NAMES,
            values=one.values[order].astype(np.float32), propensities=usual[:count], swap=swap,
            places=places[order], mixed_share=mixed_share,
        )  # fmt: skip
        made = tuple(Click(name, images[at], int(at) + 1, 0.0) for at in np.flatnonzero(is_clicked))
        clicks += len(made)
        sessions.append(Session(shown, made))
    return sessions


def _orders(one: Asked, model):
    """Return the usual and the mixed order, and every candidate's places in both."""
    usual = np.arange(len(one.is_right)) if model is None else ranked(model, one)
    mixed = mixed_order(usual, one.raw["cosine"])
    return (usual, mixed), np.column_stack([np.argsort(usual), np.argsort(mixed)]) + 1


def ranked(model, one: Asked) -> np.ndarray:
    """Return the places of a query's candidates, the best by a model first."""
    return np.argsort(-model.score(one.values), kind="stable")
