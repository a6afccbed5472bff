"""Lists a collection, and follows its changes from there."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, cast

from tts_operator.cluster.client import PAGE, Cluster, Request, collection_path
from tts_operator.cluster.errors import Unreachable, error_of
from tts_operator.objects.kinds import Kind
from tts_operator.objects.manifest import Body

WATCH_SECONDS = 30
"""Duration of one watch request, seconds: a connection that died is noticed soon after."""
EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


@dataclass(frozen=True)
class Collection:
    """Objects of a kind, in a namespace or in all, that a selector chooses."""

    kind: Kind
    namespace: str = ""
    labels: str = ""


@dataclass(frozen=True)
class Snapshot:
    """A list with the version from which a watch continues it."""

    objects: tuple[Body, ...]
    version: str


@dataclass(frozen=True)
class WatchEvent:
    """One change."""

    type: EventType
    body: Body

    @property
    def version(self) -> str:
        """The version from which a watch continues after this event."""
        return str(self.body["metadata"]["resourceVersion"])


async def snapshot(cluster: Cluster, collection: Collection) -> Snapshot:
    """List a collection, page by page. Raises ClusterError."""
    path = collection_path(collection.kind, collection.namespace)
    query = {"limit": str(PAGE)} | ({"labelSelector": collection.labels} if collection.labels else {})
    objects: list[Body] = []
    while True:
        page = await cluster.send(Request("GET", path, query))
        objects += page["items"] or ()
        token = page["metadata"].get("continue")
        if not token:
            return Snapshot(tuple(objects), str(page["metadata"]["resourceVersion"]))
        query["continue"] = token


async def changes(cluster: Cluster, collection: Collection, version: str) -> AsyncIterator[WatchEvent]:
    """Yield changes after this version until the API server ends the request.

    Raises ClusterError; Refused with the reason Expired where the version is too old, so that a list must follow.
    """
    query = {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(WATCH_SECONDS),
    } | ({"labelSelector": collection.labels} if collection.labels else {})
    request = Request("GET", collection_path(collection.kind, collection.namespace), query)
    async for line in cluster.lines(request, silence_seconds=WATCH_SECONDS + 5):
        try:
            event = json.loads(line)
        except ValueError as error:
            raise Unreachable(f"{request}: an event is not JSON") from error
        if event["type"] == "ERROR":
            raise error_of(int(event["object"].get("code", 500)), event["object"])
        yield WatchEvent(cast("EventType", event["type"]), event["object"])
