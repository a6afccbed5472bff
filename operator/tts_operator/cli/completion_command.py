"""`kubectl tts completion`: scripts that complete commands, flags and names of tenants in a shell.

kubectl completes plugins by running `kubectl_complete-tts`, if the PATH has it: `complete` is that program.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tts_operator.cli.command import Answer
from tts_operator.fleet.kubectl import Kubectl, KubectlError

SHELLS = ("bash", "zsh", "fish")
NO_FILES = ":4"
"""Last line of a completion for kubectl: offer no names of files."""
FILES = ":0"
TAKES_TENANT = "tenant"
TAKES_FILE = frozenset({"FILE", "CSV"})


class Node(NamedTuple):
    """Words and flags that can follow a command."""

    words: tuple[str, ...]
    """Subcommands."""
    flags: tuple[str, ...]
    choices: Mapping[str, tuple[str, ...]]
    """Values of flags that have a fixed set of them."""
    files: frozenset[str]
    """Flags whose value is a file."""
    takes_tenant: bool


def add_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("shell", choices=SHELLS, help="Shell.")


def run(options: argparse.Namespace) -> Answer:
    """The script."""
    from tts_operator.cli.kubectl_tts import parser  # it lists this command, too

    return Answer([SCRIPTS[options.shell](tree(parser(whole=True)))])


def tree(root: argparse.ArgumentParser) -> dict[tuple[str, ...], Node]:
    """Node of each command, by its words."""
    return dict(_nodes(root, ()))


def _nodes(parser: argparse.ArgumentParser, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Node]]:
    flags: list[str] = []
    choices: dict[str, tuple[str, ...]] = {}
    files: set[str] = set()
    words: tuple[str, ...] = ()
    takes_tenant = False
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to list them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            words = tuple(action.choices)
            for name, child in action.choices.items():
                yield from _nodes(child, (*path, name))
        elif action.option_strings:
            flags += action.option_strings
            for flag in action.option_strings:
                if action.choices:
                    choices[flag] = tuple(map(str, action.choices))
                if action.metavar in TAKES_FILE:
                    files.add(flag)
        elif action.choices:
            words = tuple(map(str, action.choices))
        takes_tenant |= not action.option_strings and action.dest == TAKES_TENANT
    yield path, Node(words, tuple(flags), choices, frozenset(files), takes_tenant)


def candidates(nodes: Mapping[tuple[str, ...], Node], words: Sequence[str]) -> tuple[tuple[str, ...], Node]:
    """Words that may stand in place of the last one, with the command that it belongs to."""
    *before, last = words or ("",)
    path: tuple[str, ...] = ()
    for word in before:
        if (*path, word) in nodes:
            path = (*path, word)
    node = nodes[path]
    previous = before[-1] if before else ""
    offered = node.choices.get(previous) or (node.flags if last.startswith("-") else node.words)
    return tuple(each for each in offered if each.startswith(last)), node


def complete(words: Sequence[str]) -> str:
    """Lines that kubectl expects: what may stand in place of the last word, then what it does besides."""
    from tts_operator.cli.kubectl_tts import parser  # it lists this command, too

    named = next((word for word in words if not word.startswith("-")), None)
    offered, node = candidates(tree(parser([named] if named else [])), words)
    *before, last = words or ("",)
    wants_file = bool(before) and before[-1] in node.files
    if node.takes_tenant and not offered and not wants_file and not last.startswith("-"):
        offered = tuple(name for name in _tenants(before) if name.startswith(last))
    return "".join(f"{each}\n" for each in (*offered, FILES if wants_file else NO_FILES))


def _tenants(words: Sequence[str]) -> list[str]:
    """Names of tenants in the namespace that the words choose; none where they cannot be listed."""
    choosing = [word for pair in itertools.pairwise(words) if pair[0] in CHOOSING for word in pair]
    try:
        found = Kubectl(tuple(choosing)).run("get", "ttstenants.ttsfleet.io", "--output=name", "--request-timeout=3s")
    except KubectlError:
        return []
    return [line.rpartition("/")[2] for line in found.split()]


CHOOSING = frozenset({"-n", "--namespace", "--context", "--kubeconfig"})
TENANTS = "kubectl get ttstenants.ttsfleet.io -o name --request-timeout=3s 2>/dev/null"


def bash(nodes: Mapping[tuple[str, ...], Node]) -> str:
    """Script for bash, for the program `kubectl-tts`; kubectl's own script completes `kubectl tts`."""
    cases = "".join(_bash_case(path, node) for path, node in sorted(nodes.items()))
    return f"""# bash completion for kubectl-tts. That of kubectl (kubectl completion bash) completes `kubectl tts`.
_kubectl_tts() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" path="" word words="" flags=""
  COMPREPLY=()
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$path $word" in
{_bash_paths(nodes)}    esac
  done
  case "$path" in
{cases}  esac
  if [[ "$current" == -* ]]; then words="$flags"; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _kubectl_tts kubectl-tts
"""


def _bash_paths(nodes: Mapping[tuple[str, ...], Node]) -> str:
    lines = (f'      " {" ".join(path)}") path=" {" ".join(path)}" ;;\n' for path in sorted(nodes) if len(path) == 1)
    nested = (
        f'      " {path[0]} {path[1]}") path=" {" ".join(path)}" ;;\n' for path in sorted(nodes) if len(path) == 2
    )
    return "".join((*lines, *nested))


def _bash_case(path: tuple[str, ...], node: Node) -> str:
    name = f" {' '.join(path)}" if path else ""
    words = f"$({TENANTS} | cut -d/ -f2)" if node.takes_tenant else " ".join(node.words)
    values = "".join(
        f'        {flag}) COMPREPLY=($(compgen -W "{" ".join(chosen)}" -- "$current")); return ;;\n'
        for flag, chosen in node.choices.items()
    )
    files = "".join(
        f'        {flag}) COMPREPLY=($(compgen -f -- "$current")); return ;;\n' for flag in sorted(node.files)
    )
    previous = f'      case "$previous" in\n{values}{files}      esac\n' if values or files else ""
    return f'    "{name}")\n{previous}      words="{words}"\n      flags="{" ".join(node.flags)}" ;;\n'


def zsh(nodes: Mapping[tuple[str, ...], Node]) -> str:
    """Script for zsh, which runs that for bash."""
    return f"#compdef kubectl-tts\nautoload -U +X bashcompinit && bashcompinit\n{bash(nodes)}"


def fish(nodes: Mapping[tuple[str, ...], Node]) -> str:
    """Script for fish, for the program `kubectl-tts`."""
    return "".join(["complete -c kubectl-tts -f\n", *_fish_lines(nodes)])


def _fish_lines(nodes: Mapping[tuple[str, ...], Node]) -> Iterator[str]:
    for path, node in sorted(nodes.items()):
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in path)
        condition = seen or "__fish_use_subcommand"
        if node.words:
            below = f"{condition}; and not __fish_seen_subcommand_from {' '.join(node.words)}" if path else condition
            yield f"complete -c kubectl-tts -n '{below}' -a '{' '.join(node.words)}'\n"
        if node.takes_tenant:
            yield f"complete -c kubectl-tts -n '{condition}' -a '({TENANTS} | string replace -r \".*/\" \"\")'\n"
        for flag in node.flags:
            option = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
            values = f" -x -a '{' '.join(node.choices[flag])}'" if flag in node.choices else ""
            values = " -r -F" if flag in node.files else values
            yield f"complete -c kubectl-tts -n '{condition}' {option}{values}\n"


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}
