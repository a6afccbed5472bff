"""A fallback serves requests for a model that cannot run, although the tenant does not name it."""

from __future__ import annotations

import json

from e2e.platform import MISSING_IMAGE, Platform, Team, fixed


async def test_a_model_that_cannot_run_is_spoken_for(platform: Platform) -> None:
    """Given a tenant's second model whose image no registry has, requests for it are answered, and say degraded.

    When the platform takes the fallback away, its pool goes and the tenant's first model speaks on.
    """
    first, spare = await platform.publishes_model(), await platform.publishes_model("spare")
    fallback = {"modelRef": {"name": spare}, "voices": [{"language": "en", "voice": "en-us"}]}
    large = await platform.publishes_model("large", image=MISSING_IMAGE, fallback=fallback)
    acme = await platform.onboards_team("acme", first, schedule=fixed(1), models=[{"name": first}, {"name": large}])
    await acme.sees_status("replicas", "2/3", within_seconds=90)
    await acme.sees_message("Available", f"requests are served by fallback {spare}", within_seconds=10)
    answer = await acme.asks(model=large)
    assert answer.status == 200, answer.content
    assert (answer.headers["x-tts-status"], answer.headers["x-tts-engine"]) == ("degraded", spare)
    assert (await acme.asks()).headers["x-tts-status"] == "ok"
    assert await offered(acme) == {first, large}
    await platform.changes_model(large, fallback=None)
    await acme.sees_status("replicas", "1/2", within_seconds=30)
    assert f"Deployment/acme-{spare}" not in await acme.children()
    assert (await acme.asks()).status == 200
    assert (await acme.asks(model=large)).status >= 500


async def offered(team: Team) -> set[str]:
    """Models that callers may name."""
    answer = await team.caller.ask(team.host, "/v1/models", team.key, None)
    return {each["id"] for each in json.loads(answer.content)["data"]}
