"""What every blob store promises; a new back end adds one line to `STORES`."""

import os
import secrets
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.adapters.blobs_obstore import ObstoreBlobStore
from lookalike.adapters.blobs_provision import BlobProvisioner
from lookalike.domain.errors import StoreError
from services import run
from tests.object_stores import BUCKET, gs_options, s3_options

STORES = {
    "file": lambda folder: ObstoreBlobStore((folder / "my blobs %20é").as_uri()),
    "memory": lambda folder: ObstoreBlobStore("memory:///"),
    "s3": lambda folder: ObstoreBlobStore(fresh("s3"), s3_options()),
    "gs": lambda folder: ObstoreBlobStore(fresh("gs"), gs_options()),
}
SERVED = [pytest.param(name, marks=pytest.mark.service) for name in ("s3", "gs")]


def fresh(scheme):
    """A prefix of the one bucket that no test has used."""
    return f"{scheme}://{BUCKET}/tests/é %20/{secrets.token_hex(8)}"


BAD_KEYS = [
    "",
    "/etc/passwd",
    "../up",
    "a/../../b",
    "a//b",
    "a/./b",
    "a/",
    "a\\..\\b",
    "a\0b",
    "\udcff",
]


@pytest.fixture(params=["file", "memory", *SERVED])
def store(request, tmp_path):
    store = STORES[request.param](tmp_path)
    yield store
    if request.param in {"s3", "gs"}:
        store.delete_many(store.keys())


@pytest.fixture(scope="session", autouse=True)
def bucket():
    """The server may have been started before it was told of its bucket."""
    if run.is_up("s3"):
        BlobProvisioner(f"s3://{BUCKET}", s3_options()).prepare()


@pytest.fixture(params=SERVED)
def served(request, tmp_path):
    store = STORES[request.param](tmp_path)
    yield store
    store.delete_many(store.keys())


def test_gives_back_what_was_put(store):
    store.put("thumbnails/ab/abcd", b"one")
    assert store.get("thumbnails/ab/abcd") == b"one"
    assert store.has("thumbnails/ab/abcd")


def test_a_put_replaces(store):
    store.put("a", b"one")
    store.put("a", b"two")
    assert store.get("a") == b"two"
    assert list(store.keys()) == ["a"]
    assert store.bytes_used() == 3


def test_an_unknown_key_is_none_and_deleting_it_does_nothing(store):
    assert store.get("a/b") is None
    assert not store.has("a/b")
    store.delete("a/b")
    assert store.bytes_used() == 0
    assert list(store.keys()) == []


def test_a_deleted_blob_is_gone(store):
    store.put_many({"a/b": b"1", "a/c": b"2"})
    store.delete("a/b")
    assert store.get("a/b") is None
    assert list(store.keys()) == ["a/c"]


def test_many_are_given_back_and_the_unknown_left_out(store):
    blobs = {f"t/{number % 7}/{number}": bytes([number]) * number for number in range(70)}
    store.put_many(blobs)
    assert store.get_many([*blobs, "t/none", *blobs]) == blobs
    assert store.get_many(iter(["t/none"])) == {}
    assert store.get_many([]) == {}


def test_many_are_deleted_and_the_unknown_passed_over(store):
    store.put_many({f"t/{number}": b"x" for number in range(40)})
    store.delete_many(f"t/{number}" for number in range(1, 50))
    assert list(store.keys()) == ["t/0"]
    store.delete_many([])
    store.delete_many(["t/none"])
    assert list(store.keys()) == ["t/0"]


def test_a_new_blob_is_written_once(store):
    assert store.put_new("a/b", b"one")
    assert not store.put_new("a/b", b"two")
    assert store.get("a/b") == b"one"
    store.delete("a/b")
    assert store.put_new("a/b", b"three")


def test_of_many_writers_of_a_new_blob_exactly_one_is_told_yes(store):
    writers = 12
    for attempt in range(5):
        start = Barrier(writers)

        def write(number, key=f"models/{attempt}", start=start):
            start.wait()
            return store.put_new(key, b"%d" % number)

        with ThreadPoolExecutor(writers) as pool:
            told = list(pool.map(write, range(writers)))
        assert sum(told) == 1
        assert store.get(f"models/{attempt}") == b"%d" % told.index(True)


def test_a_large_blob_comes_back_whole(store):
    data = os.urandom(1 << 20) * 20
    store.put("large", data)
    assert store.get("large") == data
    assert store.bytes_used() == len(data)


