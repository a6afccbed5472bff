"""The way to the API server: the only module that imports the Kubernetes client.

Every write asks for leadership twice: before it waits for a connection, and again in the moment in which its first byte
is about to leave. Between the two a process may have been frozen for a minute.
"""

import json
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
import kubernetes.aio.config

from tts_operator.cluster.errors import ClusterError, Conflict, NotFound, NotLeading, Unreachable, error_of
from tts_operator.objects.manifest import Body, Manifest, Ref
from tts_operator.objects.names import API_VERSION, MANAGER, SCALE_MANAGER

PLURALS: Mapping[tuple[str, str], str] = {
    ("v1", "ConfigMap"): "configmaps",
    ("v1", "Namespace"): "namespaces",
    ("v1", "Pod"): "pods",
    ("v1", "Secret"): "secrets",
    ("v1", "Service"): "services",
    ("v1", "ServiceAccount"): "serviceaccounts",
    ("apps/v1", "Deployment"): "deployments",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "horizontalpodautoscalers",
    ("coordination.k8s.io/v1", "Lease"): "leases",
    ("events.k8s.io/v1", "Event"): "events",
    ("networking.k8s.io/v1", "NetworkPolicy"): "networkpolicies",
    ("policy/v1", "PodDisruptionBudget"): "poddisruptionbudgets",
    (API_VERSION, "TTSModel"): "ttsmodels",
    (API_VERSION, "TTSTenant"): "ttstenants",
}
"""Every kind that the operator reads or writes, as the API server's paths spell it."""

# The client's annotations are partial: calling it is untyped.
client: Any = kubernetes.aio.client
config: Any = kubernetes.aio.config

APPLY = "application/apply-patch+yaml; charset=utf-8"
"""With its charset the client library does not know it, and sends the body as it gets it: see `yaml_text`."""
MERGE = "application/merge-patch+json"
JSON = "application/json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
READS = frozenset({"GET", "HEAD"})
PAGE = 500
"""Objects per answer when everything is listed."""


@dataclass(frozen=True)
class RequestTimeouts:
    """How long a request may take."""

    read_seconds: float = 30.0
    write_seconds: float = 5.0
    """No longer than from the renew deadline to the end of the lease."""


