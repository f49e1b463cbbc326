"""Make vectors of photographs, captions and larger sets like them, to measure indexes with.

    python bench/ann_material.py encode PHOTOGRAPHS... --out FOLDER [--captions FILE...]
    python bench/ann_material.py grow SIZE... --out FOLDER [--dim 256]
    python bench/ann_material.py compare --out FOLDER

`encode` writes, of the packaged encoder: `real.f16.npy`, each photograph whole and then in
random crops; `image.npy`, queries: whole photographs none of whose crops are among them;
`text_tune.npy` and `text_test.npy`, captions of different pictures. It goes on where it was
stopped. `grow` makes the matrix of an index of as many vectors as wanted, and `compare` says how
near their neighbourhoods come to the real ones; see `ann_growth`. Everything follows from a seed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import ann_growth  # noqa: E402 - the number of threads is read when NumPy loads
import material  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image, ImageEnhance  # noqa: E402

from lookalike.evaluation.reports import Table  # noqa: E402
from lookalike.imaging.preprocess import to_model_pixels  # noqa: E402

SEED = 20
BATCH = 32
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def find_photographs(folders: Sequence[Path]) -> list[Path]:
    """Return every readable picture below the folders, in an order drawn with the seed."""
    found = sorted(p for f in folders for p in f.rglob("*") if p.suffix.lower() in SUFFIXES)
    return [found[i] for i in np.random.default_rng(SEED).permutation(len(found))]


def read_photograph(path: Path) -> Image.Image | None:
    """Return a photograph, RGB, or None for what cannot be read."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (448, 448))
            return image.convert("RGB")
    except (OSError, ValueError):
        return None


def vary(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return a random crop of 30 to 90 % of the area, perhaps mirrored, in other light."""
    area, shape = generator.uniform(0.3, 0.9), np.exp(generator.uniform(-0.25, 0.25))
    width = int(min(1.0, np.sqrt(area * shape)) * image.width)
    height = int(min(1.0, np.sqrt(area / shape)) * image.height)
    left = int(generator.integers(0, image.width - width + 1))
    top = int(generator.integers(0, image.height - height + 1))
    crop = image.crop((left, top, left + max(width, 1), top + max(height, 1)))
    if generator.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    crop = ImageEnhance.Brightness(crop).enhance(generator.uniform(0.75, 1.25))
    return ImageEnhance.Color(crop).enhance(generator.uniform(0.6, 1.3))


def encode_rows(
    encoder: material.OnnxEncoder, paths: Sequence[Path], rows: range
) -> Iterator[np.ndarray]:
    """Yield `(n, dim)` vectors of rows: row r is photograph `r % len(paths)`, whole at first.

    A photograph that cannot be read is noise, so that rows keep their places.
    """
    for begin in range(rows.start, rows.stop, BATCH):
        pixels = []
        for row in range(begin, min(begin + BATCH, rows.stop)):
            generator = np.random.default_rng((SEED, row))
            turn, which = divmod(row, len(paths))
            image = read_photograph(paths[which])
            if image is None:
                image = Image.fromarray(generator.integers(0, 255, (64, 64, 3), dtype=np.uint8))
            if turn:
                image = vary(image, generator)
            pixels.append(to_model_pixels(image, encoder.preprocess))
        yield encoder.encode_images(np.stack(pixels))


def read_caption_files(paths: Sequence[Path]) -> list[list[str]]:
    """Return captions by picture from files of JSON lines, in an order drawn with the seed."""
    pictures = []
    for path in paths:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
        pictures += [json.loads(line).get("captions") or [] for line in text.splitlines()]
    pictures = [captions for captions in pictures if captions]
    return [pictures[i] for i in np.random.default_rng(SEED).permutation(len(pictures))]


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write an array whole, or leave the one that was there."""
    partial = path.with_name("new-" + path.name)
    np.save(partial, array)
    partial.replace(path)


def encode(options: argparse.Namespace) -> None:
    """Write queries that are not there yet, then rows until there are `--turns` of each."""
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    encoder = material.make_encoder(threads=1)
    paths = find_photographs(options.photographs)
    held, stored = paths[: options.queries], paths[options.queries :]
    if not (out / "image.npy").exists():
        whole = encode_rows(encoder, held, range(len(held)))
        write_npy(out / "image.npy", np.concatenate(list(whole)))
    captions = [some[0].strip() for some in read_caption_files(options.captions)]
    for place, name in enumerate(("text_tune.npy", "text_test.npy")):
        mine = captions[place * options.queries : (place + 1) * options.queries]
        if mine and not (out / name).exists():
            write_npy(out / name, encoder.encode_texts(mine))
    part, line = out / "real.f16.part", 2 * encoder.dim
    with part.open("ab") as file:
        done = file.tell() // line
        file.truncate(done * line)
        for vectors in encode_rows(encoder, stored, range(done, options.turns * len(stored))):
            file.write(vectors.astype("<f2").tobytes())
            file.flush()
    rows = np.memmap(part, "<f2", "r").reshape(-1, encoder.dim)
    write_npy(out / "real.f16.npy", rows)
    print(f"{len(rows):,} vectors of {len(stored):,} photographs, {len(held):,} held out")


def grow(options: argparse.Namespace) -> None:
    """Write the matrices of indexes that are not there yet."""
    for rows in options.sizes:
        space = ann_growth.Space.open(options.out, options.dim)
        folder = ann_growth.matrix_folder(options.out, rows, space.dim)
        if not (folder / "done").exists():
            ann_growth.write_matrix(folder, space, rows)
            (folder / "done").touch()
        print(f"{rows:,} vectors of {space.dim} numbers in {folder}", flush=True)


def compare(options: argparse.Namespace) -> None:
    """Write how near neighbours are among real vectors, and among as many grown ones."""
    space = ann_growth.Space.open(options.out)
    rows = ann_growth.compare(space)
    columns = ("vectors", "queries", "neighbour", "p10", "p50", "p90")
    material.finish(
        "ann_material", options.to, metrics={"real_vectors": len(space.real)},
        tables={"neighbours": Table(columns, rows)},
        settings={"neighbours_mixed": ann_growth.NEIGHBOURS},
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    coding = commands.add_parser("encode")
    coding.add_argument("photographs", type=Path, nargs="+", help="folders")
    coding.add_argument("--captions", type=Path, nargs="*", default=[], help="JSONL of `captions`")
    coding.add_argument("--queries", type=int, default=1000)
    coding.add_argument("--turns", type=int, default=4, help="vectors of each photograph")
    coding.add_argument("--out", type=Path, required=True)
    coding.set_defaults(run=encode)
    growing = commands.add_parser("grow")
    growing.add_argument("sizes", type=int, nargs="+")
    growing.add_argument("--dim", type=int, default=0, help="fewer dimensions than the encoder's")
    growing.add_argument("--out", type=Path, required=True)
    growing.set_defaults(run=grow)
    comparing = commands.add_parser("compare")
    comparing.add_argument("--out", type=Path, required=True)
    comparing.add_argument("--to", type=Path, default=material.RESULTS / "ann_material.json")
    comparing.set_defaults(run=compare)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
