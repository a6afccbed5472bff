"""The chart's admission policies over what people write, on a real API server: ceilings and fields not supported yet.

Whatever they refuse, a reconcile refuses or lowers too, and the other way round: a table of cases goes to both.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
import yaml

from hack.cluster import binaries
from hack.cluster.commands import run
from hack.cluster.control_plane import ControlPlane
from tests.support.api_http import DeniedError, http_client
from tests.support.full_objects import LARGEST_TENANT
from tests.support.operator_builders import NOON, SETTINGS, observe
from tests.support.resources import Object, model_body, precision, tenant_body
from tests.support.unsupported_fields import MODELS, TENANTS
from tts_operator.api import TTSModel
from tts_operator.api.tenant import Tier
from tts_operator.resolve.resolve import resolve
from tts_operator.settings import DefaultCeilings

RELEASE = "ceilings"
READY_SECONDS = 120
CEILINGS = DefaultCeilings(max_tier=Tier.VIP, max_replicas=20, max_accelerators=8)
OPERATOR = replace(SETTINGS, ceilings=CEILINGS)
NAMESPACES: dict[str, dict[str, str]] = {
    # the namespace, and its labels without their prefix
    "ceilings-default": {},
    "ceilings-low": {"max-tier": "Basic", "max-replicas": "4", "max-accelerators": "2"},
    "ceilings-high": {"max-tier": "Enterprise", "max-replicas": "050", "max-accelerators": "100"},
    "ceilings-odd": {"max-tier": "gold", "max-replicas": "0", "max-accelerators": "1e3"},
    "ceilings-long": {"max-replicas": "1" * 10, "max-accelerators": "9" * 20},
    "ceilings-none": {"max-accelerators": "0"},
}
CHANGING = "ceilings-changing"
ELSEWHERE = "ceilings-elsewhere"
"""A namespace that the release does not watch."""
GPU = {"nvidia.com/gpu": "2"}
KNOWN = (
    model_body(),
    model_body("policed-gpu", precisions=[precision("fp16", **GPU)]),
    model_body("policed-both", precisions=[precision("fp32", **GPU), precision("int8")]),
    model_body("policed-claims", accelerator={"deviceClassName": "gpu.nvidia.com"}),
    model_body(
        "policed-slices", precisions=[precision("fp16", **{"nvidia.com/mig-1g.5gb": "1", "example.com/npu": "2"})]
    ),
)


@dataclass(frozen=True)
class Person:
    """Somebody who may do everything that the API server accepts."""

    client: httpx.Client

    def tries(self, body: Object, namespace: str = "") -> None:
        """Creates an object, as a dry run."""
        self._send("POST", self._path(body, namespace), body, dry_run=True)

    def creates(self, body: Object, namespace: str = "") -> None:
        self._send("POST", self._path(body, namespace), body)

    def patches(self, path: str, change: Object, *, dry_run: bool = False) -> None:
        self._send("PATCH", path, change, dry_run=dry_run)

    def deletes(self, path: str) -> None:
        self._send("DELETE", path, {})

    def exists(self, path: str) -> bool:
        return self.client.get(path).is_success

    def _path(self, body: Object, namespace: str) -> str:
        plural = f"{body['kind'].lower()}s"
        return f"/apis/ttsfleet.io/v1alpha1/{f'namespaces/{namespace}/' if namespace else ''}{plural}"

    def _send(self, method: str, path: str, body: Object, *, dry_run: bool = False) -> None:
        if "namespaces" in path and method == "POST":
            body = {**body, "metadata": {**body["metadata"], "namespace": path.split("/")[5]}}
        headers = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
        params = {"dryRun": "All"} if dry_run else {}
        answer = self.client.request(method, path, params=params, content=json.dumps(body), headers=headers)
        if answer.is_error:
            raise DeniedError(answer.json()["message"])


def path_of(namespace: str, name: str = "acme") -> str:
    return f"/apis/ttsfleet.io/v1alpha1/namespaces/{namespace}/ttstenants/{name}"


@pytest.fixture(scope="module")
def person(control_plane: ControlPlane, kubeconfig: object) -> Iterator[Person]:
    """The chart's policies, namespaces with and without labels, and models."""
    with http_client(control_plane, "ann") as client:
        ann = Person(client)
        control_plane.kubectl("apply", "-f", "-", input=listed(namespaces()))
        control_plane.kubectl("apply", "-f", "-", input=listed(KNOWN))
        for name, body in BEFORE.items():
            ann.creates({**body, "metadata": {"name": name}}, CHANGING)
        for name, body in MODELS_BEFORE.items():
            ann.creates({**body, "metadata": {"name": name}})
        policies = list(release())
        control_plane.kubectl("apply", "-f", "-", input=listed(policies))
        try:
            control_plane.kubectl("label", "ns", CHANGING, *(f"ttsfleet.io/{key}" for key in LOWERED))
            wait_until_enforced(ann)
            yield ann
        finally:
            control_plane.kubectl("delete", "-f", "-", input=listed(policies))
            control_plane.kubectl("delete", "ttsm", *(body["metadata"]["name"] for body in KNOWN), *MODELS_BEFORE)
            everywhere = (*NAMESPACES, CHANGING, ELSEWHERE)
            control_plane.kubectl("delete", "namespace", *everywhere, "--wait=false")


