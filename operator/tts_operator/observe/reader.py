"""First step of a reconcile: reads everything that it decides from, once."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from tts_operator.api import AuthMode, TTSTenant
from tts_operator.calendar.dates import named_calendars
from tts_operator.cluster.errors import Refused
from tts_operator.credentials.api_keys import KeyEntries
from tts_operator.credentials.signing_keys import SigningKeys, due, generate
from tts_operator.informer.reader import Reader
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CHILDREN, NAMESPACE, POD, SECRET, TENANT
from tts_operator.objects.manifest import Body, Ref, ref_of
from tts_operator.objects.names import (
    internal_secret_name,
    redis_secret_name,
    s3_secret_name,
    signing_secret_name,
)
from tts_operator.objects.problem import Problem
from tts_operator.observe.calendars import on_dates, read_calendars
from tts_operator.observe.claim_templates import read_claim_templates
from tts_operator.observe.model_sources import read_source_credentials, read_source_secrets
from tts_operator.observe.models import parse, read_models, read_published
from tts_operator.observe.secret_entries import stored_key_entries, stored_signing_keys, stored_token
from tts_operator.observe.secret_reader import SecretReader
from tts_operator.observe.sources import Sources, together
from tts_operator.observe.store_credentials import read_stores
from tts_operator.snapshot.accepted import accepted_tenant
from tts_operator.snapshot.observed import Observed, keys_secret_of


async def observe(sources: Sources, key: Key, now: datetime, *, unmounted: bool = False) -> Observed:
    """Read everything about one tenant. Raises ClusterError. `unmounted` is that of `read_stores`."""
    body = await sources.objects.get(tenant_ref(key))
    if body is None or "deletionTimestamp" in body["metadata"]:
        return Observed(key=key, body=body, tenant=None, remaining=await _remaining(sources, key))
    parsed = parse(TTSTenant, body)
    observed = await _read_objects(sources, key, body, parsed.value)
    return await _with_stores(sources, replace(observed, tenant_error=parsed.error), now, unmounted=unmounted)


async def observe_accepted(
    sources: Sources, refused: Observed, refusal: Problem, now: datetime, *, unmounted: bool = False
) -> Observed | None:
    """Read again what the last accepted spec names, which applies while this one is refused. None without one.

    Raises ClusterError.
    """
    tenant = accepted_tenant(refused.body) if refused.body else None
    if refused.body is None or tenant is None:
        return None
    observed = await _read_objects(sources, refused.key, refused.body, tenant)
    return await _with_stores(sources, replace(observed, refusal=refusal), now, unmounted=unmounted)


async def _with_stores(sources: Sources, observed: Observed, now: datetime, *, unmounted: bool) -> Observed:
    """Add what concerns the tenant's stores and its signing keys."""
    if observed.tenant is None or observed.deleting:
        return observed
    stores = await read_stores(sources, observed, observed.tenant, unmounted=unmounted)
    credentials = await read_source_credentials(sources.secrets, observed.models, sources.settings.namespace)
    urls = await read_source_secrets(sources.secrets, observed, unmounted=unmounted)
    return replace(
        observed,
        source_credentials=credentials,
        children={**observed.children, **stores.secrets, **urls},
        stores=stores.credentials,
        secret_versions=dict(sources.secrets.versions),
        signing=await _with_new_key(observed.signing, now) if issues_tokens(observed.tenant) else observed.signing,
    )


