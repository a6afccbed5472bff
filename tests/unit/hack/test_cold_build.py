"""The first `make demo` on a machine builds nothing twice."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from hack.cluster import binaries, images

OWN_VERSIONS = {
    # Kubernetes is tested with an older client than the server that we run.
    "go.etcd.io/etcd/api/v3",
    "go.etcd.io/etcd/client/pkg/v3",
    "go.etcd.io/etcd/client/v3",
    # containerd answers calls that an older kubelet does not make.
    "k8s.io/cri-api",
}


def modules(go_mod: Path) -> dict[str, str]:
    """Module -> the version that is compiled, a replacement's where there is one."""
    text = go_mod.read_text()
    required = re.findall(r"^(?:require)?\s+([\w.]+\.[\w./~-]+) (v\S+)", text, re.MULTILINE)
    replaced = re.findall(r"^(?:replace)?\s+(\S+) => \1 (v\S+)$", text, re.MULTILINE)
    wanted = dict(required)
    return wanted | {module: version for module, version in replaced if module in wanted}


def test_the_families_of_a_cluster_share_versions_so_that_a_package_is_compiled_once() -> None:
    versions: dict[str, dict[str, str]] = defaultdict(dict)
    for name in {family.name for family in binaries.CLUSTER}:
        for module, version in modules(binaries.MODULES / name / "go.mod").items():
            versions[module][name] = version
    shared = {module: by for module, by in versions.items() if len(by) > 1 and module not in OWN_VERSIONS}
    assert len(shared) > 50
    assert {module: by for module, by in shared.items() if len(set(by.values())) > 1} == {}


@pytest.mark.parametrize("stage", ["tools", "application"])
def test_both_images_have_the_same_first_stages_so_that_the_second_finds_the_layers(stage: str) -> None:
    texts = {stages(image.dockerfile)[stage] for image in images.IMAGES}
    assert len(texts) == 1


def stages(dockerfile: str) -> dict[str, str]:
    """Name of a stage -> its instructions."""
    parts = re.split(r"^FROM (\S+)(?: AS (\w+))?\n", (binaries.ROOT / dockerfile).read_text(), flags=re.MULTILINE)[1:]
    return {
        name or "image": f"{base}\n{body}" for base, name, body in zip(*(parts[n::3] for n in range(3)), strict=True)
    }
