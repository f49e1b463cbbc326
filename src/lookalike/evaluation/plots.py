"""Means with their intervals as a picture, a panel for each task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lookalike.domain.errors import MissingExtraError, UsageError
from lookalike.evaluation.statistics import bootstrap_intervals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lookalike.evaluation.scoring import Scores

ENDINGS: Final = (".png", ".svg")
_INCHES: Final = (6.4, 0.42)
_HEAD_INCHES: Final = 1.3
_APART: Final = 0.24
_MARKS: Final = "os^D"


def check_plot(path: Path) -> None:
    """Refuse a plot that cannot be written, before anything is measured.

    Raises:
        UsageError: the name ends otherwise than in .png or .svg.
        MissingExtraError: Matplotlib is not installed.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path} is neither .png nor .svg", hint="name the file so")
    try:
        import matplotlib.figure  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise MissingExtraError("a plot", extra="plot") from error


def write_plot(panels: Mapping[str, Sequence[Scores]], path: Path, *, seed: int = 0) -> None:
    """Draw every metric's mean and 95 % interval, by configuration; whole or not at all.

    Args:
        panels: the scores of each configuration, by the name of their task.
        path: ends in .png or .svg.
        seed: of the resampling.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    check_plot(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    drawing: Any = mpl  # its types leave **kwargs unknown

    rows = max(len(scores[0].metrics) for scores in panels.values())
    size = (_INCHES[0] * len(panels), _INCHES[1] * rows + _HEAD_INCHES)
    # A file that says no date and has no random ids is the same for the same scores.
    with drawing.rc_context({"svg.hashsalt": "lookalike"}):
        figure: Any = Figure(figsize=size, layout="constrained")
        for number, (task, scores) in enumerate(panels.items(), 1):
            axes = figure.add_subplot(1, len(panels), number)
            _draw(axes, scores, seed)
            axes.set_title(f"{task}: {len(scores[0].queries)} queries, 95 % intervals", fontsize=10)
        partial = path.with_name(path.name + ".part")
        kind = path.suffix.lower()[1:]
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(partial, format=kind, dpi=150, metadata=metadata)
    partial.replace(path)


def _draw(axes: Any, scores: Sequence[Scores], seed: int) -> None:
    names = scores[0].metrics
    for at, one in enumerate(scores):
        shift = (at - (len(scores) - 1) / 2) * _APART
        shown = [name for name in names if name in one.metrics]
        values = one.values[:, [one.metrics.index(name) for name in shown]]
        means = values.mean(axis=0)
        low, high = bootstrap_intervals(values, seed=seed).T
        # A quantile may end a last digit beyond the mean where all scores are equal.
        reach = [(means - low).clip(0.0), (high - means).clip(0.0)]
        axes.errorbar(
            means, [names.index(name) + shift for name in shown], xerr=reach,
            fmt=_MARKS[at % len(_MARKS)], capsize=3, markersize=4, label=one.configuration,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.0)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)
