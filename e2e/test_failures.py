"""Failures to run are explained by the tenant's conditions, without `kubectl describe pod`."""

from __future__ import annotations

from e2e.platform import Platform, fixed

WITHIN_SECONDS = 10
IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff")
MISSING_IMAGE = "localhost:1/no-such-server:1"
"""Image at a port on which nothing listens: its pull fails at once. An unknown host may take 30 s."""


async def test_a_model_whose_image_is_missing_reports_why(platform: Platform) -> None:
    """Given a model with an image that no registry has, its tenant says so within 10 s, and names the image."""
    acme = await platform.onboards_team("acme", await platform.publishes_model(image=MISSING_IMAGE), schedule=fixed(1))
    seconds = await acme.sees_reason("Ready", *IMAGE_REASONS, within_seconds=WITHIN_SECONDS)
    print(f"apply to the reason: {seconds:.1f} s")
    assert MISSING_IMAGE in (await acme.reads_condition("Ready"))["message"]


async def test_pods_that_no_node_has_room_for_report_why(platform: Platform) -> None:
    """Given a model that asks for more cores than any node has, its tenant says that no node has room."""
    precisions = [{"name": "fp32", "resources": {"requests": {"cpu": "4000", "memory": "128Mi"}}}]
    model = await platform.publishes_model(precisions=precisions)
    acme = await platform.onboards_team("acme", model, schedule=fixed(1))
    await acme.sees_reason("Ready", "Unschedulable", within_seconds=WITHIN_SECONDS)
    assert "cpu" in (await acme.reads_condition("Ready"))["message"]


async def test_pods_that_the_quota_denies_report_why(platform: Platform) -> None:
    """Given a namespace whose ResourceQuota has no room left, its tenant names the quota."""
    acme = await platform.onboards_team(
        "acme", await platform.publishes_model(), resource_quota={"pods": "1"}, schedule=fixed(1)
    )
    await acme.sees_condition("Ready", "False", within_seconds=WITHIN_SECONDS)
    await acme.sees_reason("Available", "QuotaExceeded", within_seconds=WITHIN_SECONDS)
    assert "exceeded quota: small" in (await acme.reads_condition("Ready"))["message"]


async def test_pods_that_run_out_of_memory_report_why(platform: Platform) -> None:
    """Given a model with far too small a memory limit, its tenant says that its pods are killed for it."""
    resources = {"requests": {"cpu": "100m", "memory": "12Mi"}, "limits": {"cpu": "1", "memory": "12Mi"}}
    model = await platform.publishes_model(precisions=[{"name": "fp32", "resources": resources}], memoryLimit="4Mi")
    acme = await platform.onboards_team("acme", model, schedule=fixed(1))
    await acme.sees_reason("Ready", "OOMKilled", "CrashLoopBackOff", "StartError", within_seconds=30)


async def test_a_bad_tenant_does_not_stop_a_good_one(platform: Platform) -> None:
    """Given a tenant that cannot run, another one beside it becomes Ready."""
    await platform.onboards_team(
        "bad", await platform.publishes_model("broken", image=MISSING_IMAGE), schedule=fixed(1)
    )
    good = await platform.onboards_team("good", await platform.publishes_model(), schedule=fixed(1))
    await good.sees_condition("Ready", within_seconds=60)


async def test_a_repaired_model_makes_its_tenants_ready(platform: Platform) -> None:
    """Given a tenant that waits for a missing image, when the platform names the right one, it becomes Ready."""
    model = await platform.publishes_model(image=MISSING_IMAGE)
    acme = await platform.onboards_team("acme", model, schedule=fixed(1))
    await acme.sees_reason("Ready", *IMAGE_REASONS, within_seconds=WITHIN_SECONDS)
    await platform.changes_model(model, image=platform.server_image)
    await acme.sees_condition("Ready", within_seconds=60)
