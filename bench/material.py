"""What the measurements are made of: photographs, ready vectors, captions, indexes, and a server.

Photographs are the samples, or the pictures of a folder, made anew in the wanted sizes with a
little noise, so that no two files are equal. Vectors are those of photographs, mixed two by two.
Everything follows from a seed.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookalike.adapters.bundle_files import load_bundle
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.domain.images import Source
from lookalike.evaluation.reports import Report, Table, describe_machine, write_report
from lookalike.ports.source import SourceItem
from lookalike.settings import Settings
from lookalike.wiring.embedded import OpenOptions, open_index

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples" / "images"
RESULTS = Path(__file__).parent / "results"
SEED = 20
SIZES = {"224x224": (224, 224), "500x375": (500, 375)}
SUBJECTS = (
    "a dog", "two dogs", "a cat", "a child", "a man", "a woman", "a group of people", "a horse",
    "a red bus", "a train", "a bicycle", "a boat", "a bird", "a bowl of fruit", "a slice of pizza",
    "a clock tower", "a surfer", "a skier", "a laptop", "an old car", "a zebra", "an elephant",
)  # fmt: skip
DOINGS = (
    "standing", "running", "resting", "shown from above", "seen up close", "in black and white",
    "covered in snow", "with a yellow ball", "with an umbrella", "next to a bench",
    "behind a fence",
    "under a blue sky", "in the evening light", "holding a kite", "beside a parked truck",
)  # fmt: skip
PLACES = (
    "on a sandy beach", "in a city street", "in a green field", "on a wooden table", "by the river",
    "in a kitchen", "in the mountains", "at a railway station", "in front of a brick wall",
    "on a tennis court", "in a living room", "near a lake", "at the harbour", "in the forest",
)  # fmt: skip


def read_photographs(folder: Path, most: int, seed: int = SEED) -> list[Image.Image]:
    """Return photographs of a folder, RGB, at most `most` of them, drawn with the seed."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg"})
    if not paths:
        raise SystemExit(f"no JPEG files in {folder}: name a folder with photographs")
    chosen = random.Random(seed).sample(paths, min(most, len(paths)))
    photographs = []
    for path in sorted(chosen):
        with Image.open(path) as image:
            image.draft("RGB", (640, 640))
            photographs.append(image.convert("RGB"))
    return photographs


