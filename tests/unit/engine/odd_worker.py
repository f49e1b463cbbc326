"""A decoder process that does what a job's bytes say, for the tests of the pool."""

import os
import sys
import time
from multiprocessing.connection import Connection

from lookalike.domain.errors import ImageError
from lookalike.engine import decode_worker
from lookalike.engine.decode_worker import serve
from lookalike.engine.frames import DecodeAnswer


def answer(job):
    word, _, rest = job.data.decode().partition(" ")
    if word == "die":
        os._exit(1)
    if word == "stall":
        time.sleep(3600)
    if word == "die-once":
        try:
            os.close(os.open(rest, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            pass
        else:
            os._exit(1)
    return DecodeAnswer(error=ImageError("echo", job.data.decode()))


if __name__ == "__main__":
    decode_worker.answer = answer
    serve(
        Connection(os.dup(sys.stdin.fileno()), writable=False),
        Connection(os.dup(sys.stdout.fileno()), readable=False),
    )
