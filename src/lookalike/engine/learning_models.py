"""The versions of the fusion model: every one is kept, and one, or RRF, is in use."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from lookalike.domain.errors import FusionModelError
from lookalike.domain.fusion import FusionModel, parse_model, render_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.ports.blobs import BlobStore

RRF: Final = 0
"""Stands for reciprocal rank fusion where a version is named."""

PREFIX: Final = "models/"
CURRENT: Final = "fusion-current.json"
KIND: Final = "lookalike fusion choice"
MOST_FORMER: Final = 100
MOST_TRIES: Final = 100
_NAME: Final = re.compile(r"fusion-(\d{6,9})\.json")


@dataclass(frozen=True, slots=True)
class Choice:
    """The version in use, and those that were in use before it, the last one last."""

    version: int = RRF
    former: tuple[int, ...] = ()


class FusionVersions:
    """Fusion models in a blob store, below a prefix."""

    def __init__(
        self,
        blobs: BlobStore,
        prefix: str = PREFIX,
        *,
        clock: Callable[[], float] = time.time,
        is_bare: Callable[[], bool] = lambda: False,
    ) -> None:
        """Keep the store; `prefix` ends in a slash.

        `is_bare` tells, without asking the store, that nothing was ever learned.
        """
        self._is_bare = is_bare
        self._blobs = blobs
        self._prefix = prefix
        self._clock = clock

    def numbers(self) -> list[int]:
        """Return every version there is, rising."""
        keys = (key.removeprefix(self._prefix) for key in self._blobs.keys(self._prefix))
        return sorted(int(found[1]) for key in keys if (found := _NAME.fullmatch(key)))

    def load(self, version: int) -> FusionModel:
        """Return a version.

        Raises:
            FusionModelError: there is none of that number, or its file is damaged.
        """
        key = self._key(version)
        data = self._blobs.get(key)
        if data is None:
            known = ", ".join(map(str, self.numbers())) or "none yet"
            raise FusionModelError(f"there is no fusion model {version}", hint=f"known: {known}")
        model = parse_model(data, key)
        if model.version != version:
            raise FusionModelError(
                f"{key} holds version {model.version}", hint="it was renamed: delete it"
            )
        return model

    def add(self, model: FusionModel) -> FusionModel:
        """Keep a model under the next number, and return it with that."""
        number = max(self.numbers(), default=0)
        for _ in range(MOST_TRIES):
            number += 1
            numbered = replace(model, version=number, created=self._clock())
            if self._blobs.put_new(self._key(number), render_model(numbered)):
                return numbered
        raise FusionModelError("no number is free for the fusion model", hint="try again")

    def choice(self) -> Choice:
        """Return what is in use.

        Raises:
            FusionModelError: the file that says so is damaged.
        """
        data = None if self._is_bare() else self._blobs.get(self._prefix + CURRENT)
        if data is None:
            return Choice()
        try:
            return _choice(cast("dict[str, Any]", json.loads(data)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FusionModelError(
                f"{self._prefix}{CURRENT} is damaged",
                hint="choose a version anew: lookalike learn --use VERSION",
            ) from error

    def current(self) -> FusionModel | None:
        """Return the model in use, or None for reciprocal rank fusion.

        Raises:
            FusionModelError: the choice or the model is damaged.
        """
        version = self.choice().version
        return None if version == RRF else self.load(version)

    def use(self, version: int) -> Choice:
        """Put a version, or `RRF`, in use.

        Raises:
            FusionModelError: there is none of that number, or its file is damaged.
        """
        if version != RRF:
            self.load(version)
        try:
            before = self.choice()
        except FusionModelError:  # what was in use is not known any more
            before = Choice()
        if before.version == version and self._blobs.has(self._prefix + CURRENT):
            former = before.former
        else:
            former = (*before.former, before.version)[-MOST_FORMER:]
        return self._choose(Choice(version, former))

    def roll_back(self) -> Choice:
        """Put in use what was in use before.

        Raises:
            FusionModelError: nothing was, or it is damaged.
        """
        before = self.choice()
        if not before.former:
            raise FusionModelError(
                "no other order was in use before", hint="lookalike learn --list shows all"
            )
        *former, version = before.former
        if version != RRF:
            self.load(version)
        return self._choose(Choice(version, tuple(former)))

    def _choose(self, choice: Choice) -> Choice:
        values = {"kind": KIND, "version": choice.version, "former": list(choice.former)}
        self._blobs.put(self._prefix + CURRENT, (json.dumps(values) + "\n").encode())
        return choice

    def _key(self, version: int) -> str:
        return f"{self._prefix}fusion-{version:06d}.json"


def _choice(values: dict[str, Any]) -> Choice:
    former = tuple(values["former"])
    numbers = (values["version"], *former)
    is_fine = all(
        isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in numbers
    )
    if values["kind"] != KIND or not is_fine:
        raise ValueError("no choice")
    return Choice(values["version"], former)
