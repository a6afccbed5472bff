"""The manifests of a tenant: whole ones are in golden/, the rules around them are below.

After a change that is meant, `python -m tests.unit.operator.desired.test_build` writes golden/ again: read the diff.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.onnx_models import CLAIM, IMAGE, KEYS, onnx_model, s3_source
from tests.support.operator_builders import (
    DAY,
    EXPOSED,
    NOON,
    SETTINGS,
    built,
    child,
    desired,
    exposed_by,
    live,
    observe,
    planned,
    ref,
    resolved,
    settle,
)
from tests.support.resources import KEY, Object, model, precision
from tts_operator.credentials.model_sources import SourceCredentials
from tts_operator.credentials.signing_keys import SigningKeys
from tts_operator.desired.build import Desired
from tts_operator.objects.kinds import AddOn
from tts_operator.objects.labels import pool_labels
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.names import pool_name
from tts_operator.resolve.resolve import resolve
from tts_operator.settings import KEDASettings, Settings
from tts_operator.snapshot.observed import Observed
from tts_operator.snapshot.waker import Waker
from tts_server.config.schema import AuthConfig, QuotaConfig, ServerConfig
from tts_server.routing.catalogue import catalogue

WITH_KEDA = replace(
    SETTINGS,
    add_ons=(AddOn.KEDA,),
    keda=KEDASettings(prometheus_address="http://prometheus.monitoring.svc:9090"),
)
GOLDEN = Path(__file__).parent / "golden"
TENANTS: dict[str, Observed] = {
    "at-zero": replace(
        observe(schedule={"default": {"minReplicas": 0}, "wakeOnRequest": True}),
        waker=Waker(20_017, ("10.0.0.7", "fd00::7")),
    ),
    "one-pool": observe(
        {"name": "espeak", "aliases": ["tts-1"]},
        known=[model(memoryLimit="128Mi", loadSeconds=2)],
        tier="VIP",
        voiceAliases={"alloy": "en-us"},
        languageRouting=[{"language": "de", "voice": "de"}, {"language": "default", "voice": "en-us"}],
        schedule={"preset": "DayNightWeekend", "timeZone": "Asia/Shanghai"},
    ),
    "two-pools": observe(
        "espeak",
        {"name": "large", "minReplicas": 2, "maxReplicas": 4, "allowedPrecisions": ["fp16", "int8"]},
        known=[
            model(),
            model(
                "large",
                image="registry.example/large:2",
                imagePullSecrets=[{"name": "registry"}],
                precisions=[precision("fp16", cpu="4"), precision("int8", cpu="2", memory="300Mi")],
                priorityClassName="speech",
                runtimeClassName="gvisor",
                threads=2,
            ),
        ],
        auth={"modes": ["APIKey"], "apiKeysSecretRef": {"name": "callers"}},
        autoscaling={"metrics": [{"type": "CPU", "averageUtilization": 50}]},
        cache={"ttlSeconds": 600},
        quota={
            "requestsPerMinute": 5,
            "requestsPerDay": 1000,
            "concurrentRequests": 3,
            "audioSecondsPerDay": 3600,
            "charactersPerDay": 50000,
            "maxTextCharacters": 300,
            "perClientRequestsPerMinute": 2,
        },
        rollout={"strategy": "Replace"},
        scenario="CustomerService",
        schedule=DAY,
        storage={
            "linkSeconds": 60,
            "retentionSeconds": 600,
            "s3": {
                "endpoint": "https://s3.example:9000",
                "bucket": "speech",
                "prefix": "acme",
                "publicEndpoint": "https://audio.example",
                "secretRef": {"name": "acme-s3"},
            },
        },
    ),
    "keda": replace(
        observe(schedule=DAY, autoscaling={"provider": "KEDA", "metrics": [{"type": "InFlight", "averageValue": "4"}]}),
        add_ons=frozenset({AddOn.KEDA}),
    ),
    "by-gateway": exposed_by(
        observe(schedule=DAY, exposure={"gateway": {"name": "public", "namespace": "gateways"}}),
    ),
    "by-ingress": exposed_by(observe(schedule=DAY, exposure={"ingress": {"tls": {"issuerRef": {"name": "ca"}}}})),
    "with-a-device": observe(
        known=[model(accelerator={"deviceClassName": "gpu.nvidia.com", "nodeSelector": {"pool": "gpu"}})],
    ),
    "speech-servers": observe(
        "remote",
        "sidecar",
        known=[
            model("remote", engine="Remote", remote={"url": "https://speech.partner.example", "model": "kokoro"}),
            model(
                "sidecar",
                engine="Sidecar",
                sidecar={
                    "image": "registry.example/kokoro:1",
                    "port": 8880,
                    "args": ["--threads=2"],
                    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
                    "writablePaths": ["/tmp"],
                },
            ),
        ],
    ),
    "voices-from-elsewhere": replace(
        observe(
            "espeak",
            "claimed",
            "pulled",
            known=[
                onnx_model(source=s3_source(), precisions=[precision("int8")]),
                onnx_model("claimed", CLAIM),
                onnx_model("pulled", IMAGE),
            ],
        ),
        source_credentials={"espeak": SourceCredentials({"": KEYS})},
    ),
}


class Readable(yaml.SafeDumper):
    """Files in ConfigMaps are blocks of text, and nothing is an alias of something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Readable.add_representer(str, block)


