"""The one call that obstore lacks: making a bucket.

For S3 it is a PUT signed by hand, after AWS Signature Version 4
(https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from lookalike.adapters.blobs_errors import translated

if TYPE_CHECKING:
    from datetime import datetime

    from lookalike.adapters.blobs_options import BlobOptions

_HOME_REGION: Final = "us-east-1"
"""The one region that a bucket made there may not name."""


@dataclass(frozen=True, slots=True)
class S3Keys:
    """A pair of keys, and the token of a session that they may need."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


def make_s3_bucket(
    name: str, bucket: str, keys: S3Keys, options: BlobOptions, now: datetime
) -> bool:
    """Make a bucket, and tell whether it was made just now.

    Raises:
        BackendError: it cannot be, or it is somebody else's.
    """
    region = options.region
    endpoint = options.endpoint or f"https://s3.{region}.amazonaws.com"
    body = b"" if region == _HOME_REGION else _constraint(region)
    path = f"{urlsplit(endpoint).path.rstrip('/')}/{bucket}"
    headers = _signed_headers(f"{urlsplit(endpoint).netloc}{path}", body, (keys, region, now))
    status, text = _send(name, options, ("PUT", endpoint, path), (body, headers))
    return _is_made(name, status, text, "<Code>BucketAlreadyOwnedByYou</Code>")


def make_gs_bucket(name: str, bucket: str, options: BlobOptions) -> bool:
    """Make a bucket on a server that asks for no credentials, as emulators do."""
    query = urlencode({"project": options.project or "lookalike"})
    body, headers = json.dumps({"name": bucket}).encode(), {"Content-Type": "application/json"}
    call = ("POST", options.endpoint, f"/storage/v1/b?{query}")
    status, text = _send(name, options, call, (body, headers))
    return _is_made(name, status, text, "")


def _send(
    name: str,
    options: BlobOptions,
    call: tuple[str, str, str],
    content: tuple[bytes, dict[str, str]],
) -> tuple[int, str]:
    """Make one call; redirects are not followed, as a signature holds for one place only."""
    method, endpoint, path = call
    parts = urlsplit(endpoint)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.netloc, timeout=options.request_timeout_s)
    try:
        connection.request(method, path, *content)
        answer = connection.getresponse()
        return answer.status, answer.read(4096).decode("utf-8", "replace")
    except TimeoutError:
        raise translated(name, "kind: Timeout") from None
    except (HTTPException, OSError):
        raise translated(name, "kind: Connect") from None
    finally:
        connection.close()


def _is_made(name: str, status: int, text: str, ours: str) -> bool:
    if status < 300:
        return True
    if status == 409 and ours in text:
        return False
    raise translated(name, f"status code: {status} {text}")


def _constraint(region: str) -> bytes:
    return (
        '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    ).encode()


def _signed_headers(
    place: str, body: bytes, signer: tuple[S3Keys, str, datetime]
) -> dict[str, str]:
    keys, region, now = signer
    host, _, path = place.partition("/")
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": moment}
    if keys.session_token:
        headers["x-amz-security-token"] = keys.session_token
    signed = ";".join(headers)
    lines = "".join(f"{key}:{value}\n" for key, value in headers.items())
    canonical = f"PUT\n/{path}\n\n{lines}\n{signed}\n{digest}"
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}"
    key = f"AWS4{keys.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )
    return headers
