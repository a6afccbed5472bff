"""The server's flags."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tts_server.cli import main, parser
from tts_server.model_files.cli import parser as fetch_parser

SENTENCE = re.compile(
    r"(?!(Of|What|Who|Whose|Whom|None|Until|Where|See|Nobody|The same)\b)[A-Z].*\.( \(default: .*\))?"
)
"""A sentence or a noun phrase, as docstrings of this project are."""


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--port=http", "must be a whole number from 0 to 65535, not 'http'"),
        ("--metrics-port=70000", "must be a whole number from 0 to 65535, not '70000'"),
        ("--replica=pod-1", "must be an IP address, not 'pod-1'"),
        ("--log-level=loud", "invalid choice: 'loud'"),
    ],
)
def test_a_flag_that_makes_no_sense_is_refused_by_name(
    flag: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([flag])
    assert left.value.code == 2
    assert f"argument {flag.partition('=')[0]}: {problem}" in capsys.readouterr().err


def test_every_flag_is_documented_by_a_sentence_and_listed_in_the_reference() -> None:
    reference = (Path(__file__).parents[3] / "docs" / "reference" / "tts-server.md").read_text(encoding="utf-8")
    parsers = (parser(), fetch_parser())
    flags = [action for each in parsers for action in each._actions if action.dest != "help"]
    for flag in flags:
        assert SENTENCE.fullmatch(flag.help or ""), flag.help
        assert f"| `{flag.option_strings[0]}` |" in reference
    assert reference.count("| `--") == len(flags)


def test_a_wrong_flag_and_the_help_do_not_wait_for_the_server() -> None:
    script = (
        "import sys, contextlib; from tts_server.cli import main\nwith contextlib.suppress(SystemExit): main(['-h'])\n"
    )
    heavy = "sys.exit(bool(sys.modules.keys() & {'fastapi', 'uvicorn', 'numpy', 'redis', 'structlog'}))"
    run = subprocess.run([sys.executable, "-c", script + heavy], check=False, capture_output=True)
    assert run.returncode == 0
