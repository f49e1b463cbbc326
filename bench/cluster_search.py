"""The same queries to the embedded and to the cluster deployment of the same images."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cluster_places as places
import material
import search
from search import SHARES, Ask, K

FILTERS = {name: width for name, width in SHARES.items() if name in {"50 %", "10 %", "1 %"}}
SITES = 50


@dataclass(slots=True)
class Recorded:
    """A query that remembers what was answered to it."""

    ask: Ask
    ids: list[str] = field(default_factory=list)
    total: int = 0
    degraded: int = 0

    def __call__(self, server: http.client.HTTPConnection) -> dict[str, Any]:
        answer = self.ask(server)
        self.ids = [hit["id"] for hit in answer["hits"]]
        self.total = answer["total"]
        self.degraded = len(answer["degraded"])
        return answer


@dataclass(frozen=True, slots=True)
class Plan:
    """One kind of query: its queries, and how many clients ask them."""

    what: str
    clients: int
    asks: Sequence[Ask]


def plans(options: Any) -> tuple[list[Plan], list[Ask]]:
    """Return what is asked of each deployment, and what only warms it up."""
    ask = search.Questions(options)
    count, few = options.queries, max(10, options.queries // 4)
    warming = [search.by_words(words) for words in ask.words(40)]
    warming += [search.by_picture(picture) for picture in ask.pictures(15)]
    warming += [search.by_words(words, min_width=9000) for words in ask.words(10)]
    made: list[Plan] = []
    for clients, times in ((1, 1), (4, 2)):
        words, pictures = ask.words(count * times), ask.pictures(count * times // 2)
        made.append(Plan("words", clients, [search.by_words(one) for one in words]))
        made.append(Plan("picture", clients, [search.by_picture(one) for one in pictures]))
    for share, width in FILTERS.items():
        filtered = [search.by_words(words, min_width=width) for words in ask.words(few)]
        made.append(Plan(f"words, {share}", 1, filtered))
    pictures = [search.by_picture(one, min_width=9000) for one in ask.pictures(few)]
    made.append(Plan("picture, 10 %", 1, pictures))
    made.append(Plan("filter alone", 1, [_listing(number) for number in range(few)]))
    return made, warming


def _listing(number: int) -> Ask:
    """Ask for the newest of one site from a width on, some twenty in ten thousand."""
    site = f"site{number % SITES}.example"
    return search.by_words("", site=site, min_width=9100 + number)


def measure(
    served: Mapping[str, Path], asked: Sequence[Plan], warming: Sequence[Ask]
) -> list[dict[str, Any]]:
    """Serve an index and a cluster, and ask each plan of one and then of the other.

    So both are asked under the same load of the machine; the one that waits uses nothing.
    """
    lines: list[dict[str, Any]] = []
    with ExitStack() as opened:
        servers = {
            name: opened.enter_context(material.serving(where, **places.KEYS))
            for name, where in served.items()
        }
        for address, pid in servers.values():
            for _ in range(2):
                search.measure(address, pid, warming, 2)
        for plan in asked:
            for name, server in servers.items():
                lines.append({"deployment": name, **ask_all(plan, *server)})
                print(_described(lines[-1]), flush=True)
        resident = {name: material.process_usage(pid)[1] for name, (_, pid) in servers.items()}
    return [line | {"server_bytes": resident[line["deployment"]]} for line in lines]


def ask_all(plan: Plan, address: str, pid: int) -> dict[str, Any]:
    """Ask one server for everything of a plan."""
    recorded = [Recorded(ask) for ask in plan.asks]
    before = places.server_cpu_s()
    found = search.measure(address, pid, recorded, plan.clients)
    used = places.used_since(before)
    return {
        "what": plan.what,
        "clients": plan.clients,
        **found,
        "servers_cpu_ms": {of: 1e3 * s / len(recorded) for of, s in used.items()},
        "degraded": sum(one.degraded > 0 for one in recorded),
        "answers": [(one.ids, one.total) for one in recorded],
    }


def _described(line: dict[str, Any]) -> str:
    stages = "  ".join(f"{k} {v:.1f}" for k, v in line["stages_p50_ms"].items())
    return (
        f"{line['deployment']:9} {line['what']:14} clients {line['clients']}: "
        f"p50 {line['p50_ms']:6.1f} p95 {line['p95_ms']:6.1f} p99 {line['p99_ms']:6.1f} ms; "
        f"cpu {line['cpu_ms']:.1f} + {sum(line['servers_cpu_ms'].values()):.1f} ms; "
        f"{stages}; load {line['load']:.1f}"
    )


def overlap(one: dict[str, Any], other: dict[str, Any]) -> float | None:
    """Return the mean share of the first hits that two deployments have in common.

    A filter alone orders by time, and pictures of one moment have no order in common: there,
    only answers that hold everything selected are compared.
    """
    shares = []
    for (ids, total), (others, other_total) in zip(one["answers"], other["answers"], strict=True):
        if one["what"] == "filter alone" and max(total, other_total) > K:
            continue
        most = max(len(ids), len(others))
        shares.append(len({*ids} & {*others}) / most if most else 1.0)
    return sum(shares) / len(shares) if shares else None


def move(index: Path, place: places.Place, work: Path) -> dict[str, Any]:
    """Bring an index into a cluster, wait until every part is indexed, and say what that took."""
    archive = work / f"export-{index.stem}"
    exported = places.command("export", str(archive), "--index", str(index))
    before = places.server_cpu_s()
    imported = places.command("import", str(archive), "--config", str(place.config))
    used = places.used_since(before)
    optimized = places.command("optimize", "--config", str(place.config))
    status = places.command("status", "--config", str(place.config)).answer
    (space,) = status["spaces"]
    images = status["images"]
    rows = wait_for_rows(place, images)
    if images != rows:
        raise SystemExit(f"{images} images in the catalog, {rows} in the text index")
    return {
        "images": images,
        "export_s": exported.answer["seconds"],
        "import_per_s": imported.answer["images_per_s"],
        "import_s": imported.answer["seconds"],
        "import_cpu_ms": 1e3 * imported.cpu_s / images,
        "import_servers_cpu_ms": {name: 1e3 * s / images for name, s in used.items()},
        "optimize_s": optimized.seconds,
        "kind": space["kind"],
        "rows": space["rows"],
        "sealed_rows": space["sealed_rows"],
        "verification": json.dumps(imported.answer["verification"]),
    }


def wait_for_rows(place: places.Place, wanted: int, most_s: float = 30.0) -> int:
    """Wait until so many images can be found by words, and return how many can."""
    deadline = time.monotonic() + most_s
    while (found := place.found()) < wanted and time.monotonic() < deadline:
        time.sleep(places.POLL_S)
    return found
