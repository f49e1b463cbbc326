"""Train the network of the text gate, in plain numpy, on samples of blocks and their neighbours."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from lookalike.imaging.text_gate import (
    BLOCK,
    FEATURES,
    MARGIN,
    Weights,
    features_of,
    levels_of,
    score_blocks,
)

CHANNELS = 16
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:-&!?/"
SEEN_HEIGHTS = (6, 26)
AROUND = np.array(
    [[5 * (y + i) + x + j for i in range(3) for j in range(3)] for y in range(3) for x in range(3)]
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture of at most 640, and where its text is: left, top, right, bottom, letters' height.

    All in pixels; a box that hangs askew is given by its upright bounds.
    """

    pixels: np.ndarray
    texts: tuple[tuple[float, float, float, float, float], ...] = ()


# ── The network ──────────────────────────────────────────────────────────────────────────


def begin(rng: np.random.Generator, c: int = CHANNELS) -> dict[str, np.ndarray]:
    """He's initial weights."""
    shapes = {"first": (9 * FEATURES, c), "second": (9 * c, c), "last": (c,)}
    result = {}
    for name, shape in shapes.items():
        result[name] = rng.normal(0, np.sqrt(2 / shape[0]), shape).astype(np.float32)
        result[name + "_bias"] = np.zeros(shape[1:], np.float32)
    return result


def step(w: dict, x: np.ndarray, is_text: np.ndarray, weight: np.ndarray) -> tuple[float, dict]:
    """Loss and gradients of samples `(n, 25, features)`, each counting as much as its weight."""
    n = len(x)
    x1 = x[:, AROUND].reshape(n, 9, -1)
    h1 = np.maximum(x1 @ w["first"] + w["first_bias"], 0)
    x2 = h1.reshape(n, -1)
    h2 = np.maximum(x2 @ w["second"] + w["second_bias"], 0)
    p = 1 / (1 + np.exp(-np.clip(h2 @ w["last"] + w["last_bias"], -30, 30)))
    share = weight / weight.sum()
    loss = -(share * np.where(is_text, np.log(p + 1e-7), np.log(1 - p + 1e-7))).sum()
    d = ((p - is_text) * share).astype(np.float32)
    g = {"last": h2.T @ d, "last_bias": d.sum()}
    d2 = d[:, None] * w["last"] * (h2 > 0)
    g["second"], g["second_bias"] = x2.T @ d2, d2.sum(axis=0)
    d1 = (d2 @ w["second"].T).reshape(h1.shape) * (h1 > 0)
    flat = d1.reshape(-1, d1.shape[2])
    g["first"], g["first_bias"] = x1.reshape(-1, x1.shape[2]).T @ flat, flat.sum(axis=0)
    return float(loss), g


class Adam:
    """Kingma and Ba 2015."""

    def __init__(self, w: dict[str, np.ndarray]) -> None:
        self.first = {k: np.zeros_like(v) for k, v in w.items()}
        self.second = {k: np.zeros_like(v) for k, v in w.items()}
        self.count = 0

    def update(self, w: dict, gradients: dict, rate: float) -> None:
        self.count += 1
        for k, g in gradients.items():
            self.first[k] = 0.9 * self.first[k] + 0.1 * g
            self.second[k] = 0.999 * self.second[k] + 0.001 * g * g
            mean = self.first[k] / (1 - 0.9**self.count)
            size = np.sqrt(self.second[k] / (1 - 0.999**self.count)) + 1e-6
            w[k] = (w[k] - rate * mean / size).astype(np.float32)


