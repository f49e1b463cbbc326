"""The order in use: the promoted fusion model, looked for now and then; RRF where there is none."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import LookalikeError
from lookalike.ranking.learned import LinearRanker
from lookalike.ranking.rrf import ReciprocalRankFusion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.domain.fusion import FusionModel
    from lookalike.engine.learning_models import FusionVersions
    from lookalike.ports.ranker import Features, Ranker

REFRESH_S: Final = 30.0
_LOG: Final = logging.getLogger("lookalike.fusion")


class CurrentRanker:
    """`ports.ranker.Ranker` that follows what is in use; no search waits for a second look.

    A model that cannot be used leaves the order to reciprocal rank fusion, and says so.
    """

    def __init__(
        self,
        versions: FusionVersions,
        *,
        refresh_s: float = REFRESH_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the versions; the first search reads which is in use."""
        self._versions = versions
        self._refresh_s = refresh_s
        self._clock = clock
        self._usual = ReciprocalRankFusion()
        self._ranker: Ranker = self._usual
        self._model: FusionModel | None = None
        self._read: float | None = None
        self._lock = threading.Lock()
        self.problem = ""
        """Why a promoted model is not in use, empty where nothing is wrong."""

    @property
    def name(self) -> str:
        """What orders now."""
        return self.ranker().name

    @property
    def model(self) -> FusionModel | None:
        """The model that orders now, or None for reciprocal rank fusion."""
        self.ranker()
        return self._model

    def ranker(self) -> Ranker:
        """Return what is in use; when it was looked up long ago, look again meanwhile."""
        now = self._clock()
        if self._read is None:
            with self._lock:
                if self._read is None:
                    self._load()
        elif now - self._read >= self._refresh_s and self._lock.acquire(blocking=False):
            threading.Thread(target=self._reload, name="fusion", daemon=True).start()
        return self._ranker

    @property
    def wants(self) -> frozenset[str]:
        """What it weighs of the features that are told only if they are wanted."""
        return self.ranker().wants

    def score(self, features: Features) -> NDArray[np.float32]:
        """Return `(n,)` scores in [0, 1]."""
        return self.ranker().score(features)

    def shares(self, features: Features) -> Features:
        """Return `(n,)` what each feature adds, by name."""
        return self._ranker.shares(features)

    def explain(self) -> Mapping[str, object]:
        """Return the choices of what orders, and why it is not the promoted model if so."""
        told = self._ranker.explain()
        return {**told, "ranker_problem": self.problem} if self.problem else told

    def _reload(self) -> None:
        try:
            self._load()
        finally:
            self._lock.release()

    def _load(self) -> None:
        try:
            model = self._versions.current()
            problem = ""
        except LookalikeError as error:
            model, problem = self._kept(error), f"{error.code}: {error.message}"
        if problem and problem != self.problem:
            _LOG.warning("the promoted fusion model cannot be used: %s", problem)
        if model != self._model:
            self._ranker = self._usual if model is None else LinearRanker(model)
            self._model = model
        self.problem = problem
        self._read = self._clock()

    def _kept(self, error: LookalikeError) -> FusionModel | None:
        """Return what still orders after an error: a store that is away takes nothing back."""
        from lookalike.domain.errors import StoreError

        return self._model if isinstance(error, StoreError) else None
