"""A cluster that already runs: a wrong name for it is refused before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from hack.cluster import current
from hack.cluster.errors import CannotRunError, CommandError
from hack.cluster.machine import ThisMachine, last_words

REGISTRIES = {
    # named                        taken as
    "registry.example/you": "registry.example/you",
    "registry.example/you/": "registry.example/you",
    "registry.example:5000/a/b_c-d.e": "registry.example:5000/a/b_c-d.e",
    "10.0.0.1:5000": "10.0.0.1:5000",
    "localhost:5001": "localhost:5001",
}
NO_REGISTRIES = {
    # what is wrong      named                        message
    "it is not set": ("", "name one that you may push to"),
    "it has a scheme": ("https://registry.example/you", "has a scheme: leave it out"),
    "it has a tag": ("registry.example/you:latest", "without tag"),
    "it has a user": ("ann:secret@registry.example", "a host, perhaps a port, and a path"),
    "it has capitals in its path": ("registry.example/You", "in lower case"),
    "it has a space": ("registry.example /you", "a host"),
    "its host ends in a dot": ("registry.example./you", "a host"),
    "it has no host": ("/", "a host"),
}


@pytest.mark.parametrize(("named", "expected"), REGISTRIES.items(), ids=REGISTRIES)
def test_a_registry_is_what_references_begin_with(named: str, expected: str) -> None:
    assert current.registry({"REGISTRY": named}) == expected


@pytest.mark.parametrize(("named", "message"), NO_REGISTRIES.values(), ids=NO_REGISTRIES)
def test_what_is_no_registry_is_refused_in_words(named: str, message: str) -> None:
    with pytest.raises(CannotRunError) as caught:
        current.registry({"REGISTRY": named})
    assert message in str(caught.value)
    assert current.REGISTRY_EXAMPLE in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_kubeconfig_is_the_file_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    assert current.kubeconfig({"KUBECONFIG": str(tmp_path / "mine")}) == tmp_path / "mine"


def test_without_a_name_it_is_kubectls_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(CannotRunError, match=r"KUBECONFIG is not set, and there is no .*/\.kube/config"):
        current.kubeconfig({})
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").touch()
    assert current.kubeconfig({}) == tmp_path / ".kube" / "config"


@pytest.mark.parametrize(
    ("named", "message"), [("/no/such", "KUBECONFIG=/no/such is not a file"), ("/a:/b", "names several files")]
)
def test_what_is_no_kubeconfig_is_refused_in_words(named: str, message: str) -> None:
    with pytest.raises(CannotRunError, match=message):
        current.kubeconfig({"KUBECONFIG": named})


def test_a_cluster_alone_needs_no_registry(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    environment = {"KUBECONFIG": str(tmp_path / "mine")}
    machine = ThisMachine()
    current.check(environment, machine, needs_images=False)
    with pytest.raises(CannotRunError, match="REGISTRY"):
        current.check(environment, machine, needs_images=True)


def test_a_registry_that_refuses_is_named_with_its_own_words_and_what_to_do() -> None:
    words = (
        'Error: pushing image "docker.io/ttsfleet/one:1" to "docker://registry.example/you/one:1": trying to '
        "reuse blob sha256:2827 at destination: authentication required"
    )
    error = CommandError(f"buildah ... push ended with 125:\nmany words\n{words}")
    message = current.refused("registry.example/you", last_words(error), with_docker=False)
    assert message.startswith(
        "the images could not be pushed to REGISTRY=registry.example/you: authentication required\n"
    )
    assert "`buildah login registry.example`" in message
    assert "`docker login registry.example`" in current.refused("registry.example/you", "no", with_docker=True)