@dataclass(frozen=True)
class Request:
    """One exchange with the API server."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    content_type: str = JSON
    accept: str = JSON

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.method not in READS

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Write:
    """One write that was sent, for whoever counts them."""

    verb: str
    kind: str
    succeeded: bool


class Cluster:
    """Reads and writes of one operator. Reads are free; `may_write` is asked about each write."""

    def __init__(
        self,
        configuration: Any,
        may_write: Callable[[], bool],
        patience: RequestTimeouts | None = None,
        wrote: Callable[[Write], None] = lambda _: None,
    ) -> None:
        self._may_write = may_write
        self._patience = patience or RequestTimeouts()
        self._wrote = wrote
        configuration.trace_configs = [self._gate()]
        self._client = client.ApiClient(configuration)
        self._client.user_agent = "tts-operator"

    @classmethod
    async def connect(
        cls,
        may_write: Callable[[], bool],
        patience: RequestTimeouts | None = None,
        wrote: Callable[[Write], None] = lambda _: None,
    ) -> Self:
        """By the pod's ServiceAccount, or by KUBECONFIG outside a cluster. Raises Unreachable without either."""
        configuration = client.Configuration()
        try:
            if "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config(client_configuration=configuration)
            else:
                file = os.environ.get("KUBECONFIG")  # the client's own default is from when it was imported
                await config.load_kube_config(config_file=file, client_configuration=configuration)
        except (config.ConfigException, OSError) as error:
            raise Unreachable(f"no way to a cluster: {error}; set KUBECONFIG") from error
        return cls(configuration, may_write, patience, wrote)

    async def close(self) -> None:
        """End its connections."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Body | None:
        """The live object; None if there is none."""
        try:
            found = await self._ask(Request("GET", path_of(ref), accept=METADATA_ONLY if metadata_only else JSON))
        except NotFound:
            return None
        return {**found, "apiVersion": ref.api_version, "kind": ref.kind}

    async def list(
        self, api_version: str, kind: str, namespace: str = "", labels: str = "", *, metadata_only: bool = False
    ) -> AsyncIterator[Body]:
        """Live objects of a kind, page by page; `labels` is a selector, no namespace means all of them."""
        path = collection_path(api_version, kind, namespace)
        query = {"limit": str(PAGE)} | ({"labelSelector": labels} if labels else {})
        while True:
            page = await self._ask(Request("GET", path, query, accept=METADATA_LIST if metadata_only else JSON))
            for item in page["items"] or ():  # a metadata-only list of nothing says null
                yield {**item, "apiVersion": api_version, "kind": kind}  # a list leaves them out of its items
            follows = page["metadata"].get("continue")
            if not follows:
                return
            query["continue"] = follows

    async def apply(self, manifest: Manifest, *, force: bool) -> Body:
        """Server-side apply; without `force`, another manager's field is a Conflict."""
        query = {"fieldManager": MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        return await self._ask(Request("PATCH", path_of(manifest.ref), query, manifest.body, APPLY))

    async def apply_status(self, ref: Ref, uid: str, status: Body) -> None:
        """Make this the whole status of the very object that was observed: NotFound where that one is gone."""
        body = {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "metadata": {"name": ref.name, "uid": uid} | ({"namespace": ref.namespace} if ref.namespace else {}),
            "status": status,
        }
        query = {"fieldManager": MANAGER, "force": "true"}
        try:
            await self._ask(Request("PATCH", f"{path_of(ref)}/status", query, body, APPLY))
        except Conflict:
            live = await self.get(ref, metadata_only=True)
            if live is not None and live["metadata"]["uid"] == uid:
                raise  # others wrote at the same time, more often than the API server was ready to try again
            raise NotFound("NotFound", f"{ref} of UID {uid} is gone") from None

    async def scale(self, ref: Ref, replicas: int, version: str) -> None:
        """Write replicas through /scale, only if the object is still at this resourceVersion."""
        body = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": ref.name, "namespace": ref.namespace, "resourceVersion": version},
            "spec": {"replicas": replicas},
        }
        await self._ask(Request("PUT", f"{path_of(ref)}/scale", {"fieldManager": SCALE_MANAGER}, body))

    async def annotate(self, ref: Ref, annotation: str, value: str) -> None:
        """Set one annotation."""
        body = {"metadata": {"annotations": {annotation: value}}}
        await self._ask(Request("PATCH", path_of(ref), {"fieldManager": MANAGER}, body, MERGE))

    async def delete(self, ref: Ref, uid: str) -> None:
        """In the background, and only the very object that was observed: otherwise a Conflict."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        await self._ask(Request("DELETE", path_of(ref), body=body))

    async def create(self, manifest: Manifest) -> Body:
        """A new object; a Conflict if the name is taken."""
        ref = manifest.ref
        path = collection_path(ref.api_version, ref.kind, ref.namespace)
        return await self._ask(Request("POST", path, {"fieldManager": MANAGER}, manifest.body))

    async def replace(self, manifest: Manifest) -> Body:
        """The whole object, as its resourceVersion allows: otherwise a Conflict."""
        return await self._ask(Request("PUT", path_of(manifest.ref), {"fieldManager": MANAGER}, manifest.body))

    async def _ask(self, request: Request) -> dict[str, Any]:
        """One exchange. Raises ClusterError, whatever went wrong."""
        if not request.writes:
            return await self._exchange(request, self._patience.read_seconds)
        if not self._may_write():
            raise NotLeading
        kind = path_kind(request.path)
        try:
            answer = await self._exchange(request, self._patience.write_seconds)
        except NotLeading:
            raise
        except ClusterError:
            self._wrote(Write(request.method, kind, succeeded=False))
            raise
        self._wrote(Write(request.method, kind, succeeded=True))
        return answer

    async def _exchange(self, request: Request, seconds: float) -> dict[str, Any]:
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
            if isinstance(error.__cause__, NotLeading):  # the gate's, at the body
                raise NotLeading from error
            raise Unreachable(f"{request}: {str(error) or type(error).__name__}") from error
        try:
            answer = json.loads(content)
        except ValueError as error:
            if response.status < 400:
                raise Unreachable(f"{request}: the answer is not JSON") from error
            answer = None
        if response.status >= 400:
            raise error_of(response.status, answer)
        return dict(answer)

    def _gate(self) -> aiohttp.TraceConfig:
        """Asks for leadership once more when the request is about to be written to its connection.

        Twice: the headers of a request with a body wait for that, which goes out in another round of the event loop.
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


async def collect(objects: AsyncIterator[Body]) -> list[Body]:
    """All of them at once."""
    return [item async for item in objects]


def yaml_text(body: object) -> str:
    """JSON that is YAML too: what is sent as an apply is read as YAML.

    An emoji or a rare ideograph stands for itself: JSON would escape it in two halves, which YAML takes for characters
    of their own and refuses. Everything else beyond ASCII is escaped: some of it would end a line in YAML.
    """
    text = json.dumps(body, ensure_ascii=False)
    return re.sub(r"[\x7f-\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def path_of(ref: Ref) -> str:
    """Where the API server keeps an object."""
    return f"{collection_path(ref.api_version, ref.kind, ref.namespace)}/{quote(ref.name, safe='')}"


def collection_path(api_version: str, kind: str, namespace: str = "") -> str:
    """Where the API server keeps the objects of a kind."""
    prefix = "/api" if api_version == "v1" else "/apis"
    within = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{prefix}/{api_version}{within}/{PLURALS[api_version, kind]}"


def path_kind(path: str) -> str:
    """The plural, with its subresource, that a path is about: a bounded label for metrics."""
    parts = path.split("/")[3 if path.startswith("/api/") else 4 :]
    if parts[0] == "namespaces" and len(parts) > 2:
        parts = parts[2:]
    return "/".join([parts[0], *parts[2:3]])
