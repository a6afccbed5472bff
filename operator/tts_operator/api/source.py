"""Sources of a model's files: a claim, an image, an object store, or the server image itself."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from tts_operator.api.base import (
    APIModel,
    BucketName,
    DNSLabel,
    ImageReference,
    KeyPrefix,
    ObjectName,
    ObjectReference,
    Quantity,
    Region,
    RelativePath,
    StoreOrigin,
    cel,
    list_map,
)

SHA256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", max_length=64)]


class PullPolicy(StrEnum):
    """When the kubelet pulls an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class ClaimSource(APIModel):
    """Files on a PersistentVolumeClaim in the pod's namespace; pods mount it read-only."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""
    path: RelativePath = "."
    """Directory in the volume, relative to its root."""
    revision: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)] | None = None
    """Revision of the files. Change it after the files: pods then load them again without a restart, and audio that was
    cached before is not served any more."""


class ImageSource(APIModel):
    """Files in an OCI image, mounted as a volume. Needs Kubernetes 1.35, or its feature gate ImageVolume."""

    reference: ImageReference
    """Image reference. With a tag, audio that was cached before outlives another image under the same tag."""
    pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    """When the kubelet pulls the image."""


class S3File(APIModel):
    """One object of an object store."""

    path: RelativePath
    """Path of the file. With `prefix` before it, it is the key of the object."""
    sha256: SHA256
    """SHA-256 of the file, in hexadecimal."""


class S3Source(APIModel):
    """Files in an object store; they are downloaded and verified before the server starts."""

    endpoint: StoreOrigin
    """URL of the object store, as pods reach it."""
    region: Region = "us-east-1"
    """Region for which requests are signed."""
    bucket: BucketName
    """Name of the bucket."""
    prefix: KeyPrefix = ""
    """Prefix of the object keys, such as `voices/en`; a slash follows it."""
    path_style: bool = False
    """Whether the bucket is in the path of URLs instead of in the host name, as MinIO expects."""
    files: Annotated[tuple[S3File, ...], Field(min_length=1, max_length=64), list_map("path")]
    """Files to download."""
    secret_ref: ObjectReference
    """Secret in the operator's namespace with `accessKey` and `secretKey`, which may read the bucket.

    Pods never see it: the operator signs a URL for each file, which is valid for a week, and renews it in time.
    """
    size_limit: Quantity = "4Gi"
    """Size of the pod's volume for the files."""


class ExternalSource(APIModel):
    """Source of files that no image of this project contains; exactly one field is set."""

    model_config = cel(
        (
            "[has(self.persistentVolumeClaim), has(self.image), has(self.s3)].filter(x, x).size() == 1",
            "source must set exactly one of persistentVolumeClaim, image and s3",
        )
    )

    persistent_volume_claim: ClaimSource | None = None
    """PersistentVolumeClaim with the files."""
    image: ImageSource | None = None
    """OCI image with the files."""
    s3: S3Source | None = None
    """Object store with the files."""


class Source(ExternalSource):
    """Source of a model's files; exactly one field is set."""

    model_config = cel(
        (
            "[has(self.persistentVolumeClaim), has(self.image), has(self.s3), has(self.builtIn)].filter(x, x).size()"
            " == 1",
            "source must set exactly one of persistentVolumeClaim, image, s3 and builtIn",
        )
    )

    built_in: DNSLabel | None = None
    """Name of a voice that the server image contains: `heart` or `kokoro`."""
