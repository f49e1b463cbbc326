"""Where the repository is, and which files of it count."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def list_files(*suffixes: str) -> list[Path]:
    """Return the files that git keeps or would keep, by suffix (all when none is named).

    In an unpacked archive, which git knows nothing of, every file outside hidden folders.
    """
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    if listed.returncode == 0:
        names = listed.stdout.decode(errors="surrogateescape").split("\0")
        paths = [ROOT / name for name in names if name]
    else:
        paths = [p for p in ROOT.rglob("*") if not _is_hidden(p)]
    return [p for p in sorted(paths) if p.is_file() and (not suffixes or p.suffix in suffixes)]


def _is_hidden(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return any(part.startswith(".") or part in {"__pycache__", "build", "dist"} for part in parts)


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