def written(found: Desired) -> str:
    bodies = [dict(manifest.body) for manifest in found.manifests]
    return yaml.dump_all(bodies, Dumper=Readable, sort_keys=False, allow_unicode=True, width=120)


def made(name: str) -> Desired:
    """Children by an operator that may use KEDA and ways in from outside: the others' do not depend on that."""
    found = built(resolve(TENANTS[name], replace(EXPOSED, add_ons=WITH_KEDA.add_ons, keda=WITH_KEDA.keda), NOON))
    assert found is not None
    return found


@pytest.mark.parametrize("name", TENANTS)
def test_golden(name: str) -> None:
    expected = (GOLDEN / f"{name}.yaml").read_text()
    assert list(yaml.safe_load_all(written(made(name)))) == list(yaml.safe_load_all(expected))


def test_what_is_built_does_not_depend_on_how_often() -> None:
    assert written(desired(TENANTS["two-pools"])) == written(desired(TENANTS["two-pools"]))


def bodies(observed: Observed) -> list[Object]:
    return [dict(manifest.body) for manifest in desired(observed).manifests]


@pytest.mark.parametrize("name", TENANTS)
def test_replicas_are_in_no_manifest(name: str) -> None:
    assert all("replicas" not in body.get("spec", {}) for body in bodies(TENANTS[name]))


@pytest.mark.parametrize("name", TENANTS)
def test_selectors_name_the_pool_and_nothing_that_may_change(name: str) -> None:
    for body in bodies(TENANTS[name]):
        selector = body.get("spec", {}).get("selector") or body.get("spec", {}).get("podSelector")
        if selector is not None and not body["metadata"]["name"].endswith("--peers"):
            of_tenant = (
                {"ttsfleet.io/tenant"} if body["kind"] == "Service" and body["metadata"]["name"] == "acme" else set()
            )
            assert set(selector.get("matchLabels", selector)) == {"ttsfleet.io/pool"} | of_tenant


def test_callers_reach_no_pod_of_a_tenant_whose_pool_has_the_same_name() -> None:
    """Models b-c of acme and c of acme-b give one pool's name: the second tenant gets no pool, nor the first one's."""
    service = next(body for body in bodies(observe("b-c")) if body["metadata"]["name"] == KEY.name)
    selected = service["spec"]["selector"].items()
    assert selected <= pool_labels(KEY.name, "b-c").items()
    assert not selected <= pool_labels("acme-b", "c").items()


VOLUMES = {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "image"}
"""Kinds of volumes that Pod Security admits and the operator uses."""


@pytest.mark.parametrize("name", TENANTS)
def test_pods_pass_pod_security_restricted(name: str) -> None:
    for body in bodies(TENANTS[name]):
        if body["kind"] != "Deployment":
            continue
        pod = body["spec"]["template"]["spec"]
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert pod["automountServiceAccountToken"] is False
        for each in (*pod["containers"], *pod.get("initContainers", ())):
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
        assert {kind for volume in pod["volumes"] for kind in volume} <= {"name", *VOLUMES}


