"""Measuring retrieval on a labelled dataset, through an index made for it."""

from __future__ import annotations

import datetime as dt
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.filters import ASPECTS, SIZES, TYPES, Filter, matches, one_of
from lookalike.domain.images import COLOR_NAMES, Source
from lookalike.domain.queries import Query, TextPart
from lookalike.evaluation.datasets import Dataset, load_dataset
from lookalike.evaluation.metrics import evaluate_run
from lookalike.evaluation.reports import Report, Table, describe_machine
from lookalike.ports.source import SourceItem
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, open_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lookalike.engine.engine import Engine
    from lookalike.engine.reports import OnProgress

K: Final = 10
RECALLS: Final = ("recall@1", "recall@5", "recall@10")
CLASS_METRICS: Final = ("precision@10", "recall@10", "ap")
PAGE: Final = 1000
FILTERED_K: Final = 20


def measure(
    folder: Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    encoder: str | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Index a dataset's pictures without any words, search them, and score the answers.

    The encoder alone answers: nothing is looked for in the pictures.
    """
    dataset = load_dataset(folder, split=split, limit=limit)
    with tempfile.TemporaryDirectory(prefix="lookalike-eval-") as scratch:
        options = OpenOptions(encoder=encoder, is_creating=True, features=NO_FEATURES)
        with open_index(Path(scratch) / "index", options) as engine:
            ingest = engine.index([UnnamedPictures(dataset)], on_progress=on_progress)
            ids = ids_by_file(engine, dataset)
            metrics: dict[str, float] = {}
            tables: dict[str, Table] = {}
            _measure_captions(engine, dataset, ids, metrics)
            _measure_classes(engine, dataset, ids, metrics)
            tables["filters"] = _measure_filters(engine, metrics)
            bundle = engine.encoder.bundle if engine.encoder else None
    if metrics:
        rows = list(metrics.items())
        tables = {"retrieval": Table(("measure", "value"), rows), **tables}
    return Report(
        name=dataset.name,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        commit=commit_of(),
        seed=0,
        machine=describe_machine(),
        metrics=metrics,
        tables=tables,
        settings={
            "split": split,
            "images": ingest.added,
            "refused": dict(ingest.failed),
            "captions": len(dataset.captions),
            "encoder": bundle.name if bundle else None,
            "encoder_fingerprint": bundle.fingerprint if bundle else None,
        },
    )


class UnnamedPictures:
    """The dataset's pictures under names that say nothing of them."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self._dataset.name

    @property
    def prefix(self) -> str | None:
        """No uri is covered whole."""
        return None

    def count(self) -> int | None:
        """How many pictures there are."""
        return len(self._dataset.images)

    def items(self) -> Iterator[SourceItem]:
        """Yield each picture under its number."""
        for number, image in enumerate(self._dataset.images):
            licence = str(image.extra.get("licence_id") or "unknown").lower()
            yield SourceItem(Source(f"/{number}", licence=licence), "path", path=image.path)


def ids_by_file(engine: Engine, dataset: Dataset) -> dict[str, str]:
    """Return the id under which each file is found; files with the same bytes share one."""
    uris = [f"/{number}" for number in range(len(dataset.images))]
    states = engine.stores.catalog.source_states(uris)
    return {
        image.file: state.image
        for uri, image in zip(uris, dataset.images, strict=True)
        if (state := states.get(uri)) is not None and state.image is not None
    }


def _measure_captions(
    engine: Engine, dataset: Dataset, ids: Mapping[str, str], metrics: dict[str, float]
) -> None:
    captions = dataset.captions
    if not captions or engine.encoder is None or not engine.encoder.has_text:
        return
    qrels = {
        name: {ids[file]: 1 for file in files} for name, files in dataset.caption_qrels().items()
    }
    run = {name: _search(engine, captions[name], K) for name in qrels}
    _note(metrics, "text→image", evaluate_run(qrels, run, RECALLS))
    vectors = engine.encoder.encode_texts(list(captions.values()))
    names = list(captions)
    run_back = {
        image: _best_captions(engine, ids[image], vectors, names) for image in dataset.image_qrels()
    }
    scored = evaluate_run(
        dataset.image_qrels(), run_back, [metric.replace("recall", "success") for metric in RECALLS]
    )
    _note(
        metrics, "image→text", {name.replace("success", "recall"): v for name, v in scored.items()}
    )


def _best_captions(
    engine: Engine, image: str, vectors: np.ndarray, names: Sequence[str]
) -> dict[str, float]:
    row = engine.stores.catalog.rows_of([engine.resolve(image)])[engine.resolve(image)]
    scores = vectors @ engine.stores.vectors.fetch(np.asarray([row], dtype=np.int64))[0]
    best: list[int] = np.argpartition(-scores, min(K, len(scores) - 1))[:K].tolist()
    return {names[at]: float(scores[at]) for at in best}


def _measure_classes(
    engine: Engine, dataset: Dataset, ids: Mapping[str, str], metrics: dict[str, float]
) -> None:
    qrels = {
        label: {ids[file]: 1 for file in files if file in ids}
        for label, files in dataset.class_qrels().items()
    }
    if not qrels or engine.encoder is None or not engine.encoder.has_text:
        return
    depth = min(PAGE, max(K, len(dataset.images)))
    run = {label: _search(engine, label, depth) for label in qrels}
    _note(metrics, "class words", evaluate_run(qrels, run, CLASS_METRICS))
    hits = [next(iter(run[label]), "") in files for label, files in qrels.items()]
    metrics["class words precision@1"] = float(np.mean(hits))


def _search(engine: Engine, words: str, k: int) -> dict[str, float]:
    result = engine.search(Query(texts=(TextPart(words),), k=k, deadline_ms=60_000))
    return {str(hit.record.id): hit.score for hit in result.hits}


def _measure_filters(engine: Engine, metrics: dict[str, float]) -> Table:
    """Compare every filter's answer with what the records themselves say."""
    records = list(engine.stores.catalog.all_records())
    licences = sorted({licence for record in records for licence in record.licences})
    wanted = [
        ("type", TYPES), ("color", COLOR_NAMES), ("size", SIZES), ("aspect", ASPECTS),
        ("licence", tuple(licences)),
    ]  # fmt: skip
    rows: list[tuple[str, int, float, float, float]] = []
    for field, values in wanted:
        for value in values:
            filter_ = Filter((one_of(field, value),))
            expected = {str(record.id) for record in records if matches(record, filter_)}
            found = set(_listing(engine, filter_))
            both = len(expected & found)
            precision = both / len(found) if found else float(not expected)
            recall = both / len(expected) if expected else float(not found)
            asked = _complete(engine, filter_, expected)
            rows.append((f"{field}:{value}", len(expected), precision, recall, asked))
    metrics["filter precision (least)"] = min(row[2] for row in rows)
    metrics["filter recall (least)"] = min(row[3] for row in rows)
    metrics["filtered search complete (least)"] = min(row[4] for row in rows)
    return Table(("filter", "images", "precision", "recall", "filtered search"), rows)


def _complete(engine: Engine, filter_: Filter, expected: set[str]) -> float:
    """Return the share of the hits due to a search by words under a filter that came."""
    if not expected or engine.encoder is None or not engine.encoder.has_text:
        return 1.0
    words = (TextPart("a photograph"),)
    hits = engine.search(Query(texts=words, filter=filter_, k=FILTERED_K)).hits
    right = sum(hit.record.id in expected for hit in hits)
    return right / max(len(hits), min(FILTERED_K, len(expected)))


def _listing(engine: Engine, filter_: Filter) -> Iterator[str]:
    cursor = None
    while True:
        result = engine.search(Query(filter=filter_, k=PAGE, cursor=cursor))
        yield from (hit.record.id for hit in result.hits)
        cursor = result.next
        if cursor is None:
            return


def _note(metrics: dict[str, float], name: str, scores: Mapping[str, float]) -> None:
    metrics.update({f"{name} {metric}": value for metric, value in scores.items()})


def commit_of() -> str:
    """Return the revision of the working copy, or `unknown` outside of one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607 - git from the path
            cwd=Path(__file__).parent, capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
