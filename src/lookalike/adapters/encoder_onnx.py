"""The encoder that runs any bundle's ONNX towers with ONNX Runtime on the CPU."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.encoder_stages import StageChain
from lookalike.adapters.encoder_tokens import TokenReader
from lookalike.domain.errors import BundleError, UnsupportedInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lookalike.domain.arrays import FloatMatrix, Pixels
    from lookalike.domain.bundle import Bundle, ImageTower, Preprocess, TextTower

_SMALLEST_NORM: Final = 1e-12


class OnnxEncoder:
    """Encodes pictures and words with a bundle's towers, each loaded when first needed.

    Thread-safe: loading is guarded by a lock, and ONNX Runtime sessions may be
    run from several threads at once. `threads` is how many threads one call
    uses (0 leaves the choice to ONNX Runtime: one a physical core).
    """

    def __init__(self, bundle: Bundle, *, threads: int = 0) -> None:
        self._bundle = bundle
        self._threads = threads
        self._lock = threading.Lock()

    @property
    def bundle(self) -> Bundle:
        """The bundle that made this encoder."""
        return self._bundle

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self._bundle.dim

    @property
    def preprocess(self) -> Preprocess:
        """How pictures must be resized for `encode_images`.

        Raises:
            UnsupportedInputError: the bundle has no image tower.
        """
        return self._image_tower.preprocess

    @property
    def has_text(self) -> bool:
        """Whether `encode_texts` works."""
        return self._bundle.text is not None

    def encode_images(self, pixels: Pixels) -> FloatMatrix:
        """Encode `(n, size, size, 3)` RGB uint8 to `(n, dim)`, unit norm.

        Raises:
            UnsupportedInputError: the bundle has no image tower.
            MissingFileError: a model file is missing.
            BundleError: a model file cannot be run, or gives another dimension.
            ValueError: the pixels have another shape or type.
        """
        tower = self._image_tower
        size = tower.preprocess.size
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (size, size, 3):
            raise ValueError(
                f"pixels must be (n, {size}, {size}, 3) uint8, not {pixels.shape} {pixels.dtype}"
            )

        def encode(start: int, end: int) -> FloatMatrix:
            batch = pixels[start:end]
            ready = batch if tower.input == "uint8_nhwc" else _normalise(batch, tower.preprocess)
            return self._image_stages.run_pixels(np.ascontiguousarray(ready))

        return self._in_batches(len(pixels), tower.max_batch, encode)

    def encode_texts(self, texts: Sequence[str]) -> FloatMatrix:
        """Encode n texts to `(n, dim)`, unit norm; too long ones are cut.

        Raises:
            UnsupportedInputError: the bundle has no text tower.
            MissingFileError: a model or tokenizer file is missing.
            BundleError: a file cannot be read or run, or gives another dimension.
        """
        tower = self._text_tower

        def encode(start: int, end: int) -> FloatMatrix:
            ids, mask = self._tokens.read(texts[start:end])
            return self._text_stages.run_tokens(ids, mask)

        return self._in_batches(len(texts), tower.max_batch, encode)

    def _in_batches(
        self, count: int, size: int, encode: Callable[[int, int], FloatMatrix]
    ) -> FloatMatrix:
        """Run `encode(start, end)` over ranges of at most `size`, and normalise the rows."""
        result = np.empty((count, self.dim), np.float32)
        for start in range(0, count, size):
            end = min(start + size, count)
            rows = encode(start, end)
            if rows.shape != (end - start, self.dim):
                raise BundleError(
                    f"the bundle {self._bundle.name!r} states {self.dim} dimensions, "
                    f"its model gives an array of shape {rows.shape}",
                    hint="correct dim in bundle.toml, or name the model's embedding output there",
                )
            result[start:end] = rows
        norms = np.linalg.norm(result, axis=1, keepdims=True)
        result /= np.maximum(norms, _SMALLEST_NORM)
        return result

    @property
    def _image_tower(self) -> ImageTower:
        if self._bundle.image is None:
            raise UnsupportedInputError(
                f"the bundle {self._bundle.name!r} has no image tower",
                hint="choose an image or dual bundle: lookalike models list",
            )
        return self._bundle.image

    @property
    def _text_tower(self) -> TextTower:
        if self._bundle.text is None:
            raise UnsupportedInputError(
                f"the bundle {self._bundle.name!r} has no text tower",
                hint="words are then found by their text index alone; "
                "for words by meaning choose a dual bundle: lookalike models list",
            )
        return self._bundle.text

    @cached_property
    def _image_chain(self) -> StageChain:
        tower = self._image_tower
        return StageChain.load(self._bundle, tower.stages, tower.output, threads=self._threads)

    @cached_property
    def _text_chain(self) -> StageChain:
        tower = self._text_tower
        return StageChain.load(self._bundle, tower.stages, tower.output, threads=self._threads)

    @cached_property
    def _token_reader(self) -> TokenReader:
        return TokenReader.load(self._bundle, self._text_tower)

    @property
    def _image_stages(self) -> StageChain:
        with self._lock:
            return self._image_chain

    @property
    def _text_stages(self) -> StageChain:
        with self._lock:
            return self._text_chain

    @property
    def _tokens(self) -> TokenReader:
        with self._lock:
            return self._token_reader


def _normalise(pixels: Pixels, preprocess: Preprocess) -> FloatMatrix:
    """Turn `(n, h, w, 3)` uint8 into normalised `(n, 3, h, w)` float32."""
    std = np.asarray(preprocess.std, np.float32)
    scale = 1 / (255 * std)
    shift = -np.asarray(preprocess.mean, np.float32) / std
    planes = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    planes *= scale[:, None, None]
    planes += shift[:, None, None]
    return planes
