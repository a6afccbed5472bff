"""Upstream's two threads, of which the second is called here at the moment that a test chooses."""

from __future__ import annotations

from typing import Any

import pytest

from tts_server.engines.cosyvoice.generation import Stopped, TokenGeneration


class Model:
    """The parts of upstream's model that the class replaces."""

    def __init__(self) -> None:
        self.tts_speech_token_dict: dict[str, list[int]] = {}
        self.llm_end_dict: dict[str, bool] = {}
        self.hift_cache_dict: dict[str, object] = {}
        self.token_hop_len = 25
        self.failure: Exception | None = None
        self.llm_job: Any = self.generate

    def generate(self, text: str, name: str) -> None:
        if self.failure is not None:
            raise self.failure
        for character in text:
            self.tts_speech_token_dict[name].append(ord(character))
        self.llm_end_dict[name] = True

    def begin(self, name: str) -> None:
        self.tts_speech_token_dict[name], self.llm_end_dict[name] = [], False
        self.hift_cache_dict[name] = None


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def generation(model: Model) -> TokenGeneration:
    return TokenGeneration(model)


def test_tokens_pass_through(model: Model, generation: TokenGeneration) -> None:
    generation.begin()
    model.begin("one")
    model.llm_job("ab", "one")
    assert model.tts_speech_token_dict["one"] == [97, 98]
    assert model.llm_end_dict["one"]


def test_a_stop_ends_both_threads(model: Model, generation: TokenGeneration) -> None:
    generation.begin()
    model.begin("one")
    generation.stop()
    model.llm_job("ab", "one")  # returns: upstream's thread has nobody to raise to
    assert not model.llm_end_dict["one"]
    with pytest.raises(Stopped):
        model.tts_speech_token_dict["one"]


def test_a_failure_of_the_thread_is_raised_where_its_tokens_are_awaited(
    model: Model, generation: TokenGeneration
) -> None:
    generation.begin()
    model.begin("one")
    model.failure = MemoryError("CUDA out of memory")
    model.llm_job("ab", "one")
    with pytest.raises(MemoryError):
        model.tts_speech_token_dict["one"]
    model.failure = None
    generation.end()
    generation.begin()
    model.begin("two")
    model.llm_job("c", "two")
    assert model.tts_speech_token_dict["two"] == [99]


def test_the_end_leaves_nothing_of_an_utterance(model: Model, generation: TokenGeneration) -> None:
    generation.begin()
    model.begin("one")
    generation.end()
    assert not model.tts_speech_token_dict | model.llm_end_dict | model.hift_cache_dict


def test_a_thread_that_begins_after_the_end_does_nothing(model: Model, generation: TokenGeneration) -> None:
    generation.begin()
    model.begin("one")
    generation.end()
    generation.begin()
    model.begin("two")
    model.llm_job("late", "one")
    assert model.tts_speech_token_dict["two"] == []
    assert "one" not in model.tts_speech_token_dict


def test_each_utterance_begins_with_short_parts(model: Model, generation: TokenGeneration) -> None:
    model.token_hop_len = 100  # as CosyVoice 2 leaves it
    generation.begin()
    assert model.token_hop_len == 25
