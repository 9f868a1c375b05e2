"""Selection: the share, its weight, the same answer for the same key, rules, windows, and the maximum rate."""

from __future__ import annotations

import datetime
import math
import multiprocessing
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from gnomon_capture import CaptureSettings, Mirror, SelectSettings, sticky_point
from gnomon_capture.errors import SettingsError
from gnomon_capture.handoff import Waiting
from gnomon_capture.selection import Bucket, Selection
from gnomon_capture.settings import from_mapping
from hypothesis import given, settings
from hypothesis import strategies as st

Reader = Callable[..., Any]

NOON_NS = 1_795_521_600_000_000_000  # Tuesday, 2026-11-24T12:00:00Z

# By Java's MessageDigest: the digest's first eight bytes as a long, >>> 12, / 0x1p52.
POINTS = {
    "N14228": 0.7081025624591126,
    "": 0.8894159948913372,
    "user 1": 0.1707388221111663,
    "Jürgen": 0.7717241316072421,
    "0": 0.3747088552916309,
    "42": 0.45030764956967495,
    "eu/N14228": 0.22409699046655995,
}


def item(**changes: Any) -> Waiting:
    passed = {"ts": NOON_NS, "features": {"x": 1}, "payload": None, "served": None}
    passed |= {"key": None, "attributes": None, "request_id": None, "weight": 1.0} | changes
    return tuple(passed.values())  # type: ignore[return-value]


def selection(table: dict[str, Any], service: str | None = None, seed: int = 1) -> Selection:
    checked = from_mapping(SelectSettings, table, "capture.select")
    return Selection(checked, service, random.Random(seed).random)


def rule(service: str | None = None, **conditions: Any) -> Callable[..., bool]:
    """Whether a rule with these conditions is the one that decides."""
    made = selection({"frac": 0, "rules": [{"frac": 1, **conditions}]}, service)
    return lambda **changes: made.share(item(**changes)) == 1


@pytest.mark.parametrize(("text", "point"), POINTS.items())
def test_a_keys_point_is_what_other_languages_compute(text: str, point: float) -> None:
    assert sticky_point(text) == point
    assert sticky_point(text[3:], salt=text[:3]) == point


@settings(deadline=None)
@given(st.text(max_size=20).filter(lambda text: "\0" not in text), st.floats(1e-9, 1))
def test_sql_selects_the_same_keys(text: str, share: float) -> None:
    sql = "SELECT ('0x' || sha256($1)[1:13])::BIGINT / pow(2, 52) < $2"
    [[selected]] = duckdb.execute(sql, [text, share]).fetchall()
    weight = selection({"frac": share, "by": "key"}).weight(item(key=text))
    assert weight == (1 / share if selected else 0)


@settings(deadline=None, max_examples=50)
@given(st.floats(0.01, 1), st.integers(0, 2**32))
def test_the_share_selected_and_the_weights_sum_are_what_was_asked_for(share: float, seed: int) -> None:
    made, n = selection({"frac": share}, seed=seed), 2000
    weights = [made.weight(item()) for _ in range(n)]
    selected = sum(weight > 0 for weight in weights)
    # Hoeffding: further than this from its mean with a chance below 2 e^-32
    assert abs(selected - n * share) <= math.sqrt(n * 16)
    assert set(weights) <= {0.0, 1 / share}
    assert math.isclose(sum(weights), selected / share)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from("abc"), st.floats(0.01, 1))
def test_over_all_points_a_requests_weight_has_mean_one(region: str, share: float) -> None:
    """The estimand: the sum of weights is the traffic in expectation, whichever rule decides."""
    rules = [{"frac": share / 2, "where": {"attributes.region": "a"}}, {"frac": 1, "regions": ["b"]}]
    points = [(at + 0.5) / 1000 for at in range(1000)]
    table = from_mapping(SelectSettings, {"frac": share, "rules": rules}, "")
    made = Selection(table, None, iter(points).__next__)
    weights = [made.weight(item(attributes={"region": region})) for _ in range(1000 if region != "b" else 1)]
    assert abs(sum(weights) / len(weights) - 1) <= max(weights) / len(points) + 1e-9


