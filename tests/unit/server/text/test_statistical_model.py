"""The model is loaded once, whoever waits for it, and a server without it serves."""

import asyncio
from collections.abc import Mapping

import pytest

from tts_server.text import statistical_model
from tts_server.text.statistical_model import StatisticalModel


def identify(text: str) -> Mapping[str, float]:
    return {text: 0.0}


async def test_it_is_loaded_once_and_a_client_that_leaves_does_not_end_that(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[None] = []

    def load() -> object:
        loads.append(None)
        return identify

    monkeypatch.setattr(statistical_model, "load", load)
    model = StatisticalModel()
    leaving = asyncio.create_task(model.identify())
    await asyncio.sleep(0)
    leaving.cancel()
    assert [*await asyncio.gather(model.identify(), model.identify())] == [identify, identify]
    assert len(loads) == 1


async def test_a_model_that_cannot_be_loaded_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> object:
        raise ImportError("py3langid")

    monkeypatch.setattr(statistical_model, "load", load)
    assert await StatisticalModel().identify() is None
