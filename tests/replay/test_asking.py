"""Which requests each model is asked, how often, in which order, and which of them are timed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from gnomon_replay.asking import Answers, Panel, in_noise_sample
from gnomon_replay.errors import ModelError
from gnomon_replay.model import HostedModel
from gnomon_replay.pairs import ANSWERS, OUTPUT

Hosted = Callable[..., HostedModel]
COUNT = 400
FRAC = 0.1


def expected_in_sample(request_id: str, frac: float) -> bool:
    digest = hashlib.blake2b(request_id.encode(), digest_size=8, person=b"gnomon noise").digest()
    return int.from_bytes(digest, "big") / 2**64 < frac


@pytest.mark.parametrize("frac", [0.0, 1e-9, 0.05, 0.5, 1.0])
def test_the_noise_sample_is_drawn_by_the_id_alone(frac: float) -> None:
    ids = [f"request {number} ü" for number in range(5000)]
    drawn = in_noise_sample(ids, frac)
    assert drawn.tolist() == [expected_in_sample(each, frac) for each in ids]
    assert in_noise_sample(ids[::-1], frac).tolist() == drawn.tolist()[::-1]


@pytest.mark.parametrize("frac", [0.01, 0.05, 0.3])
def test_its_share_is_what_was_asked_for(frac: float) -> None:
    n = 40_000
    share = in_noise_sample([f"r{number}" for number in range(n)], frac).mean()
    assert abs(share - frac) < 5 * (frac * (1 - frac) / n) ** 0.5


def test_of_no_ids_it_is_empty() -> None:
    assert in_noise_sample([], 0.5).tolist() == []
    assert in_noise_sample([], 1.0).tolist() == []


@pytest.fixture
def requests(line: Callable[..., bytes], requests_of: Callable[..., pa.Table]) -> pa.Table:
    """Requests whose served answer was seen, but for every seventh."""
    served = {"served": {"label": "0", "score": 0.5}}
    return requests_of([line(x, x=x, with_=None if x % 7 == 0 else served) for x in range(COUNT)])


@pytest.fixture
def panel(shared: Hosted) -> Panel:
    return Panel([shared("models:thirds", "2")], shared("models:parity"), FRAC, random.Random(1))


def only(answers: Answers) -> dict[str, pa.StructArray]:
    """The columns of the one candidate there is."""
    [columns] = answers.values()
    return columns


def parity(x: int) -> tuple[str, str, float]:
    return ("1", "1" if x % 2 else "0", pytest.approx(0.9 if x % 2 else 0.1))


def thirds(x: int) -> tuple[str, str, float]:
    return ("2", "0" if x % 3 else "1", pytest.approx(0.2 if x % 3 else 0.8))


def answers(column: pa.StructArray) -> list[tuple[str, str, float] | None]:
    return [each and (each["version"], each["label"], each["score"]) for each in column.to_pylist()]


@pytest.mark.parametrize("timed", [0, 25])
def test_each_model_answers_what_it_should_in_the_order_of_the_rows(
    panel: Panel, requests: pa.Table, timed: int
) -> None:
    columns = only(panel.ask(requests, timed))
    assert list(columns) == list(ANSWERS[1:])
    assert {column.type for column in columns.values()} == {OUTPUT}
    noise = [expected_in_sample(f"r{x}", FRAC) for x in range(COUNT)]
    clocked = [each["latency_us"] is not None for each in columns["candidate"].to_pylist()]
    assert sum(clocked) == timed
    unseen = [x % 7 == 0 for x in range(COUNT)]
    primary = [noise[x] or clocked[x] or unseen[x] for x in range(COUNT)]
    assert answers(columns["candidate"]) == [thirds(x) for x in range(COUNT)]
    assert answers(columns["candidate_again"]) == [thirds(x) if noise[x] else None for x in range(COUNT)]
    assert answers(columns["primary"]) == [parity(x) if primary[x] else None for x in range(COUNT)]
    assert answers(columns["primary_again"]) == [parity(x) if noise[x] else None for x in range(COUNT)]


def test_a_timed_request_has_both_latencies_and_is_never_in_the_noise_sample(
    panel: Panel, requests: pa.Table
) -> None:
    columns = only(panel.ask(requests, 60))
    latency = {
        name: [(each or {}).get("latency_us") for each in columns[name].to_pylist()] for name in columns
    }
    timed = [x for x in range(COUNT) if latency["candidate"][x]]
    assert len(timed) == 60
    assert timed == [x for x in range(COUNT) if latency["primary"][x]]
    assert not any(expected_in_sample(f"r{x}", FRAC) for x in timed)
    assert set(latency["primary_again"]) == set(latency["candidate_again"]) == {None}


def test_no_more_are_timed_than_there_are(panel: Panel, requests: pa.Table) -> None:
    columns = only(panel.ask(requests, 10**6))
    noise = sum(expected_in_sample(f"r{x}", FRAC) for x in range(COUNT))
    assert columns["candidate"].field("latency_us").null_count == noise


def test_the_timed_are_drawn_at_random_and_by_the_seed(shared: Hosted, requests: pa.Table) -> None:
    def drawn(seed: int) -> list[int]:
        panel = Panel([shared("models:thirds", "2")], shared("models:parity"), FRAC, random.Random(seed))
        latency = only(panel.ask(requests, 30))["candidate"].field("latency_us")
        return np.flatnonzero(latency.is_valid().to_numpy(zero_copy_only=False)).tolist()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert max(drawn(1)) > COUNT / 2 > min(drawn(1))


def test_the_four_runs_and_the_two_sides_take_turns_at_random(
    panel: Panel, requests: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[str] = []
    noise_rows = sum(expected_in_sample(f"r{x}", FRAC) for x in range(COUNT))

    def spied(model: HostedModel, name: str) -> None:
        answer, clock = model.answer, model.time

        def counted(table: pa.Table) -> pa.StructArray:
            if table.num_rows == noise_rows:
                runs.append(name)
            return answer(table)

        def timed(table: pa.Table) -> pa.StructArray:
            runs.append(f"{name} timed")
            return clock(table)

        monkeypatch.setattr(model, "answer", counted)
        monkeypatch.setattr(model, "time", timed)

    spied(panel.candidates[0], "c")
    assert panel.primary is not None
    spied(panel.primary, "p")
    orders = set()
    for _ in range(12):
        runs.clear()
        only(panel.ask(requests, 0))
        assert sorted(runs) == ["c", "c", "p", "p"]
        orders.add(tuple(runs))
    assert len(orders) > 2
    runs.clear()
    only(panel.ask(requests, 20))
    clocked = [run for run in runs if "timed" in run]
    pairs = {tuple(clocked[at : at + 2]) for at in range(0, 40, 2)}
    assert pairs == {("c timed", "p timed"), ("p timed", "c timed")}


def test_without_a_primary_the_candidate_alone_is_asked_and_timed(shared: Hosted, requests: pa.Table) -> None:
    panel = Panel([shared("models:thirds", "2")], None, FRAC, random.Random(1))
    columns = only(panel.ask(requests, 10))
    assert answers(columns["candidate"]) == [thirds(x) for x in range(COUNT)]
    assert len(columns["candidate"].field("latency_us").drop_null()) == 10
    for name in ("primary", "primary_again", "candidate_again"):
        assert columns[name].null_count == COUNT


def test_of_no_requests_nobody_is_asked(panel: Panel, requests: pa.Table) -> None:
    columns = only(panel.ask(requests.slice(0, 0), 10))
    assert {len(column) for column in columns.values()} == {0}


def test_a_request_is_asked_by_its_features_or_else_its_payload(
    shared: Hosted, line: Callable[..., bytes], requests_of: Callable[..., pa.Table]
) -> None:
    """Both kinds in one batch, each where it stood."""

    def record(x: int) -> bytes:
        if x % 3:
            return line(x, x=x)
        return line(x, with_={"features": None, "payload": {"x": x}})

    mixed = requests_of([record(x) for x in range(60)])
    model = shared("models:rows")
    columns = only(Panel([model], model, 0.2, random.Random(1)).ask(mixed, 20))
    expected = [("1", str(x % 2), pytest.approx(0.5 + x / 1e6)) for x in range(60)]
    assert answers(columns["candidate"]) == expected
    again = answers(columns["candidate_again"])
    noise = [expected_in_sample(f"r{x}", 0.2) for x in range(60)]
    assert again == [expected[x] if noise[x] else None for x in range(60)]


def test_a_model_of_features_fails_on_payloads_alone(
    shared: Hosted, line: Callable[..., bytes], requests_of: Callable[..., pa.Table]
) -> None:
    records = [
        line(x, x=x, y=0.0) if x % 3 else line(x, with_={"features": None, "payload": 1}) for x in range(60)
    ]
    columns = only(Panel([shared("logistic.skops")], None, 0, random.Random(1)).ask(requests_of(records), 0))
    errors = columns["candidate"].field("error").to_pylist()
    assert errors == [None if x % 3 else "wrong_type" for x in range(60)]


def test_a_declared_feature_may_be_missing_from_every_request(
    shared: Hosted, line: Callable[..., bytes], requests_of: Callable[..., pa.Table]
) -> None:
    records = [line(x, x=x) for x in range(9)]
    panel = Panel([shared("models:picky", timeout_s=1)], None, 0, random.Random(1))
    columns = only(panel.ask(requests_of(records, do="string"), 0))
    assert columns["candidate"].field("error").null_count == 9
    with pytest.raises(ModelError, match="needs the feature `y`"):
        only(Panel([shared("logistic.skops")], None, 0, random.Random(1)).ask(requests_of(records), 0))


def test_a_model_that_fails_on_all_of_a_first_handful_stops_the_run(
    shared: Hosted, line: Callable[..., bytes], requests_of: Callable[..., pa.Table]
) -> None:
    records = [line(x, x=x, do="raise") for x in range(50)]
    with pytest.raises(ModelError, match=r"model 1: failed on all of 5 requests .*: exception: ValueError"):
        only(
            Panel([shared("models:picky", timeout_s=1)], None, 0, random.Random(1)).ask(
                requests_of(records), 0
            )
        )


@pytest.mark.parametrize("bad", [range(4), range(30), range(70, 100)])
def test_a_run_of_odd_requests_does_not_stop_it(
    shared: Hosted, line: Callable[..., bytes], requests_of: Callable[..., pa.Table], bad: range
) -> None:
    """Few requests say little about a model, and a worker that starts amid odd ones has to get past them."""
    count = 4 if len(bad) == 4 else 100
    records = [line(x, x=x, do="raise" if x in bad else None) for x in range(count)]
    panel = Panel([shared("models:picky", timeout_s=1)], None, 0, random.Random(1))
    errors = only(panel.ask(requests_of(records), 0))["candidate"].field("error").to_pylist()
    assert errors == ["exception" if x in bad else None for x in range(count)]


def test_it_is_noted_which_features_a_model_leaves_unused(
    shared: Hosted, line: Callable[..., bytes], requests_of: Callable[..., pa.Table]
) -> None:
    panel = Panel([shared("logistic.skops")], None, 0, random.Random(1))
    for _ in range(2):
        only(panel.ask(requests_of([line(x, x=x, y=x, colour="red", z=1) for x in range(9)]), 0))
    assert panel.notes == ["model 1 does not use colour, z"]


def test_every_kind_of_value_reaches_a_model_as_it_was_sent(
    shared: Hosted, line: Callable[..., bytes], requests_of: Callable[..., pa.Table]
) -> None:
    sent: list[Any] = [2**53 + 1, -(2**63), 2**63 - 1, None]
    records = [line(x, x=value, text="gnōmōn 😀\0", nan=float("nan")) for x, value in enumerate(sent)]
    columns = only(Panel([shared("models:cells")], None, 0, random.Random(1)).ask(requests_of(records), 0))
    expected = [repr({"x": value, "text": "gnōmōn 😀\0", "nan": float("nan")}) for value in sent]
    assert columns["candidate"].field("label").to_pylist() == expected
