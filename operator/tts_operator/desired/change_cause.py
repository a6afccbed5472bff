"""Sources of a pod template, and whether a change of them is throttled with those of other tenants."""

import json
from dataclasses import dataclass
from typing import Any

from tts_operator.api import TTSModel
from tts_operator.objects import fields
from tts_operator.objects.diff import template_differs
from tts_operator.objects.fields import annotation
from tts_operator.objects.labels import ROLLOUT, SOURCES
from tts_operator.objects.manifest import Manifest
from tts_operator.pod_files.serialize import digest
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.rollout.canary import Canary
from tts_operator.rollout.policy import Sources, change_cause
from tts_operator.snapshot import lookup

TENANT_FIELDS = {"models", "scenario", "auth", "storage", "redis"}
"""Fields of a tenant's spec that pod templates depend on.

A field too many lets changes roll out at once that could be throttled; a field too few throttles the tenant's own.
"""
RELOADED_MODEL_FIELDS = {
    "voices",
    "languages",
    "fallback",
    "first_audio_timeout_seconds",
    "allowed_namespaces",
    "pool",
    "batching",
    "rollout",
}
"""Fields of a model that no pod template depends on, because servers reload them."""


def sources(resolved: Resolved, pool: Pool) -> Sources:
    """Digests of the three parts. They omit defaults, because a new version of the operator may change those."""
    model, _ = pool.served
    tenant = {}
    if resolved.tenant is not None:
        tenant = resolved.tenant.spec.model_dump(mode="json", include=TENANT_FIELDS, exclude_defaults=True)
    return Sources(
        tenant=short(tenant),
        model=model_digest(model),
        operator=short_digest(resolved.settings.of_pods),
    )


def model_digest(model: TTSModel) -> str:
    """Digest of the fields of a model that pod templates depend on."""
    revision = {"persistent_volume_claim": {"revision"}}
    reloaded: dict[str, Any] = {
        **dict.fromkeys(RELOADED_MODEL_FIELDS, True),
        "source": revision,
        "adapters": {"__all__": {"source": revision}},
    }
    content = model.spec.model_dump(mode="json", exclude=reloaded, exclude_defaults=True)
    if adapted := {voice.name: [voice.adapter, voice.base_voice] for voice in model.spec.voices if voice.adapter}:
        content["voices"] = adapted
    return short(content)


def short(part: Any) -> str:
    """Digest of JSON data, independent of the order of keys."""
    return short_digest(json.dumps(part, sort_keys=True, default=str))


def short_digest(text: str) -> str:
    """Digest of a text, short enough for three of them in an annotation."""
    return digest(text)[:10]


@dataclass(frozen=True)
class PoolDeployment:
    """Deployment of one pool, and the shared change that it would roll out."""

    manifest: Manifest
    change: str
    """Change as in the ROLLOUT annotation, which the rollout limiter must admit; empty if it is not limited."""
    canary: Canary | None = None
    """The model's change in it, if some tenants take that first."""


def with_change_cause(resolved: Resolved, pool: Pool, manifest: Manifest) -> PoolDeployment:
    """Annotate a Deployment with its sources and its change.

    A new pool and one at zero replicas are not limited: none of their pods is replaced.
    """
    found = lookup.deployment(resolved.observed, pool.name)
    after = sources(resolved, pool)
    change, name = "", ""
    canary: Canary | None = None
    if found is not None:
        if not template_differs(manifest.body, found):
            name = annotation(found, ROLLOUT)
        elif fields.replicas(found) > 0:
            before = Sources.read(found)
            change = name = change_cause(before, after, pool.model_name)
            canary = (
                canary_of(pool.served[0], after.model) if change and before and before.model != after.model else None
            )
    metadata = manifest.body["metadata"]
    notes = {SOURCES: str(after)} | ({ROLLOUT: name} if name else {})
    annotated = Manifest.of({**manifest.body, "metadata": {**metadata, "annotations": notes}})
    return PoolDeployment(annotated, change, canary)


def canary_of(model: TTSModel, digest: str) -> Canary | None:
    """The change to the model of this digest, if some tenants take it first."""
    rollout = model.spec.rollout
    if rollout is None or rollout.canary_percent is None:
        return None
    return Canary(model.metadata.name, digest, rollout.canary_percent, rollout.soak_seconds)
