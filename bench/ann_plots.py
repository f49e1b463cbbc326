"""Curves of recall against CPU, a picture a size: image queries on the left, texts beside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

LEAST = 0.5


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
        rows = report["settings"]["rows"]
        figure, panels = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True)
        for panel, kind in zip(panels, ("image", "text"), strict=True):
            _panel(panel, report["tables"]["points"]["rows"], kind)
        panels[0].set_ylabel("share of the true ten found")
        panels[0].legend(fontsize=8, loc="lower right")
        figure.suptitle(f"{rows:,} vectors of {report['settings']['dim']} numbers, one thread")
        figure.tight_layout()
        images.mkdir(parents=True, exist_ok=True)
        figure.savefig(images / f"ann-{rows}.png", dpi=110)
        plt.close(figure)


def _panel(panel, lines: Sequence[Sequence], kind: str) -> None:
    for name in dict.fromkeys(line[0] for line in lines):
        mine = [(line[4], line[3]) for line in lines if line[0] == name and line[2] == kind]
        best = [point for point in frontier(mine) if point[1] >= LEAST]
        if not best:
            continue
        is_default = name in ("lookalike", "lookalike exact")
        label = f"{name}, defaults" if is_default else name
        style = {"marker": "*", "markersize": 14, "zorder": 5} if is_default else {"marker": "."}
        costs, recalls = zip(*best, strict=True)
        panel.plot(costs, recalls, label=label, **style)
    panel.set_xscale("log")
    panel.set_xlabel(f"CPU milliseconds an {kind} query" if kind == "image"
                     else f"CPU milliseconds a {kind} query")  # fmt: skip
    panel.grid(visible=True, alpha=0.3)
