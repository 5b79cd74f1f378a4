"""The frame of every page: filters, the list of views, and what happens when nothing answers."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from dashboard import parts
from dashboard.views import alerts, overview, requests, review, system, trends
from tidegauge import clock
from tidegauge.store.engine import StoreBusy, StoreUnusable

_ICON = str(Path(__file__).with_name("static") / "tidegauge.png")  # an icon by name asks Google


def main(first: str = "overview") -> None:
    """Draw the page that the address names; ``first`` where it names none."""
    st.set_page_config(page_title="Tidegauge", page_icon=_ICON, layout="wide")
    st.logo(_ICON, size="large")
    try:
        _run(first)
    except StoreBusy:
        st.error("The database does not answer. Reload the page to try again.")
    except StoreUnusable as error:
        st.error("The database cannot be used.")
        st.text(str(error))


def _run(first: str) -> None:
    pages = {
        name: st.Page(show, title=name.capitalize(), url_path=name, default=name == first)
        for name, show in _SHOWN.items()
    }
    page = st.navigation(_menu(pages))
    st.session_state[parts.PAGES] = pages
    st.session_state[parts.SCOPE] = parts.sidebar(clock.now())
    page.run()


_SHOWN = {
    "overview": overview.show,
    "trends": trends.show,
    "alerts": alerts.show,
    "review": review.show,
    "requests": requests.show,
    "system": system.show,
}
_SECTIONS = {
    "Monitor": ("overview", "trends", "alerts"),
    "Work": ("review",),
    "Data": ("requests",),
    "Admin": ("system",),
}


def _menu(pages: dict[str, StreamlitPage]) -> dict[str, list[StreamlitPage]]:
    return {title: [pages[name] for name in names] for title, names in _SECTIONS.items()}
