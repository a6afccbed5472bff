"""Engine Remote sends text to no host that is never allowed, and out of the cluster with the tenant's word only."""

from dataclasses import replace
from typing import Any

import pytest

from tests.support.operator_builders import NOON, SETTINGS, falls_back_to, observe, resolved
from tests.support.resources import model
from tts_operator.api import TTSModel
from tts_operator.resolve.resolve import resolve


def remote(url: str, name: str = "far") -> TTSModel:
    return model(name, engine="Remote", remote={"url": url})


HOSTS = {
    "outside":                  ("https://speech.partner.example", None),
    "a Service of another team": ("http://kokoro.speech.svc:8880", None),
    "a private address":        ("http://10.1.2.3:8880", None),
    "an encoded loopback":      ("http://127-0-0-1.team.pod.cluster.local", "loopback, link-local or metadata address"),
    "the cloud's metadata":     ("http://100.100.100.200", "loopback, link-local or metadata address"),
    "a name of it":             ("http://instance-data", "loopback, link-local or metadata address"),
    "the API server":           ("https://10.96.0.1", "it is the API server"),
    "the API server's Service": ("https://kubernetes.default.svc.cluster.local", "it is the API server"),
}  # fmt: skip


@pytest.mark.parametrize(("url", "fault"), HOSTS.values(), ids=HOSTS)
def test_a_model_may_name_any_host_but_the_node_the_cloud_and_the_api_server(url: str, fault: str | None) -> None:
    settings = replace(SETTINGS, api_server_hosts=("10.96.0.1",))
    problems = resolve(observe("far", known=[remote_unchecked(url)]), settings, NOON).model_problems
    if fault is None:
        assert problems == ()
    else:
        (problem,) = problems
        assert problem.reason == "ModelHostNotAllowed"
        assert fault in problem.message
        assert problem.message.startswith("TTSModel far: spec.remote.url: host ")


def remote_unchecked(url: str) -> TTSModel:
    """A stored model: the rules of the CRD may be those of another version."""
    good = remote("https://speech.example")
    assert good.spec.remote is not None
    changed = good.spec.model_copy(update={"remote": good.spec.remote.model_copy(update={"url": url})})
    return good.model_copy(update={"spec": changed})


FALLBACKS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "outside":              ("https://speech.partner.example", {}, ["ExternalNotAllowed"]),
    "outside, allowed":     ("https://speech.partner.example", {"allowExternal": True}, []),
    "an address":           ("http://192.0.2.7", {}, ["ExternalNotAllowed"]),
    "a Service":            ("http://kokoro.speech.svc:8880", {}, []),
    "a Service, in full":   ("http://kokoro.speech.svc.cluster.local", {}, []),
    "a name that may be a Service": ("http://kokoro.speech", {}, ["ExternalNotAllowed"]),
}  # fmt: skip


@pytest.mark.parametrize(("url", "spec", "reasons"), FALLBACKS.values(), ids=FALLBACKS)
def test_a_fallback_sends_text_out_of_the_cluster_only_with_the_tenants_word(
    url: str, spec: dict[str, Any], reasons: list[str]
) -> None:
    known = [model("near", fallback=falls_back_to("far")), remote(url)]
    found = resolved(observe("near", known=known, **spec))
    assert [problem.reason for problem in found.model_problems] == reasons
    assert [pool.model_name for pool in found.pools] == ["near"] if reasons else ["near", "far"]
    if reasons:
        assert found.model_problems[0].message == (
            f"TTSModel near falls back to far, which sends text to {url.partition('://')[2].partition(':')[0]}: set"
            " spec.allowExternal to true, or ask the platform team for another fallback"
        )


def test_a_model_that_the_tenant_lists_is_its_own_choice() -> None:
    assert resolved(observe("far", known=[remote("https://speech.partner.example")])).model_problems == ()


def test_a_fallback_with_a_host_that_is_never_allowed_is_told_as_one() -> None:
    known = [model("near", fallback=falls_back_to("far")), remote_unchecked("http://metadata.goog")]
    found = resolved(observe("near", known=known, allowExternal=True))
    assert [problem.reason for problem in found.model_problems] == ["FallbackNotAllowed"]
