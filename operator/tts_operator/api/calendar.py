"""The TTSCalendar: dates that the schedules of many tenants refer to."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from tts_operator.api.base import PRINTABLE, APIModel, ObjectMeta, cel, list_map
from tts_operator.api.schedule import LocalDate
from tts_operator.objects.names import API_VERSION

RANGE_RULE = ("!has(self.to) || self.from <= self.to", "from must not be later than to")


class CalendarDate(APIModel):
    """Date, or range of dates, with a name."""

    model_config = cel(RANGE_RULE)

    name: Annotated[str, StringConstraints(pattern=PRINTABLE, min_length=1, max_length=63)]
    """Name for people, such as Labour Day. Two entries may share it if they begin on different dates."""
    from_: Annotated[LocalDate, Field(alias="from")]
    """First local date, YYYY-MM-DD, in the time zone of each schedule that refers to the calendar."""
    to: LocalDate | None = None
    """Last local date, inclusive. Default: `from`."""

    @model_validator(mode="after")
    def dates_are_in_order(self) -> Self:
        """Raises ValueError for what RANGE_RULE refuses."""
        if self.to is not None and self.from_ > self.to:
            raise ValueError(RANGE_RULE[1])
        return self

    @property
    def first(self) -> date:
        """First date."""
        return date.fromisoformat(self.from_)

    @property
    def last(self) -> date:
        """Last date, inclusive."""
        return date.fromisoformat(self.to or self.from_)


class TTSCalendarSpec(APIModel):
    """Dates of a TTSCalendar."""

    dates: Annotated[tuple[CalendarDate, ...], Field(max_length=512), list_map("name", "from")] = ()
    """Dates in any order. They may overlap."""


class TTSCalendar(APIModel):
    """List of dates, such as the holidays of a country, that schedules of tenants refer to.

    It has no bounds of its own: an exception with `calendarRef` says what holds on its dates.
    """

    api_version: Literal["ttsfleet.io/v1alpha1"] = API_VERSION  # type: ignore[assignment] # the constant is that literal
    kind: Literal["TTSCalendar"] = "TTSCalendar"
    metadata: ObjectMeta
    spec: TTSCalendarSpec