@pytest.mark.parametrize("name", TENANTS)
def test_the_server_can_read_what_the_operator_writes(name: str) -> None:
    for body in bodies(TENANTS[name]):
        for file, text in body.get("data", {}).items() if body["kind"] == "ConfigMap" else ():
            kind = QuotaConfig if file == "quota.json" else ServerConfig
            parsed = kind.model_validate_json(text)
            assert parsed.model_dump(mode="json", by_alias=True, exclude_none=True) == json.loads(text)


def template(observed: Observed) -> Any:
    return child(bodies(observed), "Deployment", "acme-espeak")["spec"]["template"]


ROLLS: dict[str, Observed] = {
    "another image": observe(known=[model(image="other:2")]),
    "more memory": observe(known=[model(precisions=[precision(memory="1Gi")])]),
    "more threads": observe(known=[model(threads=2)]),
    "another sample rate": observe(known=[model(sampleRateHz=16000)]),
    "another precision": observe(known=[model(precisions=[precision("int8")])]),
    "one more loaded": observe(
        {"name": "espeak", "allowedPrecisions": ["fp32", "int8"]},
        known=[model(precisions=[precision(), precision("int8")])],
    ),
}
REREAD: dict[str, Observed] = {
    "a tier": observe(tier="VIP"),
    "a quota": observe(quota={"requestsPerMinute": 1}),
    "an alias": observe({"name": "espeak", "aliases": ["tts-1"]}),
    "a voice alias": observe(voiceAliases={"alloy": "de"}),
    "routing": observe(languageRouting=[{"language": "default", "voice": "de"}]),
    "a schedule": observe(schedule=DAY),
    "a voice of the model": observe(known=[model(voices=[{"name": "de"}])]),
    "a slower first audio": observe(known=[model(firstAudioTimeoutSeconds=9)]),
    "no keys asked for": observe(auth={"modes": ["None"]}),
    "shorter links": observe(storage={"linkSeconds": 5}),
    "another model beside it": observe("espeak", "other"),
    "how it rolls": observe(rollout={"strategy": "Replace"}),
}


@pytest.mark.parametrize("changed", ROLLS.values(), ids=ROLLS)
def test_it_rolls(changed: Observed) -> None:
    assert template(changed) != template(observe())


@pytest.mark.parametrize("changed", REREAD.values(), ids=REREAD)
def test_it_reaches_running_pods_without_a_roll(changed: Observed) -> None:
    assert template(changed) == template(observe())


def digest_of(observed: Observed) -> str:
    return desired(observed).config_hashes["acme-espeak"]


def test_the_digest_moves_with_everything_that_pods_read_again() -> None:
    digests = [digest_of(observed) for name, observed in REREAD.items() if name != "how it rolls"]
    digests += [digest_of(observe()), digest_of(observe(keys=False))]
    assert len(set(digests)) == len(digests)
    assert digest_of(REREAD["how it rolls"]) == digest_of(observe())


def config(observed: Observed, pool_of: str) -> Any:
    text = child(bodies(observed), "ConfigMap", f"acme-{pool_of}-server")["data"]["server.json"]
    return json.loads(text)


def test_an_entry_reaches_other_models_through_their_pools() -> None:
    entry = config(TENANTS["two-pools"], "espeak")
    assert [each["engine"]["type"] for each in entry["models"]] == ["Espeak", "Pool"]
    assert entry["models"][1]["engine"]["url"] == "http://acme-large.team-acme.svc:8080"


def test_batches_are_formed_where_the_engine_is() -> None:
    observed = observe("espeak", "large", known=[model(batching={"maxSize": 4}), model("large", batching={})])
    entry, member = config(observed, "espeak"), config(observed, "large")
    assert [each.get("batching") for each in entry["models"]] == [{"maxSize": 4, "maxWaitMilliseconds": 50}, None]
    assert member["models"][0]["batching"] == {"maxSize": 8, "maxWaitMilliseconds": 50}


