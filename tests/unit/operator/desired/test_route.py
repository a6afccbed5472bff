"""HTTPRoutes and Ingresses, and what pods of exposed tenants believe."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from tests.support.operator_builders import EXPOSED, NOON, built, exposed_by, observe, server_files
from tests.support.resources import Object
from tts_operator.desired.build import Desired
from tts_operator.resolve.resolve import resolve
from tts_operator.settings import Settings

GATEWAY = {"gateway": {"name": "public", "namespace": "gateways"}}
HOST = "acme.team-acme.speech.example"


def desired_with(exposure: Object | None, settings: Settings = EXPOSED) -> Desired:
    spec: Object = {} if exposure is None else {"exposure": exposure}
    found = built(resolve(exposed_by(observe(**spec)), settings, NOON))
    assert found is not None
    return found


def routes(found: Desired) -> list[Any]:
    return [each.body for each in found.manifests if each.ref.kind in ("HTTPRoute", "Ingress")]


def test_an_http_route_leads_to_the_tenants_service_and_never_times_out() -> None:
    (route,) = routes(desired_with(GATEWAY))
    assert route["spec"] == {
        "parentRefs": [
            {
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                "namespace": "gateways",
                "name": "public",
                "sectionName": "https",
            }
        ],
        "hostnames": [HOST],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"group": "", "kind": "Service", "name": "acme", "port": 80, "weight": 1}],
                "timeouts": {"request": "0s", "backendRequest": "0s"},
            }
        ],
    }


def test_an_ingress_has_the_platforms_annotations_and_those_of_cert_manager() -> None:
    (ingress,) = routes(desired_with({"ingress": {"tls": {"issuerRef": {"name": "ca"}}}}))
    assert ingress["metadata"]["annotations"] == {
        "nginx.ingress.kubernetes.io/proxy-buffering": "off",
        "cert-manager.io/issuer": "ca",
    }
    assert ingress["spec"] == {
        "ingressClassName": "nginx",
        "tls": [{"hosts": [HOST], "secretName": "acme-tls"}],
        "rules": [
            {
                "host": HOST,
                "http": {
                    "paths": [
                        {
                            "path": "/",
                            "pathType": "Prefix",
                            "backend": {"service": {"name": "acme", "port": {"number": 80}}},
                        }
                    ]
                },
            }
        ],
    }


def test_an_ingress_without_a_certificate_of_its_own_has_the_controllers() -> None:
    (ingress,) = routes(desired_with({"ingress": {}}))
    assert ingress["spec"]["tls"] == [{"hosts": [HOST]}]


def test_where_nothing_terminates_tls_an_ingress_has_none() -> None:
    settings = replace(EXPOSED, exposure=replace(EXPOSED.exposure, scheme="http"))
    (ingress,) = routes(desired_with({"ingress": {}}, settings))
    assert "tls" not in ingress["spec"]
    own = desired_with({"ingress": {"tls": {"secretRef": {"name": "own"}}}}, settings)
    assert routes(own)[0]["spec"]["tls"] == [{"hosts": [HOST], "secretName": "own"}]


def test_what_is_not_allowed_or_not_asked_for_has_no_route() -> None:
    assert routes(desired_with(None)) == []
    assert routes(desired_with({"gateway": {"name": "other"}})) == []
    assert routes(desired_with({"ingress": {"className": "other"}})) == []


def test_a_route_stays_while_the_tenant_has_no_replicas() -> None:
    without_replicas: list[Object] = [{"suspend": True}, {"schedule": {"default": {"minReplicas": 0}}}]
    for spec in without_replicas:
        found = built(resolve(exposed_by(observe(exposure=GATEWAY, **spec)), EXPOSED, NOON))
        assert found is not None
        assert len(routes(found)) == 1


def trusted(found: Desired) -> list[str] | None:
    (text,) = server_files(found).values()
    value: list[str] | None = json.loads(text)["auth"].get("trustedProxies")
    return value


def test_only_pods_of_exposed_tenants_believe_the_gateways() -> None:
    both = replace(EXPOSED, trusted_proxies=(ip_network("10.7.0.0/16"),))
    assert trusted(desired_with(GATEWAY)) == ["10.4.0.0/16"]
    assert trusted(desired_with(GATEWAY, both)) == ["10.7.0.0/16", "10.4.0.0/16"]
    assert trusted(desired_with(None)) is None
    assert trusted(desired_with({"gateway": {"name": "other"}})) is None, "it has no route"


def test_a_route_rolls_no_pod() -> None:
    before, after = desired_with(None), desired_with(GATEWAY)
    templates = [
        [each.body["spec"]["template"] for each in found.manifests if each.ref.kind == "Deployment"]
        for found in (before, after)
    ]
    assert templates[0] == templates[1]
    assert before.config_hashes != after.config_hashes, "running pods read the file again"
