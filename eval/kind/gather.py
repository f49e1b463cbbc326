"""Lay out pictures of sources that the kind classifier is never fitted on: DIR/KIND/SOURCE/.

    python eval/kind/gather.py --packages PACKAGES --to DIR

PACKAGES holds unpacked packages: from npm `openmoji` (CC BY-SA 4.0), `feather-icons` (MIT),
`@fluentui/svg-icons` (MIT) and `@lobehub/fluent-emoji-3d` (MIT), from Debian
`faenza-icon-theme`, `fonts-noto-color-emoji` and `tuxpaint-data`. SVG is drawn by `rsvg-convert`
(Debian's `librsvg2-bin`), and plots by matplotlib where it is installed. None of it is part of
the project. Outlines in one ink are line art; whatever is filled with colour is clipart.
"""

from __future__ import annotations

import argparse
import random
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SVG_SETS = {
    "clipart/openmoji": ("openmoji*/package/color/svg/*.svg", 256, 300),
    "lineart/openmoji black": ("openmoji*/package/black/svg/*.svg", 256, 300),
    "lineart/feather": ("feather-icons*/package/dist/icons/*.svg", 192, 150),
    "lineart/fluent outlines": ("fluentui-svg-icons*/package/icons/*_48_regular.svg", 192, 150),
    "lineart/tuxpaint colouring pages": (
        "tuxpaint-data/usr/share/tuxpaint/starters/*.svg",
        256,
        40,
    ),
}
FILE_SETS = {
    "clipart/fluent emoji 3d": ("lobehub-fluent-emoji-3d*/package/assets/*.webp", 200),
    "clipart/faenza": ("faenza-icon-theme/**/96/*.png", 250),
    "clipart/tuxpaint screens": ("tuxpaint-data/**/doc/**/html/images/*.png", 60),
}
COLOURING = ("bald_eagle", "car2", "desert_tortoise", "elephant", "fish_icon", "frog", "gecko",
             "manatee", "old_soviet_car", "rocket", "skull", "woodpecker", "jigsaw")  # fmt: skip
PLOTS = 120
NOTO_SIZE = 109
"""The one size of the bitmaps in the font."""


def pick(packages: Path, pattern: str, count: int) -> list[Path]:
    paths = sorted(path for path in packages.glob(pattern) if not path.is_symlink())
    random.Random(0).shuffle(paths)
    return paths[:count]


def draw_svgs(packages: Path, to: Path, rsvg: str) -> None:
    for name, (pattern, side, count) in SVG_SETS.items():
        folder = to / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in pick(packages, pattern, count):
            if "colouring" in name and path.stem not in COLOURING:
                continue
            target = folder / f"{path.stem}.png"
            subprocess.run(
                [rsvg, "-w", str(side), "-h", str(side), "-a", str(path), "-o", str(target)],
                check=False,
            )


def copy_files(packages: Path, to: Path) -> None:
    for name, (pattern, count) in FILE_SETS.items():
        folder = to / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in pick(packages, pattern, count):
            with Image.open(path) as image:
                if min(image.size) < 48:
                    continue
            (folder / path.name).write_bytes(path.read_bytes())


def draw_noto(packages: Path, to: Path) -> None:
    fonts = sorted(packages.glob("fonts-noto-color-emoji/**/NotoColorEmoji.ttf"))
    if not fonts:
        return
    font = ImageFont.truetype(str(fonts[0]), NOTO_SIZE)
    folder = to / "clipart/noto emoji"
    folder.mkdir(parents=True, exist_ok=True)
    for code in range(0x1F300, 0x1F680, 4):
        image = Image.new("RGBA", (136, 128))
        ImageDraw.Draw(image).text((0, 0), chr(code), font=font, embedded_color=True)
        if image.getbbox():
            image.save(folder / f"{code:x}.png")


def draw_plots(to: Path) -> None:
    import matplotlib as mpl  # installed beside, for this program alone

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    folder = to / "clipart/matplotlib"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    for i in range(PLOTS):
        figure, axes = plt.subplots(figsize=rng.uniform(3, 6, 2), dpi=80)
        kind = i % 5
        if kind == 0:
            axes.bar(range(8), rng.uniform(1, 9, 8), color=[f"C{n}" for n in range(8)])
        elif kind == 1:
            axes.pie(rng.uniform(1, 9, 6), labels=list("abcdef"))
        elif kind == 2:
            axes.imshow(rng.uniform(size=(8, 8)), cmap="viridis")
        elif kind == 3:
            axes.stackplot(range(20), rng.uniform(1, 5, (4, 20)), labels=list("abcd"))
            axes.legend()
        else:
            axes.hist(rng.normal(size=400), bins=20, color=f"C{i % 10}")
        axes.set_title("A plot of some numbers")
        figure.savefig(folder / f"plot-{i}.png")
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--rsvg", default="rsvg-convert")
    parser.add_argument("--plots", action="store_true", help="matplotlib is installed")
    options = parser.parse_args()
    draw_svgs(options.packages, options.to, options.rsvg)
    copy_files(options.packages, options.to)
    draw_noto(options.packages, options.to)
    if options.plots:
        draw_plots(options.to)


if __name__ == "__main__":
    main()
