"""Who sends a request: decided by its key, before its body is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sender:
    """A request's project and key, and what the client calls itself."""

    project: str
    key_id: str = ""  # "": no key was needed
    user_agent: str = ""
