"""Where a model's weights come from, and the servers of others that may speak for it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from tts_operator.api.base import (
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
    """Weights on a volume of the pod's namespace."""

    model_config = cel(
        (
            "!has(self.path) || (!self.path.startsWith('/') && self.path.split('/').all(part, part != '..'))",
            "path must be relative and stay inside the volume",
        )
    )

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""
    path: Path = "."
    """Folder in the volume, relative to its root."""


class ImageSource(APIModel):
    """Weights in an OCI image, mounted as a volume."""

    reference: ImageReference
    """Reference of the image."""
    pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    """When to pull it."""


class S3Source(APIModel):
    """Weights in an object store, fetched before the server starts, checked and cached."""

    endpoint: URL
    """Address of the store."""
    bucket: BucketName
    """Name of the bucket."""
    key: Path
    """Key of the archive."""
    secret_ref: ObjectReference
    """Secret in the operator's namespace with `accessKey` and `secretKey`."""
    sha256: SHA256
    """SHA-256 of the archive, in hexadecimal."""


class Source(APIModel):
    """Where weights come from: one of the fields."""

    model_config = cel(
        (
            "[has(self.persistentVolumeClaim), has(self.image), has(self.s3), has(self.builtIn)].filter(x, x).size()"
            " == 1",
            "source needs exactly one of persistentVolumeClaim, image, s3 and builtIn",
        )
    )

    persistent_volume_claim: ClaimSource | None = None
    """A volume."""
    image: ImageSource | None = None
    """An OCI image."""
    s3: S3Source | None = None
    """An object store."""
    built_in: DNSLabel | None = None
    """Shipped in the server image, by name."""


class RemoteEngine(APIModel):
    """Any server that speaks OpenAI's audio API."""

    url: URL
    """Base address, up to and without /v1."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    """Model to ask it for."""
    secret_ref: ObjectReference | None = None
    """Secret in the operator's namespace with `apiKey`."""


class EnvironmentVariable(APIModel):
    """One variable of a container."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    """Name of the variable."""
    value: Annotated[str, StringConstraints(max_length=4096)] = ""
    """Value, as it is."""


class SidecarEngine(APIModel):
    """A server that speaks OpenAI's audio API, in the same pod."""

    image: ImageReference
    """Image of the container."""
    port: Port
    """Port on which it listens."""
    args: Annotated[tuple[Annotated[str, StringConstraints(max_length=1024)], ...], Field(max_length=64), atomic()] = ()
    """Arguments of the container."""
    env: Annotated[tuple[EnvironmentVariable, ...], Field(max_length=64), list_map("name")] = ()
    """Its environment."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    """Model to ask it for."""
    readiness_path: Annotated[str, StringConstraints(pattern=r"^/.*$", max_length=256)] = "/health"
    """Path that answers 200 once it is ready."""
    run_as_user: Annotated[int, Field(ge=1, le=2_147_483_647)] | None = None
    """User ID of the container. Default: the server's."""
    writable_paths: Annotated[tuple[AbsolutePath, ...], Field(max_length=16), list_set()] = ()
    """Folders that get an empty volume; everything else is read-only."""
