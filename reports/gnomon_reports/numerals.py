"""Numbers and dates as people read them.

Thin groups (`163 149`), a narrow no-break space before the unit, a true minus. How many decimals a rate
has is decided by two significant digits of its interval's half-width, the same for estimate and ends.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass

THIN = "\u202f"
MINUS = "\u2212"
NONE_YET = "none yet"


@dataclass(frozen=True)
class Unit:
    """How a quantity is written: times `scale`, then `suffix`; `word` in sentences."""

    scale: float
    suffix: str
    word: str
    signed: bool = False


PERCENT = Unit(100, f"{THIN}%", f"{THIN}%")
CHANGE = Unit(100, f"{THIN}%", f"{THIN}%", signed=True)
POINTS = Unit(100, f"{THIN}pts", f"{THIN}points")
POINTS_CHANGE = Unit(100, f"{THIN}pts", f"{THIN}points", signed=True)
TIMES = Unit(1, f"{THIN}×", f"{THIN}×")
MS = Unit(1, f"{THIN}ms", f"{THIN}ms")
MS_OF_US = Unit(0.001, f"{THIN}ms", f"{THIN}ms")
PLAIN = Unit(1, "", "")


@dataclass(frozen=True)
class Quote:
    """An estimate and its interval, with the same decimals.

    Attributes:
        number: the estimate without its unit.
        text: with it, short: `23.7 pts`.
        words: with it, for sentences: `23.7 points`.
        bracket: ` [22.4, 25.0]`, with the space before it, or nothing where there is no interval.
        span: `22.4 to 25.0`, for a column.
    """

    number: str
    text: str
    words: str
    bracket: str
    span: str


def quote(unit: Unit, estimate: float | None, low: float | None = None, high: float | None = None) -> Quote:
    """`estimate` with its interval; an end that is null is *none yet*."""
    if estimate is None:
        return Quote(number="n/a", text="n/a", words="n/a", bracket="", span=NONE_YET)
    digits = decimals(unit, estimate, low, high)

    def write(number: float | None, missing: str) -> str:
        return missing if number is None else fixed(number * unit.scale, digits, signed=unit.signed)

    number = write(estimate, "")
    bracket, span = "", NONE_YET
    if low is not None or high is not None:
        bracket = f" [{write(low, 'none')}, {write(high, 'none')}]"
        span = f"{write(low, NONE_YET)} to {write(high, NONE_YET)}"
    return Quote(number, number + unit.suffix, number + unit.word, bracket, span)


def decimals(unit: Unit, estimate: float, low: float | None, high: float | None) -> int:
    """Two significant digits of the half-width; with one end, of its distance; with none, of the estimate."""
    if low is not None and high is not None:
        half = (high - low) / 2
    else:
        ends = [abs(end - estimate) for end in (low, high) if end is not None]
        half = max(ends, default=abs(estimate) / 10)
    return places(half * unit.scale, significant=2)


def places(size: float, significant: int) -> int:
    """The decimals that show `significant` digits of `size`."""
    if size <= 0 or not math.isfinite(size):
        return 0
    rounded = float(f"{size:.{significant - 1}e}")
    return min(6, max(0, significant - 1 - math.floor(math.log10(rounded))))


def fixed(number: float, digits: int, *, signed: bool = False) -> str:
    """`number` with `digits` decimals, thin groups and a true minus; zero has no sign and no decimals."""
    if number == 0:
        return "0"
    text = f"{number:+,.{digits}f}" if signed else f"{number:,.{digits}f}"
    if not text.strip("+-0.,"):
        text = text.lstrip("+-")
    return text.replace(",", THIN).replace("-", MINUS)


def count(number: float) -> str:
    """Exact, in thin groups: `163 149`."""
    return fixed(round(number), 0)


def grouped(text: str) -> str:
    """A sentence of the gate, its numbers in the page's thin groups: `1,204 of 5,000` has commas."""
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", THIN, text)


def about(number: float) -> str:
    """For sentences: exact up to a million, then `1.24 M`."""
    if abs(number) < 1e6:
        return count(number)
    scale, suffix = (1e6, "M") if abs(number) < 1e9 else (1e9, "bn")
    return f"{fixed(number / scale, 2)}{THIN}{suffix}"


def share(part: float, whole: float) -> str:
    """A share of the traffic seen: a count, so it has no interval.

    Two significant digits of it, or of what it lacks of the whole; fewer if so few requests do not carry them.
    """
    if whole <= 0:
        return "n/a"
    frac = part / whole
    rest = min(abs(frac), abs(1 - frac))
    if rest == 0:
        return f"{100 * frac:.0f}{THIN}%"
    deviation = math.sqrt(rest / whole)
    digits = min(places(100 * rest, significant=2), places(100 * deviation, significant=1))
    return fixed(100 * frac, digits) + f"{THIN}%"


def rate(estimate: float | None, low: float | None, high: float | None, n: int) -> Quote:
    """A share of `n` with its interval; without one, as fine as `share` writes it."""
    if estimate is None:
        return quote(PERCENT, None)
    if estimate == 0 and high is not None:
        top = significant(100 * high)
        return Quote(
            number="0", text=f"0{THIN}%", words=f"0{THIN}%", bracket=f" [0, {top}]", span=f"0 to {top}"
        )
    if low is None and high is None:
        text = share(estimate * n, n)
        return Quote(number=text.removesuffix(f"{THIN}%"), text=text, words=text, bracket="", span=NONE_YET)
    return quote(PERCENT, estimate, low, high)


def significant(number: float, digits: int = 2) -> str:
    """`number` with so many significant digits, and no zeros after them."""
    text = fixed(number, places(abs(number), digits))
    return text.rstrip("0").rstrip(".") if "." in text else text


def many(number: int, one: str, more: str | None = None) -> str:
    """`1 day`, `14 days`, `0 days`."""
    return f"{about(number)} {one if number == 1 else more or one + 's'}"


_MONTHS = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)  # in any locale
_SMALL = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def in_words(number: int) -> str:
    """`three` up to twelve, then figures."""
    return _SMALL[number] if 0 <= number < len(_SMALL) else count(number)


def sentence(text: str) -> str:
    """`text` with its first letter raised."""
    return text[:1].upper() + text[1:]


def day(moment: datetime.datetime, *, year: bool = True) -> str:
    """`9 Sep 2013`."""
    moment = _utc(moment)
    name = f"{moment.day} {_MONTHS[moment.month - 1]}"
    return f"{name} {moment.year}" if year else name


def minute(moment: datetime.datetime) -> str:
    """`2 Jan 2014, 09:12 UTC`."""
    return f"{day(moment)}, {_utc(moment):%H:%M} UTC"


def period(first: datetime.datetime, last: datetime.datetime) -> str:
    """`1 Jul to 31 Dec 2013`; within a day, the hours."""
    first, last = _utc(first), _utc(last)
    if first.date() == last.date():
        return f"{day(first)}, {first:%H:%M} to {last:%H:%M}"
    return f"{day(first, year=first.year != last.year)} to {day(last)}"


def _utc(moment: datetime.datetime) -> datetime.datetime:
    return moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
