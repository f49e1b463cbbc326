"""The photographs that the repository carries."""

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "samples" / "images"


def sample(name):
    """Return the bytes of a sample photograph."""
    return (_FOLDER / name).read_bytes()


def names():
    """Return the names of the sample photographs, in order."""
    return sorted(path.name for path in _FOLDER.iterdir() if path.suffix == ".jpg")
