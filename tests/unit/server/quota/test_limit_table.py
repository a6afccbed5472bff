"""The table of limits, and everything that must agree with it."""

import dataclasses
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from tts_operator.api.tenant import Quota
from tts_server.config.schema import QuotaConfig
from tts_server.errors import DayQuotaExceeded, QuotaExceeded
from tts_server.http.rate_limit_headers import limit_headers
from tts_server.quota import redis_scripts
from tts_server.quota.limit_table import (
    AUDIO_SECONDS,
    CHARACTERS,
    CONCURRENT,
    COUNTED,
    DAILY,
    LIMITS,
    METERED,
    REQUESTS,
    SLIDING,
    Kind,
    Limit,
    Limits,
    Scope,
)
from tts_server.quota.limits import Counts, DayCounts, Request, limit_status
from tts_server.quota.redis_codec import amounts_argument, limits_argument, log_key
from tts_server.quota.redis_scripts import Type

NAMES = {limit.name for limit in LIMITS}
ALL = Limits(**{limit.field: 10 + number for number, limit in enumerate(COUNTED)})


def test_quota_json_and_spec_quota_have_the_fields_of_the_table() -> None:
    assert {limit.field for limit in LIMITS} == set(QuotaConfig.model_fields)
    assert {to_camel(name) for name in QuotaConfig.model_fields} == NAMES
    assert {field.alias for field in Quota.model_fields.values()} == NAMES


def test_the_counted_limits_are_the_fields_of_limits() -> None:
    fields = [field.name for field in dataclasses.fields(Limits)]
    assert fields == [*(limit.field for limit in COUNTED), "replicas"]


def test_limits_are_read_from_quota_json_by_field() -> None:
    config = QuotaConfig(**{limit.field: 10 + number for number, limit in enumerate(COUNTED)})
    assert Limits.of(config, 3) == dataclasses.replace(ALL, replicas=3)


def test_every_limit_that_is_set_has_its_item_in_the_headers_and_in_usage() -> None:
    status = limit_status(ALL, Counts(datetime(2026, 11, 1, tzinfo=UTC), {}, 0, DayCounts()))
    assert list(status) == [limit.name for limit in COUNTED]
    headers = dict(limit_headers(status))
    for limit in COUNTED:
        assert f'"{limit.name}";q={ALL.allowed(limit)}{limit.policy}' in headers[b"ratelimit-policy"].decode()
        assert f'"{limit.name}";r={ALL.allowed(limit)};t=0' in headers[b"ratelimit"].decode()


def test_the_policy_names_the_window_and_every_unit_but_requests() -> None:
    assert {limit.name: limit.policy for limit in COUNTED} == {
        "requestsPerMinute": ";w=60",
        "perClientRequestsPerMinute": ";w=60",
        "concurrentRequests": ';qu="concurrent-requests"',
        "requestsPerDay": ";w=86400",
        "charactersPerDay": ';w=86400;qu="characters"',
        "audioSecondsPerDay": ';w=86400;qu="audio-seconds"',
    }


@pytest.mark.parametrize("limit", COUNTED, ids=lambda limit: limit.name)
def test_only_a_daily_limit_tells_clients_to_give_up(limit: Limit) -> None:
    assert limit.error is (DayQuotaExceeded if limit in DAILY else QuotaExceeded)


def test_a_limit_of_each_client_is_no_series_of_the_metrics() -> None:
    assert {limit.name for limit in COUNTED if limit.scope is Scope.CLIENT} == {"perClientRequestsPerMinute"}
    assert {limit.name for limit in COUNTED} - {"perClientRequestsPerMinute"} == METERED


def test_sliding_windows_count_requests_and_have_a_length() -> None:
    assert all(limit.unit is REQUESTS and limit.window.seconds > 0 for limit in SLIDING)
    assert {limit.window.kind for limit in SLIDING} == {Kind.SLIDING}


def test_no_two_limits_share_a_counter() -> None:
    counters = [limit.counter for limit in COUNTED]
    assert len(set(counters)) == len(counters)
    assert len(CONCURRENT) == 1, "the scripts compare one limit with the leases"


def test_each_unit_has_one_daily_counter() -> None:
    """A sum over the day has one field in Redis, whatever limits are set."""
    assert [limit.unit for limit in DAILY] == [REQUESTS, CHARACTERS, AUDIO_SECONDS]


SCRIPTS = {name: value for name, value in vars(redis_scripts).items() if isinstance(value, redis_scripts.Script)}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_scripts_find_keys_and_arguments_by_name(script: redis_scripts.Script) -> None:
    keys = {name: f"the key {name}" for name in script.keys}
    assert script.order(keys) == [keys[name] for name in script.keys]
    for number, name in enumerate(script.keys, start=1):
        assert f"{name} = KEYS[{number}]" in script.text
    arg: dict[str, Any] = {
        name: {each: f"{name}.{each}" for each in type_} if isinstance(type_, tuple) else name
        for name, type_ in script.arguments.items()
        if type_ is not Type.FLAG
    }
    arg |= {name: True for name, type_ in script.arguments.items() if type_ is Type.FLAG}
    encoded = script.encode(arg)
    for name, type_ in script.arguments.items():
        if isinstance(type_, tuple):
            table = script.text.partition(f"{name} = {{")[2].partition("}")[0]
            for each in type_:
                place = encoded.index(f"{name}.{each}") + 1
                assert f"{each} = tonumber(ARGV[{place}])" in table
        elif type_ is not Type.FLAG:
            place = encoded.index(f'"{name}"' if type_ is Type.JSON else name) + 1
            assert f"{name} = {type_.value.format(place)}" in script.text
    assert encoded.count(1) == sum(type_ is Type.FLAG for type_ in script.arguments.values())
    assert script.text.count("ARGV[") == len(encoded), "no script has arguments without a name"


def test_every_argument_that_a_script_uses_has_a_type() -> None:
    for script in SCRIPTS.values():
        assert set(re.findall(r"\barg\.(\w+)", script.text)) == set(script.arguments), script.arguments


def test_the_script_that_admits_has_a_log_for_every_sliding_limit() -> None:
    assert redis_scripts.RESERVE.keys == (*redis_scripts.COMMON_KEYS, *(limit.counter for limit in SLIDING))


def test_scripts_get_every_limit_that_is_set_by_its_counter() -> None:
    assert limits_argument(ALL) == {
        "minute": 10, "client": 11, "leases": 12, "requests": 13, "characters": 14, "audio": 15_000_000,
    }  # fmt: skip
    assert amounts_argument(Request(5, 2.5, "ann")) == {"requests": 1, "characters": 5, "audio": 2_500_000}
    for name, value in {"WINDOWS": "minute = 60, client = 60", "PER_CLIENT": "client = true"}.items():
        assert f"local {name} = {{{value}}}\n" in redis_scripts.RESERVE.text


def test_a_limit_that_is_not_set_is_no_argument() -> None:
    """It is the empty string then, of which Lua makes no number: nil."""
    limits = limits_argument(Limits(requests_per_day=5))
    assert limits == {"requests": 5}
    script = redis_scripts.Script("", (), {"limits": redis_scripts.COUNTERS})
    assert script.encode({"limits": limits}) == ["", "", "", 5, "", ""]


def test_a_client_is_stored_by_a_digest() -> None:
    client = next(limit for limit in SLIDING if limit.scope is Scope.CLIENT)
    assert log_key("uid", client, "ann@acme.test").startswith("tts:{uid}:quota:client:")
    assert "ann" not in log_key("uid", client, "ann@acme.test")
