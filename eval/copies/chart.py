"""The recalls as bars, in SVG."""

from __future__ import annotations

COLOURS = ("#1f6feb", "#8b949e", "#d29922", "#bf8700", "#c9a3e0")
SHOWN = ("pHash alone", "PDQ", "PDQ in eight turns", "imagededup PHash")
LEFT, WIDTH, BAR, GAP = 210, 420, 6, 8


def bars(report: dict) -> str:
    series = {"Lookalike, balanced": report["judge"]["strictness"]["balanced"]["recall"]}
    series |= {
        name: report["peers"][name]["at_precision"]["recall"]
        for name in SHOWN
        if name in report["peers"]
    }
    names = list(next(iter(series.values())))
    step = BAR * len(series) + GAP
    height = 60 + step * len(names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 40}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for number, name in enumerate(series):
        x = 10 + number * 130
        parts.append(f'<rect x="{x}" y="10" width="10" height="10" fill="{COLOURS[number]}"/>')
        parts.append(f'<text x="{x + 14}" y="19">{name}</text>')
    for row, name in enumerate(names):
        y = 34 + row * step
        parts.append(f'<text x="{LEFT - 8}" y="{y + step / 2}" text-anchor="end">{name}</text>')
        for number, recall in enumerate(series.values()):
            wide = max(recall[name] * WIDTH, 0.5)
            parts.append(
                f'<rect x="{LEFT}" y="{y + number * BAR}" width="{wide:.1f}" '
                f'height="{BAR - 1}" fill="{COLOURS[number]}"/>'
            )
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = LEFT + tick * WIDTH
        parts.append(f'<line x1="{x}" x2="{x}" y1="30" y2="{height - 22}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{x}" y="{height - 8}" text-anchor="middle">{tick:g}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
