from __future__ import annotations

import base64
from datetime import datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from analysis.alerts.signature import BadSecret, headers, key_of
from tests.alert_world import OTHER_SECRET, SECRET
from tidegauge import clock

BODY = '{"type":"alert.firing","title":"länger"}'.encode()


def signed(at: datetime, *secrets: str) -> dict[str, str]:
    return headers([key_of(one) for one in secrets], "msg_1", at, BODY)


def verify(body: bytes, given: dict[str, str], secret: str = SECRET) -> None:
    Webhook(secret).verify(body, given)


def test_the_signature_is_that_of_the_standard_library() -> None:
    at = clock.now()

    assert signed(at, SECRET)["webhook-signature"] == Webhook(SECRET).sign(
        "msg_1", at, BODY.decode()
    )


def test_a_receiver_accepts_it() -> None:
    verify(BODY, signed(clock.now(), SECRET))


def test_while_a_key_is_replaced_both_receivers_accept_it() -> None:
    given = signed(clock.now(), SECRET, OTHER_SECRET)

    verify(BODY, given)
    verify(BODY, given, OTHER_SECRET)


def test_a_time_almost_five_minutes_off_is_accepted() -> None:
    verify(BODY, signed(clock.now() - timedelta(seconds=295), SECRET))


def test_a_body_changed_by_one_byte_is_refused() -> None:
    with pytest.raises(WebhookVerificationError):
        verify(BODY.replace(b"firing", b"Firing"), signed(clock.now(), SECRET))


def test_another_secret_is_refused() -> None:
    with pytest.raises(WebhookVerificationError):
        verify(BODY, signed(clock.now(), OTHER_SECRET))


def test_an_old_attempt_is_refused() -> None:
    with pytest.raises(WebhookVerificationError):
        verify(BODY, signed(clock.now() - timedelta(seconds=305), SECRET))


def test_another_id_is_refused() -> None:
    with pytest.raises(WebhookVerificationError):
        verify(BODY, signed(clock.now(), SECRET) | {"webhook-id": "msg_2"})


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_!!!",
        base64.b64encode(b"x" * 32).decode(),  # no prefix
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
    ],
)
def test_a_secret_that_is_none_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(BadSecret) as refused:
        key_of(secret)
    assert "whsec_ and base64" in str(refused.value)
    assert len(secret) < 7 or secret not in str(refused.value)
