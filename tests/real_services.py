"""Real servers for tests: what `make services` has started, or a plain word on what is missing."""

import os

import pytest

from services import run


def need(name):
    """Return the URL of a running server; without one, skip, or fail where it was promised.

    CI promises what it starts in LOOKALIKE_TEST_SERVICES, names separated by commas.
    """
    if run.is_up(name):
        return run.url_of(name)
    if name in os.environ.get("LOOKALIKE_TEST_SERVICES", "").split(","):
        pytest.fail(f"{name} was promised in LOOKALIKE_TEST_SERVICES, but does not run")
    pytest.skip(f"needs a running {name}: make services")
