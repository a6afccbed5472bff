"""Credentials of the object stores with models' files. They stay with the operator: pods get presigned URLs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tts_operator.api import TTSModel
from tts_operator.api.model import external_sources
from tts_operator.api.source import S3Source
from tts_operator.credentials.presigned_url import S3Keys
from tts_operator.credentials.shared_stores import ACCESS_KEY, SECRET_KEY
from tts_operator.objects.problem import Problem

Secret = Mapping[str, str | None]
"""Entries of a Secret, as far as they are text."""


@dataclass(frozen=True)
class SourceCredentials:
    """Credentials of the object stores with the files of one model and of its adapters."""

    keys: Mapping[str, S3Keys] = field(default_factory=dict)
    """By the adapter whose files are in the store; an empty name is the model. Empty if one of them is missing."""
    problem: Problem | None = None
    """Why there are no keys."""


def stores(model: TTSModel) -> dict[str, S3Source]:
    """Object stores with the files of the model and of its adapters, by the name of the adapter or an empty one."""
    return {name: source.s3 for name, source in external_sources(model).items() if source.s3 is not None}


def source_credentials(
    model: TTSModel, namespace: str, secrets: Mapping[str, Secret | Problem | None]
) -> SourceCredentials:
    """The keys in the Secrets of the model's stores, by adapter; None stands for one that does not exist.

    `namespace` is that of the operator.
    """
    found = {name: _keys(secret_text(model, namespace, name), secrets[name]) for name in stores(model)}
    problems = [keys for keys in found.values() if isinstance(keys, Problem)]
    if problems:
        return SourceCredentials(problem=problems[0])
    return SourceCredentials({name: keys for name, keys in found.items() if isinstance(keys, S3Keys)})


def _keys(secret: str, entries: Secret | Problem | None) -> S3Keys | Problem:
    if isinstance(entries, Problem):
        return entries
    if entries is None:
        return Problem("SourceSecretNotFound", f"{secret} does not exist; {ADVICE}")
    found = {name: (entries.get(name) or "").strip() for name in (ACCESS_KEY, SECRET_KEY)}
    if absent := [name for name, text in found.items() if not text]:
        missing = " and no ".join(f"`{name}`" for name in absent)
        return Problem("SourceSecretInvalid", f"{secret} has no key {missing}; {ADVICE}")
    return S3Keys(found[ACCESS_KEY], found[SECRET_KEY])


def forbidden(secret: str, why: str) -> Problem:
    """The operator may not read the Secret."""
    return Problem("SourceSecretForbidden", f"the operator may not read {secret}: {why}")


def secret_text(model: TTSModel, namespace: str, adapter: str) -> str:
    """The Secret of a store, as messages name it."""
    field_path = f"spec.adapters[{adapter}].source" if adapter else "spec.source"
    secret = stores(model)[adapter].secret_ref.name
    return f"TTSModel {model.metadata.name}: Secret {namespace}/{secret}, named by {field_path}.s3.secretRef,"


ADVICE = (
    f"it must contain `{ACCESS_KEY}` and `{SECRET_KEY}` of an account that may read the bucket: ask the platform team"
)
