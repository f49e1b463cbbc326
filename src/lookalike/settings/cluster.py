"""`lookalike.toml`: the back ends of a cluster by URL; their secrets come from the environment.

    name = "photos"
    encoder = "lite"

    [catalog]
    url = "cassandra://10.0.0.1:9042,10.0.0.2:9042/photos"
    consistency = "LOCAL_QUORUM"

    [text]
    url = "elasticsearch://10.0.0.3:9200/photos"

    [vectors]
    url = "milvus://10.0.0.4:19530/photos"

    [blobs]
    url = "s3://photos/index"

    [log]
    url = "kafka://10.0.0.5:9092/photos"

Every further line of a table is a setting of its back end. `[log]` may be left out: pictures are
then indexed by whoever adds them. `[features]` says what is looked for in pictures
(`settings.features`), `[clicks]` what is kept of users' clicks (`settings.clicks`), `[search]` how
searches are answered (`settings.answering`).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from lookalike.domain.errors import UsageError, suggest_names
from lookalike.domain.queries import Answering
from lookalike.settings.answering import read_answering
from lookalike.settings.clicks import ClickSettings, read_clicks
from lookalike.settings.features import Features, read_features

PORTS: Final = ("catalog", "text", "vectors", "blobs", "log")
REQUIRED: Final = ("catalog", "text", "vectors", "blobs")
SCHEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "catalog": ("cassandra",),
    "text": ("elasticsearch", "elasticsearch+https", "opensearch", "opensearch+https"),
    "vectors": ("milvus", "pinecone"),
    "blobs": ("s3", "gs", "file"),
    "log": ("kafka", "sqlite"),
}
SECRETS: Final[Mapping[str, tuple[str, ...]]] = {
    "catalog": ("username", "password"),
    "text": ("username", "password", "api_key"),
    "vectors": ("username", "password", "api_key"),
    "blobs": ("access_key", "secret_key"),
    "log": ("username", "password"),
}
"""What is read of the environment for each table, as LOOKALIKE_CATALOG_PASSWORD for one."""

CLUSTER_VARIABLES: Final[Mapping[str, str]] = {
    "LOOKALIKE_CONFIG": "the cluster's lookalike.toml, where neither --config nor --index is given",
    **{
        f"LOOKALIKE_{port}_{secret}".upper(): f"{secret.replace('_', ' ')} of the [{port}] back end"
        for port, secrets in SECRETS.items()
        for secret in secrets
    },
}

_SECRET_NAME: Final = re.compile(r"pass(word|wd)?$|secret|token$|api_?key|access_?key|credential")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """One table of the file: where a back end is, its settings and its secrets."""

    port: str
    url: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    @property
    def scheme(self) -> str:
        """The kind of the back end."""
        return urlsplit(self.url).scheme


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """A whole `lookalike.toml`."""

    path: Path
    name: str
    encoder: str | None
    backends: Mapping[str, BackendConfig]
    features: Features = field(default_factory=Features)
    clicks: ClickSettings = field(default_factory=ClickSettings)
    answering: Answering = field(default_factory=Answering)


def load_cluster(
    path: str | os.PathLike[str], environment: Mapping[str, str] | None = None
) -> ClusterConfig:
    """Read a `lookalike.toml`, with the secrets of the environment (or of the mapping given).

    Raises:
        UsageError: the file is missing, is no TOML, lacks a table, names what is unknown, or
            holds a secret.
    """
    where = Path(path).expanduser()
    try:
        values = tomllib.loads(where.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no {where}", hint="docs/cluster.md has one to begin with"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{where} cannot be read: {error}") from error
    except OSError as error:
        raise UsageError(f"{where} cannot be opened: {error.strerror}") from error
    known = ("name", "encoder", "features", "clicks", "search", *PORTS)
    for key in values:
        if key not in known:
            raise UsageError(f"{where}: {key} is not known", hint=suggest_names(key, known))
    name, encoder = values.get("name", "lookalike"), values.get("encoder")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{where}: name is {name!r}", hint="write small letters, digits and _, at most 40"
        )
    if encoder is not None and not isinstance(encoder, str):
        raise UsageError(f"{where}: encoder must be the name or the folder of a bundle")
    for port in REQUIRED:
        if port not in values:
            raise UsageError(f"{where}: there is no [{port}]", hint=_example(port))
    secrets = os.environ if environment is None else environment
    backends = {
        port: _backend(where, port, values[port], secrets) for port in PORTS if port in values
    }
    features = read_features(values.get("features", {}), str(where))
    clicks = read_clicks(values.get("clicks", {}), str(where))
    answering = read_answering(values.get("search", {}), str(where))
    return ClusterConfig(where.absolute(), name, encoder, backends, features, clicks, answering)


def _backend(
    where: Path, port: str, table: object, environment: Mapping[str, str]
) -> BackendConfig:
    if not isinstance(table, dict):
        raise UsageError(f"{where}: {port} must be a table", hint=_example(port))
    settings = dict(cast("dict[str, Any]", table))
    url = settings.pop("url", None)
    if not isinstance(url, str):
        raise UsageError(f"{where}: [{port}] names no url", hint=_example(port))
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES[port]:
        raise UsageError(
            f"{where}: [{port}] cannot be {scheme or url!r}",
            hint="known: " + ", ".join(f"{one}://" for one in SCHEMES[port]),
        )
    variables = {name: f"LOOKALIKE_{port}_{name}".upper() for name in SECRETS[port]}
    hint = "secrets come from the environment: " + ", ".join(variables.values())
    if "@" in urlsplit(url).netloc:
        raise UsageError(f"{where}: the url of [{port}] holds credentials", hint=hint)
    for key in settings:
        if _SECRET_NAME.search(key.lower()):
            raise UsageError(f"{where}: {key} of [{port}] is a secret", hint=hint)
    given = {name: environment[of] for name, of in variables.items() if environment.get(of)}
    return BackendConfig(port, url, settings, given)


def _example(port: str) -> str:
    places = {
        "catalog": "cassandra://127.0.0.1:9042/photos",
        "text": "elasticsearch://127.0.0.1:9200/photos",
        "vectors": "milvus://127.0.0.1:19530/photos",
        "blobs": "s3://photos",
        "log": "kafka://127.0.0.1:9092/photos",
    }
    return f'write: [{port}] and below it url = "{places[port]}"'
