"""`kubectl tts check`: whether a cluster is fit for TTS Fleet."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tts_operator.cli.cluster_fitness import FAIL, OPERATOR, OPTIONAL_CRDS, ClusterState, judge
from tts_operator.cli.colours import paint_for
from tts_operator.cli.command import Answer, ExitStatus
from tts_operator.cli.common_flags import JSON, YAML, add_cluster_flags, add_output_flag, as_data
from tts_operator.cli.tables import table
from tts_operator.fleet.api_proxy import APIProxy, api_proxy
from tts_operator.fleet.kubectl import Kubectl, KubectlError
from tts_operator.objects.names import GROUP

HEADER = ("RESULT", "SUBJECT", "MESSAGE")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
METRICS = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"


def add_flags(command: argparse.ArgumentParser) -> None:
    add_cluster_flags(command)
    add_output_flag(command)


def run(options: argparse.Namespace) -> Answer:
    """The lines. The status is NEGATIVE if one of them is fail."""
    with api_proxy(Kubectl.of(options)) as proxy:
        lines = list(judge(ClusterReader(proxy).state()))
    status = ExitStatus.NEGATIVE if any(each.result == FAIL for each in lines) else ExitStatus.DONE
    if options.output in (JSON, YAML):
        return Answer(as_data(options.output, [each._asdict() for each in lines]), status=status)
    return Answer(table([HEADER, *lines], paint_for()), status=status)


class ClusterReader:
    """Reads what the check judges; what may not be read is noted."""

    def __init__(self, proxy: APIProxy) -> None:
        self._proxy = proxy
        self._unreadable: set[str] = set()

    def state(self) -> ClusterState:
        """Read everything. Raises KubectlError if the API server cannot be reached."""
        version = self._proxy.read("/version")
        names = [f"ttsmodels.{GROUP}", f"ttstenants.{GROUP}", *(crd for crd, _ in OPTIONAL_CRDS.values())]
        crds = {name: self._object(name, f"{CRDS}/{name}") for name in names}
        ours = {"labelSelector": ",".join(f"{name}={value}" for name, value in OPERATOR.items())}
        subject = "admission policies"
        policies = self._items(subject, f"{ADMISSION}/validatingadmissionpolicies")
        bindings = self._items(subject, f"{ADMISSION}/validatingadmissionpolicybindings")
        return ClusterState(
            version,
            crds,
            [each for each in policies if concerns_us(each)],
            bindings,
            self._items("operator", f"/apis/apps/v1/deployments?labelSelector={quote(ours['labelSelector'])}"),
            self._object("metrics server", METRICS),
            self._items("storage class", "/apis/storage.k8s.io/v1/storageclasses"),
            frozenset(self._unreadable),
        )

    def _object(self, subject: str, path: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] | None = self._proxy.found(path)
        except KubectlError as error:
            self._refused(subject, error)
            return None
        return found

    def _items(self, subject: str, path: str) -> list[Mapping[str, Any]]:
        try:
            return list(self._proxy.read(path)["items"])
        except KubectlError as error:
            self._refused(subject, error)
            return []

    def _refused(self, subject: str, error: KubectlError) -> None:
        if "forbidden" not in str(error).lower():
            raise error
        self._unreadable.add(subject)


def concerns_us(policy: Mapping[str, Any]) -> bool:
    """Whether a policy is the chart's: its labels or its rules name the project."""
    labels = policy["metadata"].get("labels") or {}
    return labels.get("app.kubernetes.io/name") == OPERATOR["app.kubernetes.io/name"]