def train(
    w: dict, x: np.ndarray, is_text: np.ndarray, epochs: int, rng: np.random.Generator
) -> list[float]:
    """Train on all samples, text and ground weighing the same; return the loss of each epoch."""
    weight = np.where(is_text, 0.5 / is_text.sum(), 0.5 / (~is_text).sum()) * len(x)
    adam, losses, size = Adam(w), [], 512
    steps = epochs * -(-len(x) // size)
    for _ in range(epochs):
        order, total = rng.permutation(len(x)), []
        for first in range(0, len(x), size):
            rows = order[first : first + size]
            loss, gradients = step(w, x[rows], is_text[rows], weight[rows])
            adam.update(w, gradients, 0.004 * (1 - adam.count / (steps + 1)) + 1e-5)
            total.append(loss)
        losses.append(round(float(np.mean(total)), 4))
    return losses


# ── Samples ──────────────────────────────────────────────────────────────────────────────


def scale_of(pixels: np.ndarray) -> float:
    """How much larger the first level is than the picture."""
    longer = max(pixels.shape[:2])
    return 1 / -(-longer // 640) if longer > 640 else float(-(-256 // longer))


def samples_of(
    scene: Scene, w: Weights | None, rng: np.random.Generator, most: int = 24
) -> tuple[np.ndarray, np.ndarray]:
    """Return samples of a scene and which are text; grounds are those that `w` is most wrong on.

    Text counts at the level where its letters are 6 to 26 pixels high; where it is smaller or
    larger, and beside it, blocks are left out.
    """
    xs, ys = [], []
    grounds = []
    for level, grey in enumerate(levels_of(scene.pixels)):
        features = features_of(grey)
        wide = np.pad(features, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
        inside = np.zeros(features.shape[:2], bool)
        near = np.zeros_like(inside)
        by = scale_of(scene.pixels) / 2**level
        for left, top, right, bottom, height in scene.texts:
            x, y, x_end, y_end = (v * by / BLOCK for v in (left, top, right, bottom))
            near[max(int(y) - 2, 0) : int(y_end) + 3, max(int(x) - 2, 0) : int(x_end) + 3] = True
            if SEEN_HEIGHTS[0] <= height * by <= SEEN_HEIGHTS[1]:
                rows = slice(max(round(y), 0), max(round(y_end), round(y) + 1))
                inside[rows, max(round(x), 0) : max(round(x_end), round(x) + 1)] = True
        texts = rng.permutation(np.argwhere(inside))[:most]
        xs += [wide[y : y + 5, x : x + 5].reshape(25, -1) for y, x in texts]
        ys += [True] * len(texts)
        free = np.argwhere(~near)
        if w is None:
            free = rng.permutation(free)[: most // 2]
            grounds += [(0.0, wide, y, x) for y, x in free]
        elif len(free):
            scores = score_blocks(features, w)[free[:, 0], free[:, 1]]
            worst = np.argsort(-scores)[:most]
            grounds += [(scores[i], wide, *free[i]) for i in worst]
    grounds.sort(key=lambda g: -g[0])
    for _, wide, y, x in grounds[: most if w is not None else None]:
        xs.append(wide[y : y + 5, x : x + 5].reshape(25, -1))
        ys.append(False)
    return np.array(xs, np.float32).reshape(-1, 25, FEATURES), np.array(ys, bool)


# ── Pictures with text drawn on them ─────────────────────────────────────────────────────


def phrase(rng: random.Random) -> str:
    words = ["".join(rng.choices(LETTERS, k=rng.randint(2, 9))) for _ in range(rng.randint(1, 5))]
    case = rng.choice((str.upper, str.lower, str.title, str))
    return case(" ".join(words))


def with_text(scene: Scene, fonts: list[str], rng: random.Random) -> Scene:
    """Return the scene with some lines of text drawn on it, as signs and captions are."""
    image = Image.fromarray(scene.pixels)
    texts = list(scene.texts)
    longer = max(image.size)
    for _ in range(rng.randint(1, 3)):
        size = max(round(longer / 640 * 10 ** rng.uniform(0.95, 2.0)), 8)
        font = ImageFont.truetype(rng.choice(fonts), size)
        box = font.getbbox(text := phrase(rng))
        width, height = int(box[2] - box[0]) + 4, int(box[3] - box[1]) + 4
        stamp, area = Image.new("L", (width, height), 0), Image.new("L", (width, height), 255)
        ImageDraw.Draw(stamp).text((2 - box[0], 2 - box[1]), text, font=font, fill=255)
        angle = rng.choice((0, 0, 0, rng.uniform(-12, 12), 90))
        if angle:
            stamp, area = (x.rotate(angle, Image.Resampling.BICUBIC, True) for x in (stamp, area))
        at = (
            rng.randint(0, max(image.width - stamp.width, image.width // 3)),
            rng.randint(0, max(image.height - stamp.height, 1)),
        )
        end = (at[0] + stamp.width, at[1] + stamp.height)
        ink = tuple(rng.randint(0, 255) for _ in range(3))
        ground = float(np.asarray(image.crop((*at, *end))).mean())
        if abs(ground - sum(ink) / 3) < 40:
            ink = (255, 255, 255) if ground < 128 else (0, 0, 0)
        if rng.random() < 0.25:
            image.paste(Image.new("RGB", stamp.size, tuple(255 - x for x in ink)), at, area)
        opaque = np.asarray(stamp) * rng.uniform(0.6, 1.0)
        image.paste(Image.new("RGB", stamp.size, ink), at, Image.fromarray(opaque.astype(np.uint8)))
        texts.append((*at, *end, height if abs(angle) < 1 or angle == 90 else height * 1.2))
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0) * longer / 640))
    if rng.random() < 0.5:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=rng.randint(25, 90))
        image = Image.open(file)
    return Scene(np.asarray(image.convert("RGB")), tuple(texts))


def changed(scene: Scene, rng: random.Random) -> Scene:
    """Return the scene at another size, perhaps darker, flatter or as a negative."""
    longer = max(scene.pixels.shape[:2])
    by = min(rng.uniform(0.6, 1.5), 640 / longer)
    height, width = (max(int(side * by), 32) for side in scene.pixels.shape[:2])
    image = Image.fromarray(scene.pixels).resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image).astype(np.float32)
    pixels = (pixels - 128) * rng.uniform(0.6, 1.2) + 128 + rng.uniform(-20, 20)
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    texts = tuple(tuple(value * by for value in text) for text in scene.texts)
    return Scene(255 - pixels if rng.random() < 0.3 else pixels, texts)


def turned(scene: Scene, rng: random.Random) -> Scene:
    """Return a scene without text as another one: mirrored or on its side, and changed."""
    pixels = scene.pixels[:, ::-1] if rng.random() < 0.5 else scene.pixels
    turns = rng.choice((0, 0, 1, 2))
    return changed(Scene(np.ascontiguousarray(np.rot90(pixels, turns))), rng)


def plain(rng: random.Random) -> Scene:
    """A picture of stripes, boards, noise or nothing, which must not open the gate."""
    height, width = rng.randint(100, 360), rng.randint(100, 360)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    low, high = sorted((rng.randint(0, 255), rng.randint(0, 255)))
    if rng.random() < 0.3:
        low, high = 0, 255
    period, turn = 10 ** rng.uniform(0.3, 1.8), rng.choice((0, np.pi / 2, rng.uniform(0, np.pi)))
    wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * 2 * np.pi / period)
    board = np.sin(x * 2 * np.pi / period + 0.1) * np.sin(y * 2 * np.pi / period + 0.1)
    noise = np.random.default_rng(rng.randint(0, 1 << 30)).random((height, width))
    plane = rng.choice((wave * 0.5 + 0.5, wave > 0, board > 0, noise, noise > 0.5, x * 0))
    grey = (low + plane.astype(np.float32) * (high - low)).astype(np.uint8)
    return Scene(np.repeat(grey[:, :, None], 3, axis=2))


def page(fonts: list[str], rng: random.Random) -> Scene:
    """Paper of one colour with lines of text."""
    light = rng.randint(0, 255)
    size = (rng.randint(100, 640), rng.randint(100, 640), 3)
    return with_text(Scene(np.full(size, light, np.uint8)), fonts, rng)
