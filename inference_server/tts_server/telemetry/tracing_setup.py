"""Opens the tracer that the OTEL_* variables ask for."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import structlog

from tts_server.config.http_url import with_an_authority
from tts_server.telemetry.tracing import NoTracer, Tracer

log = structlog.get_logger()
PROTOCOL = "http/protobuf"


def open_tracer(environment: Mapping[str, str]) -> Tracer:
    """As OpenTelemetry's variables say; without an endpoint among them there are no traces.

    A server that cannot send traces says why, and serves.
    """
    reason = _not_to_be_sent(environment)
    if reason is None:
        try:
            from tts_server.telemetry.otel import OtelTracer

            return OtelTracer.from_environment(environment)
        except ImportError:
            reason = "the extra is not installed: pip install 'ttsfleet[tracing]'"
        except ValueError:
            reason = "one of the variables OTEL_* has a value that is none"
    if reason:
        log.error("no traces are sent", reason=reason)
    return NoTracer()


def _not_to_be_sent(environment: Mapping[str, str]) -> str | None:
    """Why there are no traces; empty where nobody asked for any, None where there are some."""

    def said(name: str) -> str:
        return environment.get(name, "").strip()

    endpoint = said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or said("OTEL_EXPORTER_OTLP_ENDPOINT")
    disabled = said("OTEL_SDK_DISABLED").lower() == "true" or said("OTEL_TRACES_EXPORTER").lower() == "none"
    if not endpoint or disabled:
        return ""
    if said("OTEL_TRACES_EXPORTER").lower() not in {"", "otlp"}:
        return "OTEL_TRACES_EXPORTER is none of: otlp, none"
    if not _is_address(endpoint):  # the exporter would say so once a request has come, and quote it
        return "OTEL_EXPORTER_OTLP_ENDPOINT is no address such as http://collector:4318"
    protocol = said("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or said("OTEL_EXPORTER_OTLP_PROTOCOL") or PROTOCOL
    return None if protocol == PROTOCOL else f"the only protocol is {PROTOCOL}: a collector's port for it is often 4318"


def _is_address(endpoint: str) -> bool:
    try:
        return urlsplit(with_an_authority(endpoint)).scheme in {"http", "https"}
    except ValueError:
        return False
