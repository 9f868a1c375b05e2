"""Redaction: no redacted value leaves the process, in the traffic or in a log line."""

from __future__ import annotations

import copy
import dataclasses
import enum
import json
import logging
import math
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from gnomon_capture import CaptureSettings, Mirror, RedactSettings, Request, Served, redacted_key
from gnomon_capture.encoder import Encoder
from gnomon_capture.errors import GnomonError, SettingsError, UsageError
from gnomon_capture.record import RedactionError, decode_line
from gnomon_capture.redaction import Redactor
from gnomon_capture.screen import Screen
from gnomon_capture.settings import from_mapping
from hypothesis import given, settings
from hypothesis import strategies as st

Reader = Callable[..., Any]

NOON_NS = 1_795_521_600_000_000_000
SECRET = "correct horse battery staple"
# printf N14228 | openssl dgst -sha256 -hmac "$SECRET"
HASHED = "42186d5baa20a3729cc16516c5f5d487"


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDACT_SECRET", SECRET)


def redact_settings(fields: dict[str, Any], allow: list[str] | None = None) -> RedactSettings:
    table: dict[str, Any] = {"fields": fields, "secret_env": "REDACT_SECRET"}
    return from_mapping(RedactSettings, table | ({} if allow is None else {"allow": allow}), "capture.redact")


def one(fields: dict[str, Any], allow: list[str] | None = None, **passed: Any) -> Request:
    """The record of one request, as it would be sent."""
    item = {"ts": NOON_NS, "features": None, "payload": None, "served": None}
    item |= {"key": None, "attributes": None, "request_id": None, "weight": 1.0} | copy.deepcopy(passed)
    redact = Redactor(redact_settings(fields, allow))
    lines, count = Encoder("p", "s", 1 << 20).encode([redact(tuple(item.values()))])  # type: ignore[arg-type]
    assert count == 1
    record = decode_line(lines.rstrip())
    assert isinstance(record, Request)
    return record


def test_each_action_does_what_it_says() -> None:
    actions = {"a": "drop", "b": "mask", "c": "hash", "d": {"truncate": 2}}
    fields = {f"features.{name}": action for name, action in actions.items()}
    text = one(fields, features=dict.fromkeys("abcde", "N14228"))
    assert text.features == {"b": "***", "c": HASHED, "d": "N1", "e": "N14228"}
    number = one(fields, features=dict.fromkeys("abcde", 7))
    assert number.features == {
        "b": None,
        "c": one(fields, features={"c": "7"}).features["c"],
        "d": None,
        "e": 7,
    }  # type: ignore[index]
    assert one(fields, features=dict.fromkeys("abcde")).features == dict.fromkeys("bcde")


def test_every_part_of_a_request_can_be_redacted() -> None:
    record = one(
        {
            "key": "hash",
            "request_id": "hash",
            "attributes": {"ip": {"truncate": 3}},
            "payload": {"user": {"mail": "mask"}, "items": {"name": "drop"}},
            'payload."a.b"': "drop",
            "served.label": "hash",
            "served.score": "drop",
            "served.output.who": "mask",
        },
        key="N14228",
        request_id="N14228",
        attributes={"ip": "10.1.2.3", "region": "eu"},
        payload={"user": {"mail": "x", "age": 3}, "items": [{"name": "n", "price": 1}, 5], "a.b": 1, "a": {"b": 2}},
        served=Served(version="1", label="N14228", score=0.5, output={"who": "x", "n": 1}),
    )  # fmt: skip
    assert (record.key, record.request_id, record.service) == (HASHED, HASHED, "s")
    assert record.attributes == {"ip": "10.", "region": "eu"}
    assert record.payload == {"user": {"mail": "***", "age": 3}, "items": [{"price": 1}, 5], "a": {"b": 2}}
    assert record.served == Served(version="1", label=HASHED, output={"who": "***", "n": 1})


