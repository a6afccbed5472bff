"""The server's flags."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tts_server import cli
from tts_server.cli import CHECK_ENGINE, main, parser
from tts_server.config.watcher import Signature, signature
from tts_server.engine_check.cli import NAME
from tts_server.engine_check.cli import parser as check_parser
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
    parsers = (parser(), check_parser(), fetch_parser())
    flags = [each for one in parsers for each in one._actions if each.option_strings and each.dest != "help"]
    for flag in flags:
        assert SENTENCE.fullmatch(flag.help or ""), flag.help
        assert f"| `{flag.option_strings[-1]}` |" in reference
    assert reference.count("| `--") == len(flags)


def test_the_help_names_the_command_that_checks_another_server() -> None:
    assert CHECK_ENGINE == NAME
    assert f"tts-server {NAME} URL" in parser().format_help()


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["speech.example"], "must begin with http:// or https://"),
        (["http://speech.example", "--timeout=0"], "must be a number of seconds"),
        (["http://speech.example", "--at-once=1000"], "must be a whole number from 1 to 64"),
        (["http://speech.example", "-o", "xml"], "invalid choice"),
        ([], "the following arguments are required: URL"),
    ],
)
def test_a_wrong_flag_of_the_check_ends_with_2(
    flags: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([CHECK_ENGINE, *flags])
    assert left.value.code == 2
    assert problem in capsys.readouterr().err


def test_a_wrong_flag_and_the_help_do_not_wait_for_the_server() -> None:
    script = (
        "import sys, contextlib; from tts_server.cli import main\nwith contextlib.suppress(SystemExit): main(['-h'])\n"
    )
    heavy = "sys.exit(bool(sys.modules.keys() & {'fastapi', 'uvicorn', 'numpy', 'redis', 'structlog'}))"
    run = subprocess.run([sys.executable, "-c", script + heavy], check=False, capture_output=True)
    assert run.returncode == 0


def test_a_file_that_changes_while_the_server_is_imported_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signatures are older than what was read."""
    quota = tmp_path / "quota.json"
    quota.write_text("{}")
    given: dict[Path, Signature] = {}
    read = cli._configuration

    def changes_before_it_is_read(config_file: Path | None, quota_file: Path | None) -> Any:
        quota.write_text('{"requestsPerMinute": 7}')
        return read(config_file, quota_file)

    def serve(_: object, __: object, ___: object, seen: Mapping[Path, Signature]) -> int:
        given.update(seen)
        return 0

    monkeypatch.setattr(cli, "_configuration", changes_before_it_is_read)
    monkeypatch.setattr(cli, "_serve_configuration", serve)
    assert cli.main([f"--quota={quota}"]) == 0
    assert given.keys() == {quota}
    assert given[quota] != signature(quota)
