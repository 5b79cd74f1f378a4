from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.errors import error_of, went_away
from collector.dialects.names import named
from collector.raw import RawSpan
from tests.collector.dialects.spans import a_raw_span, an_event

OK, ERROR = 1, 2


def error(raw: RawSpan) -> tuple[str | None, int | None]:
    return error_of(raw, named(raw.attributes))


@pytest.mark.parametrize(
    ("attributes", "message", "expected"),
    [
        (
            {"error.type": "openai.RateLimitError"},
            "Error code: 429 - slow down",
            ("rate_limit", 429),
        ),
        ({"error.type": "APITimeoutError"}, "Request timed out.", ("timeout", None)),
        ({"error.type": "429"}, "", ("rate_limit", 429)),
        ({"error.type": 503}, "", ("overloaded", 503)),
        ({"error.type": "x", "http.response.status_code": 401}, "", ("auth", 401)),
        ({"error.type": "ThrottlingException", "http.status_code": 200}, "", ("rate_limit", 200)),
        ({"error.type": "overloaded_error"}, "", ("overloaded", None)),
        ({"error.type": "<class 'openai.BadRequestError'>"}, "", ("bad_request", None)),
        ({"error.type": "my.module.OddError"}, "", ("OddError", None)),
        ({"error.type": "ContentFilterError"}, "", ("content", None)),
        ({}, "Error code: 500 - {'error': ...}", ("server", 500)),
        ({}, "peer closed connection", ("connection", None)),
        ({}, "", ("other", None)),
        ({"error.type": "asyncio.CancelledError"}, "", (None, None)),
        ({"error.type": "GeneratorExit"}, "", (None, None)),
        ({"error.type": "ResponseAborted"}, "", (None, None)),
        ({"error.type": "openai.APIUserAbortError"}, "Request was aborted.", (None, None)),
        ({"error.type": "AbortError"}, "This operation was aborted", (None, None)),
        ({"error.type": "DOMException"}, "This operation was aborted", (None, None)),
        ({"error.type": "context.Canceled"}, "", (None, None)),
        ({"error.type": "*url.Error"}, 'Post "https://x": context canceled', (None, None)),
        ({"error.type": "starlette.requests.ClientDisconnect"}, "", (None, None)),
        ({"error.type": "java.util.concurrent.CancellationException"}, "", (None, None)),
        # .NET has one class for both.
        ({"error.type": "System.Threading.Tasks.TaskCanceledException"}, "", (None, None)),
        (
            {"error.type": "System.Threading.Tasks.TaskCanceledException"},
            "The request was canceled due to the configured HttpClient.Timeout of 100 seconds",
            ("timeout", None),
        ),
    ],
)
def test_errors_have_one_vocabulary(
    attributes: dict[str, Any], message: str, expected: tuple[str | None, int | None]
) -> None:
    assert error(a_raw_span(attributes, status=ERROR, status_message=message)) == expected


def test_an_exception_counts_unless_the_span_says_that_all_went_well() -> None:
    events = (an_event("exception", {"exception.type": "openai.InternalServerError"}),)

    assert error(a_raw_span(events=events)) == ("server", None)
    assert error(a_raw_span(events=events, status=OK)) == (None, None)


def test_a_good_call_has_a_status_and_no_error() -> None:
    assert error(a_raw_span({"http.response.status_code": 200})) == (None, 200)


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        (None, "Subscription was cancelled by billing", ("other", None)),
        ("openai.APIError", "upstream: request cancelled, backend crashed", ("APIError", None)),
        ("ServerError", "The server cancelled the stream: INTERNAL", ("server", None)),
        (None, "the server cancelled: status 503", ("overloaded", 503)),
        ("499", "", (None, 499)),
        ("CANCELLED", "", (None, None)),
    ],
)
def test_only_the_kind_of_an_error_tells_that_the_client_gave_up(
    kind: str | None, message: str, expected: tuple[str | None, int | None]
) -> None:
    attributes = {"error.type": kind} if kind else {}
    assert error(a_raw_span(attributes, status=ERROR, status_message=message)) == expected


def test_a_client_that_gave_up_is_known_apart_from_an_error() -> None:
    closed = (an_event("exception", {"exception.type": "GeneratorExit"}),)

    assert went_away(a_raw_span(events=closed), {})
    assert went_away(a_raw_span(status=ERROR, status_message="context canceled"), {})
    assert not went_away(a_raw_span(status=ERROR, status_message="Error code: 500"), {})
    assert not went_away(a_raw_span(events=closed, status=OK), {})
    assert not went_away(a_raw_span(), {})


INCOMPLETE = (
    "Error getting response: {'error': \"Responses stream ended with terminal event "
    "`response.incomplete`. status=incomplete; incomplete_details=IncompleteDetails("
    "reason='max_output_tokens').\"}"
)


def test_an_error_that_is_raised_for_a_cut_answer_is_none_of_the_provider() -> None:
    raw = a_raw_span(status=ERROR, status_message=INCOMPLETE)

    assert error(raw) == (None, None)
    assert not went_away(raw, {})


def test_a_message_that_only_names_the_limit_is_an_error() -> None:
    raw = a_raw_span(
        {"http.response.status_code": 400},
        status=ERROR,
        status_message="Invalid 'max_output_tokens': integer below minimum value",
    )

    assert error(raw) == ("bad_request", 400)


@pytest.mark.parametrize("kind", ["AI_APICallError", "agno.exceptions.ModelProviderError"])
def test_the_wording_of_openai_tells_of_its_servers(kind: str) -> None:
    message = "The server had an error while processing your request. Sorry about that!"
    event = an_event("exception", {"exception.type": kind, "exception.message": message})

    assert error(a_raw_span(status=ERROR, events=(event,))) == ("server", None)
