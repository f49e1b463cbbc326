"""Tables of scores by query as files, and scores read back from them or from a report."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from lookalike.domain.errors import UsageError
from lookalike.evaluation.reports import Table
from lookalike.evaluation.scoring import Scores
from lookalike.evaluation.trec import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lookalike.evaluation.reports import Cell

TABLE: Final = "by query"
"""Under this name a report holds its table of scores by query."""

SUFFIXES: Final = (".csv", ".jsonl", ".json")
_ABOUT: Final = ("task", "query", "text", "relevant", "answered", "unjudged")
_HINT: Final = "compare with a run (--save-run), or with what --per-query or --out wrote"


def write_per_query(table: Table, path: Path) -> None:
    """Write a table as CSV, or as JSON lines, by the ending of the name; whole or not at all.

    Raises:
        UsageError: the name ends otherwise.
    """
    check_ending(path)
    text = _csv(table) if path.suffix.lower() == ".csv" else _json_lines(table)
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8", newline="")
    partial.replace(path)


def check_ending(path: Path) -> None:
    """Refuse the name of a table that ends otherwise than in .csv or .jsonl.

    Raises:
        UsageError: it does.
    """
    if path.suffix.lower() not in {".csv", ".jsonl"}:
        raise UsageError(f"{path} is neither .csv nor .jsonl", hint="name the file so")


def read_scores(path: Path) -> list[Scores]:
    """Read the scores of every task in a table by query or a report.

    Raises:
        UsageError: the file cannot be read, or holds no scores by query.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
        if path.suffix.lower() == ".csv":
            return _scores(list(csv.DictReader(io.StringIO(text, newline=""))), path.stem)
        if path.suffix.lower() == ".jsonl":
            return _scores(list(_objects(text)), path.stem)
        return _of_report(json.loads(text))
    except UsageError:
        raise
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        detail = f"{type(error).__name__}: {error}"
        raise UsageError(f"{path} holds no scores by query ({detail})", hint=_HINT) from error


def _csv(table: Table) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return file.getvalue()


def _json_lines(table: Table) -> str:
    rows = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    yield from (json.loads(line) for line in text.split("\n") if line.strip())


def _of_report(document: Any) -> list[Scores]:
    table = document["tables"][TABLE]
    columns = cast("Sequence[str]", table["columns"])
    rows = [
        dict(zip(columns, row, strict=True))
        for row in cast("Sequence[Sequence[Cell]]", table["rows"])
    ]
    return _scores(rows, str(document["settings"].get("configuration") or document["name"]))


def _scores(rows: Sequence[Mapping[str, Any]], configuration: str) -> list[Scores]:
    if not rows:
        raise ValueError("there are no rows")
    metrics = tuple(name for name in rows[0] if name not in _ABOUT)
    tasks: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        values = [float(row[name]) for name in metrics]
        if not all(math.isfinite(value) and 0.0 <= value <= 1.0 for value in values):
            raise ValueError(f"a score of {row['query']} lies outside of 0 to 1")
        tasks.setdefault(str(row["task"]), {})[str(row["query"])] = values
    return [
        Scores(configuration, task, tuple(queries), metrics, np.array(list(queries.values())))
        for task, queries in tasks.items()
    ]
