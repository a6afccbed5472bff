"""Reads the ResourceClaimTemplates of a tenant's pools by name: a cluster may have no such kind to list."""

from collections.abc import Iterator, Mapping

from tts_operator.api import TTSModel
from tts_operator.cluster.client import Cluster
from tts_operator.cluster.errors import Refused
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import DEPLOYMENT, RESOURCE_CLAIM_TEMPLATE
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.names import pool_name
from tts_operator.observe.sources import together


async def read_claim_templates(
    cluster: Cluster, key: Key, models: Mapping[str, TTSModel | None], children: Mapping[Ref, Body]
) -> dict[Ref, Body]:
    """Read those that pods refer to now, and those that models ask for. Raises ClusterError.

    One that the operator may not read counts as missing: the write that follows reports why.
    """
    refs = sorted({Ref.of(RESOURCE_CLAIM_TEMPLATE, key.namespace, name) for name in _names(key, models, children)})
    found = await together(*(_read(cluster, ref) for ref in refs))
    return {ref: live for ref, live in zip(refs, found, strict=True) if live is not None}


def _names(key: Key, models: Mapping[str, TTSModel | None], children: Mapping[Ref, Body]) -> Iterator[str]:
    for name, model in models.items():
        if model is not None and model.spec.accelerator is not None and model.spec.accelerator.device_class_name:
            yield pool_name(key.name, name)
    for ref, live in children.items():
        if ref.kind == DEPLOYMENT.name and live["spec"]["template"]["spec"].get("resourceClaims"):
            yield ref.name


async def _read(cluster: Cluster, ref: Ref) -> Body | None:
    try:
        return await cluster.get(ref)
    except Refused:
        return None
