"""`kubectl tts console`: a web page over the reader's own kubeconfig."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from contextlib import suppress
from typing import NamedTuple

from tts_operator.cli.arguments import object_name
from tts_operator.cli.command import Answer, CommandError
from tts_operator.cli.common_flags import add_cluster_flags
from tts_operator.cluster.client import Kubeconfig
from tts_operator.cluster.errors import ClusterError
from tts_operator.console.run import ConsoleOptions, serve
from tts_operator.fleet.kubectl import Kubectl

DEFAULT_NAMESPACE = "default"


def add_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-n",
        "--namespace",
        dest="namespaces",
        action="append",
        default=[],
        type=object_name,
        metavar="NAMESPACE",
        help="Only tenants of this namespace; may be repeated. (default: all that you may list)",
    )
    command.add_argument(
        "--port", type=_port, default=0, metavar="N", help="Port of 127.0.0.1 to listen on. (default: a free one)"
    )
    command.add_argument("--no-browser", action="store_true", help="Print the address without opening a browser.")
    add_cluster_flags(command)


def run(options: argparse.Namespace) -> Answer:
    """Serve the page until Ctrl+C; its address is printed at once."""
    context = _context(options)
    chosen = ConsoleOptions(
        Kubeconfig(options.kubeconfig, options.context),
        title=context.name,
        own_namespace=context.namespace,
        namespaces=options.namespaces,
        port=options.port,
        open_browser=not options.no_browser,
    )
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(serve(chosen, _announce))
    except ClusterError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        problem = os.strerror(error.errno or 0)
        raise CommandError(f"--port {options.port} cannot be used: {problem}; choose another") from error
    return Answer.of()


def _announce(url: str) -> None:
    sys.stdout.write(f"{url}\nCtrl+C ends the console.\n")
    sys.stdout.flush()


class _Context(NamedTuple):
    """Context of the kubeconfig."""

    name: str
    namespace: str


def _context(options: argparse.Namespace) -> _Context:
    """The context that kubectl would use. Raises KubectlError."""
    found = Kubectl.of(argparse.Namespace(**{**vars(options), "namespace": None})).run(
        "config", "view", "--minify", "--output=json"
    )
    (context,) = json.loads(found)["contexts"]
    return _Context(context["name"], context["context"].get("namespace") or DEFAULT_NAMESPACE)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 <= int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: use a whole number from 1 to 65535")
    return int(text)
