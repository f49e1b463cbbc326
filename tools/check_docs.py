"""Check that what the documents say holds: links, examples, and words that may not be there.

Run: python -m tools.check_docs
"""

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lookalike.settings import VARIABLES
from tools.cli_help import load_command, options_of, subcommands
from tools.repository import ROOT, list_files, relative

LINK = re.compile(r"!?\[[^\]]*\]\((?P<target><[^>]+>|[^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^```(?P<kind>\w*)[^\n]*\n(?P<body>.*?)^```", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(?P<title>.+?)\s*$", re.MULTILINE)

# A registry's host or somebody's own folder means nothing to the reader. Letters in brackets
# keep these patterns from finding themselves.
FORBIDDEN = (
    r"py[p]i\.org",
    r"python[h]osted\.org",
    r"registry\.np[m]js",
    r"static\.crates\.i[o]",
    r"proxy\.golan[g]",
    r"repo1?\.maven\.apach[e]",
    r"deb\.debia[n]\.org",
    r"(?<![\w.])/wor[k]/",
    r"(?<![\w.])/roo[t]/",
    r"(?<![\w.])/hom[e]/\w",
)
TEXT_SUFFIXES = frozenset(
    {".md", ".py", ".toml", ".txt", ".in", ".json", ".jsonl", ".yml", ".yaml", ".sh", ".html",
     ".css", ".js", ".cfg", ".ipynb", ".csv", ".svg", ""}
)  # fmt: skip
# Other people's words, kept as they were: vocabularies hold every word there is.
FOREIGN = ("src/lookalike/bundles/",)


def find_broken_links(document: Path, text: str) -> Iterator[str]:
    """Yield relative links that lead nowhere, and anchors that are no heading."""
    prose = FENCE.sub("", text)
    for match in LINK.finditer(prose):
        target = unquote(match["target"].strip("<>"))
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        place = (document.parent / name).resolve() if name else document
        if not place.exists():
            yield f"{relative(document)}: the link {target} leads nowhere"
        elif anchor and place.suffix == ".md":
            titles = HEADING.findall(FENCE.sub("", place.read_text(encoding="utf-8")))
            if anchor not in {anchor_of(title) for title in titles}:
                yield f"{relative(document)}: {target} is no heading of that document"


def anchor_of(title: str) -> str:
    """Return the anchor that a heading gets where the documents are shown."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def find_forbidden(path: Path, text: str) -> Iterator[str]:
    """Yield words that may not stand in the repository."""
    for pattern in FORBIDDEN:
        if found := re.search(pattern, text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{relative(path)}:{line}: {found[0]} may not be mentioned here"


def find_wrong_examples(document: str, text: str, command: Any) -> Iterator[str]:
    """Yield lines of `console` blocks that call a command or an option that does not exist."""
    for fence in FENCE.finditer(text):
        if fence["kind"] != "console":
            continue
        for line in _commands(fence["body"]):
            if fault := _fault_of(shlex.split(line, comments=True), command):
                yield f"{document}: `{line}`: {fault}"


def _commands(body: str) -> Iterator[str]:
    for line in body.replace("\\\n", " ").splitlines():
        bare = line.removeprefix("$ ").strip()
        if re.match(r"(\.venv/bin/)?lookalike\b", bare):
            yield re.split(r"\s(?:\||>|&&)\s", bare)[0]


def _fault_of(words: Iterable[str], command: Any) -> str | None:
    _, *rest = words
    accepted = options_of(command)
    for word in rest:
        below = subcommands(command)
        if word.startswith("-") and not re.match(r"-\d", word):
            if word.split("=")[0] not in accepted:
                return f"there is no option {word}"
        elif below:
            if word not in below:
                return f"there is no command {word}"
            command = below[word]
            accepted = accepted | options_of(command)
    return None


def find_undocumented_settings() -> Iterator[str]:
    """Yield variables that are read but not described in the README, and the other way round."""
    described = set(re.findall(r"^\| `(LOOKALIKE_\w+)` \|", _read_readme(), re.MULTILINE))
    for name in sorted(set(VARIABLES) ^ described):
        state = "not described" if name in VARIABLES else "described, but not read"
        yield f"README.md: {name} is {state}"


def _read_readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def main() -> int:
    """Check every document and every file of text."""
    faults = list(find_undocumented_settings())
    command = load_command()
    documents = list_files(".md")
    for document in documents:
        text = document.read_text(encoding="utf-8")
        faults += find_broken_links(document, text)
        if command is not None:
            faults += find_wrong_examples(relative(document), text, command)
    for path in list_files():
        if path.suffix in TEXT_SUFFIXES and not relative(path).startswith(FOREIGN):
            faults += find_forbidden(path, path.read_text(encoding="utf-8", errors="replace"))
    if (ROOT / "uv.lock").exists():
        faults.append("uv.lock names registries: keep requirements/ (docs/adr/0008)")
    print("\n".join(faults) or f"docs: {len(documents)} documents, every link and example holds")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
