"""Check that modules and functions stay small enough to read at one sitting.

Run: python -m tools.check_sizes
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.repository import ROOT, list_files, relative

MODULE_LINES = 400
FUNCTION_LINES = 60
FLOORS = ("src", "tools", "demo", "services")

# A table of learned or looked-up values is not code to read.
EXEMPT_MODULES = frozenset({"src/lookalike/imaging/kind_weights.py"})


def find_faults(path: Path, name: str) -> Iterator[str]:
    """Yield what is too long in one module; docstrings count, blank lines too."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > MODULE_LINES and name not in EXEMPT_MODULES:
        yield f"{name}: {lines} lines, at most {MODULE_LINES}"
    for node in ast.walk(ast.parse(text, filename=name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                place = f"{name}:{node.lineno}: {node.name}"
                yield f"{place} has {length} lines, at most {FUNCTION_LINES}"


def main() -> int:
    """Check every module of the floors."""
    paths = [p for p in list_files(".py") if p.relative_to(ROOT).parts[0] in FLOORS]
    faults = [fault for path in paths for fault in find_faults(path, relative(path))]
    print("\n".join(faults) or f"sizes: {len(paths)} modules within {MODULE_LINES} lines")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
