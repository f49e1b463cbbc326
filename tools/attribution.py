"""Generate samples/ATTRIBUTION.md from samples/samples.jsonl, or check that it is up to date.

Run: python -m tools.attribution --write | --check
"""

import json
import sys
from collections import Counter

from tools.repository import ROOT, write_or_compare

TABLE = ROOT / "samples" / "samples.jsonl"
TARGET = ROOT / "samples" / "ATTRIBUTION.md"

# Others may be used here only if anyone may change and sell the picture.
ALLOWED = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "public-domain": "",
    "CC-BY-2.0": "https://creativecommons.org/licenses/by/2.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-2.0": "https://creativecommons.org/licenses/by-sa/2.0/",
    "CC-BY-SA-2.5": "https://creativecommons.org/licenses/by-sa/2.5/",
    "CC-BY-SA-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
}

HEAD = """# Who made the sample photographs

Generated from [samples.jsonl](samples.jsonl) by `make fix`; edit that file, not this one.

Each picture was scaled down and is used here under its own licence, which the licence of the code
does not change. For the pictures named `coco-…` the photographer is named at the linked page on
Flickr. Captions of those pictures are from the COCO annotations (COCO Consortium,
[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/)); the other descriptions were written
for Lookalike and are CC0.
"""


def read_samples() -> list[dict[str, object]]:
    """Return the rows of the table of samples."""
    return [json.loads(line) for line in TABLE.read_text(encoding="utf-8").splitlines()]


def find_faults(rows: list[dict[str, object]]) -> list[str]:
    """Name rows without a picture, pictures without a row, and licences that may not be here."""
    listed = [str(row["path"]) for row in rows]
    present = {f"images/{p.name}" for p in (ROOT / "samples" / "images").iterdir()}
    faults = [f"samples/{path}: listed twice" for path, n in Counter(listed).items() if n > 1]
    faults += [f"samples/{path}: listed, but not there" for path in set(listed) - present]
    faults += [f"samples/{path}: not listed in samples.jsonl" for path in present - set(listed)]
    for row in rows:
        if row["licence"] not in ALLOWED:
            faults.append(f"samples/{row['path']}: {row['licence']} is not an open licence")
        elif row["author"] == "unknown" and str(row["licence"]).startswith("CC-BY"):
            faults.append(f"samples/{row['path']}: {row['licence']} needs its author named")
    return sorted(faults)


def render(rows: list[dict[str, object]]) -> str:
    """Return the document."""
    counts = Counter(str(row["licence"]) for row in rows)
    lines = [HEAD, "| licence | pictures |", "|---|---:|"]
    lines += [f"| {_licence(name)} | {n} |" for name, n in sorted(counts.items())]
    lines += ["", "| picture | what it is | author | licence | from |", "|---|---|---|---|---|"]
    for row in rows:
        file = str(row["path"]).removeprefix("images/")
        title = _cell(str(row["title"] or row["alt_text"]))
        page = row["page_url"]
        origin = f"[page]({page})" if page else _cell(str(row["source"]))
        lines.append(
            f"| [{file}]({row['path']}) | {title} | {_cell(str(row['author']))} "
            f"| {_licence(str(row['licence']))} | {origin} |"
        )
    return "\n".join(lines) + "\n"


def _licence(name: str) -> str:
    url = ALLOWED.get(name, "")
    return f"[{name}]({url})" if url else name


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main(arguments: list[str]) -> int:
    """Write or check the document."""
    rows = read_samples()
    faults = find_faults(rows)
    faults += write_or_compare(
        TARGET, render(rows), is_written="--write" in arguments, remedy="make fix"
    )
    print("\n".join(faults) or f"attribution: {len(rows)} samples, each with a licence")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
