"""Events to keys: kopf watches, and this enqueues. Nothing is decided here, and nothing is written.

kopf runs in a thread with a loop of its own, because it cancels every task of its loop when it ends. It is started
again whenever it does. Its timers, indexes, finalizers, annotations, peering and posted events stay unused.
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
from tts_operator.objects.names import GROUP, MANAGED, TENANT_LABEL, VERSION

log = structlog.get_logger()

CHILDREN: tuple[tuple[str, str, str], ...] = (
    ("", "v1", "configmaps"),
    ("", "v1", "pods"),
    ("", "v1", "serviceaccounts"),
    ("", "v1", "services"),
    ("apps", "v1", "deployments"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("policy", "v1", "poddisruptionbudgets"),
)
"""Watched by label. Not Secrets: the permission to watch them would be one to read everybody's."""
RESTART_SECONDS = 2.0


class EventSink(Protocol):
    """Who wants to know. Called on its own loop."""

    def tenant_changed(self, key: Key, models: Iterable[str]) -> None: ...

    def model_changed(self, name: str, fallback: str | None) -> None: ...

    def child_changed(self, key: Key) -> None: ...

    def deployment_changed(self, found: Mapping[str, Any], *, gone: bool) -> None: ...

    def status_changed(self, key: Key) -> None:
        """Nothing but the status of a tenant or a model differs: most often we wrote it ourselves."""

    def saw(self, kind: str, version: str) -> None:
        """A watch delivered an object of this plural and resourceVersion, whatever came of it."""


class EveryFewSeconds:
    """kopf's waits between attempts to reach the API server: they never end, so an outage does not end kopf."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 2, 3, 5)
        while True:
            yield 5


class Watches:
    """kopf, watching from `start` to `stop`; the sink is called on the given loop."""

    def __init__(self, sink: EventSink, loop: asyncio.AbstractEventLoop, namespaces: tuple[str, ...] = ()) -> None:
        self._loop = loop
        self._sink = sink
        self._namespaces = namespaces
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watches", daemon=True)
        self._prints = Fingerprints()

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    async def stop(self) -> None:
        """End the watches."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 5.0)

    @property
    def ready(self) -> bool:
        """Whether they have begun."""
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
                log.exception("watches ended")
            if not self._stop.wait(RESTART_SECONDS):
                log.warning("watches start again")

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(what, *arguments)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        async def tenant(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name for it
            self._tell(self._sink.saw, "ttstenants", version(body))
            key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
            if not self._prints.changed(without_status(body), gone=type == "DELETED"):
                self._tell(self._sink.status_changed, key)
                return
            models = () if type == "DELETED" else named_models(body)
            self._tell(self._sink.tenant_changed, key, models)

        async def model(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name for it
            self._tell(self._sink.saw, "ttsmodels", version(body))
            name = body["metadata"]["name"]
            if self._prints.changed(without_status(body), gone=type == "DELETED"):
                fallback = None if type == "DELETED" else named_fallback(body)
                self._tell(self._sink.model_changed, name, fallback)
            else:  # its tenants have nothing to do with how many they are
                self._tell(self._sink.status_changed, model_key(name))

        async def child(type: str | None, body: kopf.Body, resource: kopf.Resource, **_: Any) -> None:  # noqa: A002
            self._tell(self._sink.saw, resource.plural, version(body))
            owner = tenant_of(body)
            gone = type == "DELETED"
            if owner and self._prints.changed(body, gone=gone):
                if resource.plural == "deployments" and TENANT_LABEL in (body["metadata"].get("labels") or {}):
                    self._tell(functools.partial(self._sink.deployment_changed, dict(body), gone=gone))
                self._tell(self._sink.child_changed, owner)

        async def login(**arguments: Any) -> kopf.ConnectionInfo | None:
            if "KUBECONFIG" in os.environ:
                return kopf.login_with_kubeconfig(**arguments)
            inside = kopf.login_with_service_account(**arguments)
            if inside is None:
                return kopf.login_with_kubeconfig(**arguments)
            return dataclasses.replace(inside, server=api_server(os.environ) or inside.server)

        kopf.on.login(registry=registry)(login)
        kopf.on.event(GROUP, VERSION, "ttstenants", registry=registry)(tenant)
        kopf.on.event(GROUP, VERSION, "ttsmodels", registry=registry)(model)
        for group, version_, plural in CHILDREN:
            kopf.on.event(group, version_, plural, registry=registry)(child)
        return registry


def api_server(environment: Mapping[str, str]) -> str | None:
    """Of the cluster that this process runs in, by its Service's address: there also while the cluster's DNS is not."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        return None
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def settings() -> kopf.OperatorSettings:
    """kopf as a set of watches and nothing else."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True  # else it would watch all namespaces and CRDs, and need permission to
    chosen.networking.error_backoffs = EveryFewSeconds()  # by default it gives up after 54 s without an API server
    chosen.networking.request_timeout = 60.0
    chosen.networking.connect_timeout = 10.0
    chosen.watching.connect_timeout = 10.0
    chosen.watching.server_timeout = 300  # as it goes into the query: whole seconds, not 300.0
    chosen.process.ultimate_exiting_timeout = None  # it would kill this process
    for group, version_, plural in CHILDREN:
        chosen.watching.label_selectors[group, version_, plural] = MANAGED
    # One line per event and object would say what the plan's log line says better.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # It warns that signals are ignored, in its thread: `run` handles them.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    return chosen


def tenant_of(body: Mapping[str, Any]) -> Key | None:
    """Whose child the object is, by its label; where somebody took that off, by its owner. None: nobody's."""
    metadata = body["metadata"]
    name = (metadata.get("labels") or {}).get(TENANT_LABEL)
    for owner in metadata.get("ownerReferences") or () if not name else ():
        if owner["kind"] == "TTSTenant" and owner["apiVersion"].startswith(f"{GROUP}/"):
            name = owner["name"]
    return Key(metadata["namespace"], name) if name else None


class Fingerprints:
    """Tells an object's real changes from the noise: an HPA reports its metrics every 15 s."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def changed(self, body: Mapping[str, Any], *, gone: bool) -> bool:
        """Whether anything that a reconcile reads differs from the last time; remembers it."""
        uid = body["metadata"]["uid"]
        if gone:
            self._known.pop(uid, None)
            return True
        now = fingerprint(body)
        before, self._known[uid] = self._known.get(uid), now
        return now != before


NOISE = frozenset({"resourceVersion", "managedFields", "currentMetrics", "lastScaleTime", "lastProbeTime"})


def fingerprint(body: Mapping[str, Any]) -> bytes:
    """Of everything but NOISE, at any depth."""
    text = json.dumps(_quiet(dict(body)), sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def without_status(body: Mapping[str, Any]) -> dict[str, Any]:
    """What people write of a tenant or a model."""
    return {name: part for name, part in body.items() if name != "status"}


def _quiet(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _quiet(part) for name, part in value.items() if name not in NOISE}
    return [_quiet(part) for part in value] if isinstance(value, list | tuple) else value


def version(body: Mapping[str, Any]) -> str:
    """The resourceVersion, empty where there is none."""
    return str(body["metadata"].get("resourceVersion") or "")
