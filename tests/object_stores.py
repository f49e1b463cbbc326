"""Object stores for tests: the options of the real servers, and a relay that looks on."""

import functools
import json
import shutil
import socket
import subprocess
import threading

import pytest

from lookalike.adapters.blobs_options import BlobOptions
from services.catalogue import BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY
from tests.real_services import need

__all__ = ["BUCKET", "Relay", "gs_options", "s3_options"]


def s3_options(endpoint=None, *, secret=S3_SECRET_KEY, bucket=BUCKET, **settings):
    """Options for the real S3 server."""
    return BlobOptions.from_url(
        f"s3://{bucket}",
        username=S3_ACCESS_KEY,
        password=secret,
        endpoint=endpoint or need("s3"),
        is_http_allowed=True,
        **settings,
    )


def gs_options(**settings):
    """Options for the emulator of Google's store, with a key file that signs."""
    endpoint = need("gcs")
    account = {"client_email": "tests@example.org", "private_key_id": "1", "private_key": _rsa()}
    return BlobOptions.from_url(
        f"gs://{BUCKET}",
        **{
            "endpoint": endpoint,
            "is_http_allowed": True,
            "service_account": json.dumps(account),
            **settings,
        },
    )


@functools.cache
def _rsa():
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command, for a key that signs")
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Relay:
    """Passes TCP connections on to a port of this machine, and keeps what clients said."""

    def __init__(self, port):
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.said = bytearray()
        self._sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        for each in self._sockets:
            each.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            self._sockets += [client, server]
            for source, target, is_kept in ((client, server, True), (server, client, False)):
                threading.Thread(
                    target=self._pump, args=(source, target, is_kept), daemon=True
                ).start()

    def _pump(self, source, target, is_kept):
        try:
            while data := source.recv(1 << 16):
                if is_kept:
                    self.said += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return
