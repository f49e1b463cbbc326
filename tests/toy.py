"""A toy encoder and tiny pictures, so that tests run the whole stack in milliseconds.

The toy's space is colour: a picture is the mean colours of its 4 × 4 tiles, a text is the colour
that its words name, laid over every tile. So `red` finds red pictures and a picture its copies.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lookalike.domain.bundle import Bundle, BundleFile, ImageTower, Preprocess, TextTower

COLOURS = {
    "red": (220, 30, 30), "green": (30, 160, 50), "blue": (40, 60, 220), "yellow": (240, 220, 40),
    "black": (10, 10, 10), "white": (245, 245, 245), "orange": (250, 140, 20),
    "purple": (130, 40, 160), "pink": (250, 150, 190), "brown": (120, 70, 30),
}  # fmt: skip
TILES = 4
DIM = TILES * TILES * 3


class ToyEncoder:
    """Implements `ports.encoder.Encoder` in a few lines of numpy."""

    def __init__(self, *, has_text: bool = True) -> None:
        self._has_text = has_text
        files = (BundleFile("image.onnx", "00"), BundleFile("text.onnx", "11"))
        self._bundle = Bundle(
            name="toy", version="1", kind="dual" if has_text else "image", dim=DIM, root=Path(),
            files=files, image=ImageTower(("image.onnx",), Preprocess(16)),
            text=TextTower(("text.onnx",), "", 16) if has_text else None,
        )  # fmt: skip
        self.images_encoded = 0
        self.texts_encoded = 0

    @property
    def bundle(self):
        return self._bundle

    @property
    def dim(self):
        return DIM

    @property
    def preprocess(self):
        return self._bundle.image.preprocess

    @property
    def has_text(self):
        return self._has_text

    def encode_images(self, pixels):
        self.images_encoded += len(pixels)
        side = pixels.shape[1] // TILES
        tiles = pixels.reshape(len(pixels), TILES, side, TILES, side, 3).mean(axis=(2, 4))
        return _unit(tiles.reshape(len(pixels), DIM))

    def encode_texts(self, texts):
        self.texts_encoded += len(texts)
        return _unit(np.stack([_colour_of(text) for text in texts]))


def _colour_of(text):
    named = [COLOURS[word] for word in text.lower().split() if word in COLOURS]
    mean = np.mean(named or [(128, 128, 128)], axis=0)
    return np.tile(mean, TILES * TILES)


def _unit(values):
    centred = values.astype(np.float32) - 128.0 + 1e-3
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def picture(colour="red", seed=0, size=(48, 36), **save):
    """Return the bytes of a picture mostly of one colour, different for each seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, COLOURS[colour])
    draw = ImageDraw.Draw(image)
    for _ in range(3):
        x, y = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
        fill = tuple(int(value) for value in rng.integers(0, 256, 3))
        draw.rectangle((x, y, x + int(rng.integers(3, 8)), y + int(rng.integers(3, 8))), fill)
    buffer = io.BytesIO()
    image.save(buffer, save.pop("format", "JPEG"), **({"quality": 90} | save))
    return buffer.getvalue()


def fill_folder(folder, count, *, colours=tuple(COLOURS)):
    """Write `count` pictures with the colour in their name, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        colour = colours[number % len(colours)]
        path = folder / f"{colour}-{number:04}.jpg"
        path.write_bytes(picture(colour, seed=number))
        paths.append(path)
    return paths
