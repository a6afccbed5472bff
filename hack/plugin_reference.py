"""Reference of `kubectl tts`: each command with its arguments and flags, as its parser has them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from hack.programs_reference import GENERATED
from tts_operator.cli.command import Command
from tts_operator.cli.commands import COMMANDS
from tts_operator.cli.kubectl_tts import parser

STATUSES = (
    ("0", "done"),
    ("1", "failed: the reason is on standard error, and what to change"),
    ("2", "wrong flags"),
    ("3", "done, and the answer is no: `plan` recommends nothing, `check` found something that must be mended"),
    ("4", "`say`: the endpoint refuses for now (429, 503, no replicas); try again later"),
)
COLUMNS = ("| argument | description |", "| --- | --- |")


def page() -> str:
    """Page of all commands."""
    lines = [
        "# kubectl tts",
        "",
        GENERATED.format("operator/tts_operator/cli"),
        "",
        "[kubectl tts](../how-to/kubectl-tts.md) says how to install and use it.",
        "",
        "| exit status | meaning |",
        "| --- | --- |",
        *(f"| {status} | {meaning} |" for status, meaning in STATUSES),
    ]
    parsers = next(
        action.choices
        for action in parser(whole=True)._actions  # noqa: SLF001 - argparse has no public accessor
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
    )
    for command in COMMANDS:
        lines += section(command, parsers[command.name])
    return "\n".join(lines) + "\n"


def section(command: Command, parsed: argparse.ArgumentParser) -> Iterator[str]:
    """Lines about one command."""
    yield from ("", f"## {command.name}", "", command.description)
    if command.epilog:
        yield from ("", command.epilog)
    yield from ("", f"Example: `{command.example}`")
    actions = [*parsed._actions]  # noqa: SLF001
    for action in actions:
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for name, below in action.choices.items():
                yield from ("", f"### {command.name} {name}", "", str(below.description), "", *COLUMNS, *rows(below))
            return
    yield from ("", *COLUMNS, *rows(parsed))


def rows(parsed: argparse.ArgumentParser) -> Iterator[str]:
    """Row of each argument, without `--help`."""
    for action in parsed._actions:  # noqa: SLF001
        if action.dest != "help":
            yield f"| {written(action)} | {' '.join(str(action.help).split()).replace('|', chr(92) + '|')} |"


def written(action: argparse.Action) -> str:
    """An argument as it is written on the command line."""
    value = action.metavar if isinstance(action.metavar, str) else ""
    if not value and action.choices:
        value = "\\|".join(map(str, action.choices))
    if not action.option_strings:
        return f"`{value}`"
    takes_value = f" {value}" if value and action.nargs != 0 else ""
    return ", ".join(f"`{flag}{takes_value}`" for flag in action.option_strings)
