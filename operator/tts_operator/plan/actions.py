"""Actions of a plan. Each is one write; its ``str()`` is one line for logs and tests."""

from dataclasses import dataclass

from tts_operator.objects.additions import Addition
from tts_operator.objects.diff import path_name
from tts_operator.objects.manifest import Manifest, Ref
from tts_operator.objects.problem import Problem


@dataclass(frozen=True)
class Apply:
    """Server-side apply as the operator's field manager."""

    manifest: Manifest
    why: str
    create: bool = False
    """No object of this name was observed: apply without force, and only if no foreign object has it by then."""

    @property
    def ref(self) -> Ref:
        """Object that is written."""
        return self.manifest.ref

    def __str__(self) -> str:
        return f"apply {self.ref}: {self.why}"


@dataclass(frozen=True)
class Remove:
    """Remove what others have added in places that are closed to them."""

    manifest: Manifest
    additions: tuple[Addition, ...]
    resource_version: str
    """resourceVersion as observed: positions in lists are those of this version."""

    @property
    def ref(self) -> Ref:
        """Object that is written."""
        return self.manifest.ref

    def __str__(self) -> str:
        named = ", ".join(path_name(each.path) for each in self.additions)
        return f"remove from {self.ref}: {named}"


@dataclass(frozen=True)
class Scale:
    """Write replicas through /scale, under the scale manager's name."""

    ref: Ref
    replicas: int
    resource_version: str | None
    """resourceVersion as observed; None: the one returned by this plan's other writes of the same Deployment."""
    why: str
    creates: bool = False
    """Whether it is the first write of the replicas, which completes a creation."""
    owns: bool = False
    """Write the Deployment itself, not its /scale: managedFields then names whoever scales it next.

    The API server records a write through /scale only of a field that has an owner, as an entry with the subresource
    `scale`. A write of zero takes the field from its owner and records nobody, since a Scale has no `replicas` then.
    """

    def __str__(self) -> str:
        return f"scale {self.ref} to {self.replicas}: {self.why}"


@dataclass(frozen=True)
class Annotate:
    """Merge-patch one annotation of a running pod. It is no failure if the pod is gone."""

    ref: Ref
    annotation: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"annotate {self.ref}: {self.why}"


@dataclass(frozen=True)
class Delete:
    """Delete the observed object in the background."""

    ref: Ref
    uid: str
    """Precondition: an object recreated since has another UID."""
    why: str

    def __str__(self) -> str:
        return f"delete {self.ref}: {self.why}"


@dataclass(frozen=True)
class Refuse:
    """No write, and a failure in the outcome: a foreign object has the name of a child, or a finalizer holds one."""

    ref: Ref
    problem: Problem
    lingers: bool = False
    """The child is the tenant's own, and is kept as desired until it is gone: what depends on it goes on."""

    def __str__(self) -> str:
        return f"refuse {self.ref}: {self.problem.reason}"


Action = Apply | Remove | Scale | Annotate | Delete | Refuse
