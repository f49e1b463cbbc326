"""Train the two heads that bring pictures and captions into one space.

    python heads.py CACHE OUT.npz [--seed 0]

Each head is a linear map plus a hidden ReLU layer, to 512 dimensions. The loss
is symmetric InfoNCE (van den Oord 2018; CLIP's form, Radford 2021) over the
*sum* of the heads' cosine and the frozen ConSE cosine, so that the heads learn
what ConSE lacks. Adam with decoupled weight decay, cosine schedule, dropout on
inputs, averaged weights (EMA). numpy alone; about two minutes on one core.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import conse
import numpy as np
from conse import Matrix
from datasets import CAPTIONS
from towers import CLASSES, FEATURES

Weights = dict[str, Matrix]


LIMIT = 4.0
"""Standardised inputs are cut here: a unit that hardly ever fires on the training
photographs may fire thousands of deviations high on others, and drown the rest."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that was chosen (on Flickr8k's dev photographs and COCO)."""

    dim: int = 512
    hidden: int = 512
    epochs: int = 30
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    temperature: float = 0.05
    conse_weight: float = 0.5
    image_dropout: float = 0.5
    text_dropout: float = 0.2
    hidden_dropout: float = 0.3
    averaging: float = 0.98
    warmup_steps: int = 20
    variants: int = 4


@dataclass(slots=True)
class Head:
    """`unit(x W + b + relu(x A + a) B)` with hand-written gradients."""

    weights: Weights
    dropout: float
    hidden_dropout: float
    _kept: tuple[Matrix, ...] = field(default=(), init=False)

    @classmethod
    def random(
        cls, rng: np.random.Generator, inputs: int, dropout: float, recipe: Recipe
    ) -> "Head":
        """Start from normal weights of the usual scales."""
        hidden, dim = recipe.hidden, recipe.dim
        weights = {
            "W": rng.normal(0, inputs**-0.5, (inputs, dim)),
            "b": np.zeros(dim),
            "A": rng.normal(0, (2 / inputs) ** 0.5, (inputs, hidden)),
            "a": np.zeros(hidden),
            "B": rng.normal(0, 0.5 * hidden**-0.5, (hidden, dim)),
        }
        typed = {name: value.astype(np.float32) for name, value in weights.items()}
        return cls(typed, dropout, recipe.hidden_dropout)

    def forward(self, x: Matrix, rng: np.random.Generator | None = None) -> Matrix:
        """Map `(n, inputs)` to `(n, dim)`, unit norm; with `rng`, as in training."""
        if rng is not None:
            x = x * _mask(rng, x.shape, self.dropout)
        w = self.weights
        h = np.maximum(x @ w["A"] + w["a"], 0)
        gate = (h > 0).astype(np.float32)
        if rng is not None:
            gate *= _mask(rng, h.shape, self.hidden_dropout)
            h = h * gate
        out = x @ w["W"] + w["b"] + h @ w["B"]
        norm = np.linalg.norm(out, axis=1, keepdims=True) + 1e-6
        unit = out / norm
        if rng is not None:
            self._kept = (x, h, gate, unit, norm)
        return unit

    def backward(self, gradient: Matrix) -> Weights:
        """Give the weights' gradients from that of the last output."""
        x, h, gate, unit, norm = self._kept
        out = (gradient - (gradient * unit).sum(1, keepdims=True) * unit) / norm
        inner = (out @ self.weights["B"].T) * gate
        return {
            "W": x.T @ out,
            "b": out.sum(0),
            "A": x.T @ inner,
            "a": inner.sum(0),
            "B": h.T @ out,
        }


def _mask(rng: np.random.Generator, shape: tuple[int, ...], dropout: float) -> Matrix:
    kept = rng.random(shape, dtype=np.float32) >= dropout
    return kept / np.float32(1 - dropout)


class Adam:
    """Adam with decoupled weight decay (Loshchilov 2019) and averaged weights."""

    def __init__(self, weights: Weights, decay: float, averaging: float) -> None:
        self._weights, self._decay, self._averaging = weights, decay, averaging
        self._first = {name: np.zeros_like(value) for name, value in weights.items()}
        self._second = {name: np.zeros_like(value) for name, value in weights.items()}
        self.averaged = {name: value.copy() for name, value in weights.items()}
        self._step = 0

    def step(self, gradients: Weights, rate: float) -> None:
        """Change the weights in place."""
        self._step += 1
        kept = min(self._averaging, (1 + self._step) / (10 + self._step))
        for name, value in self._weights.items():
            first, second = self._first[name], self._second[name]
            first += 0.1 * (gradients[name] - first)
            second += 0.02 * (gradients[name] ** 2 - second)
            scale = np.sqrt(second / (1 - 0.98**self._step)) + 1e-8
            change = first / (1 - 0.9**self._step) / scale
            if value.ndim > 1:
                change += self._decay * value
            np.subtract(value, rate * change, out=value)
            self.averaged[name] += (1 - kept) * (value - self.averaged[name])


