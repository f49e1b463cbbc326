"""Measure the readers of text: words found and words right a kind of picture, and the time.

    python eval/ocr/ocr.py --data ../shared/data               both readers as they are: ocr.json
    python eval/ocr/ocr.py --data ../shared/data --sweep       sizes and layouts: sweep.json
    python eval/ocr/ocr.py --data ../shared/data --int8        quantised models: int8.json

Words are compared as multisets a picture, in lower case, letters and digits only. Every file
falls by the hash of its name into the half that settings are chosen on, or the half that is
reported. Times are CPU seconds of one thread, the processes started included.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import resource
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.adapters import ocr_tesseract
from lookalike.adapters.ocr_rapid import RapidOcr
from lookalike.adapters.ocr_tesseract import TesseractOcr
from lookalike.domain.images import text_of_words
from lookalike.ports.ocr import Ocr
from lookalike.wiring.evaluation import commit_of

HERE = Path(__file__).parent
RAPID = [
    *((640, 960), (640, 1280), (960, 960), (960, 1280), (960, 1600), (960, 2000)),
    *((1280, 1280), (1280, 1600)),
]
TESSERACT = [("3", 960), ("3", 1600), ("3", 2000), ("11", 1600), ("12", 1600)]
SWEPT_RECEIPTS = 4
NOTE = (
    "scenes have words that are too small for a transcript and count as wrong when they are "
    "read; two pictures are pages, so their figures say little"
)


@dataclass(slots=True)
class Tally:
    """Words of one kind of picture, and the CPU time it took to read them."""

    pictures: int = 0
    words: int = 0
    read: int = 0
    right: int = 0
    cpu_s: float = 0.0
    slowest_cpu_s: float = 0.0

    def figures(self) -> dict[str, object]:
        return {
            "recall": round(self.right / max(self.words, 1), 3),
            "precision": round(self.right / max(self.read, 1), 3),
            "cpu_ms_a_picture": round(1000 * self.cpu_s / max(self.pictures, 1)),
            **{k: v for k, v in asdict(self).items() if k not in ("cpu_s",)},
            "slowest_cpu_s": round(self.slowest_cpu_s, 2),
        }


def is_reported(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def words_of(text: str) -> Counter[str]:
    words = ("".join(filter(str.isalnum, word)) for word in text.casefold().split())
    return Counter(word for word in words if word)


def examples(data: Path) -> Iterator[tuple[str, str, np.ndarray, Counter[str]]]:
    """Yield name, kind, pixels and true words of each picture that has a transcript."""
    for line in (data / "ocr/labels.jsonl").read_text().splitlines():
        label = json.loads(line)
        truth = words_of(" ".join(label["texts"]))
        if truth:
            with Image.open(data / "ocr" / label["file"]) as image:
                yield label["file"], label["kind"], np.asarray(image.convert("RGB")), truth


def cpu_s() -> float:
    own, children = (
        resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measure(ocr: Ocr, pictures: list) -> dict[str, dict[str, object]]:
    tallies: dict[str, Tally] = defaultdict(Tally)
    ocr.read(np.full((64, 64, 3), 255, np.uint8))
    for _, kind, pixels, truth in pictures:
        start = cpu_s()
        said = words_of(text_of_words(ocr.read(pixels)))
        spent = cpu_s() - start
        for tally in (tallies[kind], tallies["all"]):
            tally.pictures += 1
            tally.words += truth.total()
            tally.read += said.total()
            tally.right += (truth & said).total()
            tally.cpu_s += spent
            tally.slowest_cpu_s = max(tally.slowest_cpu_s, spent)
    return {kind: tally.figures() for kind, tally in sorted(tallies.items())}


def on_nothing(ocr: Ocr) -> dict[str, dict[str, object]]:
    """Words and CPU time of pictures of 1600 × 1200 without text."""
    y, x = np.mgrid[:1200, :1600]
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
    result = {}
    for name, picture in (
        ("noise", noise),
        ("board of 4", np.repeat((((y // 4 + x // 4) % 2) * 255)[:, :, None], 3, axis=2)),
        ("board of 32", np.repeat((((y // 32 + x // 32) % 2) * 255)[:, :, None], 3, axis=2)),
        ("white", noise | 255),
    ):
        start = cpu_s()
        words = ocr.read(picture.astype(np.uint8))
        result[name] = {"words": len(words), "cpu_ms": round(1000 * (cpu_s() - start))}
    return result


def sweep(pictures: list) -> dict[str, object]:
    """Both readers at several sizes, on the half that settings are chosen on."""
    result = {}
    for find_side, side in RAPID:
        reader = RapidOcr(threads=1, side=side, find_side=find_side)
        result[f"rapidocr found at {find_side}, read at {side}"] = measure(reader, pictures)
    for layout, side in TESSERACT:
        ocr_tesseract._LAYOUT = layout
        reader = TesseractOcr(side=side)
        result[f"tesseract psm {layout} at {side}"] = measure(reader, pictures)
    return result


def quantised(pictures: list) -> dict[str, object]:
    """RapidOCR with its models' weights in 8 bits, activations quantised as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    package = Path(find_spec("rapidocr").origin).parent / "models"
    result = {"as packaged": measure(RapidOcr(threads=1), pictures)}
    for name, roles, kinds in (
        ("reader's matrices in int8", ("rec",), ["MatMul"]),
        ("reader in int8", ("rec",), None),
        ("finder in int8", ("det",), None),
    ):
        with tempfile.TemporaryDirectory() as folder:
            for file in package.glob("*.onnx"):
                target = Path(folder) / file.name
                if any(f"_{role}_" in file.name for role in roles):
                    quantize_dynamic(
                        file, target, weight_type=QuantType.QUInt8, op_types_to_quantize=kinds
                    )
                else:
                    shutil.copy(file, target)
            result[name] = measure(RapidOcr(threads=1, models=Path(folder)), pictures)
    return result


