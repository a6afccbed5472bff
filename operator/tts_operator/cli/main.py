"""`tts-operator run` and `tts-operator crds`."""

import argparse
import asyncio
import importlib.metadata
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from tts_operator.api.base import URL, DNSLabel, Hostname, ImageReference, ObjectName
from tts_operator.api.crd import definitions
from tts_operator.api.engine import PullPolicy
from tts_operator.cluster.errors import ClusterError
from tts_operator.cluster.leader_election import LeaderElectionConfig
from tts_operator.controller.controller import ControllerOptions
from tts_operator.credentials.shared_stores import RedisDefault, S3Default
from tts_operator.observe.credential_files import StoreFiles
from tts_operator.run import Run, operate
from tts_operator.settings import IPNetwork, Settings
from tts_operator.telemetry import logs
from tts_server.config.redis_url import BadRedisURL, parse_redis_url

ENVIRONMENT = "TTS_OPERATOR_"
"""Before a flag's name, in capitals and with underscores: where its value may also be."""
PULL_POLICIES = tuple(policy.value for policy in PullPolicy)
LOG_LEVELS = ("debug", "info", "warning", "error")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 after SIGTERM too, 1 without a cluster, 2 for flags that make no sense."""
    options = parser().parse_args(arguments)
    if options.command == "crds":
        yaml.safe_dump_all(definitions(), sys.stdout, sort_keys=False, allow_unicode=True, width=120)
        return 0
    try:
        run = run_of(options)
        StoreFiles(run.settings).check()
    except (ValueError, OSError) as error:
        unread = f"{error.filename} cannot be read: {error.strerror}" if isinstance(error, OSError) else ""
        print(f"tts-operator: {unread or error}", file=sys.stderr)
        return 2
    logs.configure(options.log_level)
    try:
        asyncio.run(operate(run))
    except ClusterError as error:  # no configuration of one; later it is waited for
        print(f"tts-operator: {error}", file=sys.stderr)
        return 1
    return 0


def parser(environment: Mapping[str, str] = os.environ) -> argparse.ArgumentParser:
    """Every flag of `run` can also come from the environment: --lease-name from TTS_OPERATOR_LEASE_NAME."""
    root = argparse.ArgumentParser(prog="tts-operator", description=__doc__)
    commands = root.add_subparsers(dest="command", required=True)
    commands.add_parser("crds", help="print the CustomResourceDefinitions as YAML")
    run = commands.add_parser("run", help="reconcile TTSTenants until SIGTERM")

    def flag(name: str, default: str | None, kind: Callable[[str], object], text: str) -> None:
        value = environment.get(ENVIRONMENT + name.replace("-", "_").upper(), default)
        said = "required" if value is None else f"default: {value or 'empty'}"
        run.add_argument(f"--{name}", type=kind, default=value, required=value is None, help=f"{text} ({said})")

    own = environment.get("POD_NAMESPACE", "ttsfleet-system")
    flag("namespace", own, of_type(DNSLabel, "be a namespace's name"), "the operator's own: its Lease is here")
    watched = list_of(DNSLabel, "be names of namespaces")
    flag("watch-namespaces", "", watched, "only the tenants of these, separated by commas; empty: all")
    flag("server-image", None, of_type(ImageReference, "name an image"), "tts-server, for models that name no image")
    flag("image-pull-policy", "IfNotPresent", one_of(*PULL_POLICIES), "of tenants' pods: " + ", ".join(PULL_POLICIES))
    flag("playground", "false", switch, "true: tenants have a page at / to try their voices from")
    flag("trusted-proxies", "", networks, "CIDRs, by commas, whose X-Forwarded-For tenants' pods believe; empty: none")
    hosts = list_of(Hostname, "be names of hosts in lower case")
    flag("issuer-hosts", "", hosts, "hosts, by commas, that auth.external.jwksURL of tenants may name; empty: any")
    flag("tracing-endpoint", "", collector, "where tenants' pods send traces, by OTLP over HTTP; empty: nowhere")
    flag("tracing-ratio", "1", number(float, 0, 1), "part of the requests that are traced, 0 to 1")
    flag("metrics-port", "8080", number(int, 0, 65_535), "answers /metrics; 0: any")
    flag("health-port", "8081", number(int, 0, 65_535), "answers /healthz and /readyz; 0: any")
    lease = of_type(ObjectName, "be a Lease's name")
    flag("lease-name", "tts-operator", lease, "replicas that share it elect one leader")
    flag("lease-seconds", "15", number(float, 1, 3600), "after which another replica takes over")
    flag("resync-seconds", "600", number(float, 1, 86_400), "between full lists, which repair what a missed event lost")
    flag("workers", "8", number(int, 1, 1000), "tenants reconciled at once")
    flag("redis-url", "", str, "redis[s]://host[:port][/database] for tenants without one of their own; empty: none")
    flag("redis-directory", "", str, "files `username`, `password`, `ca.crt` of who may make users there")
    flag("s3-endpoint", "", str, "object store for tenants without one of their own; empty: none")
    flag("s3-region", "us-east-1", str, "that requests to it are signed for")
    flag("s3-bucket", "", str, "its bucket, which must exist")
    flag("s3-prefix", "", str, "before every key")
    flag("s3-public-endpoint", "", str, "the store as callers reach it; empty: its endpoint")
    flag("s3-path-style", "false", switch, "true: the bucket is in the path instead of in the host name")
    flag("s3-directory", "", str, "files `accessKey` and `secretKey`")
    flag("log-level", "info", one_of(*LOG_LEVELS), ", ".join(LOG_LEVELS))
    return root


def one_of(*words: str) -> Callable[[str], str]:
    """Of a flag that is one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(words)}")
        return text

    return read


