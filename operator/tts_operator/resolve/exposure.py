"""Resolves `spec.exposure`: the route for callers outside the cluster, as far as the platform allows it.

A problem here concerns callers outside only: the tenant is accepted, and its Service answers inside the cluster.
"""

from dataclasses import dataclass
from typing import NamedTuple

from tts_operator.api import TTSTenant
from tts_operator.api.tenant import GatewayReference, IngressExposure, IngressTLS
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import AddOn
from tts_operator.objects.names import tls_secret_name
from tts_operator.objects.problem import Problem
from tts_operator.settings import MAX_HOST_CHARACTERS, ExposureSettings

HOSTNAMES_VALUE = "exposure.hostnames"
ISSUER_ANNOTATIONS = {"Issuer": "cert-manager.io/issuer", "ClusterIssuer": "cert-manager.io/cluster-issuer"}
"""Annotations of an Ingress by which cert-manager requests a certificate, by the kind of the issuer."""
MAX_LABEL_CHARACTERS = 63
"""Characters of a part of a host name between two dots."""


class GatewayParent(NamedTuple):
    """Gateway, or a listener of it, to which an HTTPRoute attaches."""

    namespace: str
    name: str
    listener: str = ""
    """Name of the listener; empty for all that admit the route."""

    def __str__(self) -> str:
        return f"Gateway {self.namespace}/{self.name}"


class IngressParent(NamedTuple):
    """Ingress controller, with the certificate that it is to use."""

    class_name: str
    tls_secret: str = ""
    """Secret with the certificate; empty for the controller's default."""
    issuer_annotation: tuple[str, str] | None = None
    """Annotation by which cert-manager writes that Secret."""

    def __str__(self) -> str:
        return f"IngressClass {self.class_name}"


@dataclass(frozen=True)
class Exposure:
    """A tenant's route, or why it has none."""

    hostname: str = ""
    """Host name of the route; empty without a route."""
    url: str = ""
    parent: GatewayParent | IngressParent | None = None
    problem: Problem | None = None
    """Problem that a person must solve. With a host name, the route of an earlier one stays."""


def resolve_exposure(tenant: TTSTenant, settings: ExposureSettings, add_ons: frozenset[AddOn]) -> Exposure | None:
    """The route that the spec asks for; None if it asks for none. It is for one tenant only: see `HostnameTable`.

    `add_ons`: those that are enabled and installed.
    """
    wanted = tenant.spec.exposure
    if wanted is None:
        return None
    key = Key(tenant.metadata.namespace, tenant.metadata.name)
    way = wanted.gateway or wanted.ingress or IngressExposure()
    if isinstance(way, GatewayReference):
        parent: GatewayParent | IngressParent | Problem = allowed_gateway(way, key.namespace, settings)
    else:
        parent = allowed_ingress(way, key.name, settings)
    if isinstance(parent, Problem):
        return Exposure(problem=parent)
    hostname = allowed_hostname(wanted.hostname, key, settings)
    if isinstance(hostname, Problem):
        return Exposure(problem=hostname)
    own_certificate = isinstance(parent, IngressParent) and parent.tls_secret
    url = f"{'https' if own_certificate else settings.scheme}://{hostname}"
    if problem := not_installed(parent, add_ons):
        return Exposure(hostname, url, None, problem)
    return Exposure(hostname, url, parent)


def not_installed(parent: GatewayParent | IngressParent, add_ons: frozenset[AddOn]) -> Problem | None:
    """The operator cannot use the route's kind now. The tenant keeps its host name meanwhile."""
    if isinstance(parent, GatewayParent) and AddOn.GATEWAY_API not in add_ons:
        return Problem(
            "GatewayAPINotInstalled",
            "spec.exposure.gateway: the cluster lacks the CRDs of the Gateway API, or the operator may not use them:"
            " ask the platform team to install them and to set gatewayAPI.enabled of the chart",
        )
    if isinstance(parent, IngressParent) and AddOn.INGRESS not in add_ons:
        return Problem(
            "IngressNotEnabled",
            "spec.exposure.ingress: the operator may not use Ingresses: ask the platform team to set ingress.enabled"
            " of the chart",
        )
    return None


