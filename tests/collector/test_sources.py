from __future__ import annotations

from collector.capture import Plan
from collector.sender import Sender
from collector.sources import SOURCE_CHARS, source_of, unnamed
from tidegauge.source import Source

SECRET = "sk-proj-a0b1e2j3q4z5k6x7m8d9000"  # noqa: S105 (invented)
SDK = {
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.45.2",
}


def test_a_source_is_what_its_resource_and_its_request_say() -> None:
    sender = Sender("shop", "k1", "OTel/1.45.2")
    assert source_of({"service.name": "bot", **SDK}, sender, Plan()) == Source(
        "shop", "k1", "bot", "python/opentelemetry 1.45.2", "OTel/1.45.2"
    )
    assert unnamed(sender, Plan()) == Source("shop", "k1", user_agent="OTel/1.45.2")


def test_a_sender_that_says_nothing_has_a_name_all_the_same() -> None:
    assert source_of({}, Sender("shop"), Plan()) == Source("shop", "", "unknown_service", "unknown")
    told = source_of({"telemetry.sdk.language": "go"}, Sender("shop"), Plan())
    assert told.sdk == "go/? ?"


def test_no_secret_and_no_long_text_gets_into_the_ledger() -> None:
    long = "x" * (SOURCE_CHARS - 10) + f" {SECRET}"  # the cut would leave a part of it
    sender = Sender("shop", user_agent=f"agent/1 {SECRET}")
    resource = {"service.name": long, "telemetry.sdk.version": f"1 {SECRET}"}
    for source in (source_of(resource, sender, Plan()), unnamed(sender, Plan())):
        told = f"{source.service} {source.sdk} {source.user_agent}"
        assert SECRET[:12] not in told
        assert max(map(len, (source.service, source.sdk, source.user_agent))) <= SOURCE_CHARS
