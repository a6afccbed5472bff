"""Lines of `kubectl tts check`, each for a cluster that lacks one thing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tts_operator.cli.cluster_fitness import OPTIONAL_CRDS, ClusterState, judge


def crd(*versions: str) -> dict[str, Any]:
    return {
        "spec": {"versions": [{"name": each, "served": True} for each in versions]},
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }


OWN = {"ttsmodels.ttsfleet.io": crd("v1alpha1"), "ttstenants.ttsfleet.io": crd("v1alpha1")}
DEPLOYMENT = {"metadata": {"namespace": "tts", "name": "ttsfleet"}, "status": {"readyReplicas": 1}}
WHOLE = ClusterState(
    {"gitVersion": "v1.36.5"},
    {**OWN, **{name: crd("v1") for name, _ in OPTIONAL_CRDS.values()}},
    [{"metadata": {"name": "ceilings"}}],
    [{"spec": {"policyName": "ceilings"}}],
    [DEPLOYMENT],
    {"status": {"conditions": [{"type": "Available", "status": "True"}]}},
    [{"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}],
)


def results(state: ClusterState) -> dict[str, str]:
    return {each.subject: each.result for each in judge(state)}


def test_a_cluster_with_everything_is_fit() -> None:
    found = results(WHOLE)
    assert found.pop("NetworkPolicies") == "warn"
    assert set(found.values()) == {"ok"}


@pytest.mark.parametrize(
    ("change", "subject", "result", "told"),
    [
        ({"version": {"gitVersion": "v1.29.9"}}, "Kubernetes", "fail", "v1.29.9 is older than 1.30"),
        ({"version": {"gitVersion": "devel"}}, "Kubernetes", "warn", "no version that can be compared"),
        ({"crds": {}}, "CRD ttstenants", "fail", "not installed: install the chart"),
        ({"crds": {**OWN, "ttsmodels.ttsfleet.io": crd("v2")}}, "CRD ttsmodels", "fail", "does not serve v1alpha1"),
        ({"operators": []}, "operator", "fail", "helm install"),
        ({"operators": [{**DEPLOYMENT, "status": {}}]}, "operator", "fail", "kubectl -n tts describe deploy ttsfleet"),
        ({"policies": []}, "admission policies", "warn", "set admissionPolicies.enabled"),
        ({"policy_bindings": []}, "admission policies", "fail", "ceilings has no binding"),
        ({"metrics_api": None}, "metrics server", "warn", "not the load by CPU"),
        ({"metrics_api": {}}, "metrics server", "warn", "not available"),
        ({"crds": OWN}, "Gateway API", "warn", "spec.exposure"),
        ({"crds": OWN}, "KEDA", "warn", "queue depth"),
        ({"storage_classes": []}, "storage class", "warn", "no default"),
        ({"unreadable": frozenset({"operator"})}, "operator", "warn", "you may not read this"),
    ],
)
def test_what_is_missing_says_what_to_do(change: dict[str, Any], subject: str, result: str, told: str) -> None:
    (line,) = [each for each in judge(replace(WHOLE, **change)) if each.subject == subject]
    assert line.result == result
    assert told in line.message
