"""A pool whose pods stay as they are for now has everything else of its Deployment as desired all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.support.operator_builders import DAY, SETTINGS, built, changes, child, live, observe, resolved, settle
from tests.support.resources import Object, model
from tts_operator.desired.build import Desired, build, pool_deployments
from tts_operator.objects.labels import ROLLOUT, SOURCES
from tts_operator.objects.manifest import Manifest
from tts_operator.objects.problem import Problem
from tts_operator.plan.actions import Apply
from tts_operator.plan.plan import plan
from tts_operator.plan.postponed import postponed
from tts_operator.resolve.resolve import resolve
from tts_operator.snapshot.observed import Observed

WAITING = Problem("WaitingForRollout", "Queued behind other tenants' rollouts; no action needed.")
NEW = model(image="new:2", threads=4)
"""A change of the model that the pool waits to roll out."""
Edit = Callable[[Object], object]


def waiting(children: list[Object]) -> tuple[Desired, Observed]:
    observed = observe(known=[NEW], children=children, schedule=DAY)
    found = resolved(observed)
    change = changes(found)
    assert change, "the rollout is limited"
    desired = build(found.waiting({"acme-espeak": WAITING}, change), pool_deployments(found))
    assert desired is not None
    return desired, observed


def without_model(children: list[Object]) -> tuple[Desired, Observed]:
    observed = observe(known=[], children=children, schedule=DAY)
    desired = built(resolved(observed))
    assert desired is not None
    return desired, observed


def retiring(children: list[Object]) -> tuple[Desired, Observed]:
    """The tenant has another model now, whose pool has no ready pod yet."""
    observed = observe("other", children=children, schedule=DAY)
    desired = built(resolved(observed))
    assert desired is not None
    return desired, observed


SITUATIONS = {"it waits for a rollout": waiting, "it has no model": without_model, "it retires": retiring}
Situation = Callable[[list[Object]], tuple[Desired, Observed]]


def writes(situation: Situation, *edits: Edit, manager: str = "kubectl-edit") -> list[str]:
    """Writes to a converged Deployment after these edits of somebody else."""
    return [str(each) for each in plan(*situation(edited(*edits, manager=manager))) if str(each.ref) == POOL]


POOL = "deploy/acme-espeak"


def edited(*edits: Edit, manager: str = "kubectl-edit") -> list[Object]:
    children = settle(observe(schedule=DAY))
    body = child(children, "Deployment", "acme-espeak")
    body["metadata"]["generation"] = 3
    for edit in edits:
        edit(body)
    return children


def spec(**fields: Any) -> Edit:
    return lambda body: body["spec"].update(fields)


def container(**fields: Any) -> Edit:
    """The server's container, a field of which another program takes over."""

    def edit(body: Object) -> None:
        pod, entry = body["spec"]["template"]["spec"], body["metadata"]["managedFields"][0]["fieldsV1"]
        pod["containers"][0].update(fields)
        element = 'k:{"name": "tts-server"}'
        ours = entry["f:spec"]["f:template"]["f:spec"]["f:containers"][element]
        taken = {f"f:{name}": ours.pop(f"f:{name}", {}) for name in fields}
        theirs = {"f:spec": {"f:template": {"f:spec": {"f:containers": {element: taken}}}}}
        body["metadata"]["managedFields"].append(
            {"manager": "kubectl-set", "operation": "Update", "fieldsV1": theirs},
        )

    return edit


def sidecar(body: Object) -> None:
    body["spec"]["template"]["spec"]["containers"].append({"name": "miner", "image": "miner:1"})


REPAIRS: dict[str, tuple[Edit, str]] = {
    "nothing": (lambda _: None, ""),
    "kubectl rollout pause": (spec(paused=True), f"apply {POOL}: paused True -> False"),
    "a time until ready": (spec(minReadySeconds=900), f"apply {POOL}: minReadySeconds 900 -> 2"),
    "no revisions": (spec(revisionHistoryLimit=0), f"apply {POOL}: revisionHistoryLimit 0 -> 3"),
    "another strategy": (
        spec(strategy={"type": "Recreate"}),
        f"apply {POOL}: strategy.type Recreate -> RollingUpdate, strategy.rollingUpdate added",
    ),
    "a label": (
        lambda body: body["metadata"]["labels"].update({"app.kubernetes.io/name": "mine"}),
        f"apply {POOL}: labels.app.kubernetes.io/name mine -> tts-server",
    ),
    "a container": (sidecar, f"remove from {POOL}: containers[miner]"),
}


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
@pytest.mark.parametrize(("edit", "repair"), REPAIRS.values(), ids=REPAIRS)
def test_what_replaces_no_pods_or_was_added_to_them_is_repaired(situation: Situation, edit: Edit, repair: str) -> None:
    assert writes(situation, edit) == ([repair] if repair else [])


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_the_repair_leaves_the_pods_as_they_are(situation: Situation) -> None:
    children = edited(spec(paused=True))
    before = child(children, "Deployment", "acme-espeak")
    (repair,) = (each for each in plan(*situation(children)) if isinstance(each, Apply) and str(each.ref) == POOL)
    assert repair.manifest.body["spec"]["template"] == before["spec"]["template"]
    notes, after = before["metadata"]["annotations"], repair.manifest.body["metadata"]["annotations"]
    assert after == {name: notes[name] for name in (SOURCES, ROLLOUT) if name in notes}, "it counts as it did"
    assert repair.manifest.body["metadata"]["uid"] == before["metadata"]["uid"], "creates nothing if it is gone"


