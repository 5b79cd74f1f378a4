"""Cached reads: what each page asks, at most once in half a minute."""

from __future__ import annotations

from datetime import datetime, timedelta

import streamlit as st

from dashboard import connect, reads
from dashboard.charts import Story
from dashboard.reads import Overview
from dashboard.scope import Scope, Span
from dashboard.signals import CATALOG
from tidegauge.audit import Audited, audited
from tidegauge.clock import DAY, HOUR, floor
from tidegauge.finding import Series
from tidegauge.store import audits, pages, rollups
from tidegauge.store.engine import read

TTL_S = 30
AUDIT_TTL_S = 120  # it reads every span of a day, and an instrumentation changes rarely
_WEEK = timedelta(days=7)


@st.cache_data(ttl=TTL_S, max_entries=50, show_spinner=False)
def series_by_traffic(url: str, project: str, minute: datetime) -> tuple[Series, ...]:
    """Return the series of the last seven days, the busiest first; then those without calls."""
    with read(connect.engine()) as db:
        names = rollups.series_of(db, project).values()
        hours = pages.read_points(db, project, 3600, minute - _WEEK, minute, measures=())
    calls: dict[Series, int] = {}
    for bucket in hours:
        calls[bucket.series] = calls.get(bucket.series, 0) + bucket.calls
    return tuple(sorted(names, key=lambda one: (-calls.get(one, 0), one)))


@st.cache_data(ttl=TTL_S, max_entries=50, show_spinner=False)
def overview(url: str, scope: Scope, reviewer: str, minute: datetime) -> Overview:
    """Return the Overview as it is at ``minute``."""
    with read(connect.engine()) as db:
        return reads.read_overview(db, scope, reviewer, minute)


@st.cache_data(ttl=TTL_S, max_entries=200, show_spinner=False)
def stories(
    url: str, series: Series, keys: tuple[str, ...], during: Span, compare: bool
) -> tuple[Story, ...]:
    """Return several charts of one series over the same time."""
    with read(connect.engine()) as db:
        return tuple(
            reads.story(db, series, CATALOG[key], during, compare=compare and key == keys[0])
            for key in keys
        )


@st.cache_data(ttl=AUDIT_TTL_S, max_entries=10, show_spinner=False)
def audit(url: str, project: str, _now: datetime) -> tuple[tuple[Audited, ...], bool]:
    """Return what the instrumentations of the last 24 hours leave out, and if there is more."""
    with read(connect.engine()) as db:
        told, cut = audits.told(db, project, _now - DAY, _now)
        twice = audits.twice(db, project, _now - DAY, _now)
        metered = audits.metered(db, project, floor(_now - DAY, HOUR), _now)
    return tuple(audited(told, twice, metered)), cut
