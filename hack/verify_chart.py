"""Checks the chart and the examples: helm lints them, bad values are refused, a real API server accepts every object,
and a release of an older chart can be upgraded and rolled back.

The API server is started for this run by hack/cluster/control_plane.py.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import binaries
from hack.cluster.commands import run
from hack.cluster.control_plane import ControlPlane, Options
from hack.cluster.errors import ClusterError, CommandError

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "ttsfleet"
EXAMPLES = ROOT / "examples"
NAMESPACE = "ttsfleet-system"
RELEASED = "ttsfleet-released"
"""Namespace of the release that is upgraded and rolled back."""
IMAGES = ("--set", "image.repository=registry.example/tts-operator,serverImage.repository=registry.example/tts-server")
UPGRADES = (
    ["--reset-then-reuse-values"],
    ["--reuse-values"],
    ["--reset-values", *IMAGES, "--set", "operator.logLevel=debug"],
)
EXAMPLE_TENANT = {
    "apiVersion": "ttsfleet.io/v1alpha1",
    "kind": "TTSTenant",
    "spec": {"models": [{"name": "espeak"}], "suspend": True},
}
PATIENCE_SECONDS = 30.0
KEPT_VALUES = frozenset({"image", "serverImage", "resources"})
"""Values without which no release is complete: images, and resources, which may be removed on purpose."""
VALUES = tuple(sorted((CHART / "ci").glob("*-values.yaml")))
MINIMUM = CHART / "ci" / "default-values.yaml"
FOREIGN_KINDS = frozenset({"PodMonitor", "PrometheusRule", "ServiceMonitor"})
"""Kinds that the chart can render and that other projects define; this API server does not know them."""

REFUSED: dict[str, tuple[str, str]] = {
    # the mistake: (values, what helm must say about it)
    "a misspelt value": ("replica: 2", "additional properties 'replica' not allowed"),
    "a misspelt value further in": ("operator: {watchNamespace: [a]}", "additional properties 'watchNamespace'"),
    "a number as text": ("replicas: two", "/replicas"),
    "no replica count like that": ("replicas: 99", "/replicas"),
    "a namespace that cannot be": ("operator: {watchNamespaces: [Team_A]}", "/operator/watchNamespaces/0"),
    "a digest that is a tag": ("image: {digest: latest}", "/image/digest"),
    "a collector without a scheme": ("tenants: {tracing: {endpoint: 'collector:4318'}}", "/tenants/tracing/endpoint"),
    "a budget that is no number": ("alerts: {hourlyBudget: 12 EUR}", "/alerts/hourlyBudget"),
    "an alert that does not exist": ("alerts: {enabled: true, disabled: [TTSNothing]}", "no alert is named TTSNothing"),
    "a proxy without a network": ("tenants: {trustedProxies: [10.4.0.1]}", "/tenants/trustedProxies/0"),
    "everybody as a proxy": ("tenants: {trustedProxies: [0.0.0.0/0]}", "/tenants/trustedProxies/0"),
    "a URL as a host": ("tenants: {allowedHosts: ['https://login.example']}", "/tenants/allowedHosts/0"),
    "a wildcard within a name": ("tenants: {allowedHosts: ['a*.example']}", "/tenants/allowedHosts/0"),
    "everything as a network of hosts": ("tenants: {allowedHosts: [0.0.0.0/0]}", "/tenants/allowedHosts/0"),
    "everything as the cluster": ("tenants: {internalNetworks: ['::/0']}", "/tenants/internalNetworks/0"),
    "a scraper that is no peer": (
        "networkPolicy: {metricsFrom: [{matchLabels: {a: b}}]}",
        "/networkPolicy/metricsFrom/0",
    ),
    "no image": ("image: {repository: ''}", "image.repository is required: push the image to a registry"),
    "no image of servers": ("serverImage: {repository: ''}", "serverImage.repository is required: push the image to a"),
    "a label that ends an expression": (
        "admissionPolicies: {allowedPodLabels: [\"team'] || true || ['\"]}",
        "/admissionPolicies/allowedPodLabels/0",
    ),
    "a reader of models that is an account": (
        "rbac: {modelReaders: [{kind: ServiceAccount, name: a}]}",
        "/rbac/modelReaders/0/kind",
    ),
    "an unknown log level": ("operator: {logLevel: loud}", "/operator/logLevel"),
    "a rollout of nobody": ("rollout: {concurrentTenants: 0}", "/rollout/concurrentTenants"),
    "a rollout that one failure is too many for": ("rollout: {failureNamespaces: none}", "/rollout/failureNamespaces"),
    "a tier of nobody": ("tiers: {Gold: {requestsPerMinute: 1}}", "additional properties 'Gold' not allowed"),
    "a limit of nothing": ("tiers: {VIP: {maxTextCharacters: 0}}", "/tiers/VIP/maxTextCharacters"),
    "a ceiling that is no tier": ("ceilings: {maxTier: gold}", "/ceilings/maxTier"),
    "a ceiling above what a tenant may set": ("ceilings: {maxReplicas: 1001}", "/ceilings/maxReplicas"),
    "a ceiling below zero": ("ceilings: {maxAccelerators: -1}", "/ceilings/maxAccelerators"),
    "somebody else's account without its name": ("serviceAccount: {create: false}", "serviceAccount.name is required"),
    "a Redis at a port that is none": ("redis: {url: 'redis://redis.svc:six'}", "/redis/url"),
    "a store at port 0": ("s3: {endpoint: 'https://s3.example:0'}", "/s3/endpoint"),
    "a prefix out of the bucket": ("s3: {prefix: fleet/../other}", "/s3/prefix"),
    "a Redis with its password": ("redis: {url: 'redis://:secret@host'}", "/redis/url"),
    "a store without its bucket": (
        "s3: {endpoint: 'https://s3.example', existingSecret: keys}",
        "s3.bucket is required",
    ),
    "a store without its keys": (
        "s3: {endpoint: 'https://s3.example', bucket: speech}",
        "s3.existingSecret is required",
    ),
    "a Prometheus with its password": ("keda: {prometheusAddress: 'http://a:b@prom'}", "/keda/prometheusAddress"),
    "a monitor of nothing": (
        "metrics: {service: {enabled: false}, serviceMonitor: {enabled: true}}",
        "requires metrics.service.enabled",
    ),
}


class UnprovenError(Exception):
    """The chart does not do what it promises; the message is for its author."""


def main() -> int:
    """Check the chart. Returns 1 after printing which promise it breaks."""
    try:
        helm = binaries.ensure(binaries.HELM)["helm"]
        with tempfile.TemporaryDirectory(prefix="ttsfleet-chart-") as folder, ThreadPoolExecutor() as pool:
            starting = pool.submit(ControlPlane.start, Path(folder), Options(die_with_parent=True))
            try:
                lint(helm, pool)
                refuse(helm, pool)
                complete(helm, pool)
                rendered = {values.stem: list(render(helm, values)) for values in VALUES}
            finally:
                plane = starting.result()
            try:
                accept(plane, rendered, pool)
                upgrade(helm, plane, Path(folder))
            finally:
                plane.stop(remove=False)
    except (UnprovenError, ClusterError) as error:
        print(f"verify_chart: {error}", file=sys.stderr)
        return 1
    objects = sum(map(len, rendered.values()))
    print(f"chart: {len(VALUES)} sets of values, {objects} objects accepted by the API server, {len(REFUSED)} refused")
    return 0


def lint(helm: Path, pool: Executor) -> None:
    """Lint the chart with every set of values. Raises CommandError with helm's findings."""
    version = ["--kube-version", binaries.KUBERNETES_VERSION]
    words: list[str | Path] = [helm, "lint", "--strict", "--quiet", *version, CHART, "-f"]
    list(pool.map(lambda values: run([*words, values]), VALUES))


