"""Ask a server something in its own protocol, to know that it serves and does not merely listen."""

import json
import socket
import struct
import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException

from services.catalogue import HOST, Service

_TIMEOUT_S = 2.0


def is_listening(port: int, timeout_s: float = 0.2) -> bool:
    """Say whether something takes connections on a port."""
    try:
        with socket.create_connection((HOST, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def is_serving(service: Service) -> bool:
    """Say whether a server answers as it should."""
    try:
        return PROBES[service.name](service)
    except (OSError, HTTPException, ValueError, LookupError, struct.error):
        return False


def _probe_cassandra(service: Service) -> bool:
    """Send OPTIONS (5) in version 4 of CQL's frames and expect SUPPORTED (6)."""
    answer = _exchange(service.port, struct.pack(">BBhBI", 4, 0, 0, 5, 0), 9)
    return answer[0] == 0x84 and answer[4] == 6


def _probe_search(service: Service) -> bool:
    """Ask for the health of the cluster; right after the start, shards are still red."""
    status, body = _get(service.port, "/_cluster/health")
    return status == HTTPStatus.OK and json.loads(body)["status"] != "red"


def _probe_milvus(service: Service) -> bool:
    """Ask every part whether it is well, and the entrance for its collections."""
    status, _ = _get(service.ports["METRICS_PORT"], "/healthz")
    if status != HTTPStatus.OK:
        return False
    status, body = _get(service.port, "/v1/vector/collections")
    return status == HTTPStatus.OK and json.loads(body)["code"] == HTTPStatus.OK


def _probe_kafka(service: Service) -> bool:
    """Send Metadata (3) in version 1 and expect a broker that may be used."""
    request = struct.pack(">hhihi", 3, 1, 1, -1, 0)
    answer = _exchange(service.port, struct.pack(">i", len(request)) + request, 12)
    _, correlation, brokers = struct.unpack(">iii", answer)
    return correlation == 1 and brokers > 0


def _probe_s3(service: Service) -> bool:
    """Ask for the buckets without a signature, and expect to be refused in S3's words."""
    status, body = _get(service.port, "/")
    return status == HTTPStatus.FORBIDDEN and b"<Error>" in body


def _probe_gcs(service: Service) -> bool:
    """Ask for the buckets of a project."""
    status, body = _get(service.port, "/storage/v1/b?project=test")
    return status == HTTPStatus.OK and json.loads(body)["kind"] == "storage#buckets"


PROBES = {
    "cassandra": _probe_cassandra,
    "elasticsearch": _probe_search,
    "opensearch": _probe_search,
    "milvus": _probe_milvus,
    "kafka": _probe_kafka,
    "s3": _probe_s3,
    "gcs": _probe_gcs,
}


def _exchange(port: int, request: bytes, size: int) -> bytes:
    """Send a request and return the first bytes of the answer."""
    with socket.create_connection((HOST, port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as answer:
            return answer.read(size)


def _get(port: int, path: str) -> tuple[int, bytes]:
    """Fetch a page, whatever its status."""
    url = f"http://{HOST}:{port}{path}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_TIMEOUT_S) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
