"""Runs programs and reports the output of those that fail."""

from __future__ import annotations

import os
import shlex
import subprocess
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.cluster.errors import CommandError

LAST_WORDS_LINES = 25
SHOWN_CHARACTERS = 240


def run(
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout_seconds: float | None = None,
) -> str:
    """Run a program. Returns its standard output; raises CommandError with the end of its standard error."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_seconds,
        )
    except FileNotFoundError as error:
        raise CommandError(f"{words[0]}: program not found") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{_short(words)}: did not end within {timeout_seconds:.0f} s") from error
    if done.returncode != 0:
        spoken = (done.stderr.strip() or done.stdout.strip()).splitlines()[-LAST_WORDS_LINES:]
        raise CommandError(f"{_short(words)} ended with {done.returncode}:\n" + "\n".join(spoken))
    return done.stdout


def succeeds(command: Sequence[str | Path], *, timeout_seconds: float = 30.0) -> bool:
    """Whether the program exists and exits with 0."""
    try:
        run(command, timeout_seconds=timeout_seconds)
    except CommandError:
        return False
    return True


def _short(words: Sequence[str]) -> str:
    """Beginning of a command line, for messages."""
    return textwrap.shorten(shlex.join(words), SHOWN_CHARACTERS, placeholder=" ...")
