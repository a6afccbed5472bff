"""`kubectl tts resume`: ends the suspension of a tenant."""

from __future__ import annotations

import argparse

from tts_operator.cli.command import Answer
from tts_operator.cli.suspend_command import add_flags, set_suspend

__all__ = ["add_flags", "run"]


def run(options: argparse.Namespace) -> Answer:
    """Resume the tenant."""
    return set_suspend(options, suspend=False)
