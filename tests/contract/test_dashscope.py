"""Sambert behind a model, against a recorded description of DashScope's protocol over real WebSockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from tests.support.dashscope_server import (
    KEY,
    RUN_TASK,
    Service,
    Task,
    breaks_off,
    dashscope_service,
    fails,
    speaks,
    stalls,
)
from tests.support.speech_servers import Outcomes, client_of, key_file, tone
from tests.support.timeouts import HANG_SECONDS
from tests.support.worker_pools import synthesized
from tts_server.errors import (
    EngineCrashed,
    EngineError,
    EngineTimeout,
    RemoteBusy,
    RemoteRejected,
    RemoteUnreachable,
    TextRejected,
    TTSError,
)
from tts_server.inference.client import Utterance
from tts_server.inference.speech_server.client import SpeechServerClient

TEXT = "待合成文本"
VOICES = {"知厨": "sambert-zhichu-v1"}


@asynccontextmanager
async def sambert(
    folder: Path, task: Task = speaks, *, key: str = KEY, **options: Any
) -> AsyncIterator[tuple[Service, SpeechServerClient]]:
    """The service, and a client of it."""
    async with (
        dashscope_service(task) as service,
        client_of(
            service.url, protocol="DashScope", voices=VOICES, api_key_file=key_file(folder, key),
            **{"first_audio_timeout_seconds": HANG_SECONDS, "connect_timeout_seconds": HANG_SECONDS} | options,
        ) as client,
    ):  # fmt: skip
        yield service, client


async def test_a_task_is_the_published_message(tmp_path: Path) -> None:
    async with sambert(tmp_path) as (service, client):
        heard = await synthesized(client, Utterance(TEXT, "知厨"))
    assert np.array_equal(heard, tone(TEXT, 1.0))
    (task,) = service.tasks
    assert len(task["header"].pop("task_id")) == 32
    assert task == RUN_TASK
    assert service.authorization == [f"bearer {KEY}"]


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
async def test_a_speed_beyond_the_services_range_is_made_here(tmp_path: Path, speed: float) -> None:
    async with sambert(tmp_path) as (service, client):
        heard = await synthesized(client, Utterance("a" * 40, "知厨", speed=speed))
    assert heard.size == pytest.approx(48_000 / speed, rel=0.02)
    assert service.tasks[0]["payload"]["parameters"]["rate"] == min(max(speed, 0.5), 2.0)


FAULTS: dict[str, tuple[Task, str, type[TTSError]]] = {
    "too many tasks":       (fails("Throttling.RateQuota"), "too_many_requests", RemoteBusy),
    "a key without rights": (fails("AccessDenied.Unpurchased"), "key_refused", RemoteRejected),
    "no such voice":        (fails("ModelNotFound"), "not_found", RemoteRejected),
    "a wrong parameter":    (fails("InvalidParameter"), "request_refused", RemoteRejected),
    "a text it refuses":    (fails("DataInspectionFailed"), "text_refused", TextRejected),
    "its own fault":        (fails("InternalError.Algo"), "server_error", EngineError),
    "a fault after audio":  (fails("InternalError", begins=True), "server_error", EngineError),
    "audio that stops":     (stalls, "stalled", EngineTimeout),
    "a lost connection":    (breaks_off, "cut", EngineCrashed),
}  # fmt: skip


@pytest.mark.parametrize(("task", "word", "error"), FAULTS.values(), ids=FAULTS)
async def test_its_faults_are_told_apart(tmp_path: Path, task: Task, word: str, error: type[TTSError]) -> None:
    outcomes = Outcomes()
    options: dict[str, Any] = {"silence_timeout_seconds": 0.3} if word == "stalled" else {}
    async with sambert(tmp_path, task, outcomes=outcomes, **options) as (service, client):
        with structlog.testing.capture_logs() as logs, pytest.raises(TTSError) as caught:
            await synthesized(client, Utterance(TEXT, "知厨"))
    assert type(caught.value) is error
    assert outcomes.words == [word]
    assert len(service.tasks) == 1
    assert "secret" not in str(logs) + caught.value.message


async def test_a_wrong_key_is_told_before_any_task(tmp_path: Path) -> None:
    async with sambert(tmp_path, key="sk-wrong") as (service, client):
        with structlog.testing.capture_logs() as logs, pytest.raises(RemoteRejected):
            await synthesized(client, Utterance(TEXT, "知厨"))
    assert service.tasks == []
    assert "sk-wrong" not in str(logs)


async def test_who_hangs_up_closes_the_connection_at_once(tmp_path: Path) -> None:
    async with sambert(tmp_path, stalls) as (service, client):
        async with aclosing(client.speak(Utterance(TEXT, "知厨"))) as parts:
            await anext(parts)
        async with asyncio.timeout(HANG_SECONDS):
            await service.gone.wait()


async def test_a_host_that_is_not_there_or_must_not_be_asked(tmp_path: Path) -> None:
    outcomes = Outcomes()
    async with client_of("http://127.0.0.1:9", protocol="DashScope", outcomes=outcomes) as client:
        with pytest.raises(RemoteUnreachable):
            await synthesized(client, Utterance(TEXT, "知厨"))
    async with sambert(tmp_path, outcomes=outcomes, refuse_local_addresses=True) as (service, client):
        with pytest.raises(RemoteUnreachable):
            await synthesized(client, Utterance(TEXT, "知厨"))
        assert service.authorization == []
    assert outcomes.words == ["connection_refused", "local_address"]
