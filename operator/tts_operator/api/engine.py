"""Sources of a model's weights."""

from enum import StrEnum
from typing import Annotated

from pydantic import StringConstraints

from tts_operator.api.base import (
    REACHABLE,
    URL,
    APIModel,
    BucketName,
    DNSLabel,
    ImageReference,
    ObjectName,
    ObjectReference,
    Path,
    cel,
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
