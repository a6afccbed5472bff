"""Turns watch events of tenants and models into keys: kopf watches, and this enqueues.

kopf keeps the two resources, because resources of its own are what it is for. Children, pods and namespaces, of which
the operator holds copies, have watches of its own: `object_watches`. This decides nothing and writes nothing. kopf's
timers, indexes, finalizers, annotations, peering and posted events stay unused. `watch_session` runs it in a thread,
and `watch_supervisor` starts it anew.
"""

import asyncio
import dataclasses
import functools
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
import kopf

from tts_operator.cluster.client import PAGE
from tts_operator.cluster.paths import collection_path
from tts_operator.controller.fingerprints import Fingerprints, without_status
from tts_operator.controller.model_index import named_fallback, named_models
from tts_operator.informer.add_ons import AddOns
from tts_operator.objects.keys import Key, model_key
from tts_operator.objects.kinds import CALENDAR, KINDS, MODEL, NAMESPACE, TENANT, Kind, Scope
from tts_operator.telemetry.watch_activity import WatchActivity

WATCHED: tuple[Kind, ...] = tuple(
    kind
    for kind in KINDS
    if kind.watched and kind.scope is Scope.TENANTS and kind is not TENANT and kind.add_on is None
)
"""Kinds of children that every cluster has, and pods. Secrets are not among them: the permission to watch them would be
one to read everybody's."""
BY_KOPF = (TENANT, MODEL)
"""Kinds that kopf watches."""
WATCH_SECONDS = 4
"""Duration of one watch request, after which the API server ends it and kopf continues with the next, seconds.

So short that a watch whose connection is dead is noticed and continued soon, without a list. An integer: it is written
into the query as it is."""
GIVE_UP_SECONDS = 6.0
"""Time after which a watch that the API server did not end is cut, seconds."""
LOGIN_SECONDS = 1.0
"""Delay before credentials that were rejected are read again, seconds."""


@dataclass(frozen=True)
class ListedPage:
    """One page of a list that kopf made."""

    kind: Kind
    namespace: str
    """Empty: all namespaces."""
    bodies: tuple[Mapping[str, Any], ...]
    version: str
    """resourceVersion of the list."""
    first: bool
    last: bool


class EventSink(Protocol):
    """Receives watch events on the controller's event loop."""

    def tenant_changed(self, key: Key, models: Iterable[str]) -> None: ...

    def model_changed(self, name: str, fallback: str | None) -> None: ...

    def child_changed(self, key: Key) -> None: ...

    def deployment_changed(self, deployment: Mapping[str, Any], *, gone: bool) -> None: ...

    def namespace_changed(self, name: str) -> None:
        """Labels of a namespace changed: ceilings, or what models ask for in `allowedNamespaces`."""

    def schedule_changed(self, key: Key) -> None:
        """A TTSCalendar changed that the schedule of this tenant refers to."""

    def status_changed(self, key: Key) -> None:
        """Only the status of a tenant or a model changed: most often the operator itself wrote it."""

    def delivered(self, kind: str, version: str) -> None:
        """A watch delivered an object of this plural and resourceVersion, changed or not."""

    def seen(self, kind: Kind, body: Mapping[str, Any], *, gone: bool) -> None:
        """A watch delivered this tenant or model, changed or not: called before the event that it is."""

    def listed(self, page: ListedPage) -> None:
        """A list of tenants or models returned a page. A complete list shows whose deletion a watch has missed."""


@dataclass(frozen=True)
class WatchScope:
    """Part of the watches that fails and restarts by itself: one namespace, or all that is not in a named one."""

    namespace: str
    """Empty: all namespaces."""
    kinds: tuple[Kind, ...]

    @property
    def by_kopf(self) -> "WatchScope":
        """The part that kopf watches."""
        return WatchScope(self.namespace, tuple(kind for kind in self.kinds if kind in BY_KOPF))

    @property
    def paths(self) -> tuple[str, ...]:
        """URL paths of the watched collections."""
        return tuple(collection_path(kind, self.namespace) for kind in self.kinds)


def scopes_of(
    namespaces: tuple[str, ...], *, confined: bool, labels: bool = True, add_ons: AddOns | None = None
) -> tuple[WatchScope, ...]:
    """Scopes of an operator that is confined to these namespaces, or of one for the whole cluster.

    `labels`: one for the whole cluster watches the namespaces themselves, too, if it may. `add_ons`: None for none.
    """
    watched = (*WATCHED, *(add_ons.present if add_ons else ()))
    if not confined:
        everything = WatchScope("", (TENANT, MODEL, CALENDAR, *watched))
        return (everything, WatchScope("", (NAMESPACE,))) if labels else (everything,)
    return (WatchScope("", (MODEL, CALENDAR)), *(WatchScope(namespace, (TENANT, *watched)) for namespace in namespaces))


