"""Places of a measurement's own on the servers of `make services`, and what those servers use."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import material

sys.path.append(str(material.ROOT))  # for the launcher of the servers
from services import run as services
from services.catalogue import S3_ACCESS_KEY, S3_SECRET_KEY, SERVICES

SERVERS = ("cassandra", "elasticsearch", "milvus", "s3", "kafka")
KEYS = {
    "LOOKALIKE_BLOBS_ACCESS_KEY": S3_ACCESS_KEY,
    "LOOKALIKE_BLOBS_SECRET_KEY": S3_SECRET_KEY,
}
FIRST_COMPILER = "-XX:TieredStopAtLevel=1"
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster that nobody else uses: one keyspace, index, collection, bucket and topic."""

    name: str
    config: Path

    def found(self) -> int:
        """Return how many images can be found by words: what is written last of each."""
        query = json.dumps({"query": {"term": {"is_text": True}}}).encode()
        request = urllib.request.Request(
            f"{_http('elasticsearch')}/{self.name}/_count",
            data=query,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(json.load(answer)["count"])


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended: its answer, wall time, and the CPU time of all its processes."""

    answer: dict[str, Any]
    seconds: float
    cpu_s: float


def missing_servers() -> list[str]:
    """Return the servers that do not run."""
    return [name for name in SERVERS if not services.is_up(name)]


@contextlib.contextmanager
def new_place(folder: Path, **tables: str) -> Generator[Place]:
    """Make a place and drop it at the end; `tables` holds further lines of each table."""
    name = f"bench{secrets.token_hex(5)}"
    urls = {server: services.url_of(server) for server in SERVERS}
    usual = {
        "catalog": f'url = "{urls["cassandra"]}/{name}"',
        "text": f'url = "{urls["elasticsearch"]}/{name}"',
        "vectors": f'url = "{urls["milvus"]}/{name}"',
        "blobs": f'url = "s3://{name}"\nendpoint = "{urls["s3"]}"\nis_http_allowed = true',
        "log": f'url = "{urls["kafka"]}/{name}"',
    }
    lines = [f'name = "{name}"', 'encoder = "lite"']
    lines += ["[features]", "objects = false", 'ocr = "off"', 'copies = "off"']
    for port, table in usual.items():
        lines += [f"[{port}]", table, tables.get(port, "")]
    config = folder / f"{name}.toml"
    config.write_text("\n".join(lines), encoding="utf-8")
    place = Place(name, config)
    try:
        command("init-cluster", "--config", str(config))
        yield place
    finally:
        drop(place)


def drop(place: Place) -> None:
    """Remove everything of a place, as far as the servers allow."""
    for name, remove in _REMOVALS.items():
        try:
            remove(place.name)
        except Exception as error:  # noqa: BLE001 - one that stays keeps no other
            print(f"{place.name} stays in {name}: {error}", flush=True)


def command(*words: str, is_tolerant: bool = False, **environment: str) -> Ran:
    """Run a command of `lookalike` with `--json`, and return what its last line says."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "lookalike", *words, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **KEYS, **environment},
    )  # fmt: skip
    errors: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
    reader.start()
    text = process.stdout.read()
    reader.join()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode and not is_tolerant:
        raise SystemExit(f"lookalike {' '.join(words)}\n{text[-2000:]}{errors[0][-2000:]}")
    seconds, cpu_s = time.perf_counter() - began, used.ru_utime + used.ru_stime
    return Ran(_last_object(text), seconds, cpu_s)


def _last_object(text: str) -> dict[str, Any]:
    """Return the object that the output is, or that its last line is."""
    try:
        return json.loads(text)
    except ValueError:
        lines = text.strip().splitlines()
        return json.loads(lines[-1]) if lines else {}


def server_cpu_s() -> dict[str, float]:
    """Return the CPU seconds that each server has used since its start."""
    return {name: material.process_usage(pid)[0] for name, pid in _pids().items()}


def used_since(before: Mapping[str, float]) -> dict[str, float]:
    """Return the CPU seconds of each server since a reading."""
    return {name: now - before[name] for name, now in server_cpu_s().items()}


def server_bytes() -> dict[str, int]:
    """Return the memory of each server."""
    return {name: material.process_usage(pid)[1] for name, pid in _pids().items()}


def compilers() -> dict[str, str]:
    """Return how each server's code is run: a Java server may lack its optimising compiler."""
    found: dict[str, str] = {}
    for name, pid in _pids().items():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
        is_java = words.partition("\0")[0].rpartition("/")[2] == "java"
        is_short = FIRST_COMPILER in words
        found[name] = "native" if not is_java else "first tier only" if is_short else "full"
    return found


def idle_cpu(seconds: float) -> dict[str, float]:
    """Return the share of one core that each server uses while nothing is asked."""
    before = server_cpu_s()
    time.sleep(seconds)
    return {name: used / seconds for name, used in used_since(before).items()}


def _pids() -> dict[str, int]:
    files = {name: SERVICES[name].folder / "pid" for name in SERVERS}
    return {name: int(json.loads(file.read_text())["pid"]) for name, file in files.items()}


# ── Removing ─────────────────────────────────────────────────────────────────────────────


def _drop_keyspace(name: str) -> None:
    from lookalike.adapters.catalog_cassandra_client import CassandraClient
    from lookalike.adapters.catalog_cassandra_options import CassandraOptions

    options = CassandraOptions.from_url(f"{services.url_of('cassandra')}/{name}")
    client = CassandraClient.connect(options)
    client.execute(f"DROP KEYSPACE IF EXISTS {name}", (), timeout_s=60.0)
    client.close()


def _drop_index(name: str) -> None:
    base = _http("elasticsearch")
    with urllib.request.urlopen(f"{base}/{name}/_alias", timeout=10) as answer:
        indexes = list(json.load(answer))
    for path in (*indexes, f"_index_template/{name}"):
        request = urllib.request.Request(f"{base}/{path}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).read()


def _drop_collection(name: str) -> None:
    from lookalike.adapters.vectors_milvus_client import MilvusLink
    from lookalike.adapters.vectors_milvus_options import MilvusOptions

    link = MilvusLink(MilvusOptions.from_url(f"{services.url_of('milvus')}/{name}"))
    for collection in (name, f"{name}_regions", f"{name}_hashes"):
        link.call("drop_collection", collection)
    link.close()


def _drop_bucket(name: str) -> None:
    """Delete the server's folder: asking for each picture's removal would take minutes."""
    data = SERVICES["s3"].data
    shutil.rmtree(data / name)
    (data / f"{name}.bucketMetadata").unlink(missing_ok=True)


def _drop_topics(name: str) -> None:
    from confluent_kafka.admin import AdminClient

    servers = services.url_of("kafka").removeprefix("kafka://")
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    for future in admin.delete_topics([name, f"{name}.dead"], request_timeout=20).values():
        future.result()


def _http(name: str) -> str:
    return services.url_of(name).replace(f"{name}://", "http://")


_REMOVALS = {
    "cassandra": _drop_keyspace,
    "elasticsearch": _drop_index,
    "milvus": _drop_collection,
    "s3": _drop_bucket,
    "kafka": _drop_topics,
}
