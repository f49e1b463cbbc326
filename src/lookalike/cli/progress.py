"""The bar that long work shows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from lookalike.engine.reports import IngestProgress, OnProgress


@contextmanager
def progress_bar(title: str, *, is_shown: bool) -> Generator[OnProgress | None]:
    """Show a bar with the rate and the time left."""
    if not is_shown:
        yield None
        return
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
    with Progress(*columns, console=console(is_error=True)) as bar:
        task = bar.add_task(title, total=None, rate="")

        def show(progress: IngestProgress) -> None:
            refused = f", {progress.failed} refused" if progress.failed else ""
            rate = f"{progress.images_per_s:.1f} images/s{refused}"
            bar.update(task, completed=progress.done, total=progress.total, rate=rate)

        yield show
