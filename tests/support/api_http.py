"""HTTP straight to an API server: a kubectl process for each of hundreds of requests would cost minutes."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any

import httpx

from hack.cluster.control_plane import ControlPlane
from tests.support.resources import Object
from tts_operator.objects.kinds import Scope, kind_of


class DeniedError(Exception):
    """The API server's message."""


def http_client(plane: ControlPlane, user: str, groups: Sequence[str] = ("system:masters",)) -> httpx.Client:
    """A client that authenticates as `user` in `groups` with a certificate of its own."""
    pair = plane.authority.issue(user.replace(":", "-"), user, groups=tuple(groups))
    trust = ssl.create_default_context(cafile=str(plane.authority.pair.certificate))
    trust.load_cert_chain(pair.certificate, pair.key)
    return httpx.Client(base_url=plane.server, verify=trust, timeout=60)


def try_to_create(client: httpx.Client, body: Object) -> dict[str, Any]:
    """Create an object of one of our kinds as a strict dry run, which stores nothing; the object with its defaults.

    Raises DeniedError with the API server's message, also for a field that the kind does not have.
    """
    kind, namespace = kind_of(body["apiVersion"], body["kind"]), body["metadata"].get("namespace", "default")
    group = f"/apis/{body['apiVersion']}" if kind.group else f"/api/{body['apiVersion']}"
    folder = "" if kind.scope is Scope.CLUSTER else f"/namespaces/{namespace}"
    parameters = {"dryRun": "All", "fieldValidation": "Strict"}
    answer = client.post(f"{group}{folder}/{kind.plural}", params=parameters, json=body)
    stored: dict[str, Any] = answer.json()
    if answer.is_error:
        raise DeniedError(stored["message"])
    return stored
