"""Reads what pods need to fetch models' files from object stores: the stores' keys, and the Secrets with URLs."""

from collections.abc import Iterable, Mapping

from tts_operator.api import TTSModel
from tts_operator.cluster.errors import Refused
from tts_operator.credentials.model_sources import SourceCredentials, forbidden, source_credentials
from tts_operator.credentials.shared_stores import ACCESS_KEY, SECRET_KEY
from tts_operator.objects.kinds import SECRET
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.names import SOURCE_VOLUME, source_secret_name
from tts_operator.observe.secret_entries import entry
from tts_operator.observe.secret_reader import SecretReader
from tts_operator.observe.sources import together
from tts_operator.snapshot.observed import Observed


async def read_source_credentials(
    secrets: SecretReader, models: Mapping[str, TTSModel | None], namespace: str
) -> dict[str, SourceCredentials]:
    """The credentials of each model whose files are in an object store, by model. Raises ClusterError."""
    stored = {name: model for name, model in models.items() if model and model.spec.source and model.spec.source.s3}
    read = await together(*(_credentials(secrets, model, namespace) for model in stored.values()))
    return dict(zip(stored, read, strict=True))


async def _credentials(secrets: SecretReader, model: TTSModel, namespace: str) -> SourceCredentials:
    source = model.spec.source
    assert source is not None and source.s3 is not None  # noqa: S101, PT018 - the caller selects them
    try:
        secret = await secrets.get(Ref.of(SECRET, namespace, source.s3.secret_ref.name))
    except Refused as error:
        return forbidden(model, namespace, error.message)
    entries = secret and {name: entry(secret, name) for name in (ACCESS_KEY, SECRET_KEY)}
    return source_credentials(model, namespace, entries)


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
