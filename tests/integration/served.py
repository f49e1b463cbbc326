"""An app over a toy index, for the tests of the server."""

from __future__ import annotations

import io
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from starlette.testclient import TestClient

from lookalike.adapters.source_folder import FolderSource
from lookalike.domain import reasons
from lookalike.domain.errors import FetchError
from lookalike.server.app import create_app
from lookalike.server.options import ServerSettings
from lookalike.server.run import server_of
from lookalike.settings import Settings
from lookalike.settings.features import NO_FEATURES, Features
from lookalike.wiring.embedded import OpenOptions, assemble
from lookalike.wiring.manifest import Manifest, SpaceEntry, read_manifest, write_manifest
from tests.photographs import sample
from tests.toy import COLOURS, DIM, ToyEncoder, fill_folder
from tests.toy_seeing import ToyDetector, ToyOcr


@dataclass
class SmallWeb:
    """Implements `ports.source.Fetcher` over a few pages; every other address is refused."""

    pages: dict[str, bytes] = field(default_factory=dict)

    def fetch(self, url):
        if url not in self.pages:
            raise FetchError(reasons.BLOCKED_ADDRESS, "the address is refused", hint="try another")
        return self.pages[url]


@dataclass
class Served:
    """What a test of the server needs: the engine, its app, its web and a client on localhost."""

    engine: object
    web: SmallWeb
    app: object
    client: TestClient


@contextmanager
def open_toy(root, *, count=30, is_seeing=False):
    """Open an index of toy pictures; `count` 0 leaves it empty.

    One that `is_seeing` finds toy objects, reads toy words and places copies.
    """
    index = root / "index"
    index.mkdir(parents=True)
    features = Features(objects=False, ocr="off") if is_seeing else NO_FEATURES
    write_manifest(index, Manifest(SpaceEntry("toy", DIM), features))
    with assemble(
        index, read_manifest(index), ToyEncoder(),
        options=OpenOptions(), settings=Settings(decoders=1, threads=1),
    ) as engine:  # fmt: skip
        if is_seeing:
            engine._parts = replace(engine._parts, detector=ToyDetector(), ocr=ToyOcr())
        if count:
            fill_folder(root / "pictures", count)
            engine.index([FolderSource(root / "pictures")])
        yield engine


def serve_toy(engine, **settings):
    """Return an app over an engine, with a client that speaks as from the same machine."""
    web = SmallWeb()
    app = create_app(engine, fetcher=web, settings=ServerSettings(**settings))
    return Served(engine, web, app, TestClient(app, base_url="http://localhost:8080"))


@contextmanager
def listening(engine, web, *, clicks=None, **settings):
    """Serve an engine at a free port of this machine, and yield the address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    chosen = ServerSettings(port=port, **settings)
    app = create_app(engine, fetcher=web, settings=chosen, clicks=clicks)
    server = server_of(app, chosen)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(15)
    assert not thread.is_alive(), "the server ends when it is told to"


def draw_seen(folder):
    """Fill a folder with two pictures of each colour, no two the same; the yellow bear writing."""
    folder.mkdir()
    rng = np.random.default_rng(7)
    for colour in ("red", "blue", "green", "yellow", "black"):
        for number in range(2):
            light = rng.integers(-45, 46, (9, 12, 1)).repeat(40, axis=0).repeat(40, axis=1)
            pixels = np.clip(np.asarray(COLOURS[colour]) + light, 0, 255).astype(np.uint8)
            image = Image.fromarray(pixels)
            if colour == "yellow":
                font = ImageFont.load_default(size=56)
                place = (40, 60 + 140 * number)
                ImageDraw.Draw(image).text(place, "NO PARKING", fill=(0, 0, 0), font=font)
            image.save(folder / f"{number}-{colour}.png")
    return folder


def edited(name):
    """Return a sample photograph and two edits of it by name."""
    with Image.open(io.BytesIO(sample(name))) as image:
        whole = image.convert("RGB")
    small = whole.resize((whole.width * 2 // 3, whole.height * 2 // 3))
    return {
        "original": sample(name),
        "small": encoded(small, quality=60),
        "mirrored": encoded(ImageOps.mirror(whole), quality=50),
    }


def encoded(image, **options):
    """Return a picture as a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()
