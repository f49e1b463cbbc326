"""URLs and settings of blob stores, what their servers' errors mean, and signing by hand."""

from datetime import UTC, datetime

import pytest

from lookalike.adapters.blobs_buckets import S3Keys, _signed_headers
from lookalike.adapters.blobs_errors import translated
from lookalike.adapters.blobs_options import BlobOptions, BlobPlace
from lookalike.domain.errors import (
    BackendAuthError,
    BackendError,
    BackendFullError,
    BackendMissingError,
    BackendTimeoutError,
    BackendUnreachableError,
    UsageError,
)


def test_a_url_names_bucket_and_prefix():
    place = BlobPlace.from_url("s3://pictures/some/pre%20fix/")
    assert (place.scheme, place.bucket, place.prefix) == ("s3", "pictures", "some/pre fix")
    assert place.name == "s3://pictures/some/pre fix"
    assert BlobPlace.from_url("gs://pictures").prefix == ""


@pytest.mark.parametrize(
    "url",
    [
        "", "pictures", "ftp://pictures", "s3://", "s3:///prefix", "s3://key:secret@bucket",
        "s3://bucket:99", "s3://bucket:port", "s3://bucket/a/../b", "s3://bucket?region=x",
        "gs://bucket#a", "s3://[bucket",
    ],
)  # fmt: skip
def test_other_urls_are_refused_without_repeating_a_secret(url):
    with pytest.raises(UsageError) as caught:
        BlobOptions.from_url(url)
    assert caught.value.hint
    assert "secret" not in caught.value.message + caught.value.hint


def test_settings_are_read_by_name_and_kind():
    options = BlobOptions.from_url(
        "s3://b",
        username="key",
        password="secret",
        endpoint="https://localhost:9000",
        request_timeout_s=5,
    )
    assert (options.access_key, options.secret_key) == ("key", "secret")
    assert options.request_timeout_s == 5.0
    assert "secret" not in repr(options)


@pytest.mark.parametrize(
    "settings",
    [
        {"endpiont": "x"},
        {"access_key": "given as username"},
        {"retries": "3"},
        {"retries": True},
        {"retries": -1},
        {"is_http_allowed": "yes"},
        {"region": 7},
        {"request_timeout_s": 0},
        {"part_bytes": 1 << 20},
        {"endpoint": "localhost:9000"},
        {"endpoint": "https://key:secret@localhost"},
        {"endpoint": "http://localhost:9000"},
        {"username": "key"},
        {"password": "secret"},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(UsageError) as caught:
        BlobOptions.from_url("s3://b", **settings)
    assert caught.value.hint
    assert "secret@" not in caught.value.message


def test_the_keys_of_s3_are_not_for_google():
    with pytest.raises(UsageError, match="s3://"):
        BlobOptions.from_url("gs://b", username="key", password="secret")


def test_clear_text_has_to_be_allowed():
    options = BlobOptions.from_url("gs://b", endpoint="http://localhost:1", is_http_allowed=True)
    assert options.name_of("gs://b/c") == "gs://b/c at http://localhost:1"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("status code: 404 Not Found: <Code>NoSuchBucket</Code>", BackendMissingError),
        ("status code: 403 Forbidden: ", BackendAuthError),
        ("status code: 403: <Code>RequestTimeTooSkewed</Code>", BackendAuthError),
        ("status code: 403: <Code>QuotaExceeded</Code>", BackendFullError),
        ("status code: 507 Insufficient Storage", BackendFullError),
        ("status code: 503: <Code>SlowDown</Code>", BackendTimeoutError),
        ("status code: 429 Too Many Requests", BackendTimeoutError),
        ("HttpError { kind: Timeout, source", BackendTimeoutError),
        ("HttpError { kind: Connect, source: Connection refused", BackendUnreachableError),
        ("HttpError { kind: Connect, source: 169.254.169.254", BackendAuthError),
        ("status code: 301: <Code>PermanentRedirect</Code>", BackendError),
        ("something else", BackendError),
    ],
)
def test_errors_of_servers_become_ours(text, kind):
    error = translated("s3://b", text)
    assert type(error) is kind
    assert error.hint
    assert error.backend == "s3://b"


def test_no_address_and_so_no_signature_gets_into_a_message():
    error = translated("s3://b", "odd: http://h/b/k?X-Amz-Signature=5ec4e7 failed\nDebug source")
    assert "5ec4e7" not in error.message
    assert "Debug" not in error.message


@pytest.mark.parametrize(
    ("token", "names", "signature"),
    [
        (
            "",
            "host;x-amz-content-sha256;x-amz-date",
            "14b773dd81c5f464da5e186db3e39a28ec75fa635deabd8c6f125ea95c1930d1",
        ),
        (
            "tok",
            "host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
            "5d4e96725e7bc16f0e28dfa50a279ab662fe57600ddc54c52b53f96a2ca63ee2",
        ),
    ],
)
def test_a_request_is_signed_as_botocore_signs_it(token, names, signature):
    # The keys and the day of AWS's own examples; the signatures are those of botocore 1.44.8.
    keys = S3Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", token)
    now = datetime(2013, 5, 24, tzinfo=UTC)
    headers = _signed_headers("examplebucket.s3.amazonaws.com/", b"", (keys, "us-east-1", now))
    assert headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )
