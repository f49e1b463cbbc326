"""Finding cells: 65,536 and 262,144 of them on one machine, on two levels."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import material
import numpy as np
from ann_data import Data, watched
from ann_engines import BUILD_THREADS

from lookalike.adapters.vectors_cells import train_cells
from lookalike.adapters.vectors_cells_checkpoint import Checkpoint
from lookalike.evaluation.reports import Table

COUNTS = (16_384, 65_536, 262_144)
POINTS = 20
HELD = 20_000


def cells(data: Data, options: argparse.Namespace) -> None:
    """Find cells on 20 vectors each, and see how near to them vectors lie that were held out."""
    order = np.random.default_rng(5).permutation(data.rows)
    held = data.vectors[np.sort(order[:HELD])].astype(np.float32)
    rows = []
    for count in COUNTS:
        if POINTS * count > data.rows - HELD:
            continue
        sample = np.sort(order[HELD : HELD + POINTS * count])
        with tempfile.TemporaryDirectory(dir=data.folder) as folder:
            key = {"dim": data.dim, "rows": len(sample), "cells": count}
            checkpoint = Checkpoint(Path(folder) / "cells.checkpoint", key)
            with watched() as facts:
                found = train_cells(
                    sample, lambda some: data.vectors[some].astype(np.float32), count,
                    seed=1, threads=BUILD_THREADS, checkpoint=checkpoint,
                )  # fmt: skip
        owners = found.nearest(held, threads=BUILD_THREADS)
        apart = held - found.centroids[owners]
        error = float(np.mean(np.vecdot(apart, apart)))
        rows.append((len(sample), len(found), facts["cpu_s"], facts["wall_s"],
                     facts["peak_anon_bytes"], error))  # fmt: skip
        print(*rows[-1], sep="  ", flush=True)
    columns = ("sampled rows", "cells", "CPU s", "wall s", "peak bytes", "mean squared distance")
    material.finish(
        f"ann_cells_{data.rows}", options.out / f"ann_cells_{data.rows}.json",
        metrics={f"cpu_s.{row[1]}": row[2] for row in rows},
        tables={"cells": Table(columns, rows)},
        settings={"rows": data.rows, "dim": data.dim, "threads": BUILD_THREADS},
    )  # fmt: skip
