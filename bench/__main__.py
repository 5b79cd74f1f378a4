"""Every benchmark that needs nothing from outside, one after the other."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("ingest", "kill", "query", "look", "detection")


def main() -> None:
    """Run each in a process of its own, so that none warms up another."""
    for name in NAMES:
        print(f"\n== python -m bench.{name}", flush=True)
        subprocess.run([sys.executable, "-m", f"bench.{name}"], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
