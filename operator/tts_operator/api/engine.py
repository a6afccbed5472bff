"""Sources of a model's weights, and engines outside the server: remote ones and sidecars."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from tts_operator.api.base import (
    REACHABLE,
    URL,
    AbsolutePath,
    APIModel,
    BucketName,
    DNSLabel,
    ImageReference,
    ObjectName,
    ObjectReference,
    Path,
    Port,
    atomic,
    cel,
    list_map,
    list_set,
)

SHA256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", max_length=64)]


class PullPolicy(StrEnum):
    """When the kubelet pulls an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class ClaimSource(APIModel):
    """Weights on a PersistentVolumeClaim in the pod's namespace."""

    model_config = cel(
        (
            "!has(self.path) || (!self.path.startsWith('/') && self.path.split('/').all(part, part != '..'))",
            "path must be relative and stay inside the volume",
        )
    )

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""
    path: Path = "."
    """Directory in the volume, relative to its root."""


class ImageSource(APIModel):
    """Weights in an OCI image, mounted as a volume."""

    reference: ImageReference
    """Image reference."""
    pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    """When the kubelet pulls the image."""


class S3Source(APIModel):
    """Archive of weights in an object store; it is downloaded, verified and cached before the server starts."""

    endpoint: Annotated[URL, REACHABLE]
    """URL of the object store."""
    bucket: BucketName
    """Name of the bucket."""
    key: Path
    """Object key of the archive."""
    secret_ref: ObjectReference
    """Secret in the operator's namespace with `accessKey` and `secretKey`."""
    sha256: SHA256
    """SHA-256 of the archive, in hexadecimal."""


class Source(APIModel):
    """Source of weights; exactly one field is set."""

    model_config = cel(
        (
            "[has(self.persistentVolumeClaim), has(self.image), has(self.s3), has(self.builtIn)].filter(x, x).size()"
            " == 1",
            "source must set exactly one of persistentVolumeClaim, image, s3 and builtIn",
        )
    )

    persistent_volume_claim: ClaimSource | None = None
    """PersistentVolumeClaim with the weights."""
    image: ImageSource | None = None
    """OCI image with the weights."""
    s3: S3Source | None = None
    """Archive of the weights in an object store."""
    built_in: DNSLabel | None = None
    """Name of weights that are part of the server image."""


class RemoteEngine(APIModel):
    """Server outside the pod that implements OpenAI's audio API."""

    url: Annotated[URL, REACHABLE]
    """Base URL, without /v1."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    """Model to name in requests to the server."""
    secret_ref: ObjectReference | None = None
    """Secret in the operator's namespace with `apiKey`."""


class EnvironmentVariable(APIModel):
    """One variable of a container."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    """Name of the variable."""
    value: Annotated[str, StringConstraints(max_length=4096)] = ""
    """Value of the variable; references to other variables are not expanded."""


class SidecarEngine(APIModel):
    """Server in the same pod that implements OpenAI's audio API."""

    image: ImageReference
    """Image of the container."""
    port: Port
    """Port on which the container listens."""
    args: Annotated[tuple[Annotated[str, StringConstraints(max_length=1024)], ...], Field(max_length=64), atomic()] = ()
    """Arguments of the container."""
    env: Annotated[tuple[EnvironmentVariable, ...], Field(max_length=64), list_map("name")] = ()
    """Environment variables of the container."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    """Model to name in requests to the server."""
    readiness_path: Annotated[str, StringConstraints(pattern=r"^/.*$", max_length=256)] = "/health"
    """Path that returns 200 when the container is ready."""
    run_as_user: Annotated[int, Field(ge=1, le=2_147_483_647)] | None = None
    """User ID of the container. Default: that of the server container."""
    writable_paths: Annotated[tuple[AbsolutePath, ...], Field(max_length=16), list_set()] = ()
    """Directories with a writable emptyDir volume; the rest of the file system is read-only."""
