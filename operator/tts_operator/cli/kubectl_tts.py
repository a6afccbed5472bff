"""Plugin of kubectl: `schedule` and `plan` need no cluster, the other commands read or change one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tts_operator.calendar.tz_database import use_pinned_database, version_line
from tts_operator.cli.command import Command, CommandError, ExitStatus
from tts_operator.cli.commands import COMMANDS
from tts_operator.cli.standard_output import reader_may_exit
from tts_operator.fleet.kubectl import KubectlError

EXIT_STATUSES = (
    "Exit status: 0 done, 1 failed, 2 wrong flags, 3 the answer is no (plan, check), 4 the endpoint refuses for now"
    " (say)."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns an ExitStatus; argparse exits with 2 for a wrong flag."""
    use_pinned_database()
    words = list(sys.argv[1:] if arguments is None else arguments)
    with reader_may_exit():
        options, unknown = parser(words).parse_known_args(words)
        if unknown:  # the parser of all commands would show its own flags
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        return _run(options)


def parser(words: Sequence[str] = (), *, whole: bool = False) -> argparse.ArgumentParser:
    """Parser of every command. Only the one that the words name has its flags, unless `whole`."""
    root = argparse.ArgumentParser(
        prog="kubectl tts",
        description="See, call and change tenants of TTS Fleet, preview schedules, plan costs and make API keys.",
        epilog=f"kubectl tts COMMAND --help lists the flags of a command. {EXIT_STATUSES}",
    )
    root.add_argument("--version", action="version", version=version_line("kubectl-tts"))
    commands = root.add_subparsers(required=True, metavar="COMMAND", title="commands")
    named = next((word for word in words if not word.startswith("-")), None)
    for command in COMMANDS:
        _add(commands, command, load=whole or command.name == named)
    return root


def _add(commands: argparse._SubParsersAction[argparse.ArgumentParser], command: Command, *, load: bool) -> None:
    epilog = " ".join(filter(None, (command.epilog, f"Example: {command.example}")))
    added = commands.add_parser(command.name, help=command.help, description=command.description, epilog=epilog)
    if load:
        module = command.load()
        added.set_defaults(run=module.run, parser=added)
        module.add_flags(added)


def _run(options: argparse.Namespace) -> int:
    try:
        answer = options.run(options)
        for note in answer.notes:
            print(note, file=sys.stderr)
        for part in answer.parts:
            print(part, end="")
    except CommandError as error:
        return _fail(*error.problems, status=error.status)
    except KubectlError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    return int(answer.status)


def _fail(*problems: str, status: ExitStatus = ExitStatus.FAILED) -> int:
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
