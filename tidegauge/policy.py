"""What the operator asks for: windows, budgets, thresholds and limits (tidegauge.toml)."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from tidegauge.price_overrides import BadPrice, OwnPrice, prices_of

EVERY = "*"  # the name of the [projects."*"] table: what projects without their own keys have


class BadPolicy(ValueError):
    """The policy file holds something that is no policy; the message names the key and the fix."""


class Capture(StrEnum):
    """What is kept of the messages of a project. Numbers and checksums always are."""

    FULL = "full"  # as they were sent, without secrets
    REDACTED = "redacted"  # without e-mail, phone and IP addresses, too
    HASH = "hash"  # a digest of each: equal ones can be told, none can be read
    OFF = "off"  # nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What is kept of one project's spans, and for how long: a ``[projects.NAME]`` table.

    >>> Project(content_days=7).numbers_days
    400
    """

    capture: Capture = Capture.FULL  # of messages: full, redacted, hash or off
    content_days: int = 30  # messages and attributes are kept this long after the call, days
    numbers_days: int = 400  # calls, rollups and counts are kept this long, days
    redact_names: tuple[str, ...] = ()  # more names whose values are secrets: ["iban"]
    redact_patterns: tuple[str, ...] = ()  # more secrets, as RE2 patterns: ['CUST-\\d{4,}']


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Every knob of detection and alerting, with its default. Units are in the names.

    >>> Policy(min_calls=50).min_calls
    50
    """

    windows_min: tuple[int, ...] = (5, 15, 60)  # lengths of the windows looked at, minutes
    settle_s: int = 60  # a minute is scored this long after its end, seconds
    confirm_windows: int = 2  # windows in a row that must have moved before an alert opens
    calm_min: int = 15  # minutes of usual windows before an alert resolves
    min_calls: int = 200  # calls a window needs before it can alarm
    alarms_per_week: float = 2.0  # the alarm budget, over everything
    latency_effect: float = 0.20  # smallest move that a person is told of: share of the usual
    tokens_effect: float = 0.15  # the same for input and output length
    rate_effect_points: float = 0.02  # the same for truncation and errors: absolute share
    repeat_h: float = 4.0  # a firing, unacknowledged alert is sent again after this, hours
    max_series: int = 2000  # series a project may have before the rest becomes __other__
    sample_share: float = 0.002  # share of all calls put before a reviewer at random
    flags_per_hour: int = 20  # per service and reason, so that one bad hour cannot fill the queue
    projects: Mapping[str, Project] = field(default_factory=dict)
    prices: Mapping[str, tuple[OwnPrice, ...]] = field(default_factory=dict)

    def project(self, name: str) -> Project:
        """Return what holds for a project: its own table, else the one for all."""
        return self.projects.get(name) or self.projects.get(EVERY) or Project()


_TABLES = ("projects", "prices")  # fields of Policy that are tables of their own


def knobs() -> dict[str, Any]:
    """Return the keys of the ``[policy]`` table with their defaults."""
    return {field.name: field.default for field in fields(Policy) if field.name not in _TABLES}


def read_policy(path: Path | None) -> Policy:
    """Return the policy of ``[policy]``, ``[projects]`` and ``[prices]`` in ``path``.

    Without a file, the defaults. Raises BadPolicy for an unknown table or key, or a value of the
    wrong kind.
    """
    if path is None:
        return Policy()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadPolicy(f"{path}: cannot be read as TOML: {error}") from error
    if unknown := sorted(set(tables) - {"policy", *_TABLES}):
        raise BadPolicy(
            f"{path}: unknown '{unknown[0]}'; "
            'everything stands in a [policy], [projects.NAME] or [prices."MODEL"] table'
        )
    policy = policy_of(_table(tables, "policy", path), str(path))
    projects = projects_of(_table(tables, "projects", path), str(path))
    try:
        prices = prices_of(_table(tables, "prices", path), str(path))
    except BadPrice as error:
        raise BadPolicy(str(error)) from None
    return replace(policy, projects=projects, prices=prices)


def _table(tables: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise BadPolicy(f"{path}: '{name}' must be a table: [{name}]")
    return table


def projects_of(tables: Mapping[str, Any], where: str = "policy") -> dict[str, Project]:
    """Return each project's own keys on those of ``[projects."*"]``. Raises BadPolicy.

    >>> projects_of({"*": {"content_days": 7}, "shop": {"capture": "off"}})["shop"].content_days
    7
    """
    every = _project(tables.get(EVERY, {}), Project(), f'{where}: [projects."*"]')
    found = {
        name: _project(table, every, f"{where}: [projects.{name}]")
        for name, table in tables.items()
    }
    return {EVERY: every, **found} if tables else {}


def _project(table: object, base: Project, where: str) -> Project:
    if not isinstance(table, Mapping):
        raise BadPolicy(f"{where} must be a table")
    known = {field.name: field.default for field in fields(Project)}
    for key, value in table.items():
        if key not in known:
            raise BadPolicy(f"{where}: unknown key '{key}'; known are {', '.join(sorted(known))}")
        if fault := _fault(value, known[key]):
            raise BadPolicy(f"{where}: '{key}' must be {fault}, not {value!r}")
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    if "capture" in given:
        given["capture"] = Capture(given["capture"])
    project = replace(base, **given)
    if project.numbers_days < project.content_days:
        raise BadPolicy(f"{where}: 'numbers_days' must not be less than 'content_days'")
    return project


def _fault(value: object, default: object) -> str | None:
    """Return what a value of a project should have been; None where it is right."""
    if isinstance(default, Capture):
        return None if value in list(Capture) else f"one of {', '.join(Capture)}"
    if isinstance(default, int):
        whole = isinstance(value, int) and not isinstance(value, bool)
        return None if whole and 1 <= value <= 36_500 else "1 to 36500 days"  # type: ignore[operator]
    texts = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    return None if texts else "a list of texts"


def policy_of(table: Mapping[str, Any], where: str = "policy") -> Policy:
    """Return the policy that ``table`` asks for.

    >>> policy_of({"windows_min": [1, 5]}).windows_min
    (1, 5)
    """
    known = knobs()
    for key, value in table.items():
        if key not in known:
            raise BadPolicy(f"{where}: unknown key '{key}'; known are {', '.join(sorted(known))}")
        if not _fits(value, known[key]):
            raise BadPolicy(f"{where}: '{key}' must look like {known[key]!r}, not {value!r}")
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    return Policy(**given)


def _fits(value: object, default: object) -> bool:
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple) or not value:
            return False
        return all(_fits(minutes, 1) and minutes > 0 for minutes in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if not 0 <= value < math.inf:  # a nan is neither
        return False
    return isinstance(value, int) or isinstance(default, float)
