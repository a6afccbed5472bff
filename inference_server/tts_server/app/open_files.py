"""The limit of open files (RLIMIT_NOFILE), and how many connections it leaves room for."""

import structlog

from tts_server.http.connection_limit import MOST_CONNECTIONS

log = structlog.get_logger(__name__)

RESERVED_FILES = 256
"""Files for everything but callers' connections: engines, stores, Redis, scrapes of metrics, connections that arrive in
the same iteration of the event loop."""
FEWEST_CONNECTIONS = 32


def raise_open_files() -> int | None:
    """Raise the soft limit to the hard one and return it; None where there is no limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # macOS allows less than its hard limit says
            log.warning("limit of open files not raised", soft=soft, hard=hard, reason=str(error))
            return soft
    return None if hard == resource.RLIM_INFINITY else hard


def connections_within(files: int | None) -> int:
    """Return how many connections may be open with this limit of open files; None is no limit."""
    if files is None:
        return MOST_CONNECTIONS
    return max(FEWEST_CONNECTIONS, min(MOST_CONNECTIONS, files - RESERVED_FILES))
