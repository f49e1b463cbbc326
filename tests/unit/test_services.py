"""The launcher of servers: which process it signals, and how one goes up and down."""

import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from services import catalogue, probes, recipes, run
from services.catalogue import SERVICES, Service
from services.processes import Process, launch
from services.recipes import Launch, Recipe, ServiceError

WAIT = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def sleeper(tmp_path):
    process = launch(WAIT, folder=tmp_path, log=tmp_path / "log", environment={})
    assert process is not None
    yield process
    process.kill()


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A server that only listens, under the name of a real one."""
    with socket.socket() as taken:
        taken.bind((catalogue.HOST, 0))
        port = taken.getsockname()[1]
    program = f"""if True:
        import socket, time
        server = socket.create_server(("{catalogue.HOST}", {port}))
        print("it listens", flush=True)
        time.sleep(60)
    """
    recipe = Recipe(lambda _: None, lambda _: Launch([sys.executable, "-c", program]))
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    monkeypatch.setitem(SERVICES, "gcs", Service("gcs", port, "http"))
    monkeypatch.setitem(recipes.RECIPES, "gcs", recipe)
    monkeypatch.setitem(probes.PROBES, "gcs", lambda service: probes.is_listening(service.port))
    yield "gcs"
    run.stop("gcs")


def test_a_pid_file_keeps_a_process(tmp_path):
    Process(12, 345).save(tmp_path / "pid")
    assert Process.load(tmp_path / "pid") == Process(12, 345)


@pytest.mark.parametrize("text", ["", "12", "{}", '{"pid": 12}', '{"pid": "x", "started": 1}', "["])
def test_a_broken_pid_file_names_no_process(tmp_path, text):
    (tmp_path / "pid").write_text(text)
    assert Process.load(tmp_path / "pid") is None
    assert Process.load(tmp_path / "none") is None


def test_a_launched_process_leads_a_group_of_its_own(sleeper):
    assert sleeper.is_alive
    assert os.getpgid(sleeper.pid) == sleeper.pid
    assert os.getsid(sleeper.pid) == sleeper.pid
    assert sleeper.rss_bytes > 0


def test_a_recycled_pid_is_not_signalled(sleeper):
    before = replace(sleeper, started=sleeper.started - 1)
    assert not before.is_alive
    assert not before.send(signal.SIGKILL)
    before.stop(0.1)
    before.kill()
    assert sleeper.is_alive


def test_an_unwaited_child_counts_as_ended():
    with subprocess.Popen(["true"]) as child:
        stat = Path(f"/proc/{child.pid}/stat").read_text()
        process = Process(child.pid, int(stat.rpartition(")")[2].split()[19]))
        assert process.wait(10)
        assert child.returncode is None


def test_a_paused_process_can_be_stopped(sleeper):
    assert sleeper.pause()
    assert sleeper.is_paused
    sleeper.stop(10)
    assert not sleeper.is_alive


def test_what_ignores_the_request_is_forced(tmp_path):
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(60)"
    log = tmp_path / "log"
    command = [sys.executable, "-u", "-c", program]
    process = launch(command, folder=tmp_path, log=log, environment={})
    while not log.read_text():
        assert process.is_alive
    process.stop(0.1)
    assert not process.is_alive


def test_a_server_goes_up_and_down(toy):
    process = run.start(toy)
    assert run.is_up(toy)
    assert run.start(toy) == process
    run.pause(toy)
    assert not run.is_up(toy)
    assert "paused" in run.describe(toy)
    run.resume(toy)
    assert run.is_up(toy)
    run.kill(toy)
    assert not run.is_up(toy)
    assert run.restart(toy).pid != process.pid
    run.stop(toy)
    assert run.describe(toy).split() == [toy, "down"]
    with pytest.raises(ServiceError, match="does not run"):
        run.pause(toy)


def test_a_crashed_server_is_started_again(toy, capsys):
    process = run.start(toy)
    process.kill()
    assert run.describe(toy).split() == [toy, "crashed"]
    assert run.main(["up", toy]) == 0
    assert "up in" in capsys.readouterr().out
    assert run.is_up(toy)


def test_a_failed_start_shows_the_log(toy, monkeypatch, capsys):
    failing = Launch([sys.executable, "-c", "raise SystemExit('no disk')"])
    monkeypatch.setitem(recipes.RECIPES, toy, Recipe(lambda _: None, lambda _: failing))
    assert run.main(["up", toy]) == 1
    assert "no disk" in capsys.readouterr().out


def test_a_port_taken_by_another_is_a_failure(toy, capsys):
    with socket.create_server((catalogue.HOST, SERVICES[toy].port)):
        assert not run.is_up(toy)
        assert run.main(["up", toy]) == 1
    assert "not ours" in capsys.readouterr().out


def test_wiping_deletes_the_data(toy):
    run.start(toy)
    kept = SERVICES[toy].data / "kept"
    kept.touch()
    run.restart(toy)
    assert kept.exists()
    run.wipe(toy)
    assert not kept.exists()
    assert not run.is_up(toy)


def test_nothing_installed_is_said_and_no_failure_to_stop(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path / "nothing")
    assert run.main(["status"]) == 1
    assert capsys.readouterr().out.count("not installed") == len(SERVICES)
    assert run.main(["down"]) == 0
    assert not any(run.is_up(name) for name in SERVICES)


def test_no_port_is_used_twice():
    ports = [p for service in SERVICES.values() for p in (service.port, *service.ports.values())]
    assert len(ports) == len(set(ports))


def test_every_server_has_a_recipe_a_probe_and_sources():
    assert SERVICES.keys() == recipes.RECIPES.keys() == probes.PROBES.keys()
    for service in SERVICES.values():
        assert recipes.fingerprint(service)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cassandra", "cassandra.yaml"),
        ("elasticsearch", "elasticsearch.yml"),
        ("kafka", "server.properties"),
        ("milvus", "milvus.yaml"),
        ("milvus", "etcd.yaml"),
        ("s3", "s3proxy.conf"),
    ],
)
def test_a_configuration_is_filled_in_whole(tmp_path, name, file):
    text = recipes.fill(SERVICES[name], file, tmp_path).read_text()
    assert str(SERVICES[name].port) in text or "etcd" in file
    assert not re.search("@[A-Z_]+@", text)


def test_addresses_are_lines_for_a_shell(capsys):
    assert run.main(["env", "s3", "kafka"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"export S3_URL={run.url_of('s3')}" in lines
    assert all(line.startswith("export ") and "=" in line for line in lines)


def test_an_unknown_name_lists_the_known(capsys):
    with pytest.raises(SystemExit):
        run.main(["up", "mongo"])
    assert "cassandra" in capsys.readouterr().err
    with pytest.raises(ServiceError, match="cassandra"):
        run.url_of("mongo")


def test_what_breaks_a_server_needs_its_name(capsys):
    with pytest.raises(SystemExit):
        run.main(["kill"])
    assert "needs the name" in capsys.readouterr().err
