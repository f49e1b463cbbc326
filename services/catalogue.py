"""The servers the tests need: their ports, addresses and keys, in one table."""

import os
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "services"
# Everything that is installed, stored and logged stands below this one folder.
FOLDER = Path(os.environ.get("SERVICES_DIR") or ROOT / ".services").resolve()

HOST = "127.0.0.1"
# The one bucket of both object stores; tests keep apart by prefixes.
BUCKET = "lookalike"
S3_ACCESS_KEY = "test"
S3_SECRET_KEY = "testsecret"  # noqa: S105 - of a server that only this machine reaches


@dataclass(frozen=True, slots=True)
class Service:
    """Where one server listens and keeps its files.

    Ports are below the range that the kernel hands out, and nobody's default. `ports` names the
    further ones, by the word that stands for them in the configuration files. A start may take
    `start_s` seconds, and an end `grace_s` before it is forced.
    """

    name: str
    port: int
    scheme: str
    ports: dict[str, int] = field(default_factory=dict)
    start_s: int = 120
    grace_s: int = 20

    @property
    def url(self) -> str:
        """Return the address clients take."""
        return f"{self.scheme}://{HOST}:{self.port}"

    @property
    def sources(self) -> Path:
        """Return the folder of the repository with what the server is made from."""
        return SOURCES / self.name

    @property
    def folder(self) -> Path:
        """Return the folder the server lives in."""
        return FOLDER / self.name

    @property
    def data(self) -> Path:
        """Return the folder that `wipe` empties."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """Return the file that takes what the server prints."""
        return self.folder / "log" / "server.log"


SERVICES: dict[str, Service] = {
    service.name: service
    for service in (
        Service("cassandra", 21042, "cassandra", {"STORAGE_PORT": 21700, "JMX_PORT": 21719}),
        Service("elasticsearch", 21920, "elasticsearch", {"TRANSPORT_PORT": 21930}),
        Service("opensearch", 21921, "opensearch", {"TRANSPORT_PORT": 21931}),
        Service(
            "milvus",
            21953,
            "milvus",
            {
                "PROXY_PORT": 21954,
                "ROOT_COORD_PORT": 21955,
                "QUERY_COORD_PORT": 21956,
                "QUERY_NODE_PORT": 21957,
                "INDEX_NODE_PORT": 21958,
                "DATA_COORD_PORT": 21959,
                "DATA_NODE_PORT": 21960,
                "METRICS_PORT": 21961,
                "ETCD_PORT": 21962,
                "ETCD_PEER_PORT": 21963,
            },
            grace_s=2,  # asked to end, it hangs; its own Python package kills it after 1 s
        ),
        Service("kafka", 21909, "kafka", {"CONTROLLER_PORT": 21910}),
        Service("s3", 21900, "http"),
        Service("gcs", 21443, "http"),
    )
}
