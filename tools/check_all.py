"""Run every check, all of them even when one fails, and say which failed.

Run: python -m tools.check_all [NAME...]
"""

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

from tools.repository import ROOT

BIN = Path(sysconfig.get_path("scripts"))
PYTHON = sys.executable

CHECKS: dict[str, list[str]] = {
    "lint": [str(BIN / "ruff"), "check", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "."],
    "types": [str(BIN / "basedpyright")],
    "floors": [str(BIN / "lint-imports")],
    "dependencies": [str(BIN / "deptry"), "src"],
    "sizes": [PYTHON, "-m", "tools.check_sizes"],
    "attribution": [PYTHON, "-m", "tools.attribution", "--check"],
    "help": [PYTHON, "-m", "tools.cli_help", "--check"],
    "decisions": [PYTHON, "-m", "tools.decisions", "--check"],
    "figures": [PYTHON, "-m", "tools.figures", "--check"],
    "docs": [PYTHON, "-m", "tools.check_docs"],
}


def run(names: list[str]) -> Iterator[str]:
    """Run the named checks in turn and yield those that failed."""
    for name in names:
        print(f"── {name}", flush=True)
        started = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        code = subprocess.run(CHECKS[name], cwd=ROOT, env=environment, check=False).returncode
        print(f"   {'ok' if code == 0 else 'FAILED'} in {time.perf_counter() - started:.1f} s")
        if code != 0:
            yield name


def main(arguments: list[str]) -> int:
    """Run the checks that are named, or all."""
    unknown = [name for name in arguments if name not in CHECKS]
    if unknown:
        print(f"there is no check {', '.join(unknown)}; known: {', '.join(CHECKS)}")
        return 2
    failed = list(run(arguments or list(CHECKS)))
    print(f"failed: {', '.join(failed)}" if failed else "every check passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