def refuse(helm: Path, pool: Executor) -> None:
    """Check that each mistake stops the installation with a message that names it. Raises UnprovenError."""

    def check(story: str) -> None:
        values, message = REFUSED[story]
        try:
            run([*template(helm, MINIMUM), "-f", "-"], stdin=values)
        except CommandError as error:
            if message not in str(error):
                raise UnprovenError(f"{story}: helm's error should contain {message!r}, but it is: {error}") from error
        else:
            raise UnprovenError(f"{story}: helm accepts {values!r}")

    list(pool.map(check, REFUSED))


def complete(helm: Path, pool: Executor) -> None:
    """Check that defaults replace missing values, such as --reuse-values leaves. Raises UnprovenError."""
    with tempfile.TemporaryDirectory(prefix="ttsfleet-chart-") as folder:
        older = older_chart(Path(folder) / "ttsfleet", KEPT_VALUES)

        def check(values: Path) -> None:
            if run(template(helm, values, older)) != run(template(helm, values)):
                raise UnprovenError(f"{values.name}: a release without the values of this chart is another one")

        list(pool.map(check, VALUES))


def older_chart(folder: Path, kept: Collection[str]) -> Path:
    """Copy the chart without all values but those sections."""
    shutil.copytree(CHART, folder)
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    kept_values = {name: value for name, value in values.items() if name in kept}
    (folder / "values.yaml").write_text(yaml.safe_dump(kept_values), encoding="utf-8")
    return folder


def chart_without_suspend(folder: Path) -> Path:
    """Make an older chart: fewer values and templates, and a CRD without the field `spec.suspend`."""
    older = older_chart(folder, {*KEPT_VALUES, "operator", "crds"})
    (older / "values.schema.json").unlink()
    for file in (older / "templates").iterdir():
        if file.name not in {"_names.tpl", "crds.yaml", "serviceaccount.yaml"}:
            file.unlink()
    crd = older / "files" / "crds" / "ttstenants.yaml"
    definition = yaml.safe_load(crd.read_text(encoding="utf-8"))
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"]["suspend"]
    crd.write_text(yaml.safe_dump(definition, sort_keys=False), encoding="utf-8")
    return older


