"""Log lines: JSON, and silent about what callers send."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout

import pytest
import structlog

from tts_server.telemetry.logging import configure_logging


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def said(level: str, say: Callable[[structlog.typing.FilteringBoundLogger], None]) -> list[dict[str, object]]:
    with redirect_stdout(io.StringIO()) as out:
        configure_logging(level)
        say(structlog.get_logger())
        logging.getLogger("asyncio").error("a library failed")
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_lines_are_json_those_of_libraries_too() -> None:
    ours, theirs = said("info", lambda log: log.info("plan applied", actions=3))
    assert (ours["event"], ours["level"], ours["actions"]) == ("plan applied", "info", 3)
    assert (theirs["event"], theirs["level"]) == ("a library failed", "error")
    assert str(ours["timestamp"]).endswith("Z")


def test_a_quiet_level_is_quiet() -> None:
    assert [line["event"] for line in said("warning", lambda log: log.info("chatter"))] == ["a library failed"]


def test_an_exception_says_where_it_was_and_not_what_it_says() -> None:
    def fail(log: structlog.typing.FilteringBoundLogger) -> None:
        try:
            int("secret words")
        except ValueError:
            log.exception("request failed")
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")

    lines = said("info", fail)[:2]
    assert "secret" not in json.dumps(lines)
    for line in lines:
        assert line["error"] == "ValueError"
        assert "test_logging.py" in str(line["stack"])
