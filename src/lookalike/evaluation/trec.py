"""Files of judgements, runs and queries in the forms that TREC's tools read.

Qrels hold `qid 0 docid grade` a line, runs `qid Q0 docid rank score tag`; queries are
`qid<TAB>text`, or JSON objects with `qid` and `text`. Columns stand between tabs, and then may hold
spaces, or between any white space.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from lookalike.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lookalike.evaluation.metrics import Qrels, Run

MOST_GRADE: Final = 30
"""Gains are 2^grade − 1, so a grade is a small number."""

_QREL_HINT: Final = "each line is: qid 0 docid grade"
_RUN_HINT: Final = "each line is: qid Q0 docid rank score tag"
_QUERY_HINT: Final = "each line is: qid, a tab, the query; or an object with qid and text"
_QUERY_IDS: Final = ("qid", "query_id", "_id", "id")
_QUERY_TEXTS: Final = ("text", "query")


@dataclass(frozen=True, slots=True)
class QueryLine:
    """The text of a query, and the line of the file that it stands in."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class RunFile:
    """A run, each query's documents best first, under the tag of its first line."""

    tag: str
    answers: Run


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Read grades by query and document; one below 0 counts as 0 in every measure.

    Raises:
        UsageError: the file cannot be read or is empty, or a line is malformed or said before.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        query, _, document, text = _columns(path, number, line, 4, _QREL_HINT)
        try:
            grade = int(text)
        except ValueError:
            raise _fault(path, number, f"{text!r} is not a grade", _QREL_HINT) from None
        if grade > MOST_GRADE:
            raise _fault(path, number, f"the grade {grade} is over {MOST_GRADE}", _QREL_HINT)
        judged = qrels.setdefault(query, {})
        if document in judged:
            fault = f"{document} was judged before for query {query}"
            raise _fault(path, number, fault, "keep one line for each query and document")
        judged[document] = grade
    return qrels


def read_run(path: Path) -> RunFile:
    """Read a run; documents fall in score, and those with equal scores rise in rank.

    Raises:
        UsageError: the file cannot be read or is empty, or a line is malformed, has a score that
            is no finite number, or names a document again.
    """
    ranked: dict[str, dict[str, tuple[float, int]]] = {}
    tag = ""
    for number, line in _lines(path):
        query, _, document, rank, score, name = _columns(path, number, line, 6, _RUN_HINT)
        tag = tag or name
        found = ranked.setdefault(query, {})
        if document in found:
            fault = f"{document} was answered before to query {query}"
            raise _fault(path, number, fault, "a run names a document once for each query")
        try:
            found[document] = (-float(score), int(rank))
        except ValueError:
            fault = f"{rank!r} and {score!r} are no rank and score"
            raise _fault(path, number, fault, _RUN_HINT) from None
        if not math.isfinite(found[document][0]):
            hint = "scores are finite numbers; look into what wrote the run"
            raise _fault(path, number, f"the score is {score}", hint)
    answers = {
        query: {document: -found[document][0] for document in sorted(found, key=found.__getitem__)}
        for query, found in ranked.items()
    }
    return RunFile(tag, answers)


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write a run, tabs between its columns, whole or not at all; each query's best is rank 1.

    Raises:
        UsageError: the name of a query or document holds a tab or the end of a line.
    """
    word = "-".join(tag.split()) or "run"
    partial = path.with_name(path.name + ".part")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        for query, answers in run.items():
            ranking = sorted(answers.items(), key=lambda one: -one[1])
            for rank, (document, score) in enumerate(ranking, 1):
                if any(mark in query + document for mark in "\t\n\r"):
                    partial.unlink()
                    fault = f"{query!r} or {document!r} holds a tab or a line's end"
                    raise UsageError(fault, hint="a run cannot hold such a name")
                file.write(f"{query}\tQ0\t{document}\t{rank}\t{score:.9g}\t{word}\n")
    partial.replace(path)


def falling(scores: Sequence[float]) -> list[float]:
    """Return scores of a ranking, best rank first, as float32 numbers that fall strictly.

    They stay what they are where they fall; one that does not is put just below the one before,
    so that readers who sort by score, trec_eval among them, find the same ranking.
    """
    fallen: list[float] = []
    last = np.float32(np.inf)
    for score in scores:
        last = min(np.float32(score), np.nextafter(last, np.float32(-np.inf)))
        fallen.append(float(last))
    return fallen


def read_queries(path: Path) -> dict[str, QueryLine]:
    """Read the texts of queries by their ids, from a table or, where named so, from JSON lines.

    Raises:
        UsageError: the file cannot be read or is empty, or a line is malformed or repeats an id.
    """
    queries: dict[str, QueryLine] = {}
    is_json = path.suffix.lower() in {".jsonl", ".ndjson", ".json"}
    for number, line in _lines(path):
        query, text = _json_query(path, number, line) if is_json else _table_query(line)
        if not query or not text:
            raise _fault(path, number, "there is no query here", _QUERY_HINT)
        if query in queries:
            fault = f"query {query} stands in line {queries[query].line} already"
            raise _fault(path, number, fault, "each query has an id of its own")
        queries[query] = QueryLine(text, number)
    return queries


def _table_query(line: str) -> tuple[str, str]:
    query, _, text = line.partition("\t")
    return query.strip(), text.strip()


def _json_query(path: Path, number: int, line: str) -> tuple[str, str]:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise _fault(path, number, f"it is no JSON ({error})", _QUERY_HINT) from error
    if not isinstance(row, dict):
        raise _fault(path, number, "it is no object", _QUERY_HINT)
    known = cast("Mapping[str, Any]", row)
    return _first(known, _QUERY_IDS), _first(known, _QUERY_TEXTS)


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str:
    value = next((row[name] for name in names if row.get(name) is not None), "")
    return str(value).strip() if isinstance(value, str | int) else ""


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that hold something, with their numbers."""
    is_empty = True
    for number, raw in enumerate(read_bytes(path).split(b"\n"), 1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
        except UnicodeDecodeError:
            raise _fault(path, number, "it is not UTF-8", "save the file as UTF-8") from None
        if line.strip():
            is_empty = False
            yield number, line
    if is_empty:
        raise UsageError(f"{path} is empty", hint="docs/evaluation.md shows what it should hold")


def read_bytes(path: Path) -> bytes:
    """Return what a file named by the user holds.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{path}: {reason}", hint="name a file that can be read") from error


def _columns(path: Path, number: int, line: str, count: int, hint: str) -> list[str]:
    for columns in ([column.strip() for column in line.split("\t")], line.split()):
        if len(columns) == count and all(columns):
            return columns
    raise _fault(path, number, f"there are {len(line.split())} columns, not {count}", hint)


def _fault(path: Path, number: int, fault: str, hint: str) -> UsageError:
    return UsageError(f"{path}:{number}: {fault}", hint=hint)


def check_qrels(qrels: Qrels, path: Path) -> None:
    """Refuse judgements that find nothing relevant.

    Raises:
        UsageError: no document has a grade above 0.
    """
    if not any(grade > 0 for judged in qrels.values() for grade in judged.values()):
        raise UsageError(f"{path} grades nothing above 0", hint="a relevant document has 1 or more")