def listed(bodies: Iterable[Object]) -> str:
    """Objects in JSON: a label such as 1e3 is text in PyYAML and a number in Go."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(bodies)})


def release() -> Iterator[Object]:
    helm = binaries.ensure(binaries.HELM)["helm"]
    chart = binaries.ROOT / "charts" / "ttsfleet"
    sets = (
        f"operator.watchNamespaces={{{','.join((*NAMESPACES, CHANGING))}}}",
        f"ceilings.maxTier={CEILINGS.max_tier}",
        f"ceilings.maxReplicas={CEILINGS.max_replicas}",
        f"ceilings.maxAccelerators={CEILINGS.max_accelerators}",
    )
    flags = [flag for each in sets for flag in ("--set", each)]
    version = ["--kube-version", binaries.KUBERNETES_VERSION]
    rendered = run(
        [
            helm,
            "template",
            RELEASE,
            chart,
            "-n",
            "ceilings-system",
            *version,
            "-f",
            chart / "ci" / "default-values.yaml",
            *flags,
        ]
    )
    for body in yaml.safe_load_all(rendered):
        policy = body and body["kind"].startswith("ValidatingAdmissionPolicy")
        if policy and body["metadata"]["name"].endswith(
            ("-ceilings", "-accelerators", "-tenant-support", "-model-support")
        ):
            yield body


def namespaces() -> Iterator[Object]:
    for name in (*NAMESPACES, CHANGING, ELSEWHERE):
        labels = {f"ttsfleet.io/{label}": value for label, value in NAMESPACES.get(name, {}).items()}
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


LOWERED = ("max-tier=Basic", "max-replicas=5", "max-accelerators=2")
"""Labels that CHANGING gets after its tenants were created."""
PROBES: dict[str, Callable[[Person], None]] = {
    "ceilings": lambda ann: ann.tries(tenant_body(tier="Enterprise"), "ceilings-default"),
    "the label of tiers": lambda ann: ann.tries(tenant_body(tier="VIP"), CHANGING),
    "accelerators": lambda ann: ann.tries(tenant_body("policed-gpu"), "ceilings-none"),
    "each model": lambda ann: ann.tries(tenant_body("policed-slices"), "ceilings-none"),
    "fields of tenants": lambda ann: ann.tries(tenant_body(preventDeletion=True), "ceilings-default"),
    "fields of models": lambda ann: ann.tries(model_body("probe", pool={})),
}


def wait_until_enforced(ann: Person) -> None:
    """The API server compiles policies, and learns of labels and models, a moment after they are written."""
    deadline = time.monotonic() + READY_SECONDS
    for name, probe in PROBES.items():
        for _ in itertools.count():
            assert time.monotonic() < deadline, f"nothing is refused for {name} after {READY_SECONDS} s"
            try:
                probe(ann)
            except DeniedError:
                break
            time.sleep(0.1)


def bounds(most: int, least: int = 1) -> dict[str, int]:
    return {"minReplicas": least, "maxReplicas": most}


def night(most: int) -> Object:
    return {"name": "night", "start": "22:00", "end": "06:00", **bounds(most)}


def sale(most: int) -> Object:
    return {"name": "sale", "from": "2026-11-11", "to": "2026-11-12", **bounds(most)}


CASES: dict[str, Object] = {
    "the smallest tenant": tenant_body(),
    **{f"tier {tier}": tenant_body(tier=tier) for tier in ("Basic", "VIP", "Enterprise")},
    **{f"{most} replicas": tenant_body(schedule={"default": bounds(most)}) for most in (4, 5, 20, 21, 50, 51, 1000)},
    "only a minimum": tenant_body(schedule={"default": {"minReplicas": 21}}),
    "a window": tenant_body(schedule={"default": bounds(1), "windows": [night(30)]}),
    "an exception": tenant_body(schedule={"default": bounds(1), "exceptions": [sale(30)]}),
    "a preset": tenant_body(schedule={"preset": "DayNightWeekend"}),
    "a preset and an exception": tenant_body(schedule={"preset": "DayNightWeekend", "exceptions": [sale(5)]}),
    "a second model": tenant_body("espeak", {"name": "other", **bounds(6)}),
    "a second model with a minimum": tenant_body("espeak", {"name": "other", "minReplicas": 5}),
    "a second model without bounds": tenant_body("espeak", "other"),
    "a model with GPUs": tenant_body("policed-gpu"),
    **{
        f"{most} replicas with GPUs": tenant_body("policed-gpu", schedule={"default": bounds(most)})
        for most in (2, 4, 5, 20)
    },
    "GPUs in a window": tenant_body("policed-gpu", schedule={"default": bounds(1), "windows": [night(5)]}),
    "GPUs of a second model": tenant_body("espeak", {"name": "policed-gpu", **bounds(2)}),
    "GPUs of a second model without bounds": tenant_body("espeak", "policed-gpu"),
    "slices and others": tenant_body("policed-slices", schedule={"default": bounds(2)}),
    "as many claimed devices as allowed": tenant_body("policed-claims", schedule={"default": bounds(2)}),
    "claimed devices": tenant_body("policed-claims", schedule={"default": bounds(3)}),
    "a precision without a GPU": tenant_body(
        {"name": "policed-both", "precision": "int8"}, schedule={"default": bounds(4)}
    ),
    "a precision with GPUs": tenant_body(
        {"name": "policed-both", "precision": "fp32"}, schedule={"default": bounds(4)}
    ),
    "a model that does not exist": tenant_body("policed-nobody", schedule={"default": bounds(3)}),
    "a shared tenant with too high a tier": tenant_body(tier="Enterprise", isolation="Shared"),
}
TOLD = {"TierNotAllowed", "ReplicasClamped", "AcceleratorsNotAllowed", "NotSupportedYet"}


def reasons(body: Object, namespace: str) -> set[str]:
    """Reasons that a reconcile gives for this tenant, as far as admission should have refused it."""
    labels = {f"ttsfleet.io/{label}": value for label, value in NAMESPACES[namespace].items()}
    spec = dict(body["spec"])
    known = [TTSModel.model_validate(each) for each in KNOWN]
    found = resolve(observe(*spec.pop("models"), known=known, labels=labels, **spec), OPERATOR, NOON)
    said = [*found.notes, *found.model_problems, *filter(None, [found.refused])]
    return {problem.reason for problem in said} & TOLD


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("body", CASES.values(), ids=CASES)
def test_admission_and_reconcile_agree(person: Person, body: Object, namespace: str) -> None:
    expected = reasons(body, namespace)
    if expected:
        with pytest.raises(DeniedError, match="ValidatingAdmissionPolicy"):
            person.tries(body, namespace)
    else:
        person.tries(body, namespace)


def test_the_cases_hold_both_verdicts_of_every_reason() -> None:
    verdicts = {
        (reason, reason in reasons(body, name)) for body in CASES.values() for name in NAMESPACES for reason in TOLD
    }
    assert len(verdicts) == 2 * len(TOLD)


MESSAGES: dict[str, tuple[str, Object, str]] = {
    "a tier above the label": (
        "ceilings-low",
        tenant_body(tier="VIP"),
        "spec.tier VIP is above Basic, which the namespace's label ttsfleet.io/max-tier allows",
    ),
    "a tier above the default": (
        "ceilings-odd",
        tenant_body(tier="Enterprise"),
        "spec.tier Enterprise is above VIP, which the operator's default for namespaces without the label"
        " ttsfleet.io/max-tier allows",
    ),
    "replicas in several places": (
        "ceilings-low",
        tenant_body(
            "espeak",
            {"name": "other", **bounds(9)},
            schedule={"default": bounds(5), "windows": [night(4)], "exceptions": [sale(6)]},
        ),
        "spec.schedule.default, maxReplicas 5; spec.schedule.exceptions[sale], maxReplicas 6; spec.models[other],"
        " maxReplicas 9: above 4, which the namespace's label ttsfleet.io/max-replicas allows",
    ),
    "accelerators": (
        "ceilings-low",
        tenant_body("policed-gpu", schedule={"default": bounds(1), "windows": [night(3)]}),
        "TTSModel policed-gpu needs more than 2 accelerators for spec.schedule.windows[night], maxReplicas 3."
        " That is what the namespace's label ttsfleet.io/max-accelerators allows",
    ),
}


@pytest.mark.parametrize(("namespace", "body", "message"), MESSAGES.values(), ids=MESSAGES)
def test_the_message_names_field_label_and_value(person: Person, namespace: str, body: Object, message: str) -> None:
    with pytest.raises(DeniedError) as denied:
        person.tries(body, namespace)
    assert message in str(denied.value)


def test_a_namespace_that_the_release_does_not_watch_is_left_alone(person: Person) -> None:
    person.tries(tenant_body(tier="Enterprise", preventDeletion=True), ELSEWHERE)


def test_the_largest_tenant_is_not_too_expensive_to_judge(person: Person) -> None:
    with pytest.raises(DeniedError) as denied:
        person.tries({**LARGEST_TENANT, "metadata": {"name": "largest"}}, "ceilings-low")
    assert "not supported yet" in str(denied.value) or "allows" in str(denied.value)
    assert "cost" not in str(denied.value)


BEFORE: dict[str, Object] = {
    # Tenants that exist before the policies and the labels of their namespace.
    "high": tenant_body(tier="VIP", schedule={"default": bounds(9), "windows": [night(4)]}),
    "gpu": tenant_body("policed-gpu", schedule={"default": bounds(3)}),
    **{f"old-{position}": body for position, (body, found) in enumerate(TENANTS.values()) if found},
}
MODELS_BEFORE = {f"policed-old-{position}": body for position, (body, found) in enumerate(MODELS.values()) if found}

EDITS: dict[str, tuple[str, Object, str]] = {
    # the story: (tenant, change of its spec, part of the refusal; empty if it is accepted)
    "another field": ("high", {"suspend": True}, ""),
    "fewer replicas, still too many": ("high", {"schedule": {"default": bounds(8)}}, ""),
    "as many in another window": ("high", {"schedule": {"windows": [{**night(9), "name": "evening"}]}}, ""),
    "more replicas": ("high", {"schedule": {"default": bounds(10)}}, "spec.schedule.default, maxReplicas 10: above 5"),
    "a lower tier": ("high", {"tier": "Basic"}, ""),
    "a higher tier": ("high", {"tier": "Enterprise"}, "spec.tier Enterprise is above Basic"),
    "another field of a tenant with GPUs": ("gpu", {"suspend": True}, ""),
    "fewer GPUs, still too many": ("gpu", {"schedule": {"default": bounds(2)}}, ""),
    "more GPUs": ("gpu", {"schedule": {"default": bounds(4)}}, "TTSModel policed-gpu needs more than 2 accelerators"),
}


@pytest.mark.parametrize(("name", "change", "message"), EDITS.values(), ids=EDITS)
def test_a_tenant_above_a_new_ceiling_may_be_changed_but_not_grow(
    person: Person, name: str, change: Object, message: str
) -> None:
    def edit() -> None:
        person.patches(path_of(CHANGING, name), {"spec": change}, dry_run=True)

    if not message:
        edit()
        return
    with pytest.raises(DeniedError) as denied:
        edit()
    assert message in str(denied.value)


@pytest.mark.parametrize(("body", "phrases"), TENANTS.values(), ids=TENANTS)
def test_a_tenant_with_a_field_that_is_not_supported_is_refused(
    person: Person, body: Object, phrases: list[str]
) -> None:
    if not phrases:
        person.tries(body, "ceilings-high")
        return
    with pytest.raises(DeniedError) as denied:
        person.tries(body, "ceilings-high")
    assert f"{phrases[0]}: not supported yet; change or remove it" in str(denied.value)


@pytest.mark.parametrize(("body", "phrases"), MODELS.values(), ids=MODELS)
def test_a_model_with_a_field_that_is_not_supported_is_refused(
    person: Person, body: Object, phrases: list[str]
) -> None:
    body = {**body, "metadata": {"name": "policed-new"}}
    if not phrases:
        person.tries(body)
        return
    with pytest.raises(DeniedError) as denied:
        person.tries(body)
    assert f"{phrases[0]}: not supported yet; change or remove it" in str(denied.value)


@pytest.mark.parametrize("name", [name for name in BEFORE if name.startswith("old-")])
def test_a_tenant_that_had_such_a_field_before_stays_editable(person: Person, name: str) -> None:
    person.patches(path_of(CHANGING, name), {"spec": {"suspend": True}}, dry_run=True)
    person.patches(path_of(CHANGING, name), {"metadata": {"labels": {"a": "b"}}}, dry_run=True)
    zero = {"models": [{"name": "espeak"}, {"name": "b", "minReplicas": 0, "maxReplicas": 0}]}
    other = zero if "preventDeletion" in BEFORE[name]["spec"] else {"preventDeletion": True}
    with pytest.raises(DeniedError, match="not supported yet"):
        person.patches(path_of(CHANGING, name), {"spec": other}, dry_run=True)


@pytest.mark.parametrize("name", MODELS_BEFORE)
def test_a_model_that_had_such_a_field_before_stays_editable(person: Person, name: str) -> None:
    person.patches(f"/apis/ttsfleet.io/v1alpha1/ttsmodels/{name}", {"spec": {"loadSeconds": 9}}, dry_run=True)


def test_status_finalizers_and_deletion_always_go_through(person: Person) -> None:
    path = path_of(CHANGING, "high")
    condition: dict[str, Any] = {
        "type": "Accepted",
        "status": "False",
        "reason": "TierNotAllowed",
        "message": "",
        "lastTransitionTime": "2026-11-30T00:00:00Z",
    }
    person.patches(f"{path}/status", {"status": {"conditions": [condition]}})
    person.patches(path, {"metadata": {"finalizers": ["example.com/held"]}})
    person.deletes(path)
    assert person.exists(path), "its finalizer holds it"
    person.patches(path, {"spec": {"tier": "Enterprise"}}, dry_run=True)
    person.patches(path, {"metadata": {"finalizers": None}})
    assert not person.exists(path)
