"""Every error Lookalike raises on purpose, each with a hint on what to do next.

LookalikeError
├── UsageError                  the request is wrong                       exit 2, HTTP 400
│   ├── QueryError              a query that cannot be parsed
│   ├── FilterError             an unknown filter name or value
│   ├── CursorError             a cursor that is malformed or expired
│   ├── UnknownNameError        a name that is not known (lists near ones)
│   └── ClickError              a click, or a logged answer, that cannot be
├── NotFoundError               no such image                              exit 1, HTTP 404
│   └── UnknownAnswerError      no answer of that id is in the click log
├── TooFewClicksError           too little to learn from                   exit 1
├── FusionModelError            a fusion model's file cannot be used       exit 3, HTTP 503
├── ImageError                  a picture is refused, with a named reason  HTTP 422
├── FetchError                  a URL is refused or fails, with a reason   HTTP 422
├── SourceError                 a source of pictures cannot be read        exit 2, HTTP 400
├── StoreError                  a store cannot do its work                 exit 3, HTTP 503
│   ├── IndexMissingError       no index in that folder
│   ├── IndexFormatError        an index written by a newer version
│   ├── IndexLockedError        another process is writing
│   ├── IndexCorruptError       files that contradict the catalog
│   ├── DiskFullError           no space is left
│   └── BackendError            a server behind a port; names it
│       ├── BackendUnreachableError   nothing answers at its address
│       ├── BackendTimeoutError       it answers too late, or refuses for load
│       ├── BackendAuthError          it refuses the credentials
│       ├── BackendVersionError       a version that is not spoken to
│       ├── BackendSchemaError        a foreign or older schema
│       ├── BackendMissingError       nothing was made there yet
│       └── BackendFullError          it has no room left
├── ArchiveError                an export cannot be used                   exit 3, HTTP 503
│   ├── ArchiveMissingError     no export in that folder, or an unfinished one
│   ├── ArchiveFormatError      an export written by a newer version
│   ├── ArchiveCorruptError     files that contradict the export's manifest
│   └── ArchiveMismatchError    what was imported is not what was exported
├── MessageError                a message of the ingest log is malformed   exit 2, HTTP 400
│   └── MessageTooLargeError    a message over the log's bound
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

    def to_json(self) -> dict[str, object]:
        """Return what scripts and callers over HTTP are told."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class UsageError(LookalikeError):
    """The request is wrong; `place` says which characters `[begin, end)` of the `text` are.

    `culprit` is the part of a longer piece that is to be pointed at, where that is known.
    """

    code = "usage"
    exit_code = 2
    http_status = 400
    text: str = ""
    culprit: str = ""
    place: tuple[int, int] | None = None

    def point(self, text: str, begin: int, end: int) -> None:
        """Say where in a text the fault lies, unless that is known."""
        if self.place is not None:
            return
        at = text.lower().find(self.culprit.lower(), begin, end) if self.culprit else -1
        if at >= 0:
            begin, end = at, at + len(self.culprit)
        self.text, self.place = text, (begin, end)

    def to_json(self) -> dict[str, object]:
        """Return what scripts and callers over HTTP are told, with the place where it is known."""
        return super().to_json() | ({} if self.place is None else {"place": list(self.place)})


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


class ClickError(UsageError):
    """A click that cannot have been made, or a logged answer that cannot have been shown."""

    code = "click"


class NotFoundError(LookalikeError):
    """No such image in this index."""

    code = "not_found"
    exit_code = 1
    http_status = 404


class UnknownAnswerError(NotFoundError):
    """No answer of that id is in the click log, or it is too old."""

    code = "unknown_answer"


class TooFewClicksError(LookalikeError):
    """The click log holds too little to learn from."""

    code = "too_few_clicks"
    exit_code = 1


class FusionModelError(LookalikeError):
    """A file of a fusion model is damaged, foreign, or there is none of that version."""

    code = "fusion_model"
    http_status = 503


class ImageError(LookalikeError):
    """A picture is refused; `reason` is one of the names in `domain.reasons`."""

    code = "image"
    exit_code = 2
    http_status = 422

    def __init__(self, reason: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason

    def to_json(self) -> dict[str, object]:
        """Return what scripts and callers over HTTP are told, with the reason."""
        return super().to_json() | {"reason": self.reason}

    def __reduce__(self) -> tuple[object, ...]:
        """Cross a process boundary with the reason and the hint."""
        return (_rebuild_reasoned, (type(self), self.reason, self.message, self.hint))


class FetchError(ImageError):
    """A URL is refused or cannot be fetched; `reason` is a name as in `ImageError`."""

    code = "fetch"


class OcrError(LookalikeError):
    """Text cannot be read off pictures here: the engine is missing, fails or is too slow."""

    code = "ocr"


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


class BackendError(StoreError):
    """A server behind a port cannot do its work; `backend` names it, without secrets."""

    code = "backend"

    def __init__(self, backend: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{backend}: {message}", hint=hint)
        self.backend = backend


class BackendUnreachableError(BackendError):
    """Nothing answers at the back end's address."""

    code = "backend_unreachable"


class BackendTimeoutError(BackendError):
    """The back end did not answer in time, or refuses for load; trying again may help."""

    code = "backend_timeout"


class BackendAuthError(BackendError):
    """The back end refuses the credentials."""

    code = "backend_auth"


class BackendVersionError(BackendError):
    """The back end's version is not one that is spoken to."""

    code = "backend_version"


class BackendSchemaError(BackendError):
    """What stands at the place was made by something else, or by another version."""

    code = "backend_schema"


class BackendMissingError(BackendError):
    """The back end answers, but what is needed was not made there yet."""

    code = "backend_missing"


class BackendFullError(BackendError):
    """The back end has no room left."""

    code = "backend_full"


class ArchiveError(LookalikeError):
    """An export cannot be written, or cannot be used."""

    code = "archive"
    http_status = 503


class ArchiveMissingError(ArchiveError):
    """There is no export in that folder, or one that was not finished."""

    code = "archive_missing"


class ArchiveFormatError(ArchiveError):
    """The export was written by a newer version."""

    code = "archive_format"


class ArchiveCorruptError(ArchiveError):
    """Files of the export are missing or damaged, or contradict its manifest."""

    code = "archive_corrupt"


class ArchiveMismatchError(ArchiveError):
    """What stands in the index after an import is not what the export holds."""

    code = "archive_mismatch"


class MessageError(LookalikeError):
    """A message of the ingest log cannot be understood."""

    code = "message"
    exit_code = 2
    http_status = 400


class MessageTooLargeError(MessageError):
    """A message is over the log's bound."""

    code = "message_too_large"
    http_status = 413


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
