"""Start processes that outlive this one, and signal them without ever hitting another.

A number alone does not name a process: after it ended, the kernel may give its number to any other.
A pid file therefore holds the moment of the start too, and a process counts only when both agree.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

# Leads a session of its own, so that signals reach all it starts and none of ours reach it. The
# shell ends at once: its parent, a test run perhaps, has no child to reap.
_LAUNCH = 'exec 3>&1 >>"$1" 2>&1 </dev/null; shift; setsid "$@" 3>&- & echo $! >&3'
# In /proc/PID/stat, counted after the name in brackets, which may hold anything.
_STATE, _STARTED = 0, 19


@dataclass(frozen=True, slots=True)
class Process:
    """A process, by its number and the moment it started (clock ticks since boot)."""

    pid: int
    started: int

    @classmethod
    def load(cls, path: Path) -> "Process | None":
        """Read a pid file; None where there is none, or only part of one."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(fields["pid"]), int(fields["started"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def save(self, path: Path) -> None:
        """Write a pid file, whole or not at all."""
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        beside.replace(path)

    @property
    def is_alive(self) -> bool:
        """Say whether this very process still runs, paused or not."""
        stat = _read_stat(self.pid)
        return stat is not None and int(stat[_STARTED]) == self.started and stat[_STATE] not in "ZX"

    @property
    def is_paused(self) -> bool:
        """Say whether the process was stopped by a signal and not continued."""
        stat = _read_stat(self.pid)
        return self.is_alive and stat is not None and stat[_STATE] == "T"

    @property
    def rss_bytes(self) -> int:
        """Return the memory the process holds."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def send(self, number: signal.Signals) -> bool:
        """Signal the process and all it started; False when it is no more."""
        if not self.is_alive:
            return False
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, seconds: float) -> bool:
        """Wait for the end; False when it did not come in time."""
        return _wait_until(lambda: not self.is_alive, seconds)

    def stop(self, grace_s: float) -> None:
        """Ask the process to end, and end it when it takes too long."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # a paused process hears nothing else
        if not self.wait(grace_s):
            self.kill()

    def kill(self) -> None:
        """End the process at once."""
        self.send(signal.SIGKILL)
        self.wait(10)

    def pause(self) -> bool:
        """Let the process do nothing any more; False when it is no more."""
        return self.send(signal.SIGSTOP) and _wait_until(lambda: self.is_paused, 5)

    def resume(self) -> bool:
        """Let the process go on; False when it is no more."""
        return self.send(signal.SIGCONT) and _wait_until(lambda: not self.is_paused, 5)


def launch(
    command: list[str], *, folder: Path, log: Path, environment: Mapping[str, str]
) -> Process | None:
    """Start a process; None when it ended before it could be looked at."""
    launched = subprocess.run(
        ["sh", "-c", _LAUNCH, "sh", str(log), *command],
        cwd=folder,
        env=os.environ | dict(environment),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    pid = int(launched.stdout)
    stat = _read_stat(pid)
    if stat is None:
        return None
    process = Process(pid, int(stat[_STARTED]))
    _wait_until(lambda: not process.is_alive or _leads_group(pid), 5)
    return process


def _leads_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def _wait_until(is_so: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _read_stat(pid: int) -> list[str] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()
