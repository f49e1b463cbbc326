"""Install, start, watch and stop the real servers that tests talk to. No containers.

Run: python services/run.py up|down|status|install|env|kill|pause|resume|wipe [NAME...]
"""

import argparse
import contextlib
import fcntl
import shutil
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TypeGuard

if __name__ == "__main__":  # run as a file: see the repository, and not this folder's names
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from services.catalogue import BUCKET, S3_ACCESS_KEY, S3_SECRET_KEY, SERVICES, Service
from services.probes import is_listening, is_serving
from services.processes import Process, launch
from services.recipes import RECIPES, ServiceError, fingerprint

_POLL_S = 0.1
_LOG_LINES = 30


def url_of(name: str) -> str:
    """Return the address of a server, whether it runs or not."""
    return _service(name).url


def is_up(name: str) -> bool:
    """Say, at once, whether this launcher's server runs and its port answers."""
    service = _service(name)
    process = _process(service)
    return _is_alive(process) and not process.is_paused and is_listening(service.port)


def install(name: str) -> float:
    """Install a server unless it is there already; return the seconds that took."""
    service = _service(name)
    mark = service.folder / "installed"
    started = time.monotonic()
    with _locked(service.folder.parent):  # one at a time: Maven's repository does not bear more
        wanted = fingerprint(service)
        if mark.exists() and mark.read_text(encoding="ascii") == wanted:
            return 0.0
        if _is_alive(_process(service)):
            raise ServiceError("it runs, and what it is made from has changed: stop it first")
        service.folder.mkdir(parents=True, exist_ok=True)
        mark.unlink(missing_ok=True)
        RECIPES[name].install(service)
        mark.write_text(wanted, encoding="ascii")
    return time.monotonic() - started


def start(name: str) -> Process:
    """Start a server unless it runs, and return when it serves."""
    started = time.monotonic()
    process = launch_one(name)
    while not _has_come_up(_service(name), process, time.monotonic() - started):
        time.sleep(_POLL_S)
    return process


def launch_one(name: str) -> Process:
    """Start a server unless it runs (paused, it goes on), without waiting until it serves."""
    service = _service(name)
    with _locked(service.folder):
        running = _process(service)
        if running is not None and running.resume():
            return running
        install(name)
        if is_listening(service.port):
            raise ServiceError(f"port {service.port} is taken by something that is not ours")
        service.data.mkdir(parents=True, exist_ok=True)
        service.log.parent.mkdir(exist_ok=True)
        if service.log.exists():
            service.log.replace(service.log.with_suffix(".log.1"))
        recipe = RECIPES[name].prepare(service)
        process = launch(
            recipe.command,
            folder=service.folder,
            log=service.log,
            environment=recipe.environment,
        )
        if process is None:
            raise ServiceError(f"it ended at once:\n{_tail(service)}")
        process.save(_pid_file(service))
        return process


def stop(name: str) -> None:
    """End a server, gently at first; return when it is gone."""
    _end(_service(name), lambda process: process.stop(_service(name).grace_s))


def kill(name: str) -> None:
    """End a server as a crash would; return when it is gone."""
    _end(_service(name), Process.kill)


def pause(name: str) -> None:
    """Make a server hang: its port still takes connections, and nothing answers."""
    _signal(_service(name), Process.pause)


def resume(name: str) -> None:
    """Let a paused server go on."""
    _signal(_service(name), Process.resume)


def restart(name: str) -> Process:
    """Stop a server and start it again, with the data it had."""
    stop(name)
    return start(name)


def wipe(name: str) -> None:
    """Stop a server and delete its data."""
    stop(name)
    shutil.rmtree(_service(name).data, ignore_errors=True)


def describe(name: str) -> str:
    """Return one line on how a server is."""
    service = _service(name)
    process = _process(service)
    if not _is_alive(process):
        is_installed = (service.folder / "installed").exists()
        state = "crashed" if process else "down" if is_installed else "not installed"
        return f"{name:<14}{state}"
    state = "paused" if process.is_paused else "up" if is_serving(service) else "not answering"
    memory = process.rss_bytes // 2**20
    return f"{name:<14}{state:<15}{service.url:<34}pid {process.pid:<8}{memory} MB"


def list_addresses(names: Sequence[str]) -> list[str]:
    """Return what tests need to know of the servers, as lines for a shell."""
    lines = [f"export {name.upper()}_URL={url_of(name)}" for name in names]
    if "s3" in names:
        lines += [f"export S3_ACCESS_KEY={S3_ACCESS_KEY}", f"export S3_SECRET_KEY={S3_SECRET_KEY}"]
        lines += [f"export S3_BUCKET={BUCKET}"]
    if "gcs" in names:
        lines += [f"export GCS_BUCKET={BUCKET}"]
    return lines


