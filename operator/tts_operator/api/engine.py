"""Where a model's weights come from, and what speaks from them."""

from typing import Annotated

from pydantic import Field, StringConstraints

from tts_operator.api.apimodel import ATOMIC, APIModel, cel, list_map, list_set
from tts_operator.api.names import (
    SHA256,
    URL,
    AbsolutePath,
    BucketName,
    DNSLabel,
    DNSSubdomain,
    ImageReference,
    ObjectKey,
    Port,
    PullPolicy,
    SecretReference,
    Text,
)

ModelPath = Annotated[
    str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")
]
Argument = Annotated[str, StringConstraints(max_length=1024)]
VariableName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class ClaimSource(APIModel):
    """Weights on a PersistentVolumeClaim in the pod's namespace."""

    claim_name: DNSSubdomain
    """Name of the claim."""
    path: ModelPath | None = None
    """Folder or file inside the volume, relative to its root. Unset: the root."""

    @cel(
        "!has(self.path) || !self.path.split('/').exists(part, part == '..')",
        "path must stay inside the volume: no '..'",
    )
    def path_stays_inside(self) -> bool:
        return self.path is None or ".." not in self.path.split("/")


class ImageSource(APIModel):
    """Weights in an OCI image, mounted as a volume."""

    reference: ImageReference
    """Image that holds the weights, best with a digest."""
    pull_policy: PullPolicy = "IfNotPresent"
    """When the kubelet pulls it."""


class S3Source(APIModel):
    """Weights in a bucket: fetched by an init container, checked, cached."""

    endpoint: URL
    """Address of the S3 API."""
    bucket: BucketName
    """Name of the bucket."""
    key: ObjectKey
    """Key of the object."""
    secret_ref: SecretReference | None = None
    """Secret with `accessKey` and `secretKey`, in the operator's namespace. Unset: the bucket is public."""
    sha256: SHA256
    """Digest of the object, in hexadecimal. Other content is never loaded."""


class Source(APIModel):
    """Where weights come from: one of its fields."""

    persistent_volume_claim: ClaimSource | None = None
    """A claim in the pod's namespace."""
    image: ImageSource | None = None
    """An OCI image, mounted as a volume."""
    s3: S3Source | None = None
    """An object in a bucket."""
    built_in: DNSLabel | None = None
    """Name of weights shipped in the server image, such as `slt`. Espeak's own data is `espeak-ng`."""

    @cel(
        "[has(self.persistentVolumeClaim), has(self.image), has(self.s3), has(self.builtIn)].filter(one, one).size() <= 1",
        "source takes at most one of persistentVolumeClaim, image, s3 and builtIn",
    )
    def at_most_one(self) -> bool:
        return len(self.chosen) <= 1

    @property
    def chosen(self) -> tuple[str, ...]:
        """The union members that are set, as YAML spells them."""
        members = {
            "persistentVolumeClaim": self.persistent_volume_claim,
            "image": self.image,
            "s3": self.s3,
            "builtIn": self.built_in,
        }
        return tuple(name for name, value in members.items() if value is not None)


class Adapter(APIModel):
    """A small set of weights on top of the model's, such as a LoRA for a domain."""

    name: DNSLabel
    """What a voice's `adapter` names."""
    source: Source
    """Where the adapter's weights come from."""


class Remote(APIModel):
    """A speech API outside the cluster that speaks OpenAI's protocol."""

    url: URL
    """Base address, such as `https://api.example/v1`."""
    model: Text | None = None
    """Name of the model there. Unset: this model's name."""
    secret_ref: SecretReference | None = None
    """Secret with `apiKey`, in the operator's namespace."""


class Variable(APIModel):
    """An environment variable."""

    name: VariableName
    """Name of the variable."""
    value: Annotated[str, StringConstraints(max_length=4096)] = ""
    """Its value, in the clear: no credentials here."""


class Sidecar(APIModel):
    """A speech server of someone else's in the same pod, which speaks OpenAI's protocol."""

    image: ImageReference
    """Image of the server."""
    port: Port = 8000
    """Port on which it answers."""
    args: Annotated[tuple[Argument, ...], Field(max_length=64), ATOMIC] = ()
    """Arguments of its entrypoint."""
    env: Annotated[tuple[Variable, ...], Field(max_length=64), list_map("name")] = ()
    """Its environment."""
    model: Text | None = None
    """Name of the model in requests to it. Unset: this model's name."""
    readiness_path: AbsolutePath = "/health"
    """Answers 200 once it can speak."""
    run_as_user: Annotated[int, Field(strict=True, ge=1, le=4_294_967_294)] | None = None
    """User id of its process: root is never allowed. Unset: the image's."""
    writable_paths: Annotated[tuple[AbsolutePath, ...], Field(max_length=16), list_set()] = ()
    """Folders that it must be able to write; everything else is read-only."""
