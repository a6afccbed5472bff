"""Decides which release of the operator owns a tenant, and builds what the others report about that."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tts_operator.objects.labels import RELEASE
from tts_operator.objects.manifest import Body
from tts_operator.objects.problem import Problem
from tts_operator.status.conditions import condition_of, conditions

WAKE = "wake"
"""Field of the status that the waker alone writes."""
SINGLE_RELEASE = "SingleRelease"
"""Type of the condition that a release writes which stays away. The tenant's own release never writes it."""


def owner_of(body: Body) -> str:
    """Release that the tenant belongs to: the one that its annotation names, else the one that claimed it, else none.

    Releases are named by their Lease, as namespace/name.
    """
    annotated = (body["metadata"].get("annotations") or {}).get(RELEASE)
    return str(annotated or claimed_by(body))


def claimed_by(body: Body) -> str:
    """Release that has claimed the tenant; empty without one."""
    return str((body.get("status") or {}).get("release") or "")


def standby_status(body: Body, now: datetime) -> dict[str, Any] | None:
    """Part of the status that a release writes which stays away; None if it is there already.

    It does not depend on the release that writes it, so that a third one agrees with the second.
    """
    metadata = body["metadata"]
    problem = Problem(
        "ClaimedByAnotherRelease",
        f"the tenant belongs to release {owner_of(body)} of the operator; another release watches namespace"
        f" {metadata['namespace']} too, and stays away: give each release namespaces of its own, or move the tenant"
        f" with `kubectl annotate ttst {metadata['name']} -n {metadata['namespace']} {RELEASE}=NAMESPACE/LEASE"
        " --overwrite`",
    )
    status = body.get("status") or {}
    before = condition_of(status, SINGLE_RELEASE)
    if (before.get("status"), before.get("reason"), before.get("message")) == ("False", *problem):
        return None
    generation = int(metadata.get("generation", 0))
    return {"conditions": conditions({SINGLE_RELEASE: problem}, {}, [before] if before else [], generation, now)}


def without_wake(status: Mapping[str, Any]) -> dict[str, Any]:
    """The status without the waker's requests."""
    return {name: value for name, value in status.items() if name != WAKE}


def own_status(status: Mapping[str, Any]) -> dict[str, Any]:
    """The status as the tenant's own release writes it: without the waker's requests, and without the condition of
    those that stay away."""
    own = without_wake(status)
    if not condition_of(own, SINGLE_RELEASE):
        return own
    return {**own, "conditions": [each for each in own["conditions"] if each["type"] != SINGLE_RELEASE]}
