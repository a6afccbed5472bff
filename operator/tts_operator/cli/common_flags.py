"""Flags that several commands of `kubectl tts` have: the cluster, namespaces, the format of the output."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Any

from tts_operator.cli.arguments import object_name

TABLE, WIDE, JSON, YAML = "table", "wide", "json", "yaml"


def add_cluster_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags that choose the cluster."""
    command.add_argument("--context", metavar="NAME", help="Context of the kubeconfig. (default: the current one)")
    command.add_argument("--kubeconfig", metavar="FILE", help="Kubeconfig. (default: that of kubectl)")


def add_tenant_flags(command: argparse.ArgumentParser) -> None:
    """Add the name of a tenant, its namespace, and the flags that choose the cluster."""
    command.add_argument("tenant", type=object_name, metavar="TENANT", help="Name of the TTSTenant.")
    command.add_argument("-n", "--namespace", type=object_name, metavar="NAMESPACE", help="Namespace of the tenant.")
    add_cluster_flags(command)


def add_scope_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags that choose one namespace or all of them, and the cluster."""
    where = command.add_mutually_exclusive_group()
    where.add_argument("-n", "--namespace", type=object_name, metavar="NAMESPACE", help="Only tenants of a namespace.")
    where.add_argument("-A", "--all-namespaces", action="store_true", help="Tenants of all namespaces.")
    add_cluster_flags(command)


def add_file_flags(command: argparse.ArgumentParser, content: str) -> None:
    """Add the files with a tenant and what goes with it, and the flags that choose the tenant among several."""
    command.add_argument(
        "-f",
        "--filename",
        required=True,
        action="append",
        metavar="FILE",
        help=f"File with {content}, in YAML or JSON; - reads standard input. Repeat it for several files. (required)",
    )
    command.add_argument("--tenant", metavar="NAME", help="Name of the TTSTenant, if the files hold several.")
    command.add_argument(
        "-n", "--namespace", metavar="NAMESPACE", help="Namespace of the TTSTenant, if the files hold several."
    )


def add_output_flag(command: argparse.ArgumentParser, formats: Sequence[str] = (TABLE, JSON, YAML)) -> None:
    """Add the format of the output; the first is the default."""
    command.add_argument(
        "-o", "--output", choices=formats, default=formats[0], help=f"Format of the output. (default: {formats[0]})"
    )


def as_data(output: str, content: Any) -> Iterator[str]:
    """Content for programs, as JSON or YAML."""
    if output == YAML:
        import yaml  # takes a tenth of a second

        yield yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    else:
        yield json.dumps(content, indent=2, ensure_ascii=False) + "\n"
