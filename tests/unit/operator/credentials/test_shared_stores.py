"""Replicas count together and keep audio in the tenant's own stores, in the operator's, or in none."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.operator_builders import NOON, SETTINGS, built, child, live, observe, ref, settle
from tests.support.resources import KEY, UID, Object, model
from tts_operator.credentials.shared_stores import (
    RedisSecret,
    StoreCredentials,
    missing_redis_secret,
    parse_redis_secret,
    s3_problem,
)
from tts_operator.objects.manifest import ref_of
from tts_operator.objects.problem import Problem
from tts_operator.plan.outcome import Outcome
from tts_operator.plan.plan import plan
from tts_operator.resolve.resolve import resolve
from tts_operator.resolve.resolved import Resolved
from tts_operator.settings import RedisDefault, S3Default
from tts_operator.snapshot.observed import Observed
from tts_operator.status.events import events
from tts_operator.status.tenant import status
from tts_server.config.redis_url import parse_redis_url
from tts_server.config.schema import ServerConfig

OWN_REDIS = {"secretRef": {"name": "counters"}}
OWN_S3 = {"s3": {"endpoint": "https://s3.example", "bucket": "speech", "secretRef": {"name": "own"}}}
DEFAULTS = replace(
    SETTINGS,
    redis=RedisDefault(parse_redis_url("rediss://redis.example:6390/2"), Path("/etc/redis")),
    s3=S3Default(
        endpoint="http://minio.example:9000",
        region="eu-1",
        bucket="speech",
        prefix="fleet/",
        public_endpoint="https://audio.example",
        path_style=True,
        directory=Path("/s3"),
    ),
)
SEEN = StoreCredentials(
    redis_password="a-password",
    redis_certificate="-----CERTIFICATE-----",
    s3_keys={"accessKey": "AKIA", "secretKey": "s3cret"},
)


def observed(*models: str, stores: StoreCredentials = SEEN, **spec: Any) -> Observed:
    return replace(observe(*models, **spec), stores=stores)


def by_default(reading: Observed) -> Resolved:
    return resolve(reading, DEFAULTS, NOON)


def bodies(found: Resolved) -> list[Object]:
    made = built(found)
    assert made is not None
    return [dict(manifest.body) for manifest in made.manifests]


def server_config(found: list[Object]) -> ServerConfig:
    text = next(body["data"]["server.json"] for body in found if "server.json" in body.get("data", {}))
    return ServerConfig.model_validate(json.loads(text))


def secret_text(found: list[Object], name: str) -> dict[str, str]:
    data = child(found, "Secret", name)["data"]
    return {entry: base64.b64decode(value).decode() for entry, value in data.items()}


def egress_ports(found: list[Object], pool: str) -> set[int]:
    rules = child(found, "NetworkPolicy", pool)["spec"]["egress"]
    return {port["port"] for rule in rules for port in rule["ports"]}


def mounts(found: list[Object]) -> dict[str, str]:
    volumes = child(found, "Deployment", "acme-espeak")["spec"]["template"]["spec"]["volumes"]
    return {volume["name"]: volume["secret"]["secretName"] for volume in volumes if "secret" in volume}


def conditions(found: Resolved, outcome: Outcome | None = None) -> dict[str, Object]:
    return {each["type"]: each for each in status(found, found.observed, outcome or Outcome())["conditions"]}


def test_without_any_store_nothing_is_shared() -> None:
    found = resolve(observed(stores=StoreCredentials()), SETTINGS, NOON)
    made = bodies(found)
    config = server_config(made)
    assert (config.redis, config.storage.s3) == (None, None)
    assert mounts(made).keys() & {"redis", "s3"} == set()
    said = conditions(found)
    assert "RedisConfigured" not in said
    assert (said["StorageConfigured"]["status"], said["StorageConfigured"]["reason"]) == ("True", "LocalFiles")


def test_a_tenants_own_redis_is_mounted_and_only_its_address_is_known() -> None:
    seen = StoreCredentials(redis_secret=RedisSecret("12", 6390, host="counters.example"))
    found = resolve(observed("espeak", "large", stores=seen, redis=OWN_REDIS), SETTINGS, NOON)
    made = bodies(found)
    assert mounts(made)["redis"] == "counters"
    redis = server_config(made).redis
    assert redis is not None
    assert (str(redis.url_file), str(redis.ca_file)) == ("/etc/ttsfleet/redis/url", "/etc/ttsfleet/redis/ca.crt")
    assert 6390 in egress_ports(made, "acme-espeak")
    assert egress_ports(made, "acme-large") == set(), "a member counts nobody"
    assert not any(body["kind"] == "Secret" and "redis" in body["metadata"]["name"] for body in made)
    assert conditions(found)["RedisConfigured"]["status"] == "True"


def test_a_tenants_own_stores_go_before_the_operators() -> None:
    seen = StoreCredentials(redis_secret=RedisSecret("12", 6390, host="counters.example"))
    made = bodies(by_default(observed(stores=seen, redis=OWN_REDIS, storage=OWN_S3)))
    assert (mounts(made)["redis"], mounts(made)["s3"]) == ("counters", "own")
    assert not any(body["metadata"]["name"] in {"acme-redis", "acme-s3"} for body in made)


S3_PROBLEMS: dict[str, tuple[dict[str, str | None] | None, str, str]] = {
    "no such Secret": (None, "S3SecretNotFound", "Secret own, named by spec.storage.s3.secretRef, does not exist; it"),
    "other names": (
        {"access_key": "AKIA"},
        "S3SecretInvalid",
        "Secret own has no key `accessKey` and no `secretKey`",
    ),
    "half of it": ({"accessKey": "AKIA", "secretKey": "\n"}, "S3SecretInvalid", "Secret own has no key `secretKey`;"),
}


@pytest.mark.parametrize(("entries", "reason", "message"), S3_PROBLEMS.values(), ids=S3_PROBLEMS)
def test_an_object_store_without_its_keys_is_told_while_everything_goes_on(
    entries: dict[str, str | None] | None, reason: str, message: str
) -> None:
    seen = StoreCredentials(s3_problem=s3_problem("own", entries))
    reading = observed(stores=seen, storage=OWN_S3)
    reading = replace(reading, children={ref_of(each): each for each in settle(reading)})
    found = resolve(reading, SETTINGS, NOON)
    said = conditions(found)
    assert (said["StorageConfigured"]["status"], said["StorageConfigured"]["reason"]) == ("False", reason)
    assert said["StorageConfigured"]["message"].startswith(message)
    assert "AKIA" not in str(said)
    assert said["Ready"]["status"] == "True", "speech needs no object store"
    assert mounts(bodies(found))["s3"] == "own", "it may come later, without a roll"
    assert found.requeue_at == NOON + timedelta(seconds=20), "nobody tells of Secrets"
    told = [event.reason for event in events({}, status(found, reading, Outcome()))]
    assert reason in told


def test_an_object_store_with_its_keys_is_in_order() -> None:
    assert s3_problem("own", {"accessKey": "AKIA", "secretKey": "s3cret"}) is None
    said = conditions(resolve(observed(stores=StoreCredentials(), storage=OWN_S3), SETTINGS, NOON))
    assert (said["StorageConfigured"]["status"], said["StorageConfigured"]["reason"]) == ("True", "AsSpecified")


PROBLEMS: dict[str, tuple[RedisSecret, str, str]] = {
    "no such Secret": (
        missing_redis_secret("counters"),
        "RedisSecretNotFound",
        "Secret counters, named by spec.redis.secretRef, does not exist; it must contain `url`",
    ),
    "no such entry": (
        parse_redis_secret("counters", "1", None),
        "RedisSecretInvalid",
        "Secret counters has no key `url`",
    ),
    "no such address": (
        parse_redis_secret("counters", "1", "http://s3cret"),
        "RedisSecretInvalid",
        "`url` of Secret counters does not begin with redis:// or rediss://",
    ),
}


@pytest.mark.parametrize(("secret", "reason", "message"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_secret_that_is_of_no_use_is_told_while_everything_goes_on(
    secret: RedisSecret, reason: str, message: str
) -> None:
    children = settle(observe())
    reading = replace(observe(children=children, redis=OWN_REDIS), stores=StoreCredentials(redis_secret=secret))
    found = resolve(reading, SETTINGS, NOON)
    said = conditions(found)
    assert (said["RedisConfigured"]["status"], said["RedisConfigured"]["reason"]) == ("False", reason)
    assert said["RedisConfigured"]["message"].startswith(message)
    assert "s3cret" not in str(said)
    assert said["Ready"]["status"] == "True", "speech needs no Redis"
    assert mounts(bodies(found))["redis"] == "counters", "it may come later, without a roll"
    assert found.requeue_at == NOON + timedelta(seconds=20), "nobody tells of Secrets"
    before: Object = {}
    after = status(found, reading, Outcome())
    assert ("Warning", reason) in [(event.type, event.reason) for event in events(before, after)]
    assert reason not in [event.reason for event in events(after, after)]


def test_another_version_of_the_secret_is_told_to_running_pods() -> None:
    hashes = {
        built(
            resolve(observed(stores=StoreCredentials(redis_secret=each), redis=OWN_REDIS), SETTINGS, NOON)
        ).config_hashes[  # type: ignore[union-attr]  # it is built
            "acme-espeak"
        ]
        for each in (RedisSecret("1", 6379), RedisSecret("2", 6379))
    }
    assert len(hashes) == 2


def test_by_default_a_tenant_has_a_user_of_its_own_in_the_operators_redis() -> None:
    made = bodies(by_default(observed()))
    url = parse_redis_url(secret_text(made, "acme-redis")["url"])
    assert (url.host, url.port, url.database, url.tls) == ("redis.example", 6390, 2, True)
    assert (url.username, url.password) == (f"ttsfleet-{UID}", "a-password")
    assert secret_text(made, "acme-redis")["ca.crt"] == "-----CERTIFICATE-----"
    assert mounts(made)["redis"] == "acme-redis"
    assert 6390 in egress_ports(made, "acme-espeak")
    assert "a-password" not in json.dumps([body for body in made if body["kind"] != "Secret"])


def test_by_default_a_tenants_audio_is_under_a_prefix_that_no_namesake_inherits() -> None:
    made = bodies(by_default(observed()))
    s3 = server_config(made).storage.s3
    assert s3 is not None
    assert (s3.endpoint, s3.region, s3.bucket) == ("http://minio.example:9000", "eu-1", "speech")
    assert (s3.public_endpoint, s3.path_style) == ("https://audio.example", True)
    assert s3.prefix == f"fleet/{UID}"
    assert secret_text(made, "acme-s3") == {"accessKey": "AKIA", "secretKey": "s3cret"}
    assert mounts(made)["s3"] == "acme-s3"
    assert 9000 in egress_ports(made, "acme-espeak")
    assert "s3cret" not in json.dumps([body for body in made if body["kind"] != "Secret"])


def test_storage_without_a_store_of_its_own_keeps_its_times_in_the_operators() -> None:
    storage = server_config(bodies(by_default(observed(storage={"linkSeconds": 60})))).storage
    assert storage.s3 is not None
    assert storage.link_seconds == 60


@pytest.mark.parametrize(
    "change",
    [
        {"redis_password": "another"},
        {"redis_certificate": "another"},
        {"s3_keys": {"accessKey": "B", "secretKey": "b"}},
    ],
    ids=str,
)
def test_a_credential_that_rotates_reaches_running_pods_without_a_roll(change: dict[str, Any]) -> None:
    before, after = by_default(observed()), by_default(observed(stores=replace(SEEN, **change)))
    assert built(before).config_hashes != built(after).config_hashes  # type: ignore[union-attr]  # both are built
    templates = [child(bodies(each), "Deployment", "acme-espeak")["spec"]["template"] for each in (before, after)]
    assert templates[0] == templates[1]


def test_no_reading_shows_a_credential() -> None:
    found = by_default(observed())
    assert found.redis is not None
    assert "a-password" not in f"{found!r}{found.redis!r}"
    assert "s3cret" not in repr(found)


def test_secrets_that_are_no_longer_wanted_go() -> None:
    made = bodies(by_default(observed()))
    secrets = [live_secret(made, name) for name in ("acme-redis", "acme-s3")]
    reading = observed(stores=StoreCredentials(), children=secrets)
    actions = [str(action) for action in plan(built(resolve(reading, SETTINGS, NOON)), reading)]
    assert [action for action in actions if action.startswith("delete")] == [
        "delete secret/acme-redis: no longer wanted",
        "delete secret/acme-s3: no longer wanted",
    ]


def test_somebody_elses_secret_under_the_name_is_left_alone() -> None:
    theirs: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "acme-s3", "namespace": KEY.namespace, "uid": "theirs"},
    }
    reading = observed(children=[theirs])
    actions = plan(built(by_default(reading)), reading)
    assert [type(action).__name__ for action in actions if action.ref == ref_of(theirs)] == ["Refuse"]


def test_the_operators_redis_that_is_away_is_told_and_costs_nobody_its_endpoint() -> None:
    found = by_default(replace(observe(children=settle(observe())), stores=SEEN))
    said = conditions(found, Outcome(redis=Problem("RedisUnavailable", "it does not answer")))
    assert (said["RedisConfigured"]["status"], said["RedisConfigured"]["reason"]) == ("False", "RedisUnavailable")
    assert said["Ready"]["status"] == "True"
    assert conditions(found)["RedisConfigured"]["status"] == "True"


def test_models_beside_each_other_share_what_the_tenant_has() -> None:
    made = bodies(by_default(observed("espeak", "large", known=[model(), model("large")])))
    assert [body["metadata"]["name"] for body in made if body["kind"] == "Secret"] == [
        "acme-internal",
        "acme-redis",
        "acme-s3",
    ]


def live_secret(made: list[Object], name: str) -> Object:
    found = built(by_default(observed()))
    assert found is not None
    return live(next(manifest for manifest in found.manifests if manifest.ref == ref("Secret", name)))