@given(st.text(max_size=9), st.floats(1e-9, 1), st.floats(1e-9, 1))
def test_a_key_that_is_selected_stays_so_as_the_share_grows(key: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    if selection({"frac": small, "by": "key"}).weight(item(key=key)):
        assert selection({"frac": large, "by": "key"}).weight(item(key=key)) == 1 / large


@given(st.one_of(st.integers(-(2**53), 2**53), st.text(max_size=5)))
def test_a_key_is_selected_by_its_text_whatever_its_type(key: Any) -> None:
    made = selection({"frac": 0.5, "by": "key"})
    answers = {made.weight(item(key=form)) for form in (key, str(key)) for _ in range(3)}
    assert answers == {2.0 if sticky_point(str(key)) < 0.5 else 0.0}


def test_without_the_value_chance_decides() -> None:
    made = selection({"frac": 0.5, "by": "key"})
    assert {made.weight(item()) for _ in range(100)} == {0.0, 2.0}


def test_what_it_goes_by_may_be_any_value_and_a_salt_selects_others() -> None:
    by = {"frac": 0.5, "by": "payload.user.id"}
    users = [str(number) for number in range(200)]
    plain = [selection(by).weight(item(payload={"user": {"id": user}})) for user in users]
    salted = [selection(by | {"salt": "x"}).weight(item(payload={"user": {"id": user}})) for user in users]
    assert [weight > 0 for weight in plain] == [sticky_point(user) < 0.5 for user in users]
    assert plain != salted


@pytest.mark.parametrize(
    ("conditions", "holds", "does_not"),
    [
        ({"where": {"attributes.tier": "gold"}}, {"attributes": {"tier": "gold"}}, {"attributes": {"tier": "x"}}),
        ({"where": {"attributes.tier": ["a", "b"]}}, {"attributes": {"tier": "b"}}, {"attributes": None}),
        ({"where": {"attributes": {"a.b": "x"}}}, {"attributes": {"a.b": "x"}}, {"attributes": {"a": "x"}}),
        ({"where": {"features.n": 1}}, {"features": {"n": np.int64(1)}}, {"features": {"n": 2}}),
        ({"where": {"features.n": 1}}, {"features": {"n": "1.0"}}, {"features": {"m": 1}}),
        ({"where": {"features.n": {"min": 2, "max": 3}}}, {"features": {"n": 3}}, {"features": {"n": 3.1}}),
        ({"where": {"features.n": {"min": 2}}}, {"features": {"n": np.float32(2)}}, {"features": {"n": "9"}}),
        ({"where": {"features.n": {"min": 2}}}, {"features": {"n": 2}}, {"features": {"n": math.nan}}),
        ({"where": {"features.n": {"not": [1, 2]}}}, {"features": {"n": 3}}, {"features": {"n": 2.0}}),
        ({"where": {"features.n": {"not": 1}}}, {"features": {"n": 3}}, {"features": {}}),
        ({"where": {"features.n": {"present": False}}}, {"features": {}}, {"features": {"n": 0}}),
        ({"where": {"payload.u.mail": {"matches": "@a\\.org$"}}}, {"payload": {"u": {"mail": "x@a.org"}}}, {"payload": {"u": "@a.org"}}),
        ({"where": {"payload": {"u": {"n": {"min": 1}}}}}, {"payload": {"u": {"n": 1}}}, {"payload": [1]}),
        ({"where": {"served.score": {"min": 0.9}}}, {"served": {"score": 0.95}}, {"served": {"label": "a"}}),
        ({"where": {"key": {"matches": "^N"}}}, {"key": "N1"}, {"key": None}),
        ({"regions": ["eu", "us"]}, {"attributes": {"region": "eu"}}, {"attributes": {"region": "asia"}}),
        ({"hours": "11:00-12:01"}, {"ts": NOON_NS}, {"ts": NOON_NS + 60_000_000_000}),
        ({"hours": "22:00-12:01"}, {"ts": NOON_NS}, {"ts": "2026-11-24T21:59:59Z"}),
        ({"hours": "13:00-14:00", "timezone": "Europe/Berlin"}, {"ts": NOON_NS}, {"ts": "2026-07-01T12:00:00Z"}),
        ({"days": ["tue"]}, {"ts": NOON_NS}, {"ts": NOON_NS + 12 * 3600 * 10**9}),
        ({"days": ["wed"], "timezone": "Pacific/Auckland"}, {"ts": NOON_NS}, {"ts": NOON_NS - 2 * 3600 * 10**9}),
        ({"since": "2026-11-24T13:00:00+01:00"}, {"ts": NOON_NS}, {"ts": NOON_NS - 1}),
        ({"until": "2026-11-24T12:00:00Z"}, {"ts": NOON_NS - 1}, {"ts": NOON_NS}),
        ({"where": {"service": ["a", "b"]}, "service": "a"}, {}, None),
        ({"where": {"service": "b"}, "service": "a"}, None, {}),
    ],
)  # fmt: skip
def test_rules_hold_when_all_their_conditions_do(conditions: Any, holds: Any, does_not: Any) -> None:
    decides = rule(**conditions)
    assert holds is None or decides(**holds)
    assert does_not is None or not decides(**does_not)


def test_the_first_rule_that_holds_gives_the_share_and_so_the_weight() -> None:
    made = selection(
        {
            "frac": 0.5,
            "by": "key",
            "rules": [
                {"frac": 0, "where": {"attributes.test": "1"}},
                {"frac": 1, "where": {"features.amount": {"min": 1000}}},
                {"frac": 0.25, "where": {"features.amount": {"min": 100}}},
            ],
        }
    )
    low, high = "user 1", "N14228"  # points .17 and .71
    big, middle = {"amount": 5000}, {"amount": 500}
    assert made.weight(item(features=big, key=high, attributes={"test": "1"})) == 0
    assert made.weight(item(features=big, key=high)) == 1
    assert (made.weight(item(features=middle, key=low)), made.weight(item(features=middle, key=high))) == (
        4,
        0,
    )
    assert (made.weight(item(key=low)), made.weight(item(key=high))) == (2, 0)


@pytest.mark.parametrize(
    ("table", "path", "says"),
    [
        ({"frac": 10}, "frac", "<= 1.0"),
        ({"frac": 1e-12}, "frac", "at least 1e-09"),
        ({"fraction": 0.1}, "fraction", "did you mean `frac`?"),
        ({"by": "kye"}, "by", "did you mean `key`?"),
        ({"by": "service"}, "by", "write `request` or `key`"),
        ({"max_per_s": 0}, "max_per_s", "> 0"),
        ({"rules": [{}]}, "rules.0", "missing required field `frac`"),
        ({"rules": [{"frac": 1, "wher": {}}]}, "rules.0.wher", "did you mean `where`?"),
        ({"rules": [{"frac": 1}, {"frac": 2}]}, "rules.1.frac", "<= 1.0"),
        ({"rules": [{"frac": 1, "where": {"feature.a": 1}}]}, "rules.0.where", "did you mean `features.a`?"),
        ({"rules": [{"frac": 1, "where": {"features": 1}}]}, "rules.0.where.features", "say which value"),
        ({"rules": [{"frac": 1, "where": {"key": []}}]}, "rules.0.where.key", "never met"),
        ({"rules": [{"frac": 1, "where": {"key": {"mni": 1}}}]}, "rules.0.where.key.mni", "did you mean `min`?"),
        ({"rules": [{"frac": 1, "where": {"key": {"min": "a"}}}]}, "rules.0.where.key", "`min` cannot be 'a'"),
        ({"rules": [{"frac": 1, "where": {"key": {"matches": "("}}}]}, "rules.0.where.key", "no regular expr"),
        ({"rules": [{"frac": 1, "where": {"served.lable": "a"}}]}, "rules.0.where", "did you mean `served.label`?"),
        ({"rules": [{"frac": 1, "hours": "8-18"}]}, "rules.0.hours", "write 08:00-18:00"),
        ({"rules": [{"frac": 1, "hours": "24:30-25:00"}]}, "rules.0.hours", "are no hours"),
        ({"rules": [{"frac": 1, "days": ["monday"]}]}, "rules.0.days.0", "Invalid enum value"),
        ({"rules": [{"frac": 1, "timezone": "Berlin"}]}, "rules.0.timezone", "write one such as Europe/Berlin"),
        ({"rules": [{"frac": 1, "since": "2026-01-01T00:00:00"}]}, "rules.0.since", "an offset is missing"),
        ({"rules": [{"frac": 1, "since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}]}, "rules.0.until", "after"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_the_place(table: Any, path: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_mapping(CaptureSettings, {"select": table}, "capture")
    assert caught.value.path == f"capture.select.{path}"
    assert says in str(caught.value)


def test_a_bucket_lets_out_its_rate_and_one_seconds_worth_at_once() -> None:
    bucket = Bucket(10, now=0.0)
    assert sum(bucket.take(0.0) for _ in range(100)) == 10
    assert sum(bucket.take(0.05 + at / 1000) for at in range(1000)) == 10  # of one more second
    assert sum(bucket.take(100.0) for _ in range(100)) == 10
    slow = Bucket(0.5, now=0.0)
    assert [slow.take(at) for at in (0.0, 1.0, 2.0, 2.5, 4.0)] == [True, False, True, False, True]


def test_the_accounts_balance_and_only_what_is_sent_is_numbered(tmp_path: Path, spooled: Reader) -> None:
    table = {"frac": 0.3, "by": "key", "max_per_s": 50.0}
    with Mirror(f"spool:{tmp_path}", settings={"select": table, "ledger_every_s": 0.02}) as mirror:
        for number in range(3000):
            mirror.record({"n": number}, key=str(number))
    traffic, stats = spooled(tmp_path), mirror.stats()
    chosen = sum(sticky_point(str(number)) < 0.3 for number in range(3000))
    assert stats.not_selected == 3000 - chosen
    assert set(stats.dropped) == {"rate_limited"}
    assert stats.mirrored + stats.dropped["rate_limited"] == chosen
    assert 50 <= stats.mirrored < chosen
    assert traffic.seqs == list(range(stats.mirrored))
    last = traffic.ledgers[-1]  # the decoder refuses a ledger whose laws do not hold
    assert (last.seen, last.not_selected, last.mirrored) == (3000, stats.not_selected, stats.mirrored)
    assert last.dropped == stats.dropped
    assert {request.weight for request in traffic.requests} == {1 / 0.3}  # no rate limit in it
    assert all(sticky_point(request.key) < 0.3 for request in traffic.requests)


def test_what_cannot_be_looked_at_is_counted_and_stops_nothing(tmp_path: Path, spooled: Reader) -> None:
    class Raises:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    rules = [{"frac": 1, "where": {"features.n": {"min": 0}}}]
    with Mirror(f"spool:{tmp_path}", settings={"select": {"frac": 0, "rules": rules}}) as mirror:
        for value in (1, Raises(), -1, 2):
            mirror.record({"n": value})
    assert [request.features for request in spooled(tmp_path).requests] == [{"n": 1}, {"n": 2}]
    stats = mirror.stats()
    assert (stats.seen, stats.not_selected, stats.dropped) == (4, 1, {"unencodable": 1})


def _draws(count: int) -> list[float]:
    made = Selection(SelectSettings(frac=0.5), None)
    return [made.weight(item()) for _ in range(count)]


def test_forked_servers_do_not_repeat_each_others_choices() -> None:
    random.seed(7)
    state = random.getstate()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        children = [pool.apply(_draws, (64,)) for _ in range(1)] + [_draws(64)]
    assert len({tuple(draws) for draws in children}) == 2
    assert random.getstate() == state  # the application's generator is not ours


def test_a_datetime_of_any_zone_is_an_instant() -> None:
    berlin = datetime.timezone(datetime.timedelta(hours=1))
    moment = datetime.datetime(2026, 11, 24, 13, tzinfo=berlin)
    assert rule(hours="12:00-12:01")(ts=moment)
    assert not rule(hours="13:00-13:01")(ts=moment)