async def _read_objects(sources: Sources, key: Key, body: Body, tenant: TTSTenant | None) -> Observed:
    """Read the tenant's models, calendars, children, pods and namespace concurrently."""
    secrets, objects, uid = sources.secrets, sources.objects, str(body["metadata"]["uid"])
    names = {model.name for model in tenant.spec.models} if tenant else set()
    internal_ref = Ref.of(SECRET, key.namespace, internal_secret_name(key.name))
    signing_ref = Ref.of(SECRET, key.namespace, signing_secret_name(key.name))
    schedule = tenant.spec.schedule if tenant else None
    models, calendars, children, autoscalers, pods, namespace, internal, signing, keys = await together(
        read_models(objects, names),
        read_calendars(objects, named_calendars(schedule)),
        _labelled_children(objects, key),
        objects.foreign_autoscalers(key.namespace),
        objects.of_tenant(POD, key),
        objects.get(Ref.of(NAMESPACE, "", key.namespace)),
        secrets.get(internal_ref),
        secrets.get(signing_ref),  # even without JWT: one of an earlier spec is to be deleted
        _keys_secret(secrets, Ref.of(SECRET, key.namespace, keys_secret_of(key, tenant))),
    )
    found = {ref: secret for ref, secret in ((internal_ref, internal), (signing_ref, signing)) if secret}
    templates = await read_claim_templates(sources.cluster, key, models.models, children)
    namespace_metadata = (namespace or {}).get("metadata") or {}
    return Observed(
        key=key,
        body=body,
        tenant=on_dates(tenant, calendars) if tenant else None,
        calendars=calendars.calendars,
        calendar_errors=calendars.errors,
        models=models.models,
        model_errors=models.errors,
        published=await read_published(objects, names, models),
        children={**children, **found, **templates},
        foreign_autoscalers=autoscalers,
        pods=pods,
        namespace_labels=namespace_metadata.get("labels") or {},
        namespace_terminating="deletionTimestamp" in namespace_metadata,
        keys_secret_exists=keys.exists,
        keys_secret_version=keys.version,
        key_entries=keys.entries,
        secret_versions=dict(secrets.versions),
        internal_token=stored_token(internal, uid) or sources.token(),
        add_ons=objects.add_ons.installed,
        signing=stored_signing_keys(signing if issues_tokens(tenant) else None, uid),
    )


async def _labelled_children(objects: Reader, key: Key, *, metadata_only: bool = False) -> dict[Ref, Body]:
    kinds = [kind for kind in CHILDREN if kind.listed]
    lists = await together(*(objects.of_tenant(kind, key, metadata_only=metadata_only) for kind in kinds))
    return {ref_of(child): child for children in lists for child in children}


async def _remaining(sources: Sources, key: Key) -> dict[Ref, Body]:
    """Read the metadata of children whose tenant is gone or being deleted."""
    names = (internal_secret_name, signing_secret_name, redis_secret_name, s3_secret_name)
    refs = [Ref.of(SECRET, key.namespace, name(key.name)) for name in names]
    children: dict[Ref, Body]
    children, *secrets = await together(
        _labelled_children(sources.objects, key, metadata_only=True),
        *(sources.secrets.get(ref, metadata_only=True) for ref in refs),
    )
    return children | {ref: secret for ref, secret in zip(refs, secrets, strict=True) if secret is not None}


class _KeysSecret(NamedTuple):
    exists: bool | None
    version: str = ""
    entries: KeyEntries = KeyEntries()


async def _keys_secret(secrets: SecretReader, ref: Ref) -> _KeysSecret:
    """Read the Secret with API keys. Of its entries only the names are kept."""
    try:
        live = await secrets.get(ref)
    except Refused:
        return _KeysSecret(None)  # forbidden to the operator: the pods mount it all the same
    if live is None:
        return _KeysSecret(False)
    return _KeysSecret(True, str(live["metadata"]["resourceVersion"]), stored_key_entries(live))


async def _with_new_key(stored: SigningKeys, now: datetime) -> SigningKeys:
    """Add a new key if rotation is due."""
    kid = due(stored, now)
    return stored if kid is None else replace(stored, keys={**stored.keys, kid: await asyncio.to_thread(generate)})


def issues_tokens(tenant: TTSTenant | None) -> bool:
    """Whether the tenant's callers can get access tokens."""
    return tenant is not None and tenant.spec.auth is not None and AuthMode.JWT in tenant.spec.auth.modes


def tenant_ref(key: Key) -> Ref:
    """Reference to a tenant."""
    return Ref.of(TENANT, key.namespace, key.name)
