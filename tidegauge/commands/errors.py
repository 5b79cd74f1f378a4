"""Expected errors in one line: what is wrong, and what to do next."""

from __future__ import annotations

from tidegauge.policy import BadPolicy
from tidegauge.settings import BadSettings
from tidegauge.supervise import CannotStart


def explain(error: Exception) -> str | None:
    """Return ``error`` in one line. If it is none that we expect, return None."""
    if isinstance(error, BadSettings | BadPolicy | CannotStart):
        return str(error)
    return _of_the_webhook(error) or _of_the_store(error)


def _of_the_webhook(error: Exception) -> str | None:
    from analysis.alerts.addresses import BadNetwork
    from analysis.alerts.signature import BadSecret

    if isinstance(error, BadSecret | BadNetwork):
        return f"{error} (docs/webhooks.md says how to set it up)"
    return None


def _of_the_store(error: Exception) -> str | None:
    # Late: a verb that does not touch the store must not wait for SQLAlchemy to load.
    from tidegauge.store.engine import StoreBusy, StoreUnusable
    from tidegauge.store.keys import KeyRefused

    if isinstance(error, StoreUnusable | KeyRefused):
        return str(error)
    if isinstance(error, StoreBusy):
        return f"the database does not answer: {error}; check that it runs, then try again"
    return None
