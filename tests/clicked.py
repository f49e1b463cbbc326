"""Logged answers of made-up users, for the tests of what is learned from clicks."""

from __future__ import annotations

import numpy as np

from lookalike.domain.clicks import Click, Session, Shown, Swap
from lookalike.domain.fusion import FEATURES
from lookalike.domain.images import ImageId
from lookalike.ranking.fusion_features import derive_features, mixed_order

NAMES = tuple(FEATURES)


def answer(number: int = 1, count: int = 3, **changes: object) -> Shown:
    """Return an answer with so many images."""
    fields: dict[str, object] = {
        "query_id": f"{number:032x}",
        "at": 1000.0 + number,
        "text_hash": f"{number:032x}",
        "images": tuple(ImageId(f"{number * 1000 + at:032x}") for at in range(count)),
        "features": ("rrf", "cosine"),
        "values": np.arange(2 * count, dtype=np.float32).reshape(count, 2),
        "propensities": (1.0 / np.arange(1, count + 1)).astype(np.float32),
        "ranker": "rrf",
    }
    return Shown(**(fields | changes))  # type: ignore[arg-type]


def click(shown: Shown, position: int, at: float = 2000.0) -> Click:
    """Return a click on what stood at a position."""
    return Click(shown.query_id, shown.images[position - 1], position, at)


def users(
    count: int, *, seed: int = 0, bias: float = 1.0, swap_share: float = 1.0, days: int = 1
) -> list[Session]:
    """Return answers of ten images: one is right, its cosine tells, and RRF is misled by BM25.

    Looks fall as position^-bias; what is looked at is clicked if it is right, seldom otherwise.
    """
    draw = np.random.default_rng(seed)
    sessions: list[Session] = []
    for number in range(count):
        is_right = np.arange(10) == draw.integers(10)
        raw = {
            "bm25": draw.gamma(2.0, 3.0, 10).astype(np.float32),
            "cosine": (0.2 + 0.1 * draw.standard_normal(10) + 0.2 * is_right).astype(np.float32),
        }
        values = derive_features(raw)
        order = np.argsort(-values[:, NAMES.index("rrf")], kind="stable")
        swap = None
        if draw.random() < swap_share:
            low, high = sorted(draw.choice(10, 2, replace=False).tolist())
            swap = Swap(low + 1, high + 1, bool(draw.random() < 0.5))
            if swap.is_swapped:
                order[[low, high]] = order[[high, low]]
        looks = draw.random(10) < np.arange(1, 11) ** -bias
        wants = draw.random(10) < np.where(is_right[order], 0.9, 0.05)
        shown = answer(
            number, 10, at=86400.0 * (number % days), features=NAMES, swap=swap,
            values=values[order].astype(np.float32),
        )  # fmt: skip
        clicks = tuple(click(shown, int(at) + 1) for at in np.flatnonzero(looks & wants))
        sessions.append(Session(shown, clicks))
    return sessions


def mixed_users(
    count: int, *, seed: int, bias: float, right: float = 0.9, share: float = 0.2
) -> list[Session]:
    """Return answers that show 12 of 40 images, `share` of them in the mixed order.

    One image is right; where `right` is 0.2 it is wanted no more than the others.
    """
    draw = np.random.default_rng(seed)
    sessions: list[Session] = []
    for number in range(count):
        is_right = np.arange(40) == draw.integers(40)
        raw = {
            "bm25": draw.gamma(2.0, 3.0, 40).astype(np.float32),
            "cosine": (0.2 + 0.1 * draw.standard_normal(40)).astype(np.float32),
        }
        values = derive_features(raw)
        usual = np.argsort(-values[:, NAMES.index("rrf")], kind="stable")
        mixed = mixed_order(usual, raw["cosine"])
        places = np.column_stack([np.argsort(usual), np.argsort(mixed)]) + 1
        order = (mixed if draw.random() < share else usual)[:12]
        looks = draw.random(12) < np.arange(1, 13) ** -bias
        wants = draw.random(12) < np.where(is_right[order], right, 0.2)
        shown = answer(
            number, 12, features=NAMES, values=values[order].astype(np.float32),
            places=places[order], mixed_share=share,
        )  # fmt: skip
        clicks = tuple(click(shown, int(at) + 1) for at in np.flatnonzero(looks & wants))
        sessions.append(Session(shown, clicks))
    return sessions
