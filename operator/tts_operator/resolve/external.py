"""Hosts to which engine Remote may send text: those that no model may name, and fallbacks that leave the cluster."""

from urllib.parse import urlsplit

from tts_operator.api import TTSModel, TTSTenant
from tts_operator.objects.problem import Problem
from tts_operator.resolve.hosts import CLUSTER_DOMAIN, is_api_server, is_node_or_cloud
from tts_operator.settings import Settings
from tts_server.config.hosts import BadHost, parse_host


def remote_host(model: TTSModel) -> str:
    """Host of the model's speech server; empty for other engines."""
    return (urlsplit(model.spec.remote.url).hostname or "") if model.spec.remote is not None else ""


def remote_host_problem(model: TTSModel, settings: Settings) -> Problem | None:
    """Why pods may not connect to the model's speech server; None if they may.

    The platform team names the host, so it needs no permission; but a pod never calls its node or the API server.
    """
    host = remote_host(model)
    if not host:
        return None
    try:
        parsed = parse_host(host)
    except BadHost as error:
        return _not_allowed(model, host, str(error))
    if is_api_server(parsed, "", settings):
        return _not_allowed(model, host, "is never allowed: it is the API server")
    if is_node_or_cloud(parsed):
        return _not_allowed(model, host, "is never allowed: it is a loopback, link-local or metadata address")
    return None


def external_fallback_problem(tenant: TTSTenant, model: str, fallback: TTSModel) -> Problem | None:
    """Why the tenant's text may not go to this fallback; None if it may. A Service of the cluster is not outside it."""
    if tenant.spec.allow_external or fallback.spec.remote is None:
        return None
    host = remote_host(fallback)
    if is_in_the_cluster(host):
        return None
    return Problem(
        "ExternalNotAllowed",
        f"TTSModel {model} falls back to {fallback.metadata.name}, which sends text to {host}: set spec.allowExternal"
        " to true, or ask the platform team for another fallback",
    )


def is_in_the_cluster(host: str) -> bool:
    """Whether the host is a Service by its qualified name."""
    name = host.lower().rstrip(".")
    return name.endswith((".svc", f".svc.{CLUSTER_DOMAIN}"))


def _not_allowed(model: TTSModel, host: str, fault: str) -> Problem:
    return Problem("ModelHostNotAllowed", f"TTSModel {model.metadata.name}: spec.remote.url: host {host} {fault}")
