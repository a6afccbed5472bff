"""`tts-server check-engine` against speech servers over real sockets."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.speech_servers import (
    Asked,
    Behaviour,
    ScriptedServer,
    key_file,
    refuses,
    scripted_server,
    sends,
    serves,
    tone,
    wav,
)
from tts_operator.api import TTSModel
from tts_server.cli import CHECK_ENGINE
from tts_server.engine_check.cli import main
from tts_server.engine_check.findings import Findings
from tts_server.engine_check.probes import LONG, Question, check


async def checked(behave: Behaviour, **options: Any) -> Findings:
    """The findings about a server that behaves so."""
    async with scripted_server(behave) as server:
        return await check(Question(server.url, **options))


async def printed(capsys: pytest.CaptureFixture[str], url: str, *flags: str) -> tuple[int, str, str]:
    """Exit code and outputs of the command."""
    code = await asyncio.to_thread(main, [url, *flags])
    said = capsys.readouterr()
    return code, said.out, said.err


async def test_a_good_server_is_described_and_its_model_is_valid() -> None:
    findings = await checked(serves(rate_hz=22_050))
    assert findings.problem == ""
    assert (findings.models, findings.voices) == (["kokoro"], ["ann", "bob"])
    assert {name for name, found in findings.formats.items() if found.outcome == "ok"} == {"wav", "pcm"}
    assert findings.formats["wav"].rate_hz == findings.formats["pcm"].rate_hz == 22_050
    assert findings.speed == "honoured"
    assert findings.spoken_at_once == findings.at_once == 4
    assert (findings.errors["unknown model"].outcome, findings.errors["unknown model"].shape) == ("not_found", "openai")
    assert (findings.errors["unknown voice"].status, findings.errors["unknown voice"].shape) == (422, "fastapi")
    assert findings.cancel == "unknown"
    assert findings.cancel_reason.endswith("too fast to tell")
    assert findings.stream is not None
    assert findings.stream.audio_seconds == pytest.approx(len(LONG) * 0.05, rel=0.01)


@pytest.mark.parametrize("output", ["yaml", "json", "text"])
async def test_each_output_holds_a_model_that_the_api_accepts(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with scripted_server(serves(formats=("pcm",), ignores_speed=True)) as server:
        code, out, err = await printed(capsys, server.url, "-o", output)
    assert code == 0
    told = [line.removeprefix("tts-server check-engine: asks about ") for line in err.splitlines()]
    assert told[:3] == ["models and voices ...", "the format wav ...", "the format pcm ..."]
    assert "first audio, 5 of 5 ..." in told
    assert ("remote.url reaches the server from this machine only" in err) is (output == "yaml")
    if output == "json":
        document = json.loads(out)
        assert document["usable"] is True
        model = document["ttsModel"]
    else:
        model = yaml.safe_load(out[out.index("apiVersion:") :])
    parsed = TTSModel.model_validate(model)
    assert parsed.spec.remote is not None
    assert (parsed.spec.remote.url, parsed.spec.remote.model) == (server.url, "kokoro")
    assert (parsed.spec.remote.response_format, parsed.spec.remote.speed) == ("pcm", "Here")
    assert [voice.name for voice in parsed.spec.voices] == ["ann", "bob"]
    assert parsed.spec.sample_rate_hz == 24_000
    if output == "text":
        assert "speed           ignored" in out
        assert "Note: wav is not answered with a WAV" in out


UNUSABLE = {
    "nobody there":      (None, "does not accept connections"),
    "a wrong key":       (refuses(401), "refuses its API key"),
    "no speech there":   (refuses(404), "has no such model or path"),
    "only MP3":          (sends(b"ID3\x04" + bytes(400), "audio/mpeg"), "audio of another format"),
    "a page":            (sends(b"<html>Sign in</html>", "text/html"), "a page or a document instead of audio"),
}  # fmt: skip


@pytest.mark.parametrize(("behave", "sentence"), UNUSABLE.values(), ids=UNUSABLE)
async def test_a_server_that_cannot_be_used_ends_with_1_and_a_sentence(
    behave: Behaviour | None, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with scripted_server(behave or serves()) as server:
        url = server.url if behave is not None else "http://127.0.0.1:9"
        code, out, _ = await printed(capsys, url)
    assert code == 1
    assert sentence in out
    assert "apiVersion" not in out


async def test_the_key_is_sent_told_as_needed_and_never_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = key_file(tmp_path, "very-s3cret")
    async with scripted_server(serves(key="very-s3cret")) as server:
        code, out, err = await printed(capsys, server.url, f"--api-key-file={file}", "-o", "json")
        assert code == 0
        document = json.loads(out)
        assert document["key_needed"] is True
        assert "secretRef" in document["ttsModel"]["spec"]["remote"]
        assert "s3cret" not in out + err
        code, out, _ = await printed(capsys, server.url, "-o", "yaml")
        assert (code, out) == (1, "")


def one_at_a_time(*, notices: bool) -> Behaviour:
    """A server with one engine, which takes 1 ms for each letter, and goes on for those who hung up or does not."""
    engine = asyncio.Lock()

    async def behave(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
        if "input" not in asked.body:
            return await serves()(server, asked, writer)
        async with engine:
            for _ in range(len(asked.body["input"]) // 10):
                if notices and asked.gone.is_set():
                    return None
                await asyncio.sleep(0.02)
        return await sends(wav(tone(asked.body["input"][:4], 1.0)))(server, asked, writer)

    return behave


@pytest.mark.parametrize("notices", [True, False])
async def test_it_tells_whether_a_server_notices_that_a_caller_hung_up(notices: bool) -> None:
    findings = await checked(one_at_a_time(notices=notices), at_once=2)
    assert findings.cancel == ("noticed" if notices else "ignored")
    assert findings.stream is not None
    assert not findings.stream.is_streamed


async def test_a_check_ends_within_its_budget_and_says_what_it_did_not_ask() -> None:
    async def slow_speech(server: ScriptedServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.body.get("speed") == 2.0:
            await asked.gone.wait()
        await serves()(server, asked, writer)

    findings = await checked(slow_speech, budget_seconds=2)
    assert findings.problem == ""
    assert findings.speed == "unknown"
    (note,) = (note for note in findings.notes if "to their end" in note)
    assert note.endswith("speed, first audio, requests at once, a long text, and hanging up, other formats")


async def test_the_command_is_part_of_the_program() -> None:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("tts-server"), CHECK_ENGINE, "http://127.0.0.1:9", "-o", "yaml",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 1
    assert out == b""
    assert b"tts-server check-engine: cannot be used: the speech server does not accept connections" in err
