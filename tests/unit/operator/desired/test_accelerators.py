"""Pods with an accelerator: where they are placed, what they claim, and what their engine computes with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.operator_builders import (
    NOON,
    answering,
    child,
    desired,
    falls_back_to,
    observe,
    planned,
    pod,
    resolved,
    server_files,
    settle,
    unschedulable,
)
from tests.support.resources import Object, model, precision
from tts_operator.api import TTSModel
from tts_operator.objects.labels import POOL_LABEL
from tts_operator.objects.manifest import Manifest
from tts_operator.pod_files.engine import local_engine
from tts_operator.resolve.accelerators import accelerator_count
from tts_operator.rollout.update_strategy import SURGE_TIMEOUT
from tts_operator.snapshot.observed import Observed
from tts_server.config.schema import ServerConfig

TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
PLACEMENT = {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"}, "tolerations": [TOLERATION]}
CLAIMED = {**PLACEMENT, "deviceClassName": "gpu.nvidia.com"}
GPU = {"nvidia.com/gpu": "1"}


def gpu_model(accelerator: Object | None = None, name: str = "espeak", **spec: Any) -> TTSModel:
    precisions = [precision("fp16", **GPU), precision("int8")]
    return model(name, **{"precisions": precisions, "accelerator": accelerator or PLACEMENT, **spec})


def claiming(name: str = "espeak", device_class: str = "gpu.nvidia.com", **spec: Any) -> TTSModel:
    return model(name, accelerator={**CLAIMED, "deviceClassName": device_class}, **spec)


def bodies(manifests: Iterable[Manifest]) -> list[Object]:
    return [dict(each.body) for each in manifests]


def pod_spec(known: TTSModel, entry: str | Object = "espeak") -> Object:
    manifests = desired(observe(entry, known=[known])).manifests
    found: Object = child(bodies(manifests), "Deployment", "acme-espeak")["spec"]["template"]["spec"]
    return found


def test_pods_with_a_device_are_placed_on_nodes_that_have_one() -> None:
    spec = pod_spec(gpu_model(runtimeClassName="nvidia"))
    assert spec["nodeSelector"] == PLACEMENT["nodeSelector"]
    assert spec["tolerations"] == [TOLERATION]
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "resourceClaims" not in spec


def test_pods_of_a_precision_without_a_device_are_placed_anywhere() -> None:
    spec = pod_spec(gpu_model(), {"name": "espeak", "precision": "int8"})
    assert not {"nodeSelector", "tolerations", "resourceClaims"} & spec.keys()


def test_each_pod_claims_a_device_of_the_class() -> None:
    manifests = bodies(desired(observe(known=[claiming()])).manifests)
    template = child(manifests, "ResourceClaimTemplate", "acme-espeak")
    exactly = {"deviceClassName": "gpu.nvidia.com", "allocationMode": "ExactCount", "count": 1}
    assert template["spec"]["spec"]["devices"]["requests"] == [{"name": "accelerator", "exactly": exactly}]
    kinds = [each["kind"] for each in manifests]
    assert kinds.index("ResourceClaimTemplate") < kinds.index("Deployment"), "pods refer to it"
    spec = pod_spec(claiming())
    assert spec["resourceClaims"] == [{"name": "accelerator", "resourceClaimTemplateName": "acme-espeak"}]
    assert spec["containers"][0]["resources"]["claims"] == [{"name": "accelerator"}]
    assert spec["nodeSelector"] == PLACEMENT["nodeSelector"]


def test_a_sidecar_has_the_claim_that_it_computes_with() -> None:
    sidecar = {"image": "kokoro:1", "port": 8880, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    spec = pod_spec(claiming(engine="Sidecar", sidecar=sidecar))
    assert spec["initContainers"][0]["resources"]["claims"] == [{"name": "accelerator"}]
    assert "claims" not in spec["containers"][0]["resources"]


def test_another_class_replaces_the_template_and_the_pods() -> None:
    children = settle(observe(known=[claiming()]))
    assert planned(observe(known=[claiming()], children=children)) == []
    plan = planned(observe(known=[claiming(device_class="mig.nvidia.com")], children=children))
    assert plan[0].startswith("delete resourceclaimtemplate/acme-espeak: immutable")
    assert any(each.startswith("apply resourceclaimtemplate/acme-espeak") for each in plan)
    assert any("engine-hash" in each and "deploy/acme-espeak" in each for each in plan)


def test_a_template_goes_with_the_class() -> None:
    children = settle(observe(known=[claiming()]))
    plan = planned(observe(known=[model()], children=children))
    assert plan[-1] == "delete resourceclaimtemplate/acme-espeak: no longer wanted"


DEVICES: dict[str, tuple[Object, str]] = {
    "no device": ({}, "CPU"),
    "a whole GPU": ({"precisions": [precision("fp16", **GPU)]}, "CUDA"),
    "a slice": ({"precisions": [precision("fp16", **{"nvidia.com/mig-1g.10gb": "1"})]}, "CUDA"),
    "a shared one": ({"precisions": [precision("fp16", **{"nvidia.com/gpu.shared": "1"})]}, "CUDA"),
    "that of another maker": ({"precisions": [precision("fp16", **{"amd.com/gpu": "1"})]}, "CPU"),
    "a claimed one": ({"accelerator": CLAIMED}, "CUDA"),
    "the CPU in spite of it": ({"accelerator": CLAIMED, "onnx": {"family": "Hibari", "device": "CPU"}}, "CPU"),
    "CUDA by name": ({"onnx": {"family": "Hibari", "device": "CUDA"}}, "CUDA"),
}


@pytest.mark.parametrize(("spec", "device"), DEVICES.values(), ids=DEVICES)
def test_the_engine_computes_with_the_device_of_its_pod(spec: Object, device: str) -> None:
    voice = {"engine": "Onnx", "source": {"builtIn": "heart"}, "onnx": {"family": "Hibari"}}
    known = model(**{**voice, **spec})
    engine = local_engine(known, known.spec.precisions[0].name.value)
    assert engine.onnx is not None
    assert engine.onnx.session_options.device == device
    assert ("session_options" in engine.options) == (device == "CUDA")


def test_a_torch_engine_does_not_fall_back_to_the_cpu_on_a_gpu() -> None:
    spec: Object = {"engine": "CosyVoice", "cosyVoice": {}, "source": {"persistentVolumeClaim": {"claimName": "m"}}}
    on_gpu = model(**spec, precisions=[precision("fp32", **GPU)])
    assert local_engine(on_gpu, "fp32").options["device"] == "CUDA"
    assert "device" not in local_engine(model(**spec), "fp32").options


def test_one_process_has_the_accelerator_unless_the_model_says_more() -> None:
    assert local_engine(gpu_model(), "fp16").processes == 1
    assert local_engine(gpu_model({**PLACEMENT, "engineProcesses": 3}), "fp16").processes == 3
    assert local_engine(gpu_model({**PLACEMENT, "engineProcesses": 3}), "int8").processes == 1, "by its CPU"
    assert local_engine(claiming(), "fp32").processes == 1


def test_a_claimed_device_counts_as_an_accelerator() -> None:
    assert accelerator_count(gpu_model(), "fp16", ()) == 1
    assert accelerator_count(gpu_model(), "int8", ()) == 0
    assert accelerator_count(claiming(), "fp32", ()) == 1
    found = resolved(observe(known=[claiming()], labels={"ttsfleet.io/max-accelerators": "0"}))
    assert [each.reason for each in found.model_problems] == ["AcceleratorsNotAllowed"]


NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available."


def waiting(message: str = NO_GPU) -> Object:
    status = unschedulable()
    status["conditions"][0]["message"] = message
    return pod("gpu", name="acme-gpu-1", **status)


def with_fallback() -> list[TTSModel]:
    return [gpu_model(name="gpu", fallback=falls_back_to("small")), model("small")]


def tenant_without_a_gpu(message: str = NO_GPU, ready: int = 0) -> Any:
    known = with_fallback()
    children = settle(observe("gpu", known=known))
    answering(child(children, "Deployment", "acme-gpu"), ready=ready)
    return observe("gpu", known=known, children=children, pods=[waiting(message)])


WAITS = {
    "no node has a free one": (NO_GPU, 0, "acme-small"),
    "no device can be claimed": ("0/1 nodes are available: 1 cannot allocate all claims.", 0, "acme-small"),
    "no CPU": ("0/1 nodes are available: 1 Insufficient cpu.", 0, "acme-small"),
    "another pod has one": (NO_GPU, 1, "acme-gpu"),
}


@pytest.mark.parametrize(("message", "ready", "entry"), WAITS.values(), ids=WAITS)
def test_the_fallback_is_the_entry_while_pods_wait_for_an_accelerator(message: str, ready: int, entry: str) -> None:
    observed = tenant_without_a_gpu(message, ready)
    assert resolved(observed).entry == entry
    service = child(bodies(desired(observed).manifests), "Service", "acme")
    assert service["spec"]["selector"][POOL_LABEL] == entry
    files = server_files(desired(observed))
    config = ServerConfig.model_validate_json(files["acme-small-server"])
    assert (config.role == "Entry") == (entry == "acme-small")
    if config.role == "Entry":
        offered = [each.name for each in config.models if each.offered]
        assert offered == ["gpu"], "callers see the same models as ever"


def test_the_entry_returns_once_its_own_pods_answer() -> None:
    observed = tenant_without_a_gpu()
    children = settle(observed)  # every pool answers
    later = observe("gpu", known=with_fallback(), children=children)
    assert resolved(later, NOON).entry == "acme-small", "pods read first that they are the entry"
    after = resolved(later, NOON.replace(minute=1))
    assert after.entry == "acme-gpu"


def test_a_suspended_tenant_has_its_own_entry() -> None:
    known = with_fallback()
    children = settle(observe("gpu", known=known))
    answering(child(children, "Deployment", "acme-gpu"), ready=0)
    assert resolved(observe("gpu", known=known, children=children, pods=[waiting()], suspend=True)).entry == "acme-gpu"


def rolling_alone(at: datetime, *, moved: bool) -> Observed:
    """A pool of one replica, in a rollout whose surge pod has looked for a GPU in vain; the fallback answers."""
    known = with_fallback()
    children = settle(observe("gpu", known=known), NOON - timedelta(hours=1))
    live = child(children, "Deployment", "acme-gpu")
    live["status"] |= {"updatedReplicas": 0}
    found = observe("gpu", known=known, children=children, pods=[waiting()])
    if moved:
        children = settle(found, at)
        child(children, "Deployment", "acme-gpu")["status"] |= {"updatedReplicas": 0}
        found = observe("gpu", known=known, children=children, pods=[waiting()])
    return found


def strategy_of(observed: Observed, at: datetime) -> str:
    return next(each for each in resolved(observed, at).pools if each.name == "acme-gpu").rollout.strategy


def test_the_only_replica_is_replaced_once_the_fallback_answers_for_it() -> None:
    late = NOON + SURGE_TIMEOUT
    before = rolling_alone(late, moved=False)
    assert (resolved(before, NOON).entry, strategy_of(before, NOON)) == ("acme-gpu", "Surge"), "it may find room yet"
    assert resolved(before, NOON).requeue_at == late
    assert strategy_of(before, late) == "Surge", "callers are there"
    pool = resolved(before, late).pools[1]
    assert (pool.name, pool.role) == ("acme-small", "Entry"), "it reads first that it becomes the entry"

    moved = rolling_alone(late, moved=True)
    settled = late + timedelta(seconds=6)
    selecting = observe("gpu", known=with_fallback(), children=settle(moved, settled), pods=[waiting()])
    child(list(selecting.children.values()), "Deployment", "acme-gpu")["status"] |= {"updatedReplicas": 0}  # type: ignore[arg-type] # built by this test
    assert strategy_of(selecting, settled + timedelta(seconds=1)) == "Surge", "nodes still route to it"
    assert strategy_of(selecting, settled + timedelta(seconds=6)) == "Replace"


def test_without_a_fallback_the_only_replica_stays() -> None:
    known = [gpu_model(name="gpu")]
    children = settle(observe("gpu", known=known), NOON - timedelta(hours=1))
    child(children, "Deployment", "acme-gpu")["status"] |= {"updatedReplicas": 0}
    observed = observe("gpu", known=known, children=children, pods=[waiting()])
    assert strategy_of(observed, NOON + timedelta(hours=1)) == "Surge"
    assert resolved(observed, NOON + timedelta(hours=1)).pools[0].rollout.no_room
