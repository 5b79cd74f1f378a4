"""The receivers we speak to, by name; each turns a notice into a body, and is pure."""

from __future__ import annotations

from collections.abc import Callable

from analysis.alerts.receivers import generic
from tidegauge.alert import Notice

#: By the kind of the endpoint.
RECEIVERS: dict[str, Callable[[Notice], bytes]] = {"generic": generic.body}
