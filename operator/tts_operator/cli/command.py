"""The form that every command of `kubectl tts` has: a module with its flags, and a function that answers."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, cast


class ExitStatus(IntEnum):
    """Exit statuses of `kubectl tts`. argparse exits with 2 for wrong flags."""

    DONE = 0
    FAILED = 1
    WRONG_FLAGS = 2
    NEGATIVE = 3
    """The command worked, and its answer is no: a plan without a recommendation, a cluster that is not fit."""
    TRY_LATER = 4
    """The endpoint is refusing requests for now: a limit is reached, it has no replicas, or its queue is full."""


class CommandError(Exception):
    """Reasons why a command cannot be carried out. Each is a sentence that says what to change."""

    def __init__(self, *problems: str, status: ExitStatus = ExitStatus.FAILED) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.status = status


@dataclass(frozen=True)
class Answer:
    """Output of a command."""

    parts: Iterable[str]
    """Text for standard output, a part at a time: all of it may not fit into memory."""
    notes: tuple[str, ...] = ()
    """Lines for standard error, before the parts."""
    status: ExitStatus = ExitStatus.DONE

    @classmethod
    def of(cls, *parts: str) -> Answer:
        return cls(parts)


class CommandModule(Protocol):
    """Module of a command."""

    def add_flags(self, command: argparse.ArgumentParser) -> None:
        """Add the flags of the command."""

    def run(self, options: argparse.Namespace) -> Answer:
        """Carry out the command. Raises CommandError and KubectlError."""


@dataclass(frozen=True)
class Command:
    """One command in the list of all. Its module is imported when it is used: the others would slow its start."""

    name: str
    help: str
    """One line in the list of commands."""
    description: str
    example: str
    module: str
    """Name of the module in this folder."""
    epilog: str = ""
    """Sentences above the example."""

    def load(self) -> CommandModule:
        """Import the module."""
        return cast("CommandModule", importlib.import_module(f"tts_operator.cli.{self.module}"))
