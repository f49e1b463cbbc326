"""A small server that follows Pinecone's published REST API (2026-07), for tests.

It holds one project in memory, checks the published limits, understands the published filter
operators, and can be told to throttle, to fail, to be slow, or to show writes late, as the live
service does. It was written from the documentation and never compared with the service.
"""

import json
import math
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np

KEY = "test-key"
VERSION = "2026-07"
MOST_UPSERTED = 1000
MOST_BYTES = 2_000_000
MOST_METADATA_BYTES = 40 * 1024
MOST_HITS = 10_000
MOST_ANSWER_BYTES = 4_000_000
MOST_IDS = 1000
MOST_ID_LENGTH = 512
MOST_FILTER_VALUES = 10_000


class RefusedError(Exception):
    """An HTTP status with a code and a message."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def bad(message):
    return RefusedError(400, "INVALID_ARGUMENT", message)


# ── Filters ──────────────────────────────────────────────────────────────────────────────


def passes(metadata, filter_):
    """Tell whether metadata meet a filter; unknown operators and types are refused."""
    if not isinstance(filter_, dict):
        raise bad("a filter must be an object")
    met = [_passes_one(metadata, key, value) for key, value in filter_.items()]
    return all(met)  # looked at whole: what is malformed is refused wherever it stands


def _passes_one(metadata, key, value):
    if key in {"$and", "$or"}:
        if not isinstance(value, list) or not value:
            raise bad(f"{key} takes a non-empty list")
        parts = [passes(metadata, one) for one in value]
        return all(parts) if key == "$and" else any(parts)
    if key.startswith("$"):
        raise bad(f"{key} is not a valid operator here")
    conditions = value if isinstance(value, dict) else {"$eq": value}
    if not conditions:
        raise bad("a condition must not be empty")
    for sign, wanted in conditions.items():
        check_operator(sign, wanted)
    return all(_holds(metadata, key, sign, wanted) for sign, wanted in conditions.items())


def check_operator(sign, wanted):
    if sign == "$exists":
        is_fit = isinstance(wanted, bool)
    elif sign in {"$in", "$nin"}:
        is_fit = isinstance(wanted, list) and len(wanted) <= MOST_FILTER_VALUES
        is_fit = is_fit and all(isinstance(one, str) or _is_number(one) for one in wanted)
    elif sign in {"$gt", "$gte", "$lt", "$lte"}:
        is_fit = _is_number(wanted)
    elif sign in {"$eq", "$ne"}:
        is_fit = isinstance(wanted, str | bool) or _is_number(wanted)
    else:
        raise bad(f"{sign} is not a valid operator")
    if not is_fit:
        raise bad(f"{sign} cannot take {wanted!r}")


def _holds(metadata, key, sign, wanted):
    if sign == "$exists":
        return (key in metadata) == wanted
    if key not in metadata:
        # What a missing field means to $ne and $nin is not published: fail loudly instead.
        if sign in {"$ne", "$nin"} and metadata.get("described") is not False:
            raise bad(f"the tests' server does not know what {sign} says of a missing {key}")
        return False
    stored = metadata[key]
    values = stored if isinstance(stored, list) else [stored]
    if sign in {"$in", "$eq"}:
        return any(_equal(one, other) for one in values for other in _listed(wanted))
    if sign in {"$nin", "$ne"}:
        return not any(_equal(one, other) for one in values for other in _listed(wanted))
    if not _is_number(stored):
        return False
    return {
        "$gt": stored > wanted,
        "$gte": stored >= wanted,
        "$lt": stored < wanted,
        "$lte": stored <= wanted,
    }[sign]


def _listed(wanted):
    return wanted if isinstance(wanted, list) else [wanted]


def _equal(one, other):
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def checked_metadata(metadata):
    if not isinstance(metadata, dict):
        raise bad("metadata must be an object")
    for key, value in metadata.items():
        is_list = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if key.startswith("$") or not (
            isinstance(value, str | bool) or _is_number(value) or is_list
        ):
            raise bad(f"metadata {key}: strings, numbers, booleans and lists of strings")
    if len(json.dumps(metadata, ensure_ascii=False).encode()) > MOST_METADATA_BYTES:
        raise bad("metadata size exceeds the limit of 40960 bytes per vector")
    return metadata


# ── The project ──────────────────────────────────────────────────────────────────────────


class Namespace:
    """Vectors by id, as far as writes are shown; each write has a log sequence number."""

    def __init__(self):
        self.shown = {}
        self.waiting = []
        self.committed = 0
        self.indexed = 0

    def write(self, change, lag_s):
        self.committed += 1
        self.waiting.append((time.monotonic() + lag_s, self.committed, change))
        return self.committed

    def catch_up(self):
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            _, self.indexed, change = self.waiting.pop(0)
            change(self.shown)


class Project:
    """Indexes and how the server is to behave."""

    def __init__(self):
        self.lock = threading.Lock()
        self.indexes = {}
        self.spaces = {}
        self.faults = []
        self.requests = []
        self.delay_s = 0.0
        self.lag_s = 0.0

    def create(self, body, host):
        name, schema = body.get("name", ""), body.get("schema", {})
        field = schema.get("fields", {}).get("_values", {})
        dim, metric = field.get("dimension"), field.get("metric")
        if name in self.indexes:
            raise RefusedError(409, "ALREADY_EXISTS", "Resource already exists")
        if not isinstance(dim, int) or not 1 <= dim <= 20_000:
            raise bad("dimension must lie between 1 and 20000")
        if metric not in {"cosine", "dotproduct", "euclidean"}:
            raise bad("unknown metric")
        deployment = body.get("deployment", {})
        if deployment.get("deployment_type") != "managed" or not deployment.get("region"):
            raise bad("deployment must name cloud and region")
        self.indexes[name] = {
            "name": name,
            "host": host,
            "schema": {"fields": {"_values": field | {"type": "dense_vector"}}},
            "deployment": deployment,
            "deletion_protection": "disabled",
            "read_capacity": {"mode": "OnDemand", "status": {"state": "Ready"}},
            "status": {"ready": True, "state": "Ready"},
        }  # fmt: skip
        return self.indexes[name]

    def describe(self, name):
        if name not in self.indexes:
            raise RefusedError(404, "NOT_FOUND", f"Resource {name} not found")
        return self.indexes[name]

    @property
    def dim(self):
        """The tests make one index at a time: every host is its."""
        if not self.indexes:
            raise RefusedError(404, "NOT_FOUND", "there is no index here")
        (index, *_) = self.indexes.values()
        return index["schema"]["fields"]["_values"]["dimension"]

    def space(self, name):
        space = self.spaces.setdefault(name or "__default__", Namespace())
        space.catch_up()
        return space

    def upsert(self, body):
        vectors = body.get("vectors", [])
        if not 1 <= len(vectors) <= MOST_UPSERTED:
            raise bad(f"between 1 and {MOST_UPSERTED} vectors")
        new = {}
        for one in vectors:
            name, values = one.get("id"), one.get("values")
            if not isinstance(name, str) or not 1 <= len(name) <= MOST_ID_LENGTH:
                raise bad("an id is a string of 1 to 512 characters")
            if not isinstance(values, list) or len(values) != self.dim:
                raise bad(f"Vector dimension does not match the dimension of the index {self.dim}")
            if not any(values):
                raise bad("Dense vectors must contain at least one non-zero value")
            new[name] = (np.asarray(values, np.float32), checked_metadata(one.get("metadata", {})))
        space = self.space(body.get("namespace"))
        lsn = space.write(lambda shown: shown.update(new), self.lag_s)
        return {"upsertedCount": len(vectors)}, {"x-pinecone-request-lsn": lsn}

    def query(self, body):
        k, vector = body.get("topK"), body.get("vector")
        if not isinstance(k, int) or not 1 <= k <= MOST_HITS:
            raise bad(f"topK must lie between 1 and {MOST_HITS}")
        if not isinstance(vector, list) or len(vector) != self.dim:
            raise bad("Vector dimension does not match")
        space = self.space(body.get("namespace"))
        filter_, has_values = body.get("filter"), body.get("includeValues")
        if filter_ is not None:
            passes({"described": False}, filter_)  # refuses what is malformed, even with no data
        found = [
            (name, values)
            for name, (values, metadata) in space.shown.items()
            if filter_ is None or passes(metadata, filter_)
        ]
        query = np.asarray(vector, np.float32)
        scored = [(float(values @ query), name, values) for name, values in found]
        scored.sort(key=lambda one: -one[0])
        matches = [
            {"id": name, "score": score, "values": values.tolist() if has_values else []}
            for score, name, values in scored[:k]
        ]
        answer = {
            "matches": matches,
            "namespace": body.get("namespace", ""),
            "usage": {"readUnits": 1},
        }
        if len(json.dumps(answer)) > MOST_ANSWER_BYTES:
            raise bad("Response size limit of 4MB exceeded")
        return answer, {"x-pinecone-max-indexed-lsn": space.indexed}

    def fetch(self, ids, namespace):
        if not 1 <= len(ids) <= MOST_IDS:
            raise bad(f"between 1 and {MOST_IDS} ids")
        shown = self.space(namespace).shown
        vectors = {
            name: {"id": name, "values": shown[name][0].tolist(), "metadata": shown[name][1]}
            for name in ids
            if name in shown
        }
        return {"vectors": vectors, "namespace": namespace, "usage": {"readUnits": 1}}, {}

    def delete(self, body):
        ids = body.get("ids", [])
        space = self.space(body.get("namespace"))
        if body.get("deleteAll"):
            return {}, {"x-pinecone-request-lsn": space.write(dict.clear, self.lag_s)}
        if not 1 <= len(ids) <= MOST_IDS or not all(isinstance(one, str) for one in ids):
            raise bad(f"between 1 and {MOST_IDS} ids")

        def change(shown):
            for name in ids:
                shown.pop(name, None)

        return {}, {"x-pinecone-request-lsn": space.write(change, self.lag_s)}

    def update(self, body):
        name, metadata = body.get("id"), body.get("setMetadata")
        if not isinstance(name, str):
            raise bad("an update names its id")
        if metadata is not None:
            checked_metadata(metadata)

        def change(shown):
            if name in shown:
                values, before = shown[name]
                shown[name] = (values, checked_metadata(before | (metadata or {})))

        lsn = self.space(body.get("namespace")).write(change, self.lag_s)
        return {}, {"x-pinecone-request-lsn": lsn}

    def stats(self, _body):
        counts = {}
        for name in list(self.spaces):
            counts[name] = {"vectorCount": len(self.space(name).shown)}
        total = sum(one["vectorCount"] for one in counts.values())
        return {
            "namespaces": {name: one for name, one in counts.items() if one["vectorCount"]},
            "dimension": self.dim,
            "indexFullness": 0.0,
            "totalVectorCount": total,
        }, {}


# ── HTTP ─────────────────────────────────────────────────────────────────────────────────


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        project, headers, status = self.server.project, {}, 200
        try:
            project.requests.append((self.command, urlsplit(self.path).path, len(data)))
            if project.delay_s:
                time.sleep(project.delay_s)
            if project.faults:
                status, headers = project.faults.pop(0)
                raise RefusedError(status, "FAULT", "as the test wants it")
            if self.headers.get("api-key") != KEY:
                raise RefusedError(401, "UNAUTHENTICATED", "Invalid API Key")
            if self.headers.get("x-pinecone-api-version") != VERSION:
                raise bad("this server speaks " + VERSION)
            if len(data) > MOST_BYTES:
                raise RefusedError(413, "PAYLOAD_TOO_LARGE", "Request size exceeds 2 MB")
            with project.lock:
                body, headers = self.route(json.loads(data) if data else {})
        except RefusedError as error:
            status = error.status
            body = {"status": status, "error": {"code": error.code, "message": error.message}}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    def route(self, body):
        project, place = self.server.project, urlsplit(self.path)
        asked = parse_qs(place.query)
        if (self.command, place.path) == ("POST", "/indexes"):
            return project.create(body, self.server.url), {}
        if (self.command, place.path) == ("GET", "/indexes"):
            return {"indexes": list(project.indexes.values())}, {}
        if self.command == "GET" and place.path.startswith("/indexes/"):
            return project.describe(place.path.rpartition("/")[2]), {}
        if (self.command, place.path) == ("GET", "/vectors/fetch"):
            return project.fetch(asked.get("ids", []), asked.get("namespace", [""])[0])
        if (self.command, place.path) == ("GET", "/vectors/list"):
            space = project.space(asked.get("namespace", [""])[0])
            names = sorted(space.shown)[: int(asked.get("limit", ["100"])[0])]
            return {"vectors": [{"id": name} for name in names]}, {}
        actions = {
            "/vectors/upsert": project.upsert,
            "/query": project.query,
            "/vectors/delete": project.delete,
            "/vectors/update": project.update,
            "/describe_index_stats": project.stats,
        }
        if self.command != "POST" or place.path not in actions:
            raise RefusedError(404, "NOT_FOUND", f"{self.command} {place.path}")
        return actions[place.path](body)


class PineconeServer:
    """The server on a port of its own, until `close`."""

    def __init__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.project = self.project = Project()
        self._server.url = self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
