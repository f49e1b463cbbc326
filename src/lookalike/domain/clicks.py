"""What was shown and what was clicked: the values that ranking is learned from."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from lookalike.domain.errors import ClickError
from lookalike.domain.fusion import FEATURES
from lookalike.domain.images import ImageId, is_image_id

MOST_SHOWN: Final = 200
"""Positions of one answer that are logged."""

MOST_CLICKS: Final = 50
"""Clicks on one answer that are kept."""

MOST_TEXT: Final = 500
_MOST_PLACES: Final = 1_000_000
DAY_S: Final = 86_400.0
QUERY_ID: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Swap:
    """Two positions (from 1) of an answer that were drawn; `is_swapped` on half of the draws."""

    low: int
    high: int
    is_swapped: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer as it was shown.

    `images` stand in the order shown, the first at position 1. `propensities` are `(n,)`: how
    likely each position is looked at, as far as was known then. `values` are `(n, f)` float32 of
    the features named by `features`, NaN where a path did not see the image. `text` is empty
    where only its hash is kept; `text_hash` tells equal queries from others. `places` are `(n, 2)`
    where each image stands (from 1) in the usual and in the mixed order, of which the latter is
    shown for `mixed_share` of the answers.
    """

    query_id: str
    at: float
    text_hash: str
    images: tuple[ImageId, ...]
    features: tuple[str, ...]
    values: NDArray[np.float32] = field(repr=False, compare=False)
    propensities: NDArray[np.float32] = field(repr=False, compare=False)
    text: str = ""
    ranker: str = "rrf"
    swap: Swap | None = None
    places: NDArray[np.int64] | None = field(default=None, repr=False, compare=False)
    mixed_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Click:
    """An image that was chosen out of an answer; `position` counts from 1."""

    query_id: str
    image: ImageId
    position: int
    at: float


@dataclass(frozen=True, slots=True)
class Session:
    """One answer with the clicks on it."""

    shown: Shown
    clicks: tuple[Click, ...] = ()

    @property
    def is_clicked(self) -> NDArray[np.bool_]:
        """Return `(n,)` whether each position was clicked."""
        marks = np.zeros(len(self.shown.images), dtype=np.bool_)
        for click in self.clicks:
            at = click.position - 1
            if at < len(marks) and self.shown.images[at] == click.image:
                marks[at] = True
        return marks


def text_hash(text: str, salt: str) -> str:
    """Return 32 hex digits for a query; equal queries of one index get the same."""
    folded = " ".join(text.casefold().split()).encode("utf-8", "surrogatepass")
    key = hashlib.sha256(salt.encode()).digest()
    return hashlib.blake2b(folded, digest_size=16, key=key).hexdigest()


def day_of(at: float) -> int:
    """Return the number of the day since 1970 (UTC) of a time."""
    return math.floor(at / DAY_S)


def check_click(query_id: str, image: str, position: int, at: float) -> Click:
    """Return a click, or refuse what cannot be one.

    Raises:
        ClickError: the id is malformed, or the position lies outside of what is logged.
    """
    if not QUERY_ID.fullmatch(query_id):
        raise ClickError("query_id is not the id of an answer", hint="send what the answer gave")
    if not is_image_id(image):
        raise ClickError("image_id is not the id of an image", hint="it has 32 hex digits")
    if not 1 <= position <= MOST_SHOWN:
        raise ClickError(
            f"position must lie between 1 and {MOST_SHOWN}, not {position}",
            hint="positions count from 1",
        )
    return Click(query_id, ImageId(image), position, at)


def check_shown(click: Click, images: Sequence[ImageId]) -> None:
    """Refuse a click on an image that did not stand there.

    Raises:
        ClickError: another image stood at the position, or none.
    """
    at = click.position - 1
    if at >= len(images) or images[at] != click.image:
        raise ClickError(
            f"the image did not stand at position {click.position} of that answer",
            hint="send the position that it was shown at",
        )


