"""python -m hack.cluster: a local Kubernetes cluster's programs, life and end."""

from __future__ import annotations

import argparse
import sys

from hack.cluster import binaries
from hack.cluster.errors import ClusterError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hack.cluster", description=__doc__)
    words = parser.add_subparsers(required=True)

    build = words.add_parser("binaries", help="build the cluster's programs into the cache, link them in build/bin")
    build.add_argument("--control-plane-only", action="store_true", help="what integration tests need, and helm")
    build.set_defaults(act=build_binaries)

    arguments = parser.parse_args()
    try:
        arguments.act(arguments)
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def build_binaries(arguments: argparse.Namespace) -> None:
    families = (*binaries.CONTROL_PLANE, *binaries.HELM) if arguments.control_plane_only else binaries.EVERYTHING
    binaries.link(binaries.ensure(families))


if __name__ == "__main__":
    sys.exit(main())
