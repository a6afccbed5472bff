"""Keeps copies of everything that reconciles read current, and turns what changed into keys.

Children, pods and namespaces are listed and watched by reflectors. Tenants and models come from kopf.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from tts_operator.cluster.paths import collection_path
from tts_operator.cluster.watch_request import Collection as WatchedCollection
from tts_operator.controller.watches import BY_KOPF, EventSink, ListedPage, WatchScope
from tts_operator.informer.held_object import HeldObject
from tts_operator.informer.indexer import Change, Indexer, ObjectName
from tts_operator.informer.own_writes import OwnWrites
from tts_operator.informer.reflector import Reflector, Source
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import CALENDAR, DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, NAMESPACE, TENANT, Kind
from tts_operator.objects.labels import OF_TENANTS, joined
from tts_operator.objects.manifest import Body
from tts_operator.objects.ownership import controlled_by
from tts_operator.telemetry.watch_activity import NEVER, SILENCE_SECONDS, WatchActivity
from tts_operator.telemetry.watch_ages import WatchAges

log = structlog.get_logger()


@dataclass
class _Watched:
    """A running reflector with what is known about it."""

    reflector: Reflector
    activity: WatchActivity
    task: asyncio.Task[None]

    @property
    def works(self) -> bool:
        return self.reflector.synced and not self.activity.silent()


class ObjectWatches:
    """The indexer of this process, and the reflectors that feed it. Used by one event loop."""

    def __init__(
        self,
        source: Source,
        monotonic: Callable[[], float],
        repaired: Callable[[], None] = lambda: None,
    ) -> None:
        """`repaired` is called for each change that only a list has found."""
        self.indexer = Indexer()
        self.own_writes = OwnWrites(self.indexer, self.changed)
        self._source = source
        self._monotonic = monotonic
        self._ages = WatchAges(monotonic)
        self._repaired = repaired
        self._sink: EventSink | None = None
        self._kopf_works: Callable[[str], bool] = lambda _path: False
        self._watched: dict[WatchedCollection, _Watched] = {}
        self._listed: set[tuple[Kind, str]] = set()
        self._listing: dict[tuple[Kind, str], set[ObjectName]] = {}
        self._known: set[WatchedCollection] = set()
        self._read_at: dict[str, float] = {}  # namespaces that were read by their names

    def connect(self, sink: EventSink, kopf_works: Callable[[str], bool]) -> None:
        """Tell `sink` what changes. `kopf_works` returns whether kopf's watch of a URL path works."""
        self._sink = sink
        self._kopf_works = kopf_works

    def watch(self, scopes: Iterable[WatchScope]) -> None:
        """Watch these scopes, and nothing else."""
        wanted = {collection for scope in scopes for collection in collections_of(scope)}
        for collection in self._watched.keys() - wanted:
            self._watched.pop(collection).task.cancel()
            self.indexer.drop(collection.kind, collection.namespace)
        for collection in wanted - self._watched.keys():
            self._start(collection)

    def restored(self) -> None:
        """Believe nothing that is held: the API server's storage was restored from an older copy."""
        self.indexer.forget_versions()
        for collection, watched in list(self._watched.items()):
            watched.task.cancel()
            del self._watched[collection]
            self._start(collection)
        self._listed.clear()

    async def run(self, relist_seconds: float) -> None:
        """Compare everything with a list once in each interval, one collection at a time; when cancelled, end."""
        try:
            while True:
                if not self._watched:
                    await asyncio.sleep(relist_seconds)
                for collection in list(self._watched):
                    await asyncio.sleep(relist_seconds / max(len(self._watched), 1))
                    if collection in self._watched:
                        self._watched[collection].reflector.relist()
        finally:
            tasks = [watched.task for watched in self._watched.values()]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    def ages(self) -> dict[str, float]:
        """Seconds since the watches of each plural worked: of the worst one."""
        return self._ages.by_plural(watched.activity for watched in self._watched.values())

    def problems(self) -> list[str]:
        """Watches that do not work now, one line each."""
        return sorted(
            f"no working watch of {path}" for watched in self._watched.values() for path in watched.activity.silent()
        )

    def is_current(self, kind: Kind, namespace: str, name: str) -> bool:
        """Whether a working watch keeps the copies of a kind current, in a namespace or in all.

        `name`: that of a namespace, which may have been read instead.
        """
        if kind in BY_KOPF:
            scope = namespace if (kind, namespace) in self._listed else ""
            return (kind, scope) in self._listed and self._kopf_works(collection_path(kind, scope))
        if kind is NAMESPACE and self._monotonic() - self._read_at.get(name, NEVER) <= SILENCE_SECONDS:
            return True
        within, everywhere = collection_of(kind, namespace), collection_of(kind)
        return any(each in self._watched and self._watched[each].works for each in (within, everywhere))

    def seen(self, kind: Kind, body: Body, *, gone: bool) -> None:
        """Record a tenant or a model as kopf delivered it."""
        if gone:
            self.indexer.remove(kind, body)
        else:
            self.indexer.put(kind, body)

    def listed(self, page: ListedPage) -> None:
        """Record a page of a list that kopf made; after the last one, those whose deletion its watch has missed."""
        scope = page.kind, page.namespace
        existing = self._listing.setdefault(scope, set())
        if page.first:
            existing.clear()
        for body in page.bodies:
            existing.add(ObjectName(body["metadata"].get("namespace", ""), body["metadata"]["name"]))
            self.indexer.put(page.kind, body, listed_at=page.version)
        if page.last:
            missed = self.indexer.listed(page.kind, page.namespace, self._listing.pop(scope), page.version)
            self._listed.add(scope)
            for change in missed:
                self._deletion_missed(change.held)

    def _deletion_missed(self, held: HeldObject) -> None:
        if self._sink is None:
            return
        if held.kind is TENANT:
            self._sink.tenant_changed(Key(held.namespace, held.name), ())
        else:
            self._sink.model_changed(held.name, None)

    def namespace_read(self, name: str, body: Body | None) -> None:
        """Record a namespace as it was read by its name: an operator that is confined may not watch it."""
        self._read_at[name] = self._monotonic()
        if body is not None:
            change = self.indexer.put(NAMESPACE, body)
        else:
            held = self.indexer.get(NAMESPACE, "", name)
            change = self.indexer.removed(NAMESPACE, "", name, held.uid) if held else None
        if change is not None:
            self.changed(change)

    def changed(self, change: Change) -> None:
        held = change.held
        if self._sink is None or held.kind in BY_KOPF:
            return
        if held.kind is NAMESPACE:
            self._sink.namespace_changed(held.name)
            return
        if held.kind is CALENDAR:
            for key in self.indexer.referring(held.name):
                self._sink.schedule_changed(key)
            return
        # Of one that is held in part the reconcile records the state, which it reads itself.
        if held.kind is DEPLOYMENT and held.tenant and (change.gone or not held.partial):
            body = held.body()
            self._sink.deployment_changed(body, gone=change.gone or self._is_others(held, body))
        owners = {each.owner for each in (change.before, change.after) if each is not None and each.owner}
        for owner in sorted(owners):
            self._sink.child_changed(Key(held.namespace, owner))

    def _is_others(self, held: HeldObject, body: Body) -> bool:
        """Whether the tenant of a child's label, as far as it is known, does not control the child."""
        tenant = self.indexer.get(TENANT, held.namespace, held.tenant)
        return tenant is not None and not controlled_by(body, tenant.uid)

    def repaired(self, change: Change) -> None:
        held = change.held
        log.warning("watch missed a change", kind=held.kind.name, namespace=held.namespace, name=held.name)
        self._repaired()

    def delivered(self, plural: str, version: str) -> None:
        if self._sink is not None:
            self._sink.delivered(plural, version)

    def _start(self, collection: WatchedCollection) -> None:
        activity = WatchActivity((collection.path,), self._monotonic, trusting=collection not in self._known)
        self._known.add(collection)
        reflector = Reflector(self._source, collection, self.indexer, self, activity)
        task = asyncio.create_task(reflector.run(), name=f"watch of {collection}")
        self._watched[collection] = _Watched(reflector, activity, task)


def collections_of(scope: WatchScope) -> list[WatchedCollection]:
    """Collections of a scope that reflectors watch."""
    return [collection_of(kind, scope.namespace) for kind in scope.kinds if kind not in BY_KOPF]


def collection_of(kind: Kind, namespace: str = "") -> WatchedCollection:
    """Objects of a kind that reconciles read: every calendar, of HPAs also those of others, of namespaces metadata."""
    if kind is NAMESPACE:
        return WatchedCollection(kind, namespace, metadata_only=True)
    labels = "" if kind in (HORIZONTAL_POD_AUTOSCALER, CALENDAR) else OF_TENANTS
    return WatchedCollection(kind, namespace, joined(labels, kind.labels))
