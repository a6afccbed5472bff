"""Objects for the tests of the operator's pure parts: each test names only what matters to it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

from tests.support.resources import KEY, Object, model, stored, tenant_body
from tts_operator.api import TTSCalendar, TTSModel, TTSTenant
from tts_operator.api.model import fallback_of
from tts_operator.calendar.dates import named_calendars
from tts_operator.credentials.api_keys import KeyEntries
from tts_operator.desired.build import Desired, build, pool_deployments
from tts_operator.objects.diff import LIST_KEYS
from tts_operator.objects.kinds import KINDS, AddOn
from tts_operator.objects.labels import pool_labels
from tts_operator.objects.manifest import Body, Manifest, Ref, ref_of
from tts_operator.objects.names import MANAGER
from tts_operator.objects.problem import Problem
from tts_operator.observe.calendars import CalendarReading, on_dates
from tts_operator.plan.actions import Apply, Scale
from tts_operator.plan.plan import plan
from tts_operator.resolve.resolve import resolve
from tts_operator.resolve.resolved import Resolved
from tts_operator.settings import ExposureSettings, Settings
from tts_operator.snapshot.observed import Observed
from tts_server.config.schema import CONFIG_FILE

SETTINGS = Settings(server_image="registry.example/tts-server:1", allowed_hosts=("*.example", "*.store.svc"))
EXPOSED = replace(
    SETTINGS,
    exposure=ExposureSettings(
        gateways=("gateways/public/https", "team-acme/own"),
        ingress_classes=("nginx", "traefik"),
        ingress_annotations={"nginx.ingress.kubernetes.io/proxy-buffering": "off"},
        cluster_issuers=("letsencrypt",),
        hostnames=("{tenant}.{namespace}.speech.example", "*.voices.example"),
        proxies=(ip_network("10.4.0.0/16"),),
    ),
)
"""Settings of a platform with ways in from outside."""
NOON = datetime(2026, 11, 4, 12, 0, tzinfo=UTC)
"""A Wednesday."""
DAY = {"default": {"minReplicas": 3, "maxReplicas": 6}}


def observe(
    *models: str | Object,
    known: Iterable[TTSModel] | None = None,
    children: Iterable[Body] = (),
    pods: Sequence[Body] = (),
    before: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    keys: bool | KeyEntries | None = True,
    calendars: Iterable[TTSCalendar] = (),
    **spec: Any,
) -> Observed:
    """One reading. `known` are the TTSModels that exist: by default those that the tenant names. `calendars` are the
    TTSCalendars that exist.

    `keys`: whether the Secret with API keys exists, or its entries.
    """
    body = stored(tenant_body(*models, **spec))
    tenant = TTSTenant.model_validate(body)
    existing = {each.metadata.name: each for each in calendars}
    dates = {name: existing.get(name) for name in named_calendars(tenant.spec.schedule)}
    names = [entry.name for entry in tenant.spec.models]
    found = {each.metadata.name: each for each in ([model(name) for name in names] if known is None else known)}
    return Observed(
        key=KEY,
        body={**body, "status": dict(before)} if before else body,
        tenant=on_dates(tenant, CalendarReading(dates, {})),
        calendars=dates,
        models={**{name: found.get(name) for name in names}, **with_fallbacks(names, found)},
        children={ref_of(child): child for child in children},
        pods=pods,
        namespace_labels=labels or {},
        keys_secret_exists=None if keys is None else keys is not False,
        keys_secret_version="7" if keys else "",
        key_entries=keys if isinstance(keys, KeyEntries) else KeyEntries(usable=1 if keys else 0),
        internal_token="a-token",
    )


def exposed_by(observed: Observed, *add_ons: AddOn) -> Observed:
    """The reading of a cluster with these add-ons, by default with all."""
    return replace(observed, add_ons=frozenset(add_ons or AddOn))


NOT_SUPPORTED = Problem("NotSupportedYet", "spec.preventDeletion true: not supported yet; change or remove it")


def while_refused(accepted: Observed, refusal: Problem = NOT_SUPPORTED) -> Observed:
    """The reading of what was accepted last, while the stored spec is refused."""
    return replace(accepted, refusal=refusal)


def with_fallbacks(names: Iterable[str], known: Mapping[str, TTSModel]) -> dict[str, TTSModel | None]:
    """The models that the fallback chains of the named ones lead to."""
    reached: dict[str, TTSModel | None] = {}
    here = list(names)
    for _ in range(2):
        here = [name for each in here if (name := fallback_of(known.get(each))) is not None]
        reached |= {name: known.get(name) for name in here}
    return reached


def falls_back_to(name: str, **voices: str) -> Object:
    """`spec.fallback`; `voices` by language."""
    return {"modelRef": {"name": name}, "voices": [{"language": one, "voice": voice} for one, voice in voices.items()]}


def resolved(observed: Observed, now: datetime = NOON) -> Resolved:
    return resolve(observed, SETTINGS, now)


def built(found: Resolved) -> Desired | None:
    return build(found, pool_deployments(found))


def server_files(found: Desired) -> dict[str, str]:
    """The server.json of each pool, by the name of its ConfigMap."""
    maps = [each.body for each in found.manifests if each.ref.kind == "ConfigMap"]
    return {each["metadata"]["name"]: each["data"][CONFIG_FILE] for each in maps if CONFIG_FILE in each["data"]}


def changes(found: Resolved) -> dict[str, str]:
    """The shared changes that its pools would roll out."""
    return {pool: each.change for pool, each in pool_deployments(found).items() if each.change}


def desired(observed: Observed, now: datetime = NOON) -> Desired:
    found = built(resolved(observed, now))
    assert found is not None
    return found


def planned(observed: Observed, now: datetime = NOON) -> list[str]:
    """The plan as a person reads it in a log."""
    return [str(action) for action in plan(built(resolved(observed, now)), observed)]


def settle(observed: Observed, now: datetime = NOON, *, at: datetime | None = None) -> list[Object]:
    """The children after this reading's plan was carried out, with pods that answer."""
    children = {ref: copy.deepcopy(dict(child)) for ref, child in observed.children.items()}
    for action in plan(built(resolved(observed, now)), observed):
        match action:
            case Apply():
                kept = {name: children.get(action.ref, {}).get(name) for name in ("status",)}
                fresh = live(action.manifest, at=at or now)
                old = children.get(action.ref, {})
                if "replicas" in old.get("spec", {}):
                    fresh["spec"]["replicas"] = old["spec"]["replicas"]
                children[action.ref] = {**fresh, **{name: value for name, value in kept.items() if value}}
            case Scale():
                deployment = children[action.ref]
                deployment["spec"]["replicas"] = action.replicas
                deployment["metadata"]["generation"] += 1
            case _:
                children.pop(action.ref, None)
    for ref, child in children.items():
        if ref.kind == "Deployment":
            answering(child)
    return list(children.values())


