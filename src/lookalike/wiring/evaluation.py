"""Measuring retrieval on a labelled dataset, through an index made for it."""

from __future__ import annotations

import datetime as dt
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.filters import ASPECTS, SIZES, TYPES, Filter, matches, one_of
from lookalike.domain.images import COLOR_NAMES, Source
from lookalike.domain.queries import Query, TextPart
from lookalike.evaluation.datasets import Dataset, load_dataset
from lookalike.evaluation.metrics import evaluate_run
from lookalike.evaluation.outcomes import Measured, Measuring
from lookalike.evaluation.reports import Report, Table, describe_machine
from lookalike.evaluation.scoring import Task, cut_run, evaluate, summary_table
from lookalike.ports.source import SourceItem
from lookalike.settings.features import NO_FEATURES
from lookalike.wiring.embedded import OpenOptions, open_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lookalike.engine.engine import Engine
    from lookalike.engine.reports import OnProgress
    from lookalike.evaluation.metrics import Qrels, Run
    from lookalike.evaluation.scoring import Evaluation

K: Final = 10
RECALLS: Final = ("recall@1", "recall@5", "recall@10")
CLASS_METRICS: Final = ("precision@10", "recall@10", "ap")
PAGE: Final = 1000
FILTERED_K: Final = 20
TEXT_TO_IMAGE: Final = "text→image"
CLASS_WORDS: Final = "class words"


@dataclass(frozen=True, slots=True)
class _Asking:
    """An index of a dataset, the ids of its files, and the first file of each id."""

    engine: Engine
    dataset: Dataset
    ids: Mapping[str, str]
    files: Mapping[str, str]
    measuring: Measuring

    @property
    def has_words(self) -> bool:
        """Tell whether words can be searched for."""
        return self.engine.encoder is not None and self.engine.encoder.has_text

    def judged(self, qrels: Qrels) -> dict[str, dict[str, int]]:
        """Return judgements of the files that are indexed; of the same bytes the first file."""
        kept = {
            query: {self.files[self.ids[file]]: grade for file, grade in judged.items()
                    if file in self.ids}
            for query, judged in qrels.items()
        }  # fmt: skip
        return {query: judged for query, judged in kept.items() if judged}

    def answers(self, words: str, depth: int) -> dict[str, float]:
        """Return the files that a search by words finds, with their scores."""
        found = _search(self.engine, words, depth)
        return {self.files[image]: score for image, score in found.items()}


def measure(
    folder: Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    encoder: str | None = None,
    measuring: Measuring | None = None,
    on_progress: OnProgress | None = None,
) -> Measured:
    """Index a dataset's pictures without any words, search them, and score the answers.

    The encoder alone answers: nothing is looked for in the pictures.
    """
    measuring = measuring or Measuring()
    depth = measuring.asked_depth
    dataset = load_dataset(folder, split=split, limit=limit)
    with tempfile.TemporaryDirectory(prefix="lookalike-eval-") as scratch:
        options = OpenOptions(encoder=encoder, is_creating=True, features=NO_FEATURES)
        with open_index(Path(scratch) / "index", options) as engine:
            ingest = engine.index([UnnamedPictures(dataset)], on_progress=on_progress)
            ids = ids_by_file(engine, dataset)
            files = {image: file for file, image in reversed(ids.items())}
            asking = _Asking(engine, dataset, ids, files, measuring)
            metrics: dict[str, float] = {}
            asked = [_measure_captions(asking, metrics), _measure_classes(asking, metrics)]
            filters = _measure_filters(engine, metrics)
            bundle = engine.encoder.bundle if engine.encoder else None
    name = measuring.name or (bundle.name if bundle else dataset.name)
    pairs = [pair for pair in asked if pair is not None]
    evaluations = [_evaluated(task, run, name, measuring) for task, run in pairs]
    summaries = {one.task.name: summary_table(one) for one in evaluations}
    retrieval = Table(("measure", "value"), list(metrics.items()))
    report = Report(
        name=dataset.name,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        commit=commit_of(),
        seed=measuring.seed,
        machine=describe_machine(),
        metrics=metrics,
        tables={"retrieval": retrieval, **summaries, "filters": filters},
        settings={
            "split": split,
            "images": ingest.added,
            "refused": dict(ingest.failed),
            "captions": len(dataset.captions),
            "encoder": bundle.name if bundle else None,
            "encoder_fingerprint": bundle.fingerprint if bundle else None,
            "configuration": name,
            "depth": depth,
        },
    )
    return Measured(
        report,
        tuple(evaluations),
        run={query: answers for _, run in pairs for query, answers in run.items()},
        aliases={file: files[image] for file, image in ids.items()},
        notes=tuple(f"{n} pictures were refused: {why}" for why, n in ingest.failed.items()),
        depth=depth,
    )


def _evaluated(task: Task, run: Run, name: str, measuring: Measuring) -> Evaluation:
    return evaluate(task, run, measuring.metrics, configuration=name, seed=measuring.seed)


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


def _measure_captions(asking: _Asking, metrics: dict[str, float]) -> tuple[Task, Run] | None:
    dataset, engine = asking.dataset, asking.engine
    captions = dataset.captions
    qrels = asking.judged(dataset.caption_qrels())
    if not qrels or engine.encoder is None or not asking.has_words:
        return None
    depth = asking.measuring.asked_depth
    run = {name: asking.answers(captions[name], depth) for name in qrels}
    _note(metrics, TEXT_TO_IMAGE, evaluate_run(qrels, run, RECALLS))
    vectors = engine.encoder.encode_texts(list(captions.values()))
    names = list(captions)
    back = {image: judged for image, judged in dataset.image_qrels().items() if image in asking.ids}
    run_back = {image: _best_captions(engine, asking.ids[image], vectors, names) for image in back}
    scored = evaluate_run(
        back, run_back, [metric.replace("recall", "success") for metric in RECALLS]
    )
    _note(
        metrics, "image→text", {name.replace("success", "recall"): v for name, v in scored.items()}
    )
    return Task(TEXT_TO_IMAGE, qrels, captions, is_complete=True), run


def _best_captions(
    engine: Engine, image: str, vectors: np.ndarray, names: Sequence[str]
) -> dict[str, float]:
    row = engine.stores.catalog.rows_of([engine.resolve(image)])[engine.resolve(image)]
    scores = vectors @ engine.stores.vectors.fetch(np.asarray([row], dtype=np.int64))[0]
    best: list[int] = np.argpartition(-scores, min(K, len(scores) - 1))[:K].tolist()
    return {names[at]: float(scores[at]) for at in best}


def _measure_classes(asking: _Asking, metrics: dict[str, float]) -> tuple[Task, Run] | None:
    qrels = asking.judged(asking.dataset.class_qrels())
    if not qrels or not asking.has_words:
        return None
    depth = min(PAGE, max(K, len(asking.dataset.images), asking.measuring.asked_depth))
    run = {label: asking.answers(label, depth) for label in qrels}
    _note(metrics, CLASS_WORDS, evaluate_run(qrels, run, CLASS_METRICS))
    hits = [next(iter(run[label]), "") in files for label, files in qrels.items()]
    metrics["class words precision@1"] = float(np.mean(hits))
    cut = cut_run(run, asking.measuring.asked_depth)
    return Task(CLASS_WORDS, qrels, {label: label for label in qrels}, is_complete=True), cut


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
