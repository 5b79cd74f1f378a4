"""What is seen while the demo runs: progress, what on-call was told, what was stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegauge.demo.receiver import Page
from tidegauge.demo.traffic import APPS, App
from tidegauge.finding import Verdict


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far the history of one app is in."""

    service: str
    spans: int
    share: float  # 0 to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the database holds at the end of the live traffic."""

    calls: int
    to_review: int
    verdicts: Mapping[Verdict, int]  # of the newest look at each signal


def explains(page: Page, app: App) -> bool:
    """Return whether ``page`` is about the app's fault and names its cause."""
    data = page.data
    return (
        page.kind in ("alert.firing", "alert.updated")
        and data.get("service") == app.service
        and data.get("rule") in app.rules
        and app.cause in f"{data.get('title')} {data.get('likely_cause')}"
    )


@dataclass(slots=True)
class Watch:
    """What arrived since the live traffic began."""

    started_s: float  # of the live traffic, seconds since 1970
    messages: int = 0
    told: dict[str, Page] = field(default_factory=dict)  # by the app's service

    def take(self, page: Page) -> None:
        """Note the first message that names an app's fault and its cause."""
        self.messages += 1
        for app in APPS:
            if app.service not in self.told and explains(page, app):
                self.told[app.service] = page

    @property
    def missed(self) -> list[App]:
        """Return the apps whose fault nobody was told of."""
        return [app for app in APPS if app.service not in self.told]

    def after_s(self, page: Page) -> float:
        """Return how long after the start of the live traffic ``page`` arrived, seconds."""
        return page.at_s - self.started_s
