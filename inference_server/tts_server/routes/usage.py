"""`GET /v1/usage`: what is left of each limit, and what was served on a day."""

from datetime import date
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tts_server.errors import InvalidParameter
from tts_server.http.caller import READING, admit_caller, server_of
from tts_server.pipeline.server import quota_key
from tts_server.quota.ledger import LedgerTotals

router = APIRouter()


@router.api_route("/v1/usage", methods=READING)
async def usage(request: Request) -> Response:
    """`?day=2026-11-30` asks for the ledger of another day; days are UTC days, 35 of them are kept."""
    caller = await admit_caller(request)
    server = server_of(request)
    assert server.snapshot is not None  # noqa: S101 - nobody is admitted before
    config = server.snapshot.config
    tenant = quota_key(config)
    ledger = await server.admission.ledger(tenant, _day(request.query_params.get("day")))
    left = await server.admission.remaining(tenant, caller.client)
    return JSONResponse(
        {
            "object": "usage",
            "tenant": config.tenant,
            "limits": {
                name: {
                    "limit": one.limit,
                    "remaining": one.remaining,
                    "resets_after_seconds": round(one.resets_after_seconds, 3),
                }
                for name, one in left.items()
            },
            "day": ledger.day.isoformat(),
            "complete": ledger.is_complete,
            "models": [
                {"model": model, "precision": precision, **_line(line)}
                for (model, precision), line in sorted(ledger.lines.items())
            ],
            "total": _line(ledger.total),
        }
    )


def _line(line: LedgerTotals) -> dict[str, Any]:
    return {
        "requests": line.requests,
        "characters": line.characters,
        "audio_seconds": line.audio_seconds,
        "cached": line.cached,
        "degraded": line.degraded,
    }


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InvalidParameter("'day' must be a date, such as 2026-11-30.", param="day") from None
