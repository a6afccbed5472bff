"""Callers get the links, limits, cache and tokens that a tenant's spec asks for."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from e2e.caller import Answer
from e2e.kube import eventually
from e2e.platform import Platform, fixed

NO_SUCH_PATH = 404
SENTENCE = "A link works whichever pod it reaches."


async def test_a_link_works_whichever_pod_it_reaches(platform: Platform) -> None:
    """Given two replicas that keep audio in files, a link to one pod's file is answered by both."""
    acme = await platform.onboards_team("acme", await platform.publishes_model(), schedule=fixed(2))
    await acme.sees_condition("Ready", within_seconds=60)
    await acme.sees_pods(2, within_seconds=60)
    body = {"text": SENTENCE, "format": "wav"}
    answer = await acme.caller.ask(acme.host, "/v1/tts/synthesize", acme.key, body)
    assert answer.status == 200, answer.content
    link = urlsplit(json.loads(answer.content)["audio_url"])
    # Each on its own connection: all of them reach the same pod in fewer than one of a thousand runs.
    fetched = [await acme.caller.ask(acme.host, f"{link.path}?{link.query}", "", None) for _ in range(12)]
    assert {each.status for each in fetched} == {200}, [each.content[:200] for each in fetched]
    assert len({each.content for each in fetched}) == 1
    assert fetched[0].content.startswith(b"RIFF")


async def test_a_limit_of_the_day_is_told_to_callers_as_one_that_waiting_does_not_help(platform: Platform) -> None:
    """Given two requests a day, the third is refused with a code and a header that stop clients from trying again."""
    acme = await platform.onboards_team("acme", await platform.publishes_model(), schedule=fixed(1))
    await acme.changes(quota={"requestsPerDay": 2})
    await acme.sees_condition("Ready", within_seconds=60)
    assert [(await acme.asks()).status for _ in range(2)] == [200, 200]
    refused = await acme.asks()
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    assert refused.headers["x-should-retry"] == "false"
    assert refused.error["limit"] == "requestsPerDay"


async def test_what_was_spoken_is_not_spoken_again(platform: Platform) -> None:
    """Given a cache, the second caller of the same words gets the first one's sound."""
    acme = await platform.onboards_team("acme", await platform.publishes_model(), schedule=fixed(1), cache={})
    await acme.sees_condition("Ready", within_seconds=60)
    first, second = await acme.asks(), await acme.asks()
    assert [each.headers["x-tts-cache"] for each in (first, second)] == ["miss", "hit"]
    assert first.content == second.content


async def test_a_key_buys_a_token_that_only_this_tenant_takes(platform: Platform) -> None:
    """Given two tenants that give tokens, one's token opens its endpoint and not the other's."""
    model = await platform.publishes_model()
    teams = [await platform.onboards_team(name, model, schedule=fixed(1)) for name in ("acme", "blue")]
    for team in teams:
        await team.changes(auth={"modes": ["APIKey", "JWT"]})
    for team in teams:
        await team.sees_condition("Ready", within_seconds=90)
    acme, blue = teams

    async def token() -> Answer | None:
        answer = await acme.caller.ask(acme.host, "/v1/auth/token", acme.key, {"grant_type": "client_credentials"})
        return answer if answer.status != NO_SUCH_PATH else None

    answer = await eventually(token, within_seconds=60)  # a change that restarts no pod reaches it a moment later
    assert answer.status == 200, answer.content
    given = json.loads(answer.content)
    assert (given["token_type"], given["expires_in"]) == ("Bearer", 300)
    assert (await acme.asks(key=given["access_token"])).status == 200
    assert (await blue.asks(key=given["access_token"])).status == 401
