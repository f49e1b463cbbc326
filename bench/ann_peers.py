"""Other libraries of vector indexes, each as its documentation has it."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ann_data import Data, K, Search
from ann_points import Engine, Point

from lookalike.adapters.vectors_native import load_faiss


def autofaiss(data: Data) -> Iterator[Engine]:
    """What autofaiss chooses for 72 bytes a vector.

    It asks for NumPy 1, but runs with 2: `pip install --no-deps autofaiss`, and what it imports.
    """
    import autofaiss as chooser

    faiss = load_faiss()
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "part-0.npy", np.asarray(data.vectors).astype(np.float32))
        try:
            index, facts = chooser.build_index(
                folder,
                save_on_disk=False,
                metric_type="ip",
                max_index_memory_usage=f"{72 * data.rows / 1e6:.1f}MB",
                current_memory_available="6GB",
                max_index_query_time_ms=10,
                nb_cores=1,
                verbose=40,
            )
        except TypeError as error:
            raise ImportError(f"it does not run with Faiss {faiss.__version__}: {error}") from error
    built = time.process_time() - began
    faiss.omp_set_num_threads(1)
    size = float((facts or {}).get("size in bytes", 0)) / data.rows
    key = str((facts or {}).get("index_key", "chosen"))
    chosen = (facts or {}).get("index_param", "")

    def search(query: np.ndarray) -> np.ndarray:
        return index.search(query, K)[1]

    yield Engine(f"autofaiss {key}", size, built, (Point(str(chosen), search),))


def hnswlib(data: Data) -> Iterator[Engine]:
    """hnswlib: fp32, 16 links."""
    import hnswlib as library

    began = time.process_time()
    index = library.Index(space="ip", dim=data.dim)
    index.init_index(max_elements=data.rows, M=16, ef_construction=100, random_seed=1)
    index.set_num_threads(1)
    for block in data.blocks():
        index.add_items(block, num_threads=1)
    built = time.process_time() - began

    def at(effort: int) -> Search:
        def search(query: np.ndarray) -> np.ndarray:
            index.set_ef(effort)
            return index.knn_query(query, k=K, num_threads=1)[0]

        return search

    points = tuple(Point(f"ef {ef}", at(ef), sizes=(ef,)) for ef in (20, 40, 80, 160, 320, 640))
    yield Engine("hnswlib M16", 4.0 * data.dim + 8 * 16 + 8, built, points)


def usearch(data: Data) -> Iterator[Engine]:
    """usearch: fp16, 16 links."""
    from usearch.index import Index

    began = time.process_time()
    index = Index(ndim=data.dim, metric="ip", dtype="f16", connectivity=16, expansion_add=100)
    at = 0
    for block in data.blocks():
        index.add(np.arange(at, at + len(block)), block, threads=1)
        at += len(block)
    built = time.process_time() - began

    def with_effort(effort: int) -> Search:
        def search(query: np.ndarray) -> np.ndarray:
            index.expansion_search = effort
            return index.search(query[0], K, threads=1).keys

        return search

    points = tuple(
        Point(f"ef {ef}", with_effort(ef), sizes=(ef,)) for ef in (20, 40, 80, 160, 320, 640)
    )
    yield Engine("usearch f16 M16", index.serialized_length / data.rows, built, points)


def scann(data: Data) -> Iterator[Engine]:
    """ScaNN: a tree, anisotropic codes of 2 dimensions a half byte, re-ordering in fp32."""
    from scann.scann_ops.py import scann_ops_pybind

    began = time.process_time()
    leaves = max(50, round(math.sqrt(data.rows)))
    vectors = np.asarray(data.vectors).astype(np.float32)
    builder = scann_ops_pybind.builder(vectors, K, "dot_product").set_n_training_threads(1)
    pairs = data.dim // 128 if data.dim >= 256 else 2
    index = (
        builder.tree(leaves, max(2, leaves // 20), training_sample_size=min(data.rows, 100_000))
        .score_ah(max(2, pairs), anisotropic_quantization_threshold=0.2)
        .reorder(200)
        .build()
    )
    built = time.process_time() - began

    def at(probes: int, again: int) -> Search:
        def search(query: np.ndarray) -> np.ndarray:
            return index.search(
                query[0], K, leaves_to_search=probes, pre_reorder_num_neighbors=again
            )[0]

        return search

    shares = sorted({max(1, round(leaves * share)) for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)})
    points = tuple(
        Point(f"{p} leaves, {r} re-ordered", at(p, r), sizes=(p, r))
        for p in shares
        for r in (100, 200, 400)
    )
    size = data.dim / max(2, pairs) / 2 + 4.0 * data.dim
    yield Engine("ScaNN", size, built, points)
