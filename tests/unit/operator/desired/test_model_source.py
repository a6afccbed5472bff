"""How pods get a model's files, from each kind of source."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.onnx_models import BUILT_IN, CLAIM, IMAGE, KEYS, SHA, observe_store, onnx_model, s3_source
from tests.support.operator_builders import (
    NOON,
    built,
    child,
    desired,
    live,
    observe,
    planned,
    pod,
    ref,
    resolved,
    server_files,
    settle,
)
from tests.support.resources import Object, precision
from tts_operator.api import TTSModel
from tts_operator.credentials.model_sources import SourceCredentials, source_credentials
from tts_operator.objects.problem import Problem
from tts_operator.snapshot.observed import Observed
from tts_server.config.schema import Downloads, ServerConfig

WEEK = timedelta(days=7)


def bodies(observed: Observed, now: datetime = NOON) -> list[Object]:
    return [dict(manifest.body) for manifest in desired(observed, now).manifests]


def pod_of(observed: Observed) -> Any:
    return child(bodies(observed), "Deployment", "acme-espeak")["spec"]["template"]["spec"]


def engine_of(observed: Observed) -> Any:
    text = child(bodies(observed), "ConfigMap", "acme-espeak-server")["data"]["server.json"]
    return json.loads(text)["models"][0]["engine"]


def secret_of(observed: Observed, now: datetime = NOON) -> Object:
    return child(bodies(observed, now), "Secret", "acme-espeak-source")


def downloads_of(secret: Object) -> dict[str, Downloads]:
    return {name: Downloads.model_validate_json(base64.b64decode(text)) for name, text in secret["data"].items()}


def volume(observed: Observed, name: str = "model") -> Any:
    return next((each for each in pod_of(observed)["volumes"] if each["name"] == name), None)


SOURCES: dict[str, tuple[Object, Object | None, Object]] = {
    # the source: (spec.source, the volume, options of the engine)
    "the server image": (BUILT_IN, None, {"family": "Hibari", "files": {}}),
    "a claim": (
        CLAIM,
        {"name": "model", "persistentVolumeClaim": {"claimName": "voices", "readOnly": True}},
        {"family": "Hibari", "files": {"model": "/srv/ttsfleet/model/en/heart/heart.onnx"}},
    ),
    "the root of a claim": (
        {"persistentVolumeClaim": {"claimName": "voices"}},
        {"name": "model", "persistentVolumeClaim": {"claimName": "voices", "readOnly": True}},
        {"family": "Hibari", "files": {"model": "/srv/ttsfleet/model/heart.onnx"}},
    ),
    "an image": (
        IMAGE,
        {"name": "model", "image": {"reference": "registry.example/voices:1", "pullPolicy": "IfNotPresent"}},
        {"family": "Hibari", "files": {"model": "/srv/ttsfleet/model/heart.onnx"}},
    ),
    "an object store": (
        s3_source(sizeLimit="1Gi"),
        {"name": "model", "emptyDir": {"sizeLimit": "1Gi"}},
        {"family": "Hibari", "files": {"model": "/srv/ttsfleet/model/heart.onnx"}},
    ),
}


@pytest.mark.parametrize("story", SOURCES)
def test_pods_read_the_files_where_the_source_puts_them(story: str) -> None:
    source, mounted, options = SOURCES[story]
    observed = observe_store(onnx_model(source=source))
    assert volume(observed) == mounted
    (server,) = pod_of(observed)["containers"]
    mounts = [each for each in server["volumeMounts"] if each["name"] == "model"]
    expected = {"name": "model", "mountPath": "/srv/ttsfleet/model", "readOnly": True}
    assert mounts == ([expected] if mounted else [])
    engine = engine_of(observed)
    assert engine["type"] == "Onnx"
    assert {name: engine["onnx"][name] for name in options} == options


TWO_GRAPHS: list[Object] = [
    {**precision("fp32"), "files": {"model": "fp32.onnx"}},
    {**precision("int8"), "files": {"model": "int8.onnx", "vocabulary": "small.json"}},
]


def two_graphs() -> TTSModel:
    onnx = {"family": "Kokoro", "files": {"voices": "voices.npz", "vocabulary": "vocab.json"}}
    return onnx_model(source={"persistentVolumeClaim": {"claimName": "v"}}, onnx=onnx, precisions=TWO_GRAPHS)


def test_every_precision_has_its_own_graph_and_shares_the_other_files() -> None:
    files = {
        name: engine_of(observe({"name": "espeak", "precision": name}, known=[two_graphs()]))["onnx"]["files"]
        for name in ("fp32", "int8")
    }
    at = "/srv/ttsfleet/model"
    assert files["fp32"] == {"model": f"{at}/fp32.onnx", "voices": f"{at}/voices.npz", "vocabulary": f"{at}/vocab.json"}
    assert files["int8"] == {"model": f"{at}/int8.onnx", "voices": f"{at}/voices.npz", "vocabulary": f"{at}/small.json"}


def test_a_pod_loads_every_precision_that_requests_may_select_and_has_the_memory_of_all() -> None:
    entry = {"name": "espeak", "precision": "int8", "allowedPrecisions": ["fp32", "int8"]}
    observed = observe(entry, known=[two_graphs()])
    at = "/srv/ttsfleet/model"
    assert engine_of(observed)["onnx"]["precisionFiles"] == {
        "fp32": {"model": f"{at}/fp32.onnx", "voices": f"{at}/voices.npz", "vocabulary": f"{at}/vocab.json"},
        "int8": {"model": f"{at}/int8.onnx", "voices": f"{at}/voices.npz", "vocabulary": f"{at}/small.json"},
    }
    served = ServerConfig.model_validate_json(server_files(desired(observed))["acme-espeak-server"]).models[0]
    assert (served.precision, served.allowed_precisions) == ("int8", ("fp32", "int8"))
    (server,) = pod_of(observed)["containers"]
    assert server["resources"]["limits"] == {"cpu": "1", "memory": str(2 * 448 * 2**20)}
    assert server["resources"]["requests"] == {"cpu": "100m", "memory": str(2 * 128 * 2**20)}


def test_another_container_downloads_before_the_server_starts() -> None:
    known = onnx_model(source=s3_source(sizeLimit="1Gi"), precisions=[precision(**{"nvidia.com/gpu": "1"})])
    spec = pod_of(observe_store(known))
    (fetch,), (server,) = spec["initContainers"], spec["containers"]
    (entry,) = downloads_of(secret_of(observe_store(known)))
    assert fetch["image"] == server["image"]
    assert fetch["args"] == [
        *("fetch-model", "--downloads", f"/etc/ttsfleet/model-source/{entry}"),
        *("--directory", "/srv/ttsfleet/model", "--max-bytes", str(2**30)),
    ]
    assert fetch["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"cpu": "1", "memory": "448Mi"},
    }, "a device is for the server"
    assert fetch["securityContext"] == server["securityContext"]
    assert volume(observe_store(known), "model-source") == {
        "name": "model-source",
        "secret": {"secretName": "acme-espeak-source"},
    }
    assert "model-source" not in {each["name"] for each in server["volumeMounts"]}


def test_the_secret_has_urls_and_checksums_and_no_key_of_the_store() -> None:
    secret = secret_of(observe_store())
    ((downloads),) = downloads_of(secret).values()
    (file,) = downloads.files
    assert (file.path, file.sha256) == ("heart.onnx", SHA)
    assert file.url.startswith("http://minio.store.svc:9000/voices/en/heart.onnx?X-Amz-Algorithm=")
    assert KEYS.secret_key not in json.dumps(bodies(observe_store())) + file.url
    others = [body for body in bodies(observe_store()) if body["kind"] != "Secret"]
    assert "X-Amz-Signature" not in json.dumps(others)


def test_urls_stay_for_half_their_life_and_are_then_signed_anew() -> None:
    children = settle(observe_store())
    assert planned(observe_store(children=children), NOON + WEEK / 2 - timedelta(seconds=1)) == []
    later = NOON + WEEK / 2
    renewed = planned(observe_store(children=children), later)
    assert [line.split(":")[0] for line in renewed] == ["apply secret/acme-espeak-source"]
    assert "X-Amz" not in "".join(renewed)
    stamps = [secret_of(observe_store(children=children), when)["metadata"]["annotations"] for when in (NOON, later)]
    assert stamps == [
        {"ttsfleet.io/signed-at": "2026-11-04T12:00:00+00:00"},
        {"ttsfleet.io/signed-at": "2026-11-08T00:00:00+00:00"},
    ]


def test_the_tenant_is_requeued_when_its_urls_are_due() -> None:
    children = settle(observe_store())
    assert resolved(observe_store(children=children), NOON + timedelta(hours=1)).requeue_at == NOON + WEEK / 2
    assert resolved(observe()).requeue_at is None


def test_a_rotated_key_signs_at_once() -> None:
    children = settle(observe_store())
    rotated = SourceCredentials({"": KEYS._replace(secret_key="a-new-one")})
    assert [line.split(":")[0] for line in planned(observe_store(children=children, credentials=rotated))] == [
        "apply secret/acme-espeak-source"
    ]


def test_a_clock_that_was_wrong_leaves_no_url_of_the_future() -> None:
    children = settle(observe_store(), NOON + timedelta(days=30))
    stamp = secret_of(observe_store(children=children))["metadata"]["annotations"]["ttsfleet.io/signed-at"]
    assert datetime.fromisoformat(stamp) == NOON


def test_pods_of_the_earlier_files_keep_their_urls_until_the_last_has_gone() -> None:
    """A rollout, one that waits, and a replica that starts meanwhile: each pod finds the list that it was made for."""
    children = settle(observe_store())
    (before,) = downloads_of(child(children, "Secret", "acme-espeak-source"))
    newer = onnx_model(source=s3_source(files=[{"path": "heart.onnx", "sha256": "cd" * 32}]))
    names = set(downloads_of(secret_of(observe_store(newer, children=children))))
    assert before in names
    assert len(names) == 2
    after = settle(observe_store(newer, children=children))
    old_pod = pod()
    old_pod["spec"] = pod_of(observe_store())
    assert set(downloads_of(secret_of(observe_store(newer, children=after, pods=[old_pod])))) == names
    assert set(downloads_of(secret_of(observe_store(newer, children=after)))) == names - {before}


def test_a_model_that_leaves_the_store_takes_its_urls_along_once_no_pod_needs_them() -> None:
    children = settle(observe_store())
    moved = observe(known=[onnx_model(source=CLAIM)], children=children)
    assert "delete secret/acme-espeak-source: no longer wanted" not in planned(moved)
    settled = [*settle(moved), child(children, "Secret", "acme-espeak-source")]
    assert planned(observe(known=[onnx_model(source=CLAIM)], children=settled))[-1] == (
        "delete secret/acme-espeak-source: no longer wanted"
    )


MISSING = source_credentials(onnx_model(source=s3_source()), "ttsfleet-system", {"": None})


def test_a_secret_that_is_missing_is_named_and_changes_nothing_that_runs() -> None:
    children = settle(observe_store())
    observed = observe_store(children=children, credentials=MISSING)
    assert planned(observed) == []
    assert resolved(observed).model_problems == (
        Problem(
            "SourceSecretNotFound",
            "TTSModel espeak: Secret ttsfleet-system/voices-reader, named by spec.source.s3.secretRef, does not exist;"
            " it must contain `accessKey` and `secretKey` of an account that may read the bucket: ask the platform"
            " team",
        ),
    )


@pytest.mark.parametrize(
    ("entries", "missing"),
    [
        ({}, "`accessKey` and no `secretKey`"),
        ({"accessKey": "a", "secretKey": " \n"}, "`secretKey`"),
        ({"accessKey": None, "secretKey": "s"}, "`accessKey`"),
    ],
)
def test_a_secret_without_a_key_is_named(entries: dict[str, str | None], missing: str) -> None:
    found = source_credentials(onnx_model(source=s3_source()), "ttsfleet-system", {"": entries})
    assert found.keys == {}
    assert found.problem is not None
    assert found.problem.reason == "SourceSecretInvalid"
    assert f"has no key {missing}; it must contain" in found.problem.message


def egress(observed: Observed) -> Any:
    return child(bodies(observed), "NetworkPolicy", "acme-espeak")["spec"]["egress"]


def test_pods_may_reach_the_store_of_their_model_and_no_other() -> None:
    rule = {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "store"}}}],
        "ports": [{"protocol": "TCP", "port": 9000}],
    }
    assert rule in egress(observe_store())
    assert rule not in egress(observe(known=[onnx_model(source=CLAIM)]))
    assert rule in egress(observe_store(children=settle(observe_store()), credentials=MISSING)), "pods may start anew"


def test_a_member_may_reach_the_store_too() -> None:
    known = [onnx_model("espeak"), onnx_model("large", s3_source())]
    policy = child(bodies(observe("espeak", "large", known=known)), "NetworkPolicy", "acme-large")
    assert [rule["ports"][0]["port"] for rule in policy["spec"]["egress"]] == [53, 9000]


def template_of(known: TTSModel) -> Any:
    return child(bodies(observe_store(known)), "Deployment", "acme-espeak")["spec"]["template"]


def claim(**changes: str) -> Object:
    return {"persistentVolumeClaim": {**CLAIM["persistentVolumeClaim"], **changes}}


ROLLS: dict[str, tuple[Object, Object]] = {
    "another checksum": (s3_source(), s3_source(files=[{"path": "heart.onnx", "sha256": "cd" * 32}])),
    "another bucket": (s3_source(), s3_source(bucket="other")),
    "another image": (IMAGE, {"image": {"reference": "registry.example/voices:2"}}),
    "another claim": (claim(), claim(claimName="other")),
    "another directory of the claim": (claim(), claim(path="other")),
}


@pytest.mark.parametrize("story", ROLLS)
def test_other_files_are_other_pods_and_another_version_of_the_audio(story: str) -> None:
    before, after = (onnx_model(source=source) for source in ROLLS[story])
    assert template_of(after) != template_of(before)
    assert digest_of(observe_store(after)) != digest_of(observe_store(before))


def digest_of(observed: Observed) -> str:
    text = child(bodies(observed), "ConfigMap", "acme-espeak-server")["data"]["server.json"]
    return str(json.loads(text)["models"][0]["weightsDigest"])


def test_a_new_revision_of_a_claim_reaches_running_pods_and_the_cache_key_without_a_roll() -> None:
    before, after = (onnx_model(source=claim(revision=revision)) for revision in ("1", "2"))
    children = settle(observe(known=[before]), NOON - timedelta(hours=1))
    observed = observe(known=[after], children=children)
    assert [line.split(":")[0] for line in planned(observed)] == ["apply cm/acme-espeak-server"]
    assert engine_of(observed)["revision"] == "2"
    digests = [digest_of(observe(known=[each], children=children)) for each in (before, after)]
    assert len(set(digests)) == 2
    again = settle(observed)
    assert digest_of(observe(known=[after], children=again)) == digests[1]
    assert digest_of(observe(known=[before], children=again)) == digests[0]


def test_a_pool_that_waits_for_its_rollout_keeps_the_revision_that_its_pods_read() -> None:
    before = onnx_model(source=claim(revision="1"))
    children = settle(observe(known=[before]), NOON - timedelta(hours=1))
    newer = onnx_model(source=claim(revision="2"), threads=2)
    found = resolved(observe(known=[newer], children=children))
    waiting = found.waiting({"acme-espeak": Problem("WaitingForRollout", "")}, {"acme-espeak": "model/espeak/1"})
    maps = built(waiting)
    assert maps is not None
    served = json.loads(server_files(maps)["acme-espeak-server"])["models"][0]
    kept = json.loads(child(children, "ConfigMap", "acme-espeak-server")["data"]["server.json"])["models"][0]
    assert (served["engine"], served["weightsDigest"]) == (kept["engine"], kept["weightsDigest"])


def test_who_may_read_the_files_is_no_part_of_what_they_are() -> None:
    known = onnx_model(source=s3_source(secretRef={"name": "another-reader"}))
    assert template_of(known) == template_of(onnx_model(source=s3_source()))


def test_a_secret_of_another_owner_is_not_taken_for_the_tenants() -> None:
    foreign = live(desired(observe_store()).manifests[0])
    foreign |= {"kind": "Secret", "apiVersion": "v1", "data": {}}
    foreign["metadata"] |= {"name": "acme-espeak-source", "ownerReferences": []}
    assert ref("Secret", "acme-espeak-source") in {
        each.ref for each in desired(observe_store(children=[foreign])).manifests
    }
