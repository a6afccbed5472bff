"""A file that would exhaust the machine ends in an error, in a process that has little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

LAUGHS = "\n".join(["a0: &a0 [lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))])
HOSTILE: dict[str, tuple[str, str]] = {
    "an alias bomb": (LAUGHS, "cannot be read as YAML: line 1: aliases repeat more than 1048576 characters"),
    "deep nesting": ("[" * 1_000_000, "cannot be read as YAML: line 1: nested more than 150 levels deep"),
    "a huge scalar": (
        "a: " + "x" * (4 << 20),
        "cannot be read as YAML: more than 3 MiB; JSON may be larger: kubectl get -o json",
    ),
}


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_ends_in_an_error_within_a_second_and_in_little_memory(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "tenant.yaml"
    path.write_text(text)
    problem, seconds = run_with_little_memory(f"main(['schedule', '-f', {str(path)!r}])")
    assert problem.startswith(f"error: {path}: {message}")
    assert seconds < 1


def test_a_stream_without_end_is_read_up_to_the_limit() -> None:
    with Path("/dev/zero").open("rb") as endless:
        problem, seconds = run_with_little_memory("main(['schedule', '-f', '-'])", endless)
    assert problem.startswith("error: standard input: larger than 16 MiB;")
    assert seconds < 1


def run_with_little_memory(call: str, stdin: IO[bytes] | None = None) -> tuple[str, float]:
    """Run the command in a process of 256 MiB; it must fail. Returns its one line of errors and its CPU seconds."""
    script = (
        "import resource, sys, time; from tts_operator.cli.kubectl_tts import main;"
        "resource.setrlimit(resource.RLIMIT_AS, (256 << 20,) * 2); begin = time.process_time();"
        f"status = {call}; print(time.process_time() - begin); sys.exit(status)"
    )
    run = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, stdin=stdin)
    assert run.returncode == 1, run.stderr
    (line,) = run.stderr.splitlines()
    return line, float(run.stdout)
