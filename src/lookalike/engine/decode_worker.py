"""A decoder process: `python -m lookalike.engine.decode_worker`, spoken to by `DecodePool`.

Decoders of image formats are the part of an image engine that hostile files can crash or
stall. They run here, so that a crash loses one picture and a stall can be ended.
"""

from __future__ import annotations

import os
import queue
import signal
import stat
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Final

from lookalike.domain import reasons
from lookalike.domain.errors import ImageError
from lookalike.engine.frames import DecodeAnswer, DecodeJob
from lookalike.imaging.examine import examine, load_query_pixels

MEMORY_VARIABLE: Final = "LOOKALIKE_DECODER_BYTES"
_NO_WAITING: Final = getattr(os, "O_NONBLOCK", 0)


def main() -> None:
    """Answer jobs from standard input on standard output until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    jobs = Connection(os.dup(sys.stdin.fileno()), writable=False)
    _bound_memory(int(os.environ.get(MEMORY_VARIABLE, "0")))  # set by the pool alone
    serve(jobs, Connection(answers, readable=False))


def serve(jobs: Connection, answers: Connection) -> None:
    """Answer jobs in order; a thread reads ahead, so that neither side waits on a full pipe."""
    waiting: queue.SimpleQueue[DecodeJob | None] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs, waiting), daemon=True).start()
    while (job := waiting.get()) is not None:
        try:
            answers.send(answer(job))
        except BrokenPipeError:
            return


def _read_jobs(jobs: Connection, waiting: queue.SimpleQueue[DecodeJob | None]) -> None:
    try:
        while True:
            waiting.put(jobs.recv())
    except (EOFError, OSError):
        waiting.put(None)


def answer(job: DecodeJob) -> DecodeAnswer:
    """Do one job; a refusal is an answer too."""
    began = time.process_time()
    try:
        data = read_picture(job.path, job.max_bytes) if job.path else job.data
        if job.plan is not None:
            examined = examine(data, plan=job.plan)
            return DecodeAnswer(examined=examined, cpu_s=time.process_time() - began)
        if job.preprocess is None:
            raise ValueError("a decode job needs a plan or a preprocess")
        pixels = load_query_pixels(data, preprocess=job.preprocess, region=job.region)
        return DecodeAnswer(pixels=pixels, cpu_s=time.process_time() - began)
    except ImageError as error:
        return DecodeAnswer(error=error, cpu_s=time.process_time() - began)
    except MemoryError:
        error = ImageError(reasons.TOO_MANY_PIXELS, "decoding needs more memory than is allowed")
        return DecodeAnswer(error=error, cpu_s=time.process_time() - began)


def read_picture(path: bytes, max_bytes: int = 0) -> bytes:
    """Return a regular file's bytes; pipes and devices, which could block, are refused."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | _NO_WAITING), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise ImageError(reasons.UNREADABLE, "not a regular file")
            if max_bytes and facts.st_size > max_bytes:
                raise ImageError(
                    reasons.TOO_MANY_BYTES, f"{facts.st_size} bytes, {max_bytes} are allowed"
                )
            return file.read()
    except FileNotFoundError as error:
        raise ImageError(reasons.VANISHED, "the file is gone") from error
    except (OSError, ValueError) as error:  # a name with a NUL in it is a ValueError
        why = getattr(error, "strerror", None) or "the file cannot be read"
        raise ImageError(reasons.UNREADABLE, why) from error


def _bound_memory(limit_bytes: int) -> None:
    if limit_bytes <= 0 or sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


if __name__ == "__main__":
    main()
