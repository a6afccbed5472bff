"""From nothing to speech, and back to nothing."""

from __future__ import annotations

import io
import json

import numpy as np
import soundfile

from e2e.platform import Platform, fixed

SENTENCE = "A tenant speaks, from kubectl apply to audio on a real cluster."


async def test_a_team_applies_a_tenant_and_hears_speech(platform: Platform) -> None:
    """Given a published model, when a team applies a TTSTenant, its endpoint is Ready and speaks within a minute."""
    acme = await platform.onboards_team("acme", await platform.publishes_model(), schedule=fixed(1))
    seconds = await acme.sees_condition("Ready", within_seconds=60)
    print(f"apply to Ready: {seconds:.1f} s")
    answer = await acme.asks(SENTENCE)
    assert answer.status == 200, answer.content
    samples, sample_rate_hz = soundfile.read(io.BytesIO(answer.content))
    assert 2 < len(samples) / sample_rate_hz < 10
    assert np.sqrt(np.mean(np.square(samples))) > 0.01, "silence"


async def test_the_key_of_one_tenant_is_refused_by_another(platform: Platform) -> None:
    """Given two teams with keys of their own, when one asks the other's endpoint with its key, it hears nothing."""
    model = await platform.publishes_model()
    acme = await platform.onboards_team("acme", model, schedule=fixed(1))
    blue = await platform.onboards_team("blue", model, schedule=fixed(1))
    for team in (acme, blue):
        await team.sees_condition("Ready", within_seconds=90)
    for stranger, team in ((blue, acme), (acme, blue)):
        assert (await team.asks()).status == 200
        refused = await team.asks(key=stranger.key)
        assert refused.status == 401, refused.content
        assert refused.error["message"]
    assert (await acme.asks(key="")).status == 401


async def test_a_key_that_is_taken_away_stops_working_without_a_restart(platform: Platform) -> None:
    """Given callers with a key, when the team takes its hash out of the Secret, they are refused within seconds."""
    acme = await platform.onboards_team("acme", await platform.publishes_model(), schedule=fixed(1))
    await acme.sees_condition("Ready", within_seconds=60)
    before = [pod["metadata"]["uid"] for pod in await acme.pods()]
    async with acme.keeps_calling(requests_per_second=4) as calls:
        await platform.kube.patch(acme.namespace, f"secret/{acme.name}-keys", {"data": {"e2e": None}})
        await calls.see(1, status=401, within_seconds=20)
    assert [pod["metadata"]["uid"] for pod in await acme.pods()] == before


async def test_deleting_a_tenant_removes_every_child(platform: Platform) -> None:
    """Given a running endpoint, when its TTSTenant is deleted, nothing of it stays, and what is the team's does."""
    acme = await platform.onboards_team("acme", await platform.publishes_model(), schedule=fixed(1))
    await acme.sees_condition("Ready", within_seconds=60)
    made = await acme.children()
    assert {child.partition("/")[0] for child in made} >= {
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    }
    await acme.deletes_its_tenant()
    await acme.sees_pods(0, within_seconds=60)
    kinds = "deployments,services,hpa,pdb,networkpolicies,configmaps,serviceaccounts"
    await platform.kube.until(
        acme.namespace, kinds, "-l", acme.selector, holds=lambda found: not found["items"], within_seconds=30
    )
    assert await platform.kube.get(acme.namespace, f"secret/{acme.name}-keys")


async def test_a_model_in_use_may_be_deleted_and_nothing_stops(platform: Platform) -> None:
    """Given a running endpoint, when the platform deletes its model, the endpoint goes on and says what is missing."""
    model = await platform.publishes_model()
    acme = await platform.onboards_team("acme", model, schedule=fixed(1))
    await acme.sees_condition("Ready", within_seconds=60)
    await platform.kube.kubectl("delete", "ttsmodel", model)
    await acme.sees_condition("ModelsResolved", "False", within_seconds=10)
    told = await acme.reads_condition("ModelsResolved")
    assert model in told["message"], json.dumps(told)
    assert (await acme.asks()).status == 200
