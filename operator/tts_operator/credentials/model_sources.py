"""Credentials of the object stores with models' files. They stay with the operator: pods get presigned URLs."""

from collections.abc import Mapping
from dataclasses import dataclass

from tts_operator.api import TTSModel
from tts_operator.credentials.presigned_url import S3Keys
from tts_operator.credentials.shared_stores import ACCESS_KEY, SECRET_KEY
from tts_operator.objects.problem import Problem


@dataclass(frozen=True)
class SourceCredentials:
    """The Secret that `spec.source.s3.secretRef` of one model names."""

    keys: S3Keys | None = None
    problem: Problem | None = None
    """Why there are no keys."""


def source_credentials(model: TTSModel, namespace: str, entries: Mapping[str, str | None] | None) -> SourceCredentials:
    """The keys in a Secret with these entries, for a model with an S3 source; `entries` is None if it does not exist.

    `namespace` is that of the operator.
    """
    secret = secret_text(model, namespace)
    if entries is None:
        return SourceCredentials(problem=Problem("SourceSecretNotFound", f"{secret} does not exist; {ADVICE}"))
    found = {name: (entries.get(name) or "").strip() for name in (ACCESS_KEY, SECRET_KEY)}
    if absent := [name for name, text in found.items() if not text]:
        missing = " and no ".join(f"`{name}`" for name in absent)
        return SourceCredentials(problem=Problem("SourceSecretInvalid", f"{secret} has no key {missing}; {ADVICE}"))
    return SourceCredentials(S3Keys(found[ACCESS_KEY], found[SECRET_KEY]))


def forbidden(model: TTSModel, namespace: str, why: str) -> SourceCredentials:
    """The operator may not read the Secret."""
    message = f"the operator may not read {secret_text(model, namespace)}: {why}"
    return SourceCredentials(problem=Problem("SourceSecretForbidden", message))


def secret_text(model: TTSModel, namespace: str) -> str:
    """The Secret, as messages name it."""
    name = model.spec.source.s3.secret_ref.name if model.spec.source and model.spec.source.s3 else ""
    return f"TTSModel {model.metadata.name}: Secret {namespace}/{name}, named by spec.source.s3.secretRef,"


ADVICE = (
    f"it must contain `{ACCESS_KEY}` and `{SECRET_KEY}` of an account that may read the bucket: ask the platform team"
)
