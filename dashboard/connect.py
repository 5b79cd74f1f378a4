"""One engine per dashboard process."""

from __future__ import annotations

import streamlit as st

from tidegauge.settings import Settings
from tidegauge.store.engine import Engine, open_engine

_given: list[Settings] = []


def use(settings: Settings) -> None:
    """Make ``settings`` those of this process (the command line may have changed some)."""
    _given[:] = [settings]


def settings() -> Settings:
    """Return the settings of this process: those it was started with, else the environment's."""
    return _given[0] if _given else Settings()


def engine() -> Engine:
    """Return the one engine of this process. Raises StoreUnusable."""
    return _engine(settings().database_url)


@st.cache_resource(show_spinner=False)
def _engine(url: str) -> Engine:
    return open_engine(url)
