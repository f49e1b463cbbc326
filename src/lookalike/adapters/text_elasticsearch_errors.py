"""From what the server answers to Lookalike's errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from lookalike.domain.errors import (
    BackendAuthError,
    BackendError,
    BackendFullError,
    BackendMissingError,
    BackendSchemaError,
    BackendTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

INIT_HINT: Final = "make it with: lookalike init-cluster --config FILE"
ROOM_HINT: Final = (
    "free disk space on its nodes or add one; the server lifts the block by itself once there is"
    " room"
)

_BLOCK: Final = "cluster_block_exception"
_FULL: Final = ("flood-stage", "flood stage", "read-only-allow-delete", "no space left on device")
_FOREIGN: Final = ("strict_dynamic_mapping_exception", "query_shard_exception")
_BUSY: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the server says of a call, or of one document in it, that it did not do."""

    status: int
    kind: str
    reason: str

    @classmethod
    def of(cls, status: int, body: object) -> Refusal:
        """Read an answer; the innermost cause says most."""
        content = cast("Mapping[str, Any]", body) if isinstance(body, dict) else {}
        error: object = content.get("error", body)
        if not isinstance(error, dict):
            return cls(status, "", str(error or "")[:500])
        outer = cast("Mapping[str, Any]", error)
        causes = outer.get("root_cause")
        inner = causes[0] if isinstance(causes, list) and causes else outer
        kind, reason = str(inner.get("type", "")), str(inner.get("reason", ""))
        cause = inner.get("caused_by")
        if isinstance(cause, dict):
            reason = f"{reason}: {cast('Mapping[str, Any]', cause).get('reason', '')}"
        return cls(status, kind, reason[:500])

    @property
    def is_full(self) -> bool:
        """Whether there is no room left."""
        reason = self.reason.lower()
        has_no_shards = "maximum" in reason and "shards open" in reason
        return has_no_shards or any(sign in reason for sign in _FULL)

    @property
    def is_transient(self) -> bool:
        """Whether the same call may succeed a moment later.

        A write block that somebody set passes, too: it is held for the end of a rebuild.
        """
        if self.is_full:
            return False
        is_held = self.kind == _BLOCK and "index write" in self.reason
        return is_held or self.status in _BUSY or self.kind == "version_conflict_engine_exception"

    def error(self, backend: str) -> BackendError:
        """Return the error to raise."""
        text = self.reason or self.kind or f"status {self.status}"
        if self.is_full:
            return BackendFullError(backend, f"there is no room left: {text}", hint=ROOM_HINT)
        if self.kind == "index_not_found_exception" or ("alias" in text and self.status == 404):
            return BackendMissingError(backend, "the index is missing", hint=INIT_HINT)
        if self.status == 401 or (self.status == 403 and self.kind != _BLOCK):
            return BackendAuthError(
                backend,
                f"the credentials are refused: {text}",
                hint="set LOOKALIKE_TEXT_USERNAME and LOOKALIKE_TEXT_PASSWORD (or _API_KEY)",
            )
        if self.is_transient:
            return BackendTimeoutError(
                backend, f"it refuses for now: {text}", hint="try again, or give it more nodes"
            )
        if self.kind in _FOREIGN:
            return BackendSchemaError(
                backend, f"the index has other fields than are asked for: {text}", hint=OLD_HINT
            )
        return BackendError(backend, f"it refuses ({self.status} {self.kind}): {text}")


OLD_HINT: Final = (
    "make it anew with: lookalike optimize --rebuild-words --config FILE; or name another alias"
)
