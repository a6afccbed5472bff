"""Turns watch events into keys: kopf watches, and this enqueues. It decides nothing and writes nothing.

kopf runs in a thread with an event loop of its own, because it cancels every task of its loop when it ends. It is
restarted whenever that happens. Its timers, indexes, finalizers, annotations, peering and posted events stay unused.
"""

import asyncio
import dataclasses
import functools
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import kopf
import structlog

from tts_operator.controller.model_index import named_fallback, named_models
from tts_operator.objects.keys import Key, model_key
from tts_operator.objects.kinds import DEPLOYMENT, KINDS, MODEL, TENANT, Kind
from tts_operator.objects.labels import MANAGED, TENANT_LABEL
from tts_operator.objects.names import GROUP

log = structlog.get_logger()

WATCHED: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind.watched and kind not in (TENANT, MODEL))
"""Kinds that are watched by the label of the operator's objects: children, and pods. Secrets are not among them: the
permission to watch them would be one to read everybody's."""
RESTART_SECONDS = 2.0


class EventSink(Protocol):
    """Receives watch events on the controller's event loop."""

    def tenant_changed(self, key: Key, models: Iterable[str]) -> None: ...

    def model_changed(self, name: str, fallback: str | None) -> None: ...

    def child_changed(self, key: Key) -> None: ...

    def deployment_changed(self, deployment: Mapping[str, Any], *, gone: bool) -> None: ...

    def status_changed(self, key: Key) -> None:
        """Only the status of a tenant or a model changed: most often the operator itself wrote it."""

    def delivered(self, kind: str, version: str) -> None:
        """A watch delivered an object of this plural and resourceVersion, changed or not."""


