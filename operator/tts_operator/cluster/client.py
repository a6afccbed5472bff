"""Client of the API server: the only module that imports the Kubernetes client library.

Every write checks leadership twice: before it waits for a connection, and again right before its first byte is sent.
Between the two the process may have been frozen for a minute.
"""

import json
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
import kubernetes.aio.config
from yarl import URL

from tts_operator.cluster.concurrency import WriteGate
from tts_operator.cluster.errors import ClusterError, Conflict, NotFound, NotLeading, Unreachable, error_of
from tts_operator.cluster.lines import lines
from tts_operator.cluster.paths import collection_path
from tts_operator.cluster.watch_request import CONNECT_SECONDS, GRACE_SECONDS, OPENED, Collection, Page, WatchEvent
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
PROXIED_SILENCE_SECONDS = 120.0
"""Longest silence of what answers behind a proxy of the API server, seconds."""


@dataclass(frozen=True)
class RequestTimeouts:
    """Timeouts of one request, by what it does."""

    read_seconds: float = 30.0
    write_seconds: float = 5.0
    """At most the time from the renew deadline to the end of the lease."""


@dataclass(frozen=True)
class Kubeconfig:
    """A person's kubeconfig. Without a file that of KUBECONFIG or of the home, without a context the current one."""

    file: str | None = None
    context: str | None = None


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
        self.stored: Callable[[str, str, Body], None] = lambda _method, _path, _answer: None
        """Called after each successful write, before its caller continues, with its method, path and response."""
        self.gate: WriteGate | None = None
        """Limits the writes that are under way; None: any number."""
        self.requests = 0
        """Number of requests that were sent, without watches."""
        self._kubeconfig: Kubeconfig | None = None
        configuration.trace_configs = [self._gate()]
        self._client = client.ApiClient(configuration)
        self._client.user_agent = "tts-operator"

    @classmethod
    async def connect(
        cls,
        may_write: Callable[[], bool],
        timeouts: RequestTimeouts | None = None,
        wrote: Callable[[Write], None] = lambda _: None,
        *,
        connections: int = 100,
        kubeconfig: Kubeconfig | None = None,
    ) -> Self:
        """Authenticate by a kubeconfig, else as the pod's ServiceAccount. Raises Unreachable without either.

        `connections`: the most at the same time; 0 for any number.
        """
        configuration = client.Configuration()
        configuration.connection_pool_maxsize = connections
        await read_credentials(configuration, kubeconfig)
        cluster = cls(configuration, may_write, timeouts, wrote)
        cluster._kubeconfig = kubeconfig
        return cluster

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
        collection, token = Collection(kind, namespace, labels, metadata_only=metadata_only), ""
        while True:
            page = await self.page(collection, token)
            for item in page.items:
                yield item
            token = page.token
            if not token:
                return

    async def page(self, collection: Collection, token: str = "", limit: int = PAGE) -> Page:
        kind = collection.kind
        query = collection.query | {"limit": str(limit)} | ({"continue": token} if token else {})
        accept = METADATA_LIST if collection.metadata_only else JSON
        request = Request("GET", collection_path(kind, collection.namespace), query, accept=accept)
        page, size = await self._exchange(request, self._timeouts.read_seconds)
        return Page(
            # The items of a list lack both; null in an empty metadata-only list.
            [{**item, "apiVersion": kind.api_version, "kind": kind.name} for item in page["items"] or ()],
            str(page["metadata"].get("resourceVersion") or ""),
            str(page["metadata"].get("continue") or ""),
            size,
        )

    async def watch(self, collection: Collection, version: str, seconds: int) -> AsyncGenerator[WatchEvent]:
        query = collection.query | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        path = collection_path(collection.kind, collection.namespace)
        request = Request("GET", path, query, accept=METADATA_ONLY if collection.metadata_only else JSON)
        timeout = aiohttp.ClientTimeout(total=seconds + GRACE_SECONDS, sock_connect=CONNECT_SECONDS)
        response = await self._respond(request, timeout)
        try:
            if response.status >= 400:
                raise error_of(response.status, as_json(await response.read()), retry_after(response))
            yield WatchEvent(OPENED, {})
            async for line in lines(response.content.iter_any()):
                event = as_json(line)
                if not isinstance(event, dict) or "object" not in event:
                    raise Unreachable(f"{request}: an event is not JSON")
                if event.get("type") == "ERROR":
                    raise error_of(int(event["object"].get("code") or 500), event["object"])
                yield WatchEvent(
                    str(event["type"]),
                    {**event["object"], "apiVersion": collection.kind.api_version, "kind": collection.kind.name},
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{request}: {str(error) or type(error).__name__}") from error
        finally:
            response.close()

    @asynccontextmanager
    async def proxied(
        self,
        request: Request,
        headers: Mapping[str, str],
        content: bytes = b"",
        silence_seconds: float = PROXIED_SILENCE_SECONDS,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request through a proxy of the API server to a pod or a Service, with these headers.

        Yields the response, whose body is not read yet: speech comes as it is made. Raises Unreachable.
        """
        rest, configuration = self._client.rest_client, self._client.configuration
        if rest.pool_manager is None:  # the library creates its session with the first request of its own
            raise Unreachable(f"{request}: the API server has not answered yet")
        own = {"User-Agent": self._client.user_agent}
        await self._client.update_params_for_auth(own, [], ["BearerToken"], request.path, request.method, None)
        query = f"?{urlencode(request.query)}" if request.query else ""
        chosen = {"server_hostname": configuration.tls_server_name, "proxy": configuration.proxy}
        try:
            response = await rest.pool_manager.request(
                request.method,
                URL(f"{configuration.host}{request.path}{query}", encoded=True),
                headers={**headers, **own},
                data=content or None,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds),
                allow_redirects=False,  # a pod could lead to another path of the API server, with this person's rights
                **{name: value for name, value in chosen.items() if value},
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{request}: {str(error) or type(error).__name__}") from error
        try:
            yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{request}: {str(error) or type(error).__name__}") from error
        finally:
            response.close()

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
            return (await self._exchange(request, self._timeouts.read_seconds))[0]
        if not self._may_write():
            raise NotLeading
        kind = path_kind(request.path)
        try:
            async with self.gate.passed() if self.gate else nullcontext():
                answer, _ = await self._exchange(request, self._timeouts.write_seconds)
        except NotLeading:
            raise
        except ClusterError:
            self._wrote(Write(request.method, kind, succeeded=False))
            raise
        self._wrote(Write(request.method, kind, succeeded=True))
        self.stored(request.method, request.path, answer)
        return answer

    async def _exchange(self, request: Request, seconds: float) -> tuple[dict[str, Any], int]:
        """The response to one request, and its size in bytes. Raises ClusterError."""
        self.requests += 1
        response = await self._respond(request, aiohttp.ClientTimeout(total=seconds))
        try:
            content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{request}: {str(error) or type(error).__name__}") from error
        answer = as_json(content)
        if response.status >= 400:
            raise error_of(response.status, answer, retry_after(response))
        if answer is None:
            raise Unreachable(f"{request}: the response is not JSON")
        return dict(answer), len(content)

    async def _respond(self, request: Request, limits: aiohttp.ClientTimeout) -> Any:
        """The response, whose body is not read yet. Raises Unreachable, and NotLeading."""
        token = self._token()
        response = await self._request(request, limits)
        if response.status == HTTPStatus.UNAUTHORIZED and await self._has_other_token(token):
            response.close()
            response = await self._request(request, limits)
        return response

    def _token(self) -> str | None:
        found: str | None = self._client.configuration.api_key.get("BearerToken")
        return found

    async def _has_other_token(self, rejected: str | None) -> bool:
        """Whether there is a token that the API server has not rejected. It may have been rotated a moment ago."""
        if self._token() == rejected:
            try:
                await read_credentials(self._client.configuration, self._kubeconfig)
            except Unreachable:
                return False  # the file is being written
        return self._token() != rejected

    async def _request(self, request: Request, limits: aiohttp.ClientTimeout) -> Any:
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
            wrapped = await self._client.rest_client.request(
                request.method, url, headers, body, _request_timeout=limits
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error.__cause__, NotLeading):  # raised by `_gate` while the body was sent
                raise NotLeading from error
            raise Unreachable(f"{request}: {str(error) or type(error).__name__}") from error
        return wrapped.response

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


def as_json(content: bytes) -> Any:
    """Parse a response; None if it is not JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def retry_after(response: Any) -> float:
    """Time after which the server asks to be asked again, seconds; 0 if it does not say."""
    text = str(response.headers.get("Retry-After") or "")
    return float(text) if text.isdecimal() else 0.0


async def read_credentials(configuration: Any, kubeconfig: Kubeconfig | None = None) -> None:
    """Read the address and the credentials of the API server. Raises Unreachable without any."""
    try:
        if kubeconfig is not None:
            file = kubeconfig.file or os.environ.get("KUBECONFIG")
            await config.load_kube_config(file, kubeconfig.context, client_configuration=configuration)
            return
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


def path_kind(path: str) -> str:
    """Plural of a URL path with its subresource, such as `deployments/scale`: a bounded label for metrics."""
    parts = path.split("/")[3 if path.startswith("/api/") else 4 :]
    if parts[0] == "namespaces" and len(parts) > 2:
        parts = parts[2:]
    return "/".join([parts[0], *parts[2:3]])