def session_json(session: Session) -> dict[str, Any]:
    """Return a session as an object of one line."""
    shown = session.shown
    return {
        "query_id": shown.query_id,
        "at": shown.at,
        "text": shown.text,
        "text_hash": shown.text_hash,
        "ranker": shown.ranker,
        "swap": [shown.swap.low, shown.swap.high, shown.swap.is_swapped] if shown.swap else None,
        "places": shown.places.tolist() if shown.places is not None else None,
        "mixed_share": shown.mixed_share,
        "images": list(shown.images),
        "propensities": _listed(shown.propensities),
        "features": {name: _listed(shown.values[:, at]) for at, name in enumerate(shown.features)},
        "clicks": [[click.position, click.image, click.at] for click in session.clicks],
    }


def session_of(values: object) -> Session:
    """Read what `session_json` gave.

    Raises:
        ClickError: it is malformed.
    """
    try:
        return _session(cast("Mapping[str, Any]", values))
    except ClickError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ClickError(f"a logged answer is malformed: {error!r}") from error


def _session(values: Mapping[str, Any]) -> Session:
    images = tuple(ImageId(str(one)) for one in values["images"])
    columns: Mapping[str, Sequence[float | None]] = values["features"]
    swap = values["swap"]
    table = np.full((len(images), len(columns)), np.nan, dtype=np.float32)
    for at, column in enumerate(columns.values()):
        table[:, at] = _array(column, len(images))
    shown = Shown(
        query_id=str(values["query_id"]),
        at=float(values["at"]),
        text=str(values["text"]),
        text_hash=str(values["text_hash"]),
        ranker=str(values["ranker"]),
        images=images,
        features=tuple(columns),
        values=table,
        propensities=_array(values["propensities"], len(images)),
        swap=Swap(int(swap[0]), int(swap[1]), bool(swap[2])) if swap else None,
        places=np.asarray(values["places"], np.int64) if values["places"] is not None else None,
        mixed_share=float(values["mixed_share"]),
    )
    check_answer(shown)
    clicks = [
        check_click(shown.query_id, str(image), int(position), float(at))
        for position, image, at in values["clicks"]
    ]
    return Session(shown, tuple(clicks))


def check_answer(shown: Shown) -> None:
    """Refuse an answer that cannot have been shown.

    Raises:
        ClickError: it is empty or too long, or its swap or propensities are impossible.
    """
    count = len(shown.images)
    swap = shown.swap
    is_fine = (
        QUERY_ID.fullmatch(shown.query_id) is not None
        and 1 <= count <= MOST_SHOWN
        and all(map(is_image_id, shown.images))
        and math.isfinite(shown.at)
        and shown.values.shape == (count, len(shown.features))
        and all(name in FEATURES for name in shown.features)
        and shown.propensities.shape == (count,)
        and bool(np.all((shown.propensities > 0) & (shown.propensities <= 1)))
        and (swap is None or 1 <= swap.low < swap.high <= count)
        and 0 <= shown.mixed_share <= 1
        and (shown.places is not None or shown.mixed_share == 0)
        and (shown.places is None or _are_places(shown.places, count))
    )
    if not is_fine:
        raise ClickError(f"the answer {shown.query_id[:40]!r} cannot have been shown")


def _are_places(places: NDArray[np.int64], count: int) -> bool:
    return places.shape == (count, 2) and bool(np.all((places >= 1) & (places <= _MOST_PLACES)))


def _array(values: Sequence[float | None], count: int) -> NDArray[np.float32]:
    array = np.asarray([np.nan if one is None else one for one in values], dtype=np.float32)
    if array.shape != (count,):
        raise ValueError("a column of another length")
    return array


def _listed(values: NDArray[np.float32]) -> list[float | None]:
    return [float(f"{one:.6g}") if math.isfinite(one) else None for one in values.tolist()]