def table(result: dict[str, dict[str, dict[str, object]]]) -> None:
    for name, kinds in result.items():
        for kind, row in kinds.items():
            print(
                f"{name:42} {kind:12} recall {row['recall']:.3f} precision {row['precision']:.3f}"
                f" {row['cpu_ms_a_picture']:6} ms"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--int8", action="store_true")
    options = parser.parse_args()
    pictures = list(examples(options.data))
    chosen = [p for p in pictures if not is_reported(p[0])]
    reported = [p for p in pictures if is_reported(p[0])]
    head = {"machine": platform.machine(), "commit": commit_of(), "threads": 1, "note": NOTE}
    if options.sweep:
        receipts = [p for p in chosen if p[1] == "receipt"][:SWEPT_RECEIPTS]
        result = sweep([p for p in chosen if p[1] != "receipt"] + receipts)
        table(result)
        (HERE / "sweep.json").write_text(json.dumps(head | {"chosen_on": result}, indent=1) + "\n")
        return
    if options.int8:
        receipts = [p for p in chosen if p[1] == "receipt"][:SWEPT_RECEIPTS]
        result = quantised([p for p in chosen if p[1] != "receipt"] + receipts)
        table(result)
        (HERE / "int8.json").write_text(json.dumps(head | {"chosen_on": result}, indent=1) + "\n")
        return
    readers = {"rapidocr": RapidOcr(threads=1), "tesseract": TesseractOcr()}
    result = {}
    for name, reader in readers.items():
        result[f"{name}, reported half"] = measure(reader, reported)
        result[f"{name}, half chosen on"] = measure(reader, chosen)
    table(result)
    head["on_nothing"] = {name: on_nothing(reader) for name, reader in readers.items()}
    head["readers"] = {name: reader.fingerprint for name, reader in readers.items()}
    (HERE / "ocr.json").write_text(json.dumps(head | result, indent=1) + "\n")


if __name__ == "__main__":
    main()
