"""Scripts that complete `kubectl tts`: bash runs its own; the others are compared with the parser."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tts_operator.cli.commands import COMMANDS
from tts_operator.cli.completion_command import bash, complete, fish, tree, zsh
from tts_operator.cli.kubectl_tts import main, parser

NODES = tree(parser(whole=True))


def completed(*words: str) -> list[str]:
    """Words that bash offers for the last one."""
    line = " ".join(f"'{word}'" for word in ("kubectl-tts", *words))
    script = f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; _kubectl_tts; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", f"{bash(NODES)}\n{script}"], check=True, capture_output=True, text=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("st",), ["status"]),
        (("keys", ""), ["list", "create", "revoke"]),
        (("rollout", "pau"), ["pause"]),
        (("status", "-o", ""), ["table", "wide", "json", "yaml"]),
        (("keys", "list", "acme", "--out"), ["--output"]),
        (("completion", "z"), ["zsh"]),
    ],
)
def test_bash_and_kubectl_offer_the_same(words: tuple[str, ...], offered: list[str]) -> None:
    assert completed(*words) == offered
    assert complete(words).split()[:-1] == offered


def test_every_command_is_offered() -> None:
    assert completed("") == [command.name for command in COMMANDS]
    assert complete(("",)).split() == [*(command.name for command in COMMANDS), ":4"]


def test_a_file_is_left_to_the_shell() -> None:
    assert complete(("plan", "-f", "")) == ":0\n"


def test_every_command_is_in_the_scripts_of_other_shells() -> None:
    for script in (zsh(NODES), fish(NODES)):
        assert all(command.name in script for command in COMMANDS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_prints_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "kubectl-tts" in script
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=script, text=True, check=True)
