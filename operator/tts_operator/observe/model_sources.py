"""Reads what pods need to fetch models' files from object stores: the stores' keys, and the Secrets with URLs."""

from collections.abc import Iterable, Mapping

from tts_operator.api import TTSModel
from tts_operator.cluster.errors import Refused
from tts_operator.credentials.model_sources import (
    Secret,
    SourceCredentials,
    forbidden,
    secret_text,
    source_credentials,
    stores,
)
from tts_operator.credentials.shared_stores import ACCESS_KEY, SECRET_KEY
from tts_operator.objects.kinds import SECRET
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.names import SOURCE_VOLUME, source_secret_name
from tts_operator.objects.problem import Problem
from tts_operator.observe.secret_entries import entry
from tts_operator.observe.secret_reader import SecretReader
from tts_operator.observe.sources import together
from tts_operator.snapshot.observed import Observed


async def read_source_credentials(
    secrets: SecretReader, models: Mapping[str, TTSModel | None], namespace: str
) -> dict[str, SourceCredentials]:
    """The credentials of each model with files in an object store, by model. Raises ClusterError."""
    stored = {name: model for name, model in models.items() if model is not None and stores(model)}
    read = await together(*(_credentials(secrets, model, namespace) for model in stored.values()))
    return dict(zip(stored, read, strict=True))


async def _credentials(secrets: SecretReader, model: TTSModel, namespace: str) -> SourceCredentials:
    adapters = list(stores(model))
    entries = await together(*(_entries(secrets, model, namespace, adapter) for adapter in adapters))
    return source_credentials(model, namespace, dict(zip(adapters, entries, strict=True)))


async def _entries(secrets: SecretReader, model: TTSModel, namespace: str, adapter: str) -> Secret | Problem | None:
    """Entries of the Secret for one store; None if it does not exist, a problem if it may not be read."""
    try:
        secret = await secrets.get(Ref.of(SECRET, namespace, stores(model)[adapter].secret_ref.name))
    except Refused as error:
        return forbidden(secret_text(model, namespace, adapter), error.message)
    return None if secret is None else {name: entry(secret, name) for name in (ACCESS_KEY, SECRET_KEY)}


async def read_source_secrets(secrets: SecretReader, observed: Observed, *, unmounted: bool) -> dict[Ref, Body]:
    """The tenant's Secrets with presigned URLs: those of its models, and those that its pods mount.

    A model whose files were in a store before may have one that is to be deleted. `unmounted`: so may any other model.
    """
    models = (name for name, model in observed.models.items() if unmounted or (model and model.spec.source))
    names = {source_secret_name(observed.key.name, model) for model in models}
    names.update(mounted_source_secrets((*observed.children.values(), *observed.pods)))
    refs = [Ref.of(SECRET, observed.key.namespace, name) for name in sorted(names)]
    found = zip(refs, await together(*(secrets.get(ref) for ref in refs)), strict=True)
    return {ref: body for ref, body in found if body is not None}


def mounted_source_secrets(bodies: Iterable[Body]) -> Iterable[str]:
    """Names of Secrets with URLs that Deployments and pods mount; other objects mount none."""
    for body in bodies:
        spec = body.get("spec") or {}
        pod = (spec.get("template") or {}).get("spec") or spec
        for volume in pod.get("volumes") or ():
            if volume.get("name") == SOURCE_VOLUME and "secret" in volume:
                yield volume["secret"]["secretName"]
