"""The durable copy of each vector in a cluster: one small blob an image, fp16; regions in another.

Vector and text indexes of a cluster can be lost or left behind; whatever they hold can be made
again from the catalog and these blobs without encoding a picture again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lookalike.domain.arrays import FloatMatrix
    from lookalike.domain.images import ImageId
    from lookalike.engine.stores import Stores


def vector_key(space: str, image: ImageId) -> str:
    """Return the blob key of an image's vector in a space."""
    return f"vectors/{space}/{image[:2]}/{image}"


def pack_vector(vector: FloatMatrix) -> bytes:
    """Return a `(dim,)` vector as little-endian fp16."""
    return vector.astype("<f2").tobytes()


def read_vectors(stores: Stores, images: Sequence[ImageId]) -> Mapping[ImageId, FloatMatrix]:
    """Return the `(dim,)` float32 vectors that are kept of the images, unit norm.

    One that is missing or of another length is left out.
    """
    keys = {vector_key(stores.space, image): image for image in images}
    found: dict[ImageId, FloatMatrix] = {}
    for key, data in stores.blobs.get_many(list(keys)).items():
        if len(data) != 2 * stores.vectors.dim:
            continue
        vector = np.frombuffer(data, "<f2").astype(np.float32)
        norm = float(np.linalg.norm(vector))
        if np.isfinite(norm) and norm > 0:
            found[keys[key]] = vector / norm
    return found


def regions_key(space: str, image: ImageId) -> str:
    """Return the blob key of the vectors of an image's regions in a space."""
    return f"regions/{space}/{image[:2]}/{image}"


def pack_regions(numbers: Sequence[int], vectors: FloatMatrix) -> bytes:
    """Return `(n, dim)` vectors as fp16 behind their n numbers, a byte each, and n itself."""
    return bytes([len(numbers), *numbers]) + vectors.astype("<f2").tobytes()


def read_regions(
    stores: Stores, images: Sequence[ImageId]
) -> Mapping[ImageId, tuple[tuple[int, ...], FloatMatrix]]:
    """Return the numbers and `(n, dim)` float32 vectors that are kept of images' regions.

    One that is missing or of another length is left out.
    """
    keys = {regions_key(stores.space, image): image for image in images}
    dim = stores.vectors.dim
    found: dict[ImageId, tuple[tuple[int, ...], FloatMatrix]] = {}
    for key, data in stores.blobs.get_many(list(keys)).items():
        count = data[0] if data else 0
        if count == 0 or len(data) != 1 + count + 2 * dim * count:
            continue
        vectors = np.frombuffer(data, "<f2", offset=1 + count).astype(np.float32)
        vectors = vectors.reshape(count, dim)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if np.isfinite(norms).all() and (norms > 0).all():
            found[keys[key]] = tuple(data[1 : 1 + count]), vectors / norms
    return found
