"""The guarded fetcher against a real server on this machine, which is allowed explicitly."""

import gzip
import http.server
import socket
import ssl
import threading
import time
from typing import ClassVar

import pytest

from lookalike.adapters.fetch_http import FetchPolicy, GuardedFetcher
from lookalike.domain.errors import FetchError

JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 500
LOCAL = ("127.0.0.1",)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path; redirects go to whatever follows `/to/`."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list] = []

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.seen.append((self.path, dict(self.headers)))
        name = self.path.split("?")[0].strip("/").split("/")[0]
        try:
            getattr(self, f"answer_{name}", self.answer_missing)()
        except OSError:
            self.close_connection = True

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        for key, value in ({"Content_Type": "image/jpeg"} | headers).items():
            self.send_header(key.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_ok(self):
        self.answer(JPEG)

    def answer_missing(self):
        self.answer(b"no", 404)

    def answer_empty(self):
        self.answer(b"")

    def answer_page(self):
        self.answer(b"<html>hello</html>", Content_Type="text/html; charset=utf-8")

    def answer_mislabelled(self):
        self.answer(JPEG, Content_Type="text/plain")

    def answer_robots(self):
        self.answer(JPEG, X_Robots_Tag="max-image-preview:none, noai")

    def answer_preview(self):
        self.answer(JPEG, X_Robots_Tag="max-image-preview:none")

    def answer_to(self):
        self.answer(b"", 302, Location=self.path.split("/to/", 1)[1])

    def answer_loop(self):
        self.answer(b"", 301, Location="/loop")

    def answer_utf8(self):
        self.send_response(302)
        self.wfile.write(b"")
        self._headers_buffer.append("Location: /ok?é\r\n".encode())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer_nowhere(self):
        self.answer(b"", 302)

    def answer_endless(self):
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        while True:
            self.wfile.write(JPEG * 100)

    def answer_chunked(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(3):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(JPEG), JPEG))
        self.wfile.write(b"0\r\n\r\n")

    def answer_cut(self):
        self.answer(JPEG, Content_Length="5000")
        self.close_connection = True

    def answer_lies(self):
        self.answer(JPEG * 3, Content_Length="10")
        self.close_connection = True

    def answer_large(self):
        self.answer(b"", Content_Length="99999999999")
        self.close_connection = True

    def answer_gzip(self):
        self.answer(gzip.compress(JPEG), Content_Encoding="gzip")

    def answer_bomb(self):
        self.answer(gzip.compress(b"\0" * 50_000_000), Content_Encoding="gzip")

    def answer_br(self):
        self.answer(JPEG, Content_Encoding="br")

    def answer_slow(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b"x")
            time.sleep(0.05)

    def answer_slowhead(self):
        for byte in b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100:
            self.wfile.write(bytes([byte]))
            time.sleep(0.05)


@pytest.fixture(scope="module")
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fetcher():
    return GuardedFetcher(FetchPolicy(allow=LOCAL, max_bytes=100_000, timeout_s=5))


def reason_of(fetcher, url):
    with pytest.raises(FetchError) as caught:
        fetcher.fetch(url)
    return caught.value.reason


@pytest.mark.parametrize(
    "path", ["ok", "ok?a=b%20c&ü", "mislabelled", "gzip", "preview", "to//ok", "utf8"]
)
def test_pictures_are_fetched(server, fetcher, path):
    assert fetcher.fetch(f"{server}/{path}") == JPEG


def test_chunks_are_joined(server, fetcher):
    assert fetcher.fetch(f"{server}/chunked") == JPEG * 3


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing", "fetch-failed"),
        ("empty", "empty-file"),
        ("page", "not-an-image"),
        ("robots", "opted-out"),
        ("loop", "fetch-failed"),
        ("nowhere", "fetch-failed"),
        ("endless", "too-many-bytes"),
        ("large", "too-many-bytes"),
        ("bomb", "too-many-bytes"),
        ("br", "fetch-failed"),
        ("cut", "fetch-failed"),
        ("to/ftp://127.0.0.1/a", "blocked-address"),
        ("to/file:///etc/passwd", "blocked-address"),
        ("to/http://127.0.0.2/a", "blocked-address"),
        ("to/http://169.254.169.254/latest/meta-data", "blocked-address"),
        ("to/http://[::ffff:169.254.169.254]/", "blocked-address"),
        ("to/http://2130706434/", "blocked-address"),
        ("to/http://u:p@127.0.0.1/", "blocked-address"),
    ],
)
def test_refusals(server, fetcher, path, reason):
    assert reason_of(fetcher, f"{server}/{path}") == reason


def test_a_length_that_lies_is_not_exceeded(server, fetcher):
    assert fetcher.fetch(f"{server}/lies") == JPEG[:10]


def test_opt_out_is_for_indexing_only(server):
    policy = FetchPolicy(allow=LOCAL, is_opt_out_honoured=False)
    assert GuardedFetcher(policy).fetch(f"{server}/robots") == JPEG


@pytest.mark.parametrize("path", ["slow", "slowhead"])
def test_drops_of_bytes_gain_no_time(server, path):
    fetcher = GuardedFetcher(FetchPolicy(allow=LOCAL, timeout_s=0.4))
    began = time.monotonic()
    assert reason_of(fetcher, f"{server}/{path}") == "fetch-timeout"
    assert time.monotonic() - began < 3