class EndlessBackoff:
    """Delays of kopf's connection attempts, seconds. They never end, so that an outage does not end kopf."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 2, 3, 5)
        while True:
            yield 5


class Watches:
    """Runs kopf from `start` to `stop`; the sink is called on the given loop."""

    def __init__(self, sink: EventSink, loop: asyncio.AbstractEventLoop, namespaces: tuple[str, ...] = ()) -> None:
        self._loop = loop
        self._sink = sink
        self._namespaces = namespaces
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watches", daemon=True)
        self._prints = Fingerprints()

    def start(self) -> None:
        """Start to watch."""
        self._thread.start()

    async def stop(self) -> None:
        """Stop to watch."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 5.0)

    @property
    def ready(self) -> bool:
        """Whether the watches have started and still run."""
        return self._ready.is_set() and self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                asyncio.run(
                    kopf.operator(
                        registry=self._registry(),
                        settings=settings(),
                        standalone=True,
                        clusterwide=not self._namespaces,
                        namespaces=self._namespaces,
                        stop_flag=self._stop,
                        ready_flag=self._ready,
                    )
                )
            except Exception:
                log.exception("watches crashed")
            if not self._stop.wait(RESTART_SECONDS):
                log.warning("watches restarted")

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(callback, *arguments)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        async def tenant(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name for it
            self._call(self._sink.delivered, TENANT.plural, version(body))
            key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
            if not self._prints.changed(without_status(body), gone=type == "DELETED"):
                self._call(self._sink.status_changed, key)
                return
            models = () if type == "DELETED" else named_models(body)
            self._call(self._sink.tenant_changed, key, models)

        async def model(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name for it
            self._call(self._sink.delivered, MODEL.plural, version(body))
            name = body["metadata"]["name"]
            if self._prints.changed(without_status(body), gone=type == "DELETED"):
                fallback = None if type == "DELETED" else named_fallback(body)
                self._call(self._sink.model_changed, name, fallback)
            else:  # its status has their number, which does not concern its tenants
                self._call(self._sink.status_changed, model_key(name))

        async def child(type: str | None, body: kopf.Body, resource: kopf.Resource, **_: Any) -> None:  # noqa: A002
            self._call(self._sink.delivered, resource.plural, version(body))
            owner = tenant_of(body)
            gone = type == "DELETED"
            if owner and self._prints.changed(body, gone=gone):
                if resource.plural == DEPLOYMENT.plural and TENANT_LABEL in (body["metadata"].get("labels") or {}):
                    self._call(functools.partial(self._sink.deployment_changed, dict(body), gone=gone))
                self._call(self._sink.child_changed, owner)

        async def login(**arguments: Any) -> kopf.ConnectionInfo | None:
            if "KUBECONFIG" in os.environ:
                return kopf.login_with_kubeconfig(**arguments)
            inside = kopf.login_with_service_account(**arguments)
            if inside is None:
                return kopf.login_with_kubeconfig(**arguments)
            return dataclasses.replace(inside, server=api_server(os.environ) or inside.server)

        kopf.on.login(registry=registry)(login)
        kopf.on.event(TENANT.group, TENANT.version, TENANT.plural, registry=registry)(tenant)
        kopf.on.event(MODEL.group, MODEL.version, MODEL.plural, registry=registry)(model)
        for kind in WATCHED:
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)(child)
        return registry


def api_server(environment: Mapping[str, str]) -> str | None:
    """URL of the API server for a process in a pod, by IP address: it needs no cluster DNS. None outside a cluster."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        return None
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def settings() -> kopf.OperatorSettings:
    """Settings that reduce kopf to its watches."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True  # otherwise it watches namespaces and CRDs, and needs permission to
    chosen.networking.error_backoffs = EndlessBackoff()  # by default it exits after 54 s without an API server
    chosen.networking.request_timeout = 60.0
    chosen.networking.connect_timeout = 10.0
    chosen.watching.connect_timeout = 10.0
    chosen.watching.server_timeout = 300  # an integer: it is written into the query as it is
    chosen.process.ultimate_exiting_timeout = None  # otherwise it kills this process
    for kind in WATCHED:
        chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = MANAGED
    # Otherwise it logs a line per event and object; the applied plan is logged instead.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # It warns that signals are ignored, in its thread: `run` handles them.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    return chosen


def tenant_of(body: Mapping[str, Any]) -> Key | None:
    """Tenant of an object: by its label or, if someone removed that, by its owner reference; None without either."""
    metadata = body["metadata"]
    name = (metadata.get("labels") or {}).get(TENANT_LABEL)
    for owner in metadata.get("ownerReferences") or () if not name else ():
        if owner["kind"] == TENANT.name and owner["apiVersion"].startswith(f"{GROUP}/"):
            name = owner["name"]
    return Key(metadata["namespace"], name) if name else None


class Fingerprints:
    """Detects changes of an object that a reconcile depends on: an HPA, for one, updates its metrics every 15 s."""

    def __init__(self) -> None:
        self._last: dict[str, bytes] = {}

    def changed(self, body: Mapping[str, Any], *, gone: bool) -> bool:
        """Whether an object changed since the last call in anything that a reconcile reads."""
        uid = body["metadata"]["uid"]
        if gone:
            self._last.pop(uid, None)
            return True
        now = fingerprint(body)
        before, self._last[uid] = self._last.get(uid), now
        return now != before


IGNORED_FIELDS = frozenset({"resourceVersion", "managedFields", "currentMetrics", "lastScaleTime", "lastProbeTime"})
"""Fields, at any depth, that change without consequence for a reconcile."""


def fingerprint(body: Mapping[str, Any]) -> bytes:
    """Digest of an object without IGNORED_FIELDS."""
    text = json.dumps(_without_ignored(dict(body)), sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def without_status(body: Mapping[str, Any]) -> dict[str, Any]:
    """The object without its status: what people write."""
    return {name: part for name, part in body.items() if name != "status"}


def _without_ignored(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_ignored(part) for name, part in value.items() if name not in IGNORED_FIELDS}
    return [_without_ignored(part) for part in value] if isinstance(value, list | tuple) else value


def version(body: Mapping[str, Any]) -> str:
    """The resourceVersion, empty where there is none."""
    return str(body["metadata"].get("resourceVersion") or "")
