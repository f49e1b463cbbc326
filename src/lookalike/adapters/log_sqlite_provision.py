"""The embedded ingest log, made and inspected."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from lookalike.adapters.log_sqlite import SqliteIngestLog
from lookalike.domain.errors import StoreError
from lookalike.domain.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lookalike.adapters.log_sqlite_schema import SqliteLogOptions

MOST_WAITING: Final = 10_000
"""More messages than this are worth a warning."""

_LEAST_FREE_BYTES: Final = 1 << 30


class SqliteLogProvisioner:
    """`ports.provision.Provisioner` of a log in a file."""

    def __init__(self, options: SqliteLogOptions) -> None:
        self._options = options
        self.name = options.name

    def prepare(self) -> Sequence[str]:
        """Make the file unless it is there.

        Raises:
            BackendError: the file is something else, or cannot be made.
        """
        is_new = not self._options.path.exists()
        log = SqliteIngestLog(self._options)
        try:
            log.lag()
        finally:
            log.close()
        return [str(self._options.path)] if is_new else []

    def check(self) -> Sequence[Finding]:
        """Look at the file, at what waits in it and at the disk it stands on."""
        if not self._options.path.exists():
            remedy = "lookalike init-cluster --config FILE"
            return [Finding("log", "error", f"{self.name}: there is no such file", remedy)]
        return list(self._findings())

    def _findings(self) -> Iterator[Finding]:
        log = SqliteIngestLog(self._options)
        try:
            waiting, dead = log.lag(), log.dead_letters(limit=1)
            yield Finding("log", "ok", f"{self.name} can be read")
            yield waiting_finding(waiting)
            if dead:
                yield dead_finding(dead[0].reason)
            free = shutil.disk_usage(self._options.path.parent).free
            if free < _LEAST_FREE_BYTES:
                yield Finding("log disk", "warning", f"{free / 1e9:.1f} GB free", "free some space")
        except StoreError as error:
            yield Finding("log", "error", error.message, error.hint)
        finally:
            try:
                log.close()
            except StoreError as error:
                yield Finding("log", "error", error.message, error.hint)


def waiting_finding(waiting: int) -> Finding:
    """Return what to think of so many messages that are not done."""
    if waiting > MOST_WAITING:
        remedy = "start more workers: lookalike worker --config FILE"
        return Finding("log waiting", "warning", f"{waiting} messages wait", remedy)
    return Finding("log waiting", "ok", f"{waiting} messages wait")


def dead_finding(reason: str) -> Finding:
    """Return the warning that messages were set aside."""
    return Finding(
        "log dead letters",
        "warning",
        f"messages were set aside, the last one as {reason}",
        "mend what the reason names, then publish those pictures again",
    )
