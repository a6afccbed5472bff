"""Client of the API server: the only module that imports the Kubernetes client library.

Every write checks leadership twice: before it waits for a connection, and again right before its first byte is sent.
Between the two the process may have been frozen for a minute.
"""

import json
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
import kubernetes.aio.config

from tts_operator.cluster.errors import ClusterError, Conflict, NotFound, NotLeading, Unreachable, error_of
from tts_operator.objects.kinds import Kind, kind_of
from tts_operator.objects.manifest import Body, Manifest, Ref
from tts_operator.objects.names import MANAGER, SCALE_MANAGER

# The library's annotations are partial: calling it is untyped.
client: Any = kubernetes.aio.client
config: Any = kubernetes.aio.config

APPLY = "application/apply-patch+yaml; charset=utf-8"
"""The library does not recognise the type with its charset, and sends the body unchanged: see `yaml_text`."""
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
JSON = "application/json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
READS = frozenset({"GET", "HEAD"})
PAGE = 500
"""Objects per page of a list."""


@dataclass(frozen=True)
class RequestTimeouts:
    """Timeouts of one request, by what it does."""

    read_seconds: float = 30.0
    write_seconds: float = 5.0
    """At most the time from the renew deadline to the end of the lease."""


@dataclass(frozen=True)
class Request:
    """One request to the API server."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Body | Sequence[Body] | None = None
    content_type: str = JSON
    accept: str = JSON

    @property
    def writes(self) -> bool:
        """Whether it may change an object."""
        return self.method not in READS

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Write:
    """One write that was sent, for metrics."""

    verb: str
    kind: str
    succeeded: bool


class Cluster:
    """Reads and writes objects. `may_write` is called before each write, which raises NotLeading where it is False."""

    def __init__(
        self,
        configuration: Any,
        may_write: Callable[[], bool],
        timeouts: RequestTimeouts | None = None,
        wrote: Callable[[Write], None] = lambda _: None,
    ) -> None:
        self._may_write = may_write
        self._timeouts = timeouts or RequestTimeouts()
        self._wrote = wrote
        configuration.trace_configs = [self._gate()]
        self._client = client.ApiClient(configuration)
        self._client.user_agent = "tts-operator"

    @classmethod
    async def connect(
        cls,
        may_write: Callable[[], bool],
        timeouts: RequestTimeouts | None = None,
        wrote: Callable[[Write], None] = lambda _: None,
    ) -> Self:
        """Authenticate as the pod's ServiceAccount, or by KUBECONFIG. Raises Unreachable without either."""
        configuration = client.Configuration()
        await read_credentials(configuration)
        return cls(configuration, may_write, timeouts, wrote)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Body | None:
        """Read one object; None if it does not exist."""
        try:
            live = await self.send(Request("GET", path_of(ref), accept=METADATA_ONLY if metadata_only else JSON))
        except NotFound:
            return None
        return {**live, "apiVersion": ref.api_version, "kind": ref.kind}

    async def list(
        self, kind: Kind, namespace: str = "", labels: str = "", *, metadata_only: bool = False
    ) -> AsyncIterator[Body]:
        """Yield the objects of a kind, page by page. `labels` is a selector; without a namespace all are listed."""
        path = collection_path(kind, namespace)
        query = {"limit": str(PAGE)} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self.send(Request("GET", path, query, accept=METADATA_LIST if metadata_only else JSON))
            for item in page["items"] or ():  # null in an empty metadata-only list
                yield {**item, "apiVersion": kind.api_version, "kind": kind.name}  # the items of a list lack both
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    async def revision(self, kind: Kind, namespace: str = "") -> str:
        """Read the current resourceVersion of a collection. It only decreases if storage is restored from a copy."""
        page = await self.send(Request("GET", collection_path(kind, namespace), {"limit": "1"}, accept=METADATA_LIST))
        return str(page["metadata"].get("resourceVersion") or "")

    async def apply(self, manifest: Manifest, *, force: bool) -> Body:
        """Server-side apply. Returns the object as stored. Without `force`, another manager's field raises Conflict."""
        query = {"fieldManager": MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        return await self.send(Request("PATCH", path_of(manifest.ref), query, manifest.body, APPLY))

    async def claim(self, ref: Ref, body: Body, release: str) -> Body:
        """Set `status.release`. Returns the object as stored. Raises Conflict unless it is still as in `body`."""
        version = {"resourceVersion": body["metadata"]["resourceVersion"]}
        change = {"metadata": version, "status": {"release": release}}
        return await self.send(Request("PATCH", f"{path_of(ref)}/status", {"fieldManager": MANAGER}, change, MERGE))

    async def apply_status(self, ref: Ref, uid: str, status: Body, manager: str = MANAGER) -> None:
        """Replace what this manager owns of the status. Raises NotFound where the object of this UID is gone."""
        body = {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "metadata": {"name": ref.name, "uid": uid} | ({"namespace": ref.namespace} if ref.namespace else {}),
            "status": status,
        }
        query = {"fieldManager": manager, "force": "true"}
        try:
            await self.send(Request("PATCH", f"{path_of(ref)}/status", query, body, APPLY))
        except Conflict:
            live = await self.get(ref, metadata_only=True)
            if live is not None and live["metadata"]["uid"] == uid:
                raise  # concurrent writes: the API server gave up after its own retries
            raise NotFound("NotFound", f"{ref} of UID {uid} is gone") from None

    async def own_replicas(self, ref: Ref, replicas: int, version: str) -> None:
        """Set replicas in the object itself, which makes this program their owner. Raises Conflict as `scale` does."""
        change = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        await self.send(Request("PATCH", path_of(ref), {"fieldManager": SCALE_MANAGER}, change, MERGE))

    async def scale(self, ref: Ref, replicas: int, version: str) -> None:
        """Set replicas through /scale. Raises Conflict unless the object is still at this resourceVersion."""
        body = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": ref.name, "namespace": ref.namespace, "resourceVersion": version},
            "spec": {"replicas": replicas},
        }
        await self.send(Request("PUT", f"{path_of(ref)}/scale", {"fieldManager": SCALE_MANAGER}, body))

    async def annotate(self, ref: Ref, annotation: str, value: str) -> None:
        """Merge-patch one annotation."""
        await self.patch(ref, {"metadata": {"annotations": {annotation: value}}})

    async def patch(self, ref: Ref, change: Body) -> None:
        """Merge-patch fields of an existing object. Raises NotFound without one."""
        await self.send(Request("PATCH", path_of(ref), {"fieldManager": MANAGER}, change, MERGE))

    async def json_patch(self, ref: Ref, operations: Sequence[Body]) -> Body:
        """Apply a JSON Patch. Returns the object as stored. Raises Conflict as the operations ask for."""
        return await self.send(Request("PATCH", path_of(ref), {"fieldManager": MANAGER}, operations, JSON_PATCH))

    async def delete(self, ref: Ref, uid: str) -> None:
        """Delete in the background. Raises Conflict where the object of this name has another UID."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        await self.send(Request("DELETE", path_of(ref), body=body))

    async def create(self, manifest: Manifest) -> Body:
        """Create an object. Raises Conflict if the name is taken."""
        ref = manifest.ref
        path = collection_path(kind_of(ref.api_version, ref.kind), ref.namespace)
        return await self.send(Request("POST", path, {"fieldManager": MANAGER}, manifest.body))

    async def replace(self, manifest: Manifest) -> Body:
        """Replace the whole object. Raises Conflict unless it is still at the manifest's resourceVersion."""
        return await self.send(Request("PUT", path_of(manifest.ref), {"fieldManager": MANAGER}, manifest.body))

    async def send(self, request: Request) -> dict[str, Any]:
        """Send one request, and count it if it writes. Raises ClusterError for every failure."""
        if not request.writes:
            return await self._exchange(request, self._timeouts.read_seconds)
        if not self._may_write():
            raise NotLeading
        kind = path_kind(request.path)
        try:
            answer = await self._exchange(request, self._timeouts.write_seconds)
        except NotLeading:
            raise
        except ClusterError:
            self._wrote(Write(request.method, kind, succeeded=False))
            raise
        self._wrote(Write(request.method, kind, succeeded=True))
        return answer

    async def _exchange(self, request: Request, seconds: float) -> dict[str, Any]:
        token = self._token()
        status, content = await self._response(request, seconds)
        if status == HTTPStatus.UNAUTHORIZED and await self._has_other_token(token):
            status, content = await self._response(request, seconds)
        try:
            answer = json.loads(content)
        except ValueError as error:
            if status < 400:
                raise Unreachable(f"{request}: the response is not JSON") from error
            answer = None
        if status >= 400:
            raise error_of(status, answer)
        return dict(answer)

    def _token(self) -> str | None:
        found: str | None = self._client.configuration.api_key.get("BearerToken")
        return found

    async def _has_other_token(self, rejected: str | None) -> bool:
        """Whether there is a token that the API server has not rejected. It may have been rotated a moment ago."""
        if self._token() == rejected:
            try:
                await read_credentials(self._client.configuration)
            except Unreachable:
                return False  # the file is being written
        return self._token() != rejected

    async def _response(self, request: Request, seconds: float) -> tuple[int, bytes]:
        headers = {
            "Accept": request.accept,
            "Content-Type": request.content_type,
            "User-Agent": self._client.user_agent,
        }
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], request.path, request.method, None)
        body = yaml_text(request.body).encode() if request.content_type == APPLY else request.body
        url = self._client.configuration.host + request.path
        if request.query:
            url += f"?{urlencode(request.query)}"
        try:
            response = await self._client.rest_client.request(
                request.method, url, headers, body, _request_timeout=aiohttp.ClientTimeout(total=seconds)
            )
            content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error.__cause__, NotLeading):  # raised by `_gate` while the body was sent
                raise NotLeading from error
            raise Unreachable(f"{request}: {str(error) or type(error).__name__}") from error
        return response.status, content

    def _gate(self) -> aiohttp.TraceConfig:
        """Check leadership again right before a request is written to its connection.

        Both for headers and for body: the body is sent in a later iteration of the event loop.
        """

        async def about_to_send(
            _session: aiohttp.ClientSession,
            _context: object,
            request: aiohttp.TraceRequestHeadersSentParams | aiohttp.TraceRequestChunkSentParams,
        ) -> None:
            if request.method not in READS and not self._may_write():
                raise NotLeading

        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(about_to_send)
        trace.on_request_chunk_sent.append(about_to_send)
        return trace


