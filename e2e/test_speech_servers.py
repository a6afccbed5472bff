"""Another speech server speaks for a model: in the pod of the model, as a second tts-server."""

from __future__ import annotations

from typing import Any

from e2e.platform import MISSING_IMAGE, Platform, fixed


def second_server(image: str) -> dict[str, Any]:
    """A sidecar with a `tts-server` that nobody configured: it speaks with every engine of its image, without keys."""
    return {
        "image": image,
        "port": 8880,
        "args": ["--host=0.0.0.0", "--port=8880", "--metrics-port=0"],
        "env": [{"name": "XDG_CACHE_HOME", "value": "/tmp/cache"}],
        "readinessPath": "/readyz",
        "writablePaths": ["/tmp"],
        "model": "espeak",
        "resources": {"requests": {"cpu": "100m", "memory": "384Mi"}, "limits": {"memory": "1Gi"}},
    }


async def test_a_speech_server_in_the_pod_is_heard_through_the_endpoint(platform: Platform) -> None:
    """Given a model whose voice is a second tts-server in the same pod, callers hear it through the tenant's endpoint.

    While the image of another one cannot run, the fallback speaks for its model.
    """
    spare = await platform.publishes_model("spare")
    model = await platform.publishes_model(
        "sidecar",
        engine="Sidecar",
        memoryLimit=None,
        sidecar=second_server(platform.server_image),
        fallback={"modelRef": {"name": spare}},
    )
    acme = await platform.onboards_team("acme", model, schedule=fixed(1))
    await acme.sees_condition("Available", within_seconds=180)
    answer = await acme.asks()
    assert answer.status == 200, answer.content
    assert (answer.headers["x-tts-status"], answer.headers["x-tts-engine"]) == ("ok", model)
    assert len(answer.content) > 10_000

    broken = second_server(MISSING_IMAGE)
    other = await platform.publishes_model(
        "broken", engine="Sidecar", memoryLimit=None, sidecar=broken, fallback={"modelRef": {"name": spare}}
    )
    beta = await platform.onboards_team("beta", spare, schedule=fixed(1), models=[{"name": spare}, {"name": other}])
    await beta.sees_message("Available", f"requests are served by fallback {spare}", within_seconds=120)
    degraded = await beta.asks(model=other)
    assert (degraded.status, degraded.headers["x-tts-status"]) == (200, "degraded")
