"""Every error Lookalike raises on purpose, each with a hint on what to do next.

LookalikeError
├── UsageError                  the request is wrong                       exit 2, HTTP 400
│   ├── QueryError              a query that cannot be parsed
│   ├── FilterError             an unknown filter name or value
│   ├── CursorError             a cursor that is malformed or expired
│   └── UnknownNameError        a name that is not known (lists near ones)
├── NotFoundError               no such image                              exit 1, HTTP 404
├── ImageError                  a picture is refused, with a named reason  HTTP 422
├── FetchError                  a URL is refused or fails, with a reason   HTTP 422
├── SourceError                 a source of pictures cannot be read        exit 2, HTTP 400
├── StoreError                  a store cannot do its work                 exit 3, HTTP 503
│   ├── IndexMissingError       no index in that folder
│   ├── IndexFormatError        an index written by a newer version
│   ├── IndexLockedError        another process is writing
│   ├── IndexCorruptError       files that contradict the catalog
│   └── DiskFullError           no space is left
├── BundleError                 a model bundle cannot be used              exit 3, HTTP 503
│   ├── UnknownModelError       a bundle name that is not known
│   ├── MissingFileError        a file of the bundle is missing
│   ├── BundleCorruptError      a file's hash differs from the manifest
│   ├── EncoderMismatchError    the index was filled by another encoder
│   └── UnsupportedInputError   the encoder has no tower for this input
└── MissingExtraError           an optional dependency is not installed    exit 3
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class LookalikeError(Exception):
    """The root of the tree; `hint` says what to do next."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 3
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LookalikeError):
    """The request is wrong."""

    code = "usage"
    exit_code = 2
    http_status = 400


class QueryError(UsageError):
    """A query that cannot be parsed."""

    code = "query"


class FilterError(UsageError):
    """An unknown filter name or value."""

    code = "filter"


class CursorError(UsageError):
    """A cursor that is malformed or expired."""

    code = "cursor"


class UnknownNameError(UsageError):
    """A name that is not known; the message lists the nearest known ones."""

    code = "unknown_name"


class NotFoundError(LookalikeError):
    """No such image in this index."""

    code = "not_found"
    exit_code = 1
    http_status = 404


class ImageError(LookalikeError):
    """A picture is refused; `reason` is one of the names in `domain.reasons`."""

    code = "image"
    exit_code = 2
    http_status = 422

    def __init__(self, reason: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        """Cross a process boundary with the reason and the hint."""
        return (_rebuild_reasoned, (type(self), self.reason, self.message, self.hint))


class FetchError(ImageError):
    """A URL is refused or cannot be fetched; `reason` is a name as in `ImageError`."""

    code = "fetch"


class SourceError(LookalikeError):
    """A source of pictures cannot be read at all."""

    code = "source"
    exit_code = 2
    http_status = 400


class StoreError(LookalikeError):
    """A store cannot do its work."""

    code = "store"
    http_status = 503


class IndexMissingError(StoreError):
    """There is no index in that folder."""

    code = "index_missing"


class IndexFormatError(StoreError):
    """The index was written by a newer version."""

    code = "index_format"


class IndexLockedError(StoreError):
    """Another process is writing to the index."""

    code = "index_locked"


class IndexCorruptError(StoreError):
    """Files of the index contradict its catalog."""

    code = "index_corrupt"


class DiskFullError(StoreError):
    """No space is left on the device."""

    code = "disk_full"


class BundleError(LookalikeError):
    """A model bundle cannot be used."""

    code = "bundle"
    http_status = 503


class UnknownModelError(BundleError):
    """A bundle name that is not known."""

    code = "unknown_model"


class MissingFileError(BundleError):
    """A file named by the bundle is missing."""

    code = "model_file_missing"


class BundleCorruptError(BundleError):
    """A file's hash differs from the bundle's manifest."""

    code = "model_corrupt"


class EncoderMismatchError(BundleError):
    """The index was filled by another encoder than the one asked for."""

    code = "encoder_mismatch"
    http_status = 400


class UnsupportedInputError(BundleError):
    """The encoder has no tower for this kind of input."""

    code = "unsupported_input"
    http_status = 400


class MissingExtraError(LookalikeError):
    """An optional dependency is not installed."""

    code = "missing_extra"

    def __init__(self, feature: str, *, extra: str) -> None:
        super().__init__(
            f"{feature} needs an optional dependency that is not installed",
            hint=f"pip install 'lookalike[{extra}]'",
        )
        self.extra = extra


def suggest_names(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """Return a hint that lists the known names nearest to `name`."""
    known = sorted(known)
    near = difflib.get_close_matches(name.lower(), known, n=limit, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"known: {shown}"


def _rebuild_reasoned(kind: type[ImageError], reason: str, message: str, hint: str) -> ImageError:
    return kind(reason, message, hint=hint)
