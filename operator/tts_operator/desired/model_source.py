"""How a pool's pods get the files of their model: volumes, the container that downloads, and the Secret with URLs.

The Secret has one entry for each set of files that pods are made for: while a rollout goes on, and while it waits,
pods of the earlier spec may start, too. An entry of an earlier spec stays as it is until no pod is made for it.
"""

import base64
from collections.abc import Iterable, Iterator
from datetime import UTC
from pathlib import PurePath
from typing import Any

from tts_operator.api.source import S3Source
from tts_operator.desired.metadata import pool_metadata
from tts_operator.objects import quantity
from tts_operator.objects.kinds import SECRET
from tts_operator.objects.labels import SIGNED_AT
from tts_operator.objects.manifest import Body, Manifest
from tts_operator.objects.names import FETCH_CONTAINER, MODEL_VOLUME, SOURCE_VOLUME, source_secret_name
from tts_operator.pod_files.engine import server_image
from tts_operator.pod_files.model_files import downloads, downloads_name
from tts_operator.resolve.resolved import Pool, Resolved
from tts_operator.resolve.source_urls import urls_signed_at
from tts_operator.snapshot import lookup
from tts_server.config.schema import MODEL_DIRECTORY, MODEL_SOURCE_DIRECTORY

DOWNLOADS_FLAG = "--downloads"
UNPRIVILEGED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
"""Security context of every container."""


def s3_source(pool: Pool) -> S3Source | None:
    """The object store with the files of the pool's model; None if they are elsewhere, or the model cannot be used."""
    return pool.model.spec.source.s3 if pool.model is not None and pool.model.spec.source is not None else None


def model_volumes(resolved: Resolved, pool: Pool) -> list[dict[str, Any]]:
    """Volumes with the model's files, and with what is needed to fetch them; none where the image has them."""
    source = pool.served[0].spec.source
    if source is None or source.built_in is not None:
        return []
    if claim := source.persistent_volume_claim:
        place = {"persistentVolumeClaim": {"claimName": claim.claim_name, "readOnly": True}}
        return [{"name": MODEL_VOLUME, **place}]
    if image := source.image:
        place = {"image": {"reference": image.reference, "pullPolicy": image.pull_policy.value}}
        return [{"name": MODEL_VOLUME, **place}]
    name = source_secret_name(resolved.key.name, pool.model_name)
    return [
        {"name": MODEL_VOLUME, "emptyDir": {"sizeLimit": source.s3.size_limit if source.s3 else "0"}},
        {"name": SOURCE_VOLUME, "secret": {"secretName": name}},
    ]


def model_mounts(pool: Pool) -> dict[str, tuple[PurePath, bool]]:
    """Mounts of the server's container, by volume: it reads the files and changes none."""
    source = pool.served[0].spec.source
    return {} if source is None or source.built_in is not None else {MODEL_VOLUME: (MODEL_DIRECTORY, True)}


def init_containers(resolved: Resolved, pool: Pool, resources: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    """The container that downloads the files; none without an object store. It asks for what the server asks for.

    So a pod needs no more than without it: containers of one kind run after those of the other.
    """
    source = s3_source(pool)
    if source is None:
        return []
    return [
        {
            "name": FETCH_CONTAINER,
            "image": server_image(resolved, pool),
            "imagePullPolicy": resolved.settings.image_pull_policy,
            "args": [
                "fetch-model",
                DOWNLOADS_FLAG,
                str(MODEL_SOURCE_DIRECTORY / downloads_name(pool.served[0])),
                "--directory",
                str(MODEL_DIRECTORY),
                "--max-bytes",
                str(quantity.whole(source.size_limit)),
            ],
            "resources": {kind: plain(amounts) for kind, amounts in resources.items()},
            "securityContext": UNPRIVILEGED,
            "volumeMounts": [
                {"name": MODEL_VOLUME, "mountPath": str(MODEL_DIRECTORY)},
                {"name": SOURCE_VOLUME, "mountPath": str(MODEL_SOURCE_DIRECTORY), "readOnly": True},
            ],
        }
    ]


def plain(amounts: dict[str, str]) -> dict[str, str]:
    """Resources without devices."""
    return {name: amount for name, amount in amounts.items() if "/" not in name}


def source_secret(resolved: Resolved, pool: Pool) -> Manifest | None:
    """The Secret with presigned URLs; None unless the files are in an object store whose keys are known."""
    source, credentials = s3_source(pool), resolved.observed.source_credentials.get(pool.model_name)
    signed_at = urls_signed_at(resolved.observed, pool, resolved.now)
    if source is None or credentials is None or credentials.keys is None or signed_at is None:
        return None
    live = live_source_secret(resolved, pool)
    used = set(downloads_in_use(resolved, pool))
    entries = {name: text for name, text in ((live or {}).get("data") or {}).items() if name in used}
    current = downloads(source, credentials.keys, signed_at)
    entries[downloads_name(pool.served[0])] = base64.b64encode(current.encode()).decode()
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