# ── The command line ─────────────────────────────────────────────────────────────────────


def up(names: Sequence[str]) -> bool:
    """Start servers side by side, wait for all, and say how it went."""
    waiting: dict[str, tuple[Process, float]] = {}
    is_well = True
    for name in names:
        try:
            seconds = 0.0 if _is_alive(_process(_service(name))) else install(name)
            if seconds:
                print(f"{name:<14}installed in {seconds:.1f} s", flush=True)
            started = time.monotonic()
            waiting[name] = (launch_one(name), started)
        except ServiceError as error:
            is_well = False
            print(f"{name:<14}FAILED: {error}", flush=True)
    while waiting:
        for name, (process, started) in list(waiting.items()):
            seconds = time.monotonic() - started
            try:
                if _has_come_up(_service(name), process, seconds):
                    print(f"{name:<14}up in {seconds:.1f} s, pid {process.pid}", flush=True)
                    del waiting[name]
            except ServiceError as error:
                is_well = False
                print(f"{name:<14}FAILED: {error}", flush=True)
                del waiting[name]
        time.sleep(_POLL_S)
    print("\n".join(list_addresses(names)))
    return is_well


def status(names: Sequence[str]) -> bool:
    """Print how servers are; False unless each of them is up."""
    lines = [describe(name) for name in names]
    print("\n".join(lines))
    return all(line.split()[1] == "up" for line in lines)


def env(names: Sequence[str]) -> bool:
    """Print the addresses as lines for a shell."""
    print("\n".join(list_addresses(names)))
    return True


def _for_each(action: Callable[[str], object], done: str) -> Callable[[Sequence[str]], bool]:
    def act(names: Sequence[str]) -> bool:
        is_well = True
        for name in names:
            started = time.monotonic()
            try:
                action(name)
            except ServiceError as error:
                is_well = False
                print(f"{name:<14}FAILED: {error}", flush=True)
            else:
                print(f"{name:<14}{done} in {time.monotonic() - started:.1f} s", flush=True)
        return is_well

    return act


COMMANDS: dict[str, Callable[[Sequence[str]], bool]] = {
    "up": up,
    "down": _for_each(stop, "down"),
    "status": status,
    "install": _for_each(install, "installed"),
    "env": env,
    "restart": _for_each(restart, "restarted"),
    "kill": _for_each(kill, "killed"),
    "pause": _for_each(pause, "paused"),
    "resume": _for_each(resume, "resumed"),
    "wipe": _for_each(wipe, "wiped"),
}
# What breaks a server has to be asked for by its name.
NEEDS_NAME = frozenset({"kill", "pause", "resume", "wipe"})


def main(arguments: Sequence[str]) -> int:
    """Run one command on the named servers, or on all."""
    parser = argparse.ArgumentParser(prog="services/run.py", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SERVICES))
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.names if name not in SERVICES]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; known: {', '.join(SERVICES)}")
    if chosen.command in NEEDS_NAME and not chosen.names:
        parser.error(f"{chosen.command} needs the name of a server")
    return 0 if COMMANDS[chosen.command](chosen.names or list(SERVICES)) else 1


# ── Below ────────────────────────────────────────────────────────────────────────────────


def _service(name: str) -> Service:
    if name not in SERVICES:
        raise ServiceError(f"there is no {name}; known: {', '.join(SERVICES)}")
    return SERVICES[name]


def _pid_file(service: Service) -> Path:
    return service.folder / "pid"


def _process(service: Service) -> Process | None:
    return Process.load(_pid_file(service))


def _is_alive(process: Process | None) -> TypeGuard[Process]:
    return process is not None and process.is_alive


def _has_come_up(service: Service, process: Process, waited_s: float) -> bool:
    """Say whether a launched server serves; raise when it no longer can."""
    if not process.is_alive:
        raise ServiceError(f"it ended while it started:\n{_tail(service)}")
    if is_serving(service):
        return True
    if waited_s > service.start_s:
        raise ServiceError(f"no answer within {service.start_s} s:\n{_tail(service)}")
    return False


def _end(service: Service, end: Callable[[Process], None]) -> None:
    if not service.folder.exists():
        return
    with _locked(service.folder):
        process = _process(service)
        if _is_alive(process):
            end(process)
            if process.is_alive:
                raise ServiceError(f"pid {process.pid} does not end")
        _pid_file(service).unlink(missing_ok=True)


def _signal(service: Service, send: Callable[[Process], bool]) -> None:
    process = _process(service)
    if process is None or not send(process):
        raise ServiceError("it does not run")


def _tail(service: Service) -> str:
    try:
        text = service.log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"(there is no {service.log})"
    return "\n".join([*text.splitlines()[-_LOG_LINES:], f"(all of it: {service.log})"])


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Keep others out of a folder, in this process and in any other."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
