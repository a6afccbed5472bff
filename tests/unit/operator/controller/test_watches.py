"""Which events are news, and that kopf writes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tts_operator.controller.fingerprints import Fingerprints, without_status
from tts_operator.controller.watches import WATCHED, EndlessBackoff, api_server, settings
from tts_operator.objects.kinds import CHILDREN, POD, RESOURCE_CLAIM_TEMPLATE, SECRET


def hpa(**changes: Any) -> dict[str, Any]:
    status = {"currentReplicas": 1, "currentMetrics": [{"resource": {"current": {"averageUtilization": 40}}}]}
    return {
        "metadata": {"uid": "1", "name": "acme", "resourceVersion": "7", "managedFields": [{"time": "noon"}]},
        "spec": {"maxReplicas": 3},
        "status": status,
        **changes,
    }


NOISE: dict[str, dict[str, Any]] = {
    "the version": {"metadata": {"uid": "1", "name": "acme", "resourceVersion": "8", "managedFields": []}},
    "what an HPA measures": {"status": {"currentReplicas": 1, "currentMetrics": [{"resource": {"current": {}}}]}},
}
NEWS: dict[str, dict[str, Any]] = {
    "the spec": {"spec": {"maxReplicas": 4}},
    "replicas": {"status": {"currentReplicas": 2}},
    "a label": {"metadata": {"uid": "1", "name": "acme", "labels": {"app": "other"}}},
    "a condition": {"status": {"currentReplicas": 1, "conditions": [{"type": "ScalingActive", "status": "False"}]}},
}


def test_what_was_never_seen_is_news() -> None:
    assert Fingerprints().changed(hpa(), gone=False)


@pytest.mark.parametrize("changes", NOISE.values(), ids=NOISE)
def test_noise_is_no_news(changes: dict[str, Any]) -> None:
    prints = Fingerprints()
    prints.changed(hpa(), gone=False)
    assert not prints.changed(hpa(**changes), gone=False)


@pytest.mark.parametrize("changes", NEWS.values(), ids=NEWS)
def test_what_a_reconcile_reads_is_news(changes: dict[str, Any]) -> None:
    prints = Fingerprints()
    prints.changed(hpa(), gone=False)
    assert prints.changed(hpa(**changes), gone=False)


def test_a_deletion_is_news_and_is_forgotten() -> None:
    prints = Fingerprints()
    prints.changed(hpa(), gone=False)
    assert prints.changed(hpa(), gone=True)
    assert prints.changed(hpa(), gone=False)


def test_a_status_is_no_news_of_a_tenant_but_a_label_is() -> None:
    prints = Fingerprints()
    prints.changed(without_status(hpa()), gone=False)
    assert not prints.changed(without_status(hpa(status={"replicas": "3/3"})), gone=False)
    assert prints.changed(without_status(hpa(metadata={"uid": "1", "name": "acme", "labels": {}})), gone=False)


def test_a_spec_that_was_accepted_is_news_of_a_tenant_whose_status_has_it() -> None:
    """It names models, whose changes concern the tenant from now on."""
    prints = Fingerprints()

    def news(status: dict[str, Any]) -> bool:
        return prints.changed(without_status(hpa(status=status), keep=("acceptedSpec",)), gone=False)

    assert [
        news({"replicas": "1/3"}),
        news({"acceptedSpec": "{}"}),
        news({"acceptedSpec": "{}", "replicas": "3/3"}),
    ] == [
        True,
        True,
        False,
    ]


def test_every_kind_of_child_but_those_read_by_name_is_watched_and_so_are_pods() -> None:
    by_name = {SECRET, RESOURCE_CLAIM_TEMPLATE}
    assert set(WATCHED) == {*(kind for kind in CHILDREN if kind.add_on is None), POD} - by_name


def test_an_api_server_that_is_gone_for_long_does_not_end_the_watches() -> None:
    waits = iter(EndlessBackoff())
    assert sum(next(waits) for _ in range(1000)) > 3600
    assert next(iter(EndlessBackoff())) == 0.5, "each request begins anew"


def test_kopf_posts_nothing_and_scans_nothing() -> None:
    chosen = settings()
    assert not chosen.posting.enabled
    assert chosen.scanning.disabled
    assert chosen.process.ultimate_exiting_timeout is None


@pytest.mark.parametrize(
    ("host", "server"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00:10:96::1", "https://[fd00:10:96::1]:443")]
)
def test_in_a_pod_the_api_server_is_found_without_dns(host: str, server: str) -> None:
    assert api_server({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}) == server


def test_elsewhere_the_environment_names_no_api_server() -> None:
    assert api_server({}) is None
