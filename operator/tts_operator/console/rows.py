"""Rows that the page shows of tenants, models and rollouts: plain values from the objects of the API server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from tts_operator.console.week import change_after, schedule_text
from tts_operator.fleet.tenant_view import TenantView, conditions_of, plain
from tts_operator.objects.manifest import Body
from tts_operator.rollout.policy import changed, is_pool, pool_key, roll
from tts_operator.rollout.situation import HALTED, PAUSED, WAITING, mode_of

Row = dict[str, Any]
QUEUED = frozenset({WAITING, HALTED, PAUSED})
"""Reasons of a tenant whose rollout may not start yet."""


def tenant_row(body: Body, now: datetime) -> Row:
    """One tenant in the table of the fleet."""
    tenant = TenantView(body)
    status, spec = tenant.status, _mapping(body.get("spec"))
    ready = tenant.ready
    serving, desired = tenant.replicas
    entry: Mapping[str, Any] = tenant.pools[0] if tenant.pools else {}
    cost = tenant.hourly_cost
    schedule = schedule_text(body)
    change = change_after(schedule, now)
    behind, why = version_behind(body, tenant)
    return {
        "namespace": tenant.namespace,
        "name": tenant.name,
        "ready": ready.status if ready else "Unknown",
        "reason": ready.reason if ready else "Pending",
        "message": ready.message if ready else "No operator has looked at this tenant yet.",
        "since": ready.since if ready else "",
        "suspended": tenant.is_suspended,
        "window": plain(status.get("activeWindow") or ""),
        "serving": serving,
        "desired": desired,
        "min": entry.get("min"),
        "max": entry.get("max"),
        "next": change._asdict() if change else None,
        "schedule": schedule,
        "precision": plain(status.get("precision") or ""),
        "models": model_names(spec),
        "cost": None if cost is None else f"{cost.normalize():f}",
        "monthly": plain(_mapping(status.get("cost")).get("monthly") or ""),
        "tier": plain(spec.get("tier") or "Basic"),
        "perMinute": _mapping(spec.get("quota")).get("requestsPerMinute"),
        "behind": behind,
        "behindWhy": why,
        "queued": next((reason for reason in condition_reasons(tenant) if reason in QUEUED), ""),
        "needsKey": needs_key(spec),
    }


def version_behind(body: Body, tenant: TenantView) -> tuple[str, str]:
    """How far the pods are behind the spec, in a word, and why; both are empty once all of them run it."""
    generation = int(body["metadata"].get("generation") or 0)
    running = tenant.status.get("runningGeneration")
    waits = next((each for each in tenant.telling if each.reason in QUEUED), None)
    if waits is not None:
        words = {WAITING: "waiting", HALTED: "halted", PAUSED: "paused"}
        return words[waits.reason], waits.message
    progressing = next((each for each in tenant.telling if each.type in {"Progressing", "Stalled"}), None)
    if isinstance(running, int) and running < generation:
        message = progressing.message if progressing else ""
        return f"{generation - running} behind", message or f"Pods run generation {running} of {generation}."
    if progressing is not None and progressing.type == "Progressing":
        return "rolling out", progressing.message
    return "", ""


def condition_reasons(tenant: TenantView) -> Iterator[str]:
    """Reasons of the conditions that tell something."""
    yield from (each.reason for each in tenant.telling)


def needs_key(spec: Mapping[str, Any]) -> bool:
    """Whether callers need a key or a token."""
    modes = _mapping(spec.get("auth")).get("modes")
    return not (isinstance(modes, Sequence) and "None" in modes)


def model_names(spec: Mapping[str, Any]) -> list[str]:
    """Models that the tenant lists."""
    entries = spec.get("models")
    return [plain(each.get("name") or "") for each in entries or () if isinstance(each, Mapping)]


def model_row(body: Body) -> Row:
    """One model with its voices, in the catalogue."""
    spec, status = _mapping(body.get("spec")), _mapping(body.get("status"))
    ready = next(iter(conditions_of(status, "Ready")), None)
    return {
        "name": str(body["metadata"]["name"]),
        "engine": plain(spec.get("engine") or ""),
        "languages": [plain(each) for each in spec.get("languages") or ()],
        "voices": [
            {
                "name": plain(voice.get("name") or ""),
                "languages": [plain(each) for each in voice.get("languages") or ()],
            }
            for voice in spec.get("voices") or ()
        ],
        "precisions": [plain(each.get("name") or "") for each in spec.get("precisions") or ()],
        "tenants": status.get("tenants"),
        "updated": status.get("updatedTenants"),
        "ready": ready.status if ready else "Unknown",
        "reason": ready.reason if ready else "Pending",
        "message": ready.message if ready else "",
        "mode": str(mode_of(_mapping(body["metadata"].get("annotations")))),
    }


def rollout_row(deployment: Body) -> Row | None:
    """A pool that rolls out a change of a model or of the operator; None for one that does not."""
    if not is_pool(deployment):
        return None
    rolling = roll(deployment)
    if rolling is None:
        return None
    state = "failed" if rolling.failed else "stalled" if rolling.stalled else "place"
    spec, status = _mapping(deployment.get("spec")), _mapping(deployment.get("status"))
    return {
        "namespace": rolling.key.namespace,
        "tenant": rolling.key.name,
        "pool": rolling.pool,
        "change": plain(changed(rolling.change)),
        "state": state,
        "updated": int(status.get("updatedReplicas") or 0),
        "replicas": int(spec.get("replicas") or 0),
    }


def rollout_id(deployment: Body) -> str:
    """Identity of a pool among all rollouts."""
    key = pool_key(deployment)
    return f"{key.tenant.namespace}/{key.name}"


def pool_rows(pools: Iterable[Body]) -> list[Row]:
    """Pools of a tenant."""
    names = ("model", "role", "precision", "min", "max", "desired", "ready", "reason")
    return [
        {name: plain(value) if isinstance(value := pool.get(name), str) else value for name in names} for pool in pools
    ]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
