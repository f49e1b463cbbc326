"""Messages of the ingest log: what is written is read, and nothing else passes for one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.errors import MessageError, MessageTooLargeError
from lookalike.domain.images import Source, image_id
from lookalike.domain.ingest_messages import (
    MOST_BYTES,
    MOST_TEXT,
    PutMessage,
    RemoveMessage,
    decode_message,
    encode_message,
    key_of,
)

TEXT = st.text(max_size=30)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SOURCES = st.builds(
    Source, uri=st.text(min_size=1, max_size=30), fingerprint=TEXT, page_url=TEXT, site=TEXT,
    title=TEXT, alt_text=TEXT, caption=TEXT, page_text=TEXT, licence=TEXT,
    taken=st.none() | NUMBERS, seen=NUMBERS,
)  # fmt: skip
MESSAGES = st.builds(
    PutMessage, SOURCES, st.sampled_from(["blob", "url", "path"]), st.text(min_size=1),
    st.booleans(),
) | st.builds(RemoveMessage, st.binary(max_size=4).map(image_id), st.booleans())  # fmt: skip


@given(message=MESSAGES)
def test_a_message_comes_back(message):
    assert decode_message(encode_message(message)) == message


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_message_or_our_error(data):
    try:
        decode_message(data)
    except MessageError as error:
        assert error.message


@given(
    value=st.recursive(
        st.none() | st.booleans() | NUMBERS | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    ),
    name=st.sampled_from(["v", "op", "source", "blob", "url", "image"]),
)
def test_any_field_may_be_odd(value, name):
    message = {"v": 1, "op": "put", "source": {"uri": "/a"}, "blob": "b", name: value}
    try:
        decode_message(json.dumps(message).encode())
    except MessageError as error:
        assert error.message


@pytest.mark.parametrize(
    "message",
    [
        {"v": 2, "op": "put", "source": {"uri": "/a"}, "blob": "b"},
        {"v": 1, "op": "put", "source": {"uri": "/a"}},
        {"v": 1, "op": "put", "source": {"uri": "/a"}, "blob": "b", "url": "c"},
        {"v": 1, "op": "put", "source": {"uri": "/a", "nonsense": "x"}, "blob": "b"},
        {"v": 1, "op": "put", "source": {"uri": "/a", "taken": float("inf")}, "blob": "b"},
        {"v": 1, "op": "remove", "image": "abc"},
        {"v": 1, "op": "dance"},
        [],
    ],
)
def test_odd_messages_are_refused(message):
    with pytest.raises(MessageError):
        decode_message(json.dumps(message).encode())


def test_long_texts_are_cut_and_huge_messages_refused():
    cut = decode_message(
        encode_message(PutMessage(Source("/a", caption="x" * 10**6), "path", "/a"))
    )
    assert len(cut.source.caption) == MOST_TEXT
    with pytest.raises(MessageTooLargeError):
        encode_message(PutMessage(Source("/" + "a" * MOST_BYTES), "path", "/a"))
    with pytest.raises(MessageTooLargeError):
        decode_message(b" " * (MOST_BYTES + 1))


def test_messages_about_one_image_share_its_key():
    image = image_id(b"x")
    put = PutMessage(Source("upload:x"), "blob", f"incoming/{image[:2]}/{image}")
    assert key_of(put) == key_of(RemoveMessage(image)) == image
    assert key_of(PutMessage(Source("https://a/b"), "url", "https://a/b")) == "https://a/b"
