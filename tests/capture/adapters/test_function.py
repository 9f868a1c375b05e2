"""The decorator: the function's own answer and exception, and a record a call."""

from __future__ import annotations

import asyncio
import inspect
import threading

import numpy as np
import pytest
from gnomon_capture import Mirror, UsageError
from gnomon_capture.adapters import mirrored
from gnomon_capture.adapters.answers import served_of


@pytest.fixture
def mirror(tmp_path):
    with Mirror(f"spool:{tmp_path}", require=True) as made:
        yield made


@pytest.fixture
def ended(mirror, tmp_path, spooled):
    """Closes the mirror; gives the records and the closing ledger."""

    def end():
        mirror.close()
        traffic = spooled(tmp_path)
        return traffic.requests, traffic.ledgers[-1]

    return end


def test_arguments_become_features_by_their_names(mirror, ended):
    @mirrored(mirror, version="3.2")
    def predict(carrier, delay, distance=1400):
        return {"label": "late", "score": 0.8, "took": 3}

    assert predict("UA", delay=2) == {"label": "late", "score": 0.8, "took": 3}
    assert predict.__name__ == "predict"
    [record], _ = ended()
    assert record.features == {"carrier": "UA", "delay": 2, "distance": 1400}
    assert (record.served.label, record.served.score, record.served.version) == ("late", 0.8, "3.2")
    assert record.served.latency_us >= 0


def test_a_single_mapping_is_the_features_and_self_is_not(mirror, ended):
    class Model:
        @mirrored(mirror)
        def predict(self, row):
            return "late"

        @mirrored(mirror)
        def by_name(self, x):
            return 0.5

    Model().predict({"x": 1})
    Model().by_name(2)
    records, _ = ended()
    assert [record.features for record in records] == [{"x": 1}, {"x": 2}]
    assert (records[0].served.label, records[1].served.score) == ("late", 0.5)


def test_an_async_function_stays_one_and_its_own_time_is_measured(mirror, ended):
    @mirrored(mirror, payload=lambda text: {"text": text}, key=lambda text: "k")
    async def classify(text):
        await asyncio.sleep(0.02)
        return "praise"

    assert inspect.iscoroutinefunction(classify)
    assert asyncio.run(classify("well done")) == "praise"
    [record], _ = ended()
    assert (record.payload, record.served.label, record.key) == ({"text": "well done"}, "praise", "k")
    assert record.served.latency_us >= 20_000


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_what_it_raises_is_recorded_and_raised_on(mirror, ended, kind):
    def plain(x):
        raise LookupError("no such carrier")

    async def later(x):
        raise LookupError("no such carrier")

    decorated = mirrored(mirror)(plain if kind == "plain" else later)
    with pytest.raises(LookupError):
        decorated(1) if kind == "plain" else asyncio.run(decorated(1))
    [record], _ = ended()
    assert (record.served.error, record.features) == ("LookupError: no such carrier", {"x": 1})


@pytest.mark.parametrize("pick", ["features", "payload", "served", "key", "request_id", "attributes"])
def test_a_pick_that_fails_is_counted_and_never_seen(mirror, ended, pick):
    @mirrored(mirror, **{pick: lambda *_, **__: 1 / 0})
    def predict(x):
        return x

    assert predict(1) == 1
    records, ledger = ended()
    assert (records, ledger.seen, ledger.dropped) == ([], 1, {"pick_failed": 1})


def test_what_has_no_json_form_is_counted_and_never_seen(mirror, ended):
    @mirrored(mirror)
    def predict(lock):
        return "late"

    assert predict(threading.Lock()) == "late"
    assert ended()[1].dropped == {"unencodable": 1}


def test_what_answers_in_parts_or_is_given_both_is_refused(mirror):
    with pytest.raises(UsageError, match="in parts"):

        @mirrored(mirror)
        def parts(x):
            yield x

    with pytest.raises(UsageError, match="leave one out"):
        mirrored(mirror, features=dict, payload=dict)


def test_answers_of_many_kinds_find_their_field():
    assert served_of(True) == {"label": True}
    assert served_of(np.float32(0.5)) == {"score": 0.5}
    assert served_of(np.int64(1)) == {"label": 1}
    assert served_of({"ids": [1, 2]}) == {"output": {"ids": [1, 2]}}
