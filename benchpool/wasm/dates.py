"""Dates as AO's loader makes them for C's time functions, always in UTC.

Source: emscripten's library as it stands in @permaweb/ao-loader 0.0.49.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

_DAY_S: Final = 86400
_FURTHEST_S: Final = 8_640_000_000_000
"""How far from 1970 a date of JavaScript may be."""
_WEEKDAYS: Final = (
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
)
_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_EXPANSIONS: Final = (
    *(("%c", "%a %b %d %H:%M:%S %Y"), ("%D", "%m/%d/%y"), ("%F", "%Y-%m-%d"), ("%h", "%b")),
    *(("%r", "%I:%M:%S %p"), ("%R", "%H:%M"), ("%T", "%H:%M:%S"), ("%x", "%m/%d/%y")),
    *(("%X", "%H:%M:%S"), ("%Ec", "%c"), ("%EC", "%C"), ("%Ex", "%m/%d/%y"), ("%EX", "%H:%M:%S")),
    *(("%Ey", "%y"), ("%EY", "%Y"), ("%Od", "%d"), ("%Oe", "%e"), ("%OH", "%H"), ("%OI", "%I")),
    *(("%Om", "%m"), ("%OM", "%M"), ("%OS", "%S"), ("%Ou", "%u"), ("%OU", "%U"), ("%OV", "%V")),
    *(("%Ow", "%w"), ("%OW", "%W"), ("%Oy", "%y")),
)


class Moment(NamedTuple):
    """The fields of C's `struct tm`."""

    second: int
    minute: int
    hour: int
    day: int
    month: int
    """From 0."""
    year: int
    """From 1900."""
    weekday: int
    """From Sunday."""
    yearday: int
    """From 0."""


NO_MOMENT: Final = Moment(0, 0, 0, 0, 0, 0, 0, 0)


def moment_of(seconds: int) -> Moment:
    """Split seconds since 1970; what JavaScript has no date for is all zeros."""
    if abs(seconds) > _FURTHEST_S:
        return NO_MOMENT
    days, rest = divmod(seconds, _DAY_S)
    year, month, day = _civil(days)
    yearday = days - _days(year, 0, 1)
    return Moment(
        *(rest % 60, rest // 60 % 60, rest // 3600, day, month, year - 1900),
        *((days + 4) % 7, yearday),
    )


def seconds_of(moment: Moment) -> int | None:
    """Return seconds since 1970 of fields that may be out of their ranges; None if too far."""
    year = moment.year + 1900
    if 0 <= year <= 99:
        year += 1900  # as JavaScript takes years of two digits
    days = _days(year + moment.month // 12, moment.month % 12, 1) + moment.day - 1
    seconds = days * _DAY_S + moment.hour * 3600 + moment.minute * 60 + moment.second
    return seconds if abs(seconds) <= _FURTHEST_S else None


def _days(year: int, month: int, day: int) -> int:
    """Count days from 1970 to a date; months from 0."""
    year, month = (year - 1, month + 10) if month < 2 else (year, month - 2)
    era, of_era = divmod(year, 400)
    of_year = (153 * month + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def _civil(days: int) -> tuple[int, int, int]:
    era, of_era = divmod(days + 719468, 146097)
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    shifted = month + 2
    return year + era * 400 + shifted // 12, shifted % 12, day


def write_date(pattern: str, moment: Moment, zone: str, offset_s: int) -> str:
    """Write a date as `strftime` of the loader does, its oddities included.

    Raises: IndexError for a weekday or month that there is none of.
    """
    for name, expanded in _EXPANSIONS:
        pattern = pattern.replace(name, expanded)
    pattern = pattern.replace("%%", "\0\0")
    for name, write in _WRITERS.items():
        if name in pattern:
            pattern = pattern.replace(name, write(moment))
    pattern = pattern.replace("%z", _offset(offset_s)).replace("%Z", zone)
    return pattern.replace("\0\0", "%")


def _offset(offset_s: int) -> str:
    minutes = abs(offset_s) // 60
    hundred = minutes / 60 * 100 + minutes % 60
    digits = str(int(hundred)) if hundred == int(hundred) else str(hundred)
    return ("+" if offset_s >= 0 else "-") + f"0000{digits}"[-4:]


def _named(names: tuple[str, ...], number: int) -> str:
    if number < 0:
        raise IndexError(number)
    return names[number]


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _before(moment: Moment) -> int:
    leap = _leap(moment.year + 1900)
    return sum(_LENGTHS[: max(moment.month, 0)]) + (leap and moment.month > 1)


def _iso_year(moment: Moment) -> int:
    """Return the year that the ISO week belongs to."""
    today = _days(moment.year + 1900, 0, 1) + moment.yearday
    year = _civil(today)[0]
    for candidate in (year + 1, year):
        fourth = _days(candidate, 0, 4)
        if fourth - (fourth + 3) % 7 <= today:
            return candidate
    return year - 1


def _iso_week(moment: Moment) -> int:
    """Return the ISO week, computed as emscripten does."""
    weekday, yearday, year = moment.weekday, moment.yearday, moment.year
    week = (yearday + 7 - (weekday + 6) % 7) // 7
    if (weekday + 371 - yearday - 2) % 7 <= 2:
        week += 1
    if not week:
        last = (weekday + 7 - yearday - 1) % 7
        return 53 if last == 4 or (last == 5 and _leap(year % 400 - 1)) else 52
    if week == 53:
        first = (weekday + 371 - yearday) % 7
        if first != 4 and (first != 3 or not _leap(year)):
            return 1
    return week


_WRITERS: Final[dict[str, Callable[[Moment], str]]] = {
    "%a": lambda m: _named(_WEEKDAYS, m.weekday)[:3],
    "%A": lambda m: _named(_WEEKDAYS, m.weekday),
    "%b": lambda m: _named(_MONTHS, m.month)[:3],
    "%B": lambda m: _named(_MONTHS, m.month),
    "%C": lambda m: str(int((m.year + 1900) / 100)).rjust(2, "0"),
    "%d": lambda m: str(m.day).rjust(2, "0"),
    "%e": lambda m: str(m.day).rjust(2),
    "%g": lambda m: str(_iso_year(m))[2:],
    "%G": lambda m: str(_iso_year(m)),
    "%H": lambda m: str(m.hour).rjust(2, "0"),
    "%I": lambda m: str(12 if m.hour == 0 else m.hour - 12 * (m.hour > 12)).rjust(2, "0"),
    "%j": lambda m: str(m.day + _before(m)).rjust(3, "0"),
    "%m": lambda m: str(m.month + 1).rjust(2, "0"),
    "%M": lambda m: str(m.minute).rjust(2, "0"),
    "%n": lambda _m: "\n",
    "%p": lambda m: "AM" if 0 <= m.hour < 12 else "PM",
    "%S": lambda m: str(m.second).rjust(2, "0"),
    "%t": lambda _m: "\t",
    "%u": lambda m: str(m.weekday or 7),
    "%U": lambda m: str((m.yearday + 7 - m.weekday) // 7).rjust(2, "0"),
    "%V": lambda m: str(_iso_week(m)).rjust(2, "0"),
    "%w": lambda m: str(m.weekday),
    "%W": lambda m: str((m.yearday + 7 - (m.weekday + 6) % 7) // 7).rjust(2, "0"),
    "%y": lambda m: str(m.year + 1900)[2:],
    "%Y": lambda m: str(m.year + 1900),
}
