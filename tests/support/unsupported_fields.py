"""Tenants and models that set each field which is not supported yet, and others that set none."""

from tests.support.full_objects import PRESET
from tests.support.resources import Object, model_body, tenant_body

ZERO = {"minReplicas": 0, "maxReplicas": 0}
NIGHT = {"name": "night", "start": "00:00", "end": "06:00"}
SALE = {"name": "sale", "from": "2026-11-11", "to": "2026-11-12"}
ISSUER = {"jwksURL": "https://id.example", "issuer": "id", "audience": "tts"}
S3 = {"endpoint": "https://s3.example", "bucket": "speech", "secretRef": {"name": "s3"}}

TENANTS: dict[str, tuple[Object, list[str]]] = {
    # the story: (the object, phrases of the fields that are not supported yet)
    "the smallest tenant": (tenant_body(), []),
    "the preset": (tenant_body(schedule=PRESET), []),
    "defaults written out": (
        tenant_body(isolation="Dedicated", autoscaling={"provider": "HPA"}, allowExternal=False, preventDeletion=False),
        [],
    ),
    "local storage": (tenant_body(storage={"linkSeconds": 60}), []),
    "a cache that is off": (tenant_body(cache={"enabled": False}), []),
    "a cache": (tenant_body(cache={}), []),
    "an object store": (tenant_body(storage={"s3": S3}), []),
    "every limit": (
        tenant_body(
            quota={
                "requestsPerDay": 1,
                "concurrentRequests": 1,
                "audioSecondsPerDay": 1,
                "charactersPerDay": 1,
                "perClientRequestsPerMinute": 1,
            }
        ),
        [],
    ),
    "a pre-warm": (tenant_body(schedule={"default": {"minReplicas": 1}, "preWarmSeconds": 120}), []),
    "an open endpoint": (tenant_body(auth={"modes": ["None"]}), []),
    "a suspended tenant": (tenant_body(suspend=True), []),
    "shared isolation": (tenant_body(isolation="Shared"), ["spec.isolation Shared"]),
    "zero for one model": (tenant_body("espeak", {"name": "b", **ZERO}), ["spec.models[].minReplicas 0"]),
    "zero by default": (tenant_body(schedule={"default": {"minReplicas": 0}}), []),
    "zero at night": (
        tenant_body(schedule={"default": {"minReplicas": 1}, "windows": [{**NIGHT, **ZERO}], "wakeOnRequest": True}),
        [],
    ),
    "zero on holidays": (tenant_body(schedule={"default": {"minReplicas": 1}, "exceptions": [{**SALE, **ZERO}]}), []),
    "zero for a while": (
        tenant_body(schedule={"default": {"minReplicas": 1}, "override": {"until": "2026-11-30T18:00:00Z", **ZERO}}),
        [],
    ),
    "KEDA": (tenant_body(autoscaling={"provider": "KEDA"}), []),
    "requests in flight": (
        tenant_body(autoscaling={"metrics": [{"type": "InFlight", "averageValue": 4}]}),
        [],
    ),
    "tokens": (tenant_body(auth={"modes": ["JWT"]}), []),
    "tokens of another issuer": (tenant_body(auth={"modes": ["JWT"], "external": ISSUER}), []),
    "a Redis": (tenant_body(redis={"secretRef": {"name": "r"}}), []),
    "a way in from outside": (
        tenant_body(exposure={"gateway": {"name": "g"}, "hostname": "a.example"}),
        ["spec.exposure"],
    ),
    "text out of the cluster": (tenant_body(allowExternal=True), []),
    "deletion prevented": (tenant_body(preventDeletion=True), ["spec.preventDeletion true"]),
}
WEIGHTS = {"builtIn": "slt"}
REMOTE = {"url": "https://speech.example"}
SIDECAR = {"image": "kokoro:1", "port": 8880, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
MODELS: dict[str, tuple[Object, list[str]]] = {
    "the smallest model": (model_body(), []),
    "a neural engine": (
        model_body(engine="Onnx", source={"builtIn": "heart"}, onnx={"family": "Hibari"}),
        [],
    ),
    "a speech server elsewhere": (model_body(engine="Remote", remote=REMOTE), []),
    "a speech server in the pod": (model_body(engine="Sidecar", sidecar=SIDECAR), []),
    "a speech server with a key": (
        model_body(engine="Remote", remote={**REMOTE, "secretRef": {"name": "key"}}),
        ["spec.remote.secretRef"],
    ),
    "an engine with a checkout": (
        model_body(
            engine="CosyVoice",
            source={"persistentVolumeClaim": {"claimName": "models"}},
            cosyVoice={"codePath": "code"},
        ),
        [],
    ),
    "an accelerator": (model_body(accelerator={}), ["spec.accelerator"]),
    "a pool": (model_body(pool={}), ["spec.pool"]),
}
