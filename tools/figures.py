"""Keep measured figures in documents equal to the files they come from.

A figure stands between two comments:

    <!-- from: eval/flickr8k-dev.json#metrics.recall@10 | .3f -->0.661<!-- /from -->

The part after `#` is a path of keys and list positions (in quotes where a key holds dots or
spaces); after `|` may stand a format. A value `{"columns": […], "rows": [[…]]}` becomes a table,
any other a word; `#report.NAME` gives the table of that name in a report of `lookalike eval`, with
a line that says where and when it was measured. Where the file does not exist, nothing may stand
between the comments, so that no figure is ever invented.

Run: python -m tools.figures --write | --check
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from tools.repository import ROOT, list_files

BLOCK = re.compile(
    r"^```.*?^```|"  # code shows what a figure looks like, and holds none
    r"(?P<open><!-- from: (?P<file>[^#\s]+)#(?P<path>(?:\"[^\"]*\"|[^\s|\"])+)"
    r"(?: \| (?P<format>\S+))? -->)"
    r"(?P<body>.*?)(?P<close><!-- /from -->)",
    re.DOTALL | re.MULTILINE,
)


class FigureError(Exception):
    """A figure names a path that its file does not have."""


def look_up(document: Any, path: str) -> Any:
    """Return the value at a dotted path; a quoted key may hold dots."""
    value = document
    for key in re.findall(r'"[^"]+"|[^.]+', path):
        name = key.strip('"')
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise FigureError(f"there is no {path} (stopped at {name})") from error
    return value


def render(value: Any, format_: str | None) -> str:
    """Return the Markdown of a value."""
    if isinstance(value, dict) and {"columns", "rows"} <= value.keys():
        return "\n" + _table(value["columns"], value["rows"], format_) + "\n"
    return _word(value, format_)


def _body(document: Any, path: str, format_: str | None) -> str:
    if not path.startswith("report."):
        return render(look_up(document, path), format_)
    table = render(look_up(document, "tables" + path.removeprefix("report")), format_)
    machine = look_up(document, "machine")
    about = (
        f"{document['name']}, measured {document['date']} at commit {document['commit']}, "
        f"seed {document['seed']}, on {machine['cpu']} ({machine['cores']} cores):"
    )
    return f"\n{about}\n{table}"


def _table(columns: list[str], rows: list[list[Any]], format_: str | None) -> str:
    numeric = [
        all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(columns))
    ]
    lines = ["| " + " | ".join(columns) + " |"]
    lines.append("|" + "|".join("---:" if right else "---" for right in numeric) + "|")
    lines += ["| " + " | ".join(_word(cell, format_) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _word(value: Any, format_: str | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, float) or (format_ and isinstance(value, int)):
        return format(value, format_ or ".3f")
    return f"{value:,}" if isinstance(value, int) else str(value)


def fill(text: str, root: Path) -> str:
    """Return a document with every figure taken from its file."""

    def fill_one(match: re.Match[str]) -> str:
        if match["file"] is None:
            return match[0]
        source = root / match["file"]
        if not source.exists():
            return match["open"] + match["close"]
        document = json.loads(source.read_text(encoding="utf-8"))
        try:
            body = _body(document, match["path"], match["format"])
        except FigureError as error:
            raise FigureError(f"{match['file']}: {error}") from error
        return match["open"] + body + match["close"]

    return BLOCK.sub(fill_one, text)


def check(documents: list[Path], root: Path, *, is_written: bool) -> list[str]:
    """Return what is wrong with the figures, after writing them where asked."""
    faults: list[str] = []
    for document in documents:
        text = document.read_text(encoding="utf-8")
        try:
            filled = fill(text, root)
        except FigureError as error:
            faults.append(f"{document.relative_to(root)}: {error}")
            continue
        if filled != text and is_written:
            document.write_text(filled, encoding="utf-8")
        elif filled != text:
            faults.append(f"{document.relative_to(root)}: figures are out of date: run make fix")
    return faults


def main(arguments: list[str]) -> int:
    """Write or check the figures of every Markdown document."""
    documents = [p for p in list_files(".md") if "tests" not in p.relative_to(ROOT).parts]
    faults = check(documents, ROOT, is_written="--write" in arguments)
    texts = [p.read_text(encoding="utf-8") for p in documents]
    count = sum(m["file"] is not None for text in texts for m in BLOCK.finditer(text))
    print("\n".join(faults) or f"figures: {count} blocks in {len(documents)} documents")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
