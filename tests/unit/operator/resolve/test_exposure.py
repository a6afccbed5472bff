"""Ways in from outside: which gateway, IngressClass, certificate and host name a tenant gets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.operator_builders import EXPOSED, NOON, exposed_by, observe
from tests.support.resources import Object
from tts_operator.objects.kinds import AddOn
from tts_operator.resolve.exposure import Exposure, GatewayParent, IngressParent
from tts_operator.resolve.hostname_table import HostnameTable
from tts_operator.resolve.resolve import resolve
from tts_operator.resolve.resolved import Resolved
from tts_operator.settings import ExposureSettings

GATEWAY = {"name": "public", "namespace": "gateways"}
DEFAULT = "acme.team-acme.speech.example"
PUBLIC = GatewayParent("gateways", "public", "https")

ROUTES: dict[str, tuple[Object, Exposure]] = {
    # the story: (spec.exposure, the route)
    "a gateway, and the default host name": ({"gateway": GATEWAY}, Exposure(DEFAULT, f"https://{DEFAULT}", PUBLIC)),
    "a host name below what is allowed": (
        {"gateway": GATEWAY, "hostname": "tts.voices.example"},
        Exposure("tts.voices.example", "https://tts.voices.example", PUBLIC),
    ),
    "a gateway of all listeners": (
        {"gateway": {"name": "own", "namespace": "team-acme"}},
        Exposure(DEFAULT, f"https://{DEFAULT}", GatewayParent("team-acme", "own")),
    ),
    "a gateway of the tenant's namespace": (
        {"gateway": {"name": "own"}},
        Exposure(DEFAULT, f"https://{DEFAULT}", GatewayParent("team-acme", "own")),
    ),
    "an ingress controller with everything by default": (
        {"ingress": {}},
        Exposure(DEFAULT, f"https://{DEFAULT}", IngressParent("nginx")),
    ),
    "another class, and a certificate of its own": (
        {"ingress": {"className": "traefik", "tls": {"secretRef": {"name": "wildcard"}}}},
        Exposure(DEFAULT, f"https://{DEFAULT}", IngressParent("traefik", "wildcard")),
    ),
    "an issuer of the namespace": (
        {"ingress": {"tls": {"issuerRef": {"name": "ca"}}}},
        Exposure(DEFAULT, f"https://{DEFAULT}", IngressParent("nginx", "acme-tls", ("cert-manager.io/issuer", "ca"))),
    ),
    "an issuer of the cluster": (
        {"ingress": {"tls": {"issuerRef": {"name": "letsencrypt", "kind": "ClusterIssuer"}}}},
        Exposure(
            DEFAULT,
            f"https://{DEFAULT}",
            IngressParent("nginx", "acme-tls", ("cert-manager.io/cluster-issuer", "letsencrypt")),
        ),
    ),
}

PROBLEMS: dict[str, tuple[Object, str, str]] = {
    # the story: (spec.exposure, reason, part of the message)
    "a gateway of others": ({"gateway": {"name": "g"}}, "GatewayNotAllowed", "Gateway team-acme/g is not allowed"),
    "a class of others": (
        {"ingress": {"className": "haproxy"}},
        "IngressClassNotAllowed",
        "spec.exposure.ingress.className: IngressClass haproxy is not allowed: use one of ingress.classNames",
    ),
    "an issuer that spends the platform's money": (
        {"ingress": {"tls": {"issuerRef": {"name": "paid", "kind": "ClusterIssuer"}}}},
        "IssuerNotAllowed",
        "(letsencrypt)",
    ),
    "a host name of another team": (
        {"gateway": GATEWAY, "hostname": "blue.team-blue.speech.example"},
        "HostnameNotAllowed",
        f"use one of exposure.hostnames of the chart, which for this tenant are {DEFAULT}, *.voices.example",
    ),
    "the suffix itself": ({"gateway": GATEWAY, "hostname": "voices.example"}, "HostnameNotAllowed", "voices.example"),
    "a suffix that only ends alike": (
        {"gateway": GATEWAY, "hostname": "evilvoices.example"},
        "HostnameNotAllowed",
        "evilvoices.example is not allowed",
    ),
}


def route_of(exposure: Object | None, settings: ExposureSettings = EXPOSED.exposure) -> Exposure | None:
    spec: Object = {} if exposure is None else {"exposure": exposure}
    return resolve(exposed_by(observe(**spec)), replace(EXPOSED, exposure=settings), NOON).exposure


@pytest.mark.parametrize(("exposure", "expected"), ROUTES.values(), ids=ROUTES)
def test_a_route(exposure: Object, expected: Exposure) -> None:
    assert route_of(exposure) == expected


@pytest.mark.parametrize(("exposure", "reason", "message"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_the_platform_does_not_allow(exposure: Object, reason: str, message: str) -> None:
    found = route_of(exposure)
    assert found is not None
    assert found.problem is not None
    assert (found.problem.reason, found.hostname) == (reason, "")
    assert message in found.problem.message


def test_a_tenant_that_asks_for_no_way_in_has_none() -> None:
    assert route_of(None) is None


@pytest.mark.parametrize("exposure", [{"gateway": GATEWAY}, {"ingress": {}}])
def test_a_platform_that_allows_nothing(exposure: Object) -> None:
    found = route_of(exposure, ExposureSettings())
    assert found is not None
    assert found.problem is not None
    assert "(empty)" in found.problem.message


def test_a_default_that_is_too_long_asks_for_a_name() -> None:
    found = route_of({"gateway": GATEWAY}, replace(EXPOSED.exposure, hostnames=("{tenant}-" + "x" * 60 + ".example",)))
    assert found is not None
    assert found.problem is not None
    assert found.problem.reason == "HostnameRequired"


def test_a_certificate_of_its_own_makes_the_url_https() -> None:
    plain = replace(EXPOSED.exposure, scheme="http")
    for tls, scheme in ({}, "http"), ({"tls": {"secretRef": {"name": "own"}}}, "https"):
        found = route_of({"ingress": tls}, plain)
        assert found is not None
        assert found.url == f"{scheme}://{DEFAULT}"


def test_a_wildcard_is_no_default() -> None:
    found = route_of({"gateway": GATEWAY}, replace(EXPOSED.exposure, hostnames=("*.voices.example",)))
    assert found is not None
    assert found.problem is not None
    assert found.problem.reason == "HostnameRequired"


@pytest.mark.parametrize(
    ("exposure", "lacking", "reason"),
    [
        ({"gateway": GATEWAY}, AddOn.GATEWAY_API, "GatewayAPINotInstalled"),
        ({"ingress": {}}, AddOn.INGRESS, "IngressNotEnabled"),
    ],
)
def test_without_the_route_s_kind_the_host_name_is_kept(exposure: Object, lacking: AddOn, reason: str) -> None:
    observed = observe(exposure=exposure)
    found = resolve(replace(observed, add_ons=frozenset(AddOn) - {lacking}), EXPOSED, NOON).exposure
    assert found is not None
    assert found.problem is not None
    assert (found.hostname, found.parent, found.problem.reason) == (DEFAULT, None, reason)


def tenant(name: str, hostname: str | None, uid: str = "") -> Resolved:
    """A tenant of the namespace `team-NAME` that asks for this host name."""
    spec: Object = {"exposure": {"gateway": GATEWAY, "hostname": hostname}} if hostname else {}
    found = exposed_by(observe(**spec))
    body = {**(found.body or {}), "metadata": {"uid": uid or name}}
    found = replace(found, key=found.key._replace(namespace=f"team-{name}"), body=body)
    return resolve(found, EXPOSED, NOON)


def given(table: HostnameTable, name: str, hostname: str | None, uid: str = "") -> str:
    """The host name that a tenant gets."""
    exposure = table.admit(tenant(name, hostname, uid)).exposure
    return exposure.hostname if exposure else ""


def test_a_host_name_belongs_to_the_first_tenant_that_asks_for_it() -> None:
    table = HostnameTable()
    assert given(table, "acme", "tts.voices.example") == "tts.voices.example"
    second = table.admit(tenant("blue", "tts.voices.example"))
    assert second.exposure is not None
    assert second.exposure.problem is not None
    assert (second.exposure.hostname, second.exposure.problem.reason) == ("", "HostnameTaken")
    assert "acme" not in second.exposure.problem.message, "objects of another team are not named"
    assert second.requeue_at is not None
    assert (second.requeue_at - NOON).total_seconds() == 60
    assert given(table, "acme", "tts.voices.example") == "tts.voices.example", "the first one keeps it"


@pytest.mark.parametrize("hostname", [None, "other.voices.example"])
def test_a_host_name_is_free_once_its_tenant_asks_for_another_or_for_none(hostname: str | None) -> None:
    table = HostnameTable()
    given(table, "acme", "tts.voices.example")
    given(table, "acme", hostname)
    assert given(table, "blue", "tts.voices.example") == "tts.voices.example"


def test_a_host_name_is_free_once_its_tenant_is_gone() -> None:
    table = HostnameTable()
    given(table, "acme", "tts.voices.example")
    table.release(tenant("acme", None).key)
    assert given(table, "blue", "tts.voices.example") == "tts.voices.example"


def test_a_tenant_that_asks_for_a_name_of_another_keeps_its_own() -> None:
    table = HostnameTable()
    given(table, "acme", "tts.voices.example")
    given(table, "blue", "blue.voices.example")
    second = table.admit(tenant("blue", "tts.voices.example")).exposure
    assert second is not None
    assert second.problem is not None
    assert (second.hostname, second.url) == ("blue.voices.example", "https://blue.voices.example")
    assert "blue.voices.example stays until then" in second.problem.message
    assert given(table, "red", "blue.voices.example") == ""


def test_a_name_that_the_platform_no_longer_allows_does_not_stay() -> None:
    table = HostnameTable()
    given(table, "acme", "tts.voices.example")
    given(table, "blue", "blue.voices.example")
    wanted = tenant("blue", "tts.voices.example")
    fewer = replace(EXPOSED.exposure, hostnames=("tts.voices.example",))
    found = table.admit(replace(wanted, settings=replace(EXPOSED, exposure=fewer))).exposure
    assert found is not None
    assert found.hostname == ""
    assert given(table, "red", "blue.voices.example") == "blue.voices.example"


def test_what_is_recorded_is_restored_before_others_ask() -> None:
    table = HostnameTable()
    given(table, "red", "red.voices.example")
    table.clear()
    key = tenant("blue", None).key
    table.restore(key, "blue", "tts.voices.example")
    table.restore(tenant("acme", None).key, "acme", "tts.voices.example")
    assert given(table, "acme", "tts.voices.example") == ""
    assert given(table, "blue", "tts.voices.example") == "tts.voices.example"
    given(table, "blue", "new.voices.example")
    table.restore(key, "blue", "tts.voices.example")
    assert given(table, "acme", "tts.voices.example") == "tts.voices.example", "an old record is no claim"


def test_a_tenant_that_replaces_one_of_the_same_name_asks_anew() -> None:
    table = HostnameTable()
    given(table, "acme", "tts.voices.example")
    given(table, "acme", "acme.voices.example", uid="another")
    assert given(table, "blue", "tts.voices.example") == "tts.voices.example"


def test_a_tenant_without_a_spec_that_is_followed_keeps_its_host_name() -> None:
    table = HostnameTable()
    given(table, "acme", "tts.voices.example")
    table.admit(replace(tenant("acme", None), pools=()))
    assert given(table, "blue", "tts.voices.example") == ""
