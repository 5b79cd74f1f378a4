"""A call that is filled in field by field is the same as one made whole."""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, fields, replace
from datetime import UTC, datetime

import pytest

from tidegauge.call import Call, Draft, sealed

START = datetime(2026, 11, 24, tzinfo=UTC)
REQUIRED = {
    "project": "p",
    "trace_id": "a" * 32,
    "span_id": "b" * 16,
    "started_at": START,
    "duration_s": 1.5,
}


def filled(**more: object) -> Call:
    draft = Draft()
    for name, value in (REQUIRED | more).items():
        setattr(draft, name, value)
    return sealed(draft)


def test_a_draft_that_is_sealed_equals_a_call_made_whole() -> None:
    whole = Call(**REQUIRED, output_tokens=7)  # type: ignore[arg-type]

    assert filled(output_tokens=7) == whole
    assert repr(filled(output_tokens=7)) == repr(whole)
    assert filled(output_tokens=8) != whole


def test_a_sealed_draft_is_frozen_and_can_be_replaced() -> None:
    call = filled()

    with pytest.raises(FrozenInstanceError):
        call.name = "other"  # type: ignore[misc]
    assert replace(call, name="other").name == "other"


def test_a_draft_knows_no_other_fields_and_shares_no_default() -> None:
    with pytest.raises(AttributeError):
        Draft().input_token = 7
    assert filled().attributes is not filled().attributes


def test_what_a_draft_lacks_has_the_default_of_a_call() -> None:
    required = {one.name for one in fields(Call) if one.default is one.default_factory is MISSING}

    assert required == REQUIRED.keys()
