"""Ingest through the log and workers, and how soon a published picture is found."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cluster_places as places
import freshness
import material

MOST_S = 300.0
FOUND_S = 60.0
BETWEEN_POLLS_S = 0.02
EMBEDDED = "index, embedded"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to bring pictures in: by so many processes with so many threads each."""

    name: str
    processes: int
    threads: int

    @property
    def environment(self) -> dict[str, str]:
        threads = str(self.threads)
        return {"LOOKALIKE_THREADS": threads, "LOOKALIKE_DECODERS": threads}


WAYS = (
    Way(EMBEDDED, 1, 1),
    Way(EMBEDDED, 1, 2),
    Way("index --config", 1, 1),
    Way("index --config", 1, 2),
    Way("worker", 1, 1),
    Way("worker", 1, 2),
    Way("worker", 2, 1),
)


class Growth(threading.Thread):
    """Watches a count until it is reached, and remembers when each step was seen."""

    def __init__(self, count: Callable[[], int], wanted: int) -> None:
        super().__init__(daemon=True)
        self.steps: list[tuple[float, int]] = []
        self.used: dict[str, float] = {}
        self._count, self._wanted = count, wanted
        self._servers = places.server_cpu_s()
        self._began = time.perf_counter()
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(places.POLL_S):
            found = self._count()
            if found > (self.steps[-1][1] if self.steps else 0):
                self.steps.append((time.perf_counter() - self._began, found))
                self.used = places.used_since(self._servers)
            if found >= self._wanted or time.perf_counter() - self._began > MOST_S:
                return

    @property
    def rates(self) -> dict[str, float | None]:
        """Images a second from the first that was seen to the last, and with the start-up."""
        (first_s, first), (last_s, last) = self.steps[0], self.steps[-1]
        steady = (last - first) / (last_s - first_s) if last_s > first_s else None
        return {"steady_per_s": steady, "whole_per_s": last / last_s, "first_s": first_s}


