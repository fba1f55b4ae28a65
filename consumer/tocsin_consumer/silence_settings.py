"""The section `silences` of the configuration: maintenance windows that recur."""

import re
from datetime import timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from tocsin_consumer.match import MatchSettings
from tocsin_consumer.receiver_fields import TimeZone
from tocsin_consumer.silence import RecurringSilence
from tocsin_consumer.window import Window
from tocsin_schemas.configuration import Settings
from tocsin_schemas.document import found

_NAMES: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
#: A day as it is written → its number (Monday is 0).
_NUMBERS: Final = {written: number for number, name in enumerate(_NAMES) for written in (name, name[:3])}
_EVERY_DAY: Final = "mon-sun"
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])|24:00")
_MIDNIGHT: Final = "24:00"


def _parse_days(value: object) -> object:
    """Take a single text for a list with it."""
    return [value] if isinstance(value, str) else value


def _check_day(text: str) -> str:
    first, dash, last = text.lower().partition("-")
    if first not in _NUMBERS or (dash and last not in _NUMBERS):
        raise ValueError(f"expected a day such as mon, or days such as mon-fri, found {text!r}")
    return text


def _parse_time(value: object) -> object:
    """Refuse what YAML takes for a number: 22:00 without quotes is 1320 (YAML 1.1, "sexagesimal")."""
    if not isinstance(value, str):
        raise ValueError(f'expected a time such as "22:00", found {found(value)}; put it in quotes')  # noqa: TRY004 - pydantic reports it
    if not _TIME.fullmatch(value):
        raise ValueError(f'expected a time of day such as "07:30" or "24:00", found {found(value)}')
    return value


#: Days of the week, each written as `mon` or as `mon-fri`.
Days = Annotated[
    list[Annotated[str, AfterValidator(_check_day)]], Field(min_length=1), BeforeValidator(_parse_days)
]
#: A time of day, written as `07:30`.
TimeOfDay = Annotated[str, BeforeValidator(_parse_time)]


class WindowSettings(Settings):
    """A window belongs to the day on which it begins; one that does not end after its start ends on the next day.

    Times are those that the clocks of the time zone show, in summer and in winter.
    """

    days: Days = Field(default=[_EVERY_DAY], description="On which days it begins: `[mon, thu]`, `[sat-sun]`.")
    from_: TimeOfDay = Field(default="00:00", alias="from", description='When it begins: `"22:00"`, in quotes.')
    to: TimeOfDay = Field(default=_MIDNIGHT, description='When it ends: `"04:00"`, in quotes.')

    @field_validator("from_")
    @classmethod
    def _check_from(cls, text: str) -> str:
        if text == _MIDNIGHT:
            raise ValueError('expected a time before "24:00"; the next day begins at "00:00"')
        return text

    @field_validator("to")
    @classmethod
    def _check_to(cls, text: str, info: ValidationInfo) -> str:
        if "from_" in info.data and _since_midnight(text) == _since_midnight(info.data["from_"]):
            raise ValueError('expected another time than from; a whole day is from "00:00" to "24:00"')
        return text

    @property
    def window(self) -> Window:
        """The same, for the code that decides."""
        days = frozenset(number for text in self.days for number in _numbers(text))
        return Window(days, _since_midnight(self.from_), _since_midnight(self.to))


class SilenceSettings(Settings):
    """What is not told in windows that recur, such as those of maintenance."""

    name: str = Field(min_length=1, max_length=100, description="What it is called where it is told.")
    match: MatchSettings = Field(description="Which events it holds.")
    windows: list[WindowSettings] = Field(min_length=1, description="When.")
    time_zone: TimeZone | None = Field(default=None, description="Of its windows; default: that of the file.")
    author: str | None = Field(default=None, description="Whom to ask about it.")
    comment: str | None = Field(default=None, description="Why.")

    @field_validator("match")
    @classmethod
    def _check_match(cls, match: MatchSettings) -> MatchSettings:
        if match == MatchSettings():
            raise ValueError("expected at least one field; to hold everything, write cluster: .*")
        return match

    def recurring(self, time_zone: ZoneInfo) -> RecurringSilence:
        """Return the silence; `time_zone` is that of the file."""
        return RecurringSilence(
            self.name,
            self.match,
            tuple(window.window for window in self.windows),
            self.time_zone or time_zone,
            self.author or "",
            self.comment or "",
        )


def _numbers(text: str) -> list[int]:
    """Return the days of `mon` or of `fri-mon`, which goes over the end of the week."""
    first, _, last = text.lower().partition("-")
    start, end = _NUMBERS[first], _NUMBERS[last or first]
    return [(start + n) % 7 for n in range((end - start) % 7 + 1)]


def _since_midnight(text: str) -> timedelta:
    hours, minutes = map(int, text.split(":"))
    return timedelta(hours=hours, minutes=minutes)