async def read_credentials(configuration: Any) -> None:
    """Read the address and the credentials of the API server. Raises Unreachable without any."""
    try:
        if "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)
        else:
            file = os.environ.get("KUBECONFIG")  # the library reads its own default once, at import
            await config.load_kube_config(config_file=file, client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        raise Unreachable(f"no cluster configured: {error}; set KUBECONFIG") from error


async def collect(objects: AsyncIterator[Body]) -> list[Body]:
    """Collect an asynchronous iterator into a list."""
    return [item async for item in objects]


def yaml_text(body: object) -> str:
    """JSON that is valid YAML: the API server parses the body of an apply as YAML.

    Characters beyond U+FFFF are not escaped: JSON escapes them as surrogate pairs, which YAML refuses. All others
    beyond ASCII are escaped: some of them are line breaks in YAML.
    """
    text = json.dumps(body, ensure_ascii=False)
    return re.sub(r"[\x7f-\uffff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def path_of(ref: Ref) -> str:
    """URL path of an object. Raises KeyError for a kind that is not in the table of kinds."""
    return f"{collection_path(kind_of(ref.api_version, ref.kind), ref.namespace)}/{quote(ref.name, safe='')}"


def collection_path(kind: Kind, namespace: str = "") -> str:
    """URL path of the objects of a kind, in a namespace or in all."""
    prefix = f"/apis/{kind.group}" if kind.group else "/api"
    within = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{prefix}/{kind.version}{within}/{kind.plural}"


def path_kind(path: str) -> str:
    """Plural of a URL path with its subresource, such as `deployments/scale`: a bounded label for metrics."""
    parts = path.split("/")[3 if path.startswith("/api/") else 4 :]
    if parts[0] == "namespaces" and len(parts) > 2:
        parts = parts[2:]
    return "/".join([parts[0], *parts[2:3]])
