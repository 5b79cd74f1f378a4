"""What the operator asks for: windows, budgets, thresholds and limits (tidegauge.toml)."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


class BadPolicy(ValueError):
    """The policy file holds something that is no policy; the message names the key and the fix."""


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


def read_policy(path: Path | None) -> Policy:
    """Return the policy of the ``[policy]`` table in ``path``. Without a file, the defaults.

    Raises BadPolicy for an unknown table or key, or a value of the wrong kind.
    """
    if path is None:
        return Policy()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadPolicy(f"{path}: cannot be read as TOML: {error}") from error
    if unknown := sorted(set(tables) - {"policy"}):
        raise BadPolicy(f"{path}: unknown '{unknown[0]}'; everything stands in a [policy] table")
    table = tables.get("policy", {})
    if not isinstance(table, dict):
        raise BadPolicy(f"{path}: 'policy' must be a table: [policy]")
    return policy_of(table, str(path))


def policy_of(table: Mapping[str, Any], where: str = "policy") -> Policy:
    """Return the policy that ``table`` asks for.

    >>> policy_of({"windows_min": [1, 5]}).windows_min
    (1, 5)
    """
    known = {field.name: field.default for field in fields(Policy)}
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
