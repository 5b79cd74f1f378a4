"""An alert as every process sees it: its state, its words, and what must be told of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from tidegauge.finding import Series

#: The rule of an alert that no number raised: a prompt's text changed and nothing said so.
PROMPT = "prompt"


class State(StrEnum):
    """Where an alert is in its life."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"  # a person has it; it is no longer repeated
    RESOLVED = "resolved"


class Severity(StrEnum):
    """What is asked of on-call, from nothing to everything."""

    INFO = "info"  # never notifies
    WARNING = "warning"  # look today
    ERROR = "error"  # users are hurt: act in working hours
    CRITICAL = "critical"  # users fail now: act now

    @property
    def rank(self) -> int:
        """Return the order of severities, 0 the mildest."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One row of an alert's evidence: a name, and its value beside the normal one."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where an alert leads; absolute addresses. Opening one changes nothing."""

    alert: str
    chart: str
    runbook: str
    silence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What on-call reads. Never prompts, outputs, users or keys."""

    title: str
    impact: str
    evidence: tuple[Evidence, ...]
    likely_cause: str
    first_action: str
    links: Links


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """A signal of a series that an alert speaks for; ``prompt`` for a silent prompt change."""

    signal: str
    series: Series

    @property
    def fingerprint(self) -> str:
        """Return a short hash of rule and series: the same for ever, no number goes into it.

        >>> Member("latency", Series("p", "s", "e", "u", "m")).fingerprint
        'f306a5342189'
        """
        one = self.series
        names = [self.signal, one.project, one.service, one.environment, one.use_case, one.model]
        return hashlib.blake2b(json.dumps(names).encode(), digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Findings grouped for a person, with a life cycle. Times are UTC."""

    alert_id: str  # A-<12 hex>
    fingerprint: str
    signal: str  # of the member that leads; the rule's name
    series: Series
    members: tuple[Member, ...]  # all it speaks for, the leading one first
    state: State
    severity: Severity
    opened_at: datetime
    starts_at: datetime  # when the number left its range, or the prompt changed
    updated_at: datetime  # of the last message
    ends_at: datetime | None = None
    sequence: int = 1  # rises with every message of this fingerprint
    calm_since: datetime | None = None  # first usual look in a row, while it is open
    acknowledged_by: str | None = None
    text: Text

    @property
    def title(self) -> str:
        """Return the one line a phone shows."""
        return self.text.title


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that must be told of an alert: what a row of the outbox carries."""

    kind: str  # alert.firing, alert.updated, alert.acknowledged, alert.resolved
    at: datetime
    reason: str  # lifecycle's Why, as a word
    alert: Alert


def alert_id(fingerprint: str, opened_at: datetime) -> str:
    """Return the id of the alert of ``fingerprint`` opened then; a second run gives the same."""
    name = f"{fingerprint}/{opened_at.isoformat()}".encode()
    return f"A-{hashlib.blake2b(name, digest_size=6).hexdigest()}"


def dump_text(text: Text) -> str:
    """Return ``text`` as JSON."""
    return json.dumps(asdict(text), ensure_ascii=False)


def load_text(raw: str) -> Text:
    """Return the text that dump_text wrote."""
    return _text(json.loads(raw))


def dump_members(members: tuple[Member, ...]) -> str:
    """Return ``members`` as JSON."""
    return json.dumps([asdict(member) for member in members], ensure_ascii=False)


def load_members(raw: str) -> tuple[Member, ...]:
    """Return the members that dump_members wrote."""
    return tuple(_member(one) for one in json.loads(raw))


def dump_notice(notice: Notice) -> str:
    """Return ``notice`` as JSON."""
    return json.dumps(asdict(notice), ensure_ascii=False, default=datetime.isoformat)


def load_notice(raw: str) -> Notice:
    """Return the notice that dump_notice wrote."""
    fields = json.loads(raw)
    alert = fields["alert"]
    for name in ("opened_at", "starts_at", "updated_at", "ends_at", "calm_since"):
        alert[name] = None if alert[name] is None else datetime.fromisoformat(alert[name])
    alert["series"] = Series(**alert["series"])
    alert["members"] = tuple(_member(one) for one in alert["members"])
    alert["state"], alert["severity"] = State(alert["state"]), Severity(alert["severity"])
    alert["text"] = _text(alert["text"])
    at = datetime.fromisoformat(fields["at"])
    return Notice(kind=fields["kind"], at=at, reason=fields["reason"], alert=Alert(**alert))


def _text(fields: Mapping[str, Any]) -> Text:
    evidence = tuple(Evidence(**row) for row in fields["evidence"])
    return Text(**{**fields, "evidence": evidence, "links": Links(**fields["links"])})


def _member(fields: Mapping[str, Any]) -> Member:
    return Member(fields["signal"], Series(**fields["series"]))
