"""Flags of `kubectl tts override`. What it does to a cluster is tested beside a real one."""

import pytest

from tts_operator.cli.kubectl_tts import main


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--min=2"], "one of the arguments --for --until --clear is required"),
        (["--min=2", "--for=1h", "--clear"], "not allowed with argument"),
        (["--min=0", "--for=1h"], "'0' is not a whole number from 1 to 1000"),
        (["--min=1001", "--for=1h"], "'1001' is not a whole number from 1 to 1000"),
        (["--min=two", "--for=1h"], "'two' is not a whole number from 1 to 1000"),
        (["--min=2", "--for=2"], "'2' is not a time such as 2h, 1h30m or 3d, of at most 366 days"),
        (["--min=2", "--for="], "'' is not a time such as 2h"),
        (["--min=2", "--for=0h"], "'0h' is not a time such as 2h"),
        (["--min=2", "--for=367d"], "'367d' is not a time such as 2h"),
        (["--min=2", "--for=1h-5m"], "'1h-5m' is not a time such as 2h"),
        (["--min=2", "--until=2026-11-30"], "'2026-11-30' is not a time in RFC 3339"),
    ],
)
def test_a_wrong_flag_says_what_to_write(
    capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    with pytest.raises(SystemExit):
        main(["override", "acme", *arguments])
    assert problem in capsys.readouterr().err


def test_without_kubectl_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["override", "acme", "--min=2", "--for=2h30m"]) == 1
    assert capsys.readouterr().err == "error: kubectl is not on the PATH; install it\n"
