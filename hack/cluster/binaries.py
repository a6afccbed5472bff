"""Builds a cluster's programs from Go modules, once per machine, into a cache outside the checkout.

Each folder of hack/binaries is a family: a go.mod with pinned versions and a go.sum that checks every download. The
families of a cluster agree on the versions of the modules that they share, so that each package is compiled once.
A program on PATH or in KUBEBUILDER_ASSETS is used instead if it has the same minor version.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hack.cluster.commands import run
from hack.cluster.errors import CommandError
from hack.cluster.files import cache_folder
from hack.cluster.golang import go
from hack.cluster.progress import say, step

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "hack" / "binaries"
BIN = ROOT / "build" / "bin"


@dataclass(frozen=True)
class Family:
    """Programs of one Go module, built with one set of flags."""

    name: str
    version: str
    programs: Mapping[str, str]
    """Program -> Go package, relative to the family's folder."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Program -> seconds of a cold build on two slow cores, after those before it and beside the images."""
    stamps: tuple[str, ...] = ()
    """Linker variables for `-X`, which set what `--version` prints."""

    @property
    def folder(self) -> Path:
        return MODULES / self.name

    @property
    def linker_flags(self) -> str:
        return " ".join(["-s -w", *(f"-X {stamp}" for stamp in self.stamps)])

    def cache(self) -> Path:
        """Folder for these pinned sources, flags and machine, so that no stale program runs."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        digest.update(f"{self.linker_flags} {platform.system()} {platform.machine()}".encode())
        return cache_folder() / "binaries" / f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"


BUILD_ENVIRONMENT: Mapping[str, str] = {
    "CGO_ENABLED": "0",
    "GOTOOLCHAIN": "local",
    "GOFLAGS": "",
    "GOWORK": "off",
    # The compiler is short-lived: to collect no garbage saves a fifth of its time, and costs memory that the second
    # line bounds for each of its processes.
    "GOGC": "off",
    "GOMEMLIMIT": "1GiB",
}


def _kubernetes(version: str, *programs: str, seconds: Mapping[str, float]) -> Family:
    major, minor, _ = version.split(".")
    return Family(
        "kubernetes",
        version,
        {program: f"k8s.io/kubernetes/cmd/{program}" for program in programs},
        seconds,
        (
            f"k8s.io/component-base/version.gitVersion=v{version}",
            f"k8s.io/component-base/version.gitMajor={major}",
            f"k8s.io/component-base/version.gitMinor={minor}",
            f"k8s.io/client-go/pkg/version.gitVersion=v{version}",
        ),
    )


# Without -trimpath: it names a replaced module after the version that was not compiled, so families would not share it.
COMPILER_FLAGS = "-gcflags=all=-dwarf=false"
"""Flags without debug tables, which take a tenth of the time and which the linker's -s -w drops anyway."""

KUBERNETES_VERSION = "1.36.5"
CONTROL_PLANE = (
    _kubernetes(
        KUBERNETES_VERSION,
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubectl",
        seconds={"kube-apiserver": 370, "kube-controller-manager": 50, "kube-scheduler": 5, "kubectl": 35},
    ),
    Family("etcd", "3.7.3", {"etcd": "."}, {"etcd": 15}),
)
HELM = (
    Family(
        "helm",
        "3.21.4",
        {"helm": "helm.sh/helm/v3/cmd/helm"},
        {"helm": 20},
        ("helm.sh/helm/v3/internal/version.version=v3.21.4",),
    ),
)
NODE = (
    _kubernetes(KUBERNETES_VERSION, "kubelet", "kube-proxy", seconds={"kubelet": 35, "kube-proxy": 5}),
    Family(
        "containerd",
        "2.4.2",
        {
            name: f"github.com/containerd/containerd/v2/cmd/{name}"
            for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        },
        {"containerd": 55, "containerd-shim-runc-v2": 3, "ctr": 5},
        ("github.com/containerd/containerd/v2/version.Version=v2.4.2",),
    ),
    Family("coredns", "1.15.0", {"coredns": "."}, {"coredns": 12}),
    Family("pause", "1", {"pause": "."}, {"pause": 1}),
)
CLUSTER = (*CONTROL_PLANE, *NODE, *HELM)
"""Programs of a local node, and of people who use its cluster."""
STORES = (Family("minio", "2026.2.12", {"minio": "github.com/minio/minio"}, {"minio": 200}),)
"""S3 for the contract tests. The module has no releases: the version is the day of the pinned commit."""
KIND = (Family("kind", "0.33.0", {"kind": "sigs.k8s.io/kind"}, {"kind": 15}),)
CLIENTS = (replace(CONTROL_PLANE[0], programs={"kubectl": "k8s.io/kubernetes/cmd/kubectl"}), *HELM)
"""Programs for a cluster that runs elsewhere."""


