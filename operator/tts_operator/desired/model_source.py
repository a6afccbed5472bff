"""How a pool's pods get the files of their model and its adapters: volumes, containers that download, URLs in a Secret.

The Secret has one entry for each set of files that pods are made for: while a rollout goes on, and while it waits,
pods of the earlier spec may start, too. An entry of an earlier spec stays as it is until no pod is made for it.
"""

import base64
from collections.abc import Iterable, Iterator
from datetime import UTC
from pathlib import PurePath
from typing import Any

from tts_operator.api.model import external_sources
from tts_operator.api.source import ExternalSource
from tts_operator.credentials.model_sources import stores
from tts_operator.desired.metadata import pool_metadata
from tts_operator.objects import quantity
from tts_operator.objects.kinds import SECRET
from tts_operator.objects.labels import SIGNED_AT
from tts_operator.objects.manifest import Body, Manifest
from tts_operator.objects.names import SOURCE_VOLUME, fetch_container, files_volume, source_secret_name
from tts_operator.pod_files.engine import server_image
from tts_operator.pod_files.model_files import downloads, downloads_name, mounted_at
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.resolve.source_urls import urls_signed_at
from tts_operator.snapshot import lookup
from tts_server.config.schema import MODEL_SOURCE_DIRECTORY

DOWNLOADS_FLAG = "--downloads"
UNPRIVILEGED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
"""Security context of every container."""


def model_volumes(resolved: Resolved, pool: Pool) -> list[dict[str, Any]]:
    """Volumes with the files of the model and its adapters, and with what is needed to fetch them."""
    model, _ = pool.served
    volumes = [{"name": files_volume(name), **place(source)} for name, source in external_sources(model).items()]
    if stores(model):
        name = source_secret_name(resolved.key.name, pool.model_name)
        volumes.append({"name": SOURCE_VOLUME, "secret": {"secretName": name}})
    return volumes


def place(source: ExternalSource) -> dict[str, Any]:
    """Kind and options of the volume with these files."""
    if claim := source.persistent_volume_claim:
        return {"persistentVolumeClaim": {"claimName": claim.claim_name, "readOnly": True}}
    if image := source.image:
        return {"image": {"reference": image.reference, "pullPolicy": image.pull_policy.value}}
    return {"emptyDir": {"sizeLimit": source.s3.size_limit if source.s3 else "0"}}


def model_mounts(pool: Pool) -> dict[str, tuple[PurePath, bool]]:
    """Mounts of the server's container, by volume: it reads the files and changes none."""
    return {files_volume(name): (mounted_at(name), True) for name in external_sources(pool.served[0])}


def init_containers(resolved: Resolved, pool: Pool, resources: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    """The containers that download files, one for each object store. They ask for what the server asks for.

    So a pod needs no more than without them: containers of one kind run after those of the other.
    """
    if pool.model is None:
        return []
    return [
        {
            "name": fetch_container(name),
            "image": server_image(resolved, pool),
            "imagePullPolicy": resolved.settings.image_pull_policy,
            "args": [
                "fetch-model",
                DOWNLOADS_FLAG,
                str(MODEL_SOURCE_DIRECTORY / downloads_name(source)),
                "--directory",
                str(mounted_at(name)),
                "--max-bytes",
                str(quantity.whole(source.s3.size_limit)),
            ],
            "resources": {kind: plain(amounts) for kind, amounts in resources.items()},
            "securityContext": UNPRIVILEGED,
            "volumeMounts": [
                {"name": files_volume(name), "mountPath": str(mounted_at(name))},
                {"name": SOURCE_VOLUME, "mountPath": str(MODEL_SOURCE_DIRECTORY), "readOnly": True},
            ],
        }
        for name, source in external_sources(pool.model).items()
        if source.s3 is not None
    ]


def plain(amounts: dict[str, str]) -> dict[str, str]:
    """Resources without devices."""
    return {name: amount for name, amount in amounts.items() if "/" not in name}


def source_secret(resolved: Resolved, pool: Pool) -> Manifest | None:
    """The Secret with presigned URLs; None unless files are in object stores whose keys are known."""
    credentials = resolved.observed.source_credentials.get(pool.model_name)
    signed_at = urls_signed_at(resolved.observed, pool, resolved.now)
    if pool.model is None or credentials is None or not credentials.keys or signed_at is None:
        return None
    live = live_source_secret(resolved, pool)
    used = set(downloads_in_use(resolved, pool))
    entries = {name: text for name, text in ((live or {}).get("data") or {}).items() if name in used}
    for name, source in external_sources(pool.model).items():
        if source.s3 is not None:
            current = downloads(source.s3, credentials.keys[name], signed_at)
            entries[downloads_name(source)] = base64.b64encode(current.encode()).decode()
    metadata = pool_metadata(resolved, pool, source_secret_name(resolved.key.name, pool.model_name))
    stamp = signed_at.astimezone(UTC).isoformat(timespec="seconds")
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**metadata, "annotations": {SIGNED_AT: stamp}},
            "type": "Opaque",
            "data": dict(sorted(entries.items())),
        }
    )


def live_source_secret(resolved: Resolved, pool: Pool) -> Body | None:
    """The live Secret with URLs of the pool's files."""
    return lookup.child(resolved.observed, SECRET, source_secret_name(resolved.key.name, pool.model_name))


def downloads_in_use(resolved: Resolved, pool: Pool) -> Iterator[str]:
    """Entries of the Secret that the pool's live pods were made for, and those that its Deployment makes."""
    deployment = lookup.deployment(resolved.observed, pool.name)
    templates = [deployment["spec"]["template"]] if deployment else []
    for template in (*templates, *lookup.pods_of(resolved.observed, pool.name)):
        for container in (template.get("spec") or {}).get("initContainers") or ():
            yield from named_downloads(container.get("args") or ())


def named_downloads(args: Iterable[str]) -> Iterator[str]:
    """File name after DOWNLOADS_FLAG."""
    previous = ""
    for argument in args:
        if previous == DOWNLOADS_FLAG:
            yield PurePath(argument).name
        previous = argument
