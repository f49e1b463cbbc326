"""Commands of the real program in processes of their own, that can be killed at chosen points.

Starting Python and importing costs more than most commands do, so one process imports everything
and then forks for each command (`python -m tests.processes` is that process). The fork runs
`lookalike.cli.app.main` with its own arguments, folder, environment and files, and ends as a
program ends. A `Death` makes it kill itself before or after a chosen call.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 120.0

# Nothing that starts threads at its import (as ONNX Runtime does): a fork would lose them.
PRELOADED = (
    "lookalike.cli.app", "lookalike.wiring.embedded", "lookalike.wiring.sources",
    "lookalike.wiring.checks", "lookalike.engine.ingest", "lookalike.domain.query_language",
    "lookalike.domain.answers", "lookalike.imaging.contact_sheet", "sqlite3", "rich.table",
    "lookalike.adapters.encoder_onnx", "lookalike.adapters.vectors_build",
)  # fmt: skip


@dataclass(frozen=True)
class Death:
    """SIGKILL itself `when` ("before" or "after") the `call`-th call of `module:Class.method`."""

    target: str
    when: str = "after"
    call: int = 1


@dataclass(frozen=True)
class Setup:
    """What a process is given besides its arguments.

    `acknowledged` is a file that gets every id once its commit has returned, synced to the disk.
    `values` are module attributes to set, by `module:name`. `is_sealing_early` builds segments of
    vectors for dozens of rows rather than tens of thousands.
    """

    cwd: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    deaths: tuple[Death, ...] = ()
    acknowledged: str | None = None
    values: dict[str, object] = field(default_factory=dict)
    is_sealing_early: bool = False


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code (negative: the signal), and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The object on its last line of output."""
        return json.loads(self.out.splitlines()[-1])


class Running:
    """A command that runs."""

    def __init__(self, commands, pid, out, err):
        self._commands = commands
        self.pid = pid
        self.out = out
        self.err = err
        self._done = None

    def signal(self, number):
        """Send a signal; one that has ended gets none."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self):
        """Return how it ended, or None while it runs."""
        if self._done is None:
            code = self._commands.ask({"poll": self.pid})["code"]
            if code is None:
                return None
            texts = (path.read_bytes().decode("utf-8", "replace") for path in (self.out, self.err))
            self._done = Done(code, *texts)
        return self._done

    def wait(self, patience_s=PATIENCE_S):
        """Return how it ended; one that does not end is killed and fails the test."""
        give_up = time.monotonic() + patience_s
        while (done := self.poll()) is None:
            if time.monotonic() > give_up:
                self.signal(signal.SIGKILL)
                raise AssertionError(f"still running: {self.err.read_text(errors='replace')}")
            time.sleep(0.005)
        return done

    def wait_until(self, condition, patience_s=PATIENCE_S):
        """Wait until the condition holds; False when the command ended before it did."""
        give_up = time.monotonic() + patience_s
        while not condition():
            if self.poll() is not None:
                return bool(condition())
            if time.monotonic() > give_up:
                self.signal(signal.SIGKILL)
                raise AssertionError("what was waited for did not come")
            time.sleep(0.002)
        return True


PLAIN = ("--no-objects", "--no-ocr", "--copies", "off")


def plain(argv):
    """Look for nothing in toy pictures: there is nothing to see, and many look like copies."""
    is_indexing = bool(argv) and argv[0] == "index" and "--copies" not in argv
    return (*argv, *PLAIN) if is_indexing else argv


class Commands:
    """Starts commands; one for a whole test session."""

    def __init__(self, folder):
        self._folder = folder
        self._count = 0
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        clean = {name: value for name, value in os.environ.items() if "LOOKALIKE" not in name}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.processes"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**clean, **threads, "LOOKALIKE_DECODERS": "1", "LOOKALIKE_THREADS": "1"},
        )  # fmt: skip

    def start(self, *argv, **setup):
        """Start a command and return it running."""
        self._count += 1
        out, err = (self._folder / f"{self._count}.{name}" for name in ("out", "err"))
        out.touch()
        err.touch()
        request = {
            "argv": [os.fsdecode(one) for one in plain(argv)], "out": str(out), "err": str(err),
            "setup": asdict(Setup(**setup)),
        }  # fmt: skip
        return Running(self, self.ask(request)["pid"], out, err)

    def run(self, *argv, **setup):
        """Run a command to its end."""
        return self.start(*argv, **setup).wait()

    def ask(self, request):
        """Send a request to the forking process and return its answer."""
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def close(self):
        """End the forking process."""
        self._server.stdin.close()
        self._server.wait(timeout=30)
        self._server.stdout.close()


def _serve():
    """Fork for each request; the child comes out of here and is the program."""
    for name in PRELOADED:
        importlib.import_module(name)
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = {"code": os.waitstatus_to_exitcode(status) if pid else None}
        else:
            pid = os.fork()
            if pid == 0:
                return request
            answer = {"pid": pid}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return None


def _become(request):
    """Take on the request's files, folder, environment and deaths, and run the program."""
    setup = request["setup"]
    os.setsid()
    for target, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, request["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        handle = os.open(name, flags, 0o644)
        os.dup2(handle, target)
        os.close(handle)
    os.environ.update(setup["env"])
    if setup["cwd"]:
        os.chdir(setup["cwd"])
    for name, value in setup["values"].items():
        module, _, attribute = name.partition(":")
        setattr(importlib.import_module(module), attribute, value)
    if setup["is_sealing_early"]:
        from lookalike.wiring import manifest

        read = manifest.read_vectors
        manifest.read_vectors = lambda *told: dataclasses.replace(read(*told), exact_rows=10)
    for death in setup["deaths"]:
        _arm(**death)
    if setup["acknowledged"]:
        _note_acknowledgements(setup["acknowledged"])
    sys.argv = ["lookalike", *request["argv"]]
    from lookalike.cli.app import main

    main()


def _arm(target, when, call):
    name, _, path = target.partition(":")
    owner = importlib.import_module(name)
    *above, last = path.split(".")
    for part in above:
        owner = getattr(owner, part)
    original = getattr(owner, last)
    calls = 0

    @functools.wraps(original)
    def dying(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == call and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, last, dying)


def _note_acknowledgements(path):
    from lookalike.engine.writer import Writer

    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    write = Writer.write

    def noted(self, batch):
        write(self, batch)
        ids = "".join(f"{image.facts.id}\n" for image in batch.images)
        os.write(handle, ids.encode())
        os.fsync(handle)

    Writer.write = noted


if __name__ == "__main__":
    _request = _serve()
    if _request is not None:
        _become(_request)
