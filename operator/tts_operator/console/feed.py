"""Lists and watches what the reader of the page may read, and says on the page what they may not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence

from tts_operator.cluster.errors import ClusterError, Expired, Forbidden, NotFound
from tts_operator.cluster.watch_request import Collection, Page, WatchEvent
from tts_operator.console.fleet import Fleet
from tts_operator.informer.reflector import LONGEST_PAGE, Reflector, Source
from tts_operator.objects.kinds import DEPLOYMENT, MODEL, TENANT, Kind, Scope
from tts_operator.objects.labels import MANAGED

FORBIDDEN_SECONDS = 30.0
"""Time after which a list that was forbidden is asked for again, seconds."""
TIME_SECONDS = 10.0
"""Interval at which rows are compared with the time, seconds."""
KINDS = ((TENANT, ""), (MODEL, ""), (DEPLOYMENT, MANAGED))
"""Kinds that are followed, with the selector of their labels."""
LACKS = {
    TENANT: "the table lacks their tenants",
    MODEL: "the voice catalogue is empty",
    DEPLOYMENT: "the page Rollout cannot show who holds places",
}


class Quiet:
    """Activity that nobody counts."""

    def requested(self, path: str) -> None:
        pass

    def opened(self, path: str) -> None:
        pass

    def ended(self, path: str) -> None:
        pass


class ToldSource:
    """Source whose failures are told on the page. Whoever may list and not watch gets new lists."""

    def __init__(self, source: Source, fleet: Fleet, forbidden_seconds: float = FORBIDDEN_SECONDS) -> None:
        self._source = source
        self._fleet = fleet
        self._forbidden_seconds = forbidden_seconds

    async def page(self, collection: Collection, token: str = "", limit: int = LONGEST_PAGE) -> Page:
        try:
            page = await self._source.page(collection, token, limit)
        except Forbidden as error:
            self._fleet.notice(str(collection), forbidden(collection, error))
            if collection.kind is TENANT:
                self._fleet.listed()
            await asyncio.sleep(self._forbidden_seconds)
            raise
        except ClusterError as error:
            self._fleet.notice(str(collection), unreadable(collection, error))
            raise
        self._fleet.notice(str(collection), None)
        return page

    async def watch(self, collection: Collection, version: str, seconds: int) -> AsyncGenerator[WatchEvent]:
        stream = self._source.watch(collection, version, seconds)
        try:
            async for event in stream:
                self._fleet.notice(str(collection), None)
                yield event
        except Forbidden as error:
            raise Expired(error.reason, error.message) from error
        except Expired:
            raise
        except ClusterError as error:
            self._fleet.notice(str(collection), unreadable(collection, error))
            raise
        finally:
            await stream.aclose()


class Feed:
    """Follows tenants, models and Deployments: in all namespaces or, where that is forbidden, in the reader's own."""

    def __init__(self, source: Source, fleet: Fleet, namespaces: Sequence[str], own_namespace: str) -> None:
        """`namespaces`: those that were asked for; empty for all. `own_namespace`: that of the kubeconfig's context."""
        self._source = source
        self._fleet = fleet
        self._namespaces = namespaces
        self._own_namespace = own_namespace

    async def run(self) -> None:
        """Follow everything. Never returns."""
        async with asyncio.TaskGroup() as group:
            for kind, labels in KINDS:
                group.create_task(self._follow(kind, labels))
            group.create_task(self._pass_time())

    async def _follow(self, kind: Kind, labels: str) -> None:
        collections = [Collection(kind, namespace, labels) for namespace in await self._namespaces_of(kind, labels)]
        source = ToldSource(self._source, self._fleet)
        reflectors = [Reflector(source, each, self._fleet.indexer, self._fleet, Quiet()) for each in collections]
        async with asyncio.TaskGroup() as group:
            for reflector in reflectors:
                group.create_task(reflector.run())
            if kind is TENANT:
                group.create_task(self._note_sync(reflectors))

    async def _namespaces_of(self, kind: Kind, labels: str) -> Iterable[str]:
        """Namespaces to follow; an empty name stands for all."""
        if kind.scope is Scope.CLUSTER:
            return ("",)
        if self._namespaces:
            return self._namespaces
        everywhere = Collection(kind, "", labels)
        try:
            await self._source.page(everywhere, limit=1)
        except Forbidden as error:
            own = self._own_namespace
            self._fleet.notice(
                f"all {kind.plural}",
                f"You may not list {kind.plural} in all namespaces, so that {LACKS[kind]}. Shown: those of"
                f" {own}, the namespace of your kubeconfig's context; `-n NAMESPACE` shows others. {error.message}",
            )
            return (own,)
        except ClusterError:
            pass  # the reflector asks again, and says so
        return ("",)

    async def _note_sync(self, reflectors: Sequence[Reflector]) -> None:
        while not all(each.synced for each in reflectors):  # noqa: ASYNC110 - a reflector tells nobody
            await asyncio.sleep(0.05)
        self._fleet.listed()

    async def _pass_time(self) -> None:
        while True:
            await asyncio.sleep(TIME_SECONDS)
            self._fleet.time_passed()


def forbidden(collection: Collection, error: Forbidden) -> str:
    """Sentence for what RBAC refuses."""
    where = f" in namespace {collection.namespace}" if collection.namespace else ""
    return f"You may not list {collection.kind.plural}{where}, so that {LACKS[collection.kind]}. {error.message}"


def unreadable(collection: Collection, error: ClusterError) -> str:
    """Sentence for what cannot be read now."""
    if isinstance(error, NotFound):
        return f"This cluster has no {collection.kind.plural}: is the operator's chart installed?"
    return f"{collection} cannot be read now, so that they may be out of date: {error}"