class EndlessBackoff:
    """Delays of kopf's connection attempts, seconds. They never end, so that an outage does not end kopf."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 2, 3, 5)
        while True:
            yield 5


class KopfWatch:
    """Watches one scope, all namespaces or one, until it fails. Reports what the watches do to `activity`."""

    def __init__(self, scope: WatchScope, sink: EventSink, prints: Fingerprints, activity: WatchActivity) -> None:
        self._scope = scope
        self._sink = sink
        self._prints = prints
        self._activity = activity
        self._http: list[aiohttp.ClientSession] = []
        self._kinds = dict(zip(scope.paths, scope.kinds, strict=True))

    async def watch(self) -> None:
        await kopf.operator(
            registry=self._registry(),
            settings=settings(),
            standalone=True,
            clusterwide=not self._scope.namespace,
            namespaces=(self._scope.namespace,) if self._scope.namespace else (),
        )

    async def disconnect(self) -> None:
        for session in self._http:
            await session.close()

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        async def tenant(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name for it
            self._sink.delivered(TENANT.plural, version(body))
            self._sink.seen(TENANT, dict(body), gone=type == "DELETED")
            key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
            if not self._prints.changed(without_status(body, keep=("acceptedSpec", "wake")), gone=type == "DELETED"):
                self._sink.status_changed(key)
                return
            models = () if type == "DELETED" else named_models(body)
            self._sink.tenant_changed(key, models)

        async def model(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002 - kopf's name for it
            self._sink.delivered(MODEL.plural, version(body))
            self._sink.seen(MODEL, dict(body), gone=type == "DELETED")
            name = body["metadata"]["name"]
            if self._prints.changed(without_status(body, keep=("loadSeconds",)), gone=type == "DELETED"):
                fallback = None if type == "DELETED" else named_fallback(body)
                self._sink.model_changed(name, fallback)
            else:  # the rest of its status does not concern its tenants
                self._sink.status_changed(model_key(name))

        kopf.on.login(registry=registry)(self._login)
        for kind in self._scope.kinds:
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)(
                {TENANT: tenant, MODEL: model}[kind]
            )
        return registry

    async def _login(self, **arguments: Any) -> kopf.AiohttpSession | None:
        """Open a session that reports its requests; again after a 401, with credentials read anew."""
        if self._http:
            await asyncio.sleep(LOGIN_SECONDS)
        found = connection_info(arguments)
        if found is None:
            return None
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
            headers=found.as_http_headers(),
            proxy=found.proxy_url,
            trust_env=found.trust_env,
            middlewares=(self._observe,),
        )
        self._http.append(session)
        return kopf.AiohttpSession(server=found.server, aiohttp_session=session)

    async def _observe(self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        path = request.url.path
        self._activity.requested(path)
        response = await send(request)
        if response.status == HTTPStatus.OK and "watch" in request.url.query:
            self._activity.opened(path)
            response.content.on_eof(lambda: self._activity.ended(path))
        elif response.status == HTTPStatus.OK and (kind := self._kinds.get(path)) is not None:
            page = json.loads(await response.read())  # kopf reads the same bytes afterwards
            self._sink.listed(listed_page(kind, self._scope.namespace, page, first="continue" not in request.url.query))
        return response


class ForwardToLoop:
    """EventSink that calls another one on its event loop, until it is closed."""

    def __init__(self, sink: EventSink, loop: asyncio.AbstractEventLoop) -> None:
        self._sink = sink
        self._loop = loop
        self._closed = False

    def close(self) -> None:
        """Forward nothing from now on: the session was abandoned, and another one watches in its place."""
        self._closed = True

    def tenant_changed(self, key: Key, models: Iterable[str]) -> None:
        self._call(self._sink.tenant_changed, key, models)

    def model_changed(self, name: str, fallback: str | None) -> None:
        self._call(self._sink.model_changed, name, fallback)

    def child_changed(self, key: Key) -> None:
        self._call(self._sink.child_changed, key)

    def deployment_changed(self, deployment: Mapping[str, Any], *, gone: bool) -> None:
        self._call(functools.partial(self._sink.deployment_changed, deployment, gone=gone))

    def namespace_changed(self, name: str) -> None:
        self._call(self._sink.namespace_changed, name)

    def schedule_changed(self, key: Key) -> None:
        self._call(self._sink.schedule_changed, key)

    def status_changed(self, key: Key) -> None:
        self._call(self._sink.status_changed, key)

    def delivered(self, kind: str, version: str) -> None:
        self._call(self._sink.delivered, kind, version)

    def seen(self, kind: Kind, body: Mapping[str, Any], *, gone: bool) -> None:
        self._call(functools.partial(self._sink.seen, kind, body, gone=gone))

    def listed(self, page: ListedPage) -> None:
        self._call(self._sink.listed, page)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        if not self._closed:
            self._loop.call_soon_threadsafe(callback, *arguments)


def connection_info(arguments: Mapping[str, Any]) -> kopf.ConnectionInfo | None:
    """Address and credentials, from KUBECONFIG or from the pod's ServiceAccount; None without either."""
    if "KUBECONFIG" in os.environ:
        return kopf.login_with_kubeconfig(**arguments)
    inside = kopf.login_with_service_account(**arguments)
    if inside is None:
        return kopf.login_with_kubeconfig(**arguments)
    return dataclasses.replace(inside, server=api_server(os.environ) or inside.server)


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
    chosen.networking.connect_timeout = 3.0
    chosen.watching.connect_timeout = 3.0
    chosen.watching.server_timeout = WATCH_SECONDS
    chosen.watching.client_timeout = GIVE_UP_SECONDS
    chosen.watching.chunk_size = PAGE
    chosen.process.ultimate_exiting_timeout = None  # otherwise it kills this process
    # Otherwise it logs a line per event and object; the applied plan is logged instead.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # It warns that signals are ignored, in its thread: `run` handles them.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    return chosen


def listed_page(kind: Kind, namespace: str, page: Mapping[str, Any], *, first: bool) -> ListedPage:
    """One page of a list, from the response."""
    metadata = page.get("metadata") or {}
    return ListedPage(
        kind,
        namespace,
        tuple(page.get("items") or ()),
        str(metadata.get("resourceVersion") or ""),
        first=first,
        last=not metadata.get("continue"),
    )


def version(body: Mapping[str, Any]) -> str:
    """The resourceVersion, empty where there is none."""
    return str(body["metadata"].get("resourceVersion") or "")