@dataclass(frozen=True, slots=True)
class Standard:
    """Moves each input to zero mean and unit deviation over the training photographs.

    Values beyond `LIMIT` deviations are cut.
    """

    mean: Matrix
    deviation: Matrix

    @classmethod
    def of(cls, rows: Matrix) -> "Standard":
        """Measure rows."""
        return cls(rows.mean(0), rows.std(0) + np.float32(1e-4))

    def __call__(self, rows: Matrix) -> Matrix:
        """Apply to rows."""
        return np.clip((rows - self.mean) / self.deviation, -LIMIT, LIMIT)


def _probabilities(scores: Matrix) -> Matrix:
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def _score_gradient(scores: Matrix, temperature: float) -> Matrix:
    """Differentiate symmetric InfoNCE: `(n, n)` scores whose diagonal is true."""
    truth = np.eye(len(scores), dtype=np.float32)
    scores = scores / temperature
    total = _probabilities(scores) + _probabilities(scores.T).T - 2 * truth
    return total / (2 * len(scores) * temperature)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Training inputs: image variants, captions, and both sides' ConSE vectors."""

    images: list[Matrix]
    texts: Matrix
    image_conse: list[Matrix]
    text_conse: Matrix


def train(inputs: Inputs, recipe: Recipe, seed: int) -> tuple[Weights, Weights]:
    """Train both heads; give the averaged weights of each."""
    rng = np.random.default_rng(seed)
    count, variants = len(inputs.images[0]), len(inputs.images)
    image = Head.random(rng, inputs.images[0].shape[1], recipe.image_dropout, recipe)
    text = Head.random(rng, inputs.texts.shape[1], recipe.text_dropout, recipe)
    image_adam = Adam(image.weights, recipe.weight_decay, recipe.averaging)
    text_adam = Adam(text.weights, recipe.weight_decay, recipe.averaging)
    steps, step = recipe.epochs * (count // recipe.batch), 0
    for _ in range(recipe.epochs):
        order = rng.permutation(count)
        for start in range(0, count - recipe.batch + 1, recipe.batch):
            photos = order[start : start + recipe.batch]
            which = rng.integers(variants, size=recipe.batch)
            captions = photos * CAPTIONS + rng.integers(CAPTIONS, size=recipe.batch)
            pictured = image.forward(_pick(inputs.images, which, photos), rng)
            written = text.forward(inputs.texts[captions], rng)
            known = _pick(inputs.image_conse, which, photos) @ inputs.text_conse[captions].T
            scores = pictured @ written.T + recipe.conse_weight * known
            gradient = _score_gradient(scores, recipe.temperature)
            step += 1
            rise = min(1, step / recipe.warmup_steps)
            rate = recipe.learning_rate * rise * 0.5 * (1 + np.cos(np.pi * step / steps))
            image_gradients = image.backward(gradient @ written)
            text_adam.step(text.backward(gradient.T @ pictured), rate)
            image_adam.step(image_gradients, rate)
    return image_adam.averaged, text_adam.averaged


def _pick(variants: list[Matrix], which: np.ndarray, photos: np.ndarray) -> Matrix:
    """Take each photograph's row from the variant drawn for it."""
    rows = np.empty((len(photos), variants[0].shape[1]), np.float32)
    for index, variant in enumerate(variants):
        chosen = which == index
        rows[chosen] = variant[photos[chosen]]
    return rows


def trained(cache: Path, seed: int, recipe: Recipe) -> dict[str, Matrix]:
    """Train on the cached features; give both heads' weights, and the inputs' mean and scale."""
    space = conse.from_cache(cache)
    images = [
        np.load(cache / f"image-train-{variant}.npy").astype(np.float32)
        for variant in range(recipe.variants)
    ]
    texts = np.load(cache / "text-train.npy").astype(np.float32)
    image_standard, text_standard = Standard.of(images[0]), Standard.of(texts)
    inputs = Inputs(
        images=[image_standard(rows) for rows in images],
        texts=text_standard(texts),
        image_conse=[space.images(rows[:, FEATURES : FEATURES + CLASSES]) for rows in images],
        text_conse=space.texts(texts),
    )
    image, text = train(inputs, recipe, seed)
    sides = (("image", image, image_standard), ("text", text, text_standard))
    return {
        f"{side}.{name}": value
        for side, weights, standard in sides
        for name, value in {
            **weights,
            "mean": standard.mean,
            "scale": 1 / standard.deviation,
        }.items()
    }


def apply(heads: dict[str, Matrix], side: str, features: Matrix) -> Matrix:
    """Map a tower's features as they come, `(n, inputs)`, to `(n, dim)`, unit norm."""
    weights = {name: heads[f"{side}.{name}"] for name in "WbAaB"}
    standard = (features - heads[f"{side}.mean"]) * heads[f"{side}.scale"]
    return Head(weights, 0, 0).forward(np.clip(standard, -LIMIT, LIMIT))


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(description="Train the heads.")
    parser.add_argument("cache", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    np.savez(given.out, **trained(given.cache, given.seed, Recipe()))


if __name__ == "__main__":
    main()
