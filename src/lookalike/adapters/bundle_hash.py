"""Hash a model file without holding it in memory."""

import hashlib
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Give a file's SHA-256 as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
