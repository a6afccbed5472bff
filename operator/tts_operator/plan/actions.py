"""What a plan is made of. Each action is one write; its ``str()`` is one line for logs and tests."""

from dataclasses import dataclass

from tts_operator.objects.manifest import Manifest, Ref


@dataclass(frozen=True)
class Apply:
    """Server-side apply as the operator's field manager."""

    manifest: Manifest
    why: str
    create: bool = False
    """Nothing was observed under this name: apply without force, and only if nobody else's object sits there."""

    @property
    def ref(self) -> Ref:
        """What is written."""
        return self.manifest.ref

    def __str__(self) -> str:
        return f"apply {self.ref}: {self.why}"


@dataclass(frozen=True)
class Scale:
    """Write replicas through /scale, under the scale manager's name."""

    ref: Ref
    replicas: int
    resource_version: str | None
    """Of the Deployment as observed; None: the version that this plan's Apply of the same Deployment returned."""
    why: str

    def __str__(self) -> str:
        return f"scale {self.ref} to {self.replicas}: {self.why}"


@dataclass(frozen=True)
class Annotate:
    """Merge-patch one annotation of a running pod. A pod that is gone by then is no failure."""

    ref: Ref
    annotation: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"annotate {self.ref}: {self.why}"


@dataclass(frozen=True)
class Delete:
    """Delete in the background, only the very object that was observed."""

    ref: Ref
    uid: str
    """Precondition: an object that was made again since is another one."""
    why: str

    def __str__(self) -> str:
        return f"delete {self.ref}: {self.why}"


@dataclass(frozen=True)
class Refuse:
    """No write: somebody else's object has a child's name. The outcome counts it as a failure of this reason."""

    ref: Ref
    reason: str
    message: str

    def __str__(self) -> str:
        return f"refuse {self.ref}: {self.reason}"


Action = Apply | Scale | Annotate | Delete | Refuse