def upgrade(helm: Path, plane: ControlPlane, folder: Path) -> None:
    """Upgrade a release of an older chart in each way that helm has, and roll it back. Raises UnprovenError."""

    def helm_run(*words: str | Path) -> str:
        return run([helm, *words, "--namespace", RELEASED], environment={"KUBECONFIG": str(plane.kubeconfig)})

    plane.kubectl("delete", "crd", "--all")
    older = chart_without_suspend(folder / "older")
    helm_run("install", "ttsfleet", older, "--create-namespace", *IMAGES, "--set", "operator.logLevel=debug")
    promise("suspend" not in tenant_fields(plane), "the older CRD should lack spec.suspend")
    manifests = set[str]()
    for number, ways in enumerate(UPGRADES):
        helm_run("upgrade", "ttsfleet", CHART, *ways)
        manifests.add(helm_run("get", "manifest", "ttsfleet"))
        promise("suspend" in tenant_fields(plane), f"{ways[0]} should upgrade the CRDs")
        tenant = {**EXAMPLE_TENANT, "metadata": {"name": f"tenant-{number}", "namespace": RELEASED}}
        plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(tenant))
        helm_run("rollback", "ttsfleet", "1")
        roll_back_promises(plane, f"tenant-{number}")
    helm_run("upgrade", "ttsfleet", CHART, *IMAGES)
    promise(len(manifests) == 1, "each way of upgrading should give the same objects")
    promise("--log-level=debug" in manifests.pop(), "an upgrade should keep the values that were set")
    written = plane.kubectl("get", "ttst", "-n", RELEASED, "-o", "jsonpath={.items[*].spec.suspend}")
    promise("true" not in written, "a field that a rollback hid should be lost with the next write")
    helm_run("uninstall", "ttsfleet")
    left = plane.kubectl("get", "ttst", "-n", RELEASED, "-o", "name").split()
    promise(len(left) == len(UPGRADES), "uninstalling should keep the CRDs and every tenant")


def roll_back_promises(plane: ControlPlane, tenant: str) -> None:
    """Check what a rollback leaves, and write to the tenant. Raises UnprovenError."""
    promise("suspend" not in tenant_fields(plane), "a rollback should bring the older CRD back")
    left = plane.kubectl("get", "deployment", "-n", RELEASED, "-o", "name")
    promise(not left, f"a rollback should delete what the older chart lacks, but there is {left}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while plane.kubectl("get", "ttst", tenant, "-n", RELEASED, "-o", "jsonpath={.spec.suspend}"):
        # The API server takes up a changed CRD a moment later.
        promise(time.monotonic() < deadline, "a rollback should hide fields that the older CRD lacks")
        time.sleep(0.1)
    plane.kubectl("annotate", "ttst", tenant, "-n", RELEASED, "example.com/written=yes")


def promise(holds: bool, what: str) -> None:
    """Raise UnprovenError if it does not hold."""
    if not holds:
        raise UnprovenError(what)


def tenant_fields(plane: ControlPlane) -> dict[str, Any]:
    """Read the fields of a TTSTenant's spec as the API server has them."""
    crd = json.loads(plane.kubectl("get", "crd", "ttstenants.ttsfleet.io", "-o", "json"))
    fields = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return dict(fields)


def render(helm: Path, values: Path) -> Iterator[dict[str, Any]]:
    """Render the objects of a release with these values."""
    return (body for body in yaml.safe_load_all(run(template(helm, values))) if body)


def template(helm: Path, values: Path | str, chart: Path = CHART) -> list[str | Path]:
    """Command that renders a release."""
    version = ["--kube-version", binaries.KUBERNETES_VERSION]
    return [helm, "template", "ttsfleet", chart, "--namespace", NAMESPACE, *version, "-f", values]


def accept(plane: ControlPlane, rendered: dict[str, list[dict[str, Any]]], pool: Executor) -> None:
    """Apply every object, and the examples, as a dry run against the real definitions."""
    everything = [body for bodies in rendered.values() for body in bodies]
    namespaces = {str(body["metadata"].get("namespace", "default")) for body in everything} - {"default"}
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(namespace(name) for name in sorted(namespaces)))
    known = [[body for body in bodies if body["kind"] not in FOREIGN_KINDS] for bodies in rendered.values()]
    list(pool.map(partial(server_dry_run, plane), known))
    plane.kubectl("apply", "-f", str(CHART / "files" / "crds"))
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    examples = [
        body
        for path in sorted(EXAMPLES.glob("*.yaml"))
        for body in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(b for b in examples if b["kind"] == "Namespace"))
    server_dry_run(plane, examples)


def server_dry_run(plane: ControlPlane, bodies: list[dict[str, Any]]) -> None:
    """Apply the objects as a dry run. Raises CommandError with the API server's errors and warnings."""
    plane.kubectl(
        "apply",
        "--dry-run=server",
        "--validate=strict",
        "--warnings-as-errors",
        "-f",
        "-",
        input=yaml.safe_dump_all(bodies),
    )


def namespace(name: str) -> dict[str, Any]:
    """Namespace with the strictest pod security, under which the chart's pods run."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


if __name__ == "__main__":
    sys.exit(main())
