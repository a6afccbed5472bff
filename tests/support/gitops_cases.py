"""Objects as the operator's status code leaves them, and what GitOps tools are to make of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

from tests.support.operator_builders import (
    DAY,
    NOON,
    answering,
    child,
    container,
    falls_back_to,
    observe,
    pod,
    ref,
    resolved,
    settle,
    stamp,
)
from tests.support.resources import KEY, Object, model, model_body, stored, tenant_body
from tts_operator.api import TTSModel
from tts_operator.api.crd import UNSEEN
from tts_operator.credentials.api_keys import KeyEntries
from tts_operator.objects.labels import ROLLOUT_MODE
from tts_operator.objects.problem import Problem
from tts_operator.plan.outcome import Outcome
from tts_operator.rollout.canary import CanaryState
from tts_operator.rollout.situation import HALTED, PAUSED, WAITING, Mode
from tts_operator.snapshot.observed import Observed
from tts_operator.status.model import Report, Usage, model_status
from tts_operator.status.tenant import status

Argo = Literal["Healthy", "Progressing", "Degraded", "Suspended"]
KStatus = Literal["Current", "InProgress", "Failed", "Terminating"]


@dataclass(frozen=True)
class Case:
    """One object, and the judgement of each tool."""

    body: Object
    argo: Argo
    kstatus: KStatus
    """Flux without expressions, and Helm 4."""
    flux: KStatus
    """Flux with the expressions of the documentation; a deletion is in progress for them."""


def running(ready: int | None = None, **spec: Any) -> list[Object]:
    """Children of a tenant of which so many pods are ready."""
    children = settle(observe(**spec))
    answering(child(children, "Deployment", "acme-espeak"), ready)
    return children


def rolling(reason: str) -> list[Object]:
    """Children of a tenant whose Deployment has three ready pods, one of which is updated."""
    children = running(schedule=DAY)
    deployment = child(children, "Deployment", "acme-espeak")
    deployment["status"] |= {"replicas": 3, "updatedReplicas": 1}
    deployment["status"]["conditions"] = [{"type": "Progressing", "status": "True", "reason": reason}]
    return children


def told(observed: Observed, outcome: Outcome | None = None, wait: Problem | None = None) -> Object:
    """The tenant with the status that the operator would write. `wait`: why its pool may not roll yet."""
    found = resolved(observed)
    if wait is not None:
        found = found.waiting({"acme-espeak": wait}, {"acme-espeak": "model/espeak/1"})
    return {**dict(observed.body or {}), "status": status(found, observed, outcome or Outcome())}


def crashing() -> Object:
    return pod(**container(waiting={"reason": "CrashLoopBackOff"}, last={"exitCode": 1, "reason": "Error"}))


def asleep() -> Observed:
    return observe(children=settle(observe(children=running(), suspend=True)), suspend=True)


def dozing() -> Observed:
    """A tenant whose HPA has scaled it to zero by its metric."""
    children = running()
    deployment = child(children, "Deployment", "acme-espeak")
    deployment["spec"]["replicas"] = 0
    answering(deployment)
    found = {"type": "ScaledToZero", "status": "True", "reason": "ScaledToZero", "message": "no requests"}
    child(children, "HorizontalPodAutoscaler", "acme-espeak")["status"] = {"conditions": [found]}
    return observe(children=children)


def missing_fallback() -> Observed:
    known = [model(fallback=falls_back_to("gone"))]
    return observe(known=known, children=settle(observe(known=known)))


def later(body: Object) -> Object:
    """The object after a change of its spec that no operator has seen."""
    return {**body, "metadata": {**body["metadata"], "generation": body["metadata"]["generation"] + 1}}


def deleting(body: Object) -> Object:
    return {**body, "metadata": {**body["metadata"], "deletionTimestamp": stamp(NOON)}}


FRESH: Object = {"conditions": [dict(each) for each in UNSEEN]}
NAME_TAKEN = Outcome({ref("Service", "acme"): Problem("NameTaken", "exists and is not this tenant's")})
TENANTS: dict[str, Case] = {
    "fresh": Case({**stored(tenant_body()), "status": FRESH}, "Progressing", "InProgress", "InProgress"),
    "starting": Case(told(observe()), "Progressing", "InProgress", "InProgress"),
    "ready": Case(told(observe(children=running())), "Healthy", "Current", "Current"),
    "changed since": Case(later(told(observe(children=running()))), "Progressing", "InProgress", "InProgress"),
    "rolling": Case(
        told(observe(children=rolling("ReplicaSetUpdated"), schedule=DAY)), "Progressing", "InProgress", "InProgress"
    ),
    "a rollout that is stuck": Case(
        told(observe(children=rolling("ProgressDeadlineExceeded"), schedule=DAY)), "Degraded", "Failed", "Failed"
    ),
    "a rollout that waits its turn": Case(
        told(observe(children=running()), wait=Problem(WAITING, "queued")), "Progressing", "InProgress", "InProgress"
    ),
    "a rollout that is paused": Case(
        told(observe(children=running()), wait=Problem(PAUSED, "by the platform team")),
        "Suspended",
        "InProgress",
        "InProgress",
    ),
    "a rollout that was halted": Case(
        told(observe(children=running()), wait=Problem(HALTED, "it fails")), "Degraded", "InProgress", "InProgress"
    ),
    "failed": Case(told(observe(children=running(0), pods=[crashing()])), "Degraded", "InProgress", "Failed"),
    "a fallback that does not exist": Case(told(missing_fallback()), "Degraded", "InProgress", "InProgress"),
    "no such model": Case(told(observe(known=[])), "Degraded", "InProgress", "InProgress"),
    "a name that is taken": Case(told(observe(children=running()), NAME_TAKEN), "Degraded", "InProgress", "Failed"),
    "no key that works": Case(
        told(observe(children=running(), keys=KeyEntries(0, plain=("app",)))), "Degraded", "InProgress", "Failed"
    ),
    "one key that does not work": Case(
        told(observe(children=running(), keys=KeyEntries(1, plain=("app",)))), "Healthy", "Current", "Current"
    ),
    "suspended": Case(told(asleep()), "Suspended", "Current", "Current"),
    "scaled to zero by its HPA": Case(told(dozing()), "Suspended", "Current", "Current"),
    "being suspended": Case(told(observe(children=running(), suspend=True)), "Progressing", "InProgress", "InProgress"),
    "refused, never accepted": Case(told(observe(preventDeletion=True)), "Degraded", "Failed", "Failed"),
    "refused, the last spec applies": Case(
        told(observe(children=running(), preventDeletion=True)), "Degraded", "Failed", "Failed"
    ),
    "deleting": Case(deleting(told(observe(children=running()))), "Progressing", "Terminating", "InProgress"),
}


def judged(
    usage: Usage, known: TTSModel | None = None, error: str | None = None, fallback: Problem | None = None
) -> Object:
    """The model with the status that the operator would write."""
    body = stored(model_body())
    report = Report("ttsfleet-system/tts-operator", usage, None if error else known or model(), error, fallback)
    return {**body, "status": model_status(body, report, NOON)}


def paused() -> TTSModel:
    """A model whose rollout an annotation pauses."""
    body = stored(model_body())
    return TTSModel.model_validate(
        {**body, "metadata": {**body["metadata"], "annotations": {ROLLOUT_MODE: Mode.PAUSED}}}
    )


MODELS: dict[str, Case] = {
    "fresh": Case({**stored(model_body()), "status": FRESH}, "Progressing", "InProgress", "InProgress"),
    "ready": Case(judged(Usage(2, updated=2)), "Healthy", "Current", "Current"),
    "nobody uses it": Case(judged(Usage(0, updated=0)), "Healthy", "Current", "Current"),
    "changed since": Case(later(judged(Usage(2, updated=2))), "Progressing", "InProgress", "InProgress"),
    "rolling": Case(judged(Usage(9, updated=3)), "Progressing", "Current", "Current"),
    "paused": Case(judged(Usage(9, updated=3), paused()), "Suspended", "Current", "Current"),
    "halted": Case(
        judged(Usage(9, updated=3, blocked=Problem(HALTED, "it fails"))), "Degraded", "InProgress", "InProgress"
    ),
    "failed for the first tenant": Case(
        judged(Usage(9, updated=0, canary=CanaryState(frozenset({KEY}), frozenset(), {KEY: "OOMKilled"}))),
        "Degraded",
        "InProgress",
        "InProgress",
    ),
    "with the first tenant": Case(
        judged(Usage(9, updated=0, canary=CanaryState(frozenset({KEY}), frozenset(), {}))),
        "Progressing",
        "Current",
        "Current",
    ),
    "a fallback that does not exist": Case(
        judged(Usage(2, updated=2), fallback=Problem("FallbackNotFound", "gone")),
        "Degraded",
        "InProgress",
        "InProgress",
    ),
    "not valid": Case(judged(Usage(2), error="spec.voices: Field required"), "Degraded", "InProgress", "Failed"),
}
CASES: Mapping[str, Mapping[str, Case]] = {"TTSTenant": TENANTS, "TTSModel": MODELS}


def kstatus(body: Object) -> KStatus:
    """Rules of kstatus for kinds that it does not know: kubernetes-sigs/cli-utils, pkg/kstatus/status."""
    metadata, found = body["metadata"], body.get("status") or {}
    if "deletionTimestamp" in metadata:
        return "Terminating"
    if found.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    conditions = {each["type"]: each["status"] for each in found.get("conditions") or ()}
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    return "Current" if conditions.get("Ready", "True") == "True" else "InProgress"


def blocks(page: str, name: str) -> list[Object]:
    """The YAML documents of a page that have this comment before them."""
    found = [part.partition("```yaml norun\n")[2].partition("```")[0] for part in page.split(f"<!-- {name} -->\n")[1:]]
    return [yaml.safe_load(text) for text in found]
