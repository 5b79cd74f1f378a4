"""Expected errors in one line: what is wrong, and what to do next."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_settings import SettingsError

from tidegauge.commands.options import UnknownSetting
from tidegauge.policy import BadPolicy
from tidegauge.settings import Settings
from tidegauge.supervise import CannotStart

_PRIVATE = {"webhook_secret", "database_url"}


def explain(error: Exception) -> str | None:
    """Return ``error`` in one line. If it is none that we expect, return None."""
    if isinstance(error, UnknownSetting | BadPolicy | CannotStart):
        return str(error)
    if isinstance(error, ValidationError):
        return "; ".join(_bad_value(error))
    if isinstance(error, SettingsError):
        return f"{error}; correct the environment variable"
    return _of_the_webhook(error) or _of_the_store(error)


def _bad_value(error: ValidationError) -> list[str]:
    """Return one sentence per bad setting, with the variable that sets it."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        # A database's address may hold a password.
        given = "" if name in _PRIVATE else f" (given: {str(problem['input'])[:80]!r})"
        known = Settings.model_fields.get(name)
        meant = f"; it means: {known.description}" if known and known.description else ""
        lines.append(f"TIDEGAUGE_{name.upper()}: {problem['msg']}{given}{meant}")
    return lines


def _of_the_webhook(error: Exception) -> str | None:
    from analysis.alerts.addresses import BadNetwork
    from analysis.alerts.signature import BadSecret

    if isinstance(error, BadSecret | BadNetwork):
        return f"{error} (docs/webhooks.md says how to set it up)"
    return None


def _of_the_store(error: Exception) -> str | None:
    # Late: a verb that does not touch the store must not wait for SQLAlchemy to load.
    from tidegauge.store.engine import StoreBusy, StoreUnusable

    if isinstance(error, StoreUnusable):
        return str(error)
    if isinstance(error, StoreBusy):
        return f"the database does not answer: {error}; check that it runs, then try again"
    return None
