"""Snapshot of the cluster for one tenant: everything that a reconcile decides from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tts_operator.api import TTSCalendar, TTSModel, TTSTenant
from tts_operator.credentials.api_keys import KeyEntries
from tts_operator.credentials.model_sources import SourceCredentials
from tts_operator.credentials.shared_stores import StoreCredentials
from tts_operator.credentials.signing_keys import SigningKeys
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import AddOn
from tts_operator.objects.manifest import Body, Ref
from tts_operator.objects.names import keys_secret_name
from tts_operator.objects.problem import Problem
from tts_operator.snapshot.waker import Waker

Children = Mapping[Ref, Body]
"""Live objects of the child kinds, whole, by reference."""


@dataclass(frozen=True)
class Observed:
    """Everything read about one tenant."""

    key: Key
    body: Body | None
    """The stored TTSTenant; None once it is gone."""
    tenant: TTSTenant | None
    """`body`, parsed, with the dates of `calendars` in its schedule; None where it is gone or does not parse. While
    `refusal` is set: with the last accepted spec."""
    refusal: Problem | None = None
    """Why the stored spec is refused, where `tenant` has the last accepted one instead."""
    tenant_error: str | None = None
    """Why the stored object does not parse, in one line."""
    models: Mapping[str, TTSModel | None] = field(default_factory=dict)
    """Models that spec.models names and those in fallback chains; None where one is missing or does not parse."""
    model_errors: Mapping[str, str] = field(default_factory=dict)
    """Why an existing model does not parse, in one line, by name."""
    calendars: Mapping[str, TTSCalendar | None] = field(default_factory=dict)
    """Calendars that the schedule refers to; None where one is missing or does not parse."""
    calendar_errors: Mapping[str, str] = field(default_factory=dict)
    """Why an existing calendar does not parse, in one line, by name."""
    published: Sequence[TTSModel] = ()
    """Every TTSModel, read only while one that spec.models names does not exist."""
    children: Children = field(default_factory=dict)
    """Objects of the child kinds with the tenant's label, and foreign objects that have the name of a child."""
    foreign_autoscalers: Sequence[Body] = ()
    """HPAs of the namespace that are not the operator's."""
    remaining: Children = field(default_factory=dict)
    """Children that are left of a tenant that is gone or being deleted: their metadata only."""
    pods: Sequence[Body] = ()
    """Pods with the tenant's label."""
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    namespace_terminating: bool = False
    """The namespace is being deleted, with everything in it."""
    keys_secret_exists: bool | None = None
    """Whether the Secret with the API keys exists; None where the operator may not read it."""
    keys_secret_version: str = ""
    """resourceVersion of the Secret with the API keys. When it changes, running pods read their keys again."""
    key_entries: KeyEntries = field(default_factory=KeyEntries)
    """Names of the entries of that Secret, by whether they are usable."""
    secret_versions: Mapping[Ref, str] = field(default_factory=dict)
    """resourceVersion of every Secret that was read and exists, by reference."""
    internal_token: str = ""
    """Credential between the tenant's pools: the stored one, else a new random one."""
    signing: SigningKeys = field(default_factory=SigningKeys)
    """Stored signing keys, with a new one where rotation is due; empty without JWT."""
    stores: StoreCredentials = field(default_factory=StoreCredentials)
    """Credentials for the tenant's Redis and object store."""
    waker: Waker | None = None
    """The waker's part in the tenant; None without a waker, or where the schedule has no zero."""
    add_ons: frozenset[AddOn] = frozenset()
    """Add-ons that the platform team has enabled, and that the cluster has."""
    source_credentials: Mapping[str, SourceCredentials] = field(default_factory=dict)
    """Credentials for the files of each model that are in an object store, by model."""

    @property
    def uid(self) -> str:
        """UID of the tenant; a later tenant of the same name has another one."""
        return str(self.metadata.get("uid", ""))

    @property
    def generation(self) -> int:
        """metadata.generation of the spec that was read."""
        return int(self.metadata.get("generation", 0))

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The tenant's metadata; empty once it is gone."""
        return self.body.get("metadata", {}) if self.body else {}

    @property
    def status(self) -> Mapping[str, Any]:
        """The status as last reported."""
        return (self.body.get("status") or {}) if self.body else {}

    @property
    def deleting(self) -> bool:
        """Whether the tenant is gone or being deleted: no object may be created for it any more."""
        return self.body is None or "deletionTimestamp" in self.metadata or self.namespace_terminating

    @property
    def keys_secret(self) -> str:
        """Name of the Secret with the API keys."""
        return keys_secret_of(self.key, self.tenant)


def keys_secret_of(key: Key, tenant: TTSTenant | None) -> str:
    """Name of the Secret with a tenant's API keys: spec.auth.apiKeysSecretRef, else the default name."""
    reference = tenant.spec.auth.api_keys_secret_ref if tenant and tenant.spec.auth else None
    return reference.name if reference else keys_secret_name(key.name)
