"""The installed programs without what they need, and with readers that exit: sentences instead of tracebacks."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
COMMANDS = [
    ("tts-operator", "crds"),
    ("tts-operator", "run --server-image=tts:1"),
    ("kubectl-tts", "schedule -f -"),
    ("kubectl-tts", "keygen --tenant=acme"),
    ("kubectl_complete-tts", "sta"),
    ("tts-server", ""),
    ("tts-install-kokoro", "--directory /nonexistent/cache"),
]
PRINTING = [
    ("tts-operator", "crds"),
    ("tts-operator", "run --help"),
    ("tts-operator", "--version"),
    ("kubectl-tts", "--help"),
    ("kubectl-tts", "keygen --secret=speech-keys --output=yaml"),
    ("kubectl_complete-tts", "keys l"),
    ("tts-server", "--help"),
    ("tts-install-kokoro", "--help"),
]
EXTRAS = {
    "tts-operator": "operator",
    "kubectl-tts": "operator",
    "kubectl_complete-tts": "operator",
    "tts-server": "server",
    "tts-install-kokoro": "server",
}


def script(program: str) -> str:
    """Python code that does what the installed script of this name does."""
    module, _, function = SCRIPTS[program].partition(":")
    return f"import sys; sys.argv[0] = {program!r}; from {module} import {function}; sys.exit({function}())"


def needed_without_extras(name: str) -> Iterator[importlib.metadata.Distribution]:
    """Distributions that `pip install` installs with this one if no extra is named, itself left out."""
    for requirement in importlib.metadata.requires(name) or ():
        if ";" not in requirement:
            (found,) = re.findall(r"^[\w.-]+", requirement)
            yield importlib.metadata.distribution(found)
            yield from needed_without_extras(found)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the packages of an installation without extras, and no others."""
    folder = tmp_path_factory.mktemp("site-packages")
    for distribution in needed_without_extras("ttsfleet"):
        for name in {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}:
            if not (folder / name).exists():
                (folder / name).symlink_to(Path(str(distribution.locate_file(name))))
    for package in ("operator/tts_operator", "inference_server/tts_server"):
        (folder / Path(package).name).symlink_to(ROOT / package)
    return folder


def test_every_program_is_tried_without_its_extra() -> None:
    assert {program for program, _ in COMMANDS} == set(SCRIPTS)
    assert {program for program, _ in PRINTING} == set(SCRIPTS)


@pytest.mark.parametrize(("program", "arguments"), COMMANDS, ids=lambda words: words or "serve")
def test_a_program_without_its_extra_says_what_to_install(bare: Path, program: str, arguments: str) -> None:
    code = f"import sys; sys.path.append({str(bare)!r}); {script(program)}"
    command = [sys.executable, "-I", "-S", "-B", "-c", code, *arguments.split()]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    (line,) = result.stderr.splitlines()
    assert re.fullmatch(
        rf"{program.replace('-', '[- ]', 1)}: the Python package \w+ is not installed; install the program with its "
        rf"extras?: pip install 'ttsfleet\[{EXTRAS[program]}[\w,]*\]'",
        line,
    )
    assert result.returncode == 1
    assert result.stdout == ""


@pytest.mark.parametrize(("program", "arguments"), PRINTING, ids=lambda words: words)
def test_a_reader_that_exits_early_sees_no_traceback(program: str, arguments: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # as if `| head -1` had read enough: every write fails from now on
    command = [sys.executable, "-c", script(program), *arguments.split()]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    try:
        result = subprocess.run(
            command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60, env=buffered
        )
    finally:
        os.close(writer)
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr
    # argparse writes the help, and ignores that nobody reads it if it is larger than the buffer.
    assert result.returncode in ((0, 1) if arguments.endswith("--help") else (1,))
