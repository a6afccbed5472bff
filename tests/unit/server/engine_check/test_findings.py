"""From what a check has found follow the verdict, the notes and the TTSModel."""

import pytest

from tts_server.engine_check.findings import Findings, FormatFound, StreamFound, judge, nearest_rate_hz, snippet
from tts_server.engine_check.probes import names_in, root_of, shape_of
from tts_server.engine_check.text_report import text_report

WAV = FormatFound("ok", 200, "audio/wav", "wav", 24_000, 1.5)


def found(**changes: object) -> Findings:
    findings = Findings("http://kokoro:8880", model="kokoro", voice="af_heart", formats={"wav": WAV})
    for name, value in changes.items():
        setattr(findings, name, value)
    judge(findings)
    return findings


def test_a_server_with_wav_can_be_used() -> None:
    findings = found()
    assert (findings.problem, findings.notes) == ("", [])
    assert snippet(findings)["spec"]["remote"] == {"url": "http://kokoro:8880", "model": "kokoro"}


def test_a_server_with_mp3_alone_cannot() -> None:
    findings = found(formats={"wav": FormatFound("wrong_format"), "mp3": FormatFound("ok", 200)})
    assert "neither wav nor pcm" in findings.problem
    assert text_report(findings).endswith("Cannot be used: " + findings.problem + ".\n")


def test_the_wait_for_first_audio_is_five_times_the_measured_one() -> None:
    slow = found(stream=StreamFound(2.0, 4.0, 10, 20.0), first_audio_seconds=0.5)
    assert snippet(slow)["spec"]["firstAudioTimeoutSeconds"] == 10
    assert snippet(found(first_audio_seconds=0.1))["spec"]["firstAudioTimeoutSeconds"] == 3


def test_requests_at_once_are_limited_where_hanging_up_is_not_noticed() -> None:
    assert snippet(found(parallel=3.8, cancel="ignored"))["spec"]["remote"]["maxConcurrentRequests"] == 4
    assert snippet(found(parallel=3.8, cancel="noticed"))["spec"]["remote"]["maxConcurrentRequests"] == 8


def test_a_rate_follows_from_samples_and_duration() -> None:
    assert nearest_rate_hz(24_100, 1.0) == 24_000
    assert nearest_rate_hz(22_050, 1.0) == 22_050
    assert nearest_rate_hz(27_000, 1.0) == 0
    assert nearest_rate_hz(0, 0.0) == 0
    assert nearest_rate_hz(24_000, 1.0, likely_hz=22_050) == 22_050, "the voice spoke more slowly this time"
    assert nearest_rate_hz(48_000, 1.0, likely_hz=22_050) == 48_000


LISTS = {
    "OpenAI's models": ({"data": [{"id": "a"}, {"id": "b"}]}, ["a", "b"]),
    "strings":         ({"voices": ["a", "b", "a"]}, ["a", "b"]),
    "objects":         ({"voices": [{"name": "a"}, {"voice_id": "b"}, {}]}, ["a", "b"]),
    "by name":         ({"voices": {"a": {}, "b": {}}}, ["a", "b"]),
    "a bare list":     (["a", 5, None], ["a"]),
    "something else":  ("a", []),
}  # fmt: skip


@pytest.mark.parametrize(("document", "names"), LISTS.values(), ids=LISTS)
def test_lists_of_many_shapes_are_read(document: object, names: list[str]) -> None:
    assert names_in(document) == names


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (b'{"error": {"message": "m"}}', "openai"),
        (b'{"detail": "m"}', "fastapi"),
        (b'{"error": "m"}', "json"),
        (b"<html>", "html"),
        (b"no", "text"),
        (b" ", "empty"),
    ],
)
def test_shapes_of_refusals(body: bytes, shape: str) -> None:
    assert shape_of(body) == shape


VOICES = {"data": [{"id": "heart", "model": "heart"}, {"id": "af_sky", "model": "kokoro"}, {"id": "plain"}]}


def test_voices_of_other_models_are_not_listed() -> None:
    assert names_in(VOICES) == ["heart", "af_sky", "plain"]
    assert names_in(VOICES, {"kokoro"}) == ["af_sky", "plain"]


def test_an_alias_of_a_model_has_the_voices_of_the_model() -> None:
    models = {"data": [{"id": "heart", "root": "heart"}, {"id": "tts-1", "root": "heart"}, {"id": "odd", "root": 7}]}
    assert [root_of(models, name) for name in ("tts-1", "heart", "odd", "other")] == ["heart", "heart", "odd", "other"]
    assert root_of(None, "tts-1") == "tts-1"


@pytest.mark.parametrize(
    ("url", "here"),
    {
        "http://localhost:8880": True, "http://127.0.0.1:8880": True, "http://127.9.9.9": True, "http://[::1]:80": True,
        "http://0.0.0.0:80": True, "http://a.localhost": True, "http://kokoro.speech.svc:8880": False,
        "http://10.0.0.7": False, "https://localhost.example": False,
    }.items(),
)  # fmt: skip
def test_an_address_of_this_machine_is_told_as_one_to_replace(url: str, here: bool) -> None:
    findings = found(url=url)
    judge(findings)
    assert (
        any(note.startswith("remote.url reaches the server from this machine only") for note in findings.notes) is here
    )


def test_an_unknown_answer_has_its_reason() -> None:
    assert "unknown, the check ended before it was asked" in text_report(found(cancel="unknown"))
    assert "unknown, it was too fast" in text_report(found(cancel="unknown", cancel_reason="it was too fast"))
    assert "before it was asked" not in text_report(found(cancel="noticed"))
