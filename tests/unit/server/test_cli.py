"""The server's flags."""

import pytest

from tts_server.cli import main


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--port=http", "'http' is no whole number from 0 to 65535"),
        ("--metrics-port=70000", "'70000' is no whole number from 0 to 65535"),
        ("--replica=pod-1", "'pod-1' does not appear to be an IPv4 or IPv6 address"),
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
