"""Tenants name hosts that the platform allows, and never one of Kubernetes, of a node or of its cloud."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.operator_builders import NOON, SETTINGS, built, observe, settle, while_refused
from tests.support.resources import KEY
from tts_operator.credentials.shared_stores import StoreCredentials, parse_redis_secret
from tts_operator.desired.networkpolicy import host_peers
from tts_operator.plan.outcome import Outcome
from tts_operator.plan.plan import plan
from tts_operator.resolve.hosts import fault_of, service_namespace
from tts_operator.resolve.resolve import resolve
from tts_operator.settings import RedisDefault, S3Default, Settings
from tts_operator.status.tenant import status
from tts_server.config.redis_url import parse_redis_url

ALLOWED = ("login.example", "*.stores.svc", "10.9.0.0/16", "fd00:9::/64", "192.168.7.7")
LISTED = replace(SETTINGS, allowed_hosts=ALLOWED, api_server_hosts=("10.96.0.1",))
TRUSTING = replace(
    SETTINGS,
    allowed_hosts=("*", "*.svc", "*.cluster.local"),
    api_server_hosts=("10.96.0.1", "[fd00::1]", "API.internal.example."),
)

HOSTS: dict[str, tuple[str, bool]] = {
    # the story                       host                                    whether it may be named
    "the name":                       ("login.example",                       True),
    "in capitals":                    ("LOGIN.example",                       True),
    "with a dot at its end":          ("login.example.",                      True),
    "another name":                   ("evil.example",                        False),
    "a name below it":                ("evil.login.example",                  False),
    "it as a label":                  ("login.example.evil.example",          False),
    "a backslash":                    ("login.example\\.evil.example",        False),
    "below a wildcard":               ("minio.stores.svc",                    True),
    "far below a wildcard":           ("a.b.stores.svc",                      True),
    "the wildcard's suffix itself":   ("stores.svc",                          False),
    "a suffix without its dot":       ("evilstores.svc",                      False),
    "an address":                     ("192.168.7.7",                         True),
    "its IPv6 notation":              ("::ffff:192.168.7.7",                  True),
    "the next address":               ("192.168.7.8",                         False),
    "an address of a network":        ("10.9.255.1",                          True),
    "an IPv6 address of a network":   ("fd00:9::5",                           True),
    "a Service beside the tenant":    ("minio",                               True),
    "its whole name":                 (f"minio.{KEY.namespace}.svc",          True),
    "its longest name":               (f"minio.{KEY.namespace}.svc.cluster.local", True),
    "a replica of it":                (f"minio-0.minio.{KEY.namespace}.svc",  True),
    "a name that may lie outside":    (f"minio.{KEY.namespace}",              False),
    "a name that looks like it":      (f"minio.{KEY.namespace}.svc.evil.example", False),
    "another team's Service":         ("speech.other-team.svc",               False),
    "the namespace's own name":       (f"{KEY.namespace}.svc",                False),
}  # fmt: skip


@pytest.mark.parametrize(("host", "allowed"), HOSTS.values(), ids=HOSTS)
def test_hosts_of_the_list_and_services_of_the_namespace_are_allowed(host: str, *, allowed: bool) -> None:
    fault = fault_of(host, KEY.namespace, LISTED)
    assert (fault == "") is allowed, fault


@pytest.mark.parametrize(
    "host",
    [
        "kubernetes.default", "kubernetes.default.svc", "KUBERNETES.default.svc.cluster.local.", "10.96.0.1",
        "10-0-0-1.kubernetes.default.svc", "a.b.kubernetes.default", "kubernetes.default.svc.corp.example",
        "::ffff:10.96.0.1", "64:ff9b::10.96.0.1", "64:ff9b::a60:1", "2002:a60:1::", "api.internal.example.",
        "10-1-2-3.team-red.pod.corp.example", "fd00--1.team-red.pod.fleet.internal",
        "fd00:0::1", "localhost", "a.localhost", "metadata.google.internal",
        "169-254-169-254.default.pod.cluster.local", "169.254.169.254",
        "0xa9fea9fe", "127.1", "::ffff:169.254.169.254", "fe80::1", "[::1]", "0.0.0.0",
    ],
)  # fmt: skip
def test_no_list_allows_the_api_server_the_node_and_its_cloud(host: str) -> None:
    assert fault_of(host, KEY.namespace, TRUSTING)
    assert fault_of("minio.anywhere.svc", KEY.namespace, TRUSTING) == ""


def test_the_api_server_is_beside_the_tenants_of_one_namespace() -> None:
    assert fault_of("kubernetes", "default", TRUSTING) == "is never allowed: it is the API server"
    assert fault_of("10-0-0-1.kubernetes", "default", TRUSTING), "DNS adds the namespace"
    assert fault_of("kubernetes", "team-acme", TRUSTING) == ""
    assert fault_of("default.kubernetes.example", "team-acme", TRUSTING) == ""


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{0}", "0x{0:x}", "0{0:o}"]))
def test_no_number_is_a_host(number: int, notation: str) -> None:
    """Programs read it as an address, whichever it is."""
    assert fault_of(notation.format(number), KEY.namespace, TRUSTING)


def test_without_a_list_tenants_may_name_the_operators_stores_and_nobody_elses() -> None:
    unlisted = Settings(
        server_image="",
        redis=RedisDefault(parse_redis_url("redis://redis.shared.svc")),
        s3=S3Default(endpoint="https://s3.corp.example", bucket="speech", directory="/s3"),  # type: ignore[arg-type]  # not read
    )
    assert [fault_of(host, KEY.namespace, unlisted) for host in ("redis.shared.svc", "s3.corp.example")] == ["", ""]
    assert fault_of("s3.example", KEY.namespace, unlisted).endswith("tenants.allowedHosts of the chart (now empty)")


def s3(endpoint: str) -> dict[str, Any]:
    return {"storage": {"s3": {"endpoint": endpoint, "bucket": "speech", "secretRef": {"name": "own"}}}}


def issuer(url: str) -> dict[str, Any]:
    return {"auth": {"modes": ["JWT"], "external": {"jwksURL": url, "issuer": "id", "audience": "tts"}}}


def test_a_bucket_before_the_short_name_of_a_service_is_another_namespace() -> None:
    """`http://svc` with the bucket `other.team` would be the Service `other` of the namespace `team`."""
    found = resolve(observe(**s3("http://minio")), SETTINGS, NOON)
    assert found.refused is not None
    assert found.refused.reason == "HostNotAllowed"
    assert found.refused.message.startswith("spec.storage.s3.pathStyle: must be true for the Service minio: ")
    spec = s3("http://minio")
    spec["storage"]["s3"]["pathStyle"] = True
    assert resolve(observe(**spec), SETTINGS, NOON).refused is None


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "an object store": (
        s3("http://speech.other-team.svc:80"),
        "spec.storage.s3.endpoint: host speech.other-team.svc is",
    ),
    "a metadata service": (s3("http://169.254.169.254"), "spec.storage.s3.endpoint: host 169.254.169.254 is never"),
    "a number": (s3("http://2852039166"), "spec.storage.s3.endpoint: host 2852039166 must be written as four"),
    "an issuer": (issuer("https://evil.test/jwks"), "spec.auth.external.jwksURL: host evil.test is not allowed: ask"),
    "an issuer with a port": (issuer("https://[::1]:8443/"), "spec.auth.external.jwksURL: host ::1 is never allowed"),
}


@pytest.mark.parametrize(("spec", "message"), FIELDS.values(), ids=FIELDS)
def test_a_spec_that_names_another_host_is_refused_with_field_host_and_value(
    spec: dict[str, Any], message: str
) -> None:
    found = resolve(observe(**spec), SETTINGS, NOON)
    assert found.refused is not None
    assert found.refused.reason == "HostNotAllowed"
    assert found.refused.message.startswith(message)
    assert built(found) is None


def test_where_callers_reach_the_store_is_theirs_to_know() -> None:
    spec = s3("https://s3.example")
    spec["storage"]["s3"]["publicEndpoint"] = "http://localhost:9000"
    assert resolve(observe(**spec), SETTINGS, NOON).refused is None


@pytest.mark.parametrize("host", ["redis.other-team.svc", "169.254.169.254", "0x7f.1", "kubernetes.default.svc"])
def test_a_redis_elsewhere_stays_out_of_reach_and_costs_nobody_the_endpoint(host: str) -> None:
    secret = parse_redis_secret("counters", "1", f"redis://acme:very-s3cret@{host}:7777")
    reading = replace(observe(redis={"secretRef": {"name": "counters"}}), stores=StoreCredentials(redis_secret=secret))
    found = resolve(reading, SETTINGS, NOON)
    made = built(found)
    assert made is not None
    policy = next(each.body for each in made.manifests if each.ref.kind == "NetworkPolicy")
    assert 7777 not in [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
    said = next(each for each in status(found, reading, Outcome())["conditions"] if each["type"] == "RedisConfigured")
    assert (said["status"], said["reason"]) == ("False", "RedisHostNotAllowed")
    assert said["message"].startswith(f"spec.redis.secretRef: `url` of Secret counters: host {host} ")
    assert "s3cret" not in str(said)


NAMES: dict[str, tuple[str, str, str]] = {
    # the name                                    namespace if a tenant chose it, and if the platform did
    "redis":                                       ("redis", "team-acme", "team-acme"),
    "in two parts":                                ("redis.stores", "", "stores"),
    "in two parts, of the tenant's namespace":     ("redis.team-acme", "team-acme", "team-acme"),
    "in three":                                    ("redis.stores.svc", "stores", "stores"),
    "with the cluster's domain":                   ("redis.stores.svc.cluster.local", "stores", "stores"),
    "a replica":                                   ("redis-0.redis.stores.svc.cluster.local", "stores", "stores"),
    "with another domain":                         ("redis-0.redis.stores.svc.fleet.internal", "", "stores"),
    "a host of the corporation":                   ("x.team-red.svc.corp.example", "", "team-red"),
    "svc three times":                             ("svc.svc.svc", "svc", "svc"),
    "a namespace alone":                           ("stores.svc", "", "svc"),
    "the domain alone":                            ("svc.cluster.local", "", ""),
    "a host outside":                              ("login.example.com", "", ""),
    "svc in its second part":                      ("a.svc.example", "", ""),
}  # fmt: skip


@pytest.mark.parametrize(("host", "chosen", "listed"), NAMES.values(), ids=NAMES)
def test_the_namespace_of_a_service_is_in_its_name(host: str, chosen: str, listed: str) -> None:
    """Whoever chooses `x.team-red.svc.corp.example` must not open the way to the namespace team-red."""
    assert service_namespace(host, "team-acme") == chosen
    assert service_namespace(host, "team-acme", platform=True) == listed


def peers(host: str, *allowed: str) -> tuple[set[str], bool]:
    """Namespaces that a policy opens for a host, and whether it opens what is outside the cluster."""
    found = list(host_peers(host, "team-acme", replace(SETTINGS, allowed_hosts=allowed)))
    named = [each["namespaceSelector"]["matchLabels"].values() for each in found if "namespaceSelector" in each]
    return {name for names in named for name in names}, any("ipBlock" in each for each in found)


OPENED: dict[str, tuple[str, tuple[str, ...], set[str], bool]] = {
    # host, list of the platform, namespaces, whether what is outside is open
    "a Service beside the tenant, whatever name it stands for": ("minio", (), {"team-acme"}, False),
    "a name below a wildcard that looks like a Service elsewhere": (
        "x.red.svc.corp.example",
        ("*.example",),
        set(),
        True,
    ),
    "a name of two parts below a wildcard": ("red.example", ("*.example",), set(), True),
    "a name of two parts that the platform lists": ("minio.stores", ("minio.stores",), {"stores"}, True),
    "the same as others write it": ("minio.stores", ("MinIO.stores.",), {"stores"}, True),
    "a Service below a wildcard": ("minio.stores.svc", ("*.stores.svc",), {"stores"}, False),
    "any name, of the tenant's namespace": ("minio.team-acme", ("*",), {"team-acme"}, True),
}


@pytest.mark.parametrize(("host", "allowed", "namespaces", "outside"), OPENED.values(), ids=OPENED)
def test_a_policy_opens_what_the_name_means_and_no_more(
    host: str, allowed: tuple[str, ...], namespaces: set[str], *, outside: bool
) -> None:
    """An ExternalName Service stands for any host, so the way to a Service leads to pods of its namespace alone."""
    assert peers(host, *allowed) == (namespaces, outside)


def test_a_host_that_is_taken_off_the_list_is_out_of_reach_while_all_else_stays() -> None:
    spec = s3("http://minio.store.svc:9000") | issuer("https://login.example")
    children = settle(observe("espeak", **spec))
    reading = observe("espeak", children=children, **spec)
    fewer = replace(SETTINGS, allowed_hosts=("login.example",))
    refusal = resolve(reading, fewer, NOON).refused
    assert refusal is not None
    assert refusal.reason == "HostNotAllowed"
    actions = plan(built(resolve(while_refused(reading, refusal), fewer, NOON)), reading)
    assert [str(each) for each in actions] == ["apply netpol/acme-espeak: egress changed"]
    before = next(each for each in children if each["kind"] == "NetworkPolicy")["spec"]
    after = actions[0].manifest.body["spec"]  # type: ignore[union-attr]  # it is an Apply
    ports = [[port["port"] for rule in policy["egress"] for port in rule["ports"]] for policy in (before, after)]
    assert (9000 in ports[0], 9000 in ports[1], 443 in ports[1]) == (True, False, True)
    assert after["ingress"] == before["ingress"]


def test_a_bad_host_beside_a_good_one_that_runs_closes_nothing() -> None:
    children = settle(observe("espeak", **s3("http://minio.store.svc:9000")))
    refusal = resolve(
        observe("espeak", children=children, **s3("http://speech.other-team.svc")), SETTINGS, NOON
    ).refused
    assert refusal is not None
    accepted = observe("espeak", children=children, **s3("http://minio.store.svc:9000"))
    assert plan(built(resolve(while_refused(accepted, refusal), SETTINGS, NOON)), accepted) == []
