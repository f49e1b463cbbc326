"""Measuring answers against judgements in TREC form: those of an index, or of a run."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from lookalike.domain.errors import LookalikeError, UsageError
from lookalike.domain.images import ImageId, is_image_id
from lookalike.domain.query_language import parse_query
from lookalike.evaluation.outcomes import Measured
from lookalike.evaluation.per_query import TABLE
from lookalike.evaluation.reports import Report, describe_machine
from lookalike.evaluation.scoring import Task, cut_run, evaluate, query_table, summary_table
from lookalike.evaluation.trec import check_qrels, falling, read_qrels, read_queries, read_run
from lookalike.wiring.evaluation import commit_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from lookalike.domain.queries import Query
    from lookalike.engine.engine import Engine
    from lookalike.evaluation.metrics import Qrels
    from lookalike.evaluation.outcomes import Measuring
    from lookalike.evaluation.scoring import Evaluation

TASK: Final = "queries"
DEADLINE_MS: Final = 60_000.0
LEAST_PREFIX: Final = 4


@dataclass(frozen=True, slots=True)
class NamedImages:
    """The images that documents name; `ambiguous` names fit several images."""

    images: Mapping[str, ImageId]
    unknown: tuple[str, ...]
    ambiguous: tuple[str, ...]


def measure_run(qrels_file: Path, run_file: Path, measuring: Measuring) -> Measured:
    """Score a run against judgements; no index is asked.

    Raises:
        UsageError: a file is malformed, or they have no query in common.
    """
    qrels = read_qrels(qrels_file)
    check_qrels(qrels, qrels_file)
    file = read_run(run_file)
    run = cut_run(file.answers, measuring.depth)
    unjudged = len(set(run) - set(qrels))
    notes = [f"{unjudged} queries of the run have no judgements and are left out"] * bool(unjudged)
    missing = len(set(qrels) - set(run))
    if missing:
        notes.append(f"{missing} judged queries are not in the run and score 0")
    settings = {"qrels": qrels_file.name, "run": run_file.name, "depth": measuring.depth}
    evaluation = evaluate(
        Task(TASK, qrels), run, measuring.metrics,
        configuration=measuring.name or file.tag, seed=measuring.seed,
    )  # fmt: skip
    report = _report(evaluation, measuring, settings, notes)
    return Measured(report, (evaluation,), run, notes=tuple(notes), depth=measuring.depth)


def measure_index(
    engine: Engine,
    qrels_file: Path,
    queries_file: Path,
    measuring: Measuring,
) -> Measured:
    """Ask an index every query and score its answers against judgements.

    Raises:
        UsageError: a file is malformed, no query has judgements, or no judged document is an image
            of this index.
    """
    depth = measuring.asked_depth
    stated = read_qrels(qrels_file)
    check_qrels(stated, qrels_file)
    lines = read_queries(queries_file)
    texts = {query: line.text for query, line in lines.items()}
    asked = {
        query: _parse(queries_file, line.line, line.text, measuring, depth)
        for query, line in lines.items()
    }
    if not set(asked) & set(stated):
        hint = f"{queries_file.name} and {qrels_file.name} should name queries alike"
        raise UsageError("no query has judgements", hint=hint)
    engine.catch_up()
    named = name_images(engine, dict.fromkeys(d for judged in stated.values() for d in judged))
    if not named.images:
        hint = "documents are named by image id, a beginning of it, or file name"
        raise UsageError(f"no document of {qrels_file} is an image of this index", hint=hint)
    names = _names(named)
    aliases = {document: names[image] for document, image in named.images.items()} | names
    qrels = _judged_as(stated, aliases, asked)
    run, degraded = _answers(engine, asked, names)
    notes = [*_query_notes(stated, asked), *_name_notes(stated, named, names)]
    if degraded:
        notes.append(f"{degraded} answers were degraded: a path failed or was late")
    name = measuring.name or engine.location.rstrip("/").rpartition("/")[2]
    task = Task(TASK, qrels, texts)
    evaluation = evaluate(task, run, measuring.metrics, configuration=name, seed=measuring.seed)
    settings: dict[str, Any] = {
        "qrels": qrels_file.name, "queries": queries_file.name, "depth": depth,
        "images": len(engine), "index_id": engine.index_id, "collapsed": measuring.is_collapsed,
        "encoder": engine.encoder.bundle.name if engine.encoder else None,
    }  # fmt: skip
    report = _report(evaluation, measuring, settings, notes)
    return Measured(report, (evaluation,), run, aliases, tuple(notes), depth)


def name_images(engine: Engine, documents: Iterable[str]) -> NamedImages:
    """Return which images documents name: by id, by file name or end of a path, or by prefix."""
    wanted = list(documents)
    ids = [ImageId(one.lower()) for one in wanted if is_image_id(one.lower())]
    there = engine.stores.catalog.rows_of(ids)
    images = {one: ImageId(one.lower()) for one in wanted if one.lower() in there}
    rest = [one for one in wanted if not is_image_id(one.lower())]
    found = _by_file_name(engine, rest) if rest else {}
    ambiguous: list[str] = []
    for document in rest:
        fits: Sequence[ImageId] = sorted(found.get(document, ()))
        if not fits and _is_prefix(document):
            fits = engine.stores.catalog.ids_with_prefix(document.lower(), limit=2)
        if len(fits) == 1:
            images[document] = fits[0]
        elif fits:
            ambiguous.append(document)
    unknown = [one for one in wanted if one not in images and one not in set(ambiguous)]
    return NamedImages(images, tuple(unknown), tuple(ambiguous))


def _by_file_name(engine: Engine, documents: Sequence[str]) -> dict[str, set[ImageId]]:
    by_last: dict[str, list[str]] = defaultdict(list)
    for document in documents:
        by_last[_last(document)].append(document)
    found: dict[str, set[ImageId]] = defaultdict(set)
    for record in engine.stores.catalog.all_records():
        for source in record.sources:
            path = _path_of(source.uri)
            for document in by_last.get(_last(path), ()):
                if path == document or path.endswith(("/" + document, "#" + document)):
                    found[document].add(record.id)
    return found


def _path_of(uri: str) -> str:
    """Return what can end in a file name: of an address its path, without %-escapes."""
    if not uri.startswith(("http://", "https://")):
        return uri
    try:
        return unquote(urlsplit(uri).path)
    except ValueError:
        return uri


def _last(path: str) -> str:
    return path.rpartition("/")[2].rpartition("#")[2]


def _is_prefix(document: str) -> bool:
    return len(document) >= LEAST_PREFIX and not set(document.lower()) - set("0123456789abcdef")


def _parse(path: Path, line: int, text: str, measuring: Measuring, depth: int) -> Query:
    try:
        query = parse_query(text, k=depth, deadline_ms=DEADLINE_MS)
    except UsageError as error:
        _say_where(error, f"{path}:{line}")
        raise
    return replace(query, is_collapsed=measuring.is_collapsed)


def _say_where(error: LookalikeError, where: str) -> None:
    error.message = f"{where}: {error.message}"
    error.args = (error.message,)


def _answers(
    engine: Engine,
    queries: Mapping[str, Query],
    names: Mapping[str, str],
) -> tuple[dict[str, dict[str, float]], int]:
    """Return the answers by the names of judged images, else ids; and how many were degraded."""
    run: dict[str, dict[str, float]] = {}
    degraded = 0
    for name, query in queries.items():
        try:
            result = engine.search(query)
        except LookalikeError as error:
            _say_where(error, f"query {name}")
            raise
        degraded += bool(result.degraded)
        scores = falling([hit.score for hit in result.hits])
        ids = [str(hit.record.id) for hit in result.hits]
        run[name] = {names.get(one, one): score for one, score in zip(ids, scores, strict=True)}
    return run, degraded


def _names(named: NamedImages) -> dict[str, str]:
    """Return the first name of every judged image."""
    names: dict[str, str] = {}
    for document, image in named.images.items():
        names.setdefault(str(image), document)
    return names


def _judged_as(
    qrels: Qrels, aliases: Mapping[str, str], asked: Mapping[str, Query]
) -> dict[str, dict[str, int]]:
    """Return the judgements of what is asked; of two names of one image the better grade."""
    judged: dict[str, dict[str, int]] = {}
    for query in (one for one in qrels if one in asked):
        grades = judged.setdefault(query, {})
        for document, grade in qrels[query].items():
            name = aliases.get(document, document)
            grades[name] = max(grade, grades.get(name, grade))
    return judged


def _query_notes(qrels: Qrels, asked: Mapping[str, Query]) -> list[str]:
    notes: list[str] = []
    if unjudged := len(set(asked) - set(qrels)):
        notes.append(f"{unjudged} queries have no judgements; they are asked, but not scored")
    if unasked := len(set(qrels) - set(asked)):
        notes.append(f"{unasked} judged queries have no text and are left out")
    return notes


def _name_notes(qrels: Qrels, named: NamedImages, names: Mapping[str, str]) -> list[str]:
    total = len({document for judged in qrels.values() for document in judged})
    notes: list[str] = []
    if named.unknown:
        first = ", ".join(named.unknown[:3])
        notes.append(
            f"{len(named.unknown)} of {total} judged documents are not in this index and count as "
            f"not found ({first}{', …' if len(named.unknown) > 3 else ''})"
        )
    if named.ambiguous:
        first = ", ".join(named.ambiguous[:3])
        notes.append(
            f"{len(named.ambiguous)} of {total} judged documents fit several images and count as "
            f"not found ({first}{', …' if len(named.ambiguous) > 3 else ''})"
        )
    if twice := len(named.images) - len(names):
        notes.append(f"{twice} judged documents are other names of an image that is judged")
    return notes


def _report(
    evaluation: Evaluation, measuring: Measuring, settings: Mapping[str, Any], notes: list[str]
) -> Report:
    """Return the report, after a note on the queries that cannot be scored."""
    task, scores = evaluation.task, evaluation.scores
    if empty := len(task.qrels) - len(scores.queries):
        notes.append(f"{empty} judged queries have nothing relevant and are left out")
    return Report(
        name=str(settings["qrels"]).partition(".")[0],
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        commit=commit_of(),
        seed=measuring.seed,
        machine=describe_machine(),
        metrics=evaluation.means,
        tables={task.name: summary_table(evaluation), TABLE: query_table([evaluation])},
        settings={
            "configuration": scores.configuration, **settings, "scored": len(scores.queries),
            "unjudged_share": evaluation.unjudged_share, "notes": notes,
        },
    )  # fmt: skip
