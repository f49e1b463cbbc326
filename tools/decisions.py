"""List the decision records of docs/adr in docs/README.md, or check the list.

Run: python -m tools.decisions --write | --check
"""

import re
import sys

from tools.repository import ROOT, write_or_compare

TARGET = ROOT / "docs" / "README.md"
RECORD = re.compile(r"\d{4}-[a-z0-9-]+\.md")
TITLE = re.compile(r"^# (?P<title>.+)$", re.MULTILINE)
MARK = "## Decisions\n\nEach choice that had an alternative has half a page:\n\n"


def main(arguments: list[str]) -> int:
    """Write or check the list."""
    faults: list[str] = []
    lines: list[str] = []
    for path in sorted((ROOT / "docs" / "adr").glob("*.md")):
        title = TITLE.search(path.read_text(encoding="utf-8"))
        if RECORD.fullmatch(path.name) is None or title is None:
            faults.append(
                f"docs/adr/{path.name}: a record is named 0001-some-words.md and has a title"
            )
            continue
        words = re.sub(r"^(?:ADR[ -]?)?\d+[.:]?\s*(?:[–—-]\s*)?", "", title["title"])
        lines.append(f"- [{path.name[:4]}](adr/{path.name}) {words}")
    head = TARGET.read_text(encoding="utf-8").split("## Decisions\n")[0]
    text = head + MARK + "\n".join(lines) + "\n"
    faults += write_or_compare(TARGET, text, is_written="--write" in arguments, remedy="make fix")
    print("\n".join(faults) or f"decisions: {len(lines)} records listed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
