"""`GET /v1/usage`: what is left of each limit, and what was served on a day."""

import re
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict
from starlette.requests import Request

from tts_server.auth.authenticate import Caller
from tts_server.errors import InvalidParameter
from tts_server.http.caller import CALLER_ERRORS, READING, own_caller, server_of
from tts_server.http.openapi import errors, ok
from tts_server.http.openapi import request as reads
from tts_server.pipeline.server import quota_key
from tts_server.quota.ledger import LedgerTotals

router = APIRouter(tags=["Limits"])


def _iso_date(text: object) -> object:
    """Refuse what pydantic takes for a date besides: seconds since 1970, and times."""
    if isinstance(text, str) and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("must be a date, such as 2026-11-30.")
    return text


Day = Annotated[date, BeforeValidator(_iso_date)]


class LimitState(BaseModel):
    """One limit of `spec.quota`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    limit: int
    remaining: int
    resets_after_seconds: float
    """When some of it is available again."""


class Totals(BaseModel):
    """Sums over served requests."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    requests: int
    characters: int
    audio_seconds: float
    cached: int
    """Requests whose audio came from the cache."""
    degraded: int
    """Requests that a fallback spoke."""


class ModelTotals(Totals):
    """Sums of one model at one precision."""

    model: str
    precision: str


class Usage(BaseModel):
    """Remaining amount of each limit, and the ledger of a day."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["usage"] = "usage"
    tenant: str
    limits: dict[str, LimitState]
    """By the name of the limit in `spec.quota`."""
    day: date
    """UTC day of the ledger."""
    complete: bool
    """False while the shared store is unavailable: the ledger holds what this replica served."""
    models: list[ModelTotals]
    total: Totals


@router.api_route(
    "/v1/usage",
    methods=READING,
    responses=ok("The usage.") | errors(*CALLER_ERRORS, InvalidParameter),
    openapi_extra=reads(headers=("X-Request-Id",)),
)
async def usage(
    request: Request, caller: Annotated[Caller, Depends(own_caller)], day: Annotated[Day | None, Query()] = None
) -> Usage:
    """Return what is left of each limit, and the ledger of a UTC `day`, by default today; 35 days are kept."""
    server = server_of(request)
    assert server.snapshot is not None  # noqa: S101 - `own_caller` refuses before that
    config = server.snapshot.config
    tenant = quota_key(config)
    ledger = await server.admission.ledger(tenant, day)
    remaining = await server.admission.remaining(tenant, caller.client)
    return Usage(
        tenant=config.tenant,
        limits={
            name: LimitState(
                limit=state.limit,
                remaining=state.remaining,
                resets_after_seconds=round(state.resets_after_seconds, 3),
            )
            for name, state in remaining.items()
        },
        day=ledger.day,
        complete=ledger.is_complete,
        models=[
            ModelTotals(**_totals(line).model_dump(), model=model, precision=precision)
            for (model, precision), line in sorted(ledger.lines.items())
        ],
        total=_totals(ledger.total),
    )


def _totals(line: LedgerTotals) -> Totals:
    return Totals(
        requests=line.requests,
        characters=line.characters,
        audio_seconds=line.audio_seconds,
        cached=line.cached,
        degraded=line.degraded,
    )