def test_a_member_knows_only_its_own_model() -> None:
    member = config(TENANTS["two-pools"], "large")
    assert member["role"] == "Member"
    assert [each["name"] for each in member["models"]] == ["large"]
    assert member["models"][0]["engine"]["processes"] == 2


def test_names_that_lead_nowhere_do_not_reach_the_server_which_would_refuse_them_all() -> None:
    observed = observe(
        {"name": "espeak", "aliases": ["tts-1"]},
        {"name": "missing", "aliases": ["tts-1-hd"]},
        known=[model()],
        voiceAliases={"alloy": "de", "nova": "nobody"},
        languageRouting=[{"language": "de", "voice": "alloy"}, {"language": "default", "voice": "nova"}],
    )
    entry = config(observed, "espeak")
    assert entry["modelAliases"] == {"tts-1": "espeak"}
    assert entry["voiceAliases"] == {"alloy": "de"}
    assert entry["languageRouting"] == [{"language": "de", "voice": "alloy"}]
    assert catalogue(ServerConfig.model_validate(entry), {}).default_model.name == "espeak"


def kinds(found: Desired, name: str) -> set[str]:
    return {manifest.ref.kind for manifest in found.manifests if manifest.ref.name == name}


def test_a_model_that_is_missing_from_the_start_makes_no_pool_and_hinders_no_other() -> None:
    observed = observe("espeak", "missing", known=[model()])
    found = desired(observed)
    assert kinds(found, "acme-missing") == set()
    assert "Deployment" in kinds(found, "acme-espeak")
    assert [each["name"] for each in config(observed, "espeak")["models"]] == ["espeak"]


def test_a_model_that_went_missing_keeps_its_pods_while_bounds_and_limits_converge() -> None:
    children = settle(observe())
    now: dict[str, Any] = {"schedule": DAY, "quota": {"requestsPerMinute": 3}, "voiceAliases": {"alloy": "de"}}
    assert planned(observe(known=[], children=children, **now)) == [
        "apply cm/acme-quota: quota.json changed",
        "scale deploy/acme-espeak to 3: never scaled before",
        "apply hpa/acme-espeak: min 1 -> 3, max 1 -> 6",
    ]


def test_a_model_that_went_missing_still_sleeps_and_wakes() -> None:
    children = settle(observe())
    asleep = observe(known=[], children=children, suspend=True)
    assert planned(asleep) == ["scale deploy/acme-espeak to 0: suspended"]
    assert planned(observe(known=[], children=settle(asleep))) == [
        "scale deploy/acme-espeak to 1: woken: nothing asks for zero"
    ]


def test_one_missing_model_leaves_the_others_free_to_change() -> None:
    children = settle(observe("espeak", "other"))
    observed = observe("espeak", "other", known=[model(image="new:2")], children=children)
    writes = [action.split(":")[0] for action in planned(observed)]
    assert writes == ["apply deploy/acme-espeak"]


def test_the_internal_credential_stays_what_it_is() -> None:
    secret = live(Manifest.of(child(bodies(observe("a", "b")), "Secret", "acme-internal")))
    assert secret["data"] == {"token": "YS10b2tlbg=="}
    assert ref("Secret", "acme-internal") not in {each.ref for each in desired(observe()).manifests}


def test_long_names_are_cut_and_stay_apart() -> None:
    tenant, models = "t" * 40, ["m" * 51 + "a", "m" * 51 + "b"]
    names = {pool_name(tenant, each) for each in models}
    assert len(names) == 2
    assert all(len(name) == 63 for name in names)


def test_nothing_is_built_for_a_refused_tenant() -> None:
    assert built(resolved(observe(preventDeletion=True), NOON)) is None