def in_turn(pictures: Path, count: int, work: Path) -> list[dict[str, Any]]:
    """Bring the same pictures in, each way into an index of its own."""
    lines = []
    for way in WAYS:
        if way.name == EMBEDDED:
            found = _embedded(way, pictures, count, work)
        else:
            with places.new_place(work) as place:
                found = _cluster(way, pictures, count, place)
        found |= {"what": way.name, "processes": way.processes, "threads": way.threads}
        lines.append(found | {"load": os.getloadavg()[0]})
        servers = sum(found["servers_cpu_ms"].values())
        print(
            f"{way.name:20} {way.processes} × {way.threads}: "
            f"{found['steady_per_s'] or 0:5.1f} a second "
            f"({found['whole_per_s']:5.1f} with the start), first after {found['first_s']:4.1f} s; "
            f"cpu {found['cpu_ms']:.1f} + {servers:.1f} ms; shares {found.get('shares', '–')}; "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    return lines


def _embedded(way: Way, pictures: Path, count: int, work: Path) -> dict[str, Any]:
    folder = work / f"folder-{way.threads}.index"
    catalog = folder / "catalog.sqlite"

    def committed() -> int:
        try:
            with contextlib.closing(sqlite3.connect(f"{catalog.as_uri()}?mode=ro", uri=True)) as db:
                return int(db.execute("SELECT images FROM state").fetchone()[0])
        except sqlite3.Error:
            return 0  # not made yet

    growth = Growth(committed, count)
    growth.start()
    words = (
        "index",
        str(pictures),
        "--index",
        str(folder),
        "--encoder",
        "lite",
        "--no-objects",
        "--no-ocr",
        "--copies",
        "off",
    )
    ran = places.command(*words, **way.environment)
    return _line(growth, ran.cpu_s, count, servers=False)


def _cluster(way: Way, pictures: Path, count: int, place: places.Place) -> dict[str, Any]:
    config = ("--config", str(place.config))
    if way.name == "index --config":
        growth = Growth(place.found, count)
        growth.start()
        ran = places.command("index", str(pictures), *config, **way.environment)
        return _line(growth, ran.cpu_s, count)
    handed = places.command("index", str(pictures), *config, "--enqueue")
    growth = Growth(place.found, count)
    growth.start()
    with ThreadPoolExecutor(way.processes) as threads:
        flying = [
            threads.submit(places.command, "worker", *config, "--drain", **way.environment)
            for _ in range(way.processes)
        ]
        done = [one.result() for one in flying]
    line = _line(growth, sum(one.cpu_s for one in done), count)
    return line | {
        "handed_per_s": handed.answer["images_per_s"],
        "shares": [one.answer["done"] for one in done],
    }


def _line(growth: Growth, cpu_s: float, count: int, *, servers: bool = True) -> dict[str, Any]:
    growth.join(10)
    growth.over.set()
    if not growth.steps or growth.steps[-1][1] < count:
        raise SystemExit(f"only {growth.steps[-1:]} of {count} pictures were seen to arrive")
    used = growth.used if servers else {}
    return {
        **growth.rates,
        "cpu_ms": 1e3 * cpu_s / count,
        "servers_cpu_ms": {name: 1e3 * s / count for name, s in used.items()},
    }


# ── Freshness ────────────────────────────────────────────────────────────────────────────


def fresh(work: Path, *, singles: int, queued: int) -> list[dict[str, Any]]:
    """Publish pictures one by one, first with an idle worker and then with a busy one."""
    photographs = material.read_photographs(material.SAMPLES, 60)
    bulk = work / "queued"
    material.write_photographs(bulk, queued, None, photographs=photographs)
    few = max(5, singles // 5)
    with (
        places.new_place(work) as place,
        _working(place),
        material.serving(place.config, **places.KEYS) as (address, _),
        ThreadPoolExecutor(few) as threads,
    ):
        host = address.removeprefix("http://")

        def publish(number: int) -> tuple[float, float]:
            data = freshness.picture(photographs[number % len(photographs)], number)
            return _published(host, data, f"zebrafinch{os.getpid()}x{number}")

        for number in range(3):  # the first ones load models
            publish(number)
        idle = [publish(3 + number) for number in range(singles)]
        places.command("index", str(bulk), "--config", str(place.config), "--enqueue")
        flying = []
        for number in range(few):
            flying.append(threads.submit(publish, 1000 + number))
            time.sleep(0.5)
        busy = [one.result() for one in flying]
    lines = []
    for name, times in (("idle worker", idle), (f"{queued} pictures before it", busy)):
        lines.append(_spread(f"{name}: POST until its 202", [taken for taken, _ in times]))
        lines.append(_spread(f"{name}: 202 until found", [found for _, found in times]))
    return lines


def _published(host: str, data: bytes, word: str) -> tuple[float, float]:
    """Add a picture; return the milliseconds until its 202, and from there until it is found."""
    began = time.perf_counter()
    image, acknowledged = freshness.post(host, data, f"a {word} on a wall")
    path = f"/v1/search?q=%22{word}%22&k=5"
    while not freshness.is_first(freshness.ask(host, path, None, {}), image):
        if time.perf_counter() - acknowledged > FOUND_S:
            raise SystemExit(f"{word} was not found within {FOUND_S:.0f} s of its 202")
        time.sleep(BETWEEN_POLLS_S)
    return 1e3 * (acknowledged - began), 1e3 * (time.perf_counter() - acknowledged)


def _spread(name: str, times: Sequence[float]) -> dict[str, Any]:
    found = {"what": name, **material.spread(times), "most_ms": max(times), "count": len(times)}
    print(
        f"{name:46} p50 {found['p50_ms']:7.1f}  p95 {found['p95_ms']:7.1f}  "
        f"most {found['most_ms']:7.1f} ms",
        flush=True,
    )
    return found


@contextlib.contextmanager
def _working(place: places.Place) -> Generator[None]:
    """Run a worker until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lookalike", "worker", "--config", str(place.config)],
        env={**os.environ, **places.KEYS, "LOOKALIKE_THREADS": "1", "LOOKALIKE_DECODERS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
