"""What every blob store promises; a new back end adds one line to `STORES`."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.adapters.blobs_obstore import ObstoreBlobStore
from lookalike.domain.errors import StoreError

STORES = {
    "file": lambda folder: ObstoreBlobStore((folder / "my blobs %20é").as_uri()),
    "memory": lambda folder: ObstoreBlobStore("memory:///"),
}

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


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    return STORES[request.param](tmp_path)


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
