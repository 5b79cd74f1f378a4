"""Every benchmark that needs nothing from outside, one after the other."""

from __future__ import annotations

import subprocess
import sys

SHORT = ("--rounds", "1", "--packings", "gzip")  # the whole of it takes a quarter of an hour
RUNS: tuple[tuple[str, ...], ...] = (
    ("ingest", *SHORT),
    ("kill",),
    ("power", "--rounds", "2"),
    ("faults", "--quick"),
    ("fuzz",),
    ("query",),
    ("look",),
    ("detection",),
    ("corpus",),
    ("normalise",),
)


def main() -> None:
    """Run each in a process of its own, so that none warms up another."""
    for name, *options in RUNS:
        print(f"\n== python -m bench.{' '.join([name, *options])}", flush=True)
        subprocess.run([sys.executable, "-m", f"bench.{name}", *options], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
