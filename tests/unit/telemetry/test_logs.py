import asyncio
import json
import logging

from hypothesis import given
from hypothesis import strategies as st

from lookalike.telemetry.logs import JsonFormatter, bind_request_id, current_request_id


def format_line(message, *args, **extra):
    record = logging.LogRecord("lookalike.test", logging.INFO, __file__, 1, message, args, None)
    record.__dict__.update(extra)
    return JsonFormatter().format(record)


def test_a_line_holds_the_message_its_fields_and_the_request():
    with bind_request_id("r-1"):
        line = json.loads(format_line("took %d", 3, fields={"ms": 1.5}))
    assert line.items() >= {
        "level": "info", "logger": "lookalike.test", "message": "took 3", "ms": 1.5,
        "request_id": "r-1",
    }.items()  # fmt: skip
    assert "request_id" not in json.loads(format_line("later"))


def test_an_exception_is_written_out():
    try:
        raise KeyError("gone")
    except KeyError as error:
        info = (type(error), error, error.__traceback__)
    assert "KeyError: 'gone'" in json.loads(format_line("failed", exc_info=info))["traceback"]


@given(st.text())
def test_no_message_can_forge_a_line(text):
    line = format_line("%s", text)
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["message"] == text


def test_each_task_keeps_its_own_request():
    async def handle(name):
        with bind_request_id(name):
            await asyncio.sleep(0)
            return name, await asyncio.to_thread(current_request_id)

    async def handle_all():
        return await asyncio.gather(*(handle(f"r{i}") for i in range(20)))

    assert all(name == seen for name, seen in asyncio.run(handle_all()))
    assert current_request_id() == ""
