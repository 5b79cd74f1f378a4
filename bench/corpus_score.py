"""What we read of a recorded payload against what the model server did, field by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.corpus_cases import Case, Truth
from collector.dialects.finish import reasons
from tidegauge.call import Call

EITHER = "either"  # both answers are right

#: Every field that is compared, and how a call answers; the columns of the table, in order.
FIELDS: dict[str, Callable[[Call], Any]] = {
    "input": lambda call: call.input_tokens,
    "output": lambda call: call.output_tokens,
    "cached": lambda call: call.cached_input_tokens,
    "cache_write": lambda call: call.cache_write_tokens,
    "reasoning": lambda call: call.reasoning_tokens,
    "request_model": lambda call: call.request_model,
    "response_model": lambda call: call.response_model,
    "finish": lambda call: call.finish_reasons,
    "truncated": lambda call: bool(call.truncated),
    "error": lambda call: call.failed,
    "no_error": lambda call: not call.failed,
    "streaming": lambda call: call.streaming,
    "ttft": lambda call: call.time_to_first_token_s is not None,
}


@dataclass(frozen=True, slots=True)
class Miss:
    """One field of one call that is not what the truth says."""

    case: str  # instrumentation/case
    field: str
    ours: Any
    truth: Any
    reference: list[int]  # [right, asked] of the field in this case


@dataclass(slots=True)
class Score:
    """What was found of what was asked, in one case or in many."""

    asked: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    reference: Counter[str] = field(default_factory=Counter)  # right, of a careful reading
    cases: int = 0
    over: int = 0
    misses: list[Miss] = field(default_factory=list)

    def add(self, other: Score) -> None:
        """Add what another score counted."""
        self.asked += other.asked
        self.right += other.right
        self.reference += other.reference
        self.cases += other.cases
        self.over += other.over
        self.misses += other.misses


def logical(truth: Truth) -> list[Truth]:
    """Return the calls that the application made: of those tried again, the last attempt."""
    calls: list[Truth] = list(truth["calls"])
    again = len(calls) - truth["inference_calls"]
    failed = [call for call in calls[:-1] if call.get("error")][: max(again, 0)]
    return [call for call in calls if not any(call is one for one in failed)]


def asked(true: Truth) -> Truth:
    """Return what can be asked of one call: not what its client never saw."""
    if true.get("error") and true["status"] != 200:
        return {"error": True}
    if true.get("client_timeout"):
        return {"error": True}
    # A stream that broke after its head: an error of the transport that not every library sees.
    broken = EITHER if true.get("error") else True
    told: Truth = {"request_model": true["request_model"], "no_error": broken}
    if true["operation"] != "embeddings" and true.get("response_model"):
        told["response_model"] = true["response_model"]
    seen = not true.get("client_aborted")  # the end of a stream, where both stand
    told |= _asked_of_usage(true) if seen and true.get("usage_sent") else {}
    if seen and true.get("finish_reasons"):
        told |= {"finish": reasons(true["finish_reasons"]), "truncated": true["truncated"]}
    return told | ({"streaming": True, "ttft": True} if true.get("stream") else {})


def _asked_of_usage(true: Truth) -> Truth:
    told: Truth = {"input": true["input_tokens"]}
    subsets = {"cached": "cached", "cache_write": "cache_creation", "reasoning": "reasoning"}
    sent = {"output": "output", **subsets}
    return told | {
        name: true[f"{key}_tokens"] for name, key in sent.items() if true.get(f"{key}_tokens")
    }


def pairs(calls: Sequence[Call], true: Sequence[Truth]) -> list[tuple[Call | None, Truth]]:
    """Return each true call with ours: by its response id, else in the order of time."""
    by_id = {call.response_id: call for call in calls if call.response_id}
    named = [by_id.pop(one.get("response_id") or "", None) for one in true]
    taken = {id(call) for call in named if call is not None}
    left = sorted((c for c in calls if id(c) not in taken), key=lambda call: call.started_at)
    return [(ours or _next(left, one), one) for ours, one in zip(named, true, strict=True)]


def _next(left: list[Call], true: Truth) -> Call | None:
    """Take the first call that is left, of the same kind where there is one."""
    alike = (call for call in left if _embeds(call) == (true["operation"] == "embeddings"))
    found = next(alike, left[0] if left else None)
    if found is not None:
        left.remove(found)
    return found


def _embeds(call: Call) -> bool:
    return call.operation == "embeddings"


def score(case: Case) -> Score:
    """Return what we find of one case."""
    if not case.readable:
        return Score(cases=1)
    calls = case.calls()
    found = Score(cases=1, over=int(is_over(calls, case.truth)))
    true = case.truth["inference_calls"]
    found.asked["calls"], found.right["calls"] = true, len(calls)
    found.reference["calls"] = case.reference("found")[0]
    if len(calls) != true:
        found.misses.append(Miss(case.name, "calls", len(calls), true, case.reference("found")))
    if found.over:
        found.misses.append(_over(calls, case))
    for ours, told in pairs(calls, logical(case.truth)):
        _compare(ours, asked(told), case, found)
    for name in FIELDS:
        found.reference[name] += case.reference(name)[0]
    return found


def is_over(calls: Iterable[Call], truth: Truth) -> bool:
    """Return whether the calls have more tokens than were used."""
    used = truth["input_tokens_total"], truth["output_tokens_total"]
    return any(ours > true for ours, true in zip(tokens(calls), used, strict=True))


def tokens(calls: Iterable[Call]) -> tuple[int, int]:
    """Return the sums of input and output tokens."""
    counts = [(call.input_tokens or 0, call.output_tokens or 0) for call in calls]
    return sum(one for one, _ in counts), sum(other for _, other in counts)


def _over(calls: list[Call], case: Case) -> Miss:
    used = case.truth["input_tokens_total"], case.truth["output_tokens_total"]
    return Miss(case.name, "over", tokens(calls), used, [0, 0])


def _compare(ours: Call | None, told: Truth, case: Case, into: Score) -> None:
    for name, true in told.items():
        into.asked[name] += 1
        said = None if ours is None else FIELDS[name](ours)
        if same(name, said, true):
            into.right[name] += 1
        else:
            into.misses.append(Miss(case.name, name, said, true, case.reference(name)))


def same(name: str, ours: Any, true: Any) -> bool:
    """Return whether we say the same; of several choices in any order."""
    if true is EITHER:
        return ours is not None
    return sorted(ours or ()) == sorted(true) if name == "finish" else bool(ours == true)


def scores(all_cases: Iterable[Case]) -> dict[str, Score]:
    """Return what we find, by instrumentation."""
    found: dict[str, Score] = {}
    for case in all_cases:
        found.setdefault(case.instrumentation, Score()).add(score(case))
    return found
