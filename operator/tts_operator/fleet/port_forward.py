"""A port of this machine that leads to a pod of a Service, by `kubectl port-forward`.

It carries the header Authorization, which the API server's own proxy takes for itself, and no NetworkPolicy stops it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tts_operator.fleet.kubectl import Kubectl, KubectlError
from tts_operator.fleet.process_lines import running

FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@contextmanager
def port_forward(kubectl: Kubectl, namespace: str, service: str, port: int) -> Iterator[str]:
    """Forward while the block lasts. Gives the URL that leads there. Raises KubectlError."""
    words = ("port-forward", f"--namespace={namespace}", "--address=127.0.0.1", f"service/{service}", f":{port}")
    with running(kubectl.command(*words), "Forwarding from") as said:
        found = FORWARDING.search(said)
        if found is None:
            raise KubectlError(f"kubectl port-forward said {said!r}, in which there is no port")
        yield f"http://127.0.0.1:{found[1]}"
