"""Compares desired with observed objects, and plans the writes that make them agree."""

from collections.abc import Iterator

from tts_operator.desired.build import Desired
from tts_operator.objects.additions import TEMPLATE_LABELS, Addition, additions
from tts_operator.objects.diff import changed, difference
from tts_operator.objects.field_managers import finalizers_text, is_only_applied_by_operator
from tts_operator.objects.fields import replicas
from tts_operator.objects.keys import Key
from tts_operator.objects.kinds import POD, RESOURCE_CLAIM_TEMPLATE
from tts_operator.objects.labels import CONFIG_HASH, MANAGED_BY, POOL_LABEL, TENANT_LABEL
from tts_operator.objects.manifest import Body, Manifest, Ref
from tts_operator.objects.names import MANAGER
from tts_operator.objects.ownership import controlled_by, controller_of
from tts_operator.objects.problem import Problem
from tts_operator.plan.actions import Action, Annotate, Apply, Delete, Refuse, Remove, Scale
from tts_operator.plan.outcome import Interference
from tts_operator.snapshot import lookup
from tts_operator.snapshot.observed import Observed

COLLECTOR_FINALIZERS = frozenset({"foregroundDeletion", "orphan"})


def plan(desired: Desired | None, observed: Observed) -> list[Action]:
    """Actions that turn observed into desired, in order of execution, deletes last.

    Empty when they agree: converged means zero writes. Empty also for None, no spec: children stay as they are.
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
    """Apply of one child, followed by the scale of its replicas."""
    live = observed.children.get(manifest.ref)
    if live is not None and not controlled_by(live, observed.uid):
        yield Refuse(manifest.ref, name_taken(live, observed.key))
        return
    if live is not None and terminating(live):
        yield from lingers(manifest, desired, live)
        return  # its deletion enqueues the tenant, which then creates it again
    if live is not None and is_fixed(manifest, live):
        # Replaced at once: pods are annotated with its hash later in this plan.
        yield Delete(manifest.ref, str(live["metadata"].get("uid", "")), "immutable: replaced")
        live = None
    why = difference(manifest.body, live)
    removals = list(removes(manifest, desired, live, applied=bool(why)))
    yield from removals
    if why:
        yield Apply(manifest, why, create=live is None)
    yield from scales(manifest.ref, desired, observed, applied=bool(why or removals))


def removes(manifest: Manifest, desired: Desired, live: Body | None, *, applied: bool) -> Iterator[Remove]:
    """Remove of what others have added to a child, before anything else of it is written.

    `applied`: whether it is applied then. The apply itself takes along what an earlier one of the operator's has set:
    removed beforehand, it would be a change of the pods for itself, with a rollout of its own.
    """
    if live is not None and (applied or others_additions(manifest, desired, live)):
        found = [
            each
            for each in others_additions(manifest, desired, live, labels=True)
            if not (applied and is_only_applied_by_operator(live, each.path))
        ]
        if found:
            yield Remove(manifest, tuple(found), str(live["metadata"].get("resourceVersion", "")))


def others_additions(manifest: Manifest, desired: Desired, live: Body, *, labels: bool = False) -> list[Addition]:
    """Additions of others to a child.

    Where it is not known what a Deployment becomes later, a field may be one of the operator's that another program has
    taken over. Then only whole elements of lists are surely others', and labels.
    """
    found = additions(manifest.body, live, labels=labels)
    if desired.later.get(manifest.ref, manifest) is not None:
        return found
    return [each for each in found if each.path[-1].startswith("[") or each.path[:-1] == TEMPLATE_LABELS]


def lingers(manifest: Manifest, desired: Desired, live: Body) -> Iterator[Action]:
    """Keep a child as desired while its deletion takes time: a NetworkPolicy, for one, holds until it is gone.

    Its replicas are left alone, because the Deployment controller no longer follows them.
    """
    fixed = is_fixed(manifest, live)
    why = "" if fixed else difference(manifest.body, live)
    if not fixed:
        yield from removes(manifest, desired, live, applied=bool(why))
    if why:
        yield Apply(manifest.of_uid(live), f"{why}, while it is being deleted")
    if foreign_finalizers(live):
        yield Refuse(manifest.ref, deletion_blocked(live), lingers=not fixed)


def is_fixed(manifest: Manifest, live: Body) -> bool:
    """Whether a child has another content than it should that no write can change.

    That is an immutable ConfigMap or Secret, and every ResourceClaimTemplate.
    """
    if manifest.ref.kind == RESOURCE_CLAIM_TEMPLATE.name:
        return any(True for _ in changed(manifest.body["spec"], live.get("spec"), ("spec",)))
    if not live.get("immutable"):
        return False
    return live.get("data") != manifest.body.get("data") or bool(additions(manifest.body, live))


def name_taken(live: Body, key: Key) -> Problem:
    """Problem of a child whose name an object has that the tenant does not control."""
    owner = controller_of(live) or {}
    ours = is_labelled(live, key)
    if terminating(live) and ours and foreign_finalizers(live):
        return deletion_blocked(live)
    if not owner and ours:
        return Problem(
            "Orphaned",
            "is left over from a deleted tenant of this name, which no longer controls it, as after"
            f" `kubectl delete --cascade=orphan`: delete it with `kubectl -n {key.namespace} delete`",
        )
    if (owner.get("kind"), owner.get("name")) == ("TTSTenant", key.name):
        return Problem(
            "BeingCollected", "belongs to a deleted tenant of this name, and is being deleted with it; no action needed"
        )
    return Problem(
        "NameTaken", "exists and is not controlled by this tenant: delete or rename it, or choose another tenant name"
    )


def foreign_finalizers(live: Body) -> list[str]:
    """Finalizers with which other programs hold an object, besides those of the garbage collector."""
    return [name for name in live["metadata"].get("finalizers") or () if name not in COLLECTOR_FINALIZERS]


def deletion_blocked(live: Body) -> Problem:
    """Problem of an object that is being deleted, and that finalizers of other programs hold."""
    named = finalizers_text(live, foreign_finalizers(live))
    return Problem(
        "DeletionBlocked",
        f"is being deleted, and metadata.finalizers holds it: {named}; the program that set it must remove it",
    )


def leftovers(desired: Desired, observed: Observed) -> tuple[Interference, ...]:
    """Children that are no longer wanted, and that finalizers of other programs hold."""
    wanted = {manifest.ref for manifest in desired.manifests}
    return tuple(
        Interference(ref, deletion_blocked(live))
        for ref, live in sorted(observed.children.items(), key=lambda child: child[0])
        if ref not in wanted and is_labelled(live, observed.key) and terminating(live) and foreign_finalizers(live)
    )


def is_labelled(live: Body, key: Key) -> bool:
    """Whether the object has the labels of a child of the tenant."""
    labels = live["metadata"].get("labels") or {}
    return labels.get(TENANT_LABEL) == key.name and labels.get(MANAGED_BY) == MANAGER


def scales(ref: Ref, desired: Desired, observed: Observed, *, applied: bool = False) -> Iterator[Scale]:
    """Scale of a Deployment, only where the HPA does not own its replicas: at creation, at zero and at wake.

    Zero is the HPA's own if it says ScaledToZero: it then wakes the Deployment, which it leaves alone at another zero.
    Replicas beyond the bounds, as a second HPA leaves them behind, are the HPA's to correct unless it says that it
    cannot.
    """
    target = desired.replicas.get(ref)
    live = observed.children.get(ref)
    if target is None or (live is None and not applied):
        return
    current = 1 if live is None else replicas(live)
    version = None if live is None or applied else str(live["metadata"].get("resourceVersion", ""))
    if target == current or (current == 0 and lookup.scaled_to_zero(observed, ref.name)):
        return
    if target == 0:
        yield Scale(ref, 0, version, desired.why_zero)
    elif current == 0:
        yield Scale(ref, target, version, "woken: nothing asks for zero")
    elif live is None or never_scaled(live):
        yield Scale(ref, target, version, "never scaled before", creates=True, owns=True)
    elif (bounded := within_bounds(current, ref, desired, observed)) != current:
        yield Scale(ref, bounded, version, "beyond the bounds, and the HPA does not act")


def within_bounds(current: int, ref: Ref, desired: Desired, observed: Observed) -> int:
    """The replicas, moved into the bounds if the pool's own HPA cannot do that and no other one scales the pool."""
    bounds = desired.bounds.get(ref)
    if bounds is None or lookup.scales_by_load(observed, ref.name) or lookup.rival_autoscalers(observed, ref.name):
        return current
    return min(max(current, bounds.min_replicas, 1), max(bounds.max_replicas, 1))


