"""The container of engine Sidecar, beside the server's."""

from pathlib import PurePath
from typing import Any

from tts_operator.api.speech_server import SidecarEngine
from tts_operator.resolve.resolved import Pool

SIDECAR = "speech-server"
START_SECONDS = 600
"""Maximum time until the container is ready: it may load a large model."""


def sidecar_of(pool: Pool) -> SidecarEngine | None:
    """The sidecar of the pool's model."""
    return pool.model.spec.sidecar if pool.model is not None else None


def sidecar_container(pool: Pool, pull_policy: str) -> dict[str, Any] | None:
    """The container; None for other engines.

    It is an init container that is restarted always (KEP-753): the server starts when it is ready, and the kubelet ends
    it only after the server, which completes requests until then.
    """
    sidecar = sidecar_of(pool)
    if sidecar is None:
        return None
    security: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    if sidecar.run_as_user is not None:
        security["runAsUser"] = sidecar.run_as_user
    container: dict[str, Any] = {
        "name": SIDECAR,
        "image": sidecar.image,
        "imagePullPolicy": pull_policy,
        "restartPolicy": "Always",
        "ports": [{"name": "speech", "containerPort": sidecar.port, "protocol": "TCP"}],
        "resources": {
            name: dict(amounts)
            for name, amounts in (("limits", sidecar.resources.limits), ("requests", sidecar.resources.requests))
            if amounts
        },
        "startupProbe": probe(sidecar, period=1, timeout=2, failures=START_SECONDS),
        "readinessProbe": probe(sidecar, period=5, timeout=3, failures=2),
        "livenessProbe": probe(sidecar, period=10, timeout=5, failures=6),
        "securityContext": security,
    }
    if sidecar.command:
        container["command"] = [literal(word) for word in sidecar.command]
    if sidecar.args:
        container["args"] = [literal(word) for word in sidecar.args]
    if sidecar.env:
        container["env"] = [{"name": each.name, "value": literal(each.value)} for each in sidecar.env]
    if sidecar.writable_paths:
        container["volumeMounts"] = [
            {"name": volume_name(position), "mountPath": path}
            for position, path in enumerate(sorted(sidecar.writable_paths, key=PurePath))
        ]
    return container


def sidecar_volumes(pool: Pool, size_limit: str) -> list[dict[str, Any]]:
    """The volumes of the container's writable directories."""
    sidecar = sidecar_of(pool)
    paths = sidecar.writable_paths if sidecar is not None else ()
    return [{"name": volume_name(position), "emptyDir": {"sizeLimit": size_limit}} for position in range(len(paths))]


def volume_name(position: int) -> str:
    """Name of the volume of one writable directory."""
    return f"{SIDECAR}-{position}"


def literal(text: str) -> str:
    """Keep the kubelet from expanding `$(NAME)`: the platform team's text reaches the container as it is."""
    return text.replace("$(", "$$(")


def probe(sidecar: SidecarEngine, *, period: int, timeout: int, failures: int) -> dict[str, Any]:
    """An HTTP probe of the container; period and timeout in seconds."""
    return {
        "httpGet": {"path": sidecar.readiness_path, "port": "speech"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }
