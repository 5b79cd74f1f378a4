"""python -m dashboard."""

from __future__ import annotations

from dashboard.serve import serve
from tidegauge.settings import Settings

if __name__ == "__main__":
    serve(Settings())
