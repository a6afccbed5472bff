"""`kubectl tts keys` and `keygen`: the API keys of a tenant. A key is shown once; the cluster has its hash alone."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tts_operator.cli.api_keys import APIKey, secret_manifest
from tts_operator.cli.arguments import key_name, object_name
from tts_operator.cli.colours import paint_for
from tts_operator.cli.command import Answer
from tts_operator.cli.common_flags import (
    JSON,
    TABLE,
    YAML,
    add_cluster_flags,
    add_output_flag,
    add_tenant_flags,
    as_data,
)
from tts_operator.cli.keys_secret import (
    KeysSecret,
    add_key,
    entries_of,
    remove_key,
    revoke_command,
    secret_of_name,
    secret_of_tenant,
)
from tts_operator.cli.tables import table
from tts_operator.credentials.api_keys import KeyEntries
from tts_operator.fleet.kubectl import Kubectl
from tts_operator.objects.names import keys_secret_name

HEADER = ("KEY", "STATE")
USABLE, PLAIN, MALFORMED = "usable", "plain text", "no hash"


def add_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags of `kubectl tts keys`."""
    actions = command.add_subparsers(required=True, dest="action", metavar="ACTION", title="actions")
    listing = actions.add_parser("list", help="List the names of the keys.", description="List the names of the keys.")
    add_tenant_flags(listing)
    add_output_flag(listing, (TABLE, JSON, YAML))
    purpose = "Make a key, add its hash to the tenant's Secret, and print the key once."
    create = actions.add_parser("create", help=purpose, description=purpose)
    add_tenant_flags(create)
    _add_name_flag(create)
    create.set_defaults(secret=None, output="key")
    purpose = "Remove the hash of a key: its requests are refused within seconds."
    revoke = actions.add_parser("revoke", help=purpose, description=purpose)
    add_tenant_flags(revoke)
    revoke.add_argument("name", type=key_name, metavar="NAME", help="Name of the key.")
    for action in actions.choices.values():
        action.set_defaults(parser=action)


def run(options: argparse.Namespace) -> Answer:
    """List, make or revoke keys."""
    if options.action == "create":
        return keygen(options)
    kubectl = Kubectl.of(options)
    secret = secret_of_tenant(kubectl, options.tenant, options.namespace)
    return (
        _list(kubectl, secret, options.output) if options.action == "list" else _revoke(kubectl, secret, options.name)
    )


def add_keygen_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags of `kubectl tts keygen`."""
    target = command.add_mutually_exclusive_group(required=True)
    target.add_argument("--tenant", type=object_name, metavar="NAME", help="Name of the tenant that reads the Secret.")
    target.add_argument(
        "--secret",
        type=object_name,
        metavar="NAME",
        help="Name of the Secret, as in spec.auth.apiKeysSecretRef of a tenant.",
    )
    command.add_argument("-n", "--namespace", type=object_name, metavar="NAMESPACE", help="Namespace of the tenant.")
    _add_name_flag(command)
    command.add_argument(
        "-o",
        "--output",
        choices=("key", "yaml"),
        default="key",
        help="Output: the key, once the Secret has its hash, or the Secret for a file. (default: key)",
    )
    add_cluster_flags(command)


def keygen(options: argparse.Namespace) -> Answer:
    """Add a new key to a tenant's Secret and print it, or print a Secret with its hash as YAML."""
    key = APIKey.new(options.name)
    if options.output == "yaml":
        secret_name = options.secret or keys_secret_name(options.tenant)
        note = f"API key {key.name}. Save it now; it cannot be shown again:\n\n    {key.secret}\n"
        return Answer([secret_manifest(key, secret_name, options.namespace)], (note,))
    kubectl = Kubectl.of(options)
    if options.secret:
        secret = secret_of_name(kubectl, options.secret, options.namespace)
    else:
        secret = secret_of_tenant(kubectl, options.tenant, options.namespace)
    add_key(kubectl, secret, key)
    note = (
        f"API key {key.name} of {secret.namespace}/{secret.tenant}: save it now, it cannot be shown again. Clients send"
        f" it as `Authorization: Bearer KEY`.\nThe Secret {secret.name} holds its hash. To revoke the key:\n"
        f"  {revoke_command(secret, key.name)}"
    )
    return Answer([f"{key.secret}\n"], (note,))


def _list(kubectl: Kubectl, secret: KeysSecret, output: str) -> Answer:
    usable, sorts = entries_of(kubectl, secret)
    rows = list(key_rows(usable, sorts))
    if output != TABLE:
        return Answer(as_data(output, [{"name": name, "state": state} for name, state in rows]))
    if not rows:
        command = f"kubectl tts keys create {secret.tenant} -n {secret.namespace}"
        return Answer.of(f"{secret.tenant} has no key, so every request is refused; make one: {command}\n")
    return Answer(table([HEADER, *rows], paint_for()))


def key_rows(usable: list[str], sorts: KeyEntries) -> Iterator[tuple[str, str]]:
    """Name and state of each entry; what the server ignores comes last."""
    yield from ((name, USABLE) for name in usable)
    yield from ((name, PLAIN) for name in sorts.plain)
    yield from ((name, MALFORMED) for name in sorts.malformed)


def _revoke(kubectl: Kubectl, secret: KeysSecret, name: str) -> Answer:
    left = remove_key(kubectl, secret, name)
    rest = f"{left} left" if left else "none is left, so every request is refused"
    return Answer.of(f"{secret.tenant} no longer takes the key {name}; {rest}\n")


def _add_name_flag(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--name",
        type=key_name,
        metavar="NAME",
        help="Name of the key, by which it is revoked. (default: from its hash)",
    )
