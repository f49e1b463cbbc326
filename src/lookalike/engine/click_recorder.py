"""Recording what the server shows and what is clicked; no search waits for it, or fails by it."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.clicks import (
    MOST_SHOWN,
    MOST_TEXT,
    QUERY_ID,
    Shown,
    Swap,
    check_click,
    text_hash,
)
from lookalike.domain.clicks_propensity import TOP, Propensities, usual_propensities
from lookalike.domain.errors import LookalikeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lookalike.domain.clicks import Click
    from lookalike.domain.fusion import FusionModel
    from lookalike.domain.hits import SearchResult
    from lookalike.domain.queries import Query
    from lookalike.engine.learning_ranking import CurrentRanker
    from lookalike.ports.clicks import ClickLog

MOST_WAITING: Final = 1000
"""Answers that wait to be written; of more the newest are dropped, and counted."""

MOST_AT_ONCE: Final = 100
CLICK_WAIT_S: Final = 5.0
"""A click waits so long for its answer to be written."""

_LOG: Final = logging.getLogger("lookalike.clicks")


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """What is recorded: `salt` keys the hashes of queries.

    Of `swap_share` of the answers two positions are drawn, and swapped half of the time; a
    `mixed_share` shows the mixed order.
    """

    salt: str
    is_text_kept: bool = False
    swap_share: float = 0.0
    mixed_share: float = 0.0


class ClickRecorder:
    """Writes answers in a thread of its own, and clicks when they come."""

    def __init__(
        self,
        log: ClickLog,
        ranker: CurrentRanker,
        options: RecordingOptions,
        *,
        clock: Callable[[], float] = time.time,
        draw: random.Random | None = None,
    ) -> None:
        """Keep the log, which `close` closes."""
        self._log = log
        self._ranker = ranker
        self._options = options
        self._clock = clock
        self._draw = draw or random.SystemRandom()
        self._waiting: queue.Queue[Shown | None] = queue.Queue(MOST_WAITING)
        self._pending: set[str] = set()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="clicks", daemon=True)
        self._thread.start()
        self.dropped = 0
        """Answers that were not written, since the log failed or was too slow."""

    def traced(self, query: Query) -> Query:
        """Return a query whose answer can be recorded: a first page for words, ranked by both.

        Of some the mixed order is asked for.
        """
        is_fit = bool(query.texts and query.match) and not (
            query.cursor or query.reading or query.is_of_objects
        )
        if not is_fit:
            return query
        is_mixed = self._draw.random() < self._options.mixed_share
        return replace(query, is_traced=True, is_mixed=is_mixed)

    def show(self, query: Query, result: SearchResult) -> SearchResult:
        """Return an answer as it is to be shown, marked where clicks on it will be taken."""
        hits = list(result.hits)[:MOST_SHOWN]
        is_fit = query.is_traced and QUERY_ID.fullmatch(result.query_id)
        if not hits or not is_fit or not all(hit.traced for hit in hits):
            return result
        swap = self._drawn(len(hits))
        if swap is not None and swap.is_swapped:
            low, high = swap.low - 1, swap.high - 1
            hits[low], hits[high] = hits[high], hits[low]
        model = self._ranker.model
        traced = [hit.traced for hit in hits if hit.traced is not None]
        names = tuple(traced[0].values)
        looked = propensities_of(model).at(np.arange(1, len(hits) + 1))
        shown = Shown(
            query_id=result.query_id,
            at=self._clock(),
            text_hash=text_hash(query.source, self._options.salt),
            text=query.source[:MOST_TEXT] if self._options.is_text_kept else "",
            ranker=model.name if model is not None else "rrf",
            images=tuple(hit.record.id for hit in hits),
            features=names,
            values=np.array([[one.values[name] for name in names] for one in traced], np.float32),
            propensities=looked.astype(np.float32),
            swap=swap,
            places=np.array([(one.usual, one.mixed) for one in traced], np.int64),
            mixed_share=self._options.mixed_share,
        )
        if not self._put(shown):
            return result
        return replace(result, hits=[*hits, *list(result.hits)[MOST_SHOWN:]], is_logged=True)

    def click(self, query_id: str, image: str, position: int) -> Click:
        """Take a click.

        Raises:
            ClickError: it cannot have been made.
            UnknownAnswerError: there is no such answer.
            StoreError: the log cannot be written.
        """
        click = check_click(query_id, image, position, self._clock())
        with self._changed:
            self._changed.wait_for(lambda: query_id not in self._pending, CLICK_WAIT_S)
        self._log.add_click(click)
        return click

    def flush(self, timeout_s: float = CLICK_WAIT_S) -> bool:
        """Wait until nothing waits to be written; tell whether that came to be."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout_s)

    def close(self) -> None:
        """Write what waits, and close the log; again, it does nothing."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join(CLICK_WAIT_S)
        self._log.close()

    def _drawn(self, count: int) -> Swap | None:
        """Draw two of the first positions for a share of the answers, swapped half of the time."""
        most = min(TOP, count)
        if most < 2 or self._draw.random() >= self._options.swap_share:
            return None
        low, high = sorted(self._draw.sample(range(1, most + 1), 2))
        return Swap(low, high, self._draw.random() < 0.5)

    def _put(self, shown: Shown) -> bool:
        with self._changed:
            self._pending.add(shown.query_id)
        try:
            self._waiting.put_nowait(shown)
        except queue.Full:
            self._done([shown], is_lost=True)
            return False
        return True

    def _write(self) -> None:
        is_ending = False
        while not is_ending:
            batch = [self._waiting.get()]
            while len(batch) < MOST_AT_ONCE and not self._waiting.empty():
                batch.append(self._waiting.get())
            is_ending = None in batch
            answers = [one for one in batch if one is not None]
            is_lost = False
            try:
                self._log.add_answers(answers)
            except LookalikeError as error:
                is_lost = True
                _LOG.warning("%d answers were not logged: %s", len(answers), error.message)
            self._done(answers, is_lost=is_lost)

    def _done(self, answers: Sequence[Shown], *, is_lost: bool) -> None:
        with self._changed:
            self._pending.difference_update(one.query_id for one in answers)
            self.dropped += len(answers) if is_lost else 0
            self._changed.notify_all()


def propensities_of(model: FusionModel | None) -> Propensities:
    """Return how likely positions are looked at, as far as the last learning found."""
    usual = usual_propensities()
    if model is None or not model.propensities:
        return usual
    return replace(usual, values=np.asarray(model.propensities))