def answering(deployment: Object, ready: int | None = None) -> Object:
    """The Deployment with so many ready pods; by default all of them."""
    replicas = deployment["spec"].setdefault("replicas", 1)
    ready = replicas if ready is None else ready
    deployment["status"] = {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": ready,
        "availableReplicas": ready,
    }
    return deployment


def live(manifest: Manifest, at: datetime = NOON, manager: str = MANAGER) -> Object:
    """An applied manifest as the API server would return it."""
    body = copy.deepcopy(dict(manifest.body))
    fields = {name: value for name, value in body.items() if name not in {"apiVersion", "kind", "metadata"}}
    fields["metadata"] = {name: value for name, value in body["metadata"].items() if name not in {"name", "namespace"}}
    body["metadata"] |= {
        "uid": f"uid-of-{manifest.ref}",
        "resourceVersion": "41",
        "generation": 1,
        "managedFields": [
            {"manager": manager, "operation": "Apply", "time": stamp(at), "fieldsV1": owned(fields, ())},
        ],
    }
    return body


def owned(value: Any, path: tuple[str, ...]) -> Object:
    """FieldsV1 of what an apply holds."""
    if isinstance(value, Mapping):
        return {f"f:{name}": owned(below, (*path, name)) for name, below in value.items()}
    if path in LIST_KEYS:
        keys = [{name: element.get(name) for name in LIST_KEYS[path]} for element in value]
        return {
            f"k:{json.dumps(key)}": {".": {}, **owned(element, path)} for key, element in zip(keys, value, strict=True)
        }
    return {}


def pod(
    pool_of: str = "espeak", name: str = "acme-espeak-1", annotations: Mapping[str, str] | None = None, **status: Any
) -> Object:
    return {
        "metadata": {
            "name": name,
            "namespace": KEY.namespace,
            "uid": f"uid-of-{name}",
            "labels": pool_labels(KEY.name, pool_of),
            "annotations": dict(annotations or {}),
        },
        "status": {"phase": "Running", **status},
    }


def started(seconds: int, at: datetime = NOON, restarts: int = 0) -> Object:
    """Status of a pod that became ready at an instant, so long after it was given a node."""
    times = {"PodScheduled": at - timedelta(seconds=seconds), "Ready": at}
    return {
        "conditions": [
            {"type": type_, "status": "True", "lastTransitionTime": stamp(time)} for type_, time in times.items()
        ],
        "containerStatuses": [{"name": "tts-server", "ready": True, "restartCount": restarts}],
    }


def unschedulable(since: datetime = NOON) -> Object:
    """Status of a pod that finds no node."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient cpu.",
        "lastTransitionTime": stamp(since),
    }
    return {"phase": "Pending", "conditions": [condition]}


def container(**state: Any) -> Object:
    """Status of a pod whose container is waiting, running or terminated; `last` is how it ended before."""
    last = state.pop("last", None)
    found: Object = {"name": "tts-server", "ready": False, "state": state}
    return {"containerStatuses": [found if last is None else {**found, "lastState": {"terminated": last}}]}


def child(children: Iterable[Object], kind: str, name: str) -> Object:
    return next(each for each in children if each["kind"] == kind and each["metadata"]["name"] == name)


def ref(kind: str, name: str) -> Ref:
    return Ref.of(next(each for each in KINDS if each.name == kind), KEY.namespace, name)


def stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
