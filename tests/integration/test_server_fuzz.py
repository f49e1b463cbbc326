"""Schemathesis on the app in process: whatever fits the schema is answered as it promises."""

import json
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.served import open_toy, serve_toy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
HOST = {"Host": "localhost"}
GOLDEN = json.loads(Path(__file__).with_name("test_server_openapi.json").read_text("utf-8"))
OPERATIONS = [
    (path, method) for path, methods in GOLDEN["paths"].items() for method in sorted(methods)
]


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with open_toy(tmp_path_factory.mktemp("fuzz"), count=10) as engine:
        app = serve_toy(engine).app
        yield schemathesis.openapi.from_asgi("/openapi.json", app, headers=HOST)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_keeps_its_promises(api, path, method):
    @given(case=api[path][method.upper()].as_strategy())
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def keeps_its_promises(case):
        case.validate_response(case.call(headers=HOST), checks=CHECKS)

    keeps_its_promises()