@pytest.mark.parametrize(
    "key", ["a b%20é", "x?y=z&w", "plus+sign", "hash#a", "tilde~*'()", "ö/日本.webp", "%", "a%2Fb"]
)
def test_odd_keys_are_keys(store, key):
    store.put(key, b"1")
    assert list(store.keys()) == [key]
    assert store.get_many([key]) == {key: b"1"}
    store.delete_many([key])
    assert not store.has(key)


def test_a_signed_url_gives_the_blob_to_anybody(served):
    served.put("t/é 1", b"a thumbnail")
    url = served.signed_url("t/é 1", expires_s=60)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"a thumbnail"


@pytest.mark.service
def test_a_signed_url_ends(tmp_path):
    # Google's emulator looks at no signature, so this one is for S3 alone.
    store = STORES["s3"](tmp_path)
    store.put("t/1", b"a thumbnail")
    url = store.signed_url("t/1", expires_s=1)
    time.sleep(2.1)
    for refused in (url, url[:-4] + "beef", url.partition("?")[0]):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(refused)
        assert caught.value.code == 403
        caught.value.close()
    store.delete("t/1")


@pytest.mark.parametrize("name", ["file", "memory"])
def test_a_folder_signs_nothing(tmp_path, name):
    store = STORES[name](tmp_path)
    store.put("a", b"1")
    assert store.signed_url("a", expires_s=60) is None


def test_another_prefix_of_a_bucket_is_another_store(served, tmp_path):
    served.put("a", b"1")
    others = [STORES[name](tmp_path) for name in ("s3", "gs")]
    assert [other.get("a") for other in others] == [None, None]
    assert [list(other.keys()) for other in others] == [[], []]


def test_a_folder_of_blobs_is_no_blob(store):
    store.put("a/b", b"1")
    assert store.get("a") is None
    assert not store.has("a")


def test_an_empty_blob_is_a_blob(store):
    store.put("a", b"")
    assert store.get("a") == b""


def test_keys_begin_with_the_prefix_even_within_a_name(store):
    store.put_many(dict.fromkeys(("t/ab/abcd", "t/ab/abef", "t/ac/acab", "u/ab"), b"x"))
    assert sorted(store.keys("t/ab/abc")) == ["t/ab/abcd"]
    assert sorted(store.keys("t/a")) == ["t/ab/abcd", "t/ab/abef", "t/ac/acab"]
    assert sorted(store.keys("t/")) == ["t/ab/abcd", "t/ab/abef", "t/ac/acab"]
    assert list(store.keys("x/y")) == []


@pytest.mark.parametrize("key", BAD_KEYS)
def test_keys_that_could_leave_the_store_are_refused(store, key):
    for action in (store.get, store.has, store.delete):
        with pytest.raises(StoreError):
            action(key)
    with pytest.raises(StoreError):
        store.put(key, b"x")
    with pytest.raises(StoreError):
        store.put_many({"good": b"x", key: b"x"})
    with pytest.raises(StoreError):
        store.put_new(key, b"x")
    with pytest.raises(StoreError):
        store.get_many(["good", key])
    with pytest.raises(StoreError):
        store.delete_many(["good", key])
    with pytest.raises(StoreError):
        store.signed_url(key, expires_s=1)
    assert list(store.keys()) == []


@given(st.dictionaries(st.from_regex(r"[a-z0-9]{1,3}(/[a-z0-9]{4})?", fullmatch=True), st.binary()))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_put_many_puts_them_all(tmp_path, blobs):
    store = STORES["memory"](tmp_path)
    blobs = {f"k/{key}/v": data for key, data in blobs.items()}
    store.put_many(blobs)
    assert {key: store.get(key) for key in list(store.keys())} == blobs
    assert store.bytes_used() == sum(map(len, blobs.values()))


def test_many_threads_put_and_get(store):
    def work(number):
        store.put(f"t/{number % 10}/{number}", bytes([number]))
        return store.get(f"t/{number % 10}/{number}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(100))) == [bytes([number]) for number in range(100)]


def test_a_folder_whose_name_is_not_utf8(tmp_path):
    folder = tmp_path / os.fsdecode(b"odd \xff")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("needs a file system that takes names that are not UTF-8")
    store = ObstoreBlobStore(folder.as_uri())
    store.put("a/b", b"1")
    assert store.get("a/b") == b"1"
    assert (folder / "a" / "b").read_bytes() == b"1"


def test_a_store_that_cannot_be_opened_is_our_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError):
        ObstoreBlobStore((tmp_path / "file").as_uri()).put("a", b"1")
    with pytest.raises(StoreError):
        ObstoreBlobStore("nonsense://there").get("a")


def test_opening_touches_nothing(tmp_path):
    ObstoreBlobStore((tmp_path / "blobs").as_uri())
    assert not (tmp_path / "blobs").exists()
