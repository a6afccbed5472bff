"""What the operator reports."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from tts_operator.api.apimodel import ReadLeniently, list_map
from tts_operator.api.metadata import Condition

Conditions = Annotated[tuple[Condition, ...], Field(max_length=16), list_map("type")]
Word = Annotated[str, Field(max_length=316)]
Message = Annotated[str, Field(max_length=32_768)]
Amount = Annotated[str, Field(max_length=32)]
Number = Annotated[int, Field(ge=0)]


class NextTransition(ReadLeniently):
    """When the calendar next changes the replica bounds, and to what."""

    time: datetime
    """The instant, in UTC."""
    window: Word
    """Window that begins then."""
    min_replicas: Number
    """Its minimum."""
    max_replicas: Number
    """Its maximum."""


class PoolStatus(ReadLeniently):
    """One pool: the pods of one model."""

    model: Word
    """Name of the TTSModel."""
    role: Word = ""
    """Entry: the tenant's Service leads here. Member: the entry pool does."""
    precision: Word = ""
    """What its pods compute with."""
    min: Number = 0
    """Fewest replicas now."""
    max: Number = 0
    """Most replicas now."""
    desired: Number = 0
    """Replicas asked for now."""
    ready: Number = 0
    """Replicas that answer."""
    reason: Message = ""
    """Why replicas are missing."""


class Cost(ReadLeniently):
    """What the tenant costs, as decimal strings."""

    hourly: Amount = ""
    """Now."""
    monthly: Amount = ""
    """Over a month of the calendar, at its minimum."""
    unscheduled_monthly: Amount = ""
    """Over a month at the calendar's largest minimum: what it would cost without a calendar."""


class TTSModelStatus(ReadLeniently):
    """What the operator found."""

    observed_generation: Number | None = None
    """Generation of the spec that was judged last."""
    conditions: Conditions = ()
    """Accepted: the spec makes sense to this operator."""


class TTSTenantStatus(ReadLeniently):
    """What the operator made of the spec."""

    observed_generation: Number | None = None
    """Generation of the spec that was judged last."""
    conditions: Conditions = ()
    """Accepted, ModelsResolved, Programmed, Available and ScalingActive, and Ready, their summary."""
    active_window: Word | None = None
    """Window of the calendar that holds now."""
    next_transition: NextTransition | None = None
    """The calendar's next change. Unset: never."""
    precision: Word | None = None
    """What the default model computes with."""
    precision_reason: Message | None = None
    """Why this precision."""
    pools: Annotated[tuple[PoolStatus, ...], Field(max_length=16), list_map("model")] = ()
    """One per model."""
    url: Annotated[str, Field(max_length=1024)] | None = None
    """Where callers inside the cluster find the endpoint."""
    cost: Cost | None = None
    """What the tenant costs."""
