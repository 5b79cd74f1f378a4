"""The script that Streamlit runs for every page: the frame, with Overview first."""

from __future__ import annotations

from dashboard.frame import main

main()
