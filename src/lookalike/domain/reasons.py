"""The names under which a picture can be refused; reports and counters use these words only."""

from __future__ import annotations

from typing import Final

EMPTY: Final = "empty-file"
TRUNCATED: Final = "truncated"
NOT_AN_IMAGE: Final = "not-an-image"
UNSUPPORTED: Final = "unsupported-format"
CORRUPT: Final = "corrupt"
TOO_MANY_PIXELS: Final = "too-many-pixels"
TOO_MANY_BYTES: Final = "too-many-bytes"
TOO_SMALL: Final = "too-small"
TOO_SLOW: Final = "too-slow"
DECODER_CRASHED: Final = "decoder-crashed"
UNREADABLE: Final = "unreadable"
VANISHED: Final = "vanished"
BLOCKED: Final = "blocked"
BAD_RECORD: Final = "bad-record"
BLOCKED_ADDRESS: Final = "blocked-address"
ROW_TAKEN: Final = "row-taken"
BAD_MESSAGE: Final = "bad-message"
FETCH_FAILED: Final = "fetch-failed"
FETCH_TIMEOUT: Final = "fetch-timeout"
OPTED_OUT: Final = "opted-out"

MEANING: Final[dict[str, str]] = {
    EMPTY: "the file holds no bytes",
    TRUNCATED: "the file ends before its picture does",
    NOT_AN_IMAGE: "the bytes are not a picture of any known format",
    UNSUPPORTED: "a known format that is not decoded (SVG, for one, which can hold scripts)",
    CORRUPT: "the decoder found the data damaged",
    TOO_MANY_PIXELS: "width × height is over the bound on pixels (or a frame bomb)",
    TOO_MANY_BYTES: "the file is over the bound on bytes",
    TOO_SMALL: "a side is under the smallest size that is indexed",
    TOO_SLOW: "decoding took longer than the bound on time",
    DECODER_CRASHED: "the decoder's process died on this file",
    UNREADABLE: "the file cannot be opened (permissions, or an I/O error)",
    VANISHED: "the file was listed, but is gone",
    BLOCKED: "the picture was removed with --block and may not come back",
    BAD_RECORD: "a row of the table or archive cannot be used",
    BLOCKED_ADDRESS: "the URL leads to a private, local or otherwise refused address",
    ROW_TAKEN: "another picture's id begins with the same 58 bits",
    BAD_MESSAGE: "a message of the ingest log cannot be understood",
    FETCH_FAILED: "the URL could not be fetched",
    FETCH_TIMEOUT: "fetching took longer than its bound",
    OPTED_OUT: "the page or the server asks that the picture is not indexed",
}
