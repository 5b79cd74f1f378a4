"""Who sent something, as the ledger names them: from the key, the request and the resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.capture import Plan
from collector.redact import redacted_label
from collector.sender import Sender
from tidegauge.source import Source

SOURCE_CHARS = 200


def source_of(resource: Mapping[str, Any], sender: Sender, plan: Plan) -> Source:
    """Return who sent what one resource describes, without secrets in the names.

    Text that a sender chose is cut, so that rows stay small.
    """
    told = resource.get
    return Source(
        project=sender.project,
        key_id=sender.key_id,
        service=_label(str(told("service.name", "unknown_service")), plan),
        sdk=_label(_sdk(resource), plan),
        user_agent=_label(sender.user_agent, plan),
    )


def unnamed(sender: Sender, plan: Plan) -> Source:
    """Return who sent a request, where its service is not known."""
    agent = _label(sender.user_agent, plan)
    return Source(project=sender.project, key_id=sender.key_id, user_agent=agent)


def _sdk(resource: Mapping[str, Any]) -> str:
    names = [resource.get(f"telemetry.sdk.{name}") for name in ("language", "name", "version")]
    if names == [None, None, None]:
        return "unknown"
    language, name, version = ("?" if name is None else name for name in names)
    return f"{language}/{name} {version}"


def _label(text: str, plan: Plan) -> str:
    # Whole before it is cut: the rest of a secret would no longer look like one.
    return redacted_label(text, plan.rules)[:SOURCE_CHARS]
