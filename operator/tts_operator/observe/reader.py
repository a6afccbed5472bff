"""The first step of a reconcile: read everything that it decides from, once."""

import asyncio
import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tts_operator.api import AuthMode, TTSModel, TTSTenant
from tts_operator.api.base import field_path
from tts_operator.api.model import LONGEST_CHAIN, fallback_of
from tts_operator.cluster.client import Cluster, collect
from tts_operator.cluster.errors import Refused
from tts_operator.credentials.signing_keys import CURRENT, PEM, SigningKeys, due, generate
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body, Ref, ref_of
from tts_operator.objects.names import (
    API_VERSION,
    SIGNING_SINCE,
    TENANT_LABEL,
    internal_secret_name,
    signing_secret_name,
)
from tts_operator.objects.ownership import controlled_by
from tts_operator.snapshot.observed import CHILD_KINDS, Observed, keys_secret_of

LISTED_KINDS = tuple(kind for kind in CHILD_KINDS if kind[1] != "Secret")
"""Secrets are read by name: the permission to list them would be one to read everybody's."""

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


def new_token() -> str:
    """A credential that nobody can guess."""
    return secrets.token_urlsafe(32)


async def observe(cluster: Cluster, key: Key, token: Callable[[], str] = new_token) -> Observed:
    """One reading of everything about one tenant. Raises ClusterError."""
    body = await cluster.get(tenant_ref(key))
    if body is None or "deletionTimestamp" in body["metadata"]:
        return Observed(key=key, body=body, tenant=None)
    tenant, error = parse(TTSTenant, body)
    names = {model.name for model in tenant.spec.models} if tenant else set()
    internal_ref = Ref("v1", "Secret", key.namespace, internal_secret_name(key.name))
    labels = f"{TENANT_LABEL}={key.name}"
    signing_ref = Ref("v1", "Secret", key.namespace, signing_secret_name(key.name))
    models, listed, pods, namespace, internal, keys, signing = await together(
        models_and_fallbacks(cluster, names),
        _listed(cluster, key.namespace, labels),
        collect(cluster.list("v1", "Pod", key.namespace, labels)),
        cluster.get(Ref("v1", "Namespace", "", key.namespace)),
        cluster.get(internal_ref),
        _keys_secret(cluster, key.namespace, keys_secret_of(key, tenant)),
        cluster.get(signing_ref),  # also where no tokens are given: it may be left from before, and has to go
    )
    of_namespace = (namespace or {}).get("metadata") or {}
    children = {ref_of(child): child for child in listed}
    known, model_errors = models
    children |= {ref: secret for ref, secret in ((internal_ref, internal), (signing_ref, signing)) if secret}
    return Observed(
        key=key,
        body=body,
        tenant=tenant,
        tenant_error=error,
        models=known,
        model_errors=model_errors,
        children=children,
        pods=pods,
        namespace_labels=of_namespace.get("labels") or {},
        namespace_ends="deletionTimestamp" in of_namespace,
        keys_secret_exists=keys[0],
        keys_secret_version=keys[1],
        internal_token=stored_token(internal, str(body["metadata"]["uid"])) or token(),
        signing=stored_signing_keys(signing if gives_tokens(tenant) else None, str(body["metadata"]["uid"])),
    )


async def with_signing_key(observed: Observed, now: datetime) -> Observed:
    """The same, with a new key where one is due."""
    if not gives_tokens(observed.tenant) or (kid := due(observed.signing, now)) is None:
        return observed
    keys = {**observed.signing.keys, kid: await asyncio.to_thread(generate)}
    return replace(observed, signing=replace(observed.signing, keys=keys))


def gives_tokens(tenant: TTSTenant | None) -> bool:
    """Whether its callers get access tokens."""
    return tenant is not None and tenant.spec.auth is not None and AuthMode.JWT in tenant.spec.auth.modes


def tenant_ref(key: Key) -> Ref:
    """Where the tenant is."""
    return Ref(API_VERSION, "TTSTenant", key.namespace, key.name)


def model_ref(name: str) -> Ref:
    """Where the model is."""
    return Ref(API_VERSION, "TTSModel", "", name)


def parse(kind: type[M], body: Body) -> tuple[M | None, str | None]:
    """The object, or one line about why the stored one cannot be read (an older or a newer schema let it in)."""
    try:
        return kind.model_validate(body), None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return None, f"{field_path(first['loc'])}: {first['msg'].removeprefix('Value error, ')}"


def stored_token(secret: Body | None, uid: str) -> str:
    """The credential in the tenant's own Secret; empty if there is none to read."""
    if secret is None or not controlled_by(secret, uid):
        return ""
    try:
        return base64.b64decode((secret.get("data") or {}).get("token", ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def stored_signing_keys(secret: Body | None, uid: str) -> SigningKeys:
    """What the tenant's own Secret holds; entries that are no text are not there."""
    if secret is None or not controlled_by(secret, uid):
        return SigningKeys()
    entries = {name: _text(value) for name, value in (secret.get("data") or {}).items()}
    keys = {name.removesuffix(PEM): text for name, text in entries.items() if name.endswith(PEM) and text}
    noted = (secret["metadata"].get("annotations") or {}).get(SIGNING_SINCE, "")
    try:
        since = datetime.fromisoformat(noted) if noted else None
    except ValueError:
        since = None
    return SigningKeys(keys, entries.get(CURRENT, ""), since if since and since.tzinfo else None)


def _text(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""


async def together(*reads: Awaitable[Any]) -> list[Any]:
    """Several reads at once. If one fails the others still end before it is raised: none is left behind."""
    results = await asyncio.gather(*reads, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


async def models_and_fallbacks(
    cluster: Cluster, names: Iterable[str]
) -> tuple[dict[str, TTSModel | None], dict[str, str]]:
    """These models and those that their chains lead to; and of each that does not parse, why. Raises ClusterError."""
    models: dict[str, TTSModel | None] = {}
    errors: dict[str, str] = {}
    wanted = sorted(names)
    for _ in range(LONGEST_CHAIN):
        bodies = await together(*(cluster.get(model_ref(name)) for name in wanted))
        for name, body in zip(wanted, bodies, strict=True):
            models[name], error = (None, None) if body is None else parse(TTSModel, body)
            if error:
                errors[name] = error
        following = {fallback_of(models[name]) for name in wanted}
        wanted = sorted(name for name in following if name is not None and name not in models)
    return models, errors


async def _listed(cluster: Cluster, namespace: str, labels: str) -> list[Body]:
    lists = await together(*(collect(cluster.list(*kind, namespace, labels)) for kind in LISTED_KINDS))
    return [child for children in lists for child in children]


async def _keys_secret(cluster: Cluster, namespace: str, name: str) -> tuple[bool | None, str]:
    """Whether it exists, and its version; never what is in it."""
    try:
        found = await cluster.get(Ref("v1", "Secret", namespace, name), metadata_only=True)
    except Refused:
        return None, ""  # the operator may not look: the pods mount it all the same
    return (False, "") if found is None else (True, str(found["metadata"]["resourceVersion"]))
