"""The bar that long work shows."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rich.progress import Progress

    from lookalike.engine.reports import IngestProgress, OnProgress


@contextmanager
def progress_bar(title: str, *, is_shown: bool) -> Generator[OnProgress | None]:
    """Show a bar with the rate and the time left."""
    if not is_shown:
        yield None
        return
    with _bar() as bar:
        task = bar.add_task(title, total=None, rate="")

        def show(progress: IngestProgress) -> None:
            refused = f", {progress.failed} refused" if progress.failed else ""
            rate = f"{progress.images_per_s:.1f} images/s{refused}"
            bar.update(task, completed=progress.done, total=progress.total, rate=rate)

        yield show


@contextmanager
def count_bar(title: str, total: int, *, is_shown: bool) -> Generator[Callable[[int], None] | None]:
    """Show a bar for work that tells how many of `total` images are done."""
    if not is_shown:
        yield None
        return
    began = time.monotonic()
    with _bar() as bar:
        task = bar.add_task(title, total=total, rate="")

        def show(done: int) -> None:
            rate = done / max(time.monotonic() - began, 1e-6)
            bar.update(task, completed=done, rate=f"{rate:.1f} images/s")

        yield show


def _bar() -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from lookalike.cli.output import console

    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console(is_error=True))
