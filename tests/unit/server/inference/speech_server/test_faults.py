"""A refusal blames the text, or what the configuration sets."""

import json

import pytest

from tts_server.inference.speech_server.faults import fault_of_answer, retry_after

BODIES = {
    "OpenAI, the text":       ({"error": {"message": "m", "param": "input"}}, "text_refused"),
    "OpenAI, the voice":      ({"error": {"message": "m", "param": "voice"}}, "request_refused"),
    "OpenAI, a long text":    ({"error": {"message": "m", "code": "string_above_max_length"}}, "text_refused"),
    "this server, the voice": ({"error": {"param": None, "code": "voice_not_found"}}, "request_refused"),
    "FastAPI, the text":      ({"detail": [{"loc": ["body", "input"]}]}, "text_refused"),
    "FastAPI, the format":    ({"detail": [{"loc": ["body", "response_format"]}]}, "request_refused"),
    "FastAPI, both":          ({"detail": [{"loc": ["body", "voice"]}, {"loc": ["body", "input"]}]}, "text_refused"),
    "a sentence":             ({"detail": "no"}, "text_refused"),
    "a list":                 ([1, 2], "text_refused"),
    "nothing that is known":  ({"error": {"param": 5, "code": ["x"]}, "detail": [7]}, "text_refused"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "word"), BODIES.values(), ids=BODIES)
def test_a_refusal_blames_the_text_or_the_configuration(body: object, word: str) -> None:
    assert fault_of_answer(422, {}, json.dumps(body).encode()).word == word


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 70_000])
def test_a_body_that_is_no_json_may_be_for_the_text(body: bytes) -> None:
    assert fault_of_answer(400, {}, body).word == "text_refused"


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("0", 1), ("", 1), ("3600", 60), ("Wed, 21 Oct 2026 07:28:00 GMT", 1), ("²", 1)]
)
def test_a_wait_is_believed_up_to_a_minute(value: str, seconds: float) -> None:
    assert retry_after(value) == seconds
