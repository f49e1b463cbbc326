"""Where the repository is, and which files of it count."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def list_files(*suffixes: str) -> list[Path]:
    """Return the files that git keeps or would keep, by suffix (all when none is named)."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode(errors="surrogateescape")
    paths = sorted({ROOT / name for name in listed.split("\0") if name})
    return [p for p in paths if p.is_file() and (not suffixes or p.suffix in suffixes)]


def relative(path: Path) -> str:
    """Return a path as it reads from the root of the repository."""
    return path.relative_to(ROOT).as_posix()


def write_or_compare(path: Path, text: str, *, is_written: bool, remedy: str) -> list[str]:
    """Write a generated file, or say that it is out of date."""
    known = path.read_text(encoding="utf-8") if path.exists() else None
    if known == text:
        return []
    if is_written:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {relative(path)}")
        return []
    return [f"{relative(path)} is out of date: run {remedy}"]
