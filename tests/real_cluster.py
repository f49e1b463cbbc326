"""A whole cluster over the servers of `make services`, in places of its own."""

import os
import secrets
import sys
from contextlib import contextmanager

from lookalike.settings import Settings
from lookalike.settings.cluster import load_cluster
from lookalike.wiring.backends import Backends
from lookalike.wiring.cluster import assemble_cluster, make_cluster
from lookalike.wiring.embedded import OpenOptions
from lookalike.wiring.manifest import SpaceEntry
from tests.real_services import need
from tests.toy import DIM, ToyEncoder

SERVERS = ("cassandra", "elasticsearch", "milvus", "s3", "kafka")
KEYS = {"LOOKALIKE_BLOBS_ACCESS_KEY": "test", "LOOKALIKE_BLOBS_SECRET_KEY": "testsecret"}
"""What the S3 server of `make services` takes."""


_MADE = []


def tidy():
    """Remove every place that a configuration of this run named."""
    from services.tidying import drop

    while _MADE:
        for left in drop(_MADE.pop()):
            sys.stderr.write(f"{left}\n")


def write_config(folder, *, encoder=None, text_server="elasticsearch", features="", **tables):
    """Write a `lookalike.toml` whose places no other test has; extra lines come by table.

    Without an encoder it is for the toy one, in whose pictures nothing is to be seen.
    """
    urls = {name: need(name) for name in SERVERS if name != "elasticsearch"} | {
        "text": need(text_server)
    }
    name = f"t{secrets.token_hex(5)}"
    _MADE.append(name)
    usual = {
        "catalog": f'url = "{urls["cassandra"]}/{name}"',
        "text": f'url = "{urls["text"]}/{name}"\nrefresh = "true"',
        "vectors": f'url = "{urls["milvus"]}/{name}"',
        "blobs": f'url = "s3://{name}"\nendpoint = "{urls["s3"]}"\nis_http_allowed = true',
        "log": f'url = "{urls["kafka"]}/{name}"\npartitions = 3',
    }
    lines = [f'name = "{name}"', *([f'encoder = "{encoder}"'] if encoder else [])]
    nothing = 'objects = false\nocr = "off"\ncopies = "off"'
    lines += ["[features]", features or ("" if encoder else nothing)]
    for port, table in usual.items():
        lines += [f"[{port}]", table, tables.get(port, "")]
    path = folder / "lookalike.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def configured(path):
    """Return the configuration with the test servers' keys."""
    return load_cluster(path, dict(os.environ) | KEYS)


def make(path, space=None):
    """Make everything of a cluster, for the toy encoder unless a space is given."""
    backends = Backends(configured(path))
    try:
        return make_cluster(backends, space or SpaceEntry("toy", DIM))
    finally:
        backends.close()


@contextmanager
def opened(path, encoder=None, **options):
    """Open the engine of a cluster with the toy encoder, or with another."""
    settings = Settings(decoders=1, threads=1)
    engine = assemble_cluster(
        Backends(configured(path)),
        OpenOptions(**options),
        settings,
        encoder=encoder or ToyEncoder(),
    )
    with engine:
        yield engine