def write_photographs(
    folder: Path, count: int, size: tuple[int, int] | None, *, photographs: Sequence[Image.Image]
) -> None:
    """Write `count` different JPEG files of one size (or of every size in turn for None)."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(SEED)
    sizes = [size] if size else [*SIZES.values(), (1600, 1067), (640, 480)]
    noise = rng.integers(0, 7, (1200, 1700, 3), dtype=np.uint8)
    resized: dict[tuple[int, tuple[int, int]], np.ndarray] = {}
    for number in range(count):
        which, (width, height) = number % len(photographs), sizes[number % len(sizes)]
        key = (which, (width, height))
        if key not in resized:
            picture = photographs[which].resize((width, height), Image.Resampling.BICUBIC)
            resized[key] = np.minimum(np.asarray(picture), 249)
        y, x = divmod(number // len(photographs) % 10_000, 100)  # no two files alike
        pixels = resized[key] + noise[y : y + height, x : x + width]
        Image.fromarray(pixels).save(folder / f"{number:06}.jpg", quality=88)


def model_pixels(photographs: Sequence[Image.Image], side: int) -> np.ndarray:
    """Return `(n, side, side, 3)` uint8: what the encoder takes."""
    return np.stack([np.asarray(p.resize((side, side))) for p in photographs])


def make_encoder(threads: int = 0) -> OnnxEncoder:
    """Return the packaged encoder."""
    return OnnxEncoder(load_bundle("lite"), threads=threads)


def read_captions(path: Path | None) -> list[str]:
    """Return captions of a `.jsonl` or `.jsonl.gz` of `captions`; without one, made sentences."""
    if path is None:
        made = [f"{s} {d} {p}" for s in SUBJECTS for d in DOINGS for p in PLACES]
        random.Random(SEED).shuffle(made)
        return made
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    found = [caption.strip() for line in lines for caption in line.get("captions", ())]
    random.Random(SEED).shuffle(found)
    return found


def mixed_vectors(bases: np.ndarray, count: int, seed: int = SEED) -> Iterator[np.ndarray]:
    """Yield `count` unit vectors: the bases, then mixed ones with a little noise."""
    rng = np.random.default_rng(seed)
    yield from np.array_split(bases[:count], max(1, len(bases[:count]) // 1000))
    left = count - len(bases[:count])
    while left > 0:
        n = min(left, 1000)
        first, second = rng.integers(0, len(bases), (2, n))
        share = rng.uniform(0.55, 0.95, (n, 1)).astype(np.float32)
        noise = rng.standard_normal((n, bases.shape[1]), dtype=np.float32)
        noise *= 0.35 / np.sqrt(bases.shape[1])
        block = share * bases[first] + (1 - share) * bases[second] + noise
        yield block / np.linalg.norm(block, axis=1, keepdims=True)
        left -= n


@dataclass(frozen=True, slots=True)
class ReadyVectors:
    """A source of pictures known by their vectors, with two captions, a site and a width each.

    Widths are uniform in [0, 10,000), so that `min_width` selects any share.
    """

    vectors: Callable[[], Iterator[np.ndarray]]
    captions: Sequence[str]
    total: int
    seed: int = SEED

    @property
    def name(self) -> str:
        return "ready vectors"

    @property
    def prefix(self) -> str | None:
        return None

    def count(self) -> int | None:
        return self.total

    def items(self) -> Iterator[SourceItem]:
        chance = random.Random(self.seed)
        number = 0
        for block in self.vectors():
            for vector in block.astype(np.float32):
                caption = " ".join(chance.choices(self.captions, k=2))
                uri = f"https://photos.example/{number}.jpg"
                yield SourceItem(
                    Source(uri=uri, site=f"site{number % 50}.example", caption=caption),
                    "vector", vector=vector[None, :],
                    width=chance.randrange(10_000), height=1000,
                )  # fmt: skip
                number += 1


def build_index(folder: Path, source: ReadyVectors, *, optimized: bool = True) -> dict[str, float]:
    """Make an index of ready vectors and return what it took."""
    shutil.rmtree(folder, ignore_errors=True)
    settings = Settings(threads=1, decoders=1)
    with open_index(folder, OpenOptions(encoder="lite", is_creating=True), settings) as engine:
        began, cpu = time.perf_counter(), time.process_time()
        report = engine.index([source])
        if report.added != source.total:
            raise SystemExit(f"{report.added} of {source.total} were added: {report.failed}")
        added_s, added_cpu_s = time.perf_counter() - began, time.process_time() - cpu
        began = time.perf_counter()
        if optimized:
            engine.optimize()
        status = engine.status()
    return {
        "images": source.total,
        "images_per_s": source.total / added_s,
        "cpu_ms_per_image": 1e3 * added_cpu_s / source.total,
        "optimize_s": time.perf_counter() - began,
        "bytes_per_image": status.bytes / source.total,
        **{f"ann_recall@10.{kind}": value for kind, value in status.ann_recall_at_10.items()},
        **{f"stage_s.{name}": value for name, value in report.stage_seconds.items()},
    }


def index_options(parser: argparse.ArgumentParser) -> None:
    """Add what indexes of ready vectors are made from."""
    usual = Path(tempfile.gettempdir()) / "lookalike-bench"
    parser.add_argument("--photos", type=Path, default=SAMPLES, help="a folder of JPEGs")
    parser.add_argument("--bases", type=int, default=1500, help="photographs that are encoded")
    parser.add_argument("--captions", type=Path, help="JSONL of `captions`; else made sentences")
    parser.add_argument("--work", type=Path, default=usual, help="indexes are kept here")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])


def base_vectors(options: Any) -> np.ndarray:
    """Return the vectors of the photographs of `options.photos`, encoded once."""
    kept = options.work / f"bases-{options.photos.parent.name}-{options.bases}.npy"
    if kept.exists():
        return np.load(kept)
    photographs = read_photographs(options.photos, options.bases)
    encoder = make_encoder(threads=2)
    side = encoder.preprocess.size
    parts = [photographs[at : at + 32] for at in range(0, len(photographs), 32)]
    bases = np.concatenate([encoder.encode_images(model_pixels(part, side)) for part in parts])
    options.work.mkdir(parents=True, exist_ok=True)
    np.save(kept, bases)
    return bases


def ready_index(options: Any, size: int) -> tuple[Path, dict[str, float]]:
    """Return an index of `size` ready vectors below `options.work`, made now or earlier."""
    folder = options.work / f"vectors-{size}.index"
    note = folder.with_suffix(".json")
    if note.exists() and folder.is_dir():
        return folder, json.loads(note.read_text())
    print(f"making an index of {size:,} images in {folder}", flush=True)
    bases = base_vectors(options)
    captions = read_captions(options.captions)
    source = ReadyVectors(lambda: mixed_vectors(bases, size), captions[: len(captions) // 2], size)
    facts = build_index(folder, source)
    note.write_text(json.dumps(facts))
    return folder, facts


def spread(times_ms: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99."""
    return {f"p{part}_ms": float(np.percentile(times_ms, part)) for part in (50, 95, 99)}


