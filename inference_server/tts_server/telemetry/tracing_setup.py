"""Chooses where traces go, by OpenTelemetry's OTEL_* variables."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import structlog

from tts_server.config.http_url import with_an_authority
from tts_server.telemetry.tracing import NoTracing, Tracing

log = structlog.get_logger()
PROTOCOL = "http/protobuf"


def open_tracing(environment: Mapping[str, str]) -> Tracing:
    """Return the tracing that the variables configure; without an endpoint among them, `NoTracing`.

    A server that cannot send traces logs the reason, and serves.
    """
    reason = _reason_for_none(environment)
    if reason is None:
        try:
            from tts_server.telemetry.otel import OtelTracing

            return OtelTracing.from_environment(environment)
        except ImportError:
            reason = "the extra is not installed: pip install 'ttsfleet[tracing]'"
        except ValueError:
            reason = "one of the variables OTEL_* has an invalid value"
    if reason:
        log.error("traces not sent", reason=reason)
    return NoTracing()


def _reason_for_none(environment: Mapping[str, str]) -> str | None:
    """Return why traces are not sent: empty where none are configured, None where they are sent."""

    def variable(name: str) -> str:
        return environment.get(name, "").strip()

    endpoint = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or variable("OTEL_EXPORTER_OTLP_ENDPOINT")
    disabled = variable("OTEL_SDK_DISABLED").lower() == "true" or variable("OTEL_TRACES_EXPORTER").lower() == "none"
    if not endpoint or disabled:
        return ""
    if variable("OTEL_TRACES_EXPORTER").lower() not in {"", "otlp"}:
        return "OTEL_TRACES_EXPORTER must be otlp or none"
    if not _is_address(endpoint):  # the exporter would quote it in its log, at the first request
        return "OTEL_EXPORTER_OTLP_ENDPOINT must be an address such as http://collector:4318"
    protocol = variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or variable("OTEL_EXPORTER_OTLP_PROTOCOL") or PROTOCOL
    return (
        None
        if protocol == PROTOCOL
        else f"the only supported protocol is {PROTOCOL}; collectors usually take it on port 4318"
    )


def _is_address(endpoint: str) -> bool:
    try:
        return urlsplit(with_an_authority(endpoint)).scheme in {"http", "https"}
    except ValueError:
        return False