def never_scaled(live: Body) -> bool:
    """Whether replicas are still the API server's default: every write of them would have increased the generation.

    This completes a creation that ended before its scale, or lost the race with the Deployment controller.
    managedFields cannot tell: a write through /scale of a field without an owner is not recorded there.
    """
    return int(live["metadata"].get("generation", 0)) == 1


def annotations(desired: Desired, observed: Observed) -> Iterator[Annotate]:
    """Annotation of each running pod whose config hash is not current: it makes the kubelet update mounted files."""
    for pod in observed.pods:
        target = desired.config_hashes.get(pod["metadata"].get("labels", {}).get(POOL_LABEL, ""))
        if target is None or terminating(pod) or pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
            continue
        current = (pod["metadata"].get("annotations") or {}).get(CONFIG_HASH)
        if current != target:
            ref = Ref.of(POD, observed.key.namespace, pod["metadata"]["name"])
            yield Annotate(ref, CONFIG_HASH, target, f"config {current or 'unknown'} -> {target}")


def deletes(desired: Desired, observed: Observed) -> Iterator[Delete]:
    """Delete of each child that is no longer desired. The tenant must control it, not just its label."""
    current = {manifest.ref for manifest in desired.manifests} | desired.kept
    for ref, live in sorted(observed.children.items(), key=lambda child: child[0]):
        if (
            ref not in current
            and is_labelled(live, observed.key)
            and controlled_by(live, observed.uid)
            and not terminating(live)
        ):
            yield Delete(ref, str(live["metadata"].get("uid", "")), "no longer wanted")


def terminating(live: Body) -> bool:
    """Whether the object is being deleted."""
    return "deletionTimestamp" in live["metadata"]