def test_with_a_list_of_what_may_leave_nothing_else_does() -> None:
    passed: dict[str, Any] = {
        "features": {"carrier": "UA", "new": "x"},
        "attributes": {"region": "eu", "new": "x"},
        "payload": {"user": {"age": 3, "new": "x"}, "new": "x", "tags": [{"id": 1, "new": "x"}, "x"]},
        "served": {"label": "late", "error": "x"},
        "key": "x",
        "request_id": "x",
    }
    allow = ["features.carrier", "attributes.region", "payload.user.age", "payload.tags.id", "served.label"]
    record = one({}, allow, **passed)
    assert record.features == {"carrier": "UA"}
    assert record.attributes == {"region": "eu"}
    assert record.payload == {"user": {"age": 3}, "tags": [{"id": 1}]}
    assert record.served == Served(label="late")
    assert record.key is None
    assert record.request_id != "x"
    bare = one({}, [], **passed)
    assert (bare.features, bare.attributes, bare.payload, bare.key) == ({}, {}, None, None)
    whole = one({"features.new": "drop", "key": "hash"}, ["features", "payload.user"], **passed)
    assert whole.features == {"carrier": "UA"}
    assert whole.payload == {"user": {"age": 3, "new": "x"}}
    assert whole.key is not None


@dataclasses.dataclass
class User:
    mail: str


class Tells:
    """Raises what it should keep to itself, whatever is done with it."""

    def keys(self) -> Any:
        raise RuntimeError("s3cret")

    def __getattr__(self, name: str) -> Any:
        raise ValueError("s3cret")

    def __str__(self) -> str:
        raise TypeError("s3cret")

    __repr__ = __str__


class Account(msgspec.Struct):
    user: User


class Name(enum.Enum):
    MAIL = "mail"


class TextName(str, enum.Enum):  # noqa: UP042 - the older form, whose members equal their text
    MAIL = "mail"


@pytest.mark.parametrize(
    "passed",
    [
        {"features": {"mail": "s3cret"}},
        {"features": {"MAIL": "s3cret", "Mail": "s3cret"}},
        {"features": {Name.MAIL: "s3cret"}},
        {"features": {TextName.MAIL: "s3cret"}},
        {"features": {"mail": ["s3cret"]}},
        {"features": {"mail": np.str_("s3cret")}},
        {"payload": {"user": {"mail": "s3cret"}}},
        {"payload": {"User": {"Mail": "s3cret"}}},
        {"payload": {"user": {Name.MAIL: "s3cret"}}},
        {"payload": {"user": [[{"mail": "s3cret"}], ({"mail": "s3cret"},)]}},
        {"payload": {"user": User("s3cret")}},
        {"payload": Account(User("s3cret"))},
        {"payload": [Account(User("s3cret"))]},
        {"payload": {"user": np.array([{"mail": "s3cret"}], dtype=object)}},
        {"payload": {"user": "s3cret"}},  # what cannot be told is not sent
        {"payload": '{"user": {"mail": "s3cret"}}'},
        {"payload": msgspec.Raw(b'{"user": {"mail": "s3cret"}}')},
        {"payload": b"s3cret"},
        {"features": {}, "served": {"output": {"mail": "s3cret"}}},
        {"features": {}, "served": Served(output=[{"mail": "s3cret"}])},
        {"features": {}, "served": {"output": "s3cret"}},
        {"features": {}, "served": {"lable": "s3cret"}},
        {"features": {}, "key": ["s3cret"]},
        {"features": {}, "attributes": {"mail": {"s3cret"}}},
        {"features": {}, "request_id": {"s3cret": 1}},
        {"features": {}, "ts": "s3cret"},
        {"features": {"mail": "\ud800s3cret", "x": "\ud800"}},
        {"features": {"x": object()}, "key": "s3cret"},
        {"features": Tells()},
        {"features": {"mail": Tells()}},
        {"features": {"x": Tells()}},
        {"features": {}, "key": Tells()},
        {"features": {}, "attributes": {"x": Tells()}},
        {"payload": {"user": Tells()}},
        {"features": {}, "served": {"output": Tells()}},
    ],
)
@pytest.mark.parametrize("action", ["drop", "mask", "hash"])
@pytest.mark.parametrize("allow", [None, ["features", "payload"]])
def test_whatever_its_form_a_redacted_value_is_neither_sent_nor_logged(
    tmp_path: Path,
    spooled: Reader,
    caplog: pytest.LogCaptureFixture,
    passed: Any,
    action: str,
    allow: Any,
) -> None:
    caplog.set_level(logging.DEBUG)
    places = ["features.mail", "attributes.mail", "payload.user.mail", "served.output.mail"]
    fields = dict.fromkeys(places, action) | {"key": "hash", "request_id": "hash"}
    table = {
        "redact": {"fields": fields, "secret_env": "REDACT_SECRET"} | ({"allow": allow} if allow else {})
    }
    with Mirror(f"spool:{tmp_path}", settings=table) as mirror:
        mirror.record(**passed)
        mirror.record({"good": 1})
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(b"s3cret" in data or b"czNjcmV0" in data for data in files)  # nor in base64
    assert "s3cret" not in caplog.text
    stats = mirror.stats()
    assert stats.seen == 2 == stats.mirrored + sum(stats.dropped.values())
    assert set(stats.dropped) <= {"not_redacted", "unencodable"}
    assert spooled(tmp_path).requests[-1].features == {"good": 1}


