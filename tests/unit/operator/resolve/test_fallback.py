"""A model that cannot serve has a fallback, and the tenant gets a pool for it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.operator_builders import (
    NOON,
    answering,
    child,
    desired,
    falls_back_to,
    observe,
    planned,
    resolved,
    settle,
)
from tests.support.resources import Object, model
from tts_operator.api import TTSModel
from tts_operator.api.model import LONGEST_CHAIN
from tts_operator.calendar.bounds import Bounds
from tts_operator.objects.problem import Problem
from tts_operator.plan.outcome import Outcome
from tts_operator.resolve.fallback import FallbackChains, fallback_chains
from tts_operator.snapshot.observed import Observed
from tts_operator.status.model import judge_fallback
from tts_operator.status.tenant import status
from tts_server.config.schema import ServerConfig
from tts_server.routing.catalogue import catalogue


def published(links: dict[str, str], *others: str) -> list[TTSModel]:
    """Models by whom they fall back to."""
    return [
        *(model(name, fallback=falls_back_to(to)) for name, to in links.items()),
        *(model(name) for name in others),
    ]


def walked(listed: list[str], known: list[TTSModel]) -> FallbackChains:
    models: dict[str, TTSModel | None] = {each.metadata.name: each for each in known}

    def problem(by: str, name: str) -> Problem | None:
        return None if models.get(name) else Problem("FallbackNotFound", f"{by} {name}")

    return fallback_chains(listed, models, problem)


STORIES: dict[str, tuple[list[str], dict[str, str], dict[str, str], list[str], list[str]]] = {
    # the story                 listed      who falls back to whom   links   unlisted   problems
    "one":                    (["a"],      {"a": "b"},                         {"a": "b"},           ["b"],      []),
    "two":                    (["a"],      {"a": "b", "b": "c"},               {"a": "b", "b": "c"}, ["b", "c"], []),
    "listed anyway":          (["a", "b"], {"a": "b"},                         {"a": "b"},           [],         []),
    "of two models":          (["a", "b"], {"a": "c", "b": "c"},               {"a": "c", "b": "c"}, ["c"],      []),
    "too long":               (["a"],      {"a": "b", "b": "c", "c": "d"},     {"a": "b", "b": "c"}, ["b", "c"],
                               ["FallbackTooLong"]),
    "long by another's":      (["b", "a"], {"a": "b", "b": "c", "c": "d"},     {"a": "b", "b": "c"}, ["c"],
                               ["FallbackTooLong"]),
    "a circle":               (["a"],      {"a": "b", "b": "a"},               {"a": "b"},           ["b"],
                               ["FallbackCycle"]),
    "a circle of the listed": (["a", "b"], {"a": "b", "b": "a"},               {"a": "b"},           [],
                               ["FallbackCycle"]),
    "a circle further on":    (["a"],      {"a": "b", "b": "c", "c": "b"},     {"a": "b", "b": "c"}, ["b", "c"],
                               ["FallbackCycle"]),
    "itself":                 (["a"],      {"a": "a"},                         {},                   [],
                               ["FallbackCycle"]),
    "missing":                (["a"],      {"a": "gone"},                      {},                   [],
                               ["FallbackNotFound"]),
}  # fmt: skip


@pytest.mark.parametrize(("listed", "names", "links", "unlisted", "problems"), STORIES.values(), ids=STORIES)
def test_chains(
    listed: list[str], names: dict[str, str], links: dict[str, str], unlisted: list[str], problems: list[str]
) -> None:
    rest = {*listed, *names.values()} - {*names, "gone"}
    known = [model(by, fallback=None) for by in rest]
    known += [
        each.model_copy(update={"metadata": each.metadata.model_copy(update={"name": by})})
        for by, to in names.items()
        for each in [model("x", fallback=falls_back_to(to))]
    ]
    found = walked(listed, known)
    assert (dict(found.links), list(found.unlisted)) == (links, unlisted)
    assert [problem.reason for problem in found.problems] == problems


NAMES = st.sampled_from("abcde")


@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.dictionaries(NAMES, NAMES))
def test_the_server_takes_whatever_remains_of_any_links(listed: list[str], names: dict[str, str]) -> None:
    """Circles and long chains included: no configuration is refused for them, and each loses only what it must."""
    links = {by: to for by, to in names.items() if by != to}
    known = published(links, *({*"abcde"} - set(links)))
    entries = [{"name": name, "minReplicas": 1} for name in listed]
    observed = observe(*entries, known=known)
    written = ServerConfig.model_validate(config(observed, listed[0]))
    assert [each.name for each in written.models if each.offered] == listed
    found = catalogue(written, {})
    for name in listed:
        assert len(found.fallbacks[name]) < LONGEST_CHAIN
        if links.get(name) not in {None, name} and not resolved(observed).model_problems:
            assert found.fallbacks[name][0].model == links[name]


def config(observed: Observed, of: str) -> dict[str, Any]:
    name = f"acme-{of}-server"
    bodies = [dict(manifest.body) for manifest in desired(observed).manifests]
    found: dict[str, Any] = json.loads(child(bodies, "ConfigMap", name)["data"]["server.json"])
    return found


def spared(**fallback: str) -> Observed:
    """A tenant with one model, whose fallback it does not list."""
    return observe("large", known=[model("large", fallback=falls_back_to("small", **fallback)), model("small")])


def test_a_fallback_that_the_tenant_does_not_list_has_a_small_pool_of_its_own() -> None:
    found = resolved(spared())
    assert [(each.name, each.role, each.bounds) for each in found.pools] == [
        ("acme-large", "Entry", Bounds(1, 1)),
        ("acme-small", "Fallback", Bounds(1, 1)),
    ]
    assert found.model_problems == ()
    kinds = {manifest.ref.kind for manifest in desired(spared()).manifests if manifest.ref.name == "acme-small"}
    assert kinds == {"Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service"}
    said = status(found, spared(), Outcome({}))
    assert [(each["model"], each["role"]) for each in said["pools"]] == [("large", "Entry"), ("small", "Fallback")]


def test_the_entry_is_told_of_it_and_callers_are_not() -> None:
    large, small = config(spared(de="de"), "large")["models"]
    assert large["fallback"] == {"model": "small", "voices": [{"language": "de", "voice": "de"}]}
    assert (large["offered"], small["offered"]) == (True, False)
    assert small["engine"] == {"type": "Pool", "url": "http://acme-small.team-acme.svc:8080"}
    alone = config(spared(), "small")
    assert (alone["role"], alone["models"][0]["offered"]) == ("Member", True), "it must serve what the entry asks for"


def test_a_fallback_that_the_tenant_lists_is_an_ordinary_model() -> None:
    observed = observe("large", "small", known=[model("large", fallback=falls_back_to("small")), model("small")])
    assert [(each.model_name, each.role) for each in resolved(observed).pools] == [
        ("large", "Entry"),
        ("small", "Member"),
    ]
    assert [each["offered"] for each in config(observed, "large")["models"]] == [True, True]


def test_a_voice_that_only_the_fallback_has_is_no_name_for_callers() -> None:
    only = model("small", voices=[{"name": "small-only"}])
    known = [model("large", fallback=falls_back_to("small")), only]
    observed = observe("large", known=known, voiceAliases={"alloy": "small-only"})
    assert [problem.reason for problem in resolved(observed).model_problems] == ["VoiceNotFound"]
    assert config(observed, "large")["voiceAliases"] == {}


UNUSABLE: dict[str, tuple[list[TTSModel], str]] = {
    "missing": ([], "FallbackNotFound"),
    "not for this namespace": ([model("small", allowedNamespaces={"matchLabels": {"t": "b"}})], "FallbackNotAllowed"),
    "with a field that comes later": (
        [model("small", pool={})],
        "FallbackNotSupported",
    ),
}


@pytest.mark.parametrize(("known", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_fallback_that_cannot_be_used_is_told_and_stops_nothing(known: list[TTSModel], reason: str) -> None:
    observed = observe("large", known=[model("large", fallback=falls_back_to("small")), *known])
    found = resolved(observed)
    assert [problem.reason for problem in found.model_problems] == [reason]
    assert [each.name for each in found.pools] == ["acme-large"]
    assert "fallback" not in config(observed, "large")["models"][0]


def test_a_fallback_that_does_not_parse_says_where() -> None:
    observed = replace(
        observe("large", known=[model("large", fallback=falls_back_to("small"))]),
        model_errors={"small": "spec.voices: Field required"},
    )
    assert resolved(observed).model_problems == (
        (
            "FallbackInvalid",
            "TTSModel large falls back to small: TTSModel small is invalid: spec.voices: Field required",
        ),
    )


def test_a_voice_that_the_fallback_lacks_is_told_and_left_out() -> None:
    observed = spared(de="nobody", en="en-us")
    assert [problem.reason for problem in resolved(observed).model_problems] == ["FallbackVoiceNotFound"]
    assert config(observed, "large")["models"][0]["fallback"]["voices"] == [{"language": "en", "voice": "en-us"}]


def test_a_fallback_sleeps_with_its_tenant() -> None:
    observed = observe("large", known=[model("large", fallback=falls_back_to("small")), model("small")], suspend=True)
    assert {ref.name: replicas for ref, replicas in desired(observed).replicas.items()} == {
        "acme-large": 0,
        "acme-small": 0,
    }


def test_what_runs_goes_on_while_the_fallback_cannot_be_used() -> None:
    children = settle(spared(), NOON - timedelta(hours=1))
    observed = observe("large", known=[model("large", fallback=falls_back_to("small"))], children=children)
    assert planned(observed) == []
    assert [problem.reason for problem in resolved(observed).model_problems] == ["FallbackNotFound"]


def test_the_pool_goes_after_the_entry_has_read_that_it_does() -> None:
    before = settle(spared(), NOON - timedelta(hours=1))
    known = [model("large")]
    first = planned(observe("large", children=before, known=known))
    assert any(action.startswith("apply cm/acme-large-server") for action in first)
    assert not any(action.startswith("delete") for action in first)
    told = settle(observe("large", children=before, known=known))
    early = observe("large", children=told, known=known)
    assert planned(early, NOON + timedelta(seconds=4)) == []
    assert resolved(early, NOON + timedelta(seconds=4)).requeue_at == NOON + timedelta(seconds=5)
    last = planned(early, NOON + timedelta(seconds=5))
    assert "delete deploy/acme-small: no longer wanted" in last


def test_with_nobody_who_could_call_it_the_pool_goes_at_once() -> None:
    before = settle(spared(), NOON - timedelta(hours=1))
    answering(child(before, "Deployment", "acme-large"), ready=0)
    found = planned(observe("large", known=[model("large")], children=before))
    assert "delete deploy/acme-small: no longer wanted" in found


def conditions(observed: Observed) -> dict[str, Object]:
    said = status(resolved(observed), observed, Outcome({}))
    return {each["type"]: each for each in said["conditions"]}


def test_a_fallback_that_is_away_is_not_missed() -> None:
    children = settle(spared(), NOON - timedelta(hours=1))
    answering(child(children, "Deployment", "acme-small"), ready=0)
    known = [model("large", fallback=falls_back_to("small")), model("small")]
    assert conditions(observe("large", known=known, children=children))["Available"]["status"] == "True"


def test_a_member_that_is_away_tells_who_speaks_for_it() -> None:
    known = [model("entry"), model("large", fallback=falls_back_to("small")), model("small")]
    children = settle(observe("entry", "large", known=known), NOON - timedelta(hours=1))
    answering(child(children, "Deployment", "acme-large"), ready=0)
    said = conditions(observe("entry", "large", known=known, children=children))["Available"]
    assert (said["status"], said["message"]) == (
        "False",
        "no pod of acme-large is ready yet; requests are served by fallback small",
    )


MODEL_SAID: dict[str, tuple[dict[str, str], list[str], str | None]] = {
    "none": ({}, ["a"], None),
    "one": ({"a": "b"}, ["b"], None),
    "a circle": ({"a": "b", "b": "a"}, [], "FallbackCycle"),
    "too long": ({"a": "b", "b": "c", "c": "d"}, ["d"], "FallbackTooLong"),
    "missing": ({"a": "b"}, [], "FallbackNotFound"),
}


@pytest.mark.parametrize(("links", "others", "reason"), MODEL_SAID.values(), ids=MODEL_SAID)
def test_the_model_tells_of_its_own_chain(links: dict[str, str], others: list[str], reason: str | None) -> None:
    models: dict[str, TTSModel | None] = {each.metadata.name: each for each in published(links, *others)}
    found = judge_fallback("a", models, {})
    assert (found and found.reason) == reason
