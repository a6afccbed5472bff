"""Restarts and absence of the operator."""

from __future__ import annotations

from e2e.platform import Platform, fixed

LEASE_SECONDS = 15


async def test_a_killed_leader_is_succeeded_and_the_work_goes_on(platform: Platform) -> None:
    """Given two replicas of the operator, when the leader is killed, the other takes over within the Lease's time and
    brings up a tenant that was applied meanwhile."""
    model = await platform.publishes_model()
    old = await platform.leader()
    assert old, "nobody leads"
    await platform.kube.kubectl("delete", "-n", platform.system_namespace, f"pod/{old}", "--force", "--grace-period=0")
    acme = await platform.onboards_team("acme", model, schedule=fixed(1))
    seconds = await platform.kube.until(
        platform.system_namespace,
        "lease/ttsfleet",
        holds=lambda lease: not lease["spec"].get("holderIdentity", "").startswith(old),
        within_seconds=LEASE_SECONDS + 5,
    )
    print(f"succeeded after {seconds:.1f} s")
    await acme.sees_condition("Ready", within_seconds=60)


async def test_speech_goes_on_without_any_operator(platform: Platform) -> None:
    """Given a running endpoint, when every replica of the operator is gone, it speaks on; a child that is deleted
    meanwhile is back once the operator is."""
    acme = await platform.onboards_team("acme", await platform.publishes_model(), schedule=fixed(1))
    await acme.sees_condition("Ready", within_seconds=60)
    deployment = ("-n", platform.system_namespace, "deployment/ttsfleet")
    await platform.kube.kubectl("scale", *deployment, "--replicas=0")
    try:
        operators = "app.kubernetes.io/name=tts-operator"
        await platform.kube.until(
            platform.system_namespace, "pods", "-l", operators, holds=lambda b: not b["items"], within_seconds=40
        )
        assert (await acme.asks()).status == 200
        await platform.kube.kubectl("delete", "-n", acme.namespace, "pdb", "-l", acme.selector)
    finally:
        await platform.kube.kubectl("scale", *deployment, "--replicas=2")
    await platform.kube.until(
        acme.namespace, "pdb", "-l", acme.selector, holds=lambda b: len(b["items"]) == 1, within_seconds=60
    )
    assert (await acme.asks()).status == 200