def test_what_cannot_be_redacted_is_dropped_counted_and_named_once(
    tmp_path: Path, spooled: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    table = {"redact": {"fields": {"payload.user.mail": "mask"}}}
    with Mirror(f"spool:{tmp_path}", settings=table) as mirror:
        for number in range(10):
            mirror.record(payload={"user": "text" if number % 2 else {"mail": "x", "n": number}})
    traffic, stats = spooled(tmp_path), mirror.stats()
    assert (stats.seen, stats.mirrored, stats.dropped) == (10, 5, {"not_redacted": 5})
    assert traffic.seqs == list(range(5))
    assert traffic.ledgers[-1].dropped == {"not_redacted": 5}
    [line] = caplog.records
    assert "`payload.user` is text" in line.getMessage()


def test_the_callers_nested_values_are_left_as_they_are(tmp_path: Path) -> None:
    payload, output, features = {"user": {"mail": "x"}}, {"mail": "x"}, {"mail": "x"}
    fields = dict.fromkeys(["payload.user.mail", "served.output.mail", "features.mail"], "drop")
    with Mirror(f"spool:{tmp_path}", settings={"redact": {"fields": fields}}) as mirror:
        mirror.record(features, payload=payload, served={"output": output})
    assert (payload, output, features) == ({"user": {"mail": "x"}}, {"mail": "x"}, {"mail": "x"})


def test_a_hashed_key_groups_is_found_again_and_is_told_nowhere(tmp_path: Path, spooled: Reader) -> None:
    redact = redact_settings({"key": "hash"})
    with Mirror(f"spool:{tmp_path}", settings=CaptureSettings(redact=redact)) as mirror:
        for key in ("N14228", "N1", "N14228", uuid.UUID(int=7), 7, np.int64(7), 7.0):
            mirror.record({}, key=key)  # type: ignore[arg-type]
    keys = [request.key for request in spooled(tmp_path).requests]
    assert keys[0] == keys[2] == redacted_key(redact, "N14228") == HASHED
    assert keys[4] == keys[5] == keys[6] == redacted_key(redact, 7) == redacted_key(redact, "7")
    assert len(set(keys)) == 4
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*.ndjson"))
    assert SECRET not in repr(redact)


def test_a_key_that_is_not_redacted_is_found_by_itself() -> None:
    assert redacted_key(None, "N14228") == redacted_key(redact_settings({}), "N14228") == "N14228"
    assert redacted_key(redact_settings({}, ["key"]), 7.0) == "7"


@pytest.mark.parametrize(
    ("fields", "allow", "says"),
    [
        ({"key": "drop"}, None, "keys never leave"),
        ({}, ["features"], "keys never leave"),
        ({"key": {"truncate": 3}}, None, "one stands for several users"),
    ],
)
def test_a_key_that_names_no_one_cannot_be_found(fields: Any, allow: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        redacted_key(redact_settings(fields, allow), "N14228")


def test_the_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    redact = RedactSettings(fields={"key": "hash"}, secret_file=str(tmp_path / "secret"))
    assert redacted_key(redact, "N14228") == HASHED


@pytest.mark.parametrize(
    ("table", "path", "says"),
    [
        ({"fields": {"feature.a": "drop"}}, "fields", "did you mean `features.a`?"),
        ({"fields": {"features.a": "hsah"}}, "fields.features.a", "did you mean `hash`?"),
        ({"fields": {"features.a": 3}}, "fields.features.a", "write drop, mask, hash"),
        ({"fields": {"features.a": {"trunc": 3}}}, "fields.features.a.trunc", "did you mean `truncate`?"),
        ({"fields": {"features.a": {"truncate": 0}}}, "fields.features.a", "how many characters"),
        ({"fields": {"features.*": "drop"}}, "fields", "there are no wildcards"),
        ({"fields": {"ts": "drop"}}, "fields", "a path begins with"),
        ({"fields": {"service": "drop"}}, "fields.service", "give it another one"),
        ({"fields": {"served.score": "mask"}}, "fields.served.score", "can only be dropped"),
        ({"fields": {"features": "mask"}}, "fields.features", "can only be dropped"),
        ({"fields": {"served.lable": "drop"}}, "fields", "did you mean `served.label`?"),
        ({"fields": {"key": "mask"}}, "fields.key", "write hash or drop"),
        ({"fields": {"request_id": {"truncate": 3}}}, "fields.request_id", "names several requests"),
        ({"fields": {"payload..a": "drop"}}, "fields", "is no path in a request"),
        ({"allow": ["featurs"]}, "allow", "did you mean `features`?"),
        ({"allow": ["service"]}, "allow", "always leaves"),
        ({"fields": {"key": "hash"}}, "", "name its variable by `secret_env`"),
        ({"secret": SECRET}, "secret", "did you mean `secret_"),
        ({"secret_env": "A", "secret_file": "b"}, "secret_file", "not both"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_the_place(table: Any, path: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_mapping(CaptureSettings, {"redact": table}, "capture")
    assert caught.value.path == f"capture.redact.{path}".rstrip(".")
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ({"secret_env": "UNSET"}, "the environment variable UNSET is not set"),
        ({"secret_env": "SHORT"}, "fewer than 16 bytes"),
        ({"secret_file": "none"}, "none cannot be read: No such file"),
    ],
)
def test_without_its_secret_a_mirror_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, says: str
) -> None:
    monkeypatch.setenv("SHORT", "hunter2")
    with pytest.raises(SettingsError, match=says) as caught:
        Mirror(f"spool:{tmp_path}", settings={"redact": {"fields": {"key": "hash"}, **where}})
    assert "hunter2" not in str(caught.value)


NAMES = st.sampled_from(["a", "A", "b", "ab", "x.y", "é", "É", "ß", "SS"])
SECRETS = st.text("qz", min_size=4, max_size=9).map(lambda text: f"<{text}>")


def tainted(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        values,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=8,
    )


@settings(max_examples=150, deadline=None)
@given(
    secret=SECRETS,
    action=st.sampled_from(["drop", "mask", "hash", {"truncate": 3}]),
    where=st.lists(NAMES, min_size=1, max_size=3),
    spelled=st.booleans(),
    beside=tainted(st.none() | st.integers() | st.floats() | st.sampled_from(["t", "uu"])),
    data=st.data(),
)
def test_a_secret_at_a_redacted_path_is_in_no_byte_that_is_sent(
    secret: str, action: Any, where: list[str], spelled: bool, beside: Any, data: st.DataObject
) -> None:
    fields: dict[str, Any] = {"payload." + ".".join(f'"{name}"' for name in where): action}
    fields |= {f"features.{where[0]}": action, f"attributes.{where[0]}": action}
    payload: Any = data.draw(tainted(st.just(secret)))
    for name in reversed(
        [name.swapcase() if spelled and len(name.swapcase()) == len(name) else name for name in where]
    ):
        payload = {name: payload}
        if isinstance(beside, dict):
            payload = {
                other: value for other, value in beside.items() if other.casefold() != name.casefold()
            } | payload
        if data.draw(st.booleans()):
            payload = [payload, *(beside if isinstance(beside, list) else [])]
    flat = {where[0]: secret, "other": "t"}
    try:
        record = one(fields, features=flat, attributes=dict(flat), payload=payload)
    except RedactionError as exc:
        assert secret not in str(exc)
        return
    sent = json.dumps(msgspec.to_builtins(record), ensure_ascii=False)
    assert secret not in sent
    assert record.features is not None
    assert record.features["other"] == "t"  # and what is not named still leaves


@settings(max_examples=60, deadline=None)
@given(
    payload=tainted(SECRETS),
    features=st.dictionaries(NAMES, SECRETS),
    attributes=st.dictionaries(NAMES, SECRETS),
)
def test_what_no_list_allows_is_in_no_byte_that_is_sent(payload: Any, features: Any, attributes: Any) -> None:
    allow = ["features.known", "payload.known.a", "attributes.known"]
    with tempfile.TemporaryDirectory() as folder:
        with Mirror(f"spool:{folder}", settings={"redact": {"allow": allow}}) as mirror:
            mirror.record({**features, "known": 1}, payload=payload, attributes=attributes, key="<qqqq>")
        [file] = Path(folder).rglob("*.ndjson")
        data = file.read_bytes()
    assert b"<" not in data
    assert b'"features":{"known":1}' in data


def test_nan_and_large_integers_pass_through_a_redacted_payload() -> None:
    record = one({"payload.a": "drop"}, payload={"a": 1, "nan": math.nan, "n": 2**60, "deep": [[{}]]})
    assert isinstance(record.payload, dict)
    assert math.isnan(record.payload.pop("nan"))
    assert record.payload == {"n": 2**60, "deep": [[{}]]}


def test_errors_of_settings_are_of_the_house() -> None:
    with pytest.raises(GnomonError):
        redact_settings({"key": "mask"})


def test_a_forked_child_redacts_without_reading_the_secret_again(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(CaptureSettings(redact=redact_settings({"key": "hash"})), None)
    item = (NOON_NS, {}, None, None, "N14228", None, None, 1.0)
    screen.let_out([item, (NOON_NS, {}, None, None, {}, None, None, 1.0)], lambda exc: None)
    monkeypatch.delenv("REDACT_SECRET")
    child = screen.fresh()
    assert [out[4] for out in child.let_out([item], lambda exc: None)] == [HASHED]
    assert (screen.dropped["not_redacted"], child.dropped["not_redacted"]) == (1, 0)


def test_a_path_that_no_request_has_is_named_once_as_it_may_be_misspelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fields = dict.fromkeys(
        ["features.email", "features.emial", "payload.user.name", "payload.usr.name"], "drop"
    )
    redact = Redactor(redact_settings(fields | {"key": "hash"}))
    for number in range(3000):
        payload = {"user": {"name": "x"}} if number == 5 else None
        redact((NOON_NS, {"Email": "x", "n": 1}, payload, None, None, None, None, 1.0))
    [line] = caplog.records
    assert "none of the first 1000 requests had features.emial, payload.usr.name, which" in line.getMessage()
