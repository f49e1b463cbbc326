"""The page tells which hit was chosen, where the server keeps clicks."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from lookalike.settings.clicks import ClickSettings
from lookalike.wiring.learning import recording
from lookalike.wiring.learning_open import open_learning
from lookalike.wiring.manifest import read_manifest, write_manifest
from tests.integration.served import SmallWeb, listening, open_toy

pytestmark = [pytest.mark.browser]


def test_a_chosen_hit_is_told_with_its_position(visit, tmp_path) -> None:
    root = tmp_path / "index"
    with open_toy(tmp_path) as engine:
        logged = ClickSettings(is_logged=True, swap_share=0.0, mixed_share=0.0)
        write_manifest(root, replace(read_manifest(root), clicks=logged))
        with (
            open_learning(root, None) as learning,
            recording(learning) as clicks,
            listening(engine, SmallWeb(), clicks=clicks) as site,
        ):
            page = visit(site, "/?q=red")
            page.locator(".tile-link").nth(2).click()
            for _ in range(200):
                if learning.log.counts().clicks:
                    break
                threading.Event().wait(0.05)
            (session,) = [one for one in learning.log.sessions() if one.clicks]
            assert [one.position for one in session.clicks] == [3]
            page.close()  # before its server ends: it may still ask for pictures