def test_defaults_and_what_is_anybodys_are_not_taken_over() -> None:
    """Otherwise the apply of the waiting change would remove them."""

    def defaulted(body: Object) -> None:
        pod = body["spec"]["template"]["spec"]
        pod.update(dnsPolicy="ClusterFirst", tolerations=[{"key": "gpu", "operator": "Exists"}])
        pod["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
        body["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "now"

    found, _ = waiting(edited(defaulted))
    template = child([dict(each.body) for each in found.manifests], "Deployment", "acme-espeak")["spec"]["template"]
    assert {"dnsPolicy", "tolerations"} & template["spec"].keys() == set()
    assert "terminationMessagePath" not in template["spec"]["containers"][0]
    assert "kubectl.kubernetes.io/restartedAt" not in template["metadata"]["annotations"]


TAKEN_OVER: dict[str, tuple[Object, str]] = {
    "an image": ({"image": "evil:1"}, "spec.template.spec.containers[tts-server].image"),
    "arguments": ({"args": ["--no-keys"]}, "spec.template.spec.containers[tts-server].args"),
}


@pytest.mark.parametrize(("fields", "name"), TAKEN_OVER.values(), ids=TAKEN_OVER)
def test_a_value_whose_correction_replaces_pods_is_told(fields: Object, name: str) -> None:
    children = edited(container(**fields))
    desired, observed = waiting(children)
    assert [str(each) for each in plan(desired, observed) if str(each.ref) == POOL] == []
    (told,) = postponed(desired, observed)
    assert (str(told.ref), told.problem.reason) == (POOL, "ChangedMeanwhile")
    assert told.message.startswith(f"{POOL}: field manager kubectl-set has changed {name}, and the rollout of a change")


@pytest.mark.parametrize("situation", [waiting, without_model])
def test_a_field_that_another_program_has_taken_over_is_not_removed(situation: Situation) -> None:
    """It is the operator's: what remains without it is no pod that anybody has asked for."""
    limits = {"limits": {"cpu": "9", "memory": "9Gi"}}
    assert writes(situation, container(resources=limits)) == []


def test_nobody_is_told_of_what_only_the_waiting_change_changes() -> None:
    assert list(postponed(*waiting(edited()))) == []


def test_once_the_rollout_starts_everything_is_corrected() -> None:
    children = edited(container(image="evil:1"), spec(paused=True))
    observed = observe(known=[NEW], children=children, schedule=DAY)
    desired = built(resolve(observed, SETTINGS, resolved(observed).now))
    assert desired is not None
    (repair,) = (each for each in plan(desired, observed) if isinstance(each, Apply) and str(each.ref) == POOL)
    assert repair.manifest.body["spec"]["template"]["spec"]["containers"][0]["image"] == "new:2"
    assert list(postponed(desired, observed)) == []


def test_a_pod_template_whose_fields_nobody_accounts_for_stays_whole() -> None:
    """Somebody has emptied managedFields: what of it is the operator's is not known."""
    assert writes(waiting, lambda body: body["metadata"].update(managedFields=[]), spec(paused=True)) == []


def test_a_deployment_that_is_gone_is_created_as_it_will_be() -> None:
    children = [each for each in settle(observe(schedule=DAY)) if each["kind"] != "Deployment"]
    observed = observe(known=[NEW], children=children, schedule=DAY)
    assert changes(resolved(observed)) == {}, "no pod is replaced"


def test_a_kept_deployment_settles_after_one_apply() -> None:
    desired, observed = waiting(edited(spec(paused=True)))
    manifest = next(each for each in desired.manifests if str(each.ref) == POOL)
    stored = live(Manifest(manifest.ref, manifest.body))
    stored["metadata"] |= {"uid": manifest.body["metadata"]["uid"], "generation": 4}
    stored["spec"]["replicas"] = 3
    again = replace(observed, children={**observed.children, manifest.ref: stored})
    found = resolved(again)
    after = build(found.waiting({"acme-espeak": WAITING}, changes(found)), pool_deployments(found))
    assert [str(each) for each in plan(after, again) if str(each.ref) == POOL] == []
