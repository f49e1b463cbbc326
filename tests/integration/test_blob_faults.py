"""Object stores that are away, hang, refuse or lack something; buckets made and inspected."""

import os
import re
import secrets
import shutil
import socket
import time
from dataclasses import replace

import pytest

from lookalike.adapters.blobs_obstore import ObstoreBlobStore
from lookalike.adapters.blobs_provision import BlobProvisioner
from lookalike.domain.errors import (
    BackendAuthError,
    BackendMissingError,
    BackendTimeoutError,
    BackendUnreachableError,
)
from services.catalogue import SERVICES
from tests.object_stores import BUCKET, Relay, gs_options, s3_options
from tests.pausing import paused

pytestmark = pytest.mark.service

CALLS = {
    "put": lambda store: store.put("a", b"1"),
    "put_many": lambda store: store.put_many({f"a/{n}": b"1" for n in range(40)}),
    "put_new": lambda store: store.put_new("a", b"1"),
    "get": lambda store: store.get("a"),
    "get_many": lambda store: store.get_many([f"a/{n}" for n in range(40)]),
    "has": lambda store: store.has("a"),
    "delete": lambda store: store.delete("a"),
    "delete_many": lambda store: store.delete_many(["a", "b"]),
    "keys": lambda store: list(store.keys()),
    "bytes_used": lambda store: store.bytes_used(),
}


def a_closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def new_name():
    return f"tests-{secrets.token_hex(6)}"


@pytest.fixture
def new_bucket():
    """The name of a bucket that is removed afterwards; both servers keep buckets as folders."""
    name = new_name()
    yield name
    for server in ("s3", "gcs"):
        shutil.rmtree(SERVICES[server].data / name, ignore_errors=True)
        (SERVICES[server].data / f"{name}.bucketMetadata").unlink(missing_ok=True)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_nothing_at_the_address(scheme, call):
    endpoint = f"http://127.0.0.1:{a_closed_port()}"
    options = s3_options(endpoint) if scheme == "s3" else gs_options(endpoint=endpoint)
    started = time.monotonic()
    with pytest.raises(BackendUnreachableError) as caught:
        CALLS[call](ObstoreBlobStore(f"{scheme}://{BUCKET}/x", options))
    assert time.monotonic() - started < 5
    assert endpoint in caught.value.backend
    assert caught.value.hint


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_secret(call):
    store = ObstoreBlobStore(f"s3://{BUCKET}/x", s3_options(secret="not the one"))
    with pytest.raises(BackendAuthError) as caught:
        CALLS[call](store)
    assert "not the one" not in str(caught.value)
    assert "Signature" not in str(caught.value).replace("SignatureDoesNotMatch", "")


@pytest.mark.parametrize("call", [call for call in CALLS if not call.startswith("delete")])
def test_no_such_bucket(call):
    # Nothing to delete is no error to S3Proxy, in no bucket either.
    bucket = new_name()
    store = ObstoreBlobStore(f"s3://{bucket}/x", s3_options(bucket=bucket))
    with pytest.raises(BackendMissingError) as caught:
        CALLS[call](store)
    assert caught.value.hint == "lookalike init-cluster --config FILE"


@pytest.mark.outage
@pytest.mark.parametrize("call", ["put", "get", "keys", "put_many"])
def test_a_server_that_hangs(call):
    options = s3_options(request_timeout_s=0.4, connect_timeout_s=0.4)
    url = f"s3://{BUCKET}/tests/{new_name()}"
    store = ObstoreBlobStore(url, options)
    started = time.monotonic()
    with paused("s3"):
        with pytest.raises(BackendTimeoutError):
            CALLS[call](store)
        assert time.monotonic() - started < 2.5
    patient = ObstoreBlobStore(url, s3_options())
    patient.put("b", b"1")
    assert patient.get("b") == b"1"
    patient.delete_many(patient.keys())


def test_a_large_blob_travels_in_parts():
    data = os.urandom(1 << 20) * 20
    with Relay(SERVICES["s3"].port) as relay:
        store = ObstoreBlobStore(
            f"s3://{BUCKET}/tests/{new_name()}", s3_options(relay.url, part_bytes=8 << 20)
        )
        store.put("small", b"1")
        assert b"partNumber" not in relay.said
        store.put("large", data)
        assert set(re.findall(rb"PUT \S+partNumber=(\d+)", relay.said)) == {b"1", b"2", b"3"}
        assert store.get("large") == data
        store.delete_many(["small", "large"])


def test_a_bucket_is_made_once_and_inspected(new_bucket):
    bucket = new_bucket
    provisioner = BlobProvisioner(f"s3://{bucket}/some/prefix", s3_options(bucket=bucket))
    (finding,) = provisioner.check()
    assert (finding.state, finding.remedy) == ("error", "lookalike init-cluster --config FILE")
    assert provisioner.prepare() == [f"the bucket {bucket}"]
    assert provisioner.prepare() == []
    assert [finding.state for finding in provisioner.check()] == ["ok", "ok"]
    store = ObstoreBlobStore(f"s3://{bucket}", s3_options(bucket=bucket))
    assert list(store.keys()) == []


def test_a_bucket_of_googles_is_made_where_no_credentials_are_asked_for(new_bucket):
    bucket = new_bucket
    options = gs_options(is_anonymous=True, service_account=None)
    provisioner = BlobProvisioner(f"gs://{bucket}", options)
    assert provisioner.prepare() == [f"the bucket {bucket}"]
    assert provisioner.prepare() == []
    assert [finding.state for finding in provisioner.check()] == ["ok", "ok"]
    store = ObstoreBlobStore(f"gs://{bucket}", options)
    assert store.signed_url("a", expires_s=5) is None


def test_what_is_wrong_is_a_finding():
    for options, word in (
        (s3_options(secret="wrong"), "credentials"),
        (s3_options(f"http://127.0.0.1:{a_closed_port()}"), "nothing answers"),
    ):
        provisioner = BlobProvisioner(f"s3://{BUCKET}", options)
        (finding,) = provisioner.check()
        assert finding.state == "error"
        assert word in finding.detail
        assert finding.remedy


def test_a_server_that_ignores_conditions_is_found_out(monkeypatch):
    provisioner = BlobProvisioner(f"s3://{BUCKET}/tests/{new_name()}", s3_options())
    monkeypatch.setattr(
        ObstoreBlobStore, "put_new", lambda self, key, data: self.put(key, data) or True
    )
    finding = provisioner.check()[-1]
    assert finding.state == "error"
    assert "conditional put ignored" in finding.detail


def test_a_bucket_cannot_be_made_without_keys(monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    bucket = new_name()
    options = replace(s3_options(bucket=bucket), access_key=None, is_anonymous=True)
    with pytest.raises(BackendAuthError) as caught:
        BlobProvisioner(f"s3://{bucket}", options).prepare()
    assert caught.value.hint == f"aws s3 mb s3://{bucket}"


def test_a_key_file_that_is_none():
    for account in ('{"a": 1}', "/nowhere/key.json"):
        store = ObstoreBlobStore(f"gs://{BUCKET}", gs_options(service_account=account))
        with pytest.raises(BackendAuthError) as caught:
            store.get("a")
        assert "key file" in caught.value.message
