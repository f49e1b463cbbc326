"""Draw what correction for position is worth, from what study.py wrote.

python eval/fusion/chart.py --study eval/fusion/study.json --out docs/images/fusion-study.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

COLOURS = ("#2a9d8f", "#8ab17d", "#e9a03b", "#c8553d")
INCHES = (3.6, 3.6)
LEAST = 0.58
"""What lies lower, and would squeeze all else, is left out of the picture; it is in the file."""


def main() -> None:
    """Read, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=Path("eval/fusion/study.json"))
    parser.add_argument("--out", type=Path, default=Path("docs/images/fusion-study.svg"))
    options = parser.parse_args()
    draw(json.loads(options.study.read_text(encoding="utf-8")), options.out)


def draw(report, path: Path) -> None:
    """Draw a panel for each model of users, a pair of lines for each bias."""
    cells = report["cells"]
    names = list(report["users"])
    biases = sorted({cell["bias"] for cell in cells})
    with mpl.rc_context({"svg.hashsalt": "lookalike"}):
        figure = Figure(figsize=(INCHES[0] * len(names), INCHES[1]), layout="constrained")
        panels = figure.subplots(1, len(names), sharey=True)
        for panel, name in zip(panels, names, strict=True):
            for bias, colour in zip(biases, COLOURS, strict=True):
                chosen = [one for one in cells if (one["users"], one["bias"]) == (name, bias)]
                for way, line in (("corrected", "-"), ("uncorrected", ":")):
                    at, means = means_of(chosen, way)
                    label = f"bias {bias:g}" if way == "corrected" else None
                    panel.plot(at, means, line, color=colour, marker=".", label=label)
            for value, words in (("rrf", "RRF"), ("true answers", "true answers")):
                level = np.mean([cell[value] for cell in cells])
                panel.axhline(level, color="#888888", linewidth=0.8)
                panel.annotate(words, (cells[0]["clicks"], level), va="bottom", fontsize=7)
            panel.set(title=name, xlabel="clicks", xscale="log", ylim=(LEAST, None))
            panel.spines[["top", "right"]].set_visible(False)
        panels[0].set_ylabel("ndcg@10 on held-out queries")
        panels[0].legend(fontsize=7, loc="lower right", title="corrected; dotted: not")
        figure.savefig(path, metadata={"Date": None})


def means_of(cells, way):
    """Return the numbers of clicks and the mean ndcg of what was learned from them."""
    counts = sorted({cell["clicks"] for cell in cells if way in cell})
    means = [np.mean([one[way] for one in cells if one["clicks"] == at and way in one])
             for at in counts]  # fmt: skip
    return counts, means


if __name__ == "__main__":
    main()
