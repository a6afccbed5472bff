"""Fixtures and settings for tests of every tier."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tts_operator.calendar.tz_database import use_pinned_database

# Containers often set it for the one program that they run. Tests start hundreds of Python processes, and each of them
# would compile every module that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

use_pinned_database()  # as both programs do at their start

# By the clock on the wall an example is as slow as whatever else the machine does: pytest's timeout is the only one.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def logging_configured_for_one_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a test configures of logging.

    A logger that caches its configuration would write to the output of the test that used it first, and to that alone.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(structlog, "configure", partial(configure_uncached, structlog.configure))
    yield
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


def configure_uncached(configure: Callable[..., None], **options: Any) -> None:
    """Configure as the caller asked, but let every logger read the configuration at each use."""
    configure(**options | {"cache_logger_on_first_use": False})
