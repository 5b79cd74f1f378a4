"""The demo's receiver against the reference library of Standard Webhooks."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from tidegauge.demo.receiver import Receiver, is_genuine

SECRET = "whsec_" + "c2VjcmV0LW9mLXR3ZW50eS1mb3VyLWI="
OTHER = "whsec_" + "YW5vdGhlci1vZi10d2VudHktZm91ci0="
AT = datetime(2026, 1, 15, 12, tzinfo=UTC)
BODY = json.dumps({"type": "alert.firing", "data": {"title": "slow"}})


def signed(secret: str = SECRET) -> dict[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(AT.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", AT, BODY),
    }


def test_a_message_signed_by_the_reference_library_is_genuine() -> None:
    assert is_genuine(signed(), BODY.encode(), SECRET, AT.timestamp())


def test_one_right_signature_among_several_is_enough() -> None:
    both = signed()["webhook-signature"] + " " + signed(OTHER)["webhook-signature"]

    assert is_genuine({**signed(), "webhook-signature": both}, BODY.encode(), OTHER, AT.timestamp())


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_message_without_one_of_the_headers_is_not_genuine(missing: str) -> None:
    headers = {name: value for name, value in signed().items() if name != missing}

    assert not is_genuine(headers, BODY.encode(), SECRET, AT.timestamp())


def test_another_secret_another_body_or_another_id_is_not_genuine() -> None:
    at = AT.timestamp()

    assert not is_genuine(signed(OTHER), BODY.encode(), SECRET, at)
    assert not is_genuine(signed(), BODY.encode() + b" ", SECRET, at)
    assert not is_genuine({**signed(), "webhook-id": "msg_2"}, BODY.encode(), SECRET, at)


@pytest.mark.parametrize(("late_s", "genuine"), [(299, True), (301, False), (-301, False)])
def test_a_message_older_or_newer_than_five_minutes_is_refused(late_s: int, genuine: bool) -> None:
    assert is_genuine(signed(), BODY.encode(), SECRET, AT.timestamp() + late_s) is genuine


def post(url: str, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, BODY.encode(), headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_only_genuine_messages_are_kept() -> None:
    with Receiver(SECRET, AT.timestamp) as receiver:
        refused = post(receiver.url, signed(OTHER))
        taken = post(receiver.url, signed())

        assert (refused, taken) == (401, 204)
        assert receiver.pages.get_nowait().data["title"] == "slow"
        assert receiver.pages.empty()
        assert (receiver.refused.get_nowait(), receiver.refused.empty()) == ("msg_1", True)
