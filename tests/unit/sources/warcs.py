"""Writes small WARC files by hand, with whatever may be wrong in one."""

from __future__ import annotations

import base64
import gzip
import hashlib


def digest(body):
    return "sha1:" + base64.b32encode(hashlib.sha1(body).digest()).decode()


def record(kind, url, block, *, media="application/http;msgtype=response", **headers):
    fields = {
        "WARC-Type": kind,
        "WARC-Target-URI": url,
        "WARC-Date": "2024-03-01T12:00:00Z",
        "WARC-Record-ID": f"<urn:uuid:{hashlib.md5(url.encode() + block).hexdigest()}>",
        "Content-Type": media,
    }
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    fields.setdefault("Content-Length", str(len(block)))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + block + b"\r\n\r\n"


def response(url, body, media, *, status=200, http=(), raw=None, **headers):
    """A response; `raw` is the body as it was sent where that differs."""
    lines = [f"HTTP/1.1 {status} OK", f"Content-Type: {media}", *http]
    block = "\r\n".join(lines).encode() + b"\r\n\r\n" + (body if raw is None else raw)
    headers.setdefault("WARC_Payload_Digest", digest(body))
    return record("response", url, block, **headers)


def page(url, html, **more):
    return response(url, html.encode(), "text/html; charset=utf-8", **more)


def write(path, records):
    """Write records, each in a gzip member of its own where the name ends in .gz."""
    packed = path.suffix == ".gz"
    path.write_bytes(b"".join(gzip.compress(one) if packed else one for one in records))
    return path
