"""Security settings reach Kafka's client, and a refused login is survived and named."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import broker as broker_module
import pytest
from broker import Broker
from gnomon_capture import CaptureSettings, Mirror
from gnomon_capture.address import KafkaAddress
from gnomon_capture.errors import TrafficError
from gnomon_capture.kafka import KafkaTransport

Reader = Callable[..., Any]

LOGIN = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": "web",
    "bootstrap_timeout_ms": 15_000,  # on a busy machine a login takes long
}


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Broker, str]]:
    """A broker with a second listener that wants a login, and that listener's address."""
    [port] = broker_module._free_ports(1)
    host = broker_module.HOST
    extra = (
        f"listeners=BROKER://{{host}}:{{port}},CONTROLLER://{{host}}:{{controller_port}},GUARDED://{host}:{port}\n"
        f"advertised.listeners=BROKER://{{host}}:{{port}},GUARDED://{host}:{port}\n"
        "listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_PLAINTEXT\n"
        "listener.name.guarded.sasl.enabled.mechanisms=PLAIN\n"
        "listener.name.guarded.plain.sasl.jaas.config="
        'org.apache.kafka.common.security.plain.PlainLoginModule required user_web="right";\n'
    )
    replaced = ("listeners=", "advertised.listeners=", "listener.security.protocol.map=")
    kept = [
        line for line in broker_module.PROPERTIES.splitlines(keepends=True) if not line.startswith(replaced)
    ]
    monkeypatch.setattr(broker_module, "PROPERTIES", "".join(kept) + extra)
    with Broker() as started:
        started.create_topic("flights")
        yield started, f"{host}:{port}"


@pytest.mark.kafka
def test_a_refused_login_is_survived_and_named_and_the_right_one_works(
    guarded: tuple[Broker, str], consumed: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    broker, address = guarded
    to = f"kafka://{address}/flights"
    with pytest.raises(TrafficError, match="credentials"):
        Mirror(to, kafka={**LOGIN, "sasl_plain_password": "wrong"}, require=True)
    mirror = Mirror(to, kafka={**LOGIN, "sasl_plain_password": "wrong"})
    deadline = time.monotonic() + 60
    while not mirror.stats().away and time.monotonic() < deadline:
        mirror.record({"n": 1})
        time.sleep(0.01)
    mirror.close(0.5)
    [begun] = [one.getMessage() for one in caplog.records if "interrupted" in one.getMessage()]
    assert "check security_protocol, sasl_mechanism and the credentials" in begun
    assert "wrong" not in caplog.text
    with Mirror(to, kafka={**LOGIN, "sasl_plain_password": "right"}) as mirror:
        mirror.record({"n": 2})
    assert [one.features for one in consumed(broker.bootstrap, "flights").requests] == [{"n": 2}]


def test_what_is_passed_reaches_the_client_and_what_makes_delivery_sure_is_set() -> None:
    passed = {**LOGIN, "sasl_plain_password": "x", "ssl_cafile": "ca.pem", "ssl_check_hostname": False}
    config = KafkaTransport(KafkaAddress(("h:1",), "t"), "p", CaptureSettings(), passed)._config
    assert config.items() >= passed.items()
    assert (config["acks"], config["enable_idempotence"], config["compression_type"]) == ("all", True, "zstd")
