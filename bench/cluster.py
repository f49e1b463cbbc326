"""Measure the cluster deployment beside the embedded one, on the same images and queries.

    make services                         # with SERVICES_JIT=full for figures worth keeping
    python bench/cluster.py [--sizes 1000 10000] [--ingest 600] [--queries 200]

One index of ready vectors with two captions each is exported and imported into a cluster; both
are served, and each kind of query is asked of one and then of the other. The same photographs go
into a folder, into a cluster at once, and through its log by one and two workers. Last, published
pictures are looked for until they are found. The servers share the machine with Lookalike.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import cluster_ingest
import cluster_places as places
import cluster_search
import material

from lookalike.evaluation.reports import Table

STAGES = ("decode", "filter", "encode", "ann", "bm25", "complete", "rank", "records", "total")


def compare(options: Any, size: int, work: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Ask both deployments of one size for the same; return their lines and what moving took."""
    index, _ = material.ready_index(options, size)
    asked, warming = cluster_search.plans(options)
    with places.new_place(work) as place:
        moved = cluster_search.move(index, place, work)
        print(f"moved: {moved}", flush=True)
        served = {"embedded": index, "cluster": place.config}
        lines = cluster_search.measure(served, asked, warming)
    for line in lines:
        line["images"] = size
    return lines, moved


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    material.index_options(options)
    options.set_defaults(sizes=[1000, 10_000])
    options.add_argument("--images", type=int, help="one size, in place of --sizes")
    options.add_argument("--queries", type=int, default=200)
    options.add_argument("--ingest", type=int, default=600, help="photographs of an ingest run")
    options.add_argument("--singles", type=int, default=50, help="pictures published one by one")
    options.add_argument("--queued", type=int, default=300, help="pictures in the log before them")
    options.add_argument("--out", type=Path, default=material.RESULTS / "cluster.json")
    chosen = options.parse_args()
    if missing := places.missing_servers():
        raise SystemExit(f"{', '.join(missing)} must run: make services")
    if chosen.images:
        chosen.sizes = [chosen.images]
    compilers = places.compilers()
    if "first tier only" in compilers.values():
        print("the servers lack their optimising compiler: start them with SERVICES_JIT=full")
    load = os.getloadavg()[0]
    idle = places.idle_cpu(5.0)
    served: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for size in chosen.sizes:
            lines, facts = compare(chosen, size, work)
            served += lines
            moved.append(facts)
        pictures = work / "pictures"
        photographs = material.read_photographs(chosen.photos, 120)
        material.write_photographs(pictures, chosen.ingest, None, photographs=photographs)
        ingested = cluster_ingest.in_turn(pictures, chosen.ingest, work)
        fresh = cluster_ingest.fresh(work, singles=chosen.singles, queued=chosen.queued)
    servers = [
        {"server": name, "bytes": size, "idle": idle[name], "compiler": compilers[name]}
        for name, size in places.server_bytes().items()
    ]
    settings = {
        "sizes": chosen.sizes, "queries": chosen.queries, "ingest": chosen.ingest,
        "photographs": chosen.photos.parent.name, "load_at_start": load, "compilers": compilers,
        "captions": chosen.captions.name if chosen.captions else "made sentences",
    }  # fmt: skip
    tables = {
        **search_tables(served),
        "moved": moved_table(moved),
        **ingest_tables(ingested),
        "freshness": freshness_table(fresh),
        "servers": Table(
            ("server", "MB", "% of a core when idle", "compiler"),
            [(s["server"], s["bytes"] // 10**6, 100 * s["idle"], s["compiler"]) for s in servers],
        ),
    }
    metrics = search_metrics(served) | ingest_metrics(ingested)
    metrics |= {f"{one['what']}.p50_ms": one["p50_ms"] for one in fresh}
    metrics |= {"servers_bytes": sum(s["bytes"] for s in servers)}
    material.finish("Cluster", chosen.out, metrics=metrics, tables=tables, settings=settings)


def pairs(served: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the two deployments' lines of each size, query and number of clients."""
    found: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for line in served:
        key = (line["images"], line["what"], line["clients"])
        found.setdefault(key, {})[line["deployment"]] = line
    return [(both["embedded"], both["cluster"]) for both in found.values()]


def search_tables(served: list[dict[str, Any]]) -> dict[str, Table]:
    """Lay out latencies, CPU, agreement and stages."""
    return {
        "search": Table(
            ("images", "query", "clients", "embedded p50 ms", "p95", "p99", "cluster p50 ms",
             "p95 ", "p99 ", "× embedded", "overlap@20", "degraded", "load"),
            [
                (one["images"], one["what"], one["clients"], one["p50_ms"], one["p95_ms"],
                 one["p99_ms"], other["p50_ms"], other["p95_ms"], other["p99_ms"],
                 other["p50_ms"] / one["p50_ms"], cluster_search.overlap(one, other),
                 other["degraded"], other["load"])
                for one, other in pairs(served)
            ],
        ),
        "search_cpu": Table(
            ("images", "query", "clients", "embedded", "cluster: lookalike", *places.SERVERS[:4]),
            [
                (one["images"], one["what"], one["clients"], one["cpu_ms"], other["cpu_ms"],
                 *(other["servers_cpu_ms"][name] for name in places.SERVERS[:4]))
                for one, other in pairs(served)
            ],
        ),
        "stages": Table(
            ("images", "deployment", "query", *STAGES),
            [
                (line["images"], line["deployment"], line["what"],
                 *(line["stages_p50_ms"].get(name) for name in STAGES))
                for both in pairs(served) for line in both if line["clients"] == 1
            ],
        ),
    }  # fmt: skip


def moved_table(moved: list[dict[str, Any]]) -> Table:
    """Lay out what an import took, and what the vector index says of itself afterwards."""
    return Table(
        ("images", "export s", "import images/s", "CPU ms an image", "servers' CPU ms an image",
         "optimize s", "vectors", "rows", "rows searched through the index"),
        [
            (m["images"], m["export_s"], m["import_per_s"], m["import_cpu_ms"],
             sum(m["import_servers_cpu_ms"].values()), m["optimize_s"], m["kind"], m["rows"],
             m["sealed_rows"])
            for m in moved
        ],
    )  # fmt: skip


def ingest_tables(ingested: list[dict[str, Any]]) -> dict[str, Table]:
    """Lay out rates and who uses the cores."""
    names = ("way", "processes", "threads each")
    keys = ("what", "processes", "threads")
    return {
        "ingest": Table(
            (*names, "images/s", "with the start", "first found s", "load"),
            [
                (*(i[key] for key in keys), i["steady_per_s"], i["whole_per_s"], i["first_s"],
                 i["load"])
                for i in ingested
            ],
        ),
        "ingest_cpu": Table(
            (*names, "lookalike", *places.SERVERS, "servers together"),
            [
                (*(i[key] for key in keys), i["cpu_ms"],
                 *(i["servers_cpu_ms"].get(name) for name in places.SERVERS),
                 sum(i["servers_cpu_ms"].values()) or None)
                for i in ingested
            ],
        ),
    }  # fmt: skip


def freshness_table(fresh: list[dict[str, Any]]) -> Table:
    """Lay out how soon a published picture is found."""
    return Table(
        ("one picture", "p50 ms", "p95 ms", "most ms", "pictures"),
        [(f["what"], f["p50_ms"], f["p95_ms"], f["most_ms"], f["count"]) for f in fresh],
    )


def search_metrics(served: list[dict[str, Any]]) -> dict[str, float]:
    """Name the figures of single clients, and the memory of the process that serves."""
    found: dict[str, float] = {}
    for both in pairs(served):
        for line in both:
            key = f"{line['deployment']}.{line['what']}.{line['images']}"
            found[f"{line['deployment']}.server_bytes.{line['images']}"] = line["server_bytes"]
            if line["clients"] == 1:
                found[f"{key}.p50_ms"], found[f"{key}.p99_ms"] = line["p50_ms"], line["p99_ms"]
    return found


def ingest_metrics(ingested: list[dict[str, Any]]) -> dict[str, float]:
    """Name the rates."""
    return {
        f"{i['what']}.{i['processes']}x{i['threads']}.images_per_s": i["steady_per_s"]
        for i in ingested
        if i["steady_per_s"]
    }


if __name__ == "__main__":
    main()
