"""Command line of tts-server: a speech server on a laptop, or in a tenant's pod."""

import argparse
import ipaddress
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tts_server.errors import EngineError
from tts_server.malloc_tuning import keep_freed_memory, share_one_heap

if TYPE_CHECKING:
    from types import FrameType

    from tts_server.app.build import Application
    from tts_server.config.schema import QuotaConfig, ServerConfig
    from tts_server.config.watcher import Signature

# Whatever takes long to import (pydantic, FastAPI, numpy) is imported in functions: signals are handled before, and a
# wrong flag does not wait for most of it.

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SHOWN_LANGUAGES = 200
CHECK_ENGINE = "check-engine"
FETCH_MODEL = "fetch-model"


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C. Returns 0 then, 1 if it cannot serve; argparse exits with 2 for a wrong flag.

    The exit code is 3 if a model is why it cannot serve: files, options or voices that do not fit.

    With `check-engine` or `fetch-model` as the first argument it does that instead.
    """
    given = sys.argv[1:] if arguments is None else arguments
    with ended_by_signals():
        try:
            if given[:1] == [CHECK_ENGINE]:
                from tts_server.engine_check.cli import main as check_engine

                return check_engine(given[1:])
            if given[:1] == [FETCH_MODEL]:
                from tts_server.model_files import cli

                return cli.run(given[1:])
            return _serve(_parsed(given))
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package == __package__:  # a mistake in this project, which no extra mends
                raise
            return _complain(
                f"the Python package {package} is not installed; install the program with its extras: "
                "pip install 'ttsfleet[server,espeak]'"
            )


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the flags. If nobody reads --help to its end, raise SystemExit with 1, without a traceback."""
    try:
        try:
            return parser().parse_args(arguments)
        finally:
            if sys.stdout is not None:  # None if the file descriptor is closed
                sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes again at exit
        raise SystemExit(1) from None


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end the process at once, with exit code 0, until `serve` takes them over.

    Without handlers SIGTERM would do the same, except in a container: the kernel drops what process 1 does not handle,
    and the pod would stay Terminating for its whole grace period.
    """

    def end(number: int, frame: "FrameType | None") -> None:
        del number, frame
        os._exit(0)  # not SystemExit, which a module that is being imported may swallow; nothing is to be saved yet

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def parser() -> argparse.ArgumentParser:
    """Parser of the flags; docs/reference/tts-server.md lists them, too."""
    from tts_server.config.schema import HTTP_PORT, METRICS_PORT

    root = argparse.ArgumentParser(
        prog="tts-server",
        description="Serve text-to-speech over HTTP: OpenAI's speech API and this server's own.",
        epilog=f"tts-server {CHECK_ENGINE} URL says what another speech server can; tts-server {FETCH_MODEL} downloads"
        f" the files of a model. See tts-server {CHECK_ENGINE} -h and tts-server {FETCH_MODEL} -h.",
    )
    root.add_argument("--host", default="127.0.0.1", help="Address to listen on. (default: %(default)s)")
    root.add_argument(
        "--port",
        type=_port,
        default=HTTP_PORT,
        metavar="N",
        help="Port of the API; 0 chooses a free one. (default: %(default)s)",
    )
    root.add_argument(
        "--metrics-port",
        type=_port,
        metavar="N",
        help=f"Port of /metrics; 0 chooses a free one. Default: {METRICS_PORT}, or no metrics if it is in use.",
    )
    root.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="Configuration, server.json or the same in YAML. Default: every installed engine, without API keys.",
    )
    root.add_argument(
        "--quota",
        type=Path,
        metavar="FILE",
        help="Limits, quota.json or the same in YAML. Default: no limit on requests.",
    )
    root.add_argument(
        "--replica",
        type=_address,
        default="",
        metavar="IP",
        help="Address at which other replicas reach this one, if storage.peersUrl names them. Default: none.",
    )
    root.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="Lowest level of log lines. (default: %(default)s)",
    )
    return root


def _serve(options: argparse.Namespace) -> int:
    from tts_server.config.files import BrokenFile
    from tts_server.config.watcher import signature
    from tts_server.telemetry.logging import configure_logging, log_crashes

    configure_logging(options.log_level)
    log_crashes()
    share_one_heap()
    keep_freed_memory()
    # Before the reading: the imports that follow take seconds, in which a file may change.
    seen = {path: signature(path) for path in (options.config, options.quota) if path is not None}
    try:
        config, quota = _configuration(options.config, options.quota)
    except BrokenFile as error:  # told before the server is imported, which takes a second
        return _fail(f"the configuration cannot be used: {error}")
    return _serve_configuration(config, quota, options, seen)


def _serve_configuration(
    config: "ServerConfig", quota: "QuotaConfig", options: argparse.Namespace, seen: Mapping[Path, "Signature"]
) -> int:
    import structlog

    from tts_server.app.build import Application, Sources
    from tts_server.app.serve import ListenAddress, PortTaken, run, serve
    from tts_server.config.files import BrokenFile
    from tts_server.config.schema import MODEL_EXIT_CODE, AuthMode
    from tts_server.routing.catalogue import CatalogueError, VoicesMissing
    from tts_server.telemetry.tracing_setup import open_tracing

    sources = Sources(config, quota, options.config, options.quota, options.replica, seen)
    try:
        application = Application(sources)
        application.server.tracing = open_tracing(os.environ)
    except BrokenFile as error:
        return _fail(f"the configuration cannot be used: {error}")
    except OSError as error:
        return _fail(f"the storage directory cannot be used: {error}")
    address = ListenAddress(options.host, options.port, options.metrics_port)
    if AuthMode.NONE in config.auth.modes and options.host not in LOOPBACK:
        log = structlog.get_logger(__name__)
        log.warning("requests need no API key: anyone who reaches this address can use it", host=options.host)
    try:
        run(serve(application, address, on_ready=None if options.config else _greet))
    except PortTaken as error:
        return _fail(str(error))
    except EngineError as error:
        return _fail(f"the engine does not start: {error.message}{_hint(error)}", MODEL_EXIT_CODE)
    except CatalogueError as error:
        code = MODEL_EXIT_CODE if isinstance(error, VoicesMissing) else 1
        return _fail(f"the configuration cannot be used: {error}", code)
    return 0


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 65535, not {text!r}")
    return port


def _address(text: str) -> str:
    try:
        return ipaddress.ip_address(text).compressed if text else ""  # a pod's template may leave it empty
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be an IP address, not {text!r}") from error


def _configuration(config_file: Path | None, quota_file: Path | None) -> "tuple[ServerConfig, QuotaConfig]":
    from tts_server.config.defaults import embedded_config, embedded_quota
    from tts_server.config.files import read_model
    from tts_server.config.schema import QuotaConfig, ServerConfig

    return (
        embedded_config() if config_file is None else read_model(config_file, ServerConfig),
        embedded_quota() if quota_file is None else read_model(quota_file, QuotaConfig),
    )


def _greet(application: "Application", address: str) -> None:
    """Print what a person can try, to stderr: logs go to stdout."""
    snapshot = application.server.snapshot
    assert snapshot is not None  # noqa: S101 - the server is ready
    for model in snapshot.catalogue.models.values():
        languages = sorted(model.languages)
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


def _fail(message: str, code: int = 1) -> int:
    import structlog

    from tts_server.termination import write_termination_message

    structlog.get_logger(__name__).error("tts-server does not start", reason=message)
    write_termination_message(message)
    return _complain(message, code)


def _complain(message: str, code: int = 1) -> int:
    print(f"tts-server: {message}", file=sys.stderr)
    return code
