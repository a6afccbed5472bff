"""Checks the chart and the examples: helm lints them, bad values are refused, a real API server accepts every object.

The API server is started for this run by hack/cluster/control_plane.py.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
VALUES = tuple(sorted((CHART / "ci").glob("*-values.yaml")))
FOREIGN_KINDS = frozenset({"ServiceMonitor"})
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
    "a proxy without a network": ("tenants: {trustedProxies: [10.4.0.1]}", "/tenants/trustedProxies/0"),
    "everybody as a proxy": ("tenants: {trustedProxies: [0.0.0.0/0]}", "/tenants/trustedProxies/0"),
    "an issuer's address as its host": (
        "tenants: {issuerHosts: ['https://login.example']}",
        "/tenants/issuerHosts/0",
    ),
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
    "a tier that null took away": ("tiers: {VIP: null}", "missing property 'VIP'"),
    "a ceiling that is no tier": ("ceilings: {maxTier: gold}", "/ceilings/maxTier"),
    "a ceiling above what a tenant may set": ("ceilings: {maxReplicas: 1001}", "/ceilings/maxReplicas"),
    "a ceiling below zero": ("ceilings: {maxAccelerators: -1}", "/ceilings/maxAccelerators"),
    "somebody else's account without its name": ("serviceAccount: {create: false}", "serviceAccount.name is required"),
    "a section that null took away": ("metrics: null", "missing property 'metrics'"),
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
                lint(helm)
                refuse(helm)
                rendered = {values.stem: list(render(helm, values)) for values in VALUES}
            finally:
                plane = starting.result()
            try:
                accept(plane, rendered)
            finally:
                plane.stop(remove=False)
    except (UnprovenError, ClusterError) as error:
        print(f"verify_chart: {error}", file=sys.stderr)
        return 1
    objects = sum(map(len, rendered.values()))
    print(f"chart: {len(VALUES)} sets of values, {objects} objects accepted by the API server, {len(REFUSED)} refused")
    return 0


def lint(helm: Path) -> None:
    """Lint the chart with every set of values. Raises CommandError with helm's findings."""
    for values in VALUES:
        run([helm, "lint", "--strict", "--quiet", "--kube-version", binaries.KUBERNETES_VERSION, "-f", values, CHART])


def refuse(helm: Path) -> None:
    """Check that each mistake stops the installation with a message that names it. Raises UnprovenError."""
    for story, (values, message) in REFUSED.items():
        try:
            run(template(helm, "-"), stdin=values)
        except CommandError as error:
            if message not in str(error):
                raise UnprovenError(f"{story}: helm's error should contain {message!r}, but it is: {error}") from error
        else:
            raise UnprovenError(f"{story}: helm accepts {values!r}")


def render(helm: Path, values: Path) -> Iterator[dict[str, Any]]:
    """Render the objects of a release with these values."""
    return (body for body in yaml.safe_load_all(run(template(helm, values))) if body)


def template(helm: Path, values: Path | str) -> list[str | Path]:
    """Command that renders a release."""
    version = ["--kube-version", binaries.KUBERNETES_VERSION]
    return [helm, "template", "ttsfleet", CHART, "--namespace", NAMESPACE, *version, "-f", values]


def accept(plane: ControlPlane, rendered: dict[str, list[dict[str, Any]]]) -> None:
    """Apply every object, and the examples, as a dry run against the real definitions."""
    everything = [body for bodies in rendered.values() for body in bodies]
    namespaces = {str(body["metadata"].get("namespace", "default")) for body in everything} - {"default"}
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(namespace(name) for name in sorted(namespaces)))
    for bodies in rendered.values():
        known = [body for body in bodies if body["kind"] not in FOREIGN_KINDS]
        server_dry_run(plane, known)
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
