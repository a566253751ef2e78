"""Log lines: text for people, JSON for programs, the same for other libraries' lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from veredus import log


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_one_json_object_with_event_and_fields() -> None:
    stream = io.StringIO()
    log.configure("auto", "info", stream)
    structlog.get_logger().info("delivered", account="a1", octets=7, odd={1, 2}.__class__)
    (line,) = stream.getvalue().splitlines()
    written = json.loads(line)
    assert written.pop("timestamp").endswith("Z")
    assert written == {
        "event": "delivered", "account": "a1", "octets": 7, "level": "info", "odd": "<class 'set'>",
    }  # fmt: skip


def test_a_terminal_gets_text() -> None:
    stream = Terminal()
    log.configure("auto", "info", stream)
    structlog.get_logger().info("delivered", account="a1")
    assert "delivered" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    log.configure("json", "warning", stream)
    structlog.get_logger().info("quiet")
    logging.getLogger("uvicorn").info("quiet")
    structlog.get_logger().warning("loud")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_other_libraries_write_the_same_lines() -> None:
    stream = io.StringIO()
    log.configure("json", "info", stream)
    logging.getLogger("somebody.else").warning("port %d", 80)
    written = json.loads(stream.getvalue())
    assert (written["event"], written["level"]) == ("port 80", "warning")


def test_an_error_carries_its_traceback_in_one_line() -> None:
    stream = io.StringIO()
    log.configure("json", "info", stream)
    try:
        raise ValueError("odd")
    except ValueError:
        structlog.get_logger().exception("bug")
        logging.getLogger("x").exception("other")
    ours, other = (json.loads(line) for line in stream.getvalue().splitlines())
    assert "ValueError: odd" in ours["exception"]
    assert "ValueError: odd" in other["exception"]


def test_a_logger_that_was_fetched_before_follows_a_new_configuration() -> None:
    logger = structlog.get_logger()
    first, second = io.StringIO(), io.StringIO()
    log.configure("json", "info", first)
    logger.info("one")
    log.configure("json", "error", second)
    logger.info("two")
    logger.error("three")
    assert "one" in first.getvalue()
    assert [json.loads(line)["event"] for line in second.getvalue().splitlines()] == ["three"]
