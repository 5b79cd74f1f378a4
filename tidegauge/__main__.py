"""python -m tidegauge."""

from __future__ import annotations

from tidegauge.cli import app

if __name__ == "__main__":
    app(prog_name="tidegauge")
