"""Pods, files and ways out of models with engines Remote and Sidecar."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.operator_builders import SETTINGS, changes, desired, observe, resolved, server_files, settle
from tests.support.resources import Object, model
from tts_operator.api import TTSModel
from tts_operator.desired.build import build, pool_deployments
from tts_operator.desired.networkpolicy import network_policy
from tts_operator.objects.names import CONTAINER
from tts_operator.objects.problem import Problem
from tts_operator.resolve.resolve import resolve
from tts_operator.resolve.resolved import Resolved
from tts_operator.snapshot.memory_kills import memory_limit
from tts_operator.snapshot.observed import Observed
from tts_server.config.schema import ServerConfig, SpeechServerEngine

URL = "https://speech.partner.example:8443/tts"
RESOURCES = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}


def remote(name: str = "espeak", url: str = URL, **options: Any) -> TTSModel:
    return model(name, engine="Remote", remote={"url": url, **options})


def sidecar(name: str = "espeak", **options: Any) -> TTSModel:
    given = {"image": "registry.example/kokoro:1", "port": 8880, "resources": RESOURCES, **options}
    return model(name, engine="Sidecar", sidecar=given)


def alone(known: TTSModel, **spec: Any) -> Observed:
    """A tenant with one model."""
    return observe("espeak", known=[known], **spec)


def pod_of(observed: Observed) -> Object:
    (found,) = (each.body for each in desired(observed).manifests if each.ref.kind == "Deployment")
    template: Object = found["spec"]["template"]
    return template


def engine_of(observed: Observed) -> SpeechServerEngine:
    """The engine that the pods read in server.json."""
    (file,) = server_files(desired(observed)).values()
    engine = ServerConfig.model_validate_json(file).models[0].engine
    assert isinstance(engine, SpeechServerEngine)
    return engine


def egress_of(observed: Observed, pool: str = "acme-espeak") -> list[Object]:
    policies = (each.body for each in desired(observed).manifests if each.ref.kind == "NetworkPolicy")
    (rules,) = (each["spec"]["egress"] for each in policies if each["metadata"]["name"] == pool)
    found: list[Object] = rules
    return found


# server.json.


def test_a_remote_reaches_server_json_with_all_its_options() -> None:
    options: dict[str, Any] = {
        "model": "kokoro",
        "pathPrefix": "/api/v1",
        "voices": {"en-us": "af_heart"},
        "responseFormat": "pcm",
        "speed": "Here",
        "silenceTimeoutSeconds": 4,
        "maxConcurrentRequests": 8,
        "retries": 0,
    }
    assert engine_of(alone(remote(**options))) == SpeechServerEngine(
        type="Remote",
        url=URL,
        model="kokoro",
        path_prefix="/api/v1",
        voices={"en-us": "af_heart"},
        response_format="pcm",
        sample_rate_hz=22_050,
        speed="Here",
        silence_timeout_seconds=4,
        max_concurrent_requests=8,
        retries=0,
        refuse_local_addresses=True,
    )


def test_a_sidecar_is_asked_at_the_pods_own_loopback_address() -> None:
    engine = engine_of(alone(sidecar(model="kokoro")))
    assert (engine.type, engine.url, engine.model) == ("Sidecar", "http://127.0.0.1:8880", "kokoro")
    assert not engine.refuse_local_addresses


def test_other_pools_reach_the_model_through_its_own_pool() -> None:
    observed = observe("espeak", "large", known=[model(), remote("large")])
    entry = ServerConfig.model_validate_json(server_files(desired(observed))["acme-espeak-server"])
    assert [each.engine.type for each in entry.models] == ["Espeak", "Pool"]


# The pod.


def test_a_remote_adds_nothing_to_the_pod() -> None:
    spec = pod_of(alone(remote()))["spec"]
    assert "initContainers" not in spec
    assert [each["name"] for each in spec["containers"]] == [CONTAINER]


def test_a_sidecar_starts_before_the_server_and_has_the_same_security_context() -> None:
    spec = pod_of(
        alone(
            sidecar(
                command=["/app/serve"],
                args=["--voices", "$(HOME)/v"],
                env=[{"name": "THREADS", "value": "2"}, {"name": "AT", "value": "$(POD_IP)"}],
                readinessPath="/v1/models",
                runAsUser=1000,
                writablePaths=["/tmp", "/app/cache"],
            )
        )
    )["spec"]
    (found,) = spec["initContainers"]
    assert found["restartPolicy"] == "Always"
    assert (found["image"], found["command"]) == ("registry.example/kokoro:1", ["/app/serve"])
    assert found["args"] == ["--voices", "$$(HOME)/v"], "the kubelet expands nothing"
    assert found["env"] == [{"name": "THREADS", "value": "2"}, {"name": "AT", "value": "$$(POD_IP)"}]
    assert found["resources"] == RESOURCES
    assert found["securityContext"] == spec["containers"][0]["securityContext"] | {"runAsUser": 1000}
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert found[name]["httpGet"] == {"path": "/v1/models", "port": "speech"}
    mounts = {each["mountPath"]: each["name"] for each in found["volumeMounts"]}
    assert set(mounts) == {"/tmp", "/app/cache"}
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert all("emptyDir" in volumes[name] for name in mounts.values())
    assert not {each["name"] for each in found["volumeMounts"]} & {
        each["name"] for each in spec["containers"][0]["volumeMounts"]
    }, "the sidecar sees neither keys nor configuration"
    assert "env" not in spec["initContainers"][0] or all("valueFrom" not in each for each in found["env"])


def test_the_smallest_sidecar_sets_nothing_that_its_image_decides() -> None:
    (found,) = pod_of(alone(sidecar()))["spec"]["initContainers"]
    assert not found.keys() & {"command", "args", "env", "volumeMounts"}
    assert "runAsUser" not in found["securityContext"]
    assert found["readinessProbe"]["httpGet"]["path"] == "/health"


CHANGES = {
    "the image of a sidecar": (sidecar(), sidecar(image="registry.example/kokoro:2")),
    "a variable of a sidecar": (sidecar(), sidecar(env=[{"name": "A", "value": "b"}])),
    "the host of a remote":   (remote(), remote(url="https://other.example")),
    "the model of a remote":  (remote(), remote(model="kokoro")),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_what_changes_the_sound_changes_pods_and_the_caches_key(before: TTSModel, after: TTSModel) -> None:
    def version(observed: Observed) -> str | None:
        (file,) = server_files(desired(observed)).values()
        return ServerConfig.model_validate_json(file).models[0].weights_digest

    assert pod_of(alone(before)) != pod_of(alone(after))
    assert version(alone(before)) != version(alone(after))


@pytest.mark.parametrize("known", [remote(), sidecar(writablePaths=["/tmp"])], ids=["remote", "sidecar"])
def test_once_applied_nothing_is_left_to_do(known: TTSModel) -> None:
    observed = alone(known)
    settled = alone(known, children=settle(observed))
    assert egress_of(settled) == egress_of(observed)
    assert server_files(desired(settled)) == server_files(desired(observed))


def test_the_memory_limit_of_a_sidecar_that_was_killed_is_its_own() -> None:
    pod = {"spec": pod_of(alone(sidecar()))["spec"]}
    assert memory_limit(pod, "speech-server") == "2Gi"
    assert memory_limit(pod, CONTAINER) == "448Mi"


# The way out.


OUTSIDE = "0.0.0.0/0"


def hosts(rules: list[Object], port: int) -> list[Object]:
    return [peer for rule in rules if {"protocol": "TCP", "port": port} in rule["ports"] for peer in rule["to"]]


def test_a_pod_of_a_remote_may_reach_that_port_outside_the_cluster_and_no_other() -> None:
    rules = egress_of(alone(remote()))
    assert [rule["ports"] for rule in rules[2:]] == [[{"protocol": "TCP", "port": 8443}]]
    assert hosts(rules, 8443)[0]["ipBlock"]["cidr"] == OUTSIDE
    assert "10.0.0.0/8" in hosts(rules, 8443)[0]["ipBlock"]["except"]


REACHED = {
    "an address": ("http://192.0.2.7:8880", 8880, [{"ipBlock": {"cidr": "192.0.2.7/32"}}]),
    "a Service": (
        "http://kokoro.speech.svc:8880",
        8880,
        [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "speech"}}}],
    ),
}


@pytest.mark.parametrize(("url", "port", "peers"), REACHED.values(), ids=REACHED)
def test_an_address_or_a_service_is_the_only_place_that_is_open(url: str, port: int, peers: list[Object]) -> None:
    assert hosts(egress_of(alone(remote(url=url))), port) == peers


def test_a_member_of_engine_remote_may_reach_its_server_and_dns_alone() -> None:
    observed = observe("espeak", "large", known=[model(), remote("large")])
    rules = egress_of(observed, "acme-large")
    assert len(rules) == 2
    assert {"protocol": "UDP", "port": 53} in rules[0]["ports"]
    assert rules[1]["ports"] == [{"protocol": "TCP", "port": 8443}]
    assert hosts(egress_of(observed), 8443) == [], "the entry asks the member"


def test_a_sidecar_may_reach_nothing_more_and_its_port_is_closed() -> None:
    observed = observe("espeak", "large", known=[model(), sidecar("large")])
    assert egress_of(observed, "acme-large") == []
    (policy,) = (
        each.body
        for each in desired(observed).manifests
        if each.ref.kind == "NetworkPolicy" and each.ref.name == "acme-large"
    )
    ports = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert 8880 not in ports


def test_pods_that_wait_for_their_rollout_still_reach_the_old_server() -> None:
    before = alone(remote())
    found = resolved(alone(remote(url="https://other.example"), children=settle(before)))
    waiting = found.waiting({"acme-espeak": Problem("WaitingForRollout", "")}, changes(found))
    policy = network_policy(waiting, waiting.pools[0])
    open_ports = [rule["ports"][0]["port"] for rule in policy.body["spec"]["egress"][2:]]
    assert sorted(open_ports) == [443, 8443]
    assert file_engine(waiting).url == URL


def file_engine(found: Resolved) -> SpeechServerEngine:
    built = build(found, pool_deployments(found))
    assert built is not None
    (file,) = server_files(built).values()
    engine = ServerConfig.model_validate_json(file).models[0].engine
    assert isinstance(engine, SpeechServerEngine)
    return engine


# Ceilings.


def test_accelerators_of_a_sidecar_count() -> None:
    gpu = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi", "nvidia.com/gpu": "2"}}
    labels = {"ttsfleet.io/max-accelerators": "1"}
    observed = alone(sidecar(resources=gpu), labels=labels)
    assert [problem.reason for problem in resolve(observed, SETTINGS, resolved(observed).now).model_problems] == [
        "AcceleratorsNotAllowed"
    ]
