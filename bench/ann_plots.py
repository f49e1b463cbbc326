"""Curves of recall against CPU, a picture a size: image queries on the left, texts beside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib import ticker

LEAST = 0.5
STARS = {"lookalike": "black", "lookalike exact": "black", "lookalike graph": "green"}
KINDS = {"image": "held-out photographs", "text": "captions", "drawn": "drawn as the rows are"}


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the `(milliseconds, recall)` points that no cheaper one reaches, cheapest first."""
    kept: list[tuple[float, float]] = []
    for cost, recall in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or recall > kept[-1][1]:
            kept.append((cost, recall))
    return kept


def draw(results: Path, images: Path) -> None:
    """Draw a picture for every size that was searched."""
    for path in sorted(results.glob("ann_search_*.json")):
        report = json.loads(path.read_text())
        rows, lines = report["settings"]["rows"], report["tables"]["points"]["rows"]
        summary = report["tables"]["summary"]["rows"]  # measured in turns
        lines = [line for line in lines if line[0] not in STARS]
        lines = [line for line in summary if line[0] in STARS] + lines
        names = list(dict.fromkeys(line[0] for line in lines))
        figure, panels = plt.subplots(1, len(KINDS), figsize=(13, 5), sharey=True)
        for panel, kind in zip(panels, KINDS, strict=True):
            for number, name in enumerate(names):
                _curve(panel, name, [x for x in lines if x[0] == name and x[2] == kind], number)
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_formatter(ticker.NullFormatter())
            panel.set_xlabel(f"CPU milliseconds: {KINDS[kind]}")
            panel.grid(visible=True, alpha=0.3)
        panels[0].set_ylabel("share of the true ten found")
        handles = {label: handle for panel in panels for handle, label in
                   zip(*panel.get_legend_handles_labels(), strict=True)}  # fmt: skip
        figure.legend(handles.values(), handles.keys(), fontsize=8, loc="lower center", ncol=4)
        figure.suptitle(f"{rows:,} vectors of {report['settings']['dim']} numbers, one thread")
        figure.tight_layout(rect=(0, 0.09, 1, 1))
        images.mkdir(parents=True, exist_ok=True)
        figure.savefig(images / f"ann-{rows}.png", dpi=100)
        plt.close(figure)


def _curve(panel, name: str, lines: Sequence[Sequence], number: int) -> None:
    best = [point for point in frontier([(x[4], x[3]) for x in lines]) if point[1] >= LEAST]
    if not best:
        return
    costs, recalls = zip(*best, strict=True)
    if name in STARS:
        style = {"marker": "*", "markersize": 14, "linestyle": "", "zorder": 5}
        panel.plot(costs, recalls, label=f"{name}, as tuned", color=STARS[name], **style)
    else:
        panel.plot(costs, recalls, marker=".", label=name, color=f"C{number % 10}")
