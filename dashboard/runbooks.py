"""What to do when an alert fires and its cause is not plain: one short list per rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_EVERY_TIME = "Nothing fits: acknowledge, note what you looked at, and wake the service's owner."

#: Steps by the alert's rule, the quickest and likeliest first.
RUNBOOKS: Mapping[str, Sequence[str]] = {
    "latency": (
        (
            "Answers of equal length take longer. Look at time to first token on Trends: if it alone"
            " rose, requests wait (queueing, cold starts, longer inputs)."
        ),
        (
            "If time per output token rose, the model or its provider is slower: look at the"
            " provider's status page, then at another region or model."
        ),
        "Compare the services: one alone points to its last deploy, all of them to the provider.",
        "Shed load or fall back to another model if users time out.",
        _EVERY_TIME,
    ),
    "output_tokens": (
        "Answers got longer or shorter. Look for a prompt, model or parameter mark at the onset.",
        "Read three of the requests below: is the answer different, or only its length?",
        "Longer: take the prompt back, or cap max_tokens; cost and latency follow the length.",
        "Shorter: check for refusals, cut context and empty tool results.",
        _EVERY_TIME,
    ),
    "input_tokens": (
        (
            "Prompts got longer or shorter. Longer: a history that is not cut, a retrieval that returns"
            " more, a template with a new part."
        ),
        "Shorter: a retrieval that returns nothing, or context that is dropped.",
        "Read two requests from before and two from now side by side.",
        _EVERY_TIME,
    ),
    "truncation": (
        "More answers stop at the token limit. Look at max_tokens now and before.",
        "If the limit fell, set it back. If answers got longer, mend the prompt or raise the limit.",
        "Check whether a program reads these answers: cut JSON breaks it downstream.",
        _EVERY_TIME,
    ),
    "errors": (
        (
            "More calls fail. Look at the error types below: rate_limit (slow down, raise the quota),"
            " timeout (see latency), auth (a key expired), server (the provider)."
        ),
        "One service alone: its last deploy. All services: the provider's status page.",
        "Switch to the fallback model if there is one.",
        _EVERY_TIME,
    ),
    "prompt": (
        (
            "A system prompt changed while neither its version nor the deploy did. Ask the owner"
            " whether this was planned."
        ),
        "Look at output length and truncation since the change.",
        "If nobody knows of it: restore the text before, and find out who may edit it.",
        "If it was planned: acknowledge; next time send a prompt version or a release with it.",
        _EVERY_TIME,
    ),
}
