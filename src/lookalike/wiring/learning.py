"""What is learned from: a click log with the models of its index, and recording for a server."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lookalike.adapters.blobs_obstore import ObstoreBlobStore
from lookalike.adapters.clicks_values import ClickBounds
from lookalike.domain.clicks import session_of
from lookalike.domain.errors import ClickError, LookalikeError, SourceError
from lookalike.domain.findings import Finding
from lookalike.engine.click_recorder import ClickRecorder, RecordingOptions
from lookalike.engine.learning_models import PREFIX, RRF, FusionVersions
from lookalike.engine.learning_ranking import CurrentRanker
from lookalike.engine.past_queries import PastQueries, count_queries

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from lookalike.domain.clicks import Session
    from lookalike.ports.clicks import ClickLog
    from lookalike.settings.clicks import ClickSettings

MOST_LINE: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Learning:
    """The click log and the models of one index."""

    log: ClickLog
    versions: FusionVersions
    settings: ClickSettings
    index_id: str


@contextmanager
def recording(learning: Learning) -> Generator[ClickRecorder | None]:
    """Record for a server while a `with` block lasts; None where nothing is to be logged."""
    settings = learning.settings
    if not settings.is_logged:
        yield None
        return
    options = RecordingOptions(
        salt=learning.index_id,
        is_text_kept=settings.is_text_kept,
        swap_share=settings.swap_share,
        mixed_share=settings.mixed_share,
    )
    recorder = ClickRecorder(learning.log, CurrentRanker(learning.versions), options)
    try:
        yield recorder
    finally:
        recorder.close()


def past_queries(learning: Learning, *, is_waiting: bool = False) -> PastQueries | None:
    """Return the queries of others for completion, where the index offers them."""
    settings = learning.settings
    if not (settings.is_logged and settings.is_text_kept and settings.is_text_offered):
        return None
    return PastQueries(lambda: count_queries(learning.log), is_waiting=is_waiting)


def folder_versions(root: Path) -> FusionVersions:
    """Return the fusion models of an index folder."""
    blobs = ObstoreBlobStore(root.absolute().as_uri())
    return FusionVersions(blobs, is_bare=lambda: not (root / PREFIX).is_dir())


def bounds_of(settings: ClickSettings) -> ClickBounds:
    """Return how long and how much a log keeps."""
    return ClickBounds(settings.days, settings.most_answers)


def read_sessions(path: Path) -> Iterator[Session]:
    """Yield the answers of a file that `clicks --export` wrote.

    Raises:
        SourceError: it cannot be read.
        ClickError: a line is malformed.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    yield session_of(json.loads(line[:MOST_LINE]))
                except (ClickError, ValueError, RecursionError) as error:
                    message = error.message if isinstance(error, ClickError) else "it is no JSON"
                    raise ClickError(f"{path}, line {number}: {message}") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error


def check_learning(versions: FusionVersions) -> Finding:
    """Look whether what orders is what was promoted."""
    try:
        choice = versions.choice()
        model = versions.load(choice.version) if choice.version != RRF else None
    except LookalikeError as error:
        return Finding(
            "fusion", "warning", f"{error.message}; reciprocal rank fusion orders", error.hint
        )
    return Finding("fusion", "ok", model.name if model else "reciprocal rank fusion")
