"""Removing what one cluster of Lookalike keeps on the servers: places that share a name."""

import http.client
import json
import shutil
from collections.abc import Callable, Iterator, Mapping

from services import run
from services.catalogue import SERVICES


def drop(name: str) -> Iterator[str]:
    """Remove keyspace, index, collection, bucket and topics of a name; yield what stays, and why.

    A server that does not run keeps what it has, and no other from being tidied.
    """
    for server, remove in _REMOVALS.items():
        if not run.is_up(server):
            continue
        try:
            remove(name)
        except Exception as error:  # noqa: BLE001 - each client has errors of its own
            yield f"{name} stays in {server}: {error}"


def _drop_keyspace(name: str) -> None:
    from lookalike.adapters.catalog_cassandra_client import CassandraClient
    from lookalike.adapters.catalog_cassandra_options import CassandraOptions

    options = CassandraOptions.from_url(f"{run.url_of('cassandra')}/{name}")
    client = CassandraClient.connect(options)
    client.execute(f"DROP KEYSPACE IF EXISTS {name}", (), timeout_s=60.0)
    client.close()


def _drop_index(server: str) -> Callable[[str], None]:
    def remove(name: str) -> None:
        place = run.url_of(server).removeprefix(f"{server}://")
        connection = http.client.HTTPConnection(place, timeout=30)
        connection.request("GET", f"/{name}/_alias")
        answer = connection.getresponse()
        indexes = list(json.load(answer)) if answer.status == 200 else []
        answer.read()
        for path in (*indexes, f"_index_template/{name}"):
            connection.request("DELETE", f"/{path}")
            connection.getresponse().read()
        connection.close()

    return remove


def _drop_collection(name: str) -> None:
    from lookalike.adapters.vectors_milvus_client import MilvusLink
    from lookalike.adapters.vectors_milvus_options import MilvusOptions

    link = MilvusLink(MilvusOptions.from_url(f"{run.url_of('milvus')}/{name}"))
    for collection in (name, f"{name}_regions", f"{name}_hashes"):
        link.call("drop_collection", collection)
    link.close()


def _drop_bucket(name: str) -> None:
    """Delete the server's folder: asking for each picture's removal would take minutes."""
    data = SERVICES["s3"].data
    shutil.rmtree(data / name, ignore_errors=True)
    (data / f"{name}.bucketMetadata").unlink(missing_ok=True)


def _drop_topics(name: str) -> None:
    from confluent_kafka.admin import AdminClient

    servers = run.url_of("kafka").removeprefix("kafka://")
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    admin.delete_topics([name, f"{name}.dead"], request_timeout=20)


_REMOVALS: Mapping[str, Callable[[str], None]] = {
    "cassandra": _drop_keyspace,
    "elasticsearch": _drop_index("elasticsearch"),
    "opensearch": _drop_index("opensearch"),
    "milvus": _drop_collection,
    "s3": _drop_bucket,
    "kafka": _drop_topics,
}