def ensure(families: Sequence[Family]) -> dict[str, Path]:
    """Program -> its executable, which is built if it is missing. Raises CommandError if a build fails."""
    # One after the other: a family reuses packages that those before it compiled. Two at once would compile them twice.
    return {program: path for family in _merged(families) for program, path in _ensure_family(family).items()}


def build_seconds(families: Sequence[Family]) -> float:
    """Seconds that `ensure` should take now, on two slow cores."""
    return sum(
        family.seconds.get(program, 0)
        for family in _merged(families)
        for program in family.programs.keys() - _found(family).keys()
    )


def _merged(families: Sequence[Family]) -> list[Family]:
    """Families with one family per cache folder, so that each is built at once."""
    merged: dict[Path, Family] = {}
    for family in families:
        known = merged.setdefault(family.cache(), family)
        merged[family.cache()] = replace(
            known, programs={**known.programs, **family.programs}, seconds={**known.seconds, **family.seconds}
        )
    return list(merged.values())


def link(programs: Mapping[str, Path], folder: Path = BIN) -> None:
    """Link the programs in build/bin, for people and for the Makefile."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in programs.items():
        fresh = folder / f".{name}.{os.getpid()}"
        fresh.symlink_to(target)
        fresh.rename(folder / name)


def _found(family: Family) -> dict[str, Path]:
    """Programs of the family that need no build."""
    cache = family.cache()
    found = {program: cache / program for program in family.programs if (cache / program).exists()}
    for program in family.programs.keys() - found.keys():
        if usable := _installed(program, family.version):
            found[program] = usable
    return found


def _ensure_family(family: Family) -> dict[str, Path]:
    cache = family.cache()
    found = _found(family)
    missing = [program for program in family.programs if program not in found]
    if missing:
        cache.mkdir(parents=True, exist_ok=True)
        with locked(cache / ".lock"):
            # Another run may have built some while this one waited.
            _build(family, [program for program in missing if not (cache / program).exists()], cache)
        found |= {program: cache / program for program in missing}
    return found


def _build(family: Family, programs: Sequence[str], target: Path) -> None:
    """Build all programs in one run into the folder `target`: others compile while one is linked on one core."""
    if not programs:
        return
    compiler = go()
    with (
        step(f"building {', '.join(programs)} {family.version}", sum(family.seconds.get(name, 0) for name in programs)),
        TemporaryDirectory(prefix=".draft-", dir=target) as draft,
    ):
        run(
            [
                *("nice", str(compiler), "build", "-mod=readonly", "-buildvcs=false", COMPILER_FLAGS),
                *("-ldflags", family.linker_flags),
                *("-o", f"{draft}/", *(family.programs[program] for program in programs)),
            ],
            folder=family.folder,
            environment=BUILD_ENVIRONMENT,
        )
        for program in programs:
            (Path(draft) / program).rename(target / program)


def _installed(program: str, version: str) -> Path | None:
    """Program of the machine, if it has the same minor version and is not older."""
    own = [str(BIN), str(ROOT / ".venv" / "bin")]
    places = [os.environ.get("KUBEBUILDER_ASSETS", ""), *os.environ.get("PATH", "").split(os.pathsep)]
    path = shutil.which(program, path=os.pathsep.join(place for place in places if place and place not in own))
    if path is None:
        return None
    for question in (["--version"], ["version", "--client"], ["version"]):
        try:
            answer = run([path, *question], timeout_seconds=10)
        except CommandError:
            continue
        if match := re.search(r"v?(\d+)\.(\d+)\.(\d+)", answer):
            wanted = tuple(int(part) for part in version.split("."))
            had = tuple(int(part) for part in match.groups())
            return Path(path) if had[:2] == wanted[:2] and had >= wanted else None
    return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file lock, so that two runs never build the same thing at once; the kernel frees it if one dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"  waiting for another run that is building in {path.parent}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
