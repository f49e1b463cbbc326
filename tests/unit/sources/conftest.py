"""Pictures that are only told by their first bytes: sources never decode."""

from pathlib import Path

import pytest

JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 60


@pytest.fixture
def touch(tmp_path):
    """Write files below tmp_path; return the folder."""

    def write(*names, data=JPEG):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path

    return write


@pytest.fixture
def below(tmp_path):
    """Return the uris of items relative to tmp_path, in their order."""

    def names(items, folder: Path = tmp_path):
        return [item.source.uri.removeprefix(f"{folder}/") for item in items]

    return names
