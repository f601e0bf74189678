"""Who reacts to an alert, in which order, and at what hours: support tiers and working hours of a site."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from config.mistakes import Mistakes
from config.strict import Strict

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _email(value: str) -> str:
    # No blank, comma, bracket or line end: nothing that makes of one recipient two, or of a header two.
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,190}", value):
        raise ValueError(f"must be a mail address such as depot@example.org, not {value[:80]!r}")
    return value


Email = Annotated[str, AfterValidator(_email)]


def _clock(value: str) -> str:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", value):
        raise ValueError(f"must be a time of day such as '08:00', not {value[:20]!r}")
    return value


Clock = Annotated[str, AfterValidator(_clock)]
"""``HH:MM``; ``24:00`` is the end of a day."""


class WorkingHours(Strict):
    """When people are there, in the site's local time. Hours that end before they begin go over midnight."""

    days: tuple[Weekday, ...] = Field(default=("mon", "tue", "wed", "thu", "fri"), min_length=1, max_length=7)
    """On which they begin."""
    begins: Clock = "08:00"
    ends: Clock = "17:00"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.begins == self.ends:
            raise Mistakes([(("ends",), f"is when they begin, {self.begins}; around the clock is '00:00' to '24:00'")])
        if self.begins == "24:00":
            raise Mistakes([(("begins",), "must be before '24:00'")])
        return self

    @property
    def span(self) -> tuple[timedelta, timedelta]:
        """When they begin and end, counted from local midnight; the end may lie on the next day."""
        begins, ends = (timedelta(hours=int(text[:2]), minutes=int(text[3:])) for text in (self.begins, self.ends))
        return begins, ends if ends > begins else ends + timedelta(days=1)


class Tier(Strict):
    """People who look at an alert, and how long they have before the next tier is called."""

    name: str = Field(min_length=1, max_length=100)
    addresses: tuple[Email, ...] = Field(default=(), max_length=50)
    minutes: int = Field(default=240, ge=1, le=100_000)
    """Working minutes to acknowledge an alert. The last tier has no next one."""


Tiers = Annotated[tuple[Tier, ...], Field(max_length=9)]
