"""The fallback that serves a reply: every case is a line."""

import pytest

from tests.support.server_models import model
from tts_server.config.schema import FallbackConfig, FallbackVoice, ModelConfig, Precision, ServerConfig
from tts_server.inference.client import Utterance
from tts_server.routing.catalogue import CatalogueError, catalogue
from tts_server.routing.fallback import FallbackModel, can_serve, choose_fallback
from tts_server.routing.voice_selection import RoutedUtterance, reroute

A, B, C, D = (FallbackModel(name) for name in "abcd")
CHAINS = {"a": (B, C), "b": (C,), "c": (), "d": ()}

CHOICES: dict[str, tuple[str, str, str, str]] = {
    # the story                                     needed  failed  allowed  the model, without which
    "all is well":                                  ("a",   "",     "abcd",  "as routed"),
    "its breaker is open":                          ("a",   "",     "bcd",   "b without a"),
    "it has failed":                                ("a",   "a",    "abcd",  "b without a"),
    "its fallback has failed too":                           ("a",   "ab",   "abcd",  "c without a"),
    "its fallback's breaker is open":                ("a",   "a",    "acd",   "c without a"),
    "no model is left":                               ("a",   "abc",  "abcd",  "nobody"),
    "it has no fallback":                             ("d",   "d",    "abcd",  "nobody"),
    "an open breaker without a fallback is tried":    ("d",   "",     "abc",   "as routed without d, anyway"),
    "all breakers are open: the model itself":      ("a",   "",     "",      "as routed without a, anyway"),
    "all breakers are open and it has failed":      ("a",   "a",    "",      "b without a, anyway"),
    "a second voice of the reply cannot":           ("ba",  "",     "bcd",   "b without a"),
    "the one that failed decides":                  ("ba",  "a",    "cd",    "c without a"),
    "a model that the reply does not need":         ("a",   "",     "a",     "as routed"),
}  # fmt: skip


@pytest.mark.parametrize(("needed", "failed", "allowed", "expected"), CHOICES.values(), ids=CHOICES)
def test_choice(needed: str, failed: str, allowed: str, expected: str) -> None:
    decision = choose_fallback(list(needed), CHAINS, set(failed), lambda name: name in allowed)
    said = "nobody"
    if decision is not None:
        said = decision.fallback.model if decision.fallback else "as routed"
        said += f" without {decision.replaced}" if decision.replaced else ""
        said += ", anyway" if decision.despite_breaker else ""
    assert said == expected


@pytest.mark.parametrize(("ready", "expected"), [("abcd", True), ("b", True), ("c", True), ("", False), ("d", False)])
def test_a_model_is_served_while_it_or_a_fallback_is_ready(ready: str, expected: bool) -> None:
    assert can_serve("a", CHAINS, lambda name: name in ready) is expected


def falls_to(name: str, *voices: tuple[str, str]) -> FallbackConfig:
    return FallbackConfig(model=name, voices=tuple(FallbackVoice(language=tag, voice=voice) for tag, voice in voices))


def spare(name: str, fallback: FallbackConfig | None = None) -> ModelConfig:
    return model(
        name, (f"{name}-en", ["en"]), (f"{name}-de", ["de"]), (f"{name}-at", ["de"]), fallback=fallback,
        precision=Precision.INT8, allowed_precisions=(Precision.INT8,),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([spare("a", falls_to("x"))], "a falls back to x, which is not configured"),
        ([spare("a", falls_to("a"))], "a form a circle: a -> a"),
        ([spare("a", falls_to("b")), spare("b", falls_to("a"))], "a form a circle: a -> b -> a"),
        ([*(spare(n, falls_to(m)) for n, m in ("ab", "bc", "cd")), spare("d")], "longer than 3"),
        ([spare("a", falls_to("b", ("en", "nobody"))), spare("b")], "names voice nobody, which b does not have"),
    ],
)
def test_a_chain_that_leads_nowhere_is_refused_at_load(models: list[ModelConfig], said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        catalogue(ServerConfig(models=tuple(models)), {})


@pytest.mark.parametrize(
    ("voice", "language", "expected"),
    [
        ("a-de", "de", "b-at"),  # as configured
        ("a-de", "de-CH", "b-at"),
        ("a-en", "en", "b-en"),  # its first voice for the language
        ("a-en", "fr", "b-en"),  # its first voice
        ("a-de", None, "b-at"),  # the language of the voice that was asked for
    ],
)
def test_a_fallback_speaks_with_the_voice_of_the_language(voice: str, language: str | None, expected: str) -> None:
    names = catalogue(ServerConfig(models=(spare("a", falls_to("b", ("de", "b-at"))), spare("b"))), {})
    (line,) = reroute(
        names, names.fallbacks["a"][0], [RoutedUtterance("a", Utterance("x", voice, language, 1.5, "fp32"))]
    )
    assert line == RoutedUtterance("b", Utterance("x", expected, language, 1.5, "int8"))