def allowed_gateway(wanted: GatewayReference, namespace: str, settings: ExposureSettings) -> GatewayParent | Problem:
    """The Gateway, with the listener that the platform names."""
    allowed = [GatewayParent(*entry.split("/")) for entry in settings.gateways]
    named = wanted.namespace or namespace, wanted.name
    found = next((each for each in allowed if (each.namespace, each.name) == named), None)
    if found is not None:
        return found
    offered = ", ".join(f"{each.namespace}/{each.name}" for each in allowed) or "empty"
    return Problem(
        "GatewayNotAllowed",
        f"spec.exposure.gateway: Gateway {named[0]}/{named[1]} is not allowed: use one of gatewayAPI.gateways of the"
        f" chart ({offered})",
    )


def allowed_ingress(wanted: IngressExposure, tenant: str, settings: ExposureSettings) -> IngressParent | Problem:
    """The IngressClass and the certificate."""
    class_name = wanted.class_name or next(iter(settings.ingress_classes), "")
    if class_name not in settings.ingress_classes:
        offered = ", ".join(settings.ingress_classes) or "empty"
        named = f"IngressClass {class_name} is not allowed" if class_name else "no IngressClass is allowed"
        return Problem(
            "IngressClassNotAllowed",
            f"spec.exposure.ingress.className: {named}: use one of ingress.classNames of the chart ({offered})",
        )
    certificate = allowed_certificate(wanted.tls, tenant, settings)
    return certificate if isinstance(certificate, Problem) else IngressParent(class_name, *certificate)


def allowed_certificate(
    wanted: IngressTLS | None, tenant: str, settings: ExposureSettings
) -> tuple[str, tuple[str, str] | None] | Problem:
    """The Secret with the certificate, empty for the controller's default, and the annotation for cert-manager."""
    if wanted is None:
        return "", None
    if wanted.issuer_ref is None:
        return wanted.secret_ref.name if wanted.secret_ref else "", None
    issuer = wanted.issuer_ref
    if issuer.kind == "ClusterIssuer" and issuer.name not in settings.cluster_issuers:
        offered = ", ".join(settings.cluster_issuers) or "empty"
        return Problem(
            "IssuerNotAllowed",
            f"spec.exposure.ingress.tls.issuerRef: ClusterIssuer {issuer.name} is not allowed: use one of"
            f" ingress.clusterIssuers of the chart ({offered}), or an Issuer of the namespace",
        )
    return tls_secret_name(tenant), (ISSUER_ANNOTATIONS[issuer.kind], issuer.name)


def allowed_hostname(wanted: str | None, key: Key, settings: ExposureSettings) -> str | Problem:
    """The host name that the spec asks for, or the tenant's default."""
    allowed = [template.format(tenant=key.name, namespace=key.namespace) for template in settings.hostnames]
    if wanted is not None:
        if any(is_allowed(wanted, pattern) for pattern in allowed):
            return wanted
        offered = ", ".join(allowed) or "empty"
        return Problem(
            "HostnameNotAllowed",
            f"spec.exposure.hostname: {wanted} is not allowed: use one of {HOSTNAMES_VALUE} of the chart, which for"
            f" this tenant are {offered}",
        )
    default = next((pattern for pattern in allowed if not pattern.startswith("*.")), None)
    if default is None:
        return Problem(
            "HostnameRequired",
            f"spec.exposure.hostname is required: {HOSTNAMES_VALUE} of the chart gives no default for this tenant",
        )
    if len(default) > MAX_HOST_CHARACTERS or any(len(label) > MAX_LABEL_CHARACTERS for label in default.split(".")):
        return Problem("HostnameRequired", f"spec.exposure.hostname is required: the default, {default}, is too long")
    return default


def is_allowed(hostname: str, pattern: str) -> bool:
    """Whether a pattern allows the host name. `*.example` allows every name below example, at any depth."""
    return hostname == pattern or (pattern.startswith("*.") and hostname.endswith(pattern[1:]))
