"""Fetches files of Go modules that no program is built from, such as CRDs of other projects."""

from __future__ import annotations

import json
from pathlib import Path

from hack.cluster.binaries import BUILD_ENVIRONMENT, MODULES
from hack.cluster.commands import run
from hack.cluster.golang import go

GATEWAY_API = "sigs.k8s.io/gateway-api"


def gateway_api_crd(plural: str) -> Path:
    """File of a CRD of the Gateway API's standard channel, such as that of `httproutes`."""
    folder = module_folder("gateway-api", GATEWAY_API)
    return folder / "config" / "crd" / "standard" / f"gateway.networking.k8s.io_{plural}.yaml"


def module_folder(family: str, module: str) -> Path:
    """Folder with a module's files, in the version that the family's go.mod pins and its go.sum checks.

    Raises CommandError if it cannot be fetched.
    """
    answer = run([go(), "mod", "download", "-json", module], folder=MODULES / family, environment=BUILD_ENVIRONMENT)
    return Path(json.loads(answer)["Dir"])