def process_usage(pid: int) -> tuple[float, int]:
    """Return the CPU seconds and the resident bytes of a process (0 where /proc is not there)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0, 0
    ticks = os.sysconf("SC_CLK_TCK")
    return (int(stat[11]) + int(stat[12])) / ticks, pages * os.sysconf("SC_PAGE_SIZE")


def children_of(pid: int) -> list[int]:
    """Return the processes that a process started and that still run."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(c) for task in tasks for c in (task / "children").read_text().split()]
    except OSError:
        return []


@contextlib.contextmanager
def serving(index: Path, **environment: str) -> Generator[tuple[str, int]]:
    """Run `lookalike serve` on a loopback port of its own, and yield its address and process id.

    `index` is a folder, or the `lookalike.toml` of a cluster.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kind = "--config" if index.suffix == ".toml" else "--index"
    words = ["serve", kind, str(index), "--port", str(port)]
    command = [sys.executable, "-m", "lookalike", *words]
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL
    )
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            time.sleep(0.1)
            if process.poll() is not None:
                raise SystemExit("the server ended: run the command by hand to see why")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{base}/readyz", timeout=2).read()
                break
        yield base, process.pid
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def form(data: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of an upload of one picture in the field `file`."""
    edge = "lookalike-bench"
    head = (
        f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="q.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + data + f"\r\n--{edge}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={edge}"}


def commit() -> str:
    """Return the revision at hand; a `+` says that files differ from it."""

    def git(*words: str) -> str:
        run = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return run.stdout.strip()

    changed = git("status", "--porcelain", "--", "src")
    return (git("rev-parse", "--short", "HEAD") or "none") + ("+" if changed else "")


def finish(
    name: str,
    out: Path,
    *,
    metrics: Mapping[str, float],
    tables: Mapping[str, Table],
    settings: Mapping[str, Any],
) -> None:
    """Write the report with the machine, the revision, the seed and the load of the machine."""
    about = {"load_average": [round(load, 2) for load in os.getloadavg()], **settings}
    report = Report(
        name=name, date=datetime.now(UTC).date().isoformat(), commit=commit(), seed=SEED,
        machine=describe_machine(), metrics=metrics, tables=tables, settings=about,
    )  # fmt: skip
    write_report(report, out)
    print(report.to_markdown())