def namespace_peer(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


OUTSIDE: list[Object] = [
    {
        "ipBlock": {
            "cidr": "0.0.0.0/0",
            "except": [
                "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
                "172.16.0.0/12", "192.0.0.192/32", "192.168.0.0/16", "224.0.0.0/3",
            ],
        }
    },
    {"ipBlock": {"cidr": "::/0", "except": ["::/127", "fc00::/7", "fe80::/10", "ff00::/8"]}},
]  # fmt: skip
"""Everything that is neither internal nor local."""
DESTINATIONS: dict[str, tuple[str, int, list[Object]]] = {
    "a host outside": ("https://s3.corp.example", 443, OUTSIDE),
    "a Service": ("http://minio.store.svc:9000/", 9000, [namespace_peer("store")]),
    "a Service by its longest name": ("http://a.minio.store.svc.cluster.local", 80, [namespace_peer("store")]),
    "a Service beside the pods": ("http://minio:9000", 9000, [namespace_peer("team-acme")]),
    "a host outside that a Service may be called, too": ("https://s3.example", 443, OUTSIDE),
    "an address": ("http://10.9.0.7:9000", 9000, [{"ipBlock": {"cidr": "10.9.0.7/32"}}]),
    "an address of IPv6": ("http://[fd00:9:0::7]:9000", 9000, [{"ipBlock": {"cidr": "fd00:9::7/128"}}]),
    "IPv4 in IPv6": ("http://[::ffff:10.9.0.7]", 80, [{"ipBlock": {"cidr": "10.9.0.7/32"}}]),
}


def egress_of(observed: Observed, settings: Settings = SETTINGS) -> dict[str, list[Object]]:
    """Egress rules by pool."""
    found = built(resolve(observed, settings, NOON))
    assert found is not None
    policies = [dict(each.body) for each in found.manifests if each.ref.kind == "NetworkPolicy"]
    return {body["metadata"]["name"]: body["spec"]["egress"] for body in policies}


def storing(endpoint: str) -> Observed:
    """A tenant with two pools and an object store."""
    s3 = {"endpoint": endpoint, "bucket": "speech", "secretRef": {"name": "acme-s3"}, "pathStyle": True}
    return observe("espeak", "large", known=[model(), model("large")], storage={"s3": s3})


@pytest.mark.parametrize(("endpoint", "number", "peers"), DESTINATIONS.values(), ids=DESTINATIONS)
def test_the_entry_pool_may_reach_the_host_that_the_tenant_names_and_no_other(
    endpoint: str, number: int, peers: list[Object]
) -> None:
    egress = egress_of(storing(endpoint), replace(SETTINGS, allowed_hosts=("*",)))
    assert egress["acme-espeak"][2:] == [{"to": peers, "ports": [{"protocol": "TCP", "port": number}]}]
    assert egress["acme-large"] == []


def test_networks_that_the_platform_allows_are_open_to_names_within_them() -> None:
    """A name outside the cluster may have a private address."""
    allowed = ("*.corp.example", "10.9.0.0/16", "168.0.0.0/6", "fd00:9::/64")
    settings = replace(SETTINGS, allowed_hosts=allowed, internal_networks=(ip_network("10.4.0.0/16"),))
    (rule,) = egress_of(storing("https://s3.corp.example"), settings)["acme-espeak"][2:]
    v4, v6, *networks = (peer["ipBlock"] for peer in rule["to"])
    assert "10.4.0.0/16" in v4["except"]
    assert "10.0.0.0/8" not in v4["except"]
    assert "fe80::/10" in v6["except"]
    assert networks == [
        {"cidr": "10.9.0.0/16"},
        {"cidr": "168.0.0.0/6", "except": ["168.63.129.16/32", "169.254.0.0/16"]},
        {"cidr": "fd00:9::/64"},
    ]


def test_an_address_of_the_platform_in_an_odd_notation_stops_no_tenant() -> None:
    settings = replace(SETTINGS, tracing_endpoint="http://010.9.0.7:4318")
    assert egress_of(observe(), settings)["acme-espeak"][-1]["to"] == OUTSIDE


def test_metrics_are_open_to_the_platforms_scrapers_and_to_nobody_else() -> None:
    def ingress(settings: Settings) -> list[list[Object]]:
        found = built(resolve(storing("https://s3.example"), settings, NOON))
        assert found is not None
        return [each.body["spec"]["ingress"] for each in found.manifests if each.ref.kind == "NetworkPolicy"]

    assert "9090" not in json.dumps(ingress(SETTINGS))
    peers = ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "prometheus"}}},)
    for rules in ingress(replace(SETTINGS, metrics_from=peers)):
        assert rules[1:] == [{"from": list(peers), "ports": [{"protocol": "TCP", "port": 9090}]}]


