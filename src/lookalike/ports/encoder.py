"""The port for turning pictures and words into vectors of one space."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.domain.bundle import Bundle, Preprocess


class Encoder(Protocol):
    """Vectors for images and texts, comparable by inner product.

    Every encoder keeps these promises (tests/contract/test_encoder.py): rows
    come back in the order given and have unit L2 norm; a batch gives what its
    members give alone, up to rounding; any batch size is taken, larger ones
    are split inside; arguments are never changed; calls from several threads
    are safe; nothing is loaded before the first call that needs it.
    """

    @property
    def bundle(self) -> Bundle:
        """The bundle that made this encoder."""
        ...

    @property
    def dim(self) -> int:
        """The length of a vector."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """How pictures must be resized for `encode_images`.

        Raises:
            BundleError: the bundle has no image tower.
        """
        ...

    @property
    def has_text(self) -> bool:
        """Whether `encode_texts` works; an image-only bundle has no text tower."""
        ...

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode `(n, size, size, 3)` RGB pixels to `(n, dim)`, unit norm.

        Raises:
            BundleError: the bundle has no image tower, or a file of it is
                missing or cannot be run.
            ValueError: the pixels have another shape or type.
        """
        ...

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode n texts to `(n, dim)`, unit norm; too long ones are cut.

        Raises:
            BundleError: the bundle has no text tower, or a file of it is
                missing or cannot be run.
        """
        ...
