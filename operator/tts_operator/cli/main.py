"""Operator of TTS Fleet: gives each TTSTenant a text-to-speech endpoint."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tts_operator.calendar.tz_database import use_pinned_database, version_line
from tts_operator.cli.flags import Flag, FlagError, add_flags, flags_of, read
from tts_operator.cli.standard_output import reader_may_exit
from tts_operator.settings import ProcessSettings, Settings, WakerProcessSettings

if TYPE_CHECKING:
    from tts_operator.run import Run

ENVIRONMENT = "TTS_OPERATOR_"
"""Prefix of the environment's variables: TTS_OPERATOR_LEASE_NAME sets --lease-name."""
WAKER_ENVIRONMENT = "TTS_WAKER_"
"""Prefix of the variables of `tts-operator waker`: TTS_WAKER_PORTS sets --ports."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, after SIGTERM too; 1 if no cluster is configured; 2 for flags that are refused."""
    use_pinned_database()
    with reader_may_exit():
        options = parser().parse_args(arguments)
        if options.command == "crds":
            return _print_crds()
    try:
        if options.command == "waker":
            return _wake(read(WakerProcessSettings, waker_flags(), options, os.environ))
        settings, process = settings_of(options)
    except FlagError as error:
        return _fail(2, *error.problems)
    return _run(settings, process)


def parser() -> argparse.ArgumentParser:
    """Parser of every command. It knows the names of the flags; `settings_of` checks their values."""
    root = argparse.ArgumentParser(prog="tts-operator", description=__doc__)
    root.add_argument("--version", action="version", version=version_line("tts-operator"))
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    crds = "Print the CustomResourceDefinitions as YAML."
    commands.add_parser("crds", help=crds, description=crds)
    purpose = "Reconcile TTSTenants until SIGTERM."
    run = commands.add_parser(
        "run",
        help=purpose,
        description=purpose,
        usage="%(prog)s --server-image IMAGE [--FLAG VALUE ...]",
        epilog=f"Every flag can also be set in the environment: {ENVIRONMENT}LEASE_NAME sets --lease-name. The command"
        " line takes precedence.",
    )
    add_flags(run, run_flags())
    purpose = "Answer for tenants whose schedule has no replicas, until SIGTERM."
    waker = commands.add_parser(
        "waker",
        help=purpose,
        description=purpose,
        usage="%(prog)s [--FLAG VALUE ...]",
        epilog=f"Every flag can also be set in the environment: {WAKER_ENVIRONMENT}PORTS sets --ports. The command line"
        " takes precedence.",
    )
    add_flags(waker, waker_flags())
    return root


def run_flags() -> list[Flag]:
    """Flags of `tts-operator run`, in the order of --help."""
    return [*flags_of(Settings, ENVIRONMENT), *flags_of(ProcessSettings, ENVIRONMENT)]


def waker_flags() -> list[Flag]:
    """Flags of `tts-operator waker`, in the order of --help."""
    return list(flags_of(WakerProcessSettings, WAKER_ENVIRONMENT))


def settings_of(
    options: argparse.Namespace, environment: Mapping[str, str] = os.environ
) -> tuple[Settings, ProcessSettings]:
    """Settings that the flags and the environment give. Raises FlagError."""
    return (
        read(Settings, flags_of(Settings, ENVIRONMENT), options, environment),
        read(ProcessSettings, flags_of(ProcessSettings, ENVIRONMENT), options, environment),
    )


# The clients of Kubernetes take a second to import: a wrong flag, --help and `crds` do not wait for them.


def _print_crds() -> int:
    import yaml

    from tts_operator.api.crd import definitions

    yaml.safe_dump_all(definitions(), sys.stdout, sort_keys=False, allow_unicode=True, width=120)
    return 0


def _wake(settings: WakerProcessSettings) -> int:
    import asyncio

    from tts_operator.cluster.errors import ClusterError
    from tts_operator.telemetry import logs
    from tts_operator.waker.run import wake

    logs.configure(settings.log_level)
    try:
        asyncio.run(wake(settings))
    except ClusterError as error:  # raised only if no cluster is configured: one that is down is waited for
        return _fail(1, str(error))
    return 0


def run_of(settings: Settings, process: ProcessSettings) -> "Run":
    """Configuration of `tts-operator run` with these settings."""
    import dataclasses
    import importlib.metadata

    from tts_operator.cluster.leader_election import LeaderElectionConfig
    from tts_operator.controller.controller import ControllerOptions
    from tts_operator.rollout.situation import Limits
    from tts_operator.run import Run

    return Run(
        settings=dataclasses.replace(settings, version=importlib.metadata.version("ttsfleet")),
        options=ControllerOptions(
            process.workers,
            process.resync_seconds,
            process.watch_namespaces,
            Limits(process.rollout_concurrent_tenants, process.rollout_failure_namespaces),
            release=f"{settings.namespace}/{process.lease_name}",
        ),
        election=LeaderElectionConfig.of_lease(process.lease_seconds),
        lease_name=process.lease_name,
        metrics_port=process.metrics_port,
        health_port=process.health_port,
    )


def _run(settings: Settings, process: ProcessSettings) -> int:
    import asyncio

    from tts_operator.cluster.errors import ClusterError
    from tts_operator.observe.credential_files import StoreFiles
    from tts_operator.run import operate
    from tts_operator.telemetry import logs

    try:
        StoreFiles(settings).check()
    except OSError as error:
        return _fail(2, f"{error.filename} cannot be read: {error.strerror}")
    except ValueError as error:
        return _fail(2, str(error))
    logs.configure(process.log_level)
    try:
        asyncio.run(operate(run_of(settings, process)))
    except ClusterError as error:  # raised only if no cluster is configured: one that is down is waited for
        return _fail(1, str(error))
    return 0


def _fail(status: int, *problems: str) -> int:
    for problem in problems:
        print(f"tts-operator: {problem}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