NOT_ROLLED: dict[str, dict[str, Any]] = {
    "another host": {"allowed_hosts": ("*.example", "10.9.0.0/16")},
    "an API server": {"api_server_hosts": ("10.96.0.1",)},
    "a network": {"internal_networks": (ip_network("10.4.0.0/16"),)},
    "a scraper": {"metrics_from": ({"podSelector": {}},)},
}


@pytest.mark.parametrize("change", NOT_ROLLED.values(), ids=NOT_ROLLED)
def test_what_only_policies_depend_on_changes_no_deployment(change: dict[str, Any]) -> None:
    def deployments(settings: Settings) -> list[Object]:
        found = built(resolve(storing("https://s3.example"), settings, NOON))
        assert found is not None
        return [dict(each.body) for each in found.manifests if each.ref.kind == "Deployment"]

    assert deployments(replace(SETTINGS, **change)) == deployments(SETTINGS)
    assert deployments(replace(SETTINGS, docs=True)) != deployments(SETTINGS), "other settings are a change"


def test_links_to_files_work_at_every_replica_and_links_to_a_store_need_no_help() -> None:
    s3 = {"endpoint": "https://s3.example", "bucket": "speech", "secretRef": {"name": "acme-s3"}}
    for storage, expected in (({}, "http://acme--peers.team-acme.svc:8080"), ({"s3": s3}, None)):
        found = bodies(observe("espeak", storage=storage))
        config = json.loads(
            next(body["data"]["server.json"] for body in found if "server.json" in body.get("data", {}))
        )
        assert config["storage"].get("peersUrl") == expected
        assert any(body["metadata"]["name"] == "acme--peers" for body in found) == (expected is not None)


def test_a_tenant_that_gives_tokens_has_keys_that_sign_them() -> None:
    made = replace(
        observe("espeak", auth={"modes": ["JWT"]}), signing=SigningKeys({"20261101T120000Z": "PEM"}, "", None)
    )
    found = bodies(made)
    secret = next(body for body in found if body["metadata"]["name"] == "acme-signing")
    assert {name: base64.b64decode(value) for name, value in secret["data"].items()} == {
        "20261101T120000Z.pem": b"PEM",
        "current": b"20261101T120000Z",
    }
    assert secret["metadata"]["annotations"] == {"ttsfleet.io/signing-since": "2026-11-04T12:00:00+00:00"}
    auth = json.loads(next(body["data"]["server.json"] for body in found if "server.json" in body.get("data", {})))[
        "auth"
    ]
    assert auth["modes"] == ["JWT"]
    assert auth["signingDirectory"] == "/etc/ttsfleet/signing"
    assert auth["keysDirectory"] == "/etc/ttsfleet/keys", "keys are what tokens are bought with"
    assert not any(body["metadata"]["name"] == "acme-signing" for body in bodies(observe("espeak")))


def test_a_key_that_comes_or_signs_is_told_to_running_pods() -> None:
    given = observe("espeak", auth={"modes": ["JWT"]})
    hashes = {
        desired(replace(given, signing=keys)).config_hashes["acme-espeak"]
        for keys in (
            SigningKeys({"20261101T120000Z": "a"}, "20261101T120000Z", NOON),
            SigningKeys({"20261101T120000Z": "a", "20261104T115900Z": "b"}, "20261101T120000Z", NOON),
            SigningKeys({"20261101T120000Z": "a", "20261104T114900Z": "b"}, "20261101T120000Z", NOON),
        )
    }
    assert len(hashes) == 3


def test_a_cache_takes_no_more_than_its_part_of_a_small_pods_memory() -> None:
    small = model(precisions=[precision(memory="256Mi")])
    found = bodies(observe("espeak", known=[small], cache={}))
    config = json.loads(next(body["data"]["server.json"] for body in found if "server.json" in body.get("data", {})))
    assert config["cache"]["enabled"]
    assert config["cache"]["maxBytes"] == 32 * 1024 * 1024


