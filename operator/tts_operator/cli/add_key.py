"""Adds the hash of an API key to the Secret that a tenant reads, with kubectl and the rights of whoever runs it.

docs/decisions/0035-keygen-writes-the-secret.md says why this is not left to `kubectl apply`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tts_operator.cli.api_keys import APIKey, entry, secret_manifest
from tts_operator.cli.kubectl import FIELD_MANAGER, Kubectl, KubectlError
from tts_operator.objects.names import GROUP, keys_secret_name

ATTEMPTS = 5
"""Writes that are tried while others change the same Secret."""
Body = Mapping[str, Any]


class KeyNotAddedError(KubectlError):
    """Reason why no key was added: a sentence that says what to change."""


@dataclass(frozen=True, slots=True)
class KeysSecret:
    """Secret that holds the hashes of a tenant's API keys."""

    tenant: str
    name: str
    namespace: str


def secret_of_tenant(kubectl: Kubectl, tenant: str, namespace: str | None) -> KeysSecret:
    """Secret with the keys of this tenant. Raises KeyNotAddedError without such a tenant, or if it takes no keys."""
    found = kubectl.run("get", f"ttstenants.{GROUP}", tenant, "--ignore-not-found", "--output=json")
    if not found:
        where = f"namespace {namespace}" if namespace else "the current namespace"
        raise KeyNotAddedError(
            f"there is no TTSTenant {tenant} in {where}; apply it first, or print a Secret for later with -o yaml"
        )
    return _secret_of(json.loads(found))


def secret_of_name(kubectl: Kubectl, name: str, namespace: str | None) -> KeysSecret:
    """Secret of this name, if a tenant of the namespace reads its keys from it. Raises KeyNotAddedError otherwise."""
    for tenant in json.loads(kubectl.run("get", f"ttstenants.{GROUP}", "--output=json"))["items"]:
        if _secret_name(tenant) == name:
            return _secret_of(tenant)
    where = f"namespace {namespace}" if namespace else "the current namespace"
    raise KeyNotAddedError(
        f"no TTSTenant in {where} reads the Secret {name}; name it in spec.auth.apiKeysSecretRef of a tenant, or use"
        " --tenant in place of --secret"
    )


def add_key(kubectl: Kubectl, secret: KeysSecret, key: APIKey) -> None:
    """Add the entry, and change no other one. Raises KeyNotAddedError, also if the Secret has a key of this name."""
    for _ in range(ATTEMPTS):
        found = kubectl.run("get", "secret", secret.name, "--ignore-not-found", "--output=json")
        try:
            if found:
                _patch(kubectl, secret, key, json.loads(found))
            else:
                manifest = secret_manifest(key, secret.name, secret.namespace)
                kubectl.run("create", f"--field-manager={FIELD_MANAGER}", "--filename=-", stdin=manifest)
        except KubectlError as error:
            # "the object has been modified", or made meanwhile: somebody else has added a key.
            if "(Conflict)" in str(error) or "(AlreadyExists)" in str(error):
                continue
            raise
        return
    raise KeyNotAddedError(f"others keep changing the Secret {secret.name}; try again")


def revoke_command(secret: KeysSecret, name: str) -> str:
    """Command that removes one key and leaves the others."""
    patch = json.dumps([{"op": "remove", "path": f"/data/{name}"}])
    return f"kubectl -n {secret.namespace} patch secret {secret.name} --type=json -p '{patch}'"


def _patch(kubectl: Kubectl, secret: KeysSecret, key: APIKey, live: Body) -> None:
    if key.name in (live.get("data") or {}):
        raise KeyNotAddedError(
            f"the Secret {secret.name} has a key named {key.name} already; choose another --name, or revoke that key"
            f" first: {revoke_command(secret, key.name)}"
        )
    # With the version that was read, the API server refuses the patch if the Secret has changed since.
    version = {"resourceVersion": live["metadata"]["resourceVersion"]}
    change = json.dumps({"metadata": version, "data": {key.name: entry(key)}})
    manager = f"--field-manager={FIELD_MANAGER}"
    kubectl.run("patch", "secret", secret.name, "--type=merge", manager, f"--patch={change}")


def _secret_of(tenant: Body) -> KeysSecret:
    name, namespace = tenant["metadata"]["name"], tenant["metadata"]["namespace"]
    modes = ((tenant.get("spec") or {}).get("auth") or {}).get("modes")
    if modes == ["None"]:
        raise KeyNotAddedError(
            f"the TTSTenant {name} takes no keys, because its spec.auth.modes is [None]; set it to [APIKey] first"
        )
    return KeysSecret(name, _secret_name(tenant), namespace)


def _secret_name(tenant: Body) -> str:
    """Name of the Secret that the tenant reads, by default or by spec.auth.apiKeysSecretRef."""
    reference = ((tenant.get("spec") or {}).get("auth") or {}).get("apiKeysSecretRef") or {}
    return str(reference.get("name") or keys_secret_name(tenant["metadata"]["name"]))
