"""What every test shares: no network, repeatable properties, the samples, a browser."""

import ipaddress
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest, so that no process ends with one of them alone."""
    slow_first = ("integration", "e2e", "contract", "unit")
    items.sort(key=lambda item: slow_first.index(item.path.relative_to(ROOT / "tests").parts[0]))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Refuse every connection that would leave this machine."""
    connect = socket.socket.connect

    def connect_here(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise AssertionError(f"a test may not connect to {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)


def _is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session")
def samples():
    """The folder of the sample photographs, with samples.jsonl and images/."""
    return ROOT / "samples"


@pytest.fixture(scope="session")
def chromium():
    """The path of a Chromium; where there is none the test is skipped, but never in CI."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium on the PATH: .ci/run installs one")
        pytest.skip("needs a Chromium on the PATH (on Debian: apt-get install chromium)")
    return found


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    """Commands of the program in processes of their own (tests/processes.py)."""
    if not hasattr(os, "fork"):
        pytest.skip("needs a system that forks processes")
    from tests.processes import Commands

    started = Commands(tmp_path_factory.mktemp("commands"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """A bundle of a few kilobytes (tests/tiny_bundle.py)."""
    from tests.tiny_bundle import make_bundle

    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session", autouse=True)
def tidied_servers():
    """Leave nothing of this run's clusters on the servers."""
    yield
    if "tests.real_cluster" in sys.modules:
        sys.modules["tests.real_cluster"].tidy()


@pytest.fixture(scope="session")
def cassandra_space():
    """A keyspace of a running Cassandra (tests/cassandra_space.py)."""
    from tests.real_services import need

    url = need("cassandra")
    from tests.cassandra_space import CassandraSpace

    space = CassandraSpace(url)
    yield space
    space.drop()
