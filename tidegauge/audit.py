"""What is missing or doubtful in what an instrumentation tells, and what to change in the app."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from tidegauge.audit_rules import AUDIT_RULES
from tidegauge.audit_traps import CONTENT, CONTENT_OF_OTHERS, traps_of

LEAST_SHARE = 0.01  # rarer than this it is an accident of single calls, not of the instrumentation
METRIC_TOLERANCE = 0.05  # of an application's own metric; the last minute of a window differs
_UNSURE, _ADJUSTED = "unsure", "adjusted"
_SAID_BY_COUNTS = frozenset({"stream_without_usage", "usage_missing"})  # see _CHECKS


class Level(StrEnum):
    """Whether something is to be done."""

    PROBLEM = "problem"  # a number is wrong, doubtful or missing
    NOTE = "note"  # good to know; often the library cannot do better


class Counts(NamedTuple):
    """Calls of one group by what holds for them. The names are those of ``store/audits.py``."""

    calls: int = 0
    answered: int = 0  # ended without an error
    texts: int = 0  # of these, all but embeddings and reranking
    streams: int = 0  # of these, those that are known to stream
    priced_by_app: int = 0  # with a cost of ours and one of the application
    looks_like_call: int = 0  # spans that no dialect reads, by their names
    no_usage_on_streams: int = 0
    no_usage: int = 0
    no_finish_reason: int = 0
    no_response_model: int = 0
    no_response_id: int = 0
    streaming_unknown: int = 0
    no_first_token: int = 0
    no_content: int = 0
    unpriced: int = 0
    app_cost_differs: int = 0
    no_use_case: int = 0
    clock_invalid: int = 0

    def plus(self, other: Counts) -> Counts:
        """Return the sum."""
        return Counts(*map(sum, zip(self, other, strict=True)))


class Group(NamedTuple):
    """What an operator can change at once: one library in one service, with one model."""

    service: str
    dialect: str
    library: str | None
    library_version: str | None
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the calls of one group told. ``rules``: calls by (tokens_audit, its rule)."""

    group: Group
    counts: Counts
    rules: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Twice:
    """Spans of one library that only repeat calls which another one tells of."""

    service: str
    library: str | None
    library_version: str | None
    other_service: str
    other_library: str | None
    other_version: str | None
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """Tokens of a service and model by its own metric and by its calls; type: input, output."""

    service: str
    model: str
    type: str
    by_metric: int
    by_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One thing about a group: how many of how many calls, what it means, what to do."""

    rule: str
    level: Level
    calls: int
    of: int
    meaning: str
    fix: str

    @property
    def share(self) -> float:
        """Return ``calls`` as a share of those that it could be true of."""
        return self.calls / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """A group and what there is to say of it, problems first."""

    group: Group
    calls: int
    remarks: Sequence[Remark]


class _Check(NamedTuple):
    """What a count means. ``of`` names the count it is a share of."""

    rule: str
    level: Level
    of: str
    meaning: str
    fix: str | Callable[[Group], str]


def _content_fix(group: Group) -> str:
    return CONTENT.get(group.dialect, CONTENT_OF_OTHERS)


_PROBLEM, _NOTE = Level.PROBLEM, Level.NOTE
_CHECKS = (
    _Check(
        "no_usage_on_streams", _PROBLEM, "streams", "streams without token counts",
        "Set stream_options={'include_usage': true} on streamed requests; without it the provider "
        "does not tell the counts of a stream.",
    ),
    _Check(
        "no_usage", _PROBLEM, "answered", "answers without token counts",
        "Where they stream, set stream_options={'include_usage': true}; else update the "
        "instrumentation, or switch on the content that it reads the counts from.",
    ),
    _Check(
        "no_finish_reason", _PROBLEM, "texts", "answers that do not say why they ended",
        "Update the instrumentation. Until then set max_tokens: an answer that reaches it is taken "
        "as cut off.",
    ),
    _Check(
        "unpriced", _PROBLEM, "answered", "calls whose tokens are known and whose model has no price",
        "Add the model to [prices] in tidegauge.toml; tidegauge prices lists all of them.",
    ),
    _Check(
        "app_cost_differs", _PROBLEM, "priced_by_app",
        "calls for which the app itself names a cost that is more than 5 % from ours",
        "Compare one call with the provider's bill. Ours is the list price of its day: a discount "
        "belongs into [prices] in tidegauge.toml; else the app's own price list is old.",
    ),
    _Check(
        "clock_invalid", _PROBLEM, "calls",
        "calls whose clock is wrong: kept, and left out of all statistics",
        "Synchronise the clock of the machine (NTP); a span that ends before it starts is a fault "
        "of its instrumentation.",
    ),
    _Check(
        "looks_like_call", _PROBLEM, "looks_like_call",
        "spans that look like model calls and are in no convention that is read here",
        "Use one of the instrumentations in docs/dialects.md, or give these spans "
        "gen_ai.operation.name, gen_ai.request.model and gen_ai.usage.*.",
    ),
    _Check(
        "no_response_model", _NOTE, "answered", "answers that do not name the model that gave them",
        "Update the instrumentation: without it a provider that moves an alias to another model "
        "goes unnoticed.",
    ),
    _Check(
        "no_response_id", _NOTE, "texts", "answers without the provider's id of the response",
        "Update the instrumentation: the id joins evaluations that come later, and the same call "
        "told by two libraries in two traces.",
    ),
    _Check(
        "streaming_unknown", _NOTE, "texts", "calls that do not say whether they stream",
        "Newer versions send gen_ai.request.stream; an app can set it on the span itself.",
    ),
    _Check(
        "no_first_token", _NOTE, "streams", "streams without the time to their first token",
        "Use an instrumentation that tells it (gen_ai.response.time_to_first_chunk, or an event at "
        "the first piece).",
    ),
    _Check(
        "no_content", _NOTE, "answered",
        "calls without their messages: no prompt checksum, no check of the output, no repeats",
        _content_fix,
    ),
    _Check(
        "no_use_case", _NOTE, "calls", "calls that nothing gives a use case: all are 'default'",
        "Set tidegauge.use_case on the span or the resource, or name the prompt, the agent or the "
        "workflow.",
    ),
)  # fmt: skip


def audited(
    told: Iterable[Told], twice: Iterable[Twice] = (), metered: Iterable[Metered] = ()
) -> list[Audited]:
    """Return every group with what there is to say of it: those with problems first, then by calls.

    What is true of a service as a whole stands at a group without a library.
    """
    found = [
        Audited(group=one.group, calls=_size(one.counts), remarks=_ordered(_remarks(one)))
        for one in told
    ]
    found += [_of_twice(one) for one in twice]
    found += [_of_metric(one) for one in metered if _differs(one)]
    return sorted(found, key=lambda one: (not _is_problem(one), -one.calls, str(one.group)))


def problems(found: Iterable[Audited]) -> int:
    """Return how many remarks are problems."""
    return sum(remark.level is Level.PROBLEM for one in found for remark in one.remarks)


def _size(counts: Counts) -> int:
    return counts.calls or counts.looks_like_call


def _is_problem(one: Audited) -> bool:
    return any(remark.level is Level.PROBLEM for remark in one.remarks)


def _remarks(told: Told) -> Iterator[Remark]:
    yield from _of_names(told)
    yield from _of_counts(told)
    yield from _of_rules(told)
    if told.counts.calls:
        yield from _of_traps(told)


def _of_names(told: Told) -> Iterator[Remark]:
    """Return what the names of the group say by themselves."""
    group, calls = told.group, _size(told.counts)
    whole = {"calls": calls, "of": calls}
    if group.service.startswith("unknown_service"):
        yield Remark(
            rule="no_service_name", level=Level.PROBLEM, **whole,
            meaning="calls of a service without a name: several such apps look like one",
            fix="Set OTEL_SERVICE_NAME, or service.name on the resource.",
        )  # fmt: skip
    if told.counts.calls and group.model == "unknown":
        yield Remark(
            rule="no_model", level=Level.PROBLEM, **whole,
            meaning="calls that name no model: no price, and one series for all models",
            fix="Set gen_ai.request.model on the span, or switch on the content it is read from.",
        )  # fmt: skip
    if told.counts.calls and group.dialect == "generic":
        yield Remark(
            rule="generic_dialect", level=Level.NOTE, **whole,
            meaning="calls in no convention that is known here, read by general rules",
            fix="Compare one of them with what the app really sent, on the Requests page.",
        )  # fmt: skip


def _of_counts(told: Told) -> Iterator[Remark]:
    for check in _CHECKS:
        number, of = getattr(told.counts, check.rule), getattr(told.counts, check.of)
        # A model that is not named has no price either: that is said already.
        nameless = check.rule == "unpriced" and told.group.model == "unknown"
        if number and number >= LEAST_SHARE * of and not nameless:
            fix = check.fix if isinstance(check.fix, str) else check.fix(told.group)
            yield Remark(
                rule=check.rule, level=check.level, calls=number, of=of,
                meaning=check.meaning, fix=fix,
            )  # fmt: skip


def _of_rules(told: Told) -> Iterator[Remark]:
    """Return what the token audit of each call said."""
    for (audit, rule), number in sorted(told.rules.items(), key=lambda pair: -pair[1]):
        if audit not in (_UNSURE, _ADJUSTED) or rule in _SAID_BY_COUNTS:
            continue
        known = AUDIT_RULES.get(rule)
        yield Remark(
            rule=f"tokens_{audit}:{rule}",
            level=Level.PROBLEM if audit == _UNSURE else Level.NOTE,
            calls=number,
            of=told.counts.calls,
            meaning=known.meaning if known else f"Token counts are {audit} by the rule {rule}.",
            fix=known.fix if known else "Compare one call with the provider's own answer.",
        )


def _of_traps(told: Told) -> Iterator[Remark]:
    calls = told.counts.calls
    for trap in traps_of(told.group.library, told.group.library_version):
        yield Remark(
            rule=f"trap:{trap.rule}", level=Level.NOTE, calls=calls, of=calls,
            meaning=trap.meaning, fix=trap.fix,
        )  # fmt: skip


def _of_twice(one: Twice) -> Audited:
    mine = _name(one.library, one.library_version)
    other = _name(one.other_library, one.other_version)
    if one.service != one.other_service:
        meaning = f"calls are told from both ends, also by {one.other_service} with {other}"
        fix = "Nothing: each is counted once."
    elif one.library == one.other_library:
        meaning, fix = f"spans of {mine} repeat calls of its own", "Nothing: each is counted once."
    else:
        meaning = f"the same calls are told by {mine} and by {other}"
        fix = f"Each is counted once. Switch one of the two off to send less: {mine} is left out."
    return Audited(
        group=Group(one.service, "", one.library, one.library_version, ""),
        calls=one.calls,
        remarks=[
            Remark(
                rule="duplicate", level=Level.NOTE, calls=one.calls, of=one.calls,
                meaning=meaning, fix=fix,
            )
        ],
    )  # fmt: skip


def _name(library: str | None, version: str | None) -> str:
    return " ".join(filter(None, (library or "a library without a name", version)))


def _differs(one: Metered) -> bool:
    return abs(one.by_calls - one.by_metric) > METRIC_TOLERANCE * one.by_metric


def _of_metric(one: Metered) -> Audited:
    less = one.by_calls < one.by_metric
    fix = (
        "Spans are missing: look for a sampler, for streams without usage, and for rejected spans "
        "in tidegauge ledger."
        if less
        else "A call is counted twice, or the metric is not sent for every call (streams, errors)."
    )
    return Audited(
        group=Group(one.service, "", None, None, one.model),
        calls=0,
        remarks=[
            Remark(
                rule="metric_differs", level=Level.PROBLEM, calls=one.by_calls, of=one.by_metric,
                meaning=f"{one.type} tokens of the calls, as a share of the app's own metric",
                fix=fix,
            )
        ],
    )  # fmt: skip


def _ordered(remarks: Iterable[Remark]) -> list[Remark]:
    return sorted(remarks, key=lambda one: (one.level is not Level.PROBLEM, -one.share))
