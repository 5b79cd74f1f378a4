"""python -m collector."""

from __future__ import annotations

from collector.serve import serve
from tidegauge.settings import Settings

if __name__ == "__main__":
    serve(Settings())
