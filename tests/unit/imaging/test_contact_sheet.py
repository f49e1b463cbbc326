"""Contact sheets."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.imaging.contact_sheet import (
    Section,
    SheetStyle,
    Tile,
    contact_sheet,
    sections_sheet,
    set_type,
    to_png,
)
from tests.unit.imaging import pictures


def test_a_sheet_shows_its_tiles(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(pictures.files()["png"])
    tiles = [
        Tile(path, "a bridge", "0.91 · cc0"),
        Tile(pictures.files()["jpeg"], "Ähnlich: Москва 日本", is_marked=True),
        Tile(b"broken", "not there"),
        Tile(tmp_path / "missing.png", "x" * 500),
    ]
    sheet = contact_sheet(tiles, title="Lookalike", columns=3)
    assert sheet.width < 800
    assert np.asarray(sheet).std() > 5
    assert Image.open(io.BytesIO(to_png(sheet))).size == sheet.size


def test_sections_and_scale() -> None:
    tile = Tile(pictures.scene(), "a")
    sections = [Section("first", [tile] * 7, "7 hits"), Section("nothing found", [])]
    plain = sections_sheet(sections, style=SheetStyle(columns=4))
    sharp = sections_sheet(sections, style=SheetStyle(columns=4, scale=2))
    assert abs(sharp.width - 2 * plain.width) < 8
    assert sections_sheet([]).height > 0


def test_every_line_can_be_drawn() -> None:
    assert set_type("plain\ntext\x07 “quoted” …", 14)[0] == "plain text “quoted” …"
    line, font = set_type("Ähnlich wie Köln", 14)
    assert font.getlength(line) > 0
    assert "hnlich" in line
