"""The Secret with the hashes of a tenant's API keys: lists, adds and removes entries with the reader's rights.

docs/decisions/0035-keygen-writes-the-secret.md says why this is not left to `kubectl apply`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tts_operator.cli.api_keys import APIKey, entry, secret_manifest
from tts_operator.credentials.api_keys import KeyEntries, key_entries
from tts_operator.fleet.kubectl import FIELD_MANAGER, TENANTS, Kubectl, KubectlError
from tts_operator.objects.names import keys_secret_name
from tts_server.config.api_keys import shown_name

ATTEMPTS = 5
"""Writes that are tried while others change the same Secret."""
Body = Mapping[str, Any]


class KeysError(KubectlError):
    """Reason why keys could not be listed or changed: a sentence that says what to change."""


@dataclass(frozen=True, slots=True)
class KeysSecret:
    """Secret that holds the hashes of a tenant's API keys."""

    tenant: str
    name: str
    namespace: str


def secret_of_tenant(kubectl: Kubectl, tenant: str, namespace: str | None) -> KeysSecret:
    """Secret with the keys of this tenant. Raises KeysError without such a tenant, or if it takes no keys."""
    found = kubectl.object(TENANTS, tenant)
    if found is None:
        where = f"namespace {namespace}" if namespace else "the current namespace"
        raise KeysError(
            f"there is no TTSTenant {tenant} in {where}; apply it first, or print a Secret for later with -o yaml"
        )
    return _secret_of(found)


def secret_of_name(kubectl: Kubectl, name: str, namespace: str | None) -> KeysSecret:
    """Secret of this name, if a tenant of the namespace reads its keys from it. Raises KeysError otherwise."""
    for tenant in kubectl.tenants():
        if _secret_name(tenant) == name:
            return _secret_of(tenant)
    where = f"namespace {namespace}" if namespace else "the current namespace"
    raise KeysError(
        f"no TTSTenant in {where} reads the Secret {name}; name it in spec.auth.apiKeysSecretRef of a tenant, or use"
        " --tenant in place of --secret"
    )


def entries_of(kubectl: Kubectl, secret: KeysSecret) -> tuple[list[str], KeyEntries]:
    """Names of the usable entries, and how many entries of each sort there are. No value is kept."""
    live = kubectl.object("secret", secret.name)
    data = {name: _decoded(str(value)) for name, value in ((live or {}).get("data") or {}).items()}
    sorts = key_entries(data)
    usable = [name for name in sorted(data) if key_entries({name: data[name]}).usable]
    return [shown_name(name, position) for position, name in enumerate(usable, 1)], sorts


def add_key(kubectl: Kubectl, secret: KeysSecret, key: APIKey) -> None:
    """Add the entry, and change no other one. Raises KeysError, also if the Secret has a key of this name."""

    def change(live: Body | None) -> None:
        if live is None:
            manifest = secret_manifest(key, secret.name, secret.namespace)
            kubectl.run("create", f"--field-manager={FIELD_MANAGER}", "--filename=-", stdin=manifest)
            return
        if key.name in (live.get("data") or {}):
            raise KeysError(
                f"the Secret {secret.name} has a key named {key.name} already; choose another --name, or revoke that"
                f" key first: {revoke_command(secret, key.name)}"
            )
        _patch(kubectl, live, {key.name: entry(key)})

    _repeated(kubectl, secret, change)


def remove_key(kubectl: Kubectl, secret: KeysSecret, name: str) -> int:
    """Remove the entry, and change no other one. Returns how many are left. Raises KeysError if there is none."""
    left = 0

    def change(live: Body | None) -> None:
        nonlocal left
        names = sorted((live or {}).get("data") or {})
        if live is None or name not in names:
            there_are = f"its keys are {', '.join(names)}" if names else "it has no key"
            raise KeysError(f"the Secret {secret.name} has no key named {name}; {there_are}")
        _patch(kubectl, live, {name: None})
        left = len(names) - 1

    _repeated(kubectl, secret, change)
    return left


def revoke_command(secret: KeysSecret, name: str) -> str:
    """Command that removes one key and leaves the others."""
    patch = json.dumps([{"op": "remove", "path": f"/data/{name}"}])
    return f"kubectl -n {secret.namespace} patch secret {secret.name} --type=json -p '{patch}'"


def _repeated(kubectl: Kubectl, secret: KeysSecret, change: Callable[[Body | None], None]) -> None:
    """Read the Secret and change it, again while others change it between the two."""
    for _ in range(ATTEMPTS):
        try:
            change(kubectl.object("secret", secret.name))
        except KubectlError as error:
            # "the object has been modified", or made meanwhile: somebody else has changed it.
            if "(Conflict)" in str(error) or "(AlreadyExists)" in str(error):
                continue
            raise
        return
    raise KeysError(f"others keep changing the Secret {secret.name}; try again")


def _patch(kubectl: Kubectl, live: Body, data: Mapping[str, str | None]) -> None:
    # With the version that was read, the API server refuses the patch if the Secret has changed since.
    version = {"resourceVersion": live["metadata"]["resourceVersion"]}
    kubectl.patch("secret", live["metadata"]["name"], {"metadata": version, "data": data})


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value)
    except binascii.Error:
        return b""


def _secret_of(tenant: Body) -> KeysSecret:
    name, namespace = tenant["metadata"]["name"], tenant["metadata"]["namespace"]
    modes = ((tenant.get("spec") or {}).get("auth") or {}).get("modes")
    if modes == ["None"]:
        raise KeysError(
            f"the TTSTenant {name} takes no keys, because its spec.auth.modes is [None]; set it to [APIKey] first"
        )
    return KeysSecret(name, _secret_name(tenant), namespace)


def _secret_name(tenant: Body) -> str:
    """Name of the Secret that the tenant reads, by default or by spec.auth.apiKeysSecretRef."""
    reference = ((tenant.get("spec") or {}).get("auth") or {}).get("apiKeysSecretRef") or {}
    return str(reference.get("name") or keys_secret_name(tenant["metadata"]["name"]))