def test_the_request_names_lookalike_and_asks_for_plain_bytes(server, fetcher, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    Handler.seen.clear()
    fetcher.fetch(f"{server}/ok#fragment")
    (path, headers), *_ = Handler.seen
    assert path == "/ok"
    assert headers["User-Agent"].startswith("Lookalike/")
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Host"] == server.removeprefix("http://")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://0/", "http://127.1/",
        "http://0x7f000001/", "http://017700000001/", "http://2130706433/", "http://0.0.0.0/",
        "http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/", "http://[fe80::1%25eth0]/",
        "http://169.254.169.254/", "http://[::ffff:7f00:1]/", "http://[64:ff9b::7f00:1]/",
        "ftp://example.org/a.jpg", "file:///etc/passwd", "gopher://example.org/",
        "http://user@93.184.216.34/", "http://user:pw@93.184.216.34/", "http://93.184.216.34:22/",
        "http://127.0.0.1./",
    ],
)  # fmt: skip
def test_blocked_without_a_connection(url, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: pytest.fail("connected"))
    assert reason_of(GuardedFetcher(resolver=lambda h, p: ("127.0.0.1",)), url) == "blocked-address"


@pytest.mark.parametrize(
    "url",
    ["http:///a", "http://", "http://x.org:99999/", "http://x.org:0/", "http://x.org/a b",
     "http://x.org\\@y.org/", "http://x.org/\r\nHost: y", "http://[bad/", "http://" + "a" * 9000,
     "http://x..org/é", "http://" + "é" * 300 + ".org/"],
)  # fmt: skip
def test_malformed_urls(url, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: pytest.fail("connected"))

    def resolve(host, port):
        raise OSError("no such host")

    assert reason_of(GuardedFetcher(resolver=resolve), url) == "fetch-failed"


def test_one_private_address_among_public_ones_is_enough():
    fetcher = GuardedFetcher(resolver=lambda h, p: ("93.184.216.34", "10.0.0.1"))
    assert reason_of(fetcher, "http://mixed.example/") == "blocked-address"


def test_a_name_is_resolved_once_and_its_checked_address_is_used(server, monkeypatch):
    answers = iter([("93.184.216.34",), ("127.0.0.1",)])
    asked, connected = [], []

    def resolve(host, port):
        asked.append(host)
        return next(answers)

    def connect(address, timeout):
        connected.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    assert reason_of(GuardedFetcher(resolver=resolve), "http://rebind.example/") == "fetch-failed"
    assert asked == ["rebind.example"]
    assert connected == [("93.184.216.34", 80)]


def test_rebinding_at_a_redirect_is_refused(server):
    answers = iter([("127.0.0.1",), ("10.0.0.1",)])
    port = server.rsplit(":", 1)[1]
    Handler.seen.clear()
    fetcher = GuardedFetcher(FetchPolicy(allow=LOCAL), resolver=lambda h, p: next(answers))
    url = f"http://rebind.example:{port}/to/http://rebind.example:{port}/ok"
    assert reason_of(fetcher, url) == "blocked-address"
    assert [headers["Host"] for _, headers in Handler.seen] == [f"rebind.example:{port}"]


def test_an_allowed_host_may_be_private(server):
    port = server.rsplit(":", 1)[1]
    fetcher = GuardedFetcher(
        FetchPolicy(allow=(".intranet",)), resolver=lambda h, p: ("127.0.0.1",)
    )
    assert fetcher.fetch(f"http://pics.intranet:{port}/ok") == JPEG
    assert reason_of(fetcher, f"http://pics.example:{port}/ok") == "blocked-address"


def test_a_resolver_that_hangs_is_left(server):
    release = threading.Event()

    def resolve(host, port):
        release.wait(10)
        return ("93.184.216.34",)

    fetcher = GuardedFetcher(FetchPolicy(timeout_s=0.3), resolver=resolve)
    began = time.monotonic()
    assert reason_of(fetcher, "http://slow.example/") == "fetch-timeout"
    release.set()
    assert time.monotonic() - began < 3


def test_nothing_listens(fetcher):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert reason_of(fetcher, f"http://127.0.0.1:{port}/") == "fetch-failed"


def test_tls_to_a_plain_server_fails_clearly(server, fetcher):
    url = server.replace("http:", "https:")
    assert reason_of(fetcher, f"{url}/ok") == "fetch-failed"


def test_tls_is_told_the_name_not_the_address(server, monkeypatch):
    told = []

    def wrap(context, raw, server_hostname):
        told.append((server_hostname, context.verify_mode, context.check_hostname))
        return raw  # the server behind it speaks plain HTTP

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap)
    fetcher = GuardedFetcher(FetchPolicy(allow=LOCAL), resolver=lambda h, p: ("127.0.0.1",))
    port = server.rsplit(":", 1)[1]
    assert fetcher.fetch(f"https://secure.example:{port}/ok") == JPEG
    assert told == [("secure.example", ssl.CERT_REQUIRED, True)]


def test_passwords_do_not_reach_messages(fetcher):
    with pytest.raises(FetchError) as caught:
        fetcher.fetch("http://me:secret@93.184.216.34/")
    assert "secret" not in str(caught.value)
