"""Decoder processes with bounds on time and memory, restarted when a picture kills one."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from lookalike.domain import reasons
from lookalike.domain.bundle import Preprocess
from lookalike.domain.errors import ImageError
from lookalike.engine.frames import DecodeAnswer, DecodeJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

DEPTH: Final = 2
"""Jobs a process holds: one at work and one waiting, so that it never idles."""

START_ALLOWANCE_S: Final = 20.0
"""Time a new process may take to start, beyond the bound on its first picture."""

MEMORY_VARIABLE: Final = "LOOKALIKE_DECODER_BYTES"

DECODER: Final = (sys.executable, "-m", "lookalike.engine.decode_worker")
"""The command that starts a decoder process."""


@dataclass(frozen=True, slots=True)
class DecodeBounds:
    """What one picture may cost: seconds, and bytes of address space of its process."""

    seconds: float = 20.0
    memory_bytes: int = 6 << 30


Tag = TypeVar("Tag")

_Waiting: TypeAlias = "tuple[DecodeJob, Future[DecodeAnswer]]"


class DecodePool:
    """Runs decode jobs in processes; each driven by a thread of its own.

    A job always gets an answer: a picture that is too slow or kills its process is answered
    with that refusal, and the jobs behind it go to a new process.
    """

    def __init__(
        self,
        workers: int,
        bounds: DecodeBounds | None = None,
        *,
        command: Sequence[str] = DECODER,
    ) -> None:
        """Start `workers` driver threads; their processes start with the first jobs."""
        self._bounds = bounds or DecodeBounds()
        self._command = command
        self._jobs: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._workers = max(1, workers)
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._drive, name=f"decode-{number}", daemon=True)
            for number in range(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def window(self) -> int:
        """How many jobs keep every process busy."""
        return self._workers * (DEPTH + 2)

    def warm(self) -> None:
        """Start the processes, so that the first picture need not wait for one."""
        for _ in range(self._workers):
            self.submit(DecodeJob(data=b"", preprocess=Preprocess(size=1)))

    def submit(self, job: DecodeJob) -> Future[DecodeAnswer]:
        """Queue a job and return the promise of its answer."""
        future: Future[DecodeAnswer] = Future()
        if self._is_closed:
            raise RuntimeError("the pool is closed")
        self._jobs.put((job, future))
        return future

    def map(
        self, items: Iterable[tuple[Tag, DecodeJob | None]]
    ) -> Iterator[tuple[Tag, DecodeAnswer | None]]:
        """Answer a stream of jobs in order, a bounded number at once; None jobs pass through."""
        flying: deque[tuple[Tag, Future[DecodeAnswer] | None]] = deque()
        for tag, job in items:
            flying.append((tag, self.submit(job) if job is not None else None))
            while len(flying) >= self.window or (flying and _is_ready(flying[0][1])):
                tag_done, future = flying.popleft()
                yield tag_done, future.result() if future else None
        while flying:
            tag_done, future = flying.popleft()
            yield tag_done, future.result() if future else None

    def close(self) -> None:
        """End the processes; jobs not yet begun are cancelled."""
        if self._is_closed:
            return
        self._is_closed = True
        while True:
            try:
                waiting = self._jobs.get_nowait()
            except queue.Empty:
                break
            if waiting is not None:
                waiting[1].cancel()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(timeout=self._bounds.seconds + START_ALLOWANCE_S)

    def _drive(self) -> None:
        driver = _Driver(self._bounds, self._command)
        try:
            while driver.step(self._next_job):
                pass
        finally:
            driver.stop()

    def _next_job(self, is_waiting: bool) -> _Waiting | None:
        if is_waiting:
            return self._jobs.get()
        return self._jobs.get_nowait()


class _Driver:
    """One process and the jobs it holds, oldest first."""

    def __init__(self, bounds: DecodeBounds, command: Sequence[str]) -> None:
        self._bounds = bounds
        self._command = command
        self._held: deque[_Waiting] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._sender: Connection | None = None
        self._receiver: Connection | None = None
        self._head_since = 0.0
        self._is_fresh = True
        self._is_ending = False

    def step(self, next_job: Callable[[bool], _Waiting | None]) -> bool:
        """Fill up on jobs, then wait for the oldest one's answer; False at the end."""
        while len(self._held) < DEPTH and not self._is_ending:
            try:
                waiting = next_job(not self._held)
            except queue.Empty:
                break
            if waiting is None:
                self._is_ending = True
                break
            if waiting[1].set_running_or_notify_cancel():
                self._hold(waiting)
        if self._held:
            self._receive()
        return bool(self._held) or not self._is_ending

    def _hold(self, waiting: _Waiting) -> None:
        if not self._held:
            self._head_since = time.monotonic()
        self._held.append(waiting)
        self._send(waiting[0])

    def _send(self, job: DecodeJob) -> None:
        try:
            if self._process is None:
                self._start()
            if self._sender is not None:
                self._sender.send(job)
        except (BrokenPipeError, OSError):
            return  # the receiving side sees the death and mends it

    def _receive(self) -> None:
        allowance = START_ALLOWANCE_S if self._is_fresh else 0.0
        left = self._head_since + self._bounds.seconds + allowance - time.monotonic()
        receiver = self._receiver
        if receiver is None:
            self._give_up(reasons.DECODER_CRASHED, "no decoder process could be started")
            return
        try:
            if not receiver.poll(max(left, 0.0)):
                self._give_up(reasons.TOO_SLOW, f"took over {self._bounds.seconds:g} s")
                return
            answer: DecodeAnswer = receiver.recv()
        except (EOFError, OSError):
            self._give_up(reasons.DECODER_CRASHED, "the decoder's process died on this picture")
            return
        self._is_fresh = False
        self._head_since = time.monotonic()
        self._held.popleft()[1].set_result(answer)

    def _give_up(self, reason: str, detail: str) -> None:
        """Refuse the oldest job, and take the others to a new process."""
        self.stop()
        self._held.popleft()[1].set_result(DecodeAnswer(error=ImageError(reason, detail)))
        self._head_since = time.monotonic()
        for job, _ in tuple(self._held):
            self._send(job)

    def _start(self) -> None:
        environment = dict(os.environ)
        environment[MEMORY_VARIABLE] = str(self._bounds.memory_bytes)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = "1"
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("a decoder process has no pipes")
        self._sender = Connection(os.dup(stdin.fileno()), readable=False)
        self._receiver = Connection(os.dup(stdout.fileno()), writable=False)
        stdin.close()
        stdout.close()
        self._is_fresh = True

    def stop(self) -> None:
        """End the process at once."""
        for connection in (self._sender, self._receiver):
            if connection is not None:
                connection.close()
        self._sender = self._receiver = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _is_ready(future: Future[DecodeAnswer] | None) -> bool:
    return future is None or future.done()
