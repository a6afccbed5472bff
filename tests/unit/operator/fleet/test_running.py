"""Commands that go on running, and what is read from them. A shell stands for kubectl."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tts_operator.fleet.kubectl import Kubectl, KubectlError
from tts_operator.fleet.port_forward import port_forward
from tts_operator.fleet.process_lines import running


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def test_the_line_that_says_ready_is_given_and_the_command_ended(tmp_path: Path) -> None:
    script = f"trap 'touch {tmp_path}/ended; exit 0' TERM; echo loading; echo port 7 is ready; sleep 60 & wait"
    with running(shell(script), "is ready") as said:
        assert said == "port 7 is ready"
        assert not (tmp_path / "ended").exists()
    assert (tmp_path / "ended").exists()


def test_a_command_that_ends_before_says_why() -> None:
    with pytest.raises(KubectlError, match="no such service"), running(shell("echo no such service >&2"), "ready"):
        pass


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that stands for kubectl and notes its arguments."""
    program = tmp_path / "kubectl"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/words\necho "Forwarding from 127.0.0.1:4321 -> 8080"\nexec sleep 60\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_a_forwarded_port_is_an_address_of_this_machine(kubectl: Path) -> None:
    with port_forward(Kubectl(("--context=c",)), "team-acme", "acme", 80) as url:
        assert url == "http://127.0.0.1:4321"
    words = (kubectl / "words").read_text().split()
    assert words == [
        "port-forward",
        "--namespace=team-acme",
        "--address=127.0.0.1",
        "service/acme",
        ":80",
        "--context=c",
    ]