def number(kind: type[float], least: float, most: float) -> Callable[[str], float]:
    """Of a flag that is a number, these two included; `kind` is float, or int for a whole one."""

    def read(text: str) -> float:
        try:
            found = kind(text)
        except ValueError:
            found = math.nan
        if not least <= found <= most:
            whole = "whole " if kind is int else ""
            raise argparse.ArgumentTypeError(f"{text!r} is no {whole}number from {least} to {most}")
        return found

    return read


def of_type(kind: Any, duty: str) -> Callable[[str], str]:
    """Of a flag for which the two resources have a type: a str with a pattern. `duty` is what it must do."""
    adapter: TypeAdapter[str] = TypeAdapter(kind)

    def read(text: str) -> str:
        try:
            return adapter.validate_python(text)
        except ValidationError as error:  # not what was read: an address may have a password in it
            raise argparse.ArgumentTypeError(f"must {duty}") from error

    return read


def list_of(kind: Any, duty: str) -> Callable[[str], tuple[str, ...]]:
    """Of a flag that lists such values, separated by commas, or none."""
    read = of_type(kind, f"{duty}, separated by commas")
    return lambda text: tuple(read(part.strip()) for part in text.split(",") if part.strip())


def collector(text: str) -> str:
    """Of a flag that is an address or empty."""
    return of_type(URL, "be http[s]://host[:port], without a password")(text) if text else ""


def switch(text: str) -> bool:
    """Of a flag that is on or off."""
    if text not in {"true", "false"}:
        raise argparse.ArgumentTypeError("must be true or false")
    return text == "true"


def networks(text: str) -> tuple[IPNetwork, ...]:
    """Of a flag that is a list of CIDRs. The whole Internet is none: it would let each caller choose its address."""
    try:
        found = tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if any(network.prefixlen == 0 for network in found):
        raise argparse.ArgumentTypeError("must name the proxies' networks, not all addresses")
    return found


def run_of(options: argparse.Namespace) -> Run:
    """What the flags say, with the types of the inside."""
    return Run(
        settings=Settings(
            server_image=options.server_image,
            version=importlib.metadata.version("ttsfleet"),
            namespace=options.namespace,
            image_pull_policy=options.image_pull_policy,
            playground=options.playground,
            trusted_proxies=options.trusted_proxies,
            issuer_hosts=options.issuer_hosts,
            tracing_endpoint=options.tracing_endpoint,
            tracing_ratio=options.tracing_ratio,
            redis=redis_default(options),
            s3=s3_default(options),
        ),
        options=ControllerOptions(options.workers, options.resync_seconds, options.watch_namespaces),
        election=LeaderElectionConfig.of_lease(options.lease_seconds),
        lease_name=options.lease_name,
        metrics_port=options.metrics_port,
        health_port=options.health_port,
    )


def redis_default(options: argparse.Namespace) -> RedisDefault | None:
    """Raises ValueError."""
    if not options.redis_url:
        return None
    try:
        address = parse_redis_url(options.redis_url)
    except BadRedisURL as error:
        raise ValueError(f"--redis-url {error}") from error
    if address.username or address.password:
        raise ValueError("--redis-url has credentials: they belong into --redis-directory")
    return RedisDefault(address, Path(options.redis_directory) if options.redis_directory else None)


def s3_default(options: argparse.Namespace) -> S3Default | None:
    """Raises ValueError."""
    if not options.s3_endpoint:
        return None
    if not options.s3_directory:
        raise ValueError("--s3-endpoint needs --s3-directory")
    default = S3Default(
        endpoint=options.s3_endpoint,
        region=options.s3_region,
        bucket=options.s3_bucket,
        prefix=options.s3_prefix,
        public_endpoint=options.s3_public_endpoint or None,
        path_style=options.s3_path_style,
        directory=Path(options.s3_directory),
    )
    try:
        default.check()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = re.sub(r"([A-Z])", r"-\1", str(first["loc"][0])).replace("_", "-").lower()
        raise ValueError(f"--s3-{name}: {first['msg'].removeprefix('Value error, ')}") from error
    return default


if __name__ == "__main__":
    sys.exit(main())
