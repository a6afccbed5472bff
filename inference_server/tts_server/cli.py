"""`tts-server`: speech on a port, alone on a laptop or as a tenant's pod."""

import argparse
import ipaddress
import os
import sys
from pathlib import Path

import structlog

from tts_server.app.build import Application, Sources
from tts_server.app.serve import ListenAddress, PortTaken, run, serve
from tts_server.config.defaults import embedded_config, embedded_quota
from tts_server.config.files import BrokenFile, read_model
from tts_server.config.schema import HTTP_PORT, METRICS_PORT, AuthMode, QuotaConfig, ServerConfig
from tts_server.errors import EngineError
from tts_server.malloc_tuning import keep_freed_memory, share_one_heap
from tts_server.routing.catalogue import CatalogueError
from tts_server.telemetry.logging import configure_logging, log_crashes
from tts_server.telemetry.tracing_setup import open_tracing

log = structlog.get_logger(__name__)

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SHOWN_LANGUAGES = 200


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C. The exit code is 0 then, 1 where it cannot serve, 2 for a wrong command line."""
    options = parser().parse_args(arguments)
    configure_logging(options.log_level)
    log_crashes()
    share_one_heap()
    keep_freed_memory()
    try:
        sources = _sources(options.config, options.quota, options.replica)
        application = Application(sources)
        application.server.tracing = open_tracing(os.environ)
    except BrokenFile as error:
        return _fail(f"the configuration cannot be used: {error}")
    except OSError as error:
        return _fail(f"the storage directory cannot be used: {error}")
    address = ListenAddress(options.host, options.port, options.metrics_port)
    if AuthMode.NONE in sources.config.auth.modes and options.host not in LOOPBACK:
        log.warning("no API key is asked for: whoever reaches this address can speak", host=options.host)
    try:
        run(serve(application, address, on_ready=None if options.config else _greet))
    except PortTaken as error:
        return _fail(str(error))
    except EngineError as error:
        return _fail(f"the engine does not start: {error.message}{_hint(error)}")
    except CatalogueError as error:
        return _fail(f"the configuration cannot be used: {error}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The flags, which the reference lists, too."""
    root = argparse.ArgumentParser(prog="tts-server", description="Speech over HTTP: OpenAI's API and its own.")
    root.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    root.add_argument("--port", type=_port, default=HTTP_PORT, help="port of the API, 0: any (%(default)s)")
    root.add_argument(
        "--metrics-port", type=_port, help=f"port of /metrics, 0: any ({METRICS_PORT}, or none if that one is taken)"
    )
    root.add_argument("--config", type=Path, metavar="FILE", help="server.json or YAML; default: eSpeak NG, no keys")
    root.add_argument("--quota", type=Path, metavar="FILE", help="quota.json or YAML; default: no limit on requests")
    root.add_argument(
        "--replica",
        type=_address,
        default="",
        metavar="IP",
        help="where other replicas find this one: storage.peersUrl",
    )
    root.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="lines of this level and above (%(default)s)",
    )
    return root


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to 65535")
    return port


def _address(text: str) -> str:
    """Empty is none: a pod's template may leave it so."""
    try:
        return ipaddress.ip_address(text).compressed if text else ""
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _sources(config_file: Path | None, quota_file: Path | None, replica: str) -> Sources:
    return Sources(
        config=embedded_config() if config_file is None else read_model(config_file, ServerConfig),
        quota=embedded_quota() if quota_file is None else read_model(quota_file, QuotaConfig),
        config_file=config_file,
        quota_file=quota_file,
        replica=replica,
    )


def _greet(application: Application, address: str) -> None:
    """For the person at the terminal; logs go to stdout."""
    snapshot = application.server.snapshot
    assert snapshot is not None  # noqa: S101 - it is ready
    for model in snapshot.catalogue.models.values():
        languages = sorted({language for voice in model.voices.values() for language in voice.languages[:1]})
        shown = " ".join(languages[:SHOWN_LANGUAGES])
        print(f"{model.name}: {len(model.voices)} voices in {len(languages)} languages: {shown}", file=sys.stderr)
    print(
        f"Listening on {address}. Open it in a browser, or try:\n"
        f"  curl {address}/v1/audio/speech -H 'Content-Type: application/json' -o hello.mp3 \\\n"
        """    -d '{"model": "tts-1", "voice": "alloy", "input": "Hello."}'""",
        file=sys.stderr,
        flush=True,
    )


def _hint(error: EngineError) -> str:
    if "ttsfleet[espeak]" in error.message:
        return "\n  pip install 'ttsfleet[server,espeak]'   (eSpeak NG is licensed under the GPL)"
    return ""


def _fail(message: str) -> int:
    log.error("tts-server does not start", reason=message)
    print(f"tts-server: {message}", file=sys.stderr)
    return 1