def test_a_limit_whose_unit_was_forgotten_is_the_pods_trouble_and_not_the_operators() -> None:
    """The kubelet says that no container starts in 4 bytes, and the tenant's condition repeats it."""
    tiny = model(precisions=[precision(memory="4")])
    found = bodies(observe("espeak", known=[tiny], cache={}))
    config = json.loads(next(body["data"]["server.json"] for body in found if "server.json" in body.get("data", {})))
    assert config["cache"]["maxBytes"] == 1


def test_pages_are_the_entry_pools_and_only_if_the_platform_says_so() -> None:
    two = observe("espeak", "large", known=[model(), model("large")])

    def pages(settings: Settings) -> dict[str, tuple[bool, bool]]:
        found = built(resolve(two, settings, NOON))
        assert found is not None
        data = [each.body["data"] for each in found.manifests if each.ref.kind == "ConfigMap"]
        configs = [files["server.json"] for files in data if "server.json" in files]
        return {(read := ServerConfig.model_validate_json(text)).role: (read.playground, read.docs) for text in configs}

    off = (False, False)
    assert pages(SETTINGS) == {"Entry": off, "Member": off}
    assert pages(replace(SETTINGS, playground=True)) == {"Entry": (True, False), "Member": off}
    assert pages(replace(SETTINGS, docs=True)) == {"Entry": (False, True), "Member": off}


def test_every_pod_believes_the_platforms_proxies_and_a_change_of_them_rolls_none() -> None:
    two = observe("espeak", "large", known=[model(), model("large")])

    def found(settings: Settings) -> tuple[list[AuthConfig], list[Object]]:
        made = built(resolve(two, settings, NOON))
        assert made is not None
        bodies = [each.body for each in made.manifests]
        files = [body["data"] for body in bodies if body["kind"] == "ConfigMap"]
        configs = [ServerConfig.model_validate_json(each["server.json"]) for each in files if "server.json" in each]
        templates = [body["spec"]["template"] for body in bodies if body["kind"] == "Deployment"]
        return [config.auth for config in configs], templates

    proxies = (ip_network("10.4.0.0/16"), ip_network("fd00:4::/64"))
    plain, told = found(SETTINGS), found(replace(SETTINGS, trusted_proxies=proxies))
    assert [auth.trusted_proxies for auth in plain[0]] == [None, None]
    assert [auth.trusted_proxies for auth in told[0]] == [proxies, proxies]
    assert plain[1] == told[1]


@pytest.mark.parametrize(
    ("endpoint", "way"),
    [
        (
            "http://collector.observability.svc:4318",
            {"ports": [{"protocol": "TCP", "port": 4318}], "to": [namespace_peer("observability")]},
        ),
        ("https://traces.corp.example", {"ports": [{"protocol": "TCP", "port": 443}], "to": OUTSIDE}),
    ],
)
def test_traces_leave_every_pool_for_their_collector(endpoint: str, way: Object) -> None:
    two = observe("espeak", "large", known=[model(), model("large")])
    found = built(resolve(two, replace(SETTINGS, tracing_endpoint=endpoint, tracing_ratio=0.01), NOON))
    assert found is not None
    for manifest in found.manifests:
        if manifest.ref.kind == "NetworkPolicy":
            egress = manifest.body["spec"]["egress"]
            assert egress[-1] == way
            assert {"protocol": "UDP", "port": 53} in egress[0]["ports"], "its name is looked up"
        if manifest.ref.kind == "Deployment":
            (container,) = manifest.body["spec"]["template"]["spec"]["containers"]
            said = {each["name"]: each.get("value") for each in container["env"]}
            assert said["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint
            assert (said["OTEL_TRACES_SAMPLER"], said["OTEL_TRACES_SAMPLER_ARG"]) == ("traceidratio", "0.01")
            pool = manifest.body["metadata"]["name"]
            assert said["OTEL_RESOURCE_ATTRIBUTES"] == f"k8s.namespace.name=team-acme,k8s.deployment.name={pool}"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for each in TENANTS:
        (GOLDEN / f"{each}.yaml").write_text(written(made(each)))
