"""From what is wanted and what was observed to the writes that are due. Nothing here touches the world."""

from collections.abc import Iterator

from tts_operator.desired.build import Desired
from tts_operator.objects.diff import difference
from tts_operator.objects.fields import replicas
from tts_operator.objects.keys import Key
from tts_operator.objects.manifest import Body, Manifest, Ref, ref_of
from tts_operator.objects.names import CONFIG_HASH, MANAGED_BY, MANAGER, POOL_LABEL, TENANT_LABEL
from tts_operator.objects.ownership import controlled_by, controller_of
from tts_operator.objects.problem import Problem
from tts_operator.plan.actions import Action, Annotate, Apply, Delete, Refuse, Scale
from tts_operator.snapshot.observed import Observed


def plan(desired: Desired | None, observed: Observed) -> list[Action]:
    """What turns observed into desired, in order of execution, deletes last.

    Empty when they agree: converged means zero writes. Empty also for None, a refused tenant: its children stay.
    """
    if desired is None:
        return []
    return [
        *(action for manifest in desired.manifests for action in applies(manifest, desired, observed)),
        *(action for ref in sorted(desired.kept) for action in scales(ref, desired, observed)),
        *annotations(desired, observed),
        *deletes(desired, observed),
    ]


def applies(manifest: Manifest, desired: Desired, observed: Observed) -> Iterator[Action]:
    """The write of one child, and right after it that of its replicas."""
    live = observed.children.get(manifest.ref)
    if live is not None and not controlled_by(live, observed.uid):
        yield Refuse(manifest.ref, *taken(live, observed.key))
        return
    if live is not None and terminating(live):
        return  # it comes back once it is gone
    if why := difference(manifest.body, live):
        yield Apply(manifest, why, create=live is None)
    yield from scales(manifest.ref, desired, observed, applied=bool(why))


def taken(live: Body, key: Key) -> Problem:
    """Why a child cannot have its name: an object that the tenant does not control has it."""
    owner = controller_of(live) or {}
    if (owner.get("kind"), owner.get("name")) == ("TTSTenant", key.name):
        return Problem("BeingCollected", "is left of a tenant of this name that was deleted, and goes with it: wait")
    return Problem("NameTaken", "exists and is not this tenant's: rename or delete it, or name the tenant otherwise")


def scales(ref: Ref, desired: Desired, observed: Observed, *, applied: bool = False) -> Iterator[Scale]:
    """Replicas, at the only moments when the HPA does not own them: creation, zero and wake."""
    wanted = desired.replicas.get(ref)
    live = observed.children.get(ref)
    if wanted is None or (live is None and not applied):
        return
    current = 1 if live is None else replicas(live)
    version = None if live is None or applied else str(live["metadata"].get("resourceVersion", ""))
    if wanted == current:
        return
    if wanted == 0:
        yield Scale(ref, 0, version, "suspended")
    elif current == 0:
        yield Scale(ref, wanted, version, "woken: nothing asks for zero")
    elif live is None or never_scaled(live):
        yield Scale(ref, wanted, version, "never scaled before")


def never_scaled(live: Body) -> bool:
    """Whether replicas are still the API server's default: every write of them would have made a new generation.

    So a creation that was cut short before it, or that lost the race with the Deployment's controller, is completed.
    managedFields would not tell: a write through /scale of a field that nobody owns is not recorded there.
    """
    return int(live["metadata"].get("generation", 0)) == 1


def annotations(desired: Desired, observed: Observed) -> Iterator[Annotate]:
    """A nudge for each running pod whose configuration is not the one it was told of last."""
    for pod in observed.pods:
        wanted = desired.config_hashes.get(pod["metadata"].get("labels", {}).get(POOL_LABEL, ""))
        if wanted is None or terminating(pod) or pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
            continue
        current = (pod["metadata"].get("annotations") or {}).get(CONFIG_HASH)
        if current != wanted:
            ref = ref_of({"apiVersion": "v1", "kind": "Pod", **pod})
            yield Annotate(ref, CONFIG_HASH, wanted, f"config {current or 'unknown'} -> {wanted}")


def deletes(desired: Desired, observed: Observed) -> Iterator[Delete]:
    """Children that nothing wants any more. A label alone condemns nothing: the tenant must control the object, too."""
    wanted = {manifest.ref for manifest in desired.manifests} | desired.kept
    for ref, live in sorted(observed.children.items(), key=lambda child: child[0]):
        labels = live["metadata"].get("labels") or {}
        ours = labels.get(TENANT_LABEL) == observed.key.name and labels.get(MANAGED_BY) == MANAGER
        if ref not in wanted and ours and controlled_by(live, observed.uid) and not terminating(live):
            yield Delete(ref, str(live["metadata"].get("uid", "")), "no longer wanted")


def terminating(live: Body) -> bool:
    """Whether the object is already on its way out."""
    return "deletionTimestamp" in live["metadata"]
