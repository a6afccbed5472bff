"""HTTPRoute or Ingress by which callers outside the cluster reach the tenant's Service."""

from typing import Any

from tts_operator.desired.metadata import tenant_metadata
from tts_operator.desired.service import TENANT_PORT
from tts_operator.objects.kinds import HTTP_ROUTE, INGRESS
from tts_operator.objects.manifest import Manifest
from tts_operator.resolve.exposure import Exposure, GatewayParent, IngressParent
from tts_operator.resolve.resolved import Resolved

UNLIMITED = "0s"
"""Timeout of the Gateway API that never passes: a reply streams for as long as its client plays it."""


def route(resolved: Resolved) -> Manifest | None:
    """The route of an exposed tenant; None without one. It leads to the Service also while that has no pods."""
    exposure = resolved.exposure
    if exposure is None or not exposure.hostname:
        return None
    if isinstance(exposure.parent, GatewayParent):
        return http_route(resolved, exposure.hostname, exposure.parent)
    return ingress(resolved, exposure, exposure.parent) if exposure.parent else None


def http_route(resolved: Resolved, hostname: str, gateway: GatewayParent) -> Manifest:
    """Route of the Gateway API, with every field that the API server would default: its lists are compared whole."""
    parent = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "namespace": gateway.namespace,
        "name": gateway.name,
    }
    if gateway.listener:
        parent["sectionName"] = gateway.listener
    backend = {"group": "", "kind": "Service", "name": resolved.key.name, "port": TENANT_PORT, "weight": 1}
    return Manifest.of(
        {
            "apiVersion": HTTP_ROUTE.api_version,
            "kind": HTTP_ROUTE.name,
            "metadata": tenant_metadata(resolved, resolved.key.name),
            "spec": {
                "parentRefs": [parent],
                "hostnames": [hostname],
                "rules": [
                    {
                        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                        "backendRefs": [backend],
                        "timeouts": {"request": UNLIMITED, "backendRequest": UNLIMITED},
                    }
                ],
            },
        }
    )


def ingress(resolved: Resolved, exposure: Exposure, parent: IngressParent) -> Manifest:
    """Ingress with the platform's annotations. With TLS but without a Secret, the controller's certificate is used."""
    settings = resolved.settings.exposure
    annotations = dict(settings.ingress_annotations)
    if parent.issuer_annotation is not None:
        annotations |= [parent.issuer_annotation]
    metadata = tenant_metadata(resolved, resolved.key.name)
    if annotations:
        metadata["annotations"] = annotations
    service = {"name": resolved.key.name, "port": {"number": TENANT_PORT}}
    spec: dict[str, Any] = {
        "ingressClassName": parent.class_name,
        "rules": [
            {
                "host": exposure.hostname,
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": service}}]},
            }
        ],
    }
    if settings.scheme == "https" or parent.tls_secret:
        tls = {"hosts": [exposure.hostname]}
        spec["tls"] = [tls | ({"secretName": parent.tls_secret} if parent.tls_secret else {})]
    return Manifest.of({"apiVersion": INGRESS.api_version, "kind": INGRESS.name, "metadata": metadata, "spec": spec})
